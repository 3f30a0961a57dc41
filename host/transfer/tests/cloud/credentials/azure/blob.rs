//! One container of block blobs, open to those who have a token of the directory, or a link that a
//! user delegation key signed. Links are judged from what is documented under "Create a user
//! delegation SAS".

use super::entra::Tokens;
use crate::credentials::service::{Answer, Service, fields, header, said};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::request::Parts;
use jiff::{SignedDuration, Timestamp};
use opendepot_domain::Sha256;
use parking_lot::Mutex;
use percent_encoding::percent_decode_str;
use std::collections::BTreeMap;
use std::sync::Arc;

const ACCOUNT: &str = "depotacct";
/// The service takes keys for a week at most.
const LONGEST_KEY: SignedDuration = SignedDuration::from_hours(7 * 24);

pub(super) struct Blobs {
    pub(super) service: Service,
    state: Arc<State>,
}

struct State {
    tokens: Tokens,
    blobs: Mutex<BTreeMap<String, Bytes>>,
    /// How long keys live at most, and how far the clock is ahead.
    longest_key: Mutex<SignedDuration>,
    ahead: Mutex<SignedDuration>,
}

impl Blobs {
    pub(super) async fn start(tokens: &Tokens) -> Self {
        let state = Arc::new(State {
            tokens: tokens.clone(),
            blobs: Mutex::default(),
            longest_key: Mutex::new(LONGEST_KEY),
            ahead: Mutex::default(),
        });
        let known = Arc::clone(&state);
        let answer = move |parts: &Parts, body: &[u8]| known.answer(parts, body);
        Self {
            service: Service::start(answer).await,
            state,
        }
    }

    pub(super) fn endpoint(&self) -> String {
        format!("{}/{ACCOUNT}", self.service.url)
    }

    /// Keys are given for no longer than this.
    pub(super) fn set_longest_key(&self, seconds: i64) {
        *self.state.longest_key.lock() = SignedDuration::from_secs(seconds);
    }

    /// How far the service's clock is ahead of ours.
    pub(super) fn set_clock(&self, seconds: i64) {
        *self.state.ahead.lock() = SignedDuration::from_secs(seconds);
    }
}

impl State {
    fn now(&self) -> Timestamp {
        Timestamp::now() + *self.ahead.lock()
    }

    fn answer(&self, parts: &Parts, body: &[u8]) -> Answer {
        let query = fields(parts.uri.query().unwrap_or_default().as_bytes());
        let path = percent_decode_str(parts.uri.path()).decode_utf8().unwrap();
        let get = |name: &str| query.get(name).map_or("", String::as_str);
        let Some(path) = path.strip_prefix(&format!("/{ACCOUNT}")) else {
            return refused(400, "InvalidUri");
        };
        let key = path.strip_prefix("/depot/").unwrap_or_default();
        if query.contains_key("sig") {
            if let Err(code) = self.admit_link(parts.method.as_str(), key, &query) {
                return refused(403, code);
            }
        } else {
            let authorization = header(parts, "authorization").unwrap_or_default();
            let token = authorization.strip_prefix("Bearer ").unwrap_or_default();
            let version = header(parts, "x-ms-version").unwrap_or_default();
            if !self.tokens.admit(token) {
                return refused(401, "InvalidAuthenticationInfo");
            }
            // Tokens are taken since this version.
            if version < "2017-11-09" {
                return refused(400, "InvalidHeaderValue");
            }
        }
        match (parts.method.as_str(), get("comp"), get("restype")) {
            ("POST", "userdelegationkey", "service") => self.delegation_key(body),
            ("GET", "list", "container") => said(200, LIST),
            ("PUT", "", "") if !key.is_empty() => self.put(key, parts, body),
            ("GET" | "HEAD", "", "") if !key.is_empty() => self.get(key, parts),
            ("DELETE", "", "") => match self.blobs.lock().remove(key) {
                Some(_) => said(202, ""),
                None => refused(404, "BlobNotFound"),
            },
            _ => refused(400, "UnsupportedHttpVerb"),
        }
    }

    fn put(&self, key: &str, parts: &Parts, body: &[u8]) -> Answer {
        if header(parts, "x-ms-blob-type") != Some("BlockBlob") {
            return refused(400, "MissingRequiredHeader");
        }
        let mut blobs = self.blobs.lock();
        if header(parts, "if-none-match") == Some("*") && blobs.contains_key(key) {
            return refused(409, "BlobAlreadyExists");
        }
        blobs.insert(key.to_owned(), Bytes::copy_from_slice(body));
        let mut answer = said(201, "");
        described(&mut answer, body);
        answer
    }

