//! Creation.

use crate::managed_fields::{self, Author};
use crate::names;
use crate::object::{Object, now, validate_meta};
use crate::resource::{Body, Resource};
use crate::schema::FieldError;
use crate::status_error::{ApiError, Cause};
use crate::store::Key;
use crate::txn::Txn;
use crate::writer::Written;
use http::StatusCode;
use serde_json::{Map, Value, json};

/// Generated names that are taken are tried again so often.
const MAX_GENERATED: usize = 8;

/// What all writes share.
#[derive(Clone, Debug)]
pub(crate) struct WriteOptions {
    pub(crate) manager: String,
    pub(crate) is_dry_run: bool,
    /// Unknown fields are errors rather than dropped.
    pub(crate) is_strict: bool,
}

/// Refuses a body of another kind; fills in what is missing.
pub(crate) fn check_kind(resource: &Resource, object: &mut Object) -> Result<(), ApiError> {
    for (field, expected, what) in [
        ("apiVersion", resource.api_version(), "API version"),
        ("kind", resource.kind.clone(), "kind"),
    ] {
        match object.rest.get(field) {
            None | Some(Value::Null) => {}
            Some(Value::String(found)) if found.is_empty() || *found == expected => {}
            Some(found) => {
                return Err(ApiError::bad_request(format!(
                    "the {what} in the data ({}) does not match the expected {what} ({expected})",
                    found.as_str().unwrap_or("not a string"),
                )));
            }
        }
        object.rest.insert(field.to_owned(), Value::from(expected));
    }
    Ok(())
}

/// Prunes and defaults the body, or decodes and encodes it by its type.
pub(crate) fn normalise(
    resource: &Resource,
    object: Object,
    is_strict: bool,
) -> Result<Object, ApiError> {
    match &resource.body {
        Body::Builtin(codec) => {
            let value = object.to_value()?;
            let value = codec(value).map_err(|error| {
                ApiError::bad_request(format!(
                    "{} in version \"{}\" cannot be handled as a {}: {error}",
                    resource.kind, resource.version, resource.kind
                ))
            })?;
            Object::from_value(value)
        }
        Body::Custom(schema) => {
            let mut value = Value::Object(object.rest);
            let dropped = schema.normalise(&mut value);
            if is_strict && !dropped.is_empty() {
                let fields: Vec<String> = dropped
                    .iter()
                    .map(|path| format!("unknown field \"{path}\""))
                    .collect();
                let mut error =
                    ApiError::bad_request(format!("strict decoding error: {}", fields.join(", ")));
                for path in dropped {
                    error = error.with_cause(Cause {
                        reason: "FieldValueNotSupported",
                        message: format!("unknown field \"{path}\""),
                        field: path,
                    });
                }
                return Err(error);
            }
            let rest = match value {
                Value::Object(rest) => rest,
                _ => Map::new(),
            };
            Ok(Object {
                meta: object.meta,
                rest,
            })
        }
    }
}

/// All problems as one error.
pub(crate) fn refuse_invalid(
    resource: &Resource,
    name: &str,
    errors: Vec<FieldError>,
) -> Result<(), ApiError> {
    if errors.is_empty() {
        return Ok(());
    }
    let causes = errors.into_iter().map(FieldError::into_cause).collect();
    Err(ApiError::invalid(resource, name, causes))
}

