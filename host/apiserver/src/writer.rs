//! The one thread that writes.
//!
//! It takes what is waiting, runs it in one transaction and commits once, durably; only then are
//! answers given and watches told. Between batches it does a bounded piece of collection work
//! (`gc.rs`).
//!
//! # Hidden contract
//! Work that answers an error must not have written anything: everything is checked first. The
//! writer verifies this and refuses the whole batch otherwise.

use crate::error::Error;
use crate::gc::{self, Task, Tasks};
use crate::history::{Change, Event};
use crate::object::{FOREGROUND, ORPHAN, Object};
use crate::resource::{Registry, Resource};
use crate::selector::Facts;
use crate::status_error::ApiError;
use crate::store::{Key, META, OBJECTS, REVISION, Shared, Snapshot};
use bytes::Bytes;
use http::StatusCode;
use redb::{Database, ReadableTable as _};
use std::collections::{BTreeSet, HashMap};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::{mpsc, oneshot};

/// Requests that share one commit.
const MAX_BATCH: usize = 64;
/// An object may not be larger.
pub(crate) const MAX_OBJECT_BYTES: usize = 3 << 20;
/// Old events are looked for no more often than this.
const EXPIRE_EVERY: Duration = Duration::from_secs(600);

/// The answer to a write.
#[derive(Clone, Debug)]
pub(crate) struct Written {
    pub(crate) code: StatusCode,
    pub(crate) body: Bytes,
}

impl Written {
    pub(crate) const fn ok(body: Bytes) -> Self {
        Self {
            code: StatusCode::OK,
            body,
        }
    }
}

/// What a request does inside the transaction.
pub(crate) type Work = Box<dyn FnOnce(&mut Txn<'_, '_>) -> Result<Written, ApiError> + Send>;

/// One request to the writer.
pub(crate) struct Message {
    pub(crate) work: Work,
    pub(crate) reply: oneshot::Sender<Result<Written, ApiError>>,
}

/// What the writer knows by heart; derived from the file, rebuilt at start.
#[derive(Debug, Default)]
pub(crate) struct Index {
    /// Owner uid to the objects that name it.
    pub(crate) dependents: HashMap<String, BTreeSet<Key>>,
    /// Namespaces that are going.
    pub(crate) terminating: BTreeSet<String>,
}

#[derive(Debug)]
enum Effect {
    Owners {
        key: Key,
        before: Vec<String>,
        after: Vec<String>,
    },
    NamespaceGoing(String),
    NamespaceGone(String),
}

/// The writer's memory.
#[derive(Debug)]
pub(crate) struct State {
    index: Index,
    tasks: Tasks,
    expired_at: Option<Instant>,
}

#[derive(serde::Deserialize)]
struct Outline {
    metadata: OutlineMeta,
}

#[derive(serde::Deserialize)]
#[serde(rename_all = "camelCase")]
struct OutlineMeta {
    #[serde(default)]
    uid: String,
    deletion_timestamp: Option<String>,
    #[serde(default)]
    finalizers: Vec<String>,
    #[serde(default)]
    owner_references: Vec<k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference>,
}

impl State {
    /// Reads every object once. What was left undone is put on the list.
    pub(crate) fn load(snapshot: &Snapshot, registry: &Registry) -> Result<Self, Error> {
        let mut index = Index::default();
        let mut tasks = Tasks::default();
        for resource in registry.all() {
            let prefix = crate::store::prefix(resource, None);
            let mut broken = None;
            let scanned = snapshot.scan(&prefix, None, |key, bytes| {
                let outline: Outline = match serde_json::from_slice(bytes) {
                    Ok(outline) => outline,
                    Err(source) => {
                        broken = Some(Error::Object {
                            key: key.as_str().replace('\0', "/"),
                            source,
                        });
                        return Ok(std::ops::ControlFlow::Break(()));
                    }
                };
                let meta = outline.metadata;
                let (_, namespace, name) = key.parts();
                for owner in &meta.owner_references {
                    index
                        .dependents
                        .entry(owner.uid.clone())
                        .or_default()
                        .insert(key.clone());
                    if let Some(task) = gc::owner_task(registry, owner, namespace) {
                        tasks.push(task);
                    }
                }
                if meta.deletion_timestamp.is_some() {
                    if resource.is_namespace() {
                        index.terminating.insert(name.to_owned());
                        tasks.push(Task::Namespace(name.to_owned()));
                    } else if meta
                        .finalizers
                        .iter()
                        .any(|f| f == FOREGROUND || f == ORPHAN)
                    {
                        tasks.push(Task::Owner { key, uid: meta.uid });
                    }
                }
                Ok(std::ops::ControlFlow::Continue(()))
            });
            if let Some(error) = broken {
                return Err(error);
            }
            if let Err(error) = scanned {
                return Err(Error::Store(Box::new(redb::Error::Corrupted(
                    error.to_string(),
                ))));
            }
        }
        tasks.push(Task::Events);
        Ok(Self {
            index,
            tasks,
            expired_at: Some(Instant::now()),
        })
    }

