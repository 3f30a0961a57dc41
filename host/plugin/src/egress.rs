//! Requests of guests: checked against the grants here, sent by whoever the binary supplies.

use crate::grants::Grants;
use crate::plan::{self, PlanError};
use crate::secret::{self, SecretError};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use opendepot_domain::PluginId;
use opendepot_domain::placement::HeaderValue;
use opendepot_domain::seam::BoxFuture;
use std::fmt;
use std::path::Path;
use std::time::Duration;
use zeroize::Zeroizing;

/// The largest answer that a guest gets, in bytes.
const MAX_RESPONSE_BYTES: usize = 4 << 20;

/// Sends the requests of `http.send`. The implementation resolves the host, checks the address,
/// follows no redirect and reads at most `max_response_bytes`.
pub trait HttpSender: Send + Sync {
    /// Sends one request.
    fn send(&self, request: CheckedRequest) -> BoxFuture<'_, Result<HttpResponse, HttpError>>;
}

/// A request whose host, headers and secrets the plugin's grants cover.
#[derive(Debug)]
pub struct CheckedRequest {
    /// Who asks, for log and metrics.
    pub plugin: PluginId,
    /// An upper-case method.
    pub method: String,
    /// The URL in its parsed form.
    pub url: url::Url,
    /// Headers with secrets filled in.
    pub headers: Vec<(String, HeaderText)>,
    /// The body.
    pub body: Vec<u8>,
    /// Read no more than this; a longer answer is [`HttpError::TooLarge`].
    pub max_response_bytes: usize,
    /// When to give up.
    pub timeout: Duration,
}

/// A header value that may carry a secret: wiped when dropped, not shown by `Debug`.
#[derive(Clone)]
pub struct HeaderText(pub(crate) Zeroizing<String>);

impl HeaderText {
    /// The text itself; mark the header sensitive where it is sent.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for HeaderText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

/// An answer.
#[derive(Clone, Debug)]
pub struct HttpResponse {
    /// The status.
    pub status: u16,
    /// Headers, decoded leniently.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
}

/// Why there is no answer. Texts reach the guest, so they name no addresses of the inside.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HttpError {
    /// Policy forbids it.
    #[error("denied: {0}")]
    Denied(String),
    /// No answer in time.
    #[error("timeout")]
    Timeout,
    /// The answer is larger than allowed.
    #[error("too large")]
    TooLarge,
    /// No connection.
    #[error("unreachable: {0}")]
    Unreachable(String),
    /// Anything else.
    #[error("{0}")]
    Other(String),
}

/// A request as a guest states it.
pub(crate) struct Wanted {
    pub(crate) method: String,
    pub(crate) url: String,
    pub(crate) headers: Vec<(String, HeaderValue)>,
    pub(crate) body: Vec<u8>,
}

/// Why a request is not sent.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Refusal {
    #[error(transparent)]
    Plan(#[from] PlanError),
    #[error("secret: {0}")]
    Secret(#[from] SecretError),
}

const METHODS: &[&str] = &[
    "GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "PROPFIND", "MKCOL",
];

/// Checks a request and fills in its secrets. Blocking: reads secret files.
pub(crate) fn check(
    plugin: &PluginId,
    grants: &Grants,
    secrets_dir: Option<&Path>,
    wanted: Wanted,
    timeout: Duration,
) -> Result<CheckedRequest, Refusal> {
    if !METHODS.contains(&wanted.method.as_str()) {
        return Err(Refusal::Plan(PlanError::Method {
            method: crate::text::cut(&wanted.method, 40),
            operation: "http.send",
        }));
    }
    let url = plan::check_url(grants, &wanted.url)?;
    let headers = wanted.headers.iter().map(|(n, v)| (n.as_str(), v));
    plan::check_headers(grants, &url, headers)?;
    Ok(CheckedRequest {
        plugin: plugin.clone(),
        method: wanted.method,
        url,
        headers: fill_headers(secrets_dir, wanted.headers)?,
        body: wanted.body,
        max_response_bytes: MAX_RESPONSE_BYTES,
        timeout,
    })
}

/// Replaces secret names by values. The names must have been checked against the URL. Blocking.
pub(crate) fn fill_headers(
    secrets_dir: Option<&Path>,
    headers: Vec<(String, HeaderValue)>,
) -> Result<Vec<(String, HeaderText)>, SecretError> {
    headers
        .into_iter()
        .map(|(name, value)| {
            let text = match value {
                HeaderValue::Plain(text) => Zeroizing::new(text),
                HeaderValue::Secret { prefix, secret } => {
                    let secret = header_secret(secrets_dir, &secret)?;
                    Zeroizing::new(format!("{prefix}{}", *secret))
                }
                HeaderValue::Basic { user, secret } => {
                    let secret = header_secret(secrets_dir, &secret)?;
                    let pair = Zeroizing::new(format!("{user}:{}", *secret));
                    let encoded = Zeroizing::new(STANDARD.encode(pair.as_bytes()));
                    Zeroizing::new(format!("Basic {}", *encoded))
                }
            };
            Ok((name, HeaderText(text)))
        })
        .collect()
}

/// A secret as header text: one line of printable ASCII.
fn header_secret(dir: Option<&Path>, name: &str) -> Result<Zeroizing<String>, SecretError> {
    let content = secret::read(dir, name)?;
    let text = std::str::from_utf8(content.trim_ascii_end()).map_err(|_| SecretError::Malformed)?;
    if text.is_empty() || !plan::is_header_text(text) {
        return Err(SecretError::Malformed);
    }
    Ok(Zeroizing::new(text.to_owned()))
}
