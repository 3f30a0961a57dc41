//! What happens to objects because others went: dependents of owners, contents of namespaces,
//! old events.
//!
//! Runs in the writer between requests, in bounded steps. An owner is absent only if its kind is
//! served here and no object has its name and uid; an unknown kind keeps its dependents.

use crate::delete::{self, Propagation};
use crate::object::{FOREGROUND, ORPHAN, Object};
use crate::resource::Registry;
use crate::status_error::ApiError;
use crate::store::{Key, prefix};
use crate::writer::Txn;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use serde_json::{Value, json};
use std::collections::{HashSet, VecDeque};
use std::sync::Arc;

/// Objects touched in one step, so that requests never wait long.
const MAX_STEP: usize = 100;
/// Events live for an hour, as in a cluster.
const EVENT_LIFE_SECONDS: i64 = 3600;

/// A piece of work.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Task {
    /// An owner may be gone or going.
    Owner { key: Key, uid: String },
    /// A namespace is going.
    Namespace(String),
    /// `default` must exist.
    DefaultNamespace,
    /// Events may be old.
    Events,
}

/// Whether a step left something to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Progress {
    Done,
    More,
}

/// The list of work; each piece is on it once.
#[derive(Debug, Default)]
pub(crate) struct Tasks {
    queue: VecDeque<Task>,
    known: HashSet<Task>,
}

impl Tasks {
    pub(crate) fn push(&mut self, task: Task) {
        if self.known.insert(task.clone()) {
            self.queue.push_back(task);
        }
    }

    pub(crate) fn pop(&mut self) -> Option<Task> {
        let task = self.queue.pop_front()?;
        self.known.remove(&task);
        Some(task)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }
}

/// Where the owner would be; `None` when its kind is not served here.
fn owner_key(registry: &Registry, owner: &OwnerReference, namespace: &str) -> Option<Key> {
    let resource = registry.owner_kind(&owner.api_version, &owner.kind)?;
    let namespace = if resource.is_namespaced {
        namespace
    } else {
        ""
    };
    Some(Key::new(resource, namespace, &owner.name))
}

/// The task that looks at an owner.
pub(crate) fn owner_task(
    registry: &Registry,
    owner: &OwnerReference,
    namespace: &str,
) -> Option<Task> {
    owner_key(registry, owner, namespace).map(|key| Task::Owner {
        key,
        uid: owner.uid.clone(),
    })
}

/// Does one bounded piece of a task.
pub(crate) fn step(txn: &mut Txn<'_, '_>, task: &Task) -> Result<Progress, ApiError> {
    match task {
        Task::Owner { key, uid } => owner(txn, key, uid),
        Task::Namespace(name) => namespace(txn, name),
        Task::DefaultNamespace => default_namespace(txn),
        Task::Events => events(txn),
    }
}

fn is_alive(txn: &Txn<'_, '_>, owner: &OwnerReference, namespace: &str) -> Result<bool, ApiError> {
    match owner_key(txn.registry, owner, namespace) {
        None => Ok(true),
        Some(key) => Ok(txn.get(&key)?.is_some_and(|found| found.uid() == owner.uid)),
    }
}

fn dependents(txn: &Txn<'_, '_>, uid: &str) -> Vec<Key> {
    txn.index
        .dependents
        .get(uid)
        .map(|keys| keys.iter().cloned().collect())
        .unwrap_or_default()
}

fn owner(txn: &mut Txn<'_, '_>, key: &Key, uid: &str) -> Result<Progress, ApiError> {
    match txn.get(key)?.filter(|found| found.uid() == uid) {
        None => collect_dependents(txn, uid),
        Some(found) if found.is_deleting() => {
            if found.finalizers().iter().any(|f| f == ORPHAN) {
                orphan_dependents(txn, key, found)
            } else if found.finalizers().iter().any(|f| f == FOREGROUND) {
                delete_dependents_first(txn, key, found)
            } else {
                Ok(Progress::Done)
            }
        }
        Some(_) => Ok(Progress::Done),
    }
}

