//! What happens to objects because others went: dependents of owners, contents of namespaces,
//! old events.
//!
//! Runs in the writer between requests, in bounded steps. An owner is absent only if its kind is
//! served here and no object has its name and uid; an unknown kind keeps its dependents.

use crate::delete::{self, Propagation};
use crate::object::{FOREGROUND, ORPHAN, Object};
use crate::resource::{Registry, Resource};
use crate::status_error::ApiError;
use crate::store::{Key, prefix};
use crate::txn::Txn;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use serde_json::{Value, json};
use std::collections::{HashSet, VecDeque};
use std::ops::{Bound, ControlFlow};
use std::sync::Arc;

/// Objects touched in one step, so that requests never wait long.
const MAX_STEP: usize = 100;
/// Events live for an hour, as in a cluster.
const EVENT_LIFE_SECONDS: i64 = 3600;

/// A piece of work. Where one is too long for a step, it goes on after a key.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Task {
    /// An owner may be gone or going.
    Owner {
        key: Key,
        uid: String,
        after: Option<Key>,
        /// Whether a dependent before `after` keeps the owner waiting.
        is_blocked: bool,
    },
    /// A namespace is going: its content has to be deleted.
    Namespace { name: String, after: Option<Key> },
    /// A namespace that is going may be empty.
    EmptyNamespace(String),
    /// `default` must exist.
    DefaultNamespace,
    /// Events may be old.
    Events { after: Option<Key> },
}

impl Task {
    pub(crate) fn owner(key: Key, uid: &str) -> Self {
        Self::Owner {
            key,
            uid: uid.to_owned(),
            after: None,
            is_blocked: false,
        }
    }

    pub(crate) fn namespace(name: &str) -> Self {
        Self::Namespace {
            name: name.to_owned(),
            after: None,
        }
    }
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
    owner_key(registry, owner, namespace).map(|key| Task::owner(key, &owner.uid))
}

/// What a step leaves to do.
type Rest = Result<Option<Task>, ApiError>;

/// Does one bounded piece of a task.
pub(crate) fn step(txn: &mut Txn<'_, '_>, task: &Task) -> Rest {
    match task {
        Task::Owner {
            key,
            uid,
            after,
            is_blocked,
        } => {
            let visit = Visit {
                key,
                uid,
                after: after.as_ref(),
                is_blocked: *is_blocked,
            };
            owner(txn, &visit)
        }
        Task::Namespace { name, after } => namespace(txn, name, after.as_ref()),
        Task::EmptyNamespace(name) => empty_namespace(txn, name),
        Task::DefaultNamespace => default_namespace(txn),
        Task::Events { after } => events(txn, after.as_ref()),
    }
}

/// One step over the dependents of an owner.
struct Visit<'a> {
    key: &'a Key,
    uid: &'a str,
    after: Option<&'a Key>,
    is_blocked: bool,
}

impl Visit<'_> {
    /// The dependents of this step.
    fn dependents(&self, txn: &Txn<'_, '_>) -> Vec<Key> {
        let Some(keys) = txn.index.dependents.get(self.uid) else {
            return Vec::new();
        };
        let start = self.after.map_or(Bound::Unbounded, Bound::Excluded);
        keys.range((start, Bound::Unbounded))
            .take(MAX_STEP)
            .cloned()
            .collect()
    }

    /// The next step, when this one was full.
    fn rest(&self, visited: &[Key], is_blocked: bool) -> Option<Task> {
        let last = visited.last().filter(|_| visited.len() >= MAX_STEP)?;
        Some(Task::Owner {
            key: self.key.clone(),
            uid: self.uid.to_owned(),
            after: Some(last.clone()),
            is_blocked,
        })
    }
}

fn is_alive(txn: &Txn<'_, '_>, owner: &OwnerReference, namespace: &str) -> Result<bool, ApiError> {
    match owner_key(txn.registry, owner, namespace) {
        None => Ok(true),
        Some(key) => Ok(txn.get(&key)?.is_some_and(|found| found.uid() == owner.uid)),
    }
}

