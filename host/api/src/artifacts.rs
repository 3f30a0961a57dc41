//! The bytes: module archives and provider packages, under a capability or a credential.

use crate::access::unix_now;
use crate::error::ApiError;
use crate::grammar::{Address, ArtifactQuery};
use crate::modules::DOWNLOAD_BASE;
use crate::providers::{authorize_bytes, check_alive, invalid_link, refused, target, version};
use crate::range::{Asked, asked};
use crate::routes::Peer;
use crate::state::{ApiState, Damage};
use axum::body::Body;
use axum::extract::{OriginalUri, RawQuery, State};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use http_body::{Frame, SizeHint};
use opendepot_actors::registry::Catalog;
use opendepot_domain::{
    ArtifactId, ArtifactKind, ArtifactRecord, Capability, Kind, Platform, Purpose, Sha256, Target,
    Transfer,
};
use opendepot_transfer::{ArtifactBody, ByteRange, Expected};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use tokio::sync::OwnedSemaphorePermit;

/// Bytes are named by their digest, so a client may keep them; a shared cache may not.
const IMMUTABLE: &str = "private, max-age=31536000, immutable";

pub(crate) async fn module(
    State(state): State<ApiState>,
    Peer(peer): Peer,
    method: Method,
    OriginalUri(uri): OriginalUri,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let query = ArtifactQuery::parse(uri.query())?;
    // The raw path: coordinates are compared with records as they were emitted, never decoded.
    let path = uri.path().strip_prefix(DOWNLOAD_BASE).unwrap_or_default();
    check_backend_path(&state, path)?;
    let catalog = state.registry().catalog_full();
    let published = catalog.module_by_backend_path(path);

    if query.has_capability() {
        let (expires, text) = query.capability()?;
        let verify = |id: &ArtifactId, sha256: &Sha256| {
            let capability = Capability {
                purpose: Purpose::Module,
                id,
                release: "",
                sha256,
                expires,
            };
            state.options().artifact_keys.verify(&capability, text)
        };
        match published {
            Some(version) if verify(&version.id, &version.record.sha256) => check_alive(expires)?,
            None => return Err(gone_module(&catalog, path, expires, verify)),
            Some(_) => return Err(invalid_link()),
        }
    } else {
        match published {
            Some(version) => {
                authorize_bytes(&state, &headers, peer, &module_target(&version.id)).await?
            }
            // Who may not download anything learns nothing about what is there.
            None if !state.access().is_anonymous() => {
                crate::routes::Caller::verify(&state, &headers, peer).await?;
                return Err(ApiError::forbidden());
            }
            None => {
                return Err(ApiError::not_found(
                    "no published module has this download path",
                ));
            }
        }
    }
    let version = published.ok_or_else(invalid_link)?;
    check_file_checksum(&query, &version.record)?;
    let permit = state.download_permit().await?;
    let plan = || state.registry().plan_module(version, unix_now());
    let subject = Subject {
        kind: ArtifactKind::Module,
        id: &version.id,
        object_name: &version.object_name,
    };
    let transfer = Download {
        state: &state,
        subject,
        record: &version.record,
        permit,
    };
    transfer.answer(&method, &headers, plan, None).await
}

pub(crate) async fn package(
    State(state): State<ApiState>,
    Peer(peer): Peer,
    method: Method,
    mut address: Address,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let query = ArtifactQuery::parse(query.as_deref())?;
    address.platform = match (&query.os, &query.arch) {
        (Some(os), Some(arch)) => Some(Platform::new(os, arch)?),
        (None, None) => None,
        _ => return Err(ApiError::bad_request("`os` and `arch` go together")),
    };
    let catalog = state.registry().catalog_full();
    let is_authorized = if query.has_capability() {
        false
    } else {
        authorize_bytes(&state, &headers, peer, &target(&address)).await?;
        true
    };
    let found = version(&catalog, &address);
    if address.platform.is_none() {
        match &found {
            Ok(version) => address.platform = Some(only_platform(version)?),
            Err(error) if is_authorized => return Err(error.clone()),
            Err(_) => return Err(invalid_link()),
        }
    }
    let platform = address.platform()?.clone();
    let mut releases = found
        .as_ref()
        .map(|version| version.releases.as_slice())
        .unwrap_or_default()
        .iter();
    let package = if is_authorized {
        let version = found.clone()?;
        releases
            .next()
            .and_then(|release| release.package(platform.os(), platform.arch()))
            .ok_or_else(|| {
                let (namespace, name, wanted) =
                    (&address.namespace, &address.name, &version.version);
                ApiError::not_found(format!(
                    "provider `{namespace}/{name}` `{wanted}` has no package for `{platform}`"
                ))
            })?
    } else {
        let (expires, text) = query.capability()?;
        let verify = |id: &ArtifactId, release: &str, sha256: &Sha256| {
            let capability = Capability {
                purpose: Purpose::Archive,
                id,
                release,
                sha256,
                expires,
            };
            state.options().artifact_keys.verify(&capability, text)
        };
        let opened = releases.find_map(|release| {
            release
                .package(platform.os(), platform.arch())
                .filter(|package| verify(&package.id, &release.id, &package.record.sha256))
        });
        let Some(package) = opened else {
            let key_digest = |id: &ArtifactId, release: &str| {
                catalog_gone_digest(&catalog, &address)
                    .is_some_and(|sha256| verify(id, release, &sha256))
            };
            return Err(refused(&state, &catalog, &address, expires, key_digest));
        };
        check_alive(expires)?;
        package
    };
    check_file_checksum(&query, &package.record)?;
    let permit = state.download_permit().await?;
    let plan = || state.registry().plan_package(package, unix_now());
    let subject = Subject {
        kind: ArtifactKind::Provider,
        id: &package.id,
        object_name: &package.object_name,
    };
    let transfer = Download {
        state: &state,
        subject,
        record: &package.record,
        permit,
    };
    transfer
        .answer(&method, &headers, plan, Some(&package.file_name))
        .await
}

