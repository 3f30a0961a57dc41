//! Who may enter: accounts by tokens that they sign themselves, and whoever has a link by its V4
//! signature.

use super::account::{Account, Known};
use super::{Refusal, refuse};
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use http::header::{AUTHORIZATION, HeaderMap};
use http::request::Parts;
use jiff::{SignedDuration, Timestamp};
use opendepot_domain::Sha256;
use parking_lot::Mutex;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};

/// Clocks differ by this much.
const SKEW: SignedDuration = SignedDuration::from_mins(5);
/// A link may begin this much later than now.
const LINK_SKEW: SignedDuration = SignedDuration::from_mins(15);
const TOKEN_LIFE: SignedDuration = SignedDuration::from_hours(1);
const LONGEST_LINK: i64 = 604_800;
const ALGORITHM: &str = "GOOG4-RSA-SHA256";
/// One of these lets a token read and write objects.
const SCOPES: &[&str] = &[
    "https://www.googleapis.com/auth/cloud-platform",
    "https://www.googleapis.com/auth/devstorage.full_control",
    "https://www.googleapis.com/auth/devstorage.read_write",
];
/// What canonical requests leave as it is.
const STRICT: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');
const IN_PATHS: &AsciiSet = &STRICT.remove(b'/');

pub(super) struct Door {
    accounts: Mutex<Vec<Known>>,
    /// Tokens that somebody else made, with their ends.
    tokens: Mutex<BTreeMap<String, Timestamp>>,
    is_open: AtomicBool,
    /// How far this clock is ahead of the machine's, in seconds.
    ahead: AtomicI64,
}

/// How a token is signed.
#[derive(Deserialize)]
struct Header {
    alg: String,
    typ: String,
    kid: String,
}

/// What a token claims.
#[derive(Deserialize)]
struct Claims {
    iss: String,
    sub: String,
    #[serde(default)]
    scope: String,
    iat: i64,
    exp: i64,
}

impl Door {
    pub(super) fn new(accounts: &[Account]) -> Self {
        Self {
            accounts: Mutex::new(accounts.iter().map(Known::new).collect()),
            tokens: Mutex::default(),
            is_open: AtomicBool::new(false),
            ahead: AtomicI64::new(0),
        }
    }

    pub(super) fn set_accounts(&self, accounts: &[Account]) {
        *self.accounts.lock() = accounts.iter().map(Known::new).collect();
    }

    pub(super) fn set_tokens(&self, tokens: BTreeMap<String, Timestamp>) {
        *self.tokens.lock() = tokens;
    }

    pub(super) fn open_to_all(&self) {
        self.is_open.store(true, Ordering::SeqCst);
    }

    pub(super) fn set_clock(&self, ahead: SignedDuration) {
        self.ahead.store(ahead.as_secs(), Ordering::SeqCst);
    }

    pub(super) fn now(&self) -> Timestamp {
        let ahead = SignedDuration::from_secs(self.ahead.load(Ordering::SeqCst));
        Timestamp::now() + ahead
    }

    /// Lets a request pass that is signed, or that needs not be.
    pub(super) fn admit(&self, parts: &Parts) -> Result<(), Refusal> {
        let query = query(parts);
        if find(&query, "X-Goog-Signature").is_some() {
            return self.admit_link(parts, &query);
        }
        match parts.headers.get(AUTHORIZATION) {
            Some(value) => {
                let token = value
                    .to_str()
                    .ok()
                    .and_then(|text| text.strip_prefix("Bearer "));
                match token.and_then(|token| self.admit_token(token)) {
                    Some(()) => Ok(()),
                    None => Err(refuse(401, "AuthenticationRequired", "")),
                }
            }
            None if self.is_open.load(Ordering::SeqCst) => Ok(()),
            None => Err(refuse(403, "AccessDenied", "anonymous caller")),
        }
    }

    /// A token without an audience but with a scope: those with an audience are refused here.
    fn admit_token(&self, token: &str) -> Option<()> {
        if let Some(end) = self.tokens.lock().get(token) {
            return (*end > self.now()).then_some(());
        }
        let (signed, signature) = token.rsplit_once('.')?;
        let (header, claims) = signed.split_once('.')?;
        let decode = |text| BASE64_URL_SAFE_NO_PAD.decode(text).ok();
        let header: Header = serde_json::from_slice(&decode(header)?).ok()?;
        let claims: Claims = serde_json::from_slice(&decode(claims)?).ok()?;
        let accounts = self.accounts.lock();
        let account = accounts.iter().find(|known| known.email == claims.iss)?;
        let (begin, end) = (
            Timestamp::from_second(claims.iat).ok()?,
            Timestamp::from_second(claims.exp).ok()?,
        );
        let now = self.now();
        let is_good = header.alg == "RS256"
            && header.typ == "JWT"
            && header.kid == account.key_id
            && claims.sub == claims.iss
            && claims.scope.split(' ').any(|scope| SCOPES.contains(&scope))
            && begin <= now + SKEW
            && end > now
            && end.duration_since(begin) <= TOKEN_LIFE;
        (is_good && account.has_signed(signed, &decode(signature)?)).then_some(())
    }

