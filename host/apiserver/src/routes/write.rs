//! Create, replace and patch.

use super::{At, Call, ResponseBody, written_response};
use crate::create::{self, WriteOptions};
use crate::object::Object;
use crate::patch::Patch;
use crate::resource::Resource;
use crate::status_error::ApiError;
use crate::store::{Key, Store};
use crate::update::{self, Proposal};
use http::{Response, header};
use serde_json::Value;
use std::sync::Arc;

const PARAMETERS: [&str; 4] = ["dryRun", "fieldManager", "fieldValidation", "force"];
const MAX_MANAGER: usize = 128;

fn options(call: &Call) -> Result<WriteOptions, ApiError> {
    call.query.only(&PARAMETERS)?;
    let manager = match call.query.get("fieldManager") {
        Some(manager) => {
            if manager.chars().count() > MAX_MANAGER || manager.chars().any(char::is_control) {
                return Err(ApiError::bad_request(format!(
                    "fieldManager must be at most {MAX_MANAGER} printable characters"
                )));
            }
            manager.to_owned()
        }
        None => match call.header(header::USER_AGENT).split('/').next() {
            None | Some("") => "unknown".to_owned(),
            Some(agent) => agent.to_owned(),
        },
    };
    let is_strict = match call.query.get("fieldValidation") {
        None | Some("Ignore" | "Warn") => false,
        Some("Strict") => true,
        Some(other) => {
            return Err(ApiError::bad_request(format!(
                "`{}` is not a value of the query parameter `fieldValidation`",
                other.escape_debug()
            )));
        }
    };
    Ok(WriteOptions {
        manager,
        is_dry_run: call.query.is_dry_run()?,
        is_strict,
    })
}

fn body(call: &Call) -> Result<Object, ApiError> {
    let media = call
        .header(header::CONTENT_TYPE)
        .split(';')
        .next()
        .unwrap_or_default()
        .trim();
    if !matches!(media, "" | "application/json") {
        return Err(ApiError::unsupported_media_type(format!(
            "the body of the request was in an unknown format `{media}` - accepted media types include: application/json"
        )));
    }
    let value: Value = serde_json::from_slice(&call.body)
        .map_err(|error| ApiError::bad_request(format!("the body cannot be decoded: {error}")))?;
    Object::from_value(value)
}

pub(super) async fn create(
    store: &Store,
    call: &Call,
    resource: Arc<Resource>,
    namespace: Option<String>,
) -> Result<Response<ResponseBody>, ApiError> {
    let options = options(call)?;
    if resource.is_namespaced && namespace.is_none() {
        return Err(ApiError::method_not_allowed());
    }
    let object = create::prepare(&resource, namespace.as_deref(), body(call)?, &options)?;
    let namespace = namespace.unwrap_or_default();
    let written = store
        .write(Box::new(move |txn| {
            create::commit(txn, &resource, &namespace, object, options.is_dry_run)
        }))
        .await?;
    written_response(call, written)
}

pub(super) async fn replace(
    store: &Store,
    call: &Call,
    at: At,
) -> Result<Response<ResponseBody>, ApiError> {
    let proposal = Proposal::Replace(Box::new(body(call)?));
    update(store, call, at, proposal).await
}

pub(super) async fn patch(
    store: &Store,
    call: &Call,
    at: At,
) -> Result<Response<ResponseBody>, ApiError> {
    let patch = Patch::parse(call.header(header::CONTENT_TYPE), &call.body)?;
    update(store, call, at, Proposal::Patch(patch)).await
}

async fn update(
    store: &Store,
    call: &Call,
    at: At,
    proposal: Proposal,
) -> Result<Response<ResponseBody>, ApiError> {
    let options = options(call)?;
    let written = store
        .write(Box::new(move |txn| {
            let key = Key::new(&at.resource, &at.namespace, &at.name);
            update::commit(txn, &at.resource, &key, at.door, proposal, &options)
        }))
        .await?;
    written_response(call, written)
}
