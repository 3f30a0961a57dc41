//! Deletion of one object, with finalizers and propagation.

use crate::object::{FOREGROUND, ORPHAN, Object, now};
use crate::resource::Resource;
use crate::status_error::ApiError;
use crate::store::Key;
use crate::txn::Txn;
use bytes::Bytes;
use serde_json::{Value, json};

/// What becomes of dependents.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Propagation {
    Background,
    Foreground,
    Orphan,
}

/// What a deletion did.
#[derive(Debug)]
pub(crate) enum Deleted {
    /// The object is gone; its last state.
    Gone { last: Bytes, uid: String },
    /// Finalizers hold it; its state now.
    Held(Bytes),
}

/// Deletes, or marks as being deleted while finalizers remain.
pub(crate) fn delete(
    txn: &mut Txn<'_, '_>,
    resource: &Resource,
    key: &Key,
    object: Object,
    propagation: Option<Propagation>,
) -> Result<Deleted, ApiError> {
    let mut new = object.clone();
    match propagation {
        None => {}
        Some(Propagation::Background) => {
            new.remove_finalizer(FOREGROUND);
            new.remove_finalizer(ORPHAN);
        }
        Some(Propagation::Foreground) => {
            new.remove_finalizer(ORPHAN);
            new.add_finalizer(FOREGROUND);
        }
        Some(Propagation::Orphan) => {
            new.remove_finalizer(FOREGROUND);
            new.add_finalizer(ORPHAN);
        }
    }
    if resource.is_namespace() {
        if object.name() == "default" {
            return Err(ApiError::forbidden(
                resource,
                "default",
                "this namespace may not be deleted",
            ));
        }
        // A namespace is never gone at once, and its content always goes with it.
        new.meta.finalizers = object.meta.finalizers.clone();
        new.rest
            .insert("status".to_owned(), json!({"phase": "Terminating"}));
    } else if new.finalizers().is_empty() {
        let last = txn.remove(resource, key, &new)?;
        return Ok(Deleted::Gone {
            last,
            uid: object.uid().to_owned(),
        });
    }
    if !object.is_deleting() {
        new.meta.deletion_timestamp = Some(now());
        new.meta.deletion_grace_period_seconds = Some(0);
        new.meta.generation = new.meta.generation.map(|generation| generation + 1);
    }
    if new == object {
        return object.to_bytes().map(Deleted::Held);
    }
    txn.put(resource, key, Some(&object), new)
        .map(Deleted::Held)
}

/// The `Status` that tells a client that the object is gone.
pub(crate) fn gone_status(resource: &Resource, name: &str, uid: &str) -> Value {
    json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success",
        "details": {"name": name, "group": resource.group, "kind": resource.plural, "uid": uid},
    })
}