    fn admit_link(&self, parts: &Parts, query: &[(String, String)]) -> Result<(), Refusal> {
        let malformed = |what: &str| refuse(400, "MalformedSecurityHeader", what);
        let get = |name: &str| find(query, name).ok_or_else(|| malformed(name));
        if get("X-Goog-Algorithm")? != ALGORITHM {
            return Err(malformed("X-Goog-Algorithm"));
        }
        let (credential, time) = (get("X-Goog-Credential")?, get("X-Goog-Date")?);
        let mut credential = credential.split('/');
        let email = credential.next().unwrap_or_default();
        let scope: Vec<&str> = credential.collect();
        let [day, _, "storage", "goog4_request"] = scope[..] else {
            return Err(malformed("X-Goog-Credential"));
        };
        let begin = jiff::civil::DateTime::strptime("%Y%m%dT%H%M%SZ", time)
            .and_then(|begin| begin.to_zoned(jiff::tz::TimeZone::UTC))
            .map_err(|_| malformed("X-Goog-Date"))?
            .timestamp();
        if !time.starts_with(day) || day.len() != 8 {
            return Err(malformed("X-Goog-Credential"));
        }
        let life = get("X-Goog-Expires")?.parse();
        let life: i64 = life.map_err(|_| malformed("X-Goog-Expires"))?;
        if !(1..=LONGEST_LINK).contains(&life) {
            return Err(malformed("X-Goog-Expires"));
        }
        let now = self.now();
        if begin > now + LINK_SKEW {
            return Err(refuse(403, "AccessDenied", "not yet valid"));
        }
        if now > begin + SignedDuration::from_secs(life) {
            return Err(refuse(400, "ExpiredToken", "expired"));
        }
        let canonical = canonical_request(parts, query, get("X-Goog-SignedHeaders")?)?;
        let to_sign = format!(
            "{ALGORITHM}\n{time}\n{}\n{}",
            scope.join("/"),
            Sha256::of(canonical.as_bytes())
        );
        let signature = unhex(get("X-Goog-Signature")?).ok_or_else(|| malformed("signature"))?;
        let accounts = self.accounts.lock();
        let account = accounts.iter().find(|known| known.email == email);
        match account.is_some_and(|known| known.has_signed(&to_sign, &signature)) {
            true => Ok(()),
            false => Err(refuse(403, "SignatureDoesNotMatch", canonical)),
        }
    }
}

/// The request as its sender must have signed it.
fn canonical_request(
    parts: &Parts,
    query: &[(String, String)],
    signed_headers: &str,
) -> Result<String, Refusal> {
    let malformed = |what: &str| refuse(400, "MalformedSecurityHeader", what);
    let path = percent_decode_str(parts.uri.path())
        .decode_utf8()
        .map_err(|_| malformed("path"))?;
    let encode = |text: &str| utf8_percent_encode(text, STRICT).to_string();
    let mut pairs: Vec<(String, String)> = query
        .iter()
        .filter(|(name, _)| !name.eq_ignore_ascii_case("X-Goog-Signature"))
        .map(|(name, value)| (encode(name), encode(value)))
        .collect();
    pairs.sort();
    let pairs: Vec<String> = pairs
        .iter()
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    let names: Vec<&str> = signed_headers.split(';').collect();
    // All that the service gives a meaning must be signed, and the host.
    let needed = parts.headers.keys().map(|name| name.as_str());
    let mut needed = needed.filter(|name| *name == "host" || name.starts_with("x-goog-"));
    if !names.is_sorted() || needed.any(|name| !names.contains(&name)) {
        return Err(malformed("X-Goog-SignedHeaders"));
    }
    let mut headers = String::new();
    for name in &names {
        let value = header(&parts.headers, name).ok_or_else(|| malformed(name))?;
        headers.push_str(&format!("{name}:{value}\n"));
    }
    let payload = header(&parts.headers, "x-goog-content-sha256");
    Ok(format!(
        "{}\n{}\n{}\n{headers}\n{signed_headers}\n{}",
        parts.method,
        utf8_percent_encode(&path, IN_PATHS),
        pairs.join("&"),
        payload.as_deref().unwrap_or("UNSIGNED-PAYLOAD"),
    ))
}

/// A header's values, each trimmed and its spaces folded; `None` without any.
fn header(headers: &HeaderMap, name: &str) -> Option<String> {
    let values: Option<Vec<String>> = headers
        .get_all(name)
        .iter()
        .map(|value| {
            let words: Vec<&str> = value.to_str().ok()?.split_whitespace().collect();
            Some(words.join(" "))
        })
        .collect();
    values
        .filter(|values| !values.is_empty())
        .map(|values| values.join(","))
}

/// The parameters of a request, decoded.
pub(super) fn query(parts: &Parts) -> Vec<(String, String)> {
    let query = parts.uri.query().unwrap_or_default();
    url::form_urlencoded::parse(query.as_bytes())
        .into_owned()
        .collect()
}

fn find<'a>(query: &'a [(String, String)], name: &str) -> Option<&'a str> {
    query
        .iter()
        .find(|(other, _)| other.eq_ignore_ascii_case(name))
        .map(|(_, value)| value.as_str())
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    text.as_bytes()
        .chunks(2)
        .map(|digits| u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok())
        .collect()
}
