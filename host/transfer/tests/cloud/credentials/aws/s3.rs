//! The bucket, open to those who have a session's key, its token, and time left.

use super::Keys;
use crate::credentials::service::{fields, header};
use crate::server::S3Server;
use http::Response;
use http::request::Parts;
use jiff::Timestamp;
use parking_lot::Mutex;
use s3s::auth::{S3Auth, SecretKey};
use s3s::{Body, S3Result, s3_error};
use std::sync::Arc;

pub(super) struct Bucket {
    pub(super) server: S3Server,
    seen: Arc<Mutex<Seen>>,
}

#[derive(Default)]
struct Seen {
    ids: Vec<String>,
    num_refused: usize,
}

impl Bucket {
    pub(super) async fn start(keys: &Keys) -> Self {
        let seen: Arc<Mutex<Seen>> = Arc::default();
        let (guard, known) = (Arc::clone(&seen), keys.clone());
        let server = S3Server::guarded(Auth(keys.clone()), move |parts| {
            let mut seen = guard.lock();
            let (id, refusal) = judged(&known, parts);
            if seen.ids.last() != Some(&id) {
                seen.ids.push(id);
            }
            let code = refusal?;
            seen.num_refused += 1;
            let body = format!("<Error><Code>{code}</Code><Message>hunter2</Message></Error>");
            let answer = Response::builder().status(if code == "ExpiredToken" { 400 } else { 403 });
            Some(answer.body(Body::from(body)).unwrap())
        })
        .await;
        Self { server, seen }
    }

    /// The keys that were used since this was asked last, in the order of their first use, and how
    /// often one was refused.
    pub(super) fn seen(&self) -> (Vec<String>, usize) {
        let seen = std::mem::take(&mut *self.seen.lock());
        (seen.ids, seen.num_refused)
    }
}

/// Whose key it is, and why the token or the time refuses it; signatures are judged later.
fn judged(keys: &Keys, parts: &Parts) -> (String, Option<&'static str>) {
    let query = fields(parts.uri.query().unwrap_or_default().as_bytes());
    let (credential, token) = match header(parts, "authorization") {
        Some(authorization) => {
            let (_, rest) = authorization.split_once("Credential=").unwrap();
            let signed = authorization.split_once("SignedHeaders=").unwrap().1;
            let signed = signed.split(',').next().unwrap();
            let is_signed = signed.split(';').any(|name| name == "x-amz-security-token");
            let token = header(parts, "x-amz-security-token").filter(|_| is_signed);
            (rest.to_owned(), token.map(str::to_owned))
        }
        None => (
            query.get("X-Amz-Credential").cloned().unwrap_or_default(),
            query.get("X-Amz-Security-Token").cloned(),
        ),
    };
    let id = credential.split('/').next().unwrap_or_default().to_owned();
    let refusal = match keys.get(&id) {
        None => Some("InvalidAccessKeyId"),
        Some(key) if token.as_ref() != Some(&key.token) => Some("InvalidToken"),
        Some(key) if key.ends_at <= Timestamp::now() => Some("ExpiredToken"),
        Some(_) => None,
    };
    (id, refusal)
}

struct Auth(Keys);

#[async_trait::async_trait]
impl S3Auth for Auth {
    async fn get_secret_key(&self, access_key: &str) -> S3Result<SecretKey> {
        let key = self.0.get(access_key);
        let key = key.ok_or_else(|| s3_error!(InvalidAccessKeyId))?;
        Ok(SecretKey::from(key.secret))
    }
}
