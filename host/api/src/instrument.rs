//! Request ids, the one log line a request, and the HTTP metrics.

use crate::metric::RouteLabel;
use crate::state::ApiState;
use axum::extract::{MatchedPath, Request, State};
use axum::middleware::Next;
use axum::response::Response;
use http::{HeaderName, HeaderValue};
use std::cell::RefCell;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

tokio::task_local! {
    static REQUEST_ID: RefCell<String>;
}

/// The id of the request that this task is answering; empty outside one.
pub(crate) fn current_request_id() -> String {
    REQUEST_ID
        .try_with(|id| id.borrow().clone())
        .unwrap_or_default()
}

/// Unique in this process's life and, by its random prefix, across processes.
fn next_request_id() -> String {
    static PREFIX: OnceLock<String> = OnceLock::new();
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let prefix = PREFIX.get_or_init(|| uuid::Uuid::new_v4().simple().to_string().split_off(16));
    format!("{prefix}{:016x}", COUNT.fetch_add(1, Ordering::Relaxed))
}

/// The trace id of a W3C `traceparent`, when it is well-formed.
fn trace_id(request: &Request) -> Option<&str> {
    let value = request.headers().get("traceparent")?.to_str().ok()?;
    let mut parts = value.split('-');
    let (version, trace) = (parts.next()?, parts.next()?);
    let is_hex = |text: &str| text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    (version.len() == 2 && trace.len() == 32 && is_hex(version) && is_hex(trace)).then_some(trace)
}

/// Wraps every request of the public listener.
pub(crate) async fn layer(State(state): State<ApiState>, request: Request, next: Next) -> Response {
    let started = Instant::now();
    let id = next_request_id();
    let method = request.method().clone();
    let route = RouteLabel::of(request.extensions().get::<MatchedPath>());
    let trace = trace_id(&request).map(str::to_owned);

    let mut response = REQUEST_ID
        .scope(RefCell::new(id.clone()), next.run(request))
        .await;
    if let Ok(value) = HeaderValue::from_str(&id) {
        response.headers_mut().insert(X_REQUEST_ID, value);
    }
    let code = response.status().as_u16();
    state
        .metrics()
        .answered(route, &method, code, started.elapsed());
    let route = route.as_str();
    tracing::info!(
        target: "opendepot::request",
        request_id = %id,
        trace_id = trace.as_deref(),
        http.method = %method,
        http.route = route,
        http.status = code,
        http.duration_us = started.elapsed().as_micros() as u64,
        "{method} {route} {code}"
    );
    response
}
