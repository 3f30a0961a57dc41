//! One stored object: typed metadata, and the rest as JSON.

use crate::names;
use crate::resource::Resource;
use crate::schema::{FieldError, child, item};
use crate::status_error::ApiError;
use bytes::Bytes;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference, Time};
use serde_json::{Map, Value, json};

/// All annotations of an object together may take this many bytes.
const MAX_ANNOTATIONS_BYTES: usize = 256 * 1024;
/// The finalizer that waits for dependents to go.
pub(crate) const FOREGROUND: &str = "foregroundDeletion";
/// The finalizer that lets dependents live.
pub(crate) const ORPHAN: &str = "orphan";

/// An object in parts.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Object {
    pub(crate) meta: ObjectMeta,
    /// Everything but `metadata`, `apiVersion` and `kind` included.
    pub(crate) rest: Map<String, Value>,
}

fn none_if_empty<T>(option: &mut Option<T>, is_empty: impl Fn(&T) -> bool) {
    if option.as_ref().is_some_and(is_empty) {
        *option = None;
    }
}

impl Object {
    /// # Errors
    /// `BadRequest` when the value is no object or its metadata has wrong types.
    pub(crate) fn from_value(value: Value) -> Result<Self, ApiError> {
        let Value::Object(mut rest) = value else {
            return Err(ApiError::bad_request("the body is not a JSON object"));
        };
        let mut meta: ObjectMeta = match rest.remove("metadata") {
            None | Some(Value::Null) => ObjectMeta::default(),
            Some(meta) => serde_json::from_value(meta).map_err(|error| {
                ApiError::bad_request(format!("metadata cannot be read: {error}"))
            })?,
        };
        none_if_empty(&mut meta.labels, |map| map.is_empty());
        none_if_empty(&mut meta.annotations, |map| map.is_empty());
        none_if_empty(&mut meta.finalizers, Vec::is_empty);
        none_if_empty(&mut meta.owner_references, Vec::is_empty);
        none_if_empty(&mut meta.managed_fields, Vec::is_empty);
        none_if_empty(&mut meta.name, String::is_empty);
        none_if_empty(&mut meta.generate_name, String::is_empty);
        none_if_empty(&mut meta.namespace, String::is_empty);
        none_if_empty(&mut meta.resource_version, String::is_empty);
        none_if_empty(&mut meta.uid, String::is_empty);
        meta.self_link = None;
        Ok(Self { meta, rest })
    }

    /// Reads what the store holds.
    pub(crate) fn from_bytes(bytes: &[u8]) -> Result<Self, ApiError> {
        let value = serde_json::from_slice(bytes)
            .map_err(|error| ApiError::internal("read a stored object", &error))?;
        Self::from_value(value)
    }

    pub(crate) fn to_value(&self) -> Result<Value, ApiError> {
        let mut object = self.rest.clone();
        let meta = serde_json::to_value(&self.meta)
            .map_err(|error| ApiError::internal("encode metadata", &error))?;
        object.insert("metadata".to_owned(), meta);
        Ok(Value::Object(object))
    }

    pub(crate) fn to_bytes(&self) -> Result<Bytes, ApiError> {
        serde_json::to_vec(&self.to_value()?)
            .map(Bytes::from)
            .map_err(|error| ApiError::internal("encode an object", &error))
    }

    /// What schemas and rules see: of the metadata, only the names.
    pub(crate) fn to_schema_value(&self) -> Value {
        let mut object = self.rest.clone();
        let mut meta = Map::new();
        if let Some(name) = &self.meta.name {
            meta.insert("name".to_owned(), Value::from(name.as_str()));
        }
        if let Some(name) = &self.meta.generate_name {
            meta.insert("generateName".to_owned(), Value::from(name.as_str()));
        }
        object.insert("metadata".to_owned(), Value::Object(meta));
        Value::Object(object)
    }

    pub(crate) fn name(&self) -> &str {
        self.meta.name.as_deref().unwrap_or_default()
    }

    pub(crate) fn uid(&self) -> &str {
        self.meta.uid.as_deref().unwrap_or_default()
    }

    pub(crate) fn finalizers(&self) -> &[String] {
        self.meta.finalizers.as_deref().unwrap_or_default()
    }

    pub(crate) fn owners(&self) -> &[OwnerReference] {
        self.meta.owner_references.as_deref().unwrap_or_default()
    }

    pub(crate) fn is_deleting(&self) -> bool {
        self.meta.deletion_timestamp.is_some()
    }

    pub(crate) fn remove_finalizer(&mut self, finalizer: &str) {
        if let Some(list) = &mut self.meta.finalizers {
            list.retain(|one| one != finalizer);
        }
        none_if_empty(&mut self.meta.finalizers, Vec::is_empty);
    }

    pub(crate) fn add_finalizer(&mut self, finalizer: &str) {
        let list = self.meta.finalizers.get_or_insert_default();
        if !list.iter().any(|one| one == finalizer) {
            list.push(finalizer.to_owned());
        }
    }
}

/// Now, in whole seconds, as metadata carries it.
pub(crate) fn now() -> Time {
    let now = jiff::Timestamp::now();
    Time(jiff::Timestamp::from_second(now.as_second()).unwrap_or(now))
}