fn catalog_gone_digest(catalog: &Catalog, address: &Address) -> Option<Sha256> {
    let platform = address.platform.as_ref()?;
    let key = opendepot_actors::registry::package_key(
        address.namespace.as_str(),
        address.name.as_str(),
        address.version.as_ref()?,
        platform.os(),
        platform.arch(),
    );
    catalog.gone(&key).map(|gone| gone.sha256)
}

fn gone_module(
    catalog: &Catalog,
    path: &str,
    expires: u64,
    verify: impl Fn(&ArtifactId, &Sha256) -> bool,
) -> ApiError {
    match catalog.gone(path) {
        Some(gone) if expires > unix_now() && verify(&gone.id, &gone.sha256) => ApiError::new(
            StatusCode::GONE,
            "this module version is no longer published",
        ),
        _ => invalid_link(),
    }
}

/// A filesystem directory outside the mount is 403 in anonymous mode, as in the original
/// (OD-1.5). Nothing is read either way: only published records are served.
fn check_backend_path(state: &ApiState, path: &str) -> Result<(), ApiError> {
    use base64::Engine as _;
    let Some(rest) = path.strip_prefix("fileSystem/") else {
        return Ok(());
    };
    let encoded = rest.split('/').next().unwrap_or_default();
    let engine = base64::engine::general_purpose::URL_SAFE_NO_PAD;
    let Some(directory) = engine
        .decode(encoded)
        .ok()
        .and_then(|bytes| String::from_utf8(bytes).ok())
    else {
        return Ok(());
    };
    let mut clean = std::path::PathBuf::new();
    for part in std::path::Path::new(&directory).components() {
        match part {
            std::path::Component::ParentDir => {
                clean.pop();
            }
            part => clean.push(part),
        }
    }
    let is_inside = directory.is_empty() || clean.starts_with(&state.options().filesystem_root);
    if state.access().is_anonymous() && !is_inside {
        return Err(ApiError::new(
            StatusCode::FORBIDDEN,
            "this directory is not served",
        ));
    }
    Ok(())
}

fn module_target(id: &ArtifactId) -> Target {
    Target {
        namespace: id.namespace.clone(),
        kind: id.kind,
        name: id.name.clone(),
        version: Some(id.version.clone()),
        platform: None,
    }
}

fn only_platform(
    version: &opendepot_actors::registry::ProviderVersion,
) -> Result<Platform, ApiError> {
    let packages = version
        .releases
        .first()
        .map(|release| release.packages.as_slice())
        .unwrap_or_default();
    match packages {
        [only] => Ok(only.platform.clone()),
        several => {
            let names: Vec<String> = several
                .iter()
                .map(|package| package.platform.to_string())
                .collect();
            Err(ApiError::bad_request(format!(
                "this version has several platforms, choose one with `os` and `arch`: {}",
                names.join(", ")
            )))
        }
    }
}

/// The client's checksum must be the record's; the record decides either way (H24).
fn check_file_checksum(query: &ArtifactQuery, record: &ArtifactRecord) -> Result<(), ApiError> {
    match &query.file_checksum {
        // A `+` that was not escaped arrives as such or as a space.
        Some(text) if text.replace(' ', "+") != record.sha256.to_base64() => Err(ApiError::new(
            StatusCode::CONFLICT,
            "`fileChecksum` is not the checksum of what is published; ask the registry for a new link",
        )),
        _ => Ok(()),
    }
}

/// Whose bytes are downloaded.
struct Subject<'a> {
    kind: ArtifactKind,
    id: &'a ArtifactId,
    object_name: &'a str,
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

