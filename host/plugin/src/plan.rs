//! Plans are untrusted input: every answer of a storage plugin passes here before anything is
//! done with it (plugins.md 1 and 3). Addresses are resolved and checked again by whoever
//! connects.

use crate::grants::Grants;
use crate::pattern::{
    PatternError, Scheme, is_clean_path, is_remote_store, parse_remote_store, parse_store,
};
use opendepot_domain::placement::{HeaderValue, OptionValue, SignedRequest};
use opendepot_domain::{Operation, Placement};
use url::Url;

const MAX_KEY_BYTES: usize = 1024;
const MAX_URL_BYTES: usize = 8 << 10;
const MAX_HEADERS: usize = 64;
const MAX_VALUE_BYTES: usize = 8 << 10;
const MAX_ATTRIBUTES: usize = 64;
const MAX_ATTRIBUTE_BYTES: usize = 2 << 10;
const MAX_STATUSES: usize = 16;

/// A plan that breaks a grant or the contract. Values are escaped and cut.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    /// The store is not written in its canonical form.
    #[error(transparent)]
    Store(#[from] PatternError),
    /// No grant covers the store.
    #[error("store `{0}` is not granted")]
    StoreNotGranted(String),
    /// Only signed requests reach the store.
    #[error("store `{0}` is reached by signed requests alone")]
    SignedOnly(String),
    /// The key leaves its grammar.
    #[error("key `{0}` is not plain segments of at most 1024 bytes")]
    Key(String),
    /// Store or key are not those of the record.
    #[error("store `{store}` and key `{key}` are not those of the record")]
    NotRecorded {
        /// The store that was named.
        store: String,
        /// The key that was named.
        key: String,
    },
    /// The option is not in the allow-list, or its value is not.
    #[error("option `{name}` is refused: {rule}")]
    Option {
        /// The option.
        name: String,
        /// The rule.
        rule: &'static str,
    },
    /// An attribute leaves its grammar.
    #[error("attribute `{0}` is not a short name with a value of at most 2048 printable bytes")]
    Attribute(String),
    /// The credential is not granted.
    #[error("credential `{0}` is not granted for this store")]
    Credential(String),
    /// The URL leaves its grammar.
    #[error("url `{url}` is refused: {rule}")]
    Url {
        /// The URL without query, which may carry a signature.
        url: String,
        /// The rule.
        rule: &'static str,
    },
    /// No grant covers the URL's host.
    #[error("host `{0}` is not granted")]
    HostNotGranted(String),
    /// A header is not allowed.
    #[error("header `{name}` is refused: {rule}")]
    Header {
        /// The header.
        name: String,
        /// The rule.
        rule: &'static str,
    },
    /// A secret is not granted for the URL's host.
    #[error("secret `{0}` is not granted for this host")]
    Secret(String),
    /// The method does not do what was asked.
    #[error("method `{method}` is refused for `{operation}`")]
    Method {
        /// The method.
        method: String,
        /// The operation.
        operation: &'static str,
    },
    /// The request has expired already.
    #[error("the request expired at {expires_at}, it is {now}")]
    Expired {
        /// Unix seconds.
        expires_at: u64,
        /// Unix seconds.
        now: u64,
    },
    /// The status lists contradict each other or HTTP.
    #[error("the status lists are refused: {0}")]
    Statuses(&'static str),
    /// `nothing` was answered to something that needs doing.
    #[error("`nothing` is an answer to `prepare` only, not to `{0}`")]
    Nothing(&'static str),
}

fn cut(text: &str) -> String {
    crate::text::cut(text, 120)
}

/// Options that a plan may name, the schemes that know them, and what values they take.
/// Everything else is refused: endpoints, credentials, proxies, paths and TLS are the
/// operator's alone.
const OPTIONS: &[(&str, &[Scheme], OptionRule)] = &[
    ("region", &[Scheme::S3], OptionRule::Token),
    (
        "storage-class",
        &[Scheme::S3, Scheme::Gs, Scheme::Az],
        OptionRule::Token,
    ),
    ("virtual-hosted-style", &[Scheme::S3], OptionRule::Bool),
    ("request-payer", &[Scheme::S3], OptionRule::Bool),
    (
        "server-side-encryption",
        &[Scheme::S3],
        OptionRule::OneOf(&["AES256", "aws:kms", "aws:kms:dsse"]),
    ),
    ("sse-kms-key-id", &[Scheme::S3], OptionRule::Arn),
    ("sse-bucket-key-enabled", &[Scheme::S3], OptionRule::Bool),
];

enum OptionRule {
    /// Letters, digits, `_` and `-`, at most 64: never a part of a host name with a dot.
    Token,
    /// `true` or `false`.
    Bool,
    OneOf(&'static [&'static str]),
    /// A key id, alias or ARN, at most 256.
    Arn,
}

impl OptionRule {
    fn accepts(&self, value: &str) -> bool {
        let token = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-');
        match self {
            Self::Token => (1..=64).contains(&value.len()) && value.bytes().all(token),
            Self::Bool => matches!(value, "true" | "false"),
            Self::OneOf(values) => values.contains(&value),
            Self::Arn => {
                (1..=256).contains(&value.len())
                    && value.bytes().all(|b| token(b) || matches!(b, b':' | b'/'))
            }
        }
    }
}

/// Checks a placement against the grants.
pub(crate) fn check_placement(grants: &Grants, placement: &Placement) -> Result<(), PlanError> {
    if is_remote_store(&placement.store) {
        check_remote(grants, placement)
    } else {
        check_native(grants, placement)
    }
}

/// Checks a placement on a server that signed requests reach: its host must be granted, and there
/// is no client to give options or credentials to.
fn check_remote(grants: &Grants, placement: &Placement) -> Result<(), PlanError> {
    let url = parse_remote_store(&placement.store)?;
    if !grants.allows_host(&url) {
        return Err(host_not_granted(&url));
    }
    check_key(&placement.key)?;
    if let Some(name) = &placement.credentials {
        return Err(PlanError::Credential(cut(name)));
    }
    if let Some((name, _)) = placement.options.first() {
        return Err(PlanError::Option {
            name: cut(name),
            rule: "this kind of store does not have it",
        });
    }
    check_attributes(&placement.attributes)
}

/// Checks a placement that the host's own client is to reach.
pub(crate) fn check_native(grants: &Grants, placement: &Placement) -> Result<(), PlanError> {
    if is_remote_store(&placement.store) {
        return Err(PlanError::SignedOnly(cut(&placement.store)));
    }
    let scheme = parse_store(&placement.store)?;
    let grant = grants
        .store(&placement.store)
        .ok_or_else(|| PlanError::StoreNotGranted(cut(&placement.store)))?;
    check_key(&placement.key)?;
    if let Some(name) = &placement.credentials {
        let is_granted = grants.credentials.contains_key(name);
        let is_this_stores = grant.credentials.as_ref().is_none_or(|own| own == name);
        if !is_granted || !is_this_stores {
            return Err(PlanError::Credential(cut(name)));
        }
    }
    for (name, value) in &placement.options {
        check_option(scheme, name, value)?;
    }
    check_attributes(&placement.attributes)
}

/// A placement for recorded bytes must name the record's store and key.
pub(crate) fn check_recorded(
    placement: &Placement,
    store: &str,
    key: &str,
) -> Result<(), PlanError> {
    if placement.store == store && placement.key == key {
        return Ok(());
    }
    Err(PlanError::NotRecorded {
        store: cut(&placement.store),
        key: cut(&placement.key),
    })
}

pub(crate) fn check_key(key: &str) -> Result<(), PlanError> {
    if key.len() <= MAX_KEY_BYTES && is_clean_path(key) && !key.contains('\\') {
        Ok(())
    } else {
        Err(PlanError::Key(cut(key)))
    }
}

fn check_option(scheme: Scheme, name: &str, value: &OptionValue) -> Result<(), PlanError> {
    let refuse = |rule| {
        Err(PlanError::Option {
            name: cut(name),
            rule,
        })
    };
    let Some((_, schemes, rule)) = OPTIONS.iter().find(|(known, _, _)| *known == name) else {
        return refuse("only the operator may set it");
    };
    if !schemes.contains(&scheme) {
        return refuse("this kind of store does not have it");
    }
    match value {
        OptionValue::Plain(value) if rule.accepts(value) => Ok(()),
        OptionValue::Plain(_) => refuse("its value is outside the allowed grammar"),
        OptionValue::Secret(_) => refuse("it takes no secret"),
    }
}

fn check_attributes(attributes: &[(String, String)]) -> Result<(), PlanError> {
    for (name, value) in attributes {
        let is_name = (1..=64).contains(&name.len())
            && name
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'));
        let is_value =
            value.len() <= MAX_ATTRIBUTE_BYTES && value.bytes().all(|b| (0x20..0x7f).contains(&b));
        if !is_name || !is_value || attributes.len() > MAX_ATTRIBUTES {
            return Err(PlanError::Attribute(cut(name)));
        }
    }
    Ok(())
}

/// Parses the URL of a request that a guest asks for and checks it against the granted hosts.
///
/// The parsed form is what must be used afterwards: what was checked is what is connected to.
pub(crate) fn check_url(grants: &Grants, text: &str) -> Result<Url, PlanError> {
    let refuse = |rule| PlanError::Url {
        url: cut(text.split(['?', '#']).next().unwrap_or_default()),
        rule,
    };
    if text.len() > MAX_URL_BYTES {
        return Err(refuse("longer than 8 KiB"));
    }
    if !text.bytes().all(|b| b.is_ascii_graphic()) || text.contains('\\') {
        return Err(refuse("white space, control characters or backslashes"));
    }
    let url = Url::parse(text).map_err(|_| refuse("not an absolute url"))?;
    if !matches!(url.scheme(), "https" | "http") || !url.has_host() {
        return Err(refuse("neither https nor http"));
    }
    let authority = text.split_once("://").map_or("", |(_, rest)| {
        rest.split(['/', '?', '#']).next().unwrap_or_default()
    });
    if authority.contains('@') {
        return Err(refuse("it carries user information"));
    }
    if url.fragment().is_some() {
        return Err(refuse("it carries a fragment"));
    }
    if !grants.allows_host(&url) {
        return Err(host_not_granted(&url));
    }
    Ok(url)
}

fn host_not_granted(url: &Url) -> PlanError {
    let host = url.host_str().unwrap_or_default();
    let port = url.port_or_known_default().unwrap_or_default();
    PlanError::HostNotGranted(cut(&format!("{}://{host}:{port}", url.scheme())))
}

/// Headers that only the host may write.
const FORBIDDEN_HEADERS: &[&str] = &[
    "connection",
    "content-length",
    "expect",
    "host",
    "if-range",
    "keep-alive",
    "range",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "via",
];

/// Checks header names, values, and that every secret may go to the URL's host.
pub(crate) fn check_headers<'a>(
    grants: &Grants,
    url: &Url,
    headers: impl ExactSizeIterator<Item = (&'a str, &'a HeaderValue)>,
) -> Result<(), PlanError> {
    if headers.len() > MAX_HEADERS {
        return Err(PlanError::Header {
            name: String::new(),
            rule: "more than 64 headers",
        });
    }
    for (name, value) in headers {
        let refuse = |rule| {
            Err(PlanError::Header {
                name: cut(name),
                rule,
            })
        };
        let is_token = (1..=128).contains(&name.len())
            && name
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b));
        if !is_token {
            return refuse("not a header name");
        }
        let lower = name.to_ascii_lowercase();
        if FORBIDDEN_HEADERS.contains(&lower.as_str()) || lower.starts_with("proxy-") {
            return refuse("only the host may write it");
        }
        let (text, secret) = match value {
            HeaderValue::Plain(text) => (text, None),
            HeaderValue::Secret { prefix, secret } => (prefix, Some(secret)),
            HeaderValue::Basic { user, secret } if user.contains(':') => {
                let _ = secret;
                return refuse("a user name has no colon");
            }
            HeaderValue::Basic { user, secret } => (user, Some(secret)),
        };
        if text.len() > MAX_VALUE_BYTES || !is_header_text(text) {
            return refuse("its value is longer than 8 KiB or not printable ASCII");
        }
        if let Some(secret) = secret
            && !grants.allows_secret(secret, url)
        {
            return Err(PlanError::Secret(cut(secret)));
        }
    }
    Ok(())
}

