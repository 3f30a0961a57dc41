//! The token endpoint of the directory: client credentials with a federated one.

use crate::credentials::service::{Answer, Service, fields, header, said};
use http::request::Parts;
use jiff::{SignedDuration, Timestamp};
use parking_lot::Mutex;
use serde_json::json;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

pub(super) const TENANT: &str = "0000-tenant";
pub(super) const CLIENT: &str = "0000-client";

pub(super) struct Entra {
    pub(super) service: Service,
    pub(super) tokens: Tokens,
}

/// The tokens that were issued, and what is taken for them.
#[derive(Clone)]
pub(super) struct Tokens(Arc<Mutex<Issued>>);

struct Issued {
    ends: BTreeMap<String, Timestamp>,
    seconds: i64,
    assertion: String,
}

impl Tokens {
    /// From now on this assertion alone is good.
    pub(super) fn set_assertion(&self, assertion: &str) {
        assertion.clone_into(&mut self.0.lock().assertion);
    }

    pub(super) fn num(&self) -> usize {
        self.0.lock().ends.len()
    }

    /// Ends all that were issued so far.
    pub(super) fn revoke(&self) {
        for end in self.0.lock().ends.values_mut() {
            *end = Timestamp::UNIX_EPOCH;
        }
    }

    /// Whether this is a token with time left.
    pub(super) fn admit(&self, token: &str) -> bool {
        let issued = self.0.lock();
        issued
            .ends
            .get(token)
            .is_some_and(|end| *end > Timestamp::now())
    }

    fn issue(&self) -> Answer {
        let mut issued = self.0.lock();
        let (token, seconds) = (
            format!("issued-token.{}", issued.ends.len() + 1),
            issued.seconds,
        );
        let end = Timestamp::now() + SignedDuration::from_secs(seconds);
        issued.ends.insert(token.clone(), end);
        let document = json!({
            "token_type": "Bearer",
            "expires_in": seconds,
            "ext_expires_in": seconds,
            "access_token": token,
        });
        said(200, document.to_string())
    }
}

impl Entra {
    pub(super) async fn start(address: SocketAddr, seconds: i64, assertion: &str) -> Self {
        let tokens = Tokens(Arc::new(Mutex::new(Issued {
            ends: BTreeMap::new(),
            seconds,
            assertion: assertion.to_owned(),
        })));
        let issuer = tokens.clone();
        let answer = move |parts: &Parts, body: &[u8]| token(&issuer, parts, body);
        Self {
            service: Service::at(address, answer).await,
            tokens,
        }
    }
}

fn token(tokens: &Tokens, parts: &Parts, body: &[u8]) -> Answer {
    let refuse = |status, error: &str| {
        let document = json!({ "error": error, "error_description": "hunter2" });
        said(status, document.to_string())
    };
    let is_form = header(parts, "content-type") == Some("application/x-www-form-urlencoded");
    let path = format!("/{TENANT}/oauth2/v2.0/token");
    if parts.method != "POST" || parts.uri.path() != path || !is_form {
        return refuse(404, "not_found");
    }
    let form = fields(body);
    let get = |name: &str| form.get(name).map_or("", String::as_str);
    if form.len() != 5 || get("grant_type") != "client_credentials" {
        return refuse(400, "unsupported_grant_type");
    }
    if get("scope") != "https://storage.azure.com/.default" {
        return refuse(400, "invalid_scope");
    }
    let of = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
    let is_known = get("client_id") == CLIENT && get("client_assertion_type") == of;
    if !is_known || get("client_assertion") != tokens.0.lock().assertion {
        return refuse(401, "invalid_client");
    }
    tokens.issue()
}
