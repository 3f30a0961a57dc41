//! The heads of JSON answers.

use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, header};
use opendepot_actors::registry::Document;

const DISCOVERY: &str =
    "{\"modules.v1\":\"/opendepot/modules/v1/\",\"providers.v1\":\"/opendepot/providers/v1/\"}";

/// Static bytes: clients never retry discovery (protocols.md 1.2).
pub(crate) fn discovery() -> Response {
    let mut response = Response::new(Body::from(DISCOVERY));
    head(
        response.headers_mut(),
        "application/json",
        "public, max-age=300",
    );
    response
}

/// What every answer with a body of ours says of it.
fn head(headers: &mut HeaderMap, content_type: &'static str, cache: &'static str) {
    for (name, value) in [
        (header::CONTENT_TYPE, content_type),
        (header::CACHE_CONTROL, cache),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
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

/// A JSON answer that no shared cache may keep (T58).
pub(crate) fn private_json(body: Bytes) -> Response {
    private(body, "application/json")
}

/// An answer that no shared cache may keep (T58).
pub(crate) fn private(body: Bytes, content_type: &'static str) -> Response {
    let mut response = Response::new(Body::from(body));
    let headers = response.headers_mut();
    head(headers, content_type, "private, no-store");
    headers.insert(header::VARY, HeaderValue::from_static("Authorization"));
    response
}
