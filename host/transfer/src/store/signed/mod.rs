//! Signed requests: plans that say, request by request, how a server is asked that no client of
//! ours speaks to (WebDAV, a raw repository, a signing gateway).
//!
//! The request is performed as planned, plus `content-length` (put) and `range`, `if-range` (get).
//! The server is not trusted: a whole body is hashed as it streams and its end is held back until
//! the digest matches. A part of an object is asked for only when the object was read whole and
//! found right in this process, under the same strong `ETag`; else the whole object is read,
//! hashed, and the part cut out of it.
//!
//! What bounds it: [`RemoteLimits`]; one frame and 64 KiB a body, two buffers an upload; a bounded
//! number of remembered tags.
//!
//! What it refuses: redirects, requests whose time is over, hosts and addresses outside the egress
//! policy. What may surprise: `put` cannot say whether what was there already is the same bytes;
//! it answers [`super::Put::Occupied`], and its caller reads.

mod answer;
mod upload;

#[cfg(test)]
mod tests;

use super::tag::{Tags, Version};
use super::{Expected, Put, RemoteLimits, Source};
use crate::body::{ArtifactBody, Check, Incoming, Pool, Remote, RemoteBody};
use crate::error::{Damage, Error};
use crate::fetch::{Fetcher, HostClass, Outgoing, Secret, attempt, header_map};
use crate::metric;
use answer::{Answer, Failed, judge};
use backon::{ExponentialBuilder, Retryable as _};
use http::header::{CONTENT_LENGTH, HeaderMap, HeaderValue, IF_RANGE, RANGE};
use http::{Method, StatusCode};
use http_body_util::BodyExt as _;
use opendepot_domain::placement::SignedRequest;
use opendepot_domain::seam::{BoxFuture, SeamError};
use opendepot_domain::{Kind, Operation, Sha256};
use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use upload::Upload;
use url::Url;

/// The metric label of this backend.
pub(crate) const BACKEND: &str = "http";

/// The first pause between two tries; it doubles up to [`MAX_PAUSE`].
const MIN_PAUSE: Duration = Duration::from_millis(250);
const MAX_PAUSE: Duration = Duration::from_secs(30);

/// Fills in the secrets of signed requests, at sending time.
pub trait SignedHeaders: Send + Sync {
    /// The request's headers with their secrets, once the plugin's grants allow them.
    fn fill<'a>(
        &'a self,
        request: &'a SignedRequest,
    ) -> BoxFuture<'a, Result<Vec<(String, Secret)>, SeamError>>;
}

/// Performs signed requests.
pub(super) struct SignedStore {
    fetcher: Fetcher,
    headers: Arc<dyn SignedHeaders>,
    limits: RemoteLimits,
    pool: Pool,
    tags: Tags,
}

/// A parsed request and what to call it.
struct Request<'a> {
    plan: &'a SignedRequest,
    method: Method,
    url: Url,
    attempt: String,
}

impl<'a> Request<'a> {
    fn new(plan: &'a SignedRequest) -> Result<Self, Error> {
        let refuse = |reason: &str| Error::invalid("perform a signed request", reason);
        let url = Url::parse(&plan.url).map_err(|_| refuse("its URL cannot be parsed"))?;
        let method =
            Method::from_bytes(plan.method.as_bytes()).map_err(|_| refuse("its method is none"))?;
        Ok(Self {
            attempt: attempt(&method, &url),
            plan,
            method,
            url,
        })
    }

    /// The object's name among the tags. A query is left out: it may carry a signature, which
    /// changes.
    fn key(&self, sha256: Sha256) -> Sha256 {
        let origin = self.url.origin().ascii_serialization();
        Tags::key(&self.plan.plugin, &origin, self.url.path(), sha256)
    }

    fn what(&self) -> String {
        format!("object `{}`", crate::egress::redacted(&self.url))
    }
}

impl SignedStore {
    pub(super) fn new(
        fetcher: Fetcher,
        headers: Arc<dyn SignedHeaders>,
        limits: RemoteLimits,
    ) -> Self {
        Self {
            fetcher,
            headers,
            limits,
            pool: Pool::default(),
            tags: Tags::default(),
        }
    }

    /// What must exist before a put; that it exists already is success.
    pub(super) async fn prepare(&self, plan: &SignedRequest) -> Result<(), Error> {
        let request = &Request::new(plan)?;
        let work = || async move {
            match self.ask(request, Operation::Prepare).await? {
                Answer::Done(_) | Answer::Exists => Ok(()),
                Answer::Missing => Err(Failed::lasting(Error::unavailable(
                    request.attempt.clone(),
                    "it answered that what it belongs to is missing",
                ))),
            }
        };
        self.sync(request, work).await
    }

