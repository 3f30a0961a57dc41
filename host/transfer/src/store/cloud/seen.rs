//! What a server said last, so that a failure can be told in our own words: the client's texts hold
//! URLs and whatever the server wrote.

use crate::error::Error;
use crate::fetch::retry_after_seconds;
use http::{HeaderMap, StatusCode};
use std::cell::RefCell;
use std::time::SystemTime;
use url::Url;

/// Codes that stores answer with when the container is missing, not the object.
const NO_CONTAINER: &[&str] = &[
    "NoSuchBucket",
    "ContainerNotFound",
    "ContainerBeingDeleted",
    "ContainerDisabled",
];
/// Codes for a credential that is no longer good.
const STALE: &[&str] = &[
    "AuthenticationFailed",
    "ExpiredToken",
    "ExpiredTokenException",
    "InvalidAccessKeyId",
    "InvalidToken",
    "NotSignedUp",
    "SignatureDoesNotMatch",
    "TokenRefreshRequired",
];
/// Codes are short words; anything else is not one.
const MAX_CODE_BYTES: usize = 64;

/// The last answer, or why there was none.
#[derive(Debug, Default)]
pub(super) struct Seen {
    status: Option<StatusCode>,
    code: Option<String>,
    region: Option<String>,
    retry_after: Option<u64>,
    error: Option<Error>,
}

tokio::task_local! {
    static SEEN: RefCell<Seen>;
}

/// Remembers why a request was not answered.
pub(super) fn failed(error: Error) {
    let _ = SEEN.try_with(|seen| {
        *seen.borrow_mut() = Seen {
            error: Some(error),
            ..Seen::default()
        };
    });
}

/// Remembers an answer that is no object.
pub(super) fn answered(status: StatusCode, headers: &HeaderMap, body: &[u8]) {
    let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let code = header("x-ms-error-code").or_else(|| element(body, "Code"));
    let region = header("x-amz-bucket-region").or_else(|| element(body, "Region"));
    let word = |text: &str| {
        let is_word = (1..=MAX_CODE_BYTES).contains(&text.len())
            && text
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'));
        is_word.then(|| text.to_owned())
    };
    let seen = Seen {
        status: Some(status),
        code: code.and_then(word),
        region: region.and_then(word),
        retry_after: retry_after_seconds(status.as_u16(), headers, SystemTime::now()),
        error: None,
    };
    let _ = SEEN.try_with(|last| *last.borrow_mut() = seen);
}

/// The text of the first element of that name.
fn element<'a>(body: &'a [u8], name: &str) -> Option<&'a str> {
    let text = std::str::from_utf8(body).ok()?;
    let (_, rest) = text.split_once(&format!("<{name}>"))?;
    rest.split_once("</").map(|(inside, _)| inside)
}

/// A failed operation of a store.
#[derive(Debug)]
pub(super) struct Failure {
    pub(super) error: object_store::Error,
    seen: Seen,
}

/// Why an operation ended early.
#[derive(Debug)]
pub(super) enum Trouble {
    /// The store said so.
    Store(Failure),
    /// Anything else.
    Other(Error),
}

impl From<Failure> for Trouble {
    fn from(failure: Failure) -> Self {
        Self::Store(failure)
    }
}

impl From<Error> for Trouble {
    fn from(error: Error) -> Self {
        Self::Other(error)
    }
}

/// Runs an operation and keeps what the server said last.
pub(super) async fn watched<T>(
    work: impl Future<Output = object_store::Result<T>>,
) -> Result<T, Failure> {
    SEEN.scope(RefCell::default(), async {
        work.await.map_err(|error| Failure {
            error,
            seen: SEEN.with(RefCell::take),
        })
    })
    .await
}

impl Failure {
    /// Whether the server said that there is no such object, in a container that there is.
    pub(super) fn is_missing(&self) -> bool {
        matches!(self.error, object_store::Error::NotFound { .. }) && !self.is_without_container()
    }

    /// Whether the server said that a condition did not hold.
    pub(super) fn is_condition(&self) -> bool {
        let is_said = matches!(
            self.error,
            object_store::Error::AlreadyExists { .. }
                | object_store::Error::Precondition { .. }
                | object_store::Error::NotModified { .. }
        );
        // A container that is being deleted is a conflict too.
        is_said && !self.is_without_container()
    }

    /// Whether the server said that the object ends before what was asked for.
    pub(super) fn is_beyond_end(&self) -> bool {
        self.seen.status == Some(StatusCode::RANGE_NOT_SATISFIABLE)
    }

    /// Whether the server does not know the request at all.
    pub(super) fn is_unknown_request(&self) -> bool {
        matches!(
            self.error,
            object_store::Error::NotImplemented { .. } | object_store::Error::NotSupported { .. }
        ) || self.seen.status == Some(StatusCode::NOT_IMPLEMENTED)
    }

