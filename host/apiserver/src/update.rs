//! Replacement and patches.

use crate::builtin_rules;
use crate::create::{WriteOptions, check_kind, normalise, refuse_invalid, refuse_unknown};
use crate::managed_fields::{self, Author};
use crate::object::{self, Object, validate_meta};
use crate::patch::Patch;
use crate::resource::{Body, Resource};
use crate::schema::FieldError;
use crate::status_error::ApiError;
use crate::store::Key;
use crate::txn::Txn;
use crate::writer::Written;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ManagedFieldsEntry;
use serde_json::Value;

/// Which door a write came through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Door {
    /// Everything but status, where a status door exists.
    Main,
    /// Status alone.
    Status,
}

/// Where the new state comes from.
#[derive(Debug)]
pub(crate) enum Proposal {
    Replace(Box<Object>),
    Patch(Patch),
}

/// The part inside the transaction.
pub(crate) fn commit(
    txn: &mut Txn<'_, '_>,
    resource: &Resource,
    key: &Key,
    door: Door,
    proposal: Proposal,
    options: &WriteOptions,
) -> Result<Written, ApiError> {
    let (_, namespace, name) = key.parts();
    let Some(current) = txn.get(key)? else {
        return Err(ApiError::not_found(resource, name));
    };
    let is_patch = matches!(proposal, Proposal::Patch(_));
    // A patch that can be read and leads to what cannot be read is a wrong value.
    let undecodable = |error: ApiError| match is_patch {
        true => error.of_patch(resource, name),
        false => error,
    };
    let mut proposed = match proposal {
        Proposal::Replace(object) => {
            if object.meta.resource_version.is_none() && !resource.allows_unconditional_update {
                let error = FieldError::invalid(
                    "metadata.resourceVersion".to_owned(),
                    &Value::from(0),
                    "must be specified for an update",
                );
                return Err(ApiError::invalid(resource, name, vec![error.into_cause()]));
            }
            *object
        }
        Proposal::Patch(patch) => {
            let value = patch.apply(current.to_value()?)?;
            if options.is_strict {
                refuse_unknown(object::unknown_metadata(&value)).map_err(undecodable)?;
            }
            Object::from_value(value).map_err(undecodable)?
        }
    };
    check_name(namespace, &current, &proposed)?;
    check_kind(resource, &mut proposed).map_err(undecodable)?;
    check_preconditions(resource, &current, &proposed, is_patch)?;
    let mut errors = Vec::new();
    if door == Door::Main {
        errors.extend(immutable(&current, &proposed));
    }
    let forgets_managers = door == Door::Main && forgets_managers(&proposed);
    let mut proposed = merge_doors(resource, door, &current, proposed);
    if forgets_managers {
        proposed.meta.managed_fields = None;
    }
    let mut proposed = normalise(resource, proposed, options.is_strict).map_err(undecodable)?;
    if door == Door::Main {
        errors.extend(validate_meta(resource, &proposed));
        errors.extend(late_finalizers(&current, &proposed));
    }
    match &resource.body {
        Body::Custom(schema) => {
            let old = current.to_schema_value();
            errors.extend(schema.validate(&proposed.to_schema_value(), Some(&old)));
        }
        Body::Builtin(_) => {
            errors.extend(builtin_rules::validate(resource, &proposed, Some(&current)));
        }
    }
    refuse_invalid(resource, name, errors)?;
    if proposed == current {
        return current.to_bytes().map(Written::ok);
    }
    if matches!(resource.body, Body::Custom(_)) && is_new_generation(resource, &current, &proposed)
    {
        proposed.meta.generation = Some(current.meta.generation.unwrap_or(0) + 1);
    }
    let api_version = resource.api_version();
    let author = Author {
        manager: &options.manager,
        api_version: &api_version,
        subresource: (door == Door::Status).then_some("status"),
    };
    if !forgets_managers {
        managed_fields::record(Some(&current), &mut proposed, author);
    }
    if options.is_dry_run {
        return proposed.to_bytes().map(Written::ok);
    }
    let is_finished =
        current.is_deleting() && proposed.finalizers().is_empty() && !resource.is_namespace();
    let body = if is_finished {
        txn.remove(resource, key, &proposed)?
    } else {
        txn.put(resource, key, Some(&current), proposed)?
    };
    Ok(Written::ok(body))
}

