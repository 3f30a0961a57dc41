//! The public listener's answers: what is refused at the door, the route, the request's id, its
//! log line and its metrics (adr/014: no boxed layers on the way).

use crate::error::ApiError;
use crate::instrument::{Answered, in_request};
use crate::metric::RouteLabel;
use crate::routes::{Call, Paths, Peer, TABLE};
use crate::server::Answer;
use crate::state::ApiState;
use axum::body::Body;
use axum::response::{IntoResponse as _, Response};
use http::request::Parts;
use http::{HeaderValue, Method, Request, StatusCode, header};
use http_body::Body as _;
use hyper::body::Incoming;
use std::sync::Arc;

const DISCOVERY_PATH: &str = "/.well-known/terraform.json";

/// Answers the requests of the public listener; cheap to clone.
#[derive(Clone)]
pub struct Public {
    state: ApiState,
    paths: Arc<Paths>,
}

impl Public {
    /// # Errors
    /// When the route table contradicts itself.
    pub fn new(state: ApiState) -> Result<Self, matchit::InsertError> {
        let paths = Arc::new(Paths::new()?);
        Ok(Self { state, paths })
    }

    /// Answers one request of `peer`. Its body is not looked at: nothing here takes one.
    pub async fn answer<B>(&self, peer: Peer, request: Request<B>) -> Response {
        let (parts, _) = request.into_parts();
        let found = self.paths.find(parts.uri.path());
        let route = RouteLabel::at(found.as_ref().map(|(place, _)| *place));
        let answered = Answered::begin(route);
        let id = answered.id();
        let mut response = in_request(id, async {
            let call = Call {
                state: &self.state,
                peer: peer.0,
                method: &parts.method,
                uri: &parts.uri,
                headers: &parts.headers,
            };
            if let Some(refusal) = refusal(&self.state, &parts) {
                return refusal;
            }
            let Some((endpoint, params)) =
                found.and_then(|(place, params)| Some((TABLE.get(place)?.endpoint, params)))
            else {
                return ApiError::not_found("there is nothing at this path").into_response();
            };
            if !matches!(parts.method, Method::GET | Method::HEAD) {
                return method_not_allowed();
            }
            let answer = endpoint.answer(&call, &params).await;
            answer.unwrap_or_else(|error| error.into_response())
        })
        .await;
        if parts.method == Method::HEAD {
            response = without_body(response);
        }
        answered.end(&self.state, &parts, &mut response);
        response
    }
}

impl Answer for Public {
    async fn answer(&self, peer: Peer, request: Request<Incoming>) -> Response {
        Self::answer(self, peer, request).await
    }
}

/// The head of the answer that GET would have (RFC 9110 section 9.3.2).
fn without_body(mut response: Response) -> Response {
    if let Some(length) = response.body().size_hint().exact() {
        let is_bodiless = matches!(
            response.status(),
            StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED
        );
        let headers = response.headers_mut();
        if !is_bodiless && !headers.contains_key(header::CONTENT_LENGTH) {
            headers.insert(header::CONTENT_LENGTH, HeaderValue::from(length));
        }
    }
    response.map(|_| Body::empty())
}

/// Refuses before anything else: what is too large, and what does not name this registry's host.
/// Discovery asks for no host (contract.md 2).
fn refusal(state: &ApiState, parts: &Parts) -> Option<Response> {
    let limits = &state.options().limits;
    let target = parts.uri.path_and_query();
    let error = if target.is_some_and(|target| target.as_str().len() > limits.uri_bytes) {
        ApiError::new(StatusCode::URI_TOO_LONG, "the request target is too long")
    } else if parts.headers.len() > limits.num_headers {
        // Over HTTP/1 the parser has counted already.
        let status = StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE;
        ApiError::new(status, "there are too many header fields")
    } else if parts.method == Method::CONNECT {
        return Some(method_not_allowed());
    } else if parts.uri.path() != DISCOVERY_PATH {
        state.access().check_host(parts).err()?
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
