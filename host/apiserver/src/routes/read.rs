//! Get and list.

use super::{At, Call, ResponseBody, bytes_response};
use crate::resource::Resource;
use crate::schema::FieldError;
use crate::selector::Selector;
use crate::status_error::ApiError;
use crate::store::{Key, Snapshot, Store, prefix};
use base64::Engine as _;
use bytes::Bytes;
use http::{Response, StatusCode};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use std::ops::ControlFlow;
use std::sync::Arc;

const BASE64: base64::engine::GeneralPurpose = base64::engine::general_purpose::URL_SAFE_NO_PAD;
/// The kind of the parameters of a list and a watch.
pub(super) const OPTIONS: &str = "ListOptions";
const LIST_PARAMETERS: [&str; 9] = [
    "watch",
    "limit",
    "continue",
    "labelSelector",
    "fieldSelector",
    "resourceVersion",
    "resourceVersionMatch",
    "timeoutSeconds",
    "allowWatchBookmarks",
];

pub(super) fn get(store: &Store, call: &Call, at: &At) -> Result<Response<ResponseBody>, ApiError> {
    call.query.only(&["resourceVersion"])?;
    let asked = call.query.number("resourceVersion")?.unwrap_or(0);
    let snapshot = store.shared.snapshot()?;
    if asked > snapshot.revision {
        return Err(ApiError::too_new(asked, snapshot.revision));
    }
    let key = Key::new(&at.resource, &at.namespace, &at.name);
    let bytes = snapshot
        .get(&key)?
        .ok_or_else(|| ApiError::not_found(&at.resource, &at.name))?;
    let bytes = if call.wants_metadata_only() {
        metadata_only(&bytes)?
    } else {
        bytes
    };
    Ok(bytes_response(StatusCode::OK, bytes))
}

/// An object without its body: `PartialObjectMetadata`.
pub(super) fn metadata_only(bytes: &[u8]) -> Result<Bytes, ApiError> {
    #[derive(Deserialize)]
    struct Part {
        #[serde(default)]
        metadata: Map<String, Value>,
    }
    let part: Part = serde_json::from_slice(bytes)
        .map_err(|error| ApiError::internal("read a stored object", &error))?;
    let object = json!({
        "apiVersion": "meta.k8s.io/v1", "kind": "PartialObjectMetadata", "metadata": part.metadata,
    });
    Ok(Bytes::from(object.to_string()))
}

/// Where the next page begins. Clients treat it as opaque; a forged one reads nothing that a
/// list would not.
#[derive(Debug, Serialize, Deserialize)]
struct Continue {
    revision: u64,
    after: String,
}

impl Continue {
    fn encode(&self) -> Result<String, ApiError> {
        serde_json::to_vec(self)
            .map(|bytes| BASE64.encode(bytes))
            .map_err(|error| ApiError::internal("encode a continue token", &error))
    }

    fn decode(text: &str) -> Result<Self, ApiError> {
        BASE64
            .decode(text)
            .ok()
            .and_then(|bytes| serde_json::from_slice(&bytes).ok())
            .ok_or_else(|| ApiError::bad_request("continue key is not valid"))
    }
}

fn expired_page() -> ApiError {
    ApiError::expired(
        "The provided continue parameter is too old to display a consistent list result. You must start a new list without the continue parameter.",
    )
}

/// One page to be read.
struct Page {
    resource: Arc<Resource>,
    prefix: String,
    selector: Selector,
    after: Option<String>,
    limit: usize,
    is_metadata_only: bool,
}

pub(super) async fn list(
    store: &Arc<Store>,
    call: &Call,
    resource: Arc<Resource>,
    namespace: Option<String>,
) -> Result<Response<ResponseBody>, ApiError> {
    let query = &call.query;
    query.only(&LIST_PARAMETERS)?;
    let selector = Selector::parse(
        &resource,
        query.get("labelSelector"),
        query.get("fieldSelector"),
    )?;
    let limit = query.limit()?;
    check_match(call)?;
    let prefix = prefix(&resource, namespace.as_deref());
    let (snapshot, after) = match query.get("continue") {
        Some(token) => {
            let token = Continue::decode(token)?;
            if !token.after.starts_with(&prefix) {
                return Err(ApiError::bad_request("continue key is not valid"));
            }
            let snapshot = store.shared.held(token.revision).ok_or_else(expired_page)?;
            (snapshot, Some(token.after))
        }
        None => {
            let snapshot = store.shared.snapshot()?;
            check_revision(call, snapshot.revision)?;
            (snapshot, None)
        }
    };
    let page = Page {
        resource,
        prefix,
        selector,
        after,
        limit,
        is_metadata_only: call.wants_metadata_only(),
    };
    let for_page = Arc::clone(&snapshot);
    // Never closed, so this is a permit.
    let _turn = store.shared.renderers.acquire().await;
    let (body, is_more) = tokio::task::spawn_blocking(move || render(&for_page, &page))
        .await
        .map_err(|error| ApiError::internal("list objects", &error))??;
    if is_more {
        store.shared.hold(&snapshot);
    }
    Ok(bytes_response(StatusCode::OK, body))
}

