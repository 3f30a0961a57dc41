//! One download: a link to the store, or the answer's headers, its range and conditions, and a body
//! that keeps its permit to its end.

use crate::documents;
use crate::error::ApiError;
use crate::instrument::current_request_id;
use crate::metric::{self, Mode};
use crate::range::{Asked, asked};
use crate::server::IsDownload;
use crate::state::{ApiState, Damage};
use axum::body::Body;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use http_body::{Frame, SizeHint};
use opendepot_actors::registry::plan_key;
use opendepot_domain::{
    ArtifactId, ArtifactKind, ArtifactRecord, Kind, Operation, Presign, Transfer,
};
use opendepot_transfer::{ArtifactBody, ByteRange, Expected};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::sync::OwnedSemaphorePermit;

/// Bytes are named by their digest, so a client may keep them; a shared cache may not.
const IMMUTABLE: &str = "private, max-age=31536000, immutable";

/// Whose bytes are downloaded.
pub(crate) struct Subject<'a> {
    pub(crate) kind: ArtifactKind,
    pub(crate) id: &'a ArtifactId,
    pub(crate) object_name: &'a str,
}

impl Subject<'_> {
    fn damage(&self, kind: Kind) -> Option<Damage> {
        matches!(kind, Kind::Corrupt | Kind::NotFound).then(|| Damage {
            namespace: self.id.namespace.to_string(),
            object_name: self.object_name.to_owned(),
            is_missing: kind == Kind::NotFound,
        })
    }
}

/// One download, allowed already.
pub(crate) struct Download<'a> {
    pub(crate) state: &'a ApiState,
    pub(crate) subject: Subject<'a>,
    pub(crate) record: &'a ArtifactRecord,
    /// Whether the client gets a link to the store.
    pub(crate) presign: Option<Presign>,
    /// The name to save it under.
    pub(crate) attachment: Option<&'a str>,
}

