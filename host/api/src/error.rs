//! The one mapping from failures to HTTP answers (contract.md 4, *Errors that we produce*).

use crate::instrument::current_request_id;
use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};
use opendepot_domain::Kind;
use serde::Serialize;

/// A failure as a client sees it: a status, a sentence that names the thing and the remedy, and
/// nothing internal.
#[derive(Debug, Clone)]
pub struct ApiError {
    status: StatusCode,
    message: String,
    retry_after_seconds: Option<u64>,
}

#[derive(Serialize)]
struct Body<'a> {
    errors: [&'a str; 1],
    #[serde(rename = "requestId")]
    request_id: &'a str,
}

impl ApiError {
    /// An answer with this status and sentence.
    #[must_use]
    pub fn new(status: StatusCode, message: impl Into<String>) -> Self {
        Self {
            status,
            message: message.into(),
            retry_after_seconds: None,
        }
    }

    /// 400.
    #[must_use]
    pub fn bad_request(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, message)
    }

    /// 401.
    #[must_use]
    pub fn unauthorized() -> Self {
        Self::new(
            StatusCode::UNAUTHORIZED,
            "a valid bearer token is needed; configure one for this host in the client's credentials",
        )
    }

    /// 403; the same whether or not the thing exists.
    #[must_use]
    pub fn forbidden() -> Self {
        Self::new(
            StatusCode::FORBIDDEN,
            "this credential may not do that here",
        )
    }

    /// 404.
    #[must_use]
    pub fn not_found(message: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, message)
    }

    /// 503 with `Retry-After`.
    #[must_use]
    pub fn unavailable(message: impl Into<String>, retry_after_seconds: u64) -> Self {
        Self {
            status: StatusCode::SERVICE_UNAVAILABLE,
            message: message.into(),
            retry_after_seconds: Some(retry_after_seconds),
        }
    }

    /// The answer for an internal failure of this kind; its text stays in the log.
    #[must_use]
    pub fn of_kind(kind: Kind) -> Self {
        match kind {
            Kind::NotFound => Self::not_found("no such thing"),
            Kind::Denied => Self::forbidden(),
            Kind::Unauthenticated => Self::unauthorized(),
            Kind::Invalid => Self::bad_request("the request cannot be understood"),
            Kind::Conflict => Self::new(
                StatusCode::CONFLICT,
                "the request conflicts with the record",
            ),
            Kind::Busy => Self::unavailable("the registry is busy, try again", 2),
            Kind::Unavailable => Self::unavailable(
                "the storage behind this registry does not answer, try again",
                5,
            ),
            // No `Retry-After`: clients would wait for what only an operator can mend.
            Kind::Corrupt => Self::new(
                StatusCode::INTERNAL_SERVER_ERROR,
                "the stored bytes do not match their record; an operator has to look",
            ),
            Kind::Internal => Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal error"),
        }
    }

    /// The status.
    #[must_use]
    pub const fn status(&self) -> StatusCode {
        self.status
    }
}

impl From<opendepot_domain::error::InvalidValue> for ApiError {
    fn from(error: opendepot_domain::error::InvalidValue) -> Self {
        Self::bad_request(error.to_string())
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let request_id = current_request_id();
        let body = Body {
            errors: [&self.message],
            request_id: &request_id,
        };
        let mut response =
            (self.status, serde_json::to_vec(&body).unwrap_or_default()).into_response();
        let headers = response.headers_mut();
        headers.insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/json"),
        );
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        headers.insert(
            header::X_CONTENT_TYPE_OPTIONS,
            HeaderValue::from_static("nosniff"),
        );
        if self.status == StatusCode::UNAUTHORIZED {
            headers.insert(
                header::WWW_AUTHENTICATE,
                HeaderValue::from_static("Bearer realm=\"opendepot\""),
            );
        }
        if let Some(seconds) = self.retry_after_seconds {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}
