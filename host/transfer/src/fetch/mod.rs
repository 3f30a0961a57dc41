//! The one HTTP client through which anything is fetched.

mod answer;
mod download;
mod exchange;
mod rate;
mod request;
mod resolver;
mod tls;

#[cfg(test)]
mod tests;

pub use answer::Fetched;
pub use download::Downloaded;
pub use exchange::ExchangeRequest;
pub(crate) use exchange::{Outgoing, answered, attempt, header_map};
pub(crate) use rate::retry_after_seconds;
pub use request::{Credential, FetchRequest, HostClass, Secret};
pub use resolver::{Lookup, LookupFuture, SystemLookup};

use crate::egress::{EgressPolicy, Grant, redacted};
use crate::error::Error;
use crate::metric;
use bytes::BytesMut;
use http::StatusCode;
use http::header::{ACCEPT, ACCEPT_ENCODING, CONTENT_ENCODING, HeaderValue, LOCATION};
use resolver::{AddressRefused, GuardedResolver};
use std::error::Error as StdError;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;
use url::Url;

/// Error bodies are read this far.
const MAX_ERROR_BODY_BYTES: u64 = 64 << 10;
const MAX_HEADER_LIST_BYTES: u32 = 32 << 10;
const MAX_HEADERS: usize = 100;
const POOL_IDLE_TIMEOUT: Duration = Duration::from_secs(30);
const POOL_IDLE_PER_HOST: usize = 4;

/// Limits of one fetcher (reliability.md 2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FetchLimits {
    /// Resolving, connecting and the TLS handshake of one hop.
    pub connect_timeout: Duration,
    /// A whole [`Fetcher::get_bytes`], redirects included.
    pub metadata_timeout: Duration,
    /// Waiting for the head or the next bytes of a download.
    pub idle_timeout: Duration,
    /// A whole [`Fetcher::download`], redirects included.
    pub download_timeout: Duration,
    /// Redirects followed.
    pub max_redirects: usize,
}

impl FetchLimits {
    /// The cap on a metadata document that callers pass to [`Fetcher::get_bytes`] by default.
    pub const METADATA_BYTES: u64 = 8 << 20;
}

impl Default for FetchLimits {
    fn default() -> Self {
        Self {
            connect_timeout: Duration::from_secs(5),
            metadata_timeout: Duration::from_secs(30),
            idle_timeout: Duration::from_secs(30),
            download_timeout: Duration::from_secs(30 * 60),
            max_redirects: 5,
        }
    }
}

/// Fetches for one purpose, under its policy. Cheap to clone; keeps connections.
#[derive(Clone)]
pub struct Fetcher(Arc<Inner>);

struct Inner {
    policy: Arc<EgressPolicy>,
    limits: FetchLimits,
    /// For hosts of the allow-list.
    listed: reqwest::Client,
    /// For configured endpoints, which may be private. Two clients, so that a connection made
    /// under one rule is never used under the other.
    endpoint: reqwest::Client,
}

impl fmt::Debug for Fetcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fetcher")
            .field("policy", &self.0.policy)
            .field("limits", &self.0.limits)
            .finish_non_exhaustive()
    }
}

impl Fetcher {
    /// Builds a fetcher that resolves names with the system's resolver.
    ///
    /// # Errors
    /// [`Error::Settings`] when the CA file cannot be used, [`Error::Internal`].
    pub fn new(policy: EgressPolicy, limits: FetchLimits) -> Result<Self, Error> {
        Self::with_lookup(policy, limits, Arc::new(SystemLookup))
    }

