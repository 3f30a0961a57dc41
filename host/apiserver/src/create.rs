//! Creation.

use crate::managed_fields::{self, Author};
use crate::object::{self, Object, now, validate_meta};
use crate::resource::{Body, Resource};
use crate::schema::FieldError;
use crate::status_error::{ApiError, Cause};
use crate::store::Key;
use crate::txn::Txn;
use crate::writer::Written;
use crate::{builtin_rules, names};
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

/// Refuses a body of another kind. What is missing is filled in for a built-in kind alone.
pub(crate) fn check_kind(resource: &Resource, object: &mut Object) -> Result<(), ApiError> {
    let is_custom = matches!(resource.body, Body::Custom(_));
    for (field, expected) in [
        ("kind", resource.kind.clone()),
        ("apiVersion", resource.api_version()),
    ] {
        let found = match object.rest.get(field) {
            None | Some(Value::Null) => "",
            Some(found) => found.as_str().unwrap_or("not a string"),
        };
        if found.is_empty() && is_custom {
            return Err(ApiError::bad_request(format!(
                "the object provided is unrecognized (must be of type {}): `{field}` is missing",
                resource.kind
            )));
        }
        if !found.is_empty() && found != expected {
            if is_custom && field == "kind" {
                let why = format!("must be {expected}");
                let error = FieldError::invalid(field.to_owned(), &Value::from(found), &why);
                return refuse_invalid(resource, object.name(), vec![error]);
            }
            return Err(ApiError::bad_request(format!(
                "the {field} in the data ({found}) does not match the expected {field} ({expected})"
            )));
        }
        object.rest.insert(field.to_owned(), Value::from(expected));
    }
    Ok(())
}

/// Unknown fields, where the caller asked for none, as one error.
pub(crate) fn refuse_unknown(paths: Vec<String>) -> Result<(), ApiError> {
    if paths.is_empty() {
        return Ok(());
    }
    let fields: Vec<String> = paths
        .iter()
        .map(|path| format!("unknown field \"{path}\""))
        .collect();
    let mut error = ApiError::bad_request(format!("strict decoding error: {}", fields.join(", ")));
    for path in paths {
        error = error.with_cause(Cause {
            reason: "FieldValueNotSupported",
            message: format!("unknown field \"{path}\""),
            field: path,
        });
    }
    Err(error)
}

/// Prunes and defaults the body, or decodes and encodes it by its type.
pub(crate) fn normalise(
    resource: &Resource,
    object: Object,
    is_strict: bool,
) -> Result<Object, ApiError> {
    match &resource.body {
        Body::Builtin(codec) => {
            let given = object.to_value()?;
            let value = codec(given.clone()).map_err(|error| {
                ApiError::bad_request(format!(
                    "{} in version \"{}\" cannot be handled as a {}: {error}",
                    resource.kind, resource.version, resource.kind
                ))
            })?;
            if is_strict {
                refuse_unknown(object::unknown_fields(&given, &value))?;
            }
            Object::from_value(value)
        }
        Body::Custom(schema) => {
            let mut value = Value::Object(object.rest);
            let dropped = schema.normalise(&mut value);
            if is_strict {
                refuse_unknown(dropped)?;
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
    // `0` is no revision.
    if object
        .meta
        .resource_version
        .take()
        .is_some_and(|it| it != "0")
    {
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
    match &resource.body {
        Body::Custom(schema) => errors.extend(schema.validate(&object.to_schema_value(), None)),
        Body::Builtin(_) => errors.extend(builtin_rules::validate(resource, &object, None)),
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
