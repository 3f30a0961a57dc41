//! Delete and deletecollection.

use super::{At, Call, ResponseBody};
use crate::delete::{self, Deleted, Propagation};
use crate::object::Object;
use crate::resource::Resource;
use crate::schema::FieldError;
use crate::selector::Selector;
use crate::status_error::ApiError;
use crate::store::{Key, Store, prefix};
use crate::update::Door;
use crate::writer::Written;
use bytes::Bytes;
use http::Response;
use serde::Deserialize;
use serde_json::{Value, json};
use std::ops::ControlFlow;
use std::sync::Arc;

const KIND: &str = "DeleteOptions";
/// One request deletes at most so many; the answer lists them, and the caller may repeat.
const MAX_DELETED: usize = 20_000;

const PARAMETERS: [&str; 5] = [
    "dryRun",
    "gracePeriodSeconds",
    "propagationPolicy",
    "orphanDependents",
    "fieldManager",
];
const COLLECTION_PARAMETERS: [&str; 9] = [
    "dryRun",
    "gracePeriodSeconds",
    "propagationPolicy",
    "orphanDependents",
    "fieldManager",
    "labelSelector",
    "fieldSelector",
    "limit",
    "resourceVersion",
];

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Preconditions {
    uid: Option<String>,
    resource_version: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Options {
    propagation_policy: Option<String>,
    orphan_dependents: Option<bool>,
    preconditions: Option<Preconditions>,
    #[serde(default)]
    dry_run: Vec<String>,
}

impl Options {
    fn of(call: &Call) -> Result<Self, ApiError> {
        let mut options = if call.body.is_empty() {
            Self::default()
        } else {
            serde_json::from_slice(&call.body).map_err(|error| {
                ApiError::bad_request(format!("the delete options cannot be decoded: {error}"))
            })?
        };
        if let Some(policy) = call.query.get("propagationPolicy") {
            options.propagation_policy = Some(policy.to_owned());
        }
        if call.query.flag("orphanDependents")? {
            options.orphan_dependents = Some(true);
        }
        if call.query.is_dry_run(KIND)? {
            options.dry_run.push("All".to_owned());
        }
        options.validate()?;
        Ok(options)
    }

    fn validate(&self) -> Result<(), ApiError> {
        let refuse = |error: FieldError| Err(ApiError::invalid_options(KIND, error.into_cause()));
        let field = || "propagationPolicy".to_owned();
        if let Some(policy) = &self.propagation_policy {
            let policy = Value::from(policy.as_str());
            if self.orphan_dependents.is_some() {
                let why = "orphanDependents and deletionPropagation cannot be both set";
                return refuse(FieldError::invalid(field(), &policy, why));
            }
            if self.propagation().is_none() {
                let known = ["Foreground", "Background", "Orphan"].map(Value::from);
                return refuse(FieldError::not_supported(field(), &policy, &known));
            }
        }
        match self.dry_run.iter().find(|value| *value != "All") {
            Some(other) => refuse(FieldError::not_supported(
                "dryRun".to_owned(),
                &Value::from(other.as_str()),
                &[Value::from("All")],
            )),
            None => Ok(()),
        }
    }

    fn is_dry_run(&self) -> bool {
        !self.dry_run.is_empty()
    }

    fn propagation(&self) -> Option<Propagation> {
        match self.propagation_policy.as_deref() {
            Some("Background") => Some(Propagation::Background),
            Some("Foreground") => Some(Propagation::Foreground),
            Some("Orphan") => Some(Propagation::Orphan),
            _ => match self.orphan_dependents {
                Some(true) => Some(Propagation::Orphan),
                Some(false) => Some(Propagation::Background),
                None => None,
            },
        }
    }

    fn check(&self, resource: &Resource, object: &Object) -> Result<(), ApiError> {
        let Some(wanted) = &self.preconditions else {
            return Ok(());
        };
        let refuse = |what: &str, wanted: &str, found: &str| {
            Err(ApiError::conflict(
                resource,
                object.name(),
                &format!(
                    "Precondition failed: {what} in precondition: {wanted}, {what} in object meta: {found}"
                ),
            ))
        };
        let version = object.meta.resource_version.as_deref().unwrap_or_default();
        match (&wanted.uid, &wanted.resource_version) {
            (Some(uid), _) if uid != object.uid() => refuse("UID", uid, object.uid()),
            (_, Some(wanted)) if wanted != version => refuse("ResourceVersion", wanted, version),
            _ => Ok(()),
        }
    }
}

pub(super) async fn one(
    store: &Store,
    call: &Call,
    at: At,
) -> Result<Response<ResponseBody>, ApiError> {
    call.query.only(&PARAMETERS)?;
    if at.door != Door::Main {
        return Err(ApiError::method_not_allowed());
    }
    let options = Options::of(call)?;
    let written = store
        .write(Box::new(move |txn| {
            let key = Key::new(&at.resource, &at.namespace, &at.name);
            let Some(object) = txn.get(&key)? else {
                return Err(ApiError::not_found(&at.resource, &at.name));
            };
            options.check(&at.resource, &object)?;
            if options.is_dry_run() {
                return object.to_bytes().map(Written::ok);
            }
            let deleted = delete::delete(txn, &at.resource, &key, object, options.propagation())?;
            Ok(Written::ok(match deleted {
                Deleted::Held(bytes) => bytes,
                Deleted::Gone { uid, .. } => {
                    Bytes::from(delete::gone_status(&at.resource, &at.name, &uid).to_string())
                }
            }))
        }))
        .await?;
    // A `Status` has no metadata worth asking for, and a held object is answered whole.
    Ok(super::bytes_response(written.code, written.body))
}

pub(super) async fn collection(
    store: &Store,
    call: &Call,
    resource: Arc<Resource>,
    namespace: Option<String>,
) -> Result<Response<ResponseBody>, ApiError> {
    call.query.only(&COLLECTION_PARAMETERS)?;
    if resource.is_namespace() || (resource.is_namespaced && namespace.is_none()) {
        return Err(ApiError::method_not_allowed());
    }
    let options = Options::of(call)?;
    let selector = Selector::parse(
        &resource,
        call.query.get("labelSelector"),
        call.query.get("fieldSelector"),
    )?;
    let written = store
        .write(Box::new(move |txn| {
            let mut objects = Vec::new();
            let prefix = prefix(&resource, namespace.as_deref());
            txn.scan(&prefix, None, |key, bytes| {
                if objects.len() >= MAX_DELETED {
                    return Ok(ControlFlow::Break(()));
                }
                let (_, namespace, name) = key.parts();
                if selector.matches_bytes(&resource, namespace, name, bytes)? {
                    let object = Object::from_bytes(bytes)?;
                    // Checked for all before the first is touched.
                    options.check(&resource, &object)?;
                    objects.push((key, object));
                }
                Ok(ControlFlow::Continue(()))
            })?;
            let mut items = Vec::new();
            for (key, object) in objects {
                let bytes = if options.is_dry_run() {
                    object.to_bytes()?
                } else {
                    match delete::delete(txn, &resource, &key, object, options.propagation())? {
                        Deleted::Held(bytes) | Deleted::Gone { last: bytes, .. } => bytes,
                    }
                };
                if !items.is_empty() {
                    items.push(b',');
                }
                items.extend_from_slice(&bytes);
            }
            let mut body = format!(
                "{{\"kind\":{},\"apiVersion\":{},\"metadata\":{{}},\"items\":[",
                json!(resource.list_kind),
                json!(resource.api_version())
            )
            .into_bytes();
            body.append(&mut items);
            body.extend_from_slice(b"]}");
            Ok(Written::ok(Bytes::from(body)))
        }))
        .await?;
    Ok(super::bytes_response(written.code, written.body))
}