    /// As [`Self::new`] with another way to resolve names; every address that it gives still
    /// passes the policy.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub fn with_lookup(
        policy: EgressPolicy,
        limits: FetchLimits,
        lookup: Arc<dyn Lookup>,
    ) -> Result<Self, Error> {
        let tls = tls::config(&policy)?;
        let policy = Arc::new(policy);
        let client = |grant| {
            let resolver = GuardedResolver::new(Arc::clone(&policy), grant, Arc::clone(&lookup));
            client(tls.clone(), resolver, &limits)
        };
        Ok(Self(Arc::new(Inner {
            listed: client(Grant::Listed)?,
            endpoint: client(Grant::Endpoint)?,
            limits,
            policy,
        })))
    }

    /// The policy that every hop is checked against.
    #[must_use]
    pub fn policy(&self) -> &EgressPolicy {
        &self.0.policy
    }

    /// Fetches a small document, whatever its status. Redirects are followed.
    ///
    /// # Errors
    /// [`Error::Refused`], [`Error::TooLarge`], [`Error::Unavailable`].
    pub async fn get_bytes(
        &self,
        request: &FetchRequest,
        max_bytes: u64,
    ) -> Result<Fetched, Error> {
        let limit = self.0.limits.metadata_timeout;
        within(
            limit,
            &request.url,
            self.get_bytes_untimed(request, max_bytes),
        )
        .await
    }

    async fn get_bytes_untimed(
        &self,
        request: &FetchRequest,
        max_bytes: u64,
    ) -> Result<Fetched, Error> {
        let (mut response, final_url) = self.follow(request).await?;
        let status = response.status();
        let headers = response.headers().clone();
        // Identity was asked for; anything else would be taken for the document.
        if let Some(encoding) = headers.get(CONTENT_ENCODING)
            && encoding != "identity"
        {
            return Err(Error::unavailable(
                fetch(&final_url),
                "it answered with a content encoding that was not asked for",
            ));
        }
        let is_error = !status.is_success();
        let limit = if is_error {
            max_bytes.min(MAX_ERROR_BODY_BYTES)
        } else {
            max_bytes
        };
        let too_large = || Error::TooLarge {
            url: redacted(&final_url),
            limit_bytes: limit,
        };
        if !is_error && response.content_length().is_some_and(|len| len > limit) {
            return Err(too_large());
        }
        let mut body = BytesMut::new();
        while let Some(chunk) = response
            .chunk()
            .await
            .map_err(|error| transport(&final_url, error))?
        {
            let room = usize::try_from(limit)
                .unwrap_or(usize::MAX)
                .saturating_sub(body.len());
            if chunk.len() > room {
                if !is_error {
                    return Err(too_large());
                }
                body.extend_from_slice(chunk.get(..room).unwrap_or_default());
                break;
            }
            body.extend_from_slice(&chunk);
        }
        Ok(Fetched {
            status: status.as_u16(),
            headers,
            body: body.freeze(),
            final_url,
        })
    }

    /// Sends the request and follows redirects; each hop passes the policy anew.
    async fn follow(&self, request: &FetchRequest) -> Result<(reqwest::Response, Url), Error> {
        let mut url = request.url.clone();
        url.set_fragment(None);
        let mut credential = request.credential.as_ref();
        let mut num_redirects = 0;
        loop {
            let class = request.host_class;
            let grant = self.0.policy.grant(&url);
            let client = match grant.inspect_err(|_| metric::refused(class))? {
                Grant::Listed => &self.0.listed,
                Grant::Endpoint => &self.0.endpoint,
            };
            // Once it was withheld it stays away, even if a later hop leads back.
            credential = credential.filter(|credential| credential.is_for(&url));
            let mut outgoing = client
                .get(url.clone())
                .header(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
            if let Some(accept) = &request.accept {
                outgoing = outgoing.header(ACCEPT, accept);
            }
            if let Some(credential) = credential {
                outgoing = outgoing.header(credential.header.clone(), credential.value()?);
            }
            let sent = tokio::time::timeout(self.0.limits.idle_timeout, outgoing.send()).await;
            metric::asked(
                class,
                sent.as_ref().ok().and_then(|sent| sent.as_ref().ok()),
            );
            let response = sent
                .map_err(|_| {
                    Error::unavailable(fetch(&url), "no answer came within the idle timeout")
                })?
                .map_err(|error| transport(&url, error))?;
            let Some(next) = redirect(&response, &url)? else {
                return Ok((response, url));
            };
            num_redirects += 1;
            if num_redirects > self.0.limits.max_redirects {
                return Err(Error::unavailable(
                    fetch(&request.url),
                    "it redirects too often",
                ));
            }
            if url.scheme() == "https" && next.scheme() != "https" {
                return Err(Error::Refused {
                    url: redacted(&next),
                    reason: "a redirect leads from https to another scheme".to_owned(),
                });
            }
            url = next;
        }
    }
}

