//! The route table: every public route, its handler and what it checks. A route that is not in
//! the table does not exist (T16).

use crate::error::ApiError;
use crate::state::ApiState;
use crate::{artifacts, instrument, modules, providers};
use axum::Router;
use axum::extract::{FromRequestParts, Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, get};
use bytes::Bytes;
use http::request::Parts;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use opendepot_actors::registry::Document;
use opendepot_domain::{Action, Subject, Target};
use std::net::IpAddr;

/// What a route asks of its caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Checks {
    /// Nothing: discovery.
    Nothing,
    /// A credential with these grants.
    Grants(&'static [Action]),
    /// A capability, or a credential with `download`.
    CapabilityOrDownload,
}

/// One route.
pub struct Route {
    /// The template, as metrics label it.
    pub path: &'static str,
    /// What it asks of its caller.
    pub checks: Checks,
    handler: fn() -> MethodRouter<ApiState>,
}

const LIST: Checks = Checks::Grants(&[Action::ListVersions]);
const READ: Checks = Checks::Grants(&[Action::ReadPackage, Action::Download]);
const BYTES: Checks = Checks::CapabilityOrDownload;

/// Every public route (contract.md 4).
pub static TABLE: &[Route] = &[
    Route {
        path: "/.well-known/terraform.json",
        checks: Checks::Nothing,
        handler: || get(discovery),
    },
    Route {
        path: "/opendepot/modules/v1/{namespace}/{name}/{system}/versions",
        checks: LIST,
        handler: || get(modules::versions),
    },
    Route {
        path: "/opendepot/modules/v1/{namespace}/{name}/{system}/{version}/download",
        checks: READ,
        handler: || get(modules::download),
    },
    Route {
        path: "/opendepot/modules/v1/download/azure/{*path}",
        checks: BYTES,
        handler: || get(artifacts::module),
    },
    Route {
        path: "/opendepot/modules/v1/download/fileSystem/{*path}",
        checks: BYTES,
        handler: || get(artifacts::module),
    },
    Route {
        path: "/opendepot/modules/v1/download/gcs/{*path}",
        checks: BYTES,
        handler: || get(artifacts::module),
    },
    Route {
        path: "/opendepot/modules/v1/download/plugin/{*path}",
        checks: BYTES,
        handler: || get(artifacts::module),
    },
    Route {
        path: "/opendepot/modules/v1/download/s3/{*path}",
        checks: BYTES,
        handler: || get(artifacts::module),
    },
    Route {
        path: "/opendepot/providers/v1/{namespace}/{type}/versions",
        checks: LIST,
        handler: || get(providers::versions),
    },
    Route {
        path: "/opendepot/providers/v1/{namespace}/{type}/{version}/download/{os}/{arch}",
        checks: READ,
        handler: || get(providers::package),
    },
    Route {
        path: "/opendepot/providers/v1/{namespace}/{type}/{version}/SHA256SUMS/{os}/{arch}",
        checks: BYTES,
        handler: || get(providers::sums),
    },
    Route {
        path: "/opendepot/providers/v1/{namespace}/{type}/{version}/SHA256SUMS.sig/{os}/{arch}",
        checks: BYTES,
        handler: || get(providers::signature),
    },
    Route {
        path: "/opendepot/providers/v1/download/{namespace}/{type}/{version}",
        checks: BYTES,
        handler: || get(artifacts::package),
    },
];

/// The public router.
pub fn router(state: ApiState) -> Router {
    let mut router = Router::new();
    for route in TABLE {
        router = router.route(route.path, (route.handler)());
    }
    router
        .fallback(|| async { ApiError::not_found("there is nothing at this path") })
        .method_not_allowed_fallback(async || method_not_allowed())
        .layer(axum::middleware::from_fn_with_state(state.clone(), guard))
        .layer(axum::middleware::from_fn_with_state(
            state.clone(),
            instrument::layer,
        ))
        .with_state(state)
}

/// Refuses before anything else: what is too large, and what does not name this registry's host.
/// Discovery asks for no host (contract.md 2).
async fn guard(State(state): State<ApiState>, request: Request, next: Next) -> Response {
    match refusal(&state, &request) {
        Some(refusal) => refusal,
        None => next.run(request).await,
    }
}

fn refusal(state: &ApiState, request: &Request) -> Option<Response> {
    let limits = &state.options().limits;
    let (uri, headers) = (request.uri(), request.headers());
    let target = uri.path_and_query();
    let error = if target.is_some_and(|target| target.as_str().len() > limits.uri_bytes) {
        ApiError::new(StatusCode::URI_TOO_LONG, "the request target is too long")
    } else if headers.len() > limits.num_headers {
        // Over HTTP/1 the parser has counted already.
        let status = StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE;
        ApiError::new(status, "there are too many header fields")
    } else if request.method() == http::Method::CONNECT {
        return Some(method_not_allowed());
    } else if uri.path() != DISCOVERY_PATH {
        state.access().check_host(request).err()?
    } else {
        return None;
    };
    Some(error.into_response())
}