impl Download<'_> {
    pub(crate) async fn answer<F, P>(
        self,
        method: &Method,
        headers: &HeaderMap,
        plan: P,
    ) -> Result<Response, ApiError>
    where
        F: Future<Output = Result<Arc<Transfer>, Arc<opendepot_actors::Error>>>,
        P: Fn(Operation) -> F,
    {
        let record = self.record;
        let etag = format!("\"{}\"", record.sha256);
        if !is_matched(headers, &etag) {
            return Err(ApiError::new(
                StatusCode::PRECONDITION_FAILED,
                "what is published has another tag than `If-Match` asks for",
            ));
        }
        if is_unmodified(headers, &etag) {
            let mut response = StatusCode::NOT_MODIFIED.into_response();
            insert(response.headers_mut(), header::ETAG, &etag);
            cacheable(response.headers_mut());
            return Ok(response);
        }
        // A link is for reading alone: what is asked about the bytes is answered here.
        if let Some(presign) = self.presign.filter(|_| method == Method::GET)
            && let Some(redirect) = self.redirect(&plan, presign).await?
        {
            return Ok(redirect);
        }
        // Range is defined for GET alone (RFC 9110 section 14.2).
        let range = if method == Method::GET {
            asked(headers, &etag, record.size)
        } else {
            Asked::Whole
        };
        let part = match range {
            Asked::Whole => None,
            Asked::Part { start, end } => Some(ByteRange {
                start,
                end_inclusive: end,
            }),
            Asked::Unsatisfiable => {
                let error = ApiError::new(
                    StatusCode::RANGE_NOT_SATISFIABLE,
                    "the range is outside the body",
                );
                let mut response = error.into_response();
                insert(
                    response.headers_mut(),
                    header::CONTENT_RANGE,
                    &format!("bytes */{}", record.size),
                );
                return Ok(response);
            }
        };
        let mut response = if method == Method::HEAD {
            Response::new(Body::empty())
        } else {
            let mut response = Response::new(self.body(plan, part).await?);
            response.extensions_mut().insert(IsDownload);
            response
        };
        let length = part.map_or(record.size, |part| part.end_inclusive - part.start + 1);
        let out = response.headers_mut();
        insert(out, header::CONTENT_TYPE, &record.media_type);
        insert(out, header::CONTENT_LENGTH, &length.to_string());
        insert(out, header::ETAG, &etag);
        out.insert(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
        cacheable(out);
        out.insert(
            header::X_CONTENT_TYPE_OPTIONS,
            HeaderValue::from_static("nosniff"),
        );
        if let Some(name) = self.attachment {
            insert(
                out,
                header::CONTENT_DISPOSITION,
                &format!("attachment; filename=\"{name}\""),
            );
        }
        if let Some(ByteRange {
            start,
            end_inclusive: end,
        }) = part
        {
            insert(
                out,
                header::CONTENT_RANGE,
                &format!("bytes {start}-{end}/{}", record.size),
            );
            *response.status_mut() = StatusCode::PARTIAL_CONTENT;
        }
        Ok(response)
    }

    /// A redirect to the store; nothing when no link can be made and the bytes are to be proxied.
    /// The store answers ranges of what it has.
    async fn redirect<F, P>(&self, plan: &P, presign: Presign) -> Result<Option<Response>, ApiError>
    where
        F: Future<Output = Result<Arc<Transfer>, Arc<opendepot_actors::Error>>>,
        P: Fn(Operation) -> F,
    {
        let _permit = self.state.metadata_permit()?;
        let ttl = Duration::from_secs(presign.ttl_seconds.into());
        let operation = Operation::Presign(presign.ttl_seconds);
        let key = plan_key(self.record, operation);
        if let Some(link) = self.state.links().get(&key, ttl) {
            return Ok(Some(self.linked(link)));
        }
        let link = async {
            let plan = plan(operation).await;
            let plan = plan.map_err(|error| (error.kind(), error.to_string()))?;
            let link = self.state.options().stores.presign(&plan, ttl).await;
            let link = link.map_err(|error| (error.kind(), error.to_string()))?;
            HeaderValue::from_str(link.as_str())
                .map_err(|_| (Kind::Internal, "it cannot be a header".to_owned()))
        };
        let refused = match link.await {
            Ok(link) => {
                self.state.links().insert(key, link.clone());
                return Ok(Some(self.linked(link)));
            }
            Err(refused) => refused,
        };
        let (kind, message) = refused;
        tracing::warn!(
            request_id = %current_request_id(),
            artifact.sha256 = %self.record.sha256,
            error.kind = kind.label(),
            "cannot make a link to {}: {message}", self.subject.id
        );
        if presign.falls_back {
            return Ok(None);
        }
        Err(ApiError::new(
            StatusCode::BAD_GATEWAY,
            "failed to generate a pre-signed link to the storage, and bytes are not to be proxied \
             (`storageConfig.presign.fallbackToProxy` is false)",
        ))
    }

    fn linked(&self, link: HeaderValue) -> Response {
        let mut response = StatusCode::TEMPORARY_REDIRECT.into_response();
        let out = response.headers_mut();
        out.insert(header::LOCATION, link);
        out.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        documents::no_referrer(out);
        let metrics = self.state.metrics();
        let linked = metrics.bytes(self.subject.kind, &self.record.store, Mode::Presign);
        linked.increment(self.record.size);
        response
    }

    /// The bytes, once there is a permit for them.
    async fn body<F, P>(&self, plan: P, part: Option<ByteRange>) -> Result<Body, ApiError>
    where
        F: Future<Output = Result<Arc<Transfer>, Arc<opendepot_actors::Error>>>,
        P: Fn(Operation) -> F,
    {
        let permit = self.state.download_permit().await?;
        let plan = plan(Operation::Get)
            .await
            .map_err(|error| self.refuse(error.kind(), &error.to_string()))?;
        let expected = Expected {
            size: self.record.size,
            sha256: self.record.sha256,
        };
        let opened = self
            .state
            .options()
            .stores
            .open_body(&plan, expected, part)
            .await;
        let body = opened.map_err(|error| self.refuse(error.kind(), &error.to_string()))?;
        Ok(Body::new(PermittedBody {
            body,
            sent: self
                .state
                .metrics()
                .bytes(self.subject.kind, &self.record.store, Mode::Proxy),
            watch: Watch {
                state: self.state.clone(),
                request_id: current_request_id(),
                damage: self.subject.damage(Kind::Corrupt),
            },
            _permit: permit,
        }))
    }

    fn refuse(&self, kind: Kind, message: &str) -> ApiError {
        tracing::error!(
            request_id = %current_request_id(),
            artifact.sha256 = %self.record.sha256,
            artifact.key = %self.record.key,
            error.kind = kind.label(),
            "cannot serve {}: {message}", self.subject.id
        );
        if let Some(damage) = self.subject.damage(kind) {
            self.state.report(damage);
        }
        // The client named a published artifact: whatever the store holds against us is not its fault.
        ApiError::of_kind(match kind {
            Kind::NotFound => Kind::Corrupt,
            Kind::Denied | Kind::Unauthenticated => Kind::Unavailable,
            Kind::Invalid | Kind::Conflict => Kind::Internal,
            ours => ours,
        })
    }
}