    fn get(&self, key: &str, parts: &Parts) -> Answer {
        let Some(content) = self.blobs.lock().get(key).cloned() else {
            return refused(404, "BlobNotFound");
        };
        assert!(header(parts, "range").is_none(), "no test reads a part");
        let mut answer = said(200, content.clone());
        described(&mut answer, &content);
        answer
    }

    /// Get User Delegation Key.
    fn delegation_key(&self, body: &[u8]) -> Answer {
        let body = std::str::from_utf8(body).unwrap();
        let time = |name: &str| -> Option<Timestamp> {
            let (_, rest) = body.split_once(&format!("<{name}>"))?;
            rest.split_once("</")?.0.parse().ok()
        };
        let (now, expiry) = (self.now(), time("Expiry"));
        let start = time("Start").unwrap_or(now);
        let Some(expiry) = expiry.filter(|expiry| *expiry > start && *expiry > now) else {
            return refused(400, "InvalidXmlDocument");
        };
        if expiry.duration_since(now) > LONGEST_KEY {
            return refused(400, "InvalidXmlNodeValue");
        }
        let expiry = expiry.min(now + *self.longest_key.lock());
        let at = |time: Timestamp| time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
        let (start, expiry) = (at(start), at(expiry));
        let value = STANDARD.encode(secret(&start, &expiry));
        said(
            200,
            format!(
                "<?xml version=\"1.0\" encoding=\"utf-8\"?><UserDelegationKey>\
                 <SignedOid>0000-oid</SignedOid><SignedTid>0000-tenant</SignedTid>\
                 <SignedStart>{start}</SignedStart><SignedExpiry>{expiry}</SignedExpiry>\
                 <SignedService>b</SignedService><SignedVersion>2023-11-03</SignedVersion>\
                 <Value>{value}</Value></UserDelegationKey>"
            ),
        )
    }

    fn admit_link(
        &self,
        method: &str,
        key: &str,
        query: &BTreeMap<String, String>,
    ) -> Result<(), &'static str> {
        const FAILED: &str = "AuthenticationFailed";
        let get = |name: &str| query.get(name).map_or("", String::as_str);
        let time = |name: &str| get(name).parse::<Timestamp>().map_err(|_| FAILED);
        let now = self.now();
        let is_now = time("st")? <= now && now < time("se")?;
        let has_key = time("skt")? <= now && now < time("ske")?;
        if !is_now || !has_key || get("sr") != "b" || get("sks") != "b" {
            return Err(FAILED);
        }
        let resource = format!("/blob/{ACCOUNT}/depot/{key}");
        let to_sign = [
            get("sp"),
            get("st"),
            get("se"),
            &resource,
            get("skoid"),
            get("sktid"),
            get("skt"),
            get("ske"),
            get("sks"),
            get("skv"),
            get("saoid"),
            get("suoid"),
            get("scid"),
            get("sip"),
            get("spr"),
            get("sv"),
            get("sr"),
            // The time of a snapshot has no parameter of its own here.
            "",
            get("ses"),
            get("rscc"),
            get("rscd"),
            get("rsce"),
            get("rscl"),
            get("rsct"),
        ]
        .join("\n");
        let secret = secret(get("skt"), get("ske"));
        let mac = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, &secret);
        let signature = STANDARD.decode(get("sig")).map_err(|_| FAILED)?;
        ring::hmac::verify(&mac, to_sign.as_bytes(), &signature).map_err(|_| FAILED)?;
        let is_permitted = matches!(method, "GET" | "HEAD") && get("sp").contains('r');
        is_permitted
            .then_some(())
            .ok_or("AuthorizationPermissionMismatch")
    }
}

/// The service finds a key again by its times.
fn secret(start: &str, expiry: &str) -> Vec<u8> {
    Sha256::of(format!("hunter2 {start} {expiry}").as_bytes())
        .to_string()
        .into_bytes()
}

fn described(answer: &mut Answer, content: &[u8]) {
    let tag = format!("\"{}\"", Sha256::of(content));
    let headers = answer.headers_mut();
    headers.insert("etag", tag.parse().unwrap());
    let modified = "Wed, 21 Oct 2026 07:28:00 GMT".parse().unwrap();
    headers.insert("last-modified", modified);
}

fn refused(status: u16, code: &str) -> Answer {
    let body = format!("<Error><Code>{code}</Code><Message>hunter2</Message></Error>");
    let mut answer = said(status, body);
    let headers = answer.headers_mut();
    headers.insert("x-ms-error-code", code.parse().unwrap());
    answer
}

const LIST: &str = "<?xml version=\"1.0\" encoding=\"utf-8\"?>\
    <EnumerationResults><Blobs></Blobs><NextMarker /></EnumerationResults>";