fn owner(txn: &mut Txn<'_, '_>, visit: &Visit<'_>) -> Rest {
    match txn.get(visit.key)?.filter(|found| found.uid() == visit.uid) {
        None => collect_dependents(txn, visit),
        Some(found) if found.is_deleting() => {
            if found.finalizers().iter().any(|f| f == ORPHAN) {
                orphan_dependents(txn, visit, found)
            } else if found.finalizers().iter().any(|f| f == FOREGROUND) {
                delete_dependents_first(txn, visit, found)
            } else {
                Ok(None)
            }
        }
        Some(_) => Ok(None),
    }
}

/// A dependent as it is now, with its kind.
fn load(txn: &Txn<'_, '_>, key: &Key) -> Result<Option<(Arc<Resource>, Object)>, ApiError> {
    let Some(resource) = key.resource(txn.registry).map(Arc::clone) else {
        return Ok(None);
    };
    Ok(txn.get(key)?.map(|object| (resource, object)))
}

/// The owner is gone: dependents without another owner go, others forget it.
fn collect_dependents(txn: &mut Txn<'_, '_>, visit: &Visit<'_>) -> Rest {
    let keys = visit.dependents(txn);
    for key in &keys {
        let Some((resource, object)) = load(txn, key)? else {
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
        if alive.is_empty() {
            delete::delete(txn, &resource, key, object, Some(Propagation::Background))?;
        } else {
            let mut kept = object.clone();
            kept.meta.owner_references = Some(alive);
            txn.put(&resource, key, Some(&object), kept)?;
        }
    }
    Ok(visit.rest(&keys, false))
}

fn orphan_dependents(txn: &mut Txn<'_, '_>, visit: &Visit<'_>, owner: Object) -> Rest {
    let keys = visit.dependents(txn);
    for key in &keys {
        let Some((resource, object)) = load(txn, key)? else {
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
            txn.put(&resource, key, Some(&object), freed)?;
        }
    }
    match visit.rest(&keys, false) {
        Some(rest) => Ok(Some(rest)),
        None => release(txn, visit.key, owner, ORPHAN),
    }
}

fn delete_dependents_first(txn: &mut Txn<'_, '_>, visit: &Visit<'_>, owner: Object) -> Rest {
    let mut is_blocked = visit.is_blocked;
    let keys = visit.dependents(txn);
    for key in &keys {
        let Some((resource, object)) = load(txn, key)? else {
            continue;
        };
        let (_, namespace, _) = key.parts();
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
        let propagation = if txn.index.dependents.contains_key(object.uid()) {
            Propagation::Foreground
        } else {
            Propagation::Background
        };
        let gone = delete::delete(txn, &resource, key, object, Some(propagation))?;
        is_blocked |= blocks && !matches!(gone, delete::Deleted::Gone { .. });
    }
    match visit.rest(&keys, is_blocked) {
        Some(rest) => Ok(Some(rest)),
        // The removal of the last blocking dependent brings this task back.
        None if is_blocked => Ok(None),
        None => release(txn, visit.key, owner, FOREGROUND),
    }
}

fn release(txn: &mut Txn<'_, '_>, key: &Key, owner: Object, finalizer: &str) -> Rest {
    let Some(resource) = key.resource(txn.registry).map(Arc::clone) else {
        return Ok(None);
    };
    let mut freed = owner.clone();
    freed.remove_finalizer(finalizer);
    if freed.finalizers().is_empty() {
        txn.remove(&resource, key, &freed)?;
    } else {
        txn.put(&resource, key, Some(&owner), freed)?;
    }
    Ok(None)
}

/// The namespace, if it is going.
fn terminating(txn: &Txn<'_, '_>, name: &str) -> Result<Option<(Key, Object)>, ApiError> {
    let key = Key::new(&txn.registry.namespaces, "", name);
    let found = txn.get(&key)?.filter(Object::is_deleting);
    Ok(found.map(|object| (key, object)))
}

/// Deletes the content of a namespace once. Nothing new can come meanwhile.
fn namespace(txn: &mut Txn<'_, '_>, name: &str, after: Option<&Key>) -> Rest {
    if terminating(txn, name)?.is_none() {
        return Ok(None);
    }
    let mut visited = Vec::new();
    let mut is_reached = after.is_none();
    for resource in txn.registry.all().iter().filter(|one| one.is_namespaced) {
        let prefix = prefix(resource, Some(name));
        let after = after.filter(|key| key.has_prefix(&prefix));
        is_reached |= after.is_some();
        if !is_reached {
            continue;
        }
        txn.scan(&prefix, after, |key, _| {
            visited.push((Arc::clone(resource), key));
            Ok(if visited.len() >= MAX_STEP {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            })
        })?;
        if visited.len() >= MAX_STEP {
            break;
        }
    }
    let rest = visited
        .last()
        .filter(|_| visited.len() >= MAX_STEP)
        .map(|(_, key)| Task::Namespace {
            name: name.to_owned(),
            after: Some(key.clone()),
        });
    for (resource, key) in visited {
        if let Some(object) = txn.get(&key)?.filter(|object| !object.is_deleting()) {
            delete::delete(txn, &resource, &key, object, Some(Propagation::Background))?;
        }
    }
    Ok(rest.or_else(|| Some(Task::EmptyNamespace(name.to_owned()))))
}

/// Removes a namespace that is going once nothing is in it.
fn empty_namespace(txn: &mut Txn<'_, '_>, name: &str) -> Rest {
    let Some((key, object)) = terminating(txn, name)? else {
        return Ok(None);
    };
    let mut is_empty = object.finalizers().is_empty();
    for resource in txn.registry.all().iter().filter(|one| one.is_namespaced) {
        if !is_empty {
            return Ok(None);
        }
        txn.scan(&prefix(resource, Some(name)), None, |_, _| {
            is_empty = false;
            Ok(ControlFlow::Break(()))
        })?;
    }
    if is_empty {
        let namespaces = Arc::clone(&txn.registry.namespaces);
        txn.remove(&namespaces, &key, &object)?;
    }
    Ok(None)
}

fn default_namespace(txn: &mut Txn<'_, '_>) -> Rest {
    let namespaces = Arc::clone(&txn.registry.namespaces);
    let key = Key::new(&namespaces, "", "default");
    if !txn.contains(&key)? {
        let object = crate::create::fresh_namespace("default")?;
        txn.put(&namespaces, &key, None, object)?;
    }
    Ok(None)
}

fn events(txn: &mut Txn<'_, '_>, after: Option<&Key>) -> Rest {
    let oldest = jiff::Timestamp::now().as_second() - EVENT_LIFE_SECONDS;
    let mut old = Vec::new();
    let mut last = None;
    let mut visited = 0;
    let mut is_reached = after.is_none();
    for resource in txn.registry.all().iter().filter(|one| one.is_event()) {
        let prefix = prefix(resource, None);
        let after = after.filter(|key| key.has_prefix(&prefix));
        is_reached |= after.is_some();
        if !is_reached {
            continue;
        }
        txn.scan(&prefix, after, |key, bytes| {
            if visited >= MAX_STEP {
                return Ok(ControlFlow::Break(()));
            }
            visited += 1;
            let value: Value = serde_json::from_slice(bytes).unwrap_or_else(|_| json!({}));
            if last_seen(&value) < oldest {
                old.push((Arc::clone(resource), key.clone()));
            }
            last = Some(key);
            Ok(ControlFlow::Continue(()))
        })?;
    }
    for (resource, key) in old {
        if let Some(object) = txn.get(&key)? {
            txn.remove(&resource, &key, &object)?;
        }
    }
    Ok(last
        .filter(|_| visited >= MAX_STEP)
        .map(|key| Task::Events { after: Some(key) }))
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
