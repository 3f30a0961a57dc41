//! Replacement and patches.

use crate::create::{WriteOptions, check_kind, normalise, refuse_invalid};
use crate::managed_fields::{self, Author};
use crate::object::{Object, validate_meta};
use crate::patch::Patch;
use crate::resource::{Body, Resource};
use crate::schema::FieldError;
use crate::status_error::ApiError;
use crate::store::Key;
use crate::txn::Txn;
use crate::writer::Written;
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
        Proposal::Patch(patch) => Object::from_value(patch.apply(current.to_value()?)?)?,
    };
    check_kind(resource, &mut proposed)?;
    check_identity(resource, namespace, &current, &proposed)?;
    let proposed = merge_doors(resource, door, &current, proposed);
    let mut proposed = normalise(resource, proposed, options.is_strict)?;
    let mut errors = Vec::new();
    if door == Door::Main {
        errors.extend(validate_meta(resource, &proposed));
        errors.extend(late_finalizers(&current, &proposed));
    }
    if let Some(schema) = resource.schema() {
        let old = current.to_schema_value();
        errors.extend(schema.validate(&proposed.to_schema_value(), Some(&old)));
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
    managed_fields::record(
        Some(&current),
        &mut proposed,
        Author {
            manager: &options.manager,
            api_version: &api_version,
            subresource: (door == Door::Status).then_some("status"),
        },
    );
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

fn check_identity(
    resource: &Resource,
    namespace: &str,
    current: &Object,
    proposed: &Object,
) -> Result<(), ApiError> {
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
    if meta.uid.is_some() && meta.uid != current.meta.uid {
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
    to.generate_name.clone_from(&from.generate_name);
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