    /// Whether another credential may do better.
    pub(super) fn is_stale(&self) -> bool {
        let code = self.seen.code.as_deref();
        code.is_some_and(|code| STALE.contains(&code))
            || self.seen.status == Some(StatusCode::UNAUTHORIZED)
    }

    /// Whether the server said nothing but a status, where it would say more with a body.
    pub(super) fn is_mute(&self) -> bool {
        let status = self.seen.status.map_or(0, |status| status.as_u16());
        self.seen.code.is_none() && matches!(status, 400 | 403 | 404)
    }

    fn is_without_container(&self) -> bool {
        let code = self.seen.code.as_deref();
        code.is_some_and(|code| NO_CONTAINER.contains(&code))
    }

    /// The region that the store says it is in, to a request that was signed for another.
    pub(super) fn other_region(&self) -> Option<&str> {
        let status = self.seen.status?.as_u16();
        let is_redirected = matches!(status, 301 | 302 | 307 | 308 | 400);
        self.seen.region.as_deref().filter(|_| is_redirected)
    }

    /// In our own words.
    pub(super) fn into_error(self, attempt: &str, store: &str) -> Error {
        let is_without_container = self.is_without_container();
        let Seen {
            status,
            code,
            region,
            retry_after,
            error,
        } = self.seen;
        if let Some(error) = error {
            return error;
        }
        if let Some(retry_after_seconds) = retry_after {
            return Error::RateLimited {
                url: store.to_owned(),
                retry_after_seconds,
            };
        }
        if is_without_container {
            return Error::unavailable(attempt, format!("there is no `{store}`"));
        }
        let Some(status) = status else {
            let reason = match self.error {
                object_store::Error::NotFound { .. } => "it is not there",
                _ => "the store's client failed before anything was answered",
            };
            return Error::unavailable(attempt, reason);
        };
        let code = code.map(|code| format!(" ({code})")).unwrap_or_default();
        let said = format!("it answered {}{code}", status.as_u16());
        match status.as_u16() {
            401 | 403 => {
                tracing::warn!(storage.store = store, "cannot {attempt}: {said}");
                Error::Denied {
                    attempt: attempt.to_owned(),
                }
            }
            301 | 302 | 307 | 308 | 400 if region.is_some() => {
                let region = region.unwrap_or_default();
                let reason = format!("{said}: the store is in region `{region}`");
                Error::unavailable(attempt, reason)
            }
            // Not when it is an upload, or a token, that is missing.
            404 if matches!(self.error, object_store::Error::NotFound { .. }) => Error::NotFound {
                what: attempt.to_owned(),
            },
            _ => Error::unavailable(attempt, said),
        }
    }
}

/// A URL to which no path can be added.
#[derive(Debug, thiserror::Error)]
#[error("the endpoint takes no path")]
pub(super) struct NoBase;

/// An endpoint as an absolute URL without path, query and user information.
pub(super) fn endpoint(text: &str) -> Result<Url, Error> {
    let refuse = |reason: &str| Error::invalid(format!("use the endpoint `{text}`"), reason);
    let url = Url::parse(text).map_err(|_| refuse("it is not an absolute URL"))?;
    if !matches!(url.scheme(), "http" | "https") || !url.has_host() {
        return Err(refuse("it is neither an https nor an http URL"));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(refuse("it holds user information"));
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err(refuse("it holds a query or a fragment"));
    }
    Ok(url)
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn failure(status: u16, code: &str) -> Failure {
        let work = async {
            let body = format!("<Error><Code>{code}</Code><Message>secret</Message></Error>");
            let status = StatusCode::from_u16(status).unwrap();
            answered(status, &HeaderMap::new(), body.as_bytes());
            Err::<(), _>(object_store::Error::NotFound {
                path: "k".to_owned(),
                source: "x".into(),
            })
        };
        watched(work).await.unwrap_err()
    }

    #[tokio::test]
    async fn a_missing_bucket_is_no_missing_object() {
        let lost = failure(404, "NoSuchBucket").await;
        assert!(!lost.is_missing());
        let error = lost.into_error("read `k`", "s3://depot");
        assert_eq!(error.kind(), opendepot_domain::Kind::Unavailable);
        assert!(failure(404, "NoSuchKey").await.is_missing());
    }

    #[tokio::test]
    async fn nothing_of_a_servers_text_is_repeated() {
        for (status, code) in [(500, "InternalError"), (403, "AccessDenied"), (400, "<b>")] {
            let error = failure(status, code).await;
            let text = error.into_error("read `k`", "s3://depot").to_string();
            assert!(!text.contains("secret") && !text.contains('<'), "{text}");
        }
        assert!(failure(400, "ExpiredToken").await.is_stale());
    }
}
