//! Create, replace and patch.

use super::{At, Call, ResponseBody, written_response};
use crate::create::{self, WriteOptions};
use crate::object::{self, Object};
use crate::patch::Patch;
use crate::resource::Resource;
use crate::schema::FieldError;
use crate::status_error::ApiError;
use crate::store::{Key, Store};
use crate::update::{self, Proposal};
use http::{Method, Response, header};
use serde_json::Value;
use std::sync::Arc;

const PARAMETERS: [&str; 4] = ["dryRun", "fieldManager", "fieldValidation", "force"];
const MAX_MANAGER: usize = 128;

fn options(call: &Call) -> Result<WriteOptions, ApiError> {
    call.query.only(&PARAMETERS)?;
    let kind = match call.method {
        Method::POST => "CreateOptions",
        Method::PUT => "UpdateOptions",
        _ => "PatchOptions",
    };
    let manager = match call.query.get("fieldManager") {
        Some(manager) => {
            let field = "fieldManager".to_owned();
            let problem = if manager.len() > MAX_MANAGER {
                let limit = format!("may not be more than {MAX_MANAGER} bytes");
                Some(FieldError::too_long(field, &limit))
            } else if manager.chars().any(char::is_control) {
                let why = "should only contain printable characters";
                Some(FieldError::invalid(field, &Value::from(manager), why))
            } else {
                None
            };
            if let Some(problem) = problem {
                return Err(ApiError::invalid_options(kind, problem.into_cause()));
            }
            manager.to_owned()
        }
        None => match call.header(header::USER_AGENT).split('/').next() {
            None | Some("") => "unknown".to_owned(),
            Some(agent) => agent.to_owned(),
        },
    };
    let known = ["", "Ignore", "Strict", "Warn"];
    let validation = call.query.choice(kind, "fieldValidation", &known)?;
    Ok(WriteOptions {
        manager,
        is_dry_run: call.query.is_dry_run(kind)?,
        is_strict: validation == Some("Strict"),
    })
}

fn body(call: &Call, options: &WriteOptions) -> Result<Object, ApiError> {
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
    if options.is_strict {
        create::refuse_unknown(object::unknown_metadata(&value))?;
    }
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
    let object = body(call, &options)?;
    let object = create::prepare(&resource, namespace.as_deref(), object, &options)?;
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
    let options = options(call)?;
    let proposal = Proposal::Replace(Box::new(body(call, &options)?));
    update(store, call, at, proposal, options).await
}

pub(super) async fn patch(
    store: &Store,
    call: &Call,
    at: At,
) -> Result<Response<ResponseBody>, ApiError> {
    let patch = Patch::parse(call.header(header::CONTENT_TYPE), &call.body)?;
    update(store, call, at, Proposal::Patch(patch), options(call)?).await
}

async fn update(
    store: &Store,
    call: &Call,
    at: At,
    proposal: Proposal,
    options: WriteOptions,
) -> Result<Response<ResponseBody>, ApiError> {
    let written = store
        .write(Box::new(move |txn| {
            let key = Key::new(&at.resource, &at.namespace, &at.name);
            update::commit(txn, &at.resource, &key, at.door, proposal, &options)
        }))
        .await?;
    written_response(call, written)
}
