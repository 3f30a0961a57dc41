//! The security token service: AssumeRoleWithWebIdentity, as its API reference has it.

use super::Keys;
use crate::credentials::service::{Answer, Service, fields, header, said};
use http::request::Parts;
use parking_lot::Mutex;
use std::sync::Arc;

pub(super) const ROLE: &str = "arn:aws:iam::123456789012:role/depot";

pub(super) struct Sts {
    pub(super) service: Service,
    /// The token of the pod.
    token: Arc<Mutex<String>>,
}

impl Sts {
    pub(super) async fn start(keys: &Keys, token: &str) -> Self {
        let token = Arc::new(Mutex::new(token.to_owned()));
        let (keys, known) = (keys.clone(), Arc::clone(&token));
        let answer = move |parts: &Parts, body: &[u8]| assume(&keys, &known.lock(), parts, body);
        Self {
            service: Service::start(answer).await,
            token,
        }
    }

    /// From now on this one alone is good.
    pub(super) fn set_token(&self, token: &str) {
        token.clone_into(&mut self.token.lock());
    }
}

fn assume(keys: &Keys, token: &str, parts: &Parts, body: &[u8]) -> Answer {
    let refuse = |status, code: &str| {
        let body = format!(
            "<ErrorResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><Error>\
             <Type>Sender</Type><Code>{code}</Code><Message>hunter2</Message></Error>\
             <RequestId>1</RequestId></ErrorResponse>"
        );
        said(status, body)
    };
    let form = fields(body);
    let get = |name: &str| form.get(name).map_or("", String::as_str);
    let is_form = header(parts, "content-type") == Some("application/x-www-form-urlencoded");
    if parts.method != "POST" || parts.uri.path() != "/" || !is_form {
        return refuse(400, "MalformedInput");
    }
    // It is signed by nobody: the token is the credential.
    if header(parts, "authorization").is_some() || parts.uri.query().is_some() {
        return refuse(400, "IncompleteSignature");
    }
    if get("Action") != "AssumeRoleWithWebIdentity" || get("Version") != "2011-06-15" {
        return refuse(400, "InvalidAction");
    }
    let seconds: u64 = get("DurationSeconds").parse().unwrap_or_default();
    let name = get("RoleSessionName");
    let is_name = (2..=64).contains(&name.len())
        && name
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"=,.@-_".contains(&b));
    if !(900..=43_200).contains(&seconds) || !is_name {
        return refuse(400, "ValidationError");
    }
    if get("WebIdentityToken") != token {
        return refuse(400, "InvalidIdentityToken");
    }
    if get("RoleArn") != ROLE {
        return refuse(403, "AccessDenied");
    }
    let key = keys.issue();
    said(
        200,
        format!(
            "<AssumeRoleWithWebIdentityResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\">\
             <AssumeRoleWithWebIdentityResult>\
             <SubjectFromWebIdentityToken>system:serviceaccount:depot:depot</SubjectFromWebIdentityToken>\
             <Audience>sts.amazonaws.com</Audience>\
             <AssumedRoleUser><Arn>arn:aws:sts::123456789012:assumed-role/depot/{name}</Arn>\
             <AssumedRoleId>AROA:{name}</AssumedRoleId></AssumedRoleUser>\
             <Credentials><SessionToken>{}</SessionToken><SecretAccessKey>{}</SecretAccessKey>\
             <Expiration>{}</Expiration><AccessKeyId>{}</AccessKeyId></Credentials>\
             <Provider>https://oidc.example</Provider></AssumeRoleWithWebIdentityResult>\
             <ResponseMetadata><RequestId>1</RequestId></ResponseMetadata>\
             </AssumeRoleWithWebIdentityResponse>",
            key.token, key.secret, key.ends_at, key.id
        ),
    )
}