/// One download that holds its permit.
struct Download<'a> {
    state: &'a ApiState,
    subject: Subject<'a>,
    record: &'a ArtifactRecord,
    permit: OwnedSemaphorePermit,
}

impl Download<'_> {
    async fn answer<F, P>(
        self,
        method: &Method,
        headers: &HeaderMap,
        plan: P,
        attachment: Option<&str>,
    ) -> Result<Response, ApiError>
    where
        F: Future<Output = Result<Arc<Transfer>, Arc<opendepot_actors::Error>>>,
        P: FnOnce() -> F,
    {
        let record = self.record;
        let etag = format!("\"{}\"", record.sha256);
        if is_unmodified(headers, &etag) {
            let mut response = StatusCode::NOT_MODIFIED.into_response();
            insert(response.headers_mut(), header::ETAG, &etag);
            response
                .headers_mut()
                .insert(header::CACHE_CONTROL, HeaderValue::from_static(IMMUTABLE));
            return Ok(response);
        }
        // Range is defined for GET alone (RFC 9110 section 14.2).
        let range = if method == Method::GET {
            asked(headers, &etag, record.size)
        } else {
            Asked::Whole
        };
        let (status, start, end) = match range {
            Asked::Whole => (StatusCode::OK, 0, record.size.saturating_sub(1)),
            Asked::Part { start, end } => (StatusCode::PARTIAL_CONTENT, start, end),
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
        let length = end - start + 1;
        let mut response = if method == Method::HEAD {
            Response::new(Body::empty())
        } else {
            let plan = plan()
                .await
                .map_err(|error| self.refuse(error.kind(), &error.to_string()))?;
            let expected = Expected {
                size: record.size,
                sha256: record.sha256,
            };
            let part = matches!(range, Asked::Part { .. }).then_some(ByteRange {
                start,
                end_inclusive: end,
            });
            let opened = self
                .state
                .options()
                .stores
                .open_body(&plan, expected, part)
                .await;
            let body = opened.map_err(|error| self.refuse(error.kind(), &error.to_string()))?;
            let watch = Watch {
                state: self.state.clone(),
                damage: self.subject.damage(Kind::Corrupt),
            };
            let kind = self.subject.kind.as_str();
            Response::new(Body::new(PermittedBody {
                body,
                kind,
                watch,
                _permit: self.permit,
            }))
        };
        *response.status_mut() = status;
        let out = response.headers_mut();
        insert(out, header::CONTENT_TYPE, &record.media_type);
        insert(out, header::CONTENT_LENGTH, &length.to_string());
        insert(out, header::ETAG, &etag);
        out.insert(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
        out.insert(header::CACHE_CONTROL, HeaderValue::from_static(IMMUTABLE));
        out.insert(
            header::X_CONTENT_TYPE_OPTIONS,
            HeaderValue::from_static("nosniff"),
        );
        if let Some(name) = attachment {
            insert(
                out,
                header::CONTENT_DISPOSITION,
                &format!("attachment; filename=\"{name}\""),
            );
        }
        if status == StatusCode::PARTIAL_CONTENT {
            insert(
                out,
                header::CONTENT_RANGE,
                &format!("bytes {start}-{end}/{}", record.size),
            );
        }
        Ok(response)
    }

    fn refuse(&self, kind: Kind, message: &str) -> ApiError {
        tracing::error!(
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

fn is_unmodified(headers: &HeaderMap, etag: &str) -> bool {
    headers
        .get(header::IF_NONE_MATCH)
        .and_then(|value| value.to_str().ok())
        .is_some_and(|value| {
            value
                .split(',')
                .map(str::trim)
                .any(|tag| tag == "*" || tag.trim_start_matches("W/") == etag)
        })
}

fn insert(headers: &mut HeaderMap, name: header::HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(name, value);
    }
}

/// A body that keeps its download permit to its end, and counts what it sent.
struct PermittedBody {
    body: ArtifactBody,
    kind: &'static str,
    watch: Watch,
    _permit: OwnedSemaphorePermit,
}

/// Whom to tell when the bytes turn out to be others.
struct Watch {
    state: ApiState,
    damage: Option<Damage>,
}

impl http_body::Body for PermittedBody {
    type Data = Bytes;
    type Error = opendepot_transfer::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let kind = self.kind;
        let polled = Pin::new(&mut self.body).poll_frame(context);
        match &polled {
            Poll::Ready(Some(Ok(frame))) => {
                if let Some(data) = frame.data_ref() {
                    let counter = metrics::counter!(
                        "opendepot_download_bytes_total", "kind" => kind, "backend" => "file", "mode" => "proxy"
                    );
                    counter.increment(data.len() as u64);
                }
            }
            Poll::Ready(Some(Err(error))) => {
                metrics::counter!("opendepot_download_aborted_total", "cause" => error.kind().label()).increment(1);
                tracing::error!(
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
