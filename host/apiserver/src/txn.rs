//! A write transaction, as request handlers and the collector see it.

use crate::gc::{self, Task};
use crate::history::{Change, Event};
use crate::object::{FOREGROUND, ORPHAN, Object};
use crate::resource::{Registry, Resource};
use crate::selector::Facts;
use crate::status_error::{ApiError, Cause};
use crate::store::Key;
use crate::writer::{Index, MAX_OBJECT_BYTES};
use bytes::Bytes;
use redb::ReadableTable as _;
use std::ops::{Bound, ControlFlow};
use std::sync::Arc;

/// What a write changes in the index.
#[derive(Debug)]
pub(crate) enum Effect {
    Owners {
        key: Key,
        before: Vec<String>,
        after: Vec<String>,
    },
    NamespaceGoing(String),
    NamespaceGone(String),
}

/// A write transaction, as request handlers see it.
pub(crate) struct Txn<'a, 'txn> {
    pub(crate) objects: &'a mut redb::Table<'txn, &'static str, &'static [u8]>,
    pub(crate) registry: &'a Registry,
    pub(crate) index: &'a Index,
    pub(crate) revision: u64,
    pub(crate) events: Vec<Event>,
    pub(crate) effects: Vec<Effect>,
    pub(crate) tasks: Vec<Task>,
    pub(crate) is_broken: bool,
}

impl Txn<'_, '_> {
    pub(crate) fn get_bytes(&self, key: &Key) -> Result<Option<Bytes>, ApiError> {
        self.objects
            .get(key.as_str())
            .map(|found| found.map(|guard| Bytes::copy_from_slice(guard.value())))
            .map_err(|error| ApiError::internal("read an object", &error))
    }

    pub(crate) fn get(&self, key: &Key) -> Result<Option<Object>, ApiError> {
        self.get_bytes(key)?
            .map(|bytes| Object::from_bytes(&bytes))
            .transpose()
    }

    pub(crate) fn contains(&self, key: &Key) -> Result<bool, ApiError> {
        self.objects
            .get(key.as_str())
            .map(|found| found.is_some())
            .map_err(|error| ApiError::internal("read an object", &error))
    }

    /// Calls `visit` with each object below `prefix` after the key `after`, in order.
    pub(crate) fn scan(
        &self,
        prefix: &str,
        after: Option<&Key>,
        mut visit: impl FnMut(Key, &[u8]) -> Result<ControlFlow<()>, ApiError>,
    ) -> Result<(), ApiError> {
        let broken = |error: redb::StorageError| ApiError::internal("list objects", &error);
        let start = after.map_or(Bound::Included(prefix), |key| Bound::Excluded(key.as_str()));
        let range = self
            .objects
            .range::<&str>((start, Bound::Unbounded))
            .map_err(broken)?;
        for entry in range {
            let (key, value) = entry.map_err(broken)?;
            if !key.value().starts_with(prefix)
                || visit(Key::from_stored(key.value()), value.value())?.is_break()
            {
                break;
            }
        }
        Ok(())
    }

    /// Refuses unless objects may be created in the namespace.
    pub(crate) fn require_namespace(
        &self,
        resource: &Resource,
        namespace: &str,
        name: &str,
    ) -> Result<(), ApiError> {
        if !resource.is_namespaced {
            return Ok(());
        }
        let namespaces = Arc::clone(&self.registry.namespaces);
        let Some(object) = self.get(&Key::new(&namespaces, "", namespace))? else {
            return Err(ApiError::not_found(&namespaces, namespace));
        };
        if object.is_deleting() {
            let why = format!(
                "unable to create new content in namespace {namespace} because it is being terminated"
            );
            return Err(ApiError::forbidden(resource, name, &why).with_cause(Cause {
                reason: "NamespaceTerminating",
                field: "metadata.namespace".to_owned(),
                message: format!("namespace {namespace} is being terminated"),
            }));
        }
        Ok(())
    }