/// Checks and completes a body; everything that needs no look at the store.
pub(crate) fn prepare(
    resource: &Resource,
    namespace: Option<&str>,
    mut object: Object,
    options: &WriteOptions,
) -> Result<Object, ApiError> {
    check_kind(resource, &mut object)?;
    if object.meta.resource_version.is_some() {
        return Err(ApiError::bad_request(
            "resourceVersion should not be set on objects to be created",
        ));
    }
    match (&object.meta.namespace, namespace) {
        (Some(found), Some(expected)) if found != expected => {
            return Err(ApiError::bad_request(
                "the namespace of the provided object does not match the namespace sent on the request",
            ));
        }
        (Some(_), None) => {
            return Err(ApiError::bad_request(
                "namespace is not allowed on this type",
            ));
        }
        _ => {}
    }
    object.meta.namespace = namespace.map(str::to_owned);
    let is_generated = object.meta.name.is_none() && object.meta.generate_name.is_some();
    if is_generated {
        object.meta.name = object.meta.generate_name.as_deref().map(names::generate);
    }
    let created = now();
    object.meta.uid = Some(uuid::Uuid::new_v4().to_string());
    object.meta.creation_timestamp = Some(created);
    object.meta.deletion_timestamp = None;
    object.meta.deletion_grace_period_seconds = None;
    object.meta.managed_fields = None;
    object.meta.generation = matches!(resource.body, Body::Custom(_)).then_some(1);
    if resource.has_status {
        object.rest.remove("status");
    }
    let mut object = normalise(resource, object, options.is_strict)?;
    if resource.is_namespace() {
        complete_namespace(&mut object);
    }
    let mut errors = validate_meta(resource, &object);
    if let Some(schema) = resource.schema() {
        errors.extend(schema.validate(&object.to_schema_value(), None));
    }
    refuse_invalid(resource, object.name(), errors)?;
    let api_version = resource.api_version();
    managed_fields::record(
        None,
        &mut object,
        Author {
            manager: &options.manager,
            api_version: &api_version,
            subresource: None,
        },
    );
    if !is_generated {
        return Ok(object);
    }
    // The name is chosen in the transaction, where it is known to be free.
    object.meta.name = None;
    Ok(object)
}

fn complete_namespace(object: &mut Object) {
    object
        .rest
        .insert("spec".to_owned(), json!({"finalizers": ["kubernetes"]}));
    object
        .rest
        .insert("status".to_owned(), json!({"phase": "Active"}));
    let name = object.name().to_owned();
    object
        .meta
        .labels
        .get_or_insert_default()
        .insert("kubernetes.io/metadata.name".to_owned(), name);
}

/// A namespace that nobody asked for: `default`.
pub(crate) fn fresh_namespace(name: &str) -> Result<Object, ApiError> {
    prepare(
        &crate::builtin::namespace(),
        None,
        Object::from_value(json!({"metadata": {"name": name}}))?,
        &WriteOptions {
            manager: "opendepot".to_owned(),
            is_dry_run: false,
            is_strict: false,
        },
    )
}

/// The part inside the transaction.
pub(crate) fn commit(
    txn: &mut Txn<'_, '_>,
    resource: &Resource,
    namespace: &str,
    mut object: Object,
    is_dry_run: bool,
) -> Result<Written, ApiError> {
    txn.require_namespace(resource, namespace, object.name())?;
    let key = match (&object.meta.name, &object.meta.generate_name) {
        (None, Some(base)) => {
            let mut free = None;
            for _ in 0..MAX_GENERATED {
                let name = names::generate(base);
                let key = Key::new(resource, namespace, &name);
                if !txn.contains(&key)? {
                    free = Some((key, name));
                    break;
                }
            }
            let (key, name) = free.ok_or_else(|| ApiError::already_exists(resource, base))?;
            if resource.is_namespace() {
                object
                    .meta
                    .labels
                    .get_or_insert_default()
                    .insert("kubernetes.io/metadata.name".to_owned(), name.clone());
            }
            object.meta.name = Some(name);
            key
        }
        _ => {
            let key = Key::new(resource, namespace, object.name());
            if txn.contains(&key)? {
                return Err(ApiError::already_exists(resource, object.name()));
            }
            key
        }
    };
    let body = if is_dry_run {
        object.to_bytes()?
    } else {
        txn.put(resource, &key, None, object)?
    };
    Ok(Written {
        code: StatusCode::CREATED,
        body,
    })
}