/// The owner is gone: dependents without another owner go, others forget it.
fn collect_dependents(txn: &mut Txn<'_, '_>, uid: &str) -> Result<Progress, ApiError> {
    let mut touched = 0;
    for key in dependents(txn, uid) {
        if touched >= MAX_STEP {
            return Ok(Progress::More);
        }
        let Some(resource) = key.resource(txn.registry).map(Arc::clone) else {
            continue;
        };
        let Some(object) = txn.get(&key)? else {
            continue;
        };
        let (_, namespace, _) = key.parts();
        let mut alive = Vec::new();
        for owner in object.owners() {
            // A uid that lives under another name, kind or namespace is a wrong reference.
            if is_alive(txn, owner, namespace)? {
                alive.push(owner.clone());
            }
        }
        if alive.len() == object.owners().len() || (alive.is_empty() && object.is_deleting()) {
            continue;
        }
        touched += 1;
        if alive.is_empty() {
            delete::delete(txn, &resource, &key, object, Some(Propagation::Background))?;
        } else {
            let mut kept = object.clone();
            kept.meta.owner_references = Some(alive);
            txn.put(&resource, &key, Some(&object), kept)?;
        }
    }
    Ok(Progress::Done)
}

fn orphan_dependents(
    txn: &mut Txn<'_, '_>,
    key: &Key,
    owner: Object,
) -> Result<Progress, ApiError> {
    let mut touched = 0;
    for dependent in dependents(txn, owner.uid()) {
        if touched >= MAX_STEP {
            return Ok(Progress::More);
        }
        let Some(resource) = dependent.resource(txn.registry).map(Arc::clone) else {
            continue;
        };
        let Some(object) = txn.get(&dependent)? else {
            continue;
        };
        let mut freed = object.clone();
        if let Some(owners) = &mut freed.meta.owner_references {
            owners.retain(|one| one.uid != owner.uid());
            if owners.is_empty() {
                freed.meta.owner_references = None;
            }
        }
        if freed != object {
            txn.put(&resource, &dependent, Some(&object), freed)?;
            touched += 1;
        }
    }
    release(txn, key, owner, ORPHAN)
}

fn delete_dependents_first(
    txn: &mut Txn<'_, '_>,
    key: &Key,
    owner: Object,
) -> Result<Progress, ApiError> {
    let mut touched = 0;
    let mut is_blocked = false;
    for dependent in dependents(txn, owner.uid()) {
        if touched >= MAX_STEP {
            return Ok(Progress::More);
        }
        let Some(resource) = dependent.resource(txn.registry).map(Arc::clone) else {
            continue;
        };
        let Some(object) = txn.get(&dependent)? else {
            continue;
        };
        let (_, namespace, _) = dependent.parts();
        let mut has_other_owner = false;
        let mut blocks = false;
        for reference in object.owners() {
            if reference.uid == owner.uid() {
                blocks |= reference.block_owner_deletion == Some(true);
            } else {
                has_other_owner |= is_alive(txn, reference, namespace)?;
            }
        }
        if has_other_owner {
            continue;
        }
        if object.is_deleting() {
            is_blocked |= blocks;
            continue;
        }
        touched += 1;
        let propagation = if txn.index.dependents.contains_key(object.uid()) {
            Propagation::Foreground
        } else {
            Propagation::Background
        };
        let gone = delete::delete(txn, &resource, &dependent, object, Some(propagation))?;
        is_blocked |= blocks && !matches!(gone, delete::Deleted::Gone { .. });
    }
    if is_blocked {
        // The removal of the last blocking dependent brings this task back.
        return Ok(Progress::Done);
    }
    release(txn, key, owner, FOREGROUND)
}