    fn apply(&mut self, effects: Vec<Effect>) {
        for effect in effects {
            match effect {
                Effect::Owners { key, before, after } => {
                    for uid in before.iter().filter(|uid| !after.contains(uid)) {
                        if let Some(set) = self.index.dependents.get_mut(uid) {
                            set.remove(&key);
                            if set.is_empty() {
                                self.index.dependents.remove(uid);
                            }
                        }
                    }
                    for uid in after {
                        self.index
                            .dependents
                            .entry(uid)
                            .or_default()
                            .insert(key.clone());
                    }
                }
                Effect::NamespaceGoing(name) => {
                    self.index.terminating.insert(name);
                }
                Effect::NamespaceGone(name) => {
                    self.index.terminating.remove(&name);
                }
            }
        }
    }
}

/// A write transaction, as request handlers see it.
pub(crate) struct Txn<'a, 'txn> {
    objects: &'a mut redb::Table<'txn, &'static str, &'static [u8]>,
    pub(crate) registry: &'a Registry,
    pub(crate) index: &'a Index,
    revision: u64,
    events: Vec<Event>,
    effects: Vec<Effect>,
    tasks: Vec<Task>,
    is_broken: bool,
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

    /// At most `max` keys and bytes below `prefix` for which `wanted` holds.
    pub(crate) fn scan(
        &self,
        prefix: &str,
        max: usize,
        mut wanted: impl FnMut(&Key, &[u8]) -> Result<bool, ApiError>,
    ) -> Result<Vec<(Key, Bytes)>, ApiError> {
        let broken = |error: redb::StorageError| ApiError::internal("list objects", &error);
        let mut found = Vec::new();
        for entry in self.objects.range::<&str>(prefix..).map_err(broken)? {
            let (key, value) = entry.map_err(broken)?;
            if !key.value().starts_with(prefix) || found.len() >= max {
                break;
            }
            let key = Key::from_stored(key.value());
            if wanted(&key, value.value())? {
                found.push((key, Bytes::copy_from_slice(value.value())));
            }
        }
        Ok(found)
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
            return Err(ApiError::forbidden(resource, name, &why).with_cause(
                crate::status_error::Cause {
                    reason: "NamespaceTerminating",
                    field: "metadata.namespace".to_owned(),
                    message: format!("namespace {namespace} is being terminated"),
                },
            ));
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
            return Err(ApiError::too_large(MAX_OBJECT_BYTES));
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
                self.tasks.push(Task::Namespace(name.to_owned()));
            } else if new
                .finalizers()
                .iter()
                .any(|f| f == FOREGROUND || f == ORPHAN)
            {
                self.tasks.push(Task::Owner {
                    key: key.clone(),
                    uid: new.uid().to_owned(),
                });
            }
        }
        if resource.is_event() && old.is_none() {
            self.tasks.push(Task::Events);
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
        self.tasks.push(Task::Owner {
            key: key.clone(),
            uid: old.uid().to_owned(),
        });
        if resource.is_namespace() {
            self.effects.push(Effect::NamespaceGone(name.to_owned()));
        } else if self.index.terminating.contains(namespace) {
            self.tasks.push(Task::Namespace(namespace.to_owned()));
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

struct Committed {
    events: Vec<Event>,
    effects: Vec<Effect>,
    tasks: Vec<Task>,
}

/// Runs `body` in one transaction and commits it if it wrote anything.
fn transact<T>(
    database: &Database,
    registry: &Registry,
    index: &Index,
    body: impl FnOnce(&mut Txn<'_, '_>) -> Result<T, ApiError>,
) -> Result<(T, Committed), ApiError> {
    let run = || -> Result<Result<(T, Committed), ApiError>, redb::Error> {
        // Durability is immediate by default: the commit returns once the file is synced.
        let write = database.begin_write()?;
        let outcome = {
            let mut objects = write.open_table(OBJECTS)?;
            let mut meta = write.open_table(META)?;
            let revision = meta.get(REVISION)?.map_or(1, |guard| guard.value());
            let mut txn = Txn {
                objects: &mut objects,
                registry,
                index,
                revision,
                events: Vec::new(),
                effects: Vec::new(),
                tasks: Vec::new(),
                is_broken: false,
            };
            let result = body(&mut txn);
            let Txn {
                revision,
                events,
                effects,
                tasks,
                is_broken,
                ..
            } = txn;
            match result {
                Ok(_) if is_broken => Err(ApiError::internal("write to the store", &"broken")),
                Ok(value) => {
                    if !events.is_empty() {
                        meta.insert(REVISION, revision)?;
                    }
                    Ok((
                        value,
                        Committed {
                            events,
                            effects,
                            tasks,
                        },
                    ))
                }
                Err(error) => Err(error),
            }
        };
        match outcome {
            Ok((value, committed)) if committed.events.is_empty() => {
                write.abort()?;
                Ok(Ok((value, committed)))
            }
            Ok(done) => {
                write.commit()?;
                Ok(Ok(done))
            }
            Err(error) => {
                write.abort()?;
                Ok(Err(error))
            }
        }
    };
    run().unwrap_or_else(|error| Err(ApiError::internal("commit to the store", &error)))
}

/// Does what must be done before the first request.
pub(crate) fn prepare(database: &Database, shared: &Shared, state: &mut State) {
    collect(database, shared, state, Task::DefaultNamespace);
}

/// Runs until every sender is gone and the queue is empty.
pub(crate) fn run(
    database: &Database,
    shared: &Shared,
    mut state: State,
    mut receiver: mpsc::Receiver<Message>,
) {
    loop {
        let first = if state.tasks.is_empty() {
            match receiver.blocking_recv() {
                Some(message) => Some(message),
                None => return,
            }
        } else {
            match receiver.try_recv() {
                Ok(message) => Some(message),
                Err(mpsc::error::TryRecvError::Empty) => None,
                // Work on the list is found again at the next start.
                Err(mpsc::error::TryRecvError::Disconnected) => return,
            }
        };
        let mut batch: Vec<Message> = first.into_iter().collect();
        while !batch.is_empty() && batch.len() < MAX_BATCH {
            match receiver.try_recv() {
                Ok(message) => batch.push(message),
                Err(_) => break,
            }
        }
        if !batch.is_empty() {
            run_batch(database, shared, &mut state, batch);
        }
        if let Some(task) = state.tasks.pop() {
            collect(database, shared, &mut state, task);
        }
        shared.release_old();
    }
}

fn run_batch(database: &Database, shared: &Shared, state: &mut State, batch: Vec<Message>) {
    let mut replies = Vec::with_capacity(batch.len());
    let outcome = transact(database, &shared.registry, &state.index, |txn| {
        let mut answers = Vec::with_capacity(batch.len());
        for message in batch {
            replies.push(message.reply);
            let before = txn.events.len();
            let answer = catch_unwind(AssertUnwindSafe(|| (message.work)(txn)))
                .unwrap_or_else(|_| Err(ApiError::internal("run a request", &"it panicked")));
            if answer.is_err() && txn.events.len() != before {
                return Err(ApiError::internal(
                    "run a request",
                    &"it failed after a write",
                ));
            }
            if txn.is_broken {
                return Err(ApiError::internal("write to the store", &"it is broken"));
            }
            answers.push(answer);
        }
        Ok(answers)
    });
    match outcome {
        Ok((answers, committed)) => {
            publish(shared, state, committed);
            for (reply, answer) in replies.into_iter().zip(answers) {
                // The caller may have gone; its write stands.
                drop(reply.send(answer));
            }
        }
        Err(error) => {
            for reply in replies {
                drop(reply.send(Err(error.clone())));
            }
        }
    }
}

fn publish(shared: &Shared, state: &mut State, committed: Committed) {
    state.apply(committed.effects);
    for task in committed.tasks {
        let is_due = task != Task::Events
            || state
                .expired_at
                .is_none_or(|at| at.elapsed() >= EXPIRE_EVERY);
        if is_due {
            if task == Task::Events {
                state.expired_at = Some(Instant::now());
            }
            state.tasks.push(task);
        }
    }
    shared.history.publish(committed.events);
}

fn collect(database: &Database, shared: &Shared, state: &mut State, task: Task) {
    let outcome = transact(database, &shared.registry, &state.index, |txn| {
        gc::step(txn, &task)
    });
    match outcome {
        Ok((progress, committed)) => {
            publish(shared, state, committed);
            if progress == gc::Progress::More {
                state.tasks.push(task);
            }
        }
        // Dropped rather than repeated at once: the next change or the next start brings it back.
        Err(error) => tracing::error!(error = %error, "cannot collect garbage"),
    }
}