    pub(super) async fn put(
        &self,
        plan: &SignedRequest,
        source: Source<'_>,
        expected: Expected,
    ) -> Result<Put, Error> {
        let request = &Request::new(plan)?;
        let work = || async move {
            let (upload, verdict) = Upload::open(source.path, expected, &self.pool).await?;
            let mut headers = HeaderMap::new();
            headers.insert(CONTENT_LENGTH, HeaderValue::from(expected.size));
            let body = Some(reqwest::Body::wrap(upload));
            let sent = self.send(request, headers, body).await;
            // Whatever the server made of it: it is the source that was wrong.
            if let Some(error) = verdict.take() {
                return Err(Failed::lasting(error));
            }
            match judge(plan, Operation::Put, &request.attempt, &request.url, sent?)? {
                Answer::Done(_) => Ok(Put::Created),
                Answer::Exists => Ok(Put::Occupied),
                Answer::Missing => Err(Failed::lasting(Error::unavailable(
                    request.attempt.clone(),
                    "it answered that the place to write to is missing",
                ))),
            }
        };
        self.sync(request, work).await
    }

    pub(super) async fn open_body(
        &self,
        plan: &SignedRequest,
        expected: Expected,
        bytes: Range<u64>,
    ) -> Result<ArtifactBody, Error> {
        let request = &Request::new(plan)?;
        let bytes = &bytes;
        let work = || self.open(request, expected, bytes.clone());
        let tries = work
            .retry(backoff(self.limits.num_read_retries))
            .when(Failed::is_passing);
        let body = tokio::time::timeout(self.limits.read_timeout, tries)
            .await
            .unwrap_or_else(|_| {
                let reason = "no answer came in time";
                Err(Failed::lasting(Error::unavailable(
                    &request.attempt,
                    reason,
                )))
            })?;
        Ok(ArtifactBody::remote(body))
    }

    /// One try to open a body.
    async fn open(
        &self,
        request: &Request<'_>,
        expected: Expected,
        bytes: Range<u64>,
    ) -> Result<RemoteBody, Failed> {
        let is_whole = bytes == (0..expected.size);
        let key = request.key(expected.sha256);
        let known = (!is_whole).then(|| self.tags.get(&key)).flatten();
        let mut headers = HeaderMap::new();
        if let Some(Version { tag, .. }) = &known {
            let range = format!("bytes={}-{}", bytes.start, bytes.end - 1);
            if let Ok(range) = HeaderValue::from_str(&range) {
                headers.insert(RANGE, range);
                headers.insert(IF_RANGE, tag.clone());
            }
        }
        let sent = self.send(request, headers, None).await?;
        let (plan, attempt, url) = (request.plan, &request.attempt, &request.url);
        let answer = judge(plan, Operation::Get, attempt, url, sent)?;
        let Answer::Done(response) = answer else {
            return Err(Failed::lasting(Error::NotFound {
                what: request.what(),
            }));
        };
        let is_part = response.status() == StatusCode::PARTIAL_CONTENT;
        let (announced, check) = if is_part {
            let is_asked = known.is_some()
                && known == Version::of(response.headers())
                && answer::content_range(response.headers())
                    == Some((bytes.clone(), expected.size));
            if !is_asked {
                // With the tag forgotten the next try asks for the whole.
                self.tags.forget(&key);
                let reason = "it answered with a part that was not asked for";
                let error = Error::unavailable(attempt, reason);
                return Err(if known.is_some() {
                    Failed::passing(error)
                } else {
                    Failed::lasting(error)
                });
            }
            (bytes.end - bytes.start, Check::Part)
        } else {
            let keeper = self.tags.keeper(key, Version::of(response.headers()));
            (expected.size, Check::whole(expected.sha256, keeper))
        };
        if answer::content_length(response.headers()).is_some_and(|len| len != announced) {
            self.tags.forget(&key);
            let error = metric::corrupt(BACKEND, request.what(), Damage::Size);
            return Err(Failed::lasting(error));
        }
        Ok(RemoteBody::new(Remote {
            body: Incoming::Http(response.into()),
            backend: BACKEND,
            what: request.what(),
            size: expected.size,
            bytes,
            check,
            idle_timeout: self.limits.idle_timeout,
        }))
    }