fn release(
    txn: &mut Txn<'_, '_>,
    key: &Key,
    owner: Object,
    finalizer: &str,
) -> Result<Progress, ApiError> {
    let Some(resource) = key.resource(txn.registry).map(Arc::clone) else {
        return Ok(Progress::Done);
    };
    let mut freed = owner.clone();
    freed.remove_finalizer(finalizer);
    if freed.finalizers().is_empty() {
        txn.remove(&resource, key, &freed)?;
    } else {
        txn.put(&resource, key, Some(&owner), freed)?;
    }
    Ok(Progress::Done)
}

fn namespace(txn: &mut Txn<'_, '_>, name: &str) -> Result<Progress, ApiError> {
    let namespaces = Arc::clone(&txn.registry.namespaces);
    let key = Key::new(&namespaces, "", name);
    let Some(object) = txn.get(&key)?.filter(Object::is_deleting) else {
        return Ok(Progress::Done);
    };
    let mut touched = 0;
    let mut is_empty = true;
    let kinds: Vec<_> = txn
        .registry
        .all()
        .iter()
        .filter(|resource| resource.is_namespaced)
        .map(Arc::clone)
        .collect();
    for resource in kinds {
        let room = MAX_STEP - touched;
        let mut is_kind_empty = true;
        let found = txn.scan(&prefix(&resource, Some(name)), room, |_, bytes| {
            is_kind_empty = false;
            Ok(!Object::from_bytes(bytes)?.is_deleting())
        })?;
        is_empty &= is_kind_empty;
        for (key, bytes) in found {
            let object = Object::from_bytes(&bytes)?;
            delete::delete(txn, &resource, &key, object, Some(Propagation::Background))?;
            touched += 1;
        }
        if touched >= MAX_STEP {
            return Ok(Progress::More);
        }
    }
    if touched > 0 {
        return Ok(Progress::More);
    }
    if is_empty && object.finalizers().is_empty() {
        txn.remove(&namespaces, &key, &object)?;
    }
    Ok(Progress::Done)
}

fn default_namespace(txn: &mut Txn<'_, '_>) -> Result<Progress, ApiError> {
    let namespaces = Arc::clone(&txn.registry.namespaces);
    let key = Key::new(&namespaces, "", "default");
    if !txn.contains(&key)? {
        let object = crate::create::fresh_namespace("default")?;
        txn.put(&namespaces, &key, None, object)?;
    }
    Ok(Progress::Done)
}

fn events(txn: &mut Txn<'_, '_>) -> Result<Progress, ApiError> {
    let oldest = jiff::Timestamp::now().as_second() - EVENT_LIFE_SECONDS;
    let kinds: Vec<_> = txn
        .registry
        .all()
        .iter()
        .filter(|resource| resource.is_event())
        .map(Arc::clone)
        .collect();
    for resource in kinds {
        let found = txn.scan(&prefix(&resource, None), MAX_STEP, |_, bytes| {
            let value: Value = serde_json::from_slice(bytes).unwrap_or_else(|_| json!({}));
            Ok(last_seen(&value) < oldest)
        })?;
        let is_full = found.len() >= MAX_STEP;
        for (key, bytes) in found {
            let object = Object::from_bytes(&bytes)?;
            txn.remove(&resource, &key, &object)?;
        }
        if is_full {
            return Ok(Progress::More);
        }
    }
    Ok(Progress::Done)
}

/// The last time that an event tells, in Unix seconds.
fn last_seen(event: &Value) -> i64 {
    [
        "/series/lastObservedTime",
        "/lastTimestamp",
        "/deprecatedLastTimestamp",
        "/eventTime",
        "/metadata/creationTimestamp",
    ]
    .iter()
    .filter_map(|path| {
        event
            .pointer(path)?
            .as_str()?
            .parse::<jiff::Timestamp>()
            .ok()
    })
    .map(|time| time.as_second())
    .max()
    .unwrap_or(i64::MAX)
}