/// The fields of the metadata that a body gives and nobody knows.
pub(crate) fn unknown_metadata(body: &Value) -> Vec<String> {
    let Some(given) = body.get("metadata") else {
        return Vec::new();
    };
    // What cannot be read is refused for that.
    let kept = serde_json::from_value::<ObjectMeta>(given.clone()).and_then(serde_json::to_value);
    kept.map_or_else(
        |_| Vec::new(),
        |kept| unknown_fields(&json!({"metadata": given}), &json!({"metadata": kept})),
    )
}

/// The fields that were given and are not in what a type kept of them.
pub(crate) fn unknown_fields(given: &Value, kept: &Value) -> Vec<String> {
    let mut paths = Vec::new();
    compare(given, kept, "", &mut paths);
    paths
}

fn compare(given: &Value, kept: &Value, path: &str, paths: &mut Vec<String>) {
    match (given, kept) {
        (Value::Object(given), Value::Object(kept)) => {
            for (key, value) in given {
                let path = child(path, key);
                match kept.get(key) {
                    Some(kept) => compare(value, kept, &path, paths),
                    // What says nothing may be left out; what a Secret gives as text is kept as data.
                    None if is_nothing(value) || path == "stringData" => {}
                    None => paths.push(path),
                }
            }
        }
        (Value::Array(given), Value::Array(kept)) => {
            for (index, (given, kept)) in given.iter().zip(kept).enumerate() {
                compare(given, kept, &item(path, index), paths);
            }
        }
        _ => {}
    }
}

fn is_nothing(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Object(map) => map.is_empty(),
        Value::Array(list) => list.is_empty(),
        _ => false,
    }
}

/// Checks everything in metadata that a caller may set.
pub(crate) fn validate_meta(resource: &Resource, object: &Object) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let meta = &object.meta;
    let name = object.name();
    let is_valid = if resource.is_namespace() {
        names::is_label(name)
    } else {
        names::is_subdomain(name)
    };
    if name.is_empty() {
        errors.push(FieldError::required(
            "metadata.name".to_owned(),
            "name or generateName is required",
        ));
    } else if !is_valid {
        errors.push(FieldError::invalid(
            "metadata.name".to_owned(),
            &Value::from(name),
            "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character",
        ));
    }
    for (key, value) in meta.labels.iter().flatten() {
        if !names::is_qualified(key) {
            errors.push(bad_key("metadata.labels", key));
        }
        if !names::is_label_value(value) {
            errors.push(FieldError::invalid(
                "metadata.labels".to_owned(),
                &Value::from(value.as_str()),
                "a valid label must be an empty string or consist of at most 63 alphanumeric characters, '-', '_' or '.'",
            ));
        }
    }
    let mut size = 0;
    for (key, value) in meta.annotations.iter().flatten() {
        size += key.len() + value.len();
        if !names::is_qualified(&key.to_lowercase()) {
            errors.push(bad_key("metadata.annotations", key));
        }
    }
    if size > MAX_ANNOTATIONS_BYTES {
        errors.push(FieldError::too_long(
            "metadata.annotations".to_owned(),
            &format!("may not be more than {MAX_ANNOTATIONS_BYTES} bytes"),
        ));
    }
    for finalizer in object.finalizers() {
        if !names::is_qualified(finalizer) {
            errors.push(bad_key("metadata.finalizers", finalizer));
        }
    }
    let has = |finalizer: &str| object.finalizers().iter().any(|one| one == finalizer);
    if has(FOREGROUND) && has(ORPHAN) {
        errors.push(FieldError::invalid(
            "metadata.finalizers".to_owned(),
            &Value::Array(Vec::new()),
            "finalizer orphan and foregroundDeletion cannot be both set",
        ));
    }
    validate_owners(object, &mut errors);
    errors
}

fn bad_key(field: &str, key: &str) -> FieldError {
    FieldError::invalid(
        field.to_owned(),
        &Value::from(key),
        "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character",
    )
}

fn validate_owners(object: &Object, errors: &mut Vec<FieldError>) {
    let mut controllers = 0;
    for owner in object.owners() {
        let path = |field: &str| format!("metadata.ownerReferences.{field}");
        if owner.kind == "Event" && matches!(owner.api_version.as_str(), "v1" | "events.k8s.io/v1")
        {
            errors.push(FieldError::invalid(
                "metadata.ownerReferences".to_owned(),
                &Value::Object(Map::new()),
                "an Event is disallowed from being an owner",
            ));
        }
        for (field, value) in [
            ("apiVersion", &owner.api_version),
            ("kind", &owner.kind),
            ("name", &owner.name),
            ("uid", &owner.uid),
        ] {
            if value.is_empty() {
                errors.push(FieldError::invalid(
                    path(field),
                    &Value::from(""),
                    "must not be empty",
                ));
            }
        }
        if owner.controller == Some(true) {
            controllers += 1;
        }
    }
    if controllers > 1 {
        errors.push(FieldError::invalid(
            "metadata.ownerReferences".to_owned(),
            &Value::Array(Vec::new()),
            "Only one reference can have Controller set to true",
        ));
    }
}
