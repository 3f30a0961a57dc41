//! Request ids, the one log line a request, and the HTTP metrics.

use crate::metric::RouteLabel;
use crate::state::ApiState;
use axum::response::Response;
use http::request::Parts;
use http::{HeaderName, HeaderValue};
use std::fmt;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

tokio::task_local! {
    static REQUEST_ID: RequestId;
}

/// Unique in this process's life and, by its random half, across processes: 32 hexadecimal digits.
#[derive(Clone, Copy)]
pub(crate) struct RequestId([u8; 32]);

impl RequestId {
    fn next() -> Self {
        static HALF: OnceLock<u64> = OnceLock::new();
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let half = *HALF.get_or_init(|| uuid::Uuid::new_v4().as_u64_pair().1);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let mut digits = [0; 32];
        let number = (u128::from(half) << 64) | u128::from(count);
        for (place, digit) in digits.iter_mut().rev().enumerate() {
            let nibble = (number >> (4 * place)) as u8 & 0xf;
            *digit = nibble + if nibble < 10 { b'0' } else { b'a' - 10 };
        }
        Self(digits)
    }

    fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

/// The id of the request that this task is answering; empty outside one.
pub(crate) fn current_request_id() -> String {
    REQUEST_ID.try_with(ToString::to_string).unwrap_or_default()
}

/// Runs what answers the request with this id.
pub(crate) async fn in_request<F: Future>(id: RequestId, answer: F) -> F::Output {
    REQUEST_ID.scope(id, answer).await
}

/// The trace id of a W3C `traceparent`, when it is well-formed.
fn trace_id(parts: &Parts) -> Option<&str> {
    let value = parts.headers.get("traceparent")?.to_str().ok()?;
    let mut parts = value.split('-');
    let (version, trace) = (parts.next()?, parts.next()?);
    let is_hex = |text: &str| text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    (version.len() == 2 && trace.len() == 32 && is_hex(version) && is_hex(trace)).then_some(trace)
}

/// A request of the public listener, from its beginning to its answer's head.
pub(crate) struct Answered {
    started: Instant,
    id: RequestId,
    route: RouteLabel,
}

impl Answered {
    pub(crate) fn begin(route: RouteLabel) -> Self {
        Self {
            started: Instant::now(),
            id: RequestId::next(),
            route,
        }
    }

    pub(crate) const fn id(&self) -> RequestId {
        self.id
    }

    /// Names the request in its answer, counts it and logs it.
    pub(crate) fn end(self, state: &ApiState, parts: &Parts, response: &mut Response) {
        if let Ok(value) = HeaderValue::from_bytes(&self.id.0) {
            response.headers_mut().insert(X_REQUEST_ID, value);
        }
        let (method, code) = (&parts.method, response.status().as_u16());
        let elapsed = self.started.elapsed();
        state.metrics().answered(self.route, method, code, elapsed);
        let route = self.route.as_str();
        tracing::info!(
            target: "opendepot::request",
            request_id = self.id.as_str(),
            trace_id = trace_id(parts),
            http.method = method.as_str(),
            http.route = route,
            http.status = code,
            http.duration_us = elapsed.as_micros() as u64,
            "{method} {route} {code}"
        );
    }
}
