//! The resource definitions: what the process was started with, read-only. A watch tells them once
//! and then stays silent until it ends.

use super::{Call, ResponseBody, json_response};
use crate::status_error::ApiError;
use crate::store::Store;
use bytes::Bytes;
use futures::stream;
use http::{Response, StatusCode, header};
use http_body::Frame;
use http_body_util::{BodyExt as _, StreamBody};
use serde_json::{Value, json};
use std::convert::Infallible;
use std::time::Duration;

/// They never change, so neither does this.
const REVISION: &str = "1";
const DEFAULT_LIFE: Duration = Duration::from_secs(1800);
const PARAMETERS: [&str; 9] = [
    "watch",
    "limit",
    "labelSelector",
    "fieldSelector",
    "resourceVersion",
    "resourceVersionMatch",
    "timeoutSeconds",
    "allowWatchBookmarks",
    "sendInitialEvents",
];

pub(super) fn list(store: &Store, call: &Call) -> Result<Response<ResponseBody>, ApiError> {
    let query = &call.query;
    query.only(&PARAMETERS)?;
    if query.get("labelSelector").is_some() || query.flag("sendInitialEvents")? {
        return Err(ApiError::bad_request(
            "definitions can be selected by metadata.name only",
        ));
    }
    let name = match query.get("fieldSelector") {
        None => None,
        Some(selector) => Some(selector.strip_prefix("metadata.name=").ok_or_else(|| {
            ApiError::bad_request("definitions can be selected by metadata.name only")
        })?),
    };
    let items: Vec<&Value> = store
        .shared
        .registry
        .definitions
        .iter()
        .filter(|(key, _)| name.is_none_or(|name| name == *key))
        .map(|(_, value)| value)
        .collect();
    if !query.flag("watch")? {
        return Ok(json_response(
            StatusCode::OK,
            &json!({
                "kind": "CustomResourceDefinitionList", "apiVersion": "apiextensions.k8s.io/v1",
                "metadata": {"resourceVersion": REVISION}, "items": items,
            }),
        ));
    }
    let lines: String = if query.number("resourceVersion")?.unwrap_or(0) == 0 {
        items
            .iter()
            .map(|item| format!("{{\"type\":\"ADDED\",\"object\":{item}}}\n"))
            .collect()
    } else {
        String::new()
    };
    let life = query
        .number("timeoutSeconds")?
        .filter(|seconds| *seconds > 0)
        .map_or(DEFAULT_LIFE, Duration::from_secs)
        .min(DEFAULT_LIFE);
    let closed = store.shared.closed();
    let state = (Some(lines).filter(|lines| !lines.is_empty()), closed);
    let frames = stream::unfold(state, move |(lines, mut closed)| async move {
        if let Some(lines) = lines {
            let frame = Frame::data(Bytes::from(lines));
            return Some((Ok::<_, Infallible>(frame), (None, closed)));
        }
        // Ends at the deadline, or with the server.
        tokio::time::timeout(life, closed.wait_for(|closed| *closed))
            .await
            .ok();
        None
    });
    let mut response = Response::new(StreamBody::new(frames).boxed_unsync());
    response.headers_mut().insert(
        header::CONTENT_TYPE,
        header::HeaderValue::from_static("application/json"),
    );
    Ok(response)
}