/// `If-Match`, compared strongly; true where there is none.
fn is_matched(headers: &HeaderMap, etag: &str) -> bool {
    !headers.contains_key(header::IF_MATCH)
        || tags(headers, &header::IF_MATCH).any(|tag| tag == "*" || tag == etag)
}

/// `If-None-Match`, compared weakly.
fn is_unmodified(headers: &HeaderMap, etag: &str) -> bool {
    tags(headers, &header::IF_NONE_MATCH)
        .any(|tag| tag == "*" || tag.strip_prefix("W/").unwrap_or(tag) == etag)
}

/// The entity tags of all lines of a conditional header.
fn tags<'a>(headers: &'a HeaderMap, name: &header::HeaderName) -> impl Iterator<Item = &'a str> {
    headers
        .get_all(name)
        .into_iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(str::trim)
}

/// A shared cache may not keep it: with the same link another caller may get another answer.
fn cacheable(headers: &mut HeaderMap) {
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static(IMMUTABLE));
    headers.insert(header::VARY, HeaderValue::from_static("Authorization"));
}

fn insert(headers: &mut HeaderMap, name: header::HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(name, value);
    }
}

/// A body that keeps its download permit to its end, and counts what it sent.
struct PermittedBody {
    body: ArtifactBody,
    sent: metrics::Counter,
    watch: Watch,
    _permit: OwnedSemaphorePermit,
}

/// Whom to tell when the bytes turn out to be others.
struct Watch {
    state: ApiState,
    /// Bodies are sent after the request's own task has ended.
    request_id: String,
    damage: Option<Damage>,
}

impl http_body::Body for PermittedBody {
    type Data = Bytes;
    type Error = opendepot_transfer::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let polled = Pin::new(&mut self.body).poll_frame(context);
        match &polled {
            Poll::Ready(Some(Ok(frame))) => {
                if let Some(data) = frame.data_ref() {
                    self.sent.increment(data.len() as u64);
                }
            }
            Poll::Ready(Some(Err(error))) => {
                let cause = match error.kind() {
                    Kind::Corrupt => "corrupt",
                    _ => "storage",
                };
                metric::aborted(cause).increment(1);
                tracing::error!(
                    request_id = %self.watch.request_id,
                    error.kind = error.kind().label(),
                    "download broken off: {error}"
                );
                if error.kind() == Kind::Corrupt
                    && let Some(damage) = self.watch.damage.take()
                {
                    self.watch.state.report(damage);
                }
            }
            _ => {}
        }
        polled
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }
}