/// A list is always of the newest state; a caller that wants another one is told.
fn check_revision(call: &Call, current: u64) -> Result<(), ApiError> {
    let asked = call.query.number("resourceVersion")?.unwrap_or(0);
    if asked > current {
        return Err(ApiError::too_new(asked, current));
    }
    if call.query.get("resourceVersionMatch") == Some("Exact") && asked != current {
        return Err(ApiError::expired(format!(
            "The resourceVersion for the provided list is too old: {asked}"
        )));
    }
    Ok(())
}

/// Whether the parameters about revisions fit each other.
fn check_match(call: &Call) -> Result<(), ApiError> {
    let query = &call.query;
    let asked = query.get("resourceVersion").unwrap_or_default();
    let is_continued = query.get("continue").is_some();
    if is_continued && !matches!(asked, "" | "0") {
        return Err(ApiError::bad_request(
            "specifying resource version is not allowed when using continue",
        ));
    }
    let known = ["Exact", "NotOlderThan"];
    let Some(matching) = query.choice(OPTIONS, "resourceVersionMatch", &known)? else {
        return Ok(());
    };
    match (asked, matching) {
        _ if is_continued => Err(forbidden_match(
            "resourceVersionMatch is forbidden when continue is provided",
        )),
        ("", _) => Err(forbidden_match(
            "resourceVersionMatch is forbidden unless resourceVersion is provided",
        )),
        ("0", "Exact") => Err(forbidden_match(
            "resourceVersionMatch \"exact\" is forbidden for resourceVersion \"0\"",
        )),
        _ => Ok(()),
    }
}

/// A `resourceVersionMatch` that does not fit the other parameters.
pub(super) fn forbidden_match(why: &str) -> ApiError {
    let error = FieldError::forbidden("resourceVersionMatch".to_owned(), why);
    ApiError::invalid_options(OPTIONS, error.into_cause())
}

fn render(snapshot: &Snapshot, page: &Page) -> Result<(Bytes, bool), ApiError> {
    let mut items = Vec::new();
    let mut count = 0_usize;
    let mut last: Option<Key> = None;
    let mut is_more = false;
    snapshot.scan(&page.prefix, page.after.as_deref(), |key, bytes| {
        let (_, namespace, name) = key.parts();
        if !page
            .selector
            .matches_bytes(&page.resource, namespace, name, bytes)?
        {
            return Ok(ControlFlow::Continue(()));
        }
        if page.limit > 0 && count >= page.limit {
            is_more = true;
            return Ok(ControlFlow::Break(()));
        }
        if count > 0 {
            items.push(b',');
        }
        if page.is_metadata_only {
            items.extend_from_slice(&metadata_only(bytes)?);
        } else {
            items.extend_from_slice(bytes);
        }
        count += 1;
        last = Some(key);
        Ok(ControlFlow::Continue(()))
    })?;
    let mut meta = json!({"resourceVersion": snapshot.revision.to_string()});
    if is_more && let (Some(last), Some(meta)) = (&last, meta.as_object_mut()) {
        let token = Continue {
            revision: snapshot.revision,
            after: last.as_str().to_owned(),
        };
        meta.insert("continue".to_owned(), Value::from(token.encode()?));
    }
    let (kind, version) = if page.is_metadata_only {
        (
            "PartialObjectMetadataList".to_owned(),
            "meta.k8s.io/v1".to_owned(),
        )
    } else {
        (page.resource.list_kind.clone(), page.resource.api_version())
    };
    let head = format!(
        "{{\"kind\":{},\"apiVersion\":{},\"metadata\":{meta},\"items\":[",
        Value::from(kind),
        Value::from(version)
    );
    let mut body = Vec::with_capacity(head.len() + items.len() + 2);
    body.extend_from_slice(head.as_bytes());
    body.append(&mut items);
    body.extend_from_slice(b"]}");
    Ok((Bytes::from(body), is_more))
}