/// Whether text can be a header value: printable ASCII and tabs.
pub(crate) fn is_header_text(text: &str) -> bool {
    text.bytes()
        .all(|b| b == b'\t' || (0x20..0x7f).contains(&b))
}

/// Checks a signed request; the URL is replaced by its parsed form.
pub(crate) fn check_signed(
    grants: &Grants,
    request: &mut SignedRequest,
    operation: Operation,
    now: u64,
) -> Result<(), PlanError> {
    let methods: &[&str] = match operation {
        Operation::Put => &["PUT", "POST"],
        Operation::Get | Operation::Presign(_) => &["GET"],
        Operation::Head => &["HEAD"],
        Operation::Delete => &["DELETE"],
        Operation::Prepare => &["PUT", "POST", "MKCOL"],
    };
    if !methods.contains(&request.method.as_str()) {
        return Err(PlanError::Method {
            method: cut(&request.method),
            operation: operation.label(),
        });
    }
    let url = check_url(grants, &request.url)?;
    let headers = request.headers.iter().map(|(n, v)| (n.as_str(), v));
    check_headers(grants, &url, headers)?;
    if matches!(operation, Operation::Presign(_)) && !request.headers.is_empty() {
        return Err(PlanError::Header {
            name: request
                .headers
                .first()
                .map(|(name, _)| cut(name))
                .unwrap_or_default(),
            rule: "a link for a client carries no headers",
        });
    }
    if request.expires_at <= now {
        return Err(PlanError::Expired {
            expires_at: request.expires_at,
            now,
        });
    }
    check_statuses(request)?;
    request.url = url.into();
    Ok(())
}

fn check_statuses(request: &SignedRequest) -> Result<(), PlanError> {
    let lists = [&request.success, &request.exists, &request.missing];
    if lists.iter().any(|list| list.len() > MAX_STATUSES) {
        return Err(PlanError::Statuses("more than 16 statuses"));
    }
    if request.success.is_empty() || !request.success.iter().all(|s| (200..300).contains(s)) {
        return Err(PlanError::Statuses(
            "`success` is one or more of 200 to 299",
        ));
    }
    let mut failures = request.exists.iter().chain(&request.missing);
    if !failures.all(|s| (400..500).contains(s)) {
        return Err(PlanError::Statuses(
            "`exists` and `missing` are of 400 to 499",
        ));
    }
    if request.exists.iter().any(|s| request.missing.contains(s)) {
        return Err(PlanError::Statuses("`exists` and `missing` overlap"));
    }
    Ok(())
}

#[cfg(test)]
mod tests;