fn check_name(namespace: &str, current: &Object, proposed: &Object) -> Result<(), ApiError> {
    let name = current.name();
    let meta = &proposed.meta;
    if meta.name.as_deref() != Some(name) {
        return Err(ApiError::bad_request(format!(
            "the name of the object ({}) does not match the name on the URL ({name})",
            proposed.name()
        )));
    }
    if meta
        .namespace
        .as_deref()
        .is_some_and(|found| found != namespace)
    {
        return Err(ApiError::bad_request(
            "the namespace of the object does not match the namespace on the URL",
        ));
    }
    Ok(())
}

fn check_preconditions(
    resource: &Resource,
    current: &Object,
    proposed: &Object,
    is_patch: bool,
) -> Result<(), ApiError> {
    let name = current.name();
    let meta = &proposed.meta;
    // In a patch a uid is a value as any other.
    if !is_patch && meta.uid.is_some() && meta.uid != current.meta.uid {
        return Err(ApiError::conflict(
            resource,
            name,
            &format!(
                "Precondition failed: UID in precondition: {}, UID in object meta: {}",
                proposed.uid(),
                current.uid()
            ),
        ));
    }
    if meta.resource_version.is_some() && meta.resource_version != current.meta.resource_version {
        return Err(ApiError::modified(resource, name));
    }
    Ok(())
}

/// What belongs to the server and is neither taken nor passed over in silence.
fn immutable(current: &Object, proposed: &Object) -> Vec<FieldError> {
    let (from, to) = (&current.meta, &proposed.meta);
    let mut errors = Vec::new();
    let mut refuse = |field: &str, value: Value| {
        let field = format!("metadata.{field}");
        errors.push(FieldError::invalid(field, &value, "field is immutable"));
    };
    if to.uid.is_some() && to.uid != from.uid {
        refuse("uid", Value::from(proposed.uid()));
    }
    if let (Some(time), None) = (&to.deletion_timestamp, &from.deletion_timestamp) {
        refuse("deletionTimestamp", Value::from(time.0.to_string()));
    }
    if let Some(seconds) = to.deletion_grace_period_seconds
        && to.deletion_grace_period_seconds != from.deletion_grace_period_seconds
    {
        refuse("deletionGracePeriodSeconds", Value::from(seconds));
    }
    errors
}

/// Whether the list of managers is replaced by one empty entry, which is how it is emptied.
fn forgets_managers(proposed: &Object) -> bool {
    let empty = ManagedFieldsEntry::default();
    matches!(proposed.meta.managed_fields.as_deref(), Some([only]) if *only == empty)
}

/// Takes from the proposal what its door may change, and the rest from the current state.
fn merge_doors(resource: &Resource, door: Door, current: &Object, proposed: Object) -> Object {
    let mut merged = match door {
        Door::Main => {
            let mut merged = proposed;
            if resource.has_status {
                match current.rest.get("status") {
                    Some(status) => merged.rest.insert("status".to_owned(), status.clone()),
                    None => merged.rest.remove("status"),
                };
            }
            if resource.is_namespace()
                && let Some(spec) = current.rest.get("spec")
            {
                merged.rest.insert("spec".to_owned(), spec.clone());
            }
            merged
        }
        Door::Status => {
            let mut merged = current.clone();
            match proposed.rest.get("status") {
                Some(status) => merged.rest.insert("status".to_owned(), status.clone()),
                None => merged.rest.remove("status"),
            };
            merged
        }
    };
    let (from, to) = (&current.meta, &mut merged.meta);
    to.namespace.clone_from(&from.namespace);
    to.uid.clone_from(&from.uid);
    to.resource_version.clone_from(&from.resource_version);
    to.generation = from.generation;
    to.creation_timestamp.clone_from(&from.creation_timestamp);
    to.deletion_timestamp.clone_from(&from.deletion_timestamp);
    to.deletion_grace_period_seconds = from.deletion_grace_period_seconds;
    to.managed_fields.clone_from(&from.managed_fields);
    merged
}

fn late_finalizers(current: &Object, proposed: &Object) -> Option<FieldError> {
    if !current.is_deleting() {
        return None;
    }
    let late: Vec<&str> = proposed
        .finalizers()
        .iter()
        .filter(|one| !current.finalizers().contains(one))
        .map(String::as_str)
        .collect();
    (!late.is_empty()).then(|| {
        FieldError::forbidden(
            "metadata.finalizers".to_owned(),
            &format!(
                "no new finalizers can be added if the object is being deleted, found new finalizers {late:?}"
            ),
        )
    })
}

/// Whether anything besides metadata, and status where it has its own door, differs.
fn is_new_generation(resource: &Resource, current: &Object, proposed: &Object) -> bool {
    let counted = |object: &Object| {
        let mut rest = object.rest.clone();
        if resource.has_status {
            rest.remove("status");
        }
        rest
    };
    counted(current) != counted(proposed)
}