    /// Stores an object under the next revision.
    pub(crate) fn put(
        &mut self,
        resource: &Resource,
        key: &Key,
        old: Option<&Object>,
        mut new: Object,
    ) -> Result<Bytes, ApiError> {
        let revision = self.revision + 1;
        new.meta.resource_version = Some(revision.to_string());
        let value = new.to_value()?;
        let bytes = serde_json::to_vec(&value)
            .map(Bytes::from)
            .map_err(|error| ApiError::internal("encode an object", &error))?;
        if bytes.len() > MAX_OBJECT_BYTES {
            return Err(ApiError::too_large(&format!("limit is {MAX_OBJECT_BYTES}")));
        }
        let facts = Arc::new(Facts::of(resource, &value));
        let before = match old {
            None => None,
            Some(old) => Some(Arc::new(Facts::of(resource, &old.to_value()?))),
        };
        self.objects
            .insert(key.as_str(), bytes.as_ref())
            .map(drop)
            .map_err(|error| {
                self.is_broken = true;
                ApiError::internal("write an object", &error)
            })?;
        self.revision = revision;
        self.after_put(resource, key, old, &new);
        self.events.push(Event {
            revision,
            change: if old.is_some() {
                Change::Modified
            } else {
                Change::Added
            },
            key: key.clone(),
            object: bytes.clone(),
            old: before,
            new: facts,
        });
        Ok(bytes)
    }

    fn after_put(&mut self, resource: &Resource, key: &Key, old: Option<&Object>, new: &Object) {
        let uids = |object: &Object| -> Vec<String> {
            object
                .owners()
                .iter()
                .map(|owner| owner.uid.clone())
                .collect()
        };
        let before = old.map(uids).unwrap_or_default();
        let after = uids(new);
        let (_, namespace, name) = key.parts();
        for owner in new.owners() {
            if !before.contains(&owner.uid)
                && let Some(task) = gc::owner_task(self.registry, owner, namespace)
            {
                self.tasks.push(task);
            }
        }
        if before != after {
            self.effects.push(Effect::Owners {
                key: key.clone(),
                before,
                after,
            });
        }
        if new.is_deleting() {
            if resource.is_namespace() {
                self.effects.push(Effect::NamespaceGoing(name.to_owned()));
                self.tasks.push(Task::namespace(name));
            } else if new
                .finalizers()
                .iter()
                .any(|f| f == FOREGROUND || f == ORPHAN)
            {
                self.tasks.push(Task::owner(key.clone(), new.uid()));
            }
        }
        if resource.is_event() && old.is_none() {
            self.tasks.push(Task::Events { after: None });
        }
    }

    /// Removes an object; answers its last state under the revision of the removal.
    pub(crate) fn remove(
        &mut self,
        resource: &Resource,
        key: &Key,
        old: &Object,
    ) -> Result<Bytes, ApiError> {
        let revision = self.revision + 1;
        let mut last = old.clone();
        last.meta.resource_version = Some(revision.to_string());
        let value = last.to_value()?;
        let facts = Arc::new(Facts::of(resource, &value));
        let bytes = last.to_bytes()?;
        self.objects
            .remove(key.as_str())
            .map(drop)
            .map_err(|error| {
                self.is_broken = true;
                ApiError::internal("remove an object", &error)
            })?;
        self.revision = revision;
        let (_, namespace, name) = key.parts();
        for owner in old.owners() {
            if let Some(task) = gc::owner_task(self.registry, owner, namespace) {
                self.tasks.push(task);
            }
        }
        if !old.owners().is_empty() {
            self.effects.push(Effect::Owners {
                key: key.clone(),
                before: old.owners().iter().map(|owner| owner.uid.clone()).collect(),
                after: Vec::new(),
            });
        }
        self.tasks.push(Task::owner(key.clone(), old.uid()));
        if resource.is_namespace() {
            self.effects.push(Effect::NamespaceGone(name.to_owned()));
        } else if self.index.terminating.contains(namespace) {
            self.tasks.push(Task::EmptyNamespace(namespace.to_owned()));
        }
        self.events.push(Event {
            revision,
            change: Change::Deleted,
            key: key.clone(),
            object: bytes.clone(),
            old: Some(Arc::clone(&facts)),
            new: facts,
        });
        Ok(bytes)
    }
}