fn client(
    tls: rustls::ClientConfig,
    resolver: GuardedResolver,
    limits: &FetchLimits,
) -> Result<reqwest::Client, Error> {
    reqwest::Client::builder()
        .tls_backend_preconfigured(tls)
        .dns_resolver(Arc::new(resolver))
        .no_proxy()
        .no_gzip()
        .redirect(reqwest::redirect::Policy::none())
        .referer(false)
        .connect_timeout(limits.connect_timeout)
        .pool_idle_timeout(POOL_IDLE_TIMEOUT)
        .pool_max_idle_per_host(POOL_IDLE_PER_HOST)
        .http1_max_headers(MAX_HEADERS)
        .http2_max_header_list_size(MAX_HEADER_LIST_BYTES)
        .user_agent(concat!("opendepot/", env!("CARGO_PKG_VERSION")))
        .build()
        .map_err(|error| Error::Internal {
            attempt: "build an HTTP client".to_owned(),
            reason: error.to_string(),
        })
}

/// The target of a redirect, when the answer is one.
fn redirect(response: &reqwest::Response, url: &Url) -> Result<Option<Url>, Error> {
    let is_redirect = matches!(
        response.status(),
        StatusCode::MOVED_PERMANENTLY
            | StatusCode::FOUND
            | StatusCode::SEE_OTHER
            | StatusCode::TEMPORARY_REDIRECT
            | StatusCode::PERMANENT_REDIRECT
    );
    if !is_redirect {
        return Ok(None);
    }
    let target = response
        .headers()
        .get(LOCATION)
        .and_then(|value| value.to_str().ok())
        .and_then(|location| url.join(location).ok());
    let Some(mut target) = target else {
        return Err(Error::unavailable(
            fetch(url),
            "it redirects without a usable location",
        ));
    };
    target.set_fragment(None);
    Ok(Some(target))
}

fn fetch(url: &Url) -> String {
    format!("fetch `{}`", redacted(url))
}

async fn within<T>(
    limit: Duration,
    url: &Url,
    work: impl Future<Output = Result<T, Error>>,
) -> Result<T, Error> {
    tokio::time::timeout(limit, work).await.unwrap_or_else(|_| {
        Err(Error::unavailable(
            fetch(url),
            format!("it takes longer than {} seconds", limit.as_secs_f32()),
        ))
    })
}

/// Maps a failed exchange. The client's own text may hold the URL with its query, so only the
/// innermost cause is shown.
fn transport(url: &Url, error: reqwest::Error) -> Error {
    failed(fetch(url), url, error)
}

/// As [`transport`], for any attempt.
fn failed(attempt: String, url: &Url, error: reqwest::Error) -> Error {
    let error = error.without_url();
    let mut cause: &(dyn StdError + 'static) = &error;
    loop {
        if let Some(refused) = cause.downcast_ref::<AddressRefused>() {
            return Error::Refused {
                url: redacted(url),
                reason: refused.to_string(),
            };
        }
        match cause.source() {
            Some(inner) => cause = inner,
            None => break,
        }
    }
    let reason = if error.is_timeout() {
        "it took too long to connect".to_owned()
    } else if error.is_connect() {
        format!("cannot connect: {cause}")
    } else {
        format!("the exchange failed: {cause}")
    };
    Error::unavailable(attempt, reason)
}