fn method_not_allowed() -> Response {
    let error = ApiError::new(
        StatusCode::METHOD_NOT_ALLOWED,
        "only GET and HEAD are answered here",
    );
    let mut response = error.into_response();
    let allowed = HeaderValue::from_static("GET,HEAD");
    response.headers_mut().insert(header::ALLOW, allowed);
    response
}

const DISCOVERY_PATH: &str = "/.well-known/terraform.json";
const DISCOVERY: &str =
    "{\"modules.v1\":\"/opendepot/modules/v1/\",\"providers.v1\":\"/opendepot/providers/v1/\"}";

/// Static bytes: clients never retry discovery (protocols.md 1.2).
async fn discovery() -> Response {
    let mut response = DISCOVERY.into_response();
    let headers = response.headers_mut();
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/json"),
    );
    headers.insert(
        header::CACHE_CONTROL,
        HeaderValue::from_static("public, max-age=300"),
    );
    headers.insert(
        header::X_CONTENT_TYPE_OPTIONS,
        HeaderValue::from_static("nosniff"),
    );
    response
}

/// The peer's address, put into the request by the accept loop.
#[derive(Clone, Copy, Debug)]
pub struct Peer(pub IpAddr);

impl<S: Send + Sync> FromRequestParts<S> for Peer {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        parts
            .extensions
            .get::<Self>()
            .copied()
            .ok_or_else(|| ApiError::new(StatusCode::INTERNAL_SERVER_ERROR, "internal error"))
    }
}

/// A verified caller, ready to be asked about.
pub(crate) struct Caller<'a> {
    state: &'a ApiState,
    subject: Subject,
}

impl<'a> Caller<'a> {
    pub(crate) async fn verify(
        state: &'a ApiState,
        headers: &HeaderMap,
        peer: IpAddr,
    ) -> Result<Self, ApiError> {
        let subject = state.access().subject(headers, peer).await?;
        Ok(Self { state, subject })
    }

    pub(crate) async fn check(&self, actions: &[Action], target: &Target) -> Result<(), ApiError> {
        self.state
            .access()
            .check(&self.subject, actions, target)
            .await
    }
}

/// A rendered list, gzipped for who asks: it carries no secret.
pub(crate) fn json(headers: &HeaderMap, document: &Document) -> Response {
    let Some(gzip) = &document.gzip else {
        return private_json(document.plain.clone());
    };
    let is_gzip = accepts_gzip(headers);
    let mut response = private_json(if is_gzip {
        gzip.clone()
    } else {
        document.plain.clone()
    });
    let headers = response.headers_mut();
    if is_gzip {
        headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
    // Of both forms: either may be the one that a cache holds.
    headers.insert(
        header::VARY,
        HeaderValue::from_static("Authorization, Accept-Encoding"),
    );
    response
}

/// Whether `Accept-Encoding` names gzip, with a weight that is not nought.
fn accepts_gzip(headers: &HeaderMap) -> bool {
    let values = headers
        .get_all(header::ACCEPT_ENCODING)
        .into_iter()
        .filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).any(|coding| {
        let (name, parameters) = coding.split_once(';').unwrap_or((coding, ""));
        let weight = parameters
            .trim()
            .strip_prefix("q=")
            .and_then(|weight| weight.trim().parse::<f32>().ok());
        name.trim().eq_ignore_ascii_case("gzip") && weight.is_none_or(|weight| weight > 0.0)
    })
}

/// An answer with capabilities in it: no page may send it on as a referrer (T18).
pub(crate) fn no_referrer(headers: &mut HeaderMap) {
    headers.insert(
        header::REFERRER_POLICY,
        HeaderValue::from_static("no-referrer"),
    );
}

/// An answer that no shared cache may keep (T58).
pub(crate) fn private_json(body: Bytes) -> Response {
    let mut response = Response::new(axum::body::Body::from(body));
    let headers = response.headers_mut();
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/json"),
    );
    headers.insert(
        header::CACHE_CONTROL,
        HeaderValue::from_static("private, no-store"),
    );
    headers.insert(header::VARY, HeaderValue::from_static("Authorization"));
    headers.insert(
        header::X_CONTENT_TYPE_OPTIONS,
        HeaderValue::from_static("nosniff"),
    );
    response
}