    /// The size that the server says; `None` when there is no object.
    pub(super) async fn head(&self, plan: &SignedRequest) -> Result<Option<u64>, Error> {
        let request = &Request::new(plan)?;
        let work = || async move {
            match self.ask(request, Operation::Head).await? {
                Answer::Done(response) => match answer::content_length(response.headers()) {
                    Some(size) => Ok(Some(size)),
                    None => Err(Failed::lasting(Error::unavailable(
                        &request.attempt,
                        "it answered without a `content-length`",
                    ))),
                },
                Answer::Missing | Answer::Exists => Ok(None),
            }
        };
        self.sync(request, work).await
    }

    /// Removes an object; one that is gone is removed.
    pub(super) async fn delete(&self, plan: &SignedRequest) -> Result<(), Error> {
        let request = &Request::new(plan)?;
        let work = || async move {
            match self.ask(request, Operation::Delete).await? {
                Answer::Done(_) | Answer::Missing => Ok(()),
                Answer::Exists => Err(Failed::lasting(Error::unavailable(
                    &request.attempt,
                    "it answered that there still is an object",
                ))),
            }
        };
        self.sync(request, work).await
    }

    /// Reads an object from its first to its last byte and compares the digest.
    pub(super) async fn verify(
        &self,
        plan: &SignedRequest,
        expected: Expected,
        progress: &(dyn Fn(u64) + Send + Sync),
    ) -> Result<(), Error> {
        let request = &Request::new(plan)?;
        let work = || async move {
            let mut body = self.open(request, expected, 0..expected.size).await?;
            let mut done = 0;
            while let Some(frame) = body.frame().await {
                // What broke off under way may do better the next time; damage will not.
                let frame = frame.map_err(|error| match error.kind() {
                    Kind::Unavailable => Failed::passing(error),
                    _ => Failed::lasting(error),
                })?;
                done += frame.data_ref().map_or(0, |bytes| bytes.len() as u64);
                progress(done);
            }
            Ok(())
        };
        self.sync(request, work).await
    }

    /// Tries again with growing pauses, within the time that background work may take.
    async fn sync<T, F>(&self, request: &Request<'_>, work: impl FnMut() -> F) -> Result<T, Error>
    where
        F: Future<Output = Result<T, Failed>>,
    {
        let tries = work
            .retry(backoff(self.limits.num_sync_retries))
            .when(Failed::is_passing);
        let outcome = tokio::time::timeout(self.limits.sync_timeout, tries).await;
        Ok(outcome.unwrap_or_else(|_| {
            let reason = "it takes too long";
            Err(Failed::lasting(Error::unavailable(
                &request.attempt,
                reason,
            )))
        })?)
    }

    /// Sends a request without a body, and reads its answer by the plan's lists.
    async fn ask(&self, request: &Request<'_>, operation: Operation) -> Result<Answer, Failed> {
        let sent = self.send(request, HeaderMap::new(), None);
        let sent = tokio::time::timeout(self.limits.idle_timeout, sent).await;
        let response = sent.unwrap_or_else(|_| {
            Err(Failed::passing(Error::unavailable(
                &request.attempt,
                "no answer came in time",
            )))
        })?;
        judge(
            request.plan,
            operation,
            &request.attempt,
            &request.url,
            response,
        )
    }

    async fn send(
        &self,
        request: &Request<'_>,
        own: HeaderMap,
        body: Option<reqwest::Body>,
    ) -> Result<reqwest::Response, Failed> {
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |elapsed| elapsed.as_secs());
        if request.plan.expires_at <= now {
            return Err(Failed::lasting(Error::unavailable(
                &request.attempt,
                "the time of its plan is over",
            )));
        }
        let filled = self.headers.fill(request.plan).await.map_err(|error| {
            Failed::lasting(match error.kind {
                Kind::Denied | Kind::Invalid => Error::Refused {
                    url: crate::egress::redacted(&request.url),
                    reason: error.message,
                },
                _ => Error::unavailable(&request.attempt, error.message),
            })
        })?;
        let mut headers = header_map(&filled).map_err(Failed::lasting)?;
        headers.extend(own);
        let outgoing = Outgoing {
            method: request.method.clone(),
            url: request.url.clone(),
            headers,
            body,
            host_class: HostClass::Plugin,
        };
        self.fetcher
            .send_once(outgoing, &request.attempt)
            .await
            .map_err(|error| match error.kind() {
                Kind::Unavailable => Failed::passing(error),
                _ => Failed::lasting(error),
            })
    }
}

fn backoff(num_retries: usize) -> ExponentialBuilder {
    ExponentialBuilder::default()
        .with_min_delay(MIN_PAUSE)
        .with_max_delay(MAX_PAUSE)
        .with_max_times(num_retries)
        .with_jitter()
}
