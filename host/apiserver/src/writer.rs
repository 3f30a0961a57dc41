//! The one thread that writes.
//!
//! It takes what is waiting, runs it in one transaction and commits once, durably; only then are
//! answers given and watches told. Between batches it does a bounded piece of collection work
//! (`gc.rs`).
//!
//! When the disk fails or is full, the batch is refused and the file opened anew; for a moment
//! later batches are refused too, then they are tried.
//!
//! # Hidden contract
//! Work that answers an error must not have written anything: everything is checked first. The
//! writer verifies this and refuses the whole batch otherwise.

use crate::error::Error;
use crate::gc::{self, Task, Tasks};
use crate::history::Event;
use crate::object::{FOREGROUND, ORPHAN};
use crate::resource::Registry;
use crate::status_error::ApiError;
use crate::store::{Key, META, OBJECTS, REVISION, Shared, Snapshot};
use crate::txn::{Effect, Txn};
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
/// After a failure of the file, nothing is written for so long.
const REST: Duration = Duration::from_secs(1);
/// Between two attempts to open the file.
const REOPEN_EVERY: Duration = Duration::from_millis(200);

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
                        tasks.push(Task::namespace(name));
                    } else if meta
                        .finalizers
                        .iter()
                        .any(|f| f == FOREGROUND || f == ORPHAN)
                    {
                        tasks.push(Task::owner(key, &meta.uid));
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
        tasks.push(Task::Events { after: None });
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

struct Committed {
    events: Vec<Event>,
    effects: Vec<Effect>,
    tasks: Vec<Task>,
}

/// Why a transaction did not happen.
enum Failure {
    /// Its work could not be done.
    Refused(ApiError),
    /// The file failed; it has to be opened anew.
    Store(redb::Error),
}

/// Runs `body` in one transaction and commits it if it wrote anything.
fn transact<T>(
    database: &Database,
    registry: &Registry,
    index: &Index,
    body: impl FnOnce(&mut Txn<'_, '_>) -> Result<T, ApiError>,
) -> Result<(T, Committed), Failure> {
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
    match run() {
        Ok(outcome) => outcome.map_err(Failure::Refused),
        Err(error) => Err(Failure::Store(error)),
    }
}

/// Does what must be done before the first request.
pub(crate) fn prepare(database: &Database, shared: &Shared, state: &mut State) {
    if let Err(error) = collect(database, shared, state, Task::DefaultNamespace) {
        tracing::error!(error = %error, "cannot write to the embedded store");
    }
}

/// Runs until every sender is gone and the queue is empty.
pub(crate) fn run(
    mut database: Arc<Database>,
    shared: &Shared,
    mut state: State,
    mut receiver: mpsc::Receiver<Message>,
) {
    let mut failed_at: Option<Instant> = None;
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
        if failed_at.is_some_and(|at| at.elapsed() < REST) {
            if batch.is_empty() {
                std::thread::sleep(REOPEN_EVERY);
            }
            batch.into_iter().for_each(refuse);
            continue;
        }
        let mut outcome = Ok(());
        if !batch.is_empty() {
            outcome = run_batch(&database, shared, &mut state, batch);
        }
        if outcome.is_ok()
            && let Some(task) = state.tasks.pop()
        {
            outcome = collect(&database, shared, &mut state, task);
        }
        match outcome {
            Ok(()) => {
                if failed_at.take().is_some() {
                    tracing::info!("the embedded store is written again");
                }
            }
            Err(error) => {
                if failed_at.is_none() {
                    tracing::error!(error = %error, "cannot write to the embedded store, opening it anew; is its disk full?");
                }
                // Its file is locked until the last user is gone.
                drop(database);
                (database, state) = match reopen(shared, &mut receiver) {
                    Some(found) => found,
                    None => return,
                };
                failed_at = Some(Instant::now());
            }
        }
        shared.release_old();
    }
}

/// Opens the file until that succeeds; nothing when the server shuts down meanwhile.
fn reopen(
    shared: &Shared,
    receiver: &mut mpsc::Receiver<Message>,
) -> Option<(Arc<Database>, State)> {
    loop {
        let opened = shared.reopen().and_then(|(database, snapshot)| {
            State::load(&snapshot, &shared.registry).map(|state| (database, state))
        });
        match opened {
            Ok(found) => return Some(found),
            Err(error) => tracing::debug!(error = %error, "cannot open the embedded store yet"),
        }
        loop {
            match receiver.try_recv() {
                Ok(message) => refuse(message),
                Err(mpsc::error::TryRecvError::Empty) => break,
                Err(mpsc::error::TryRecvError::Disconnected) => return None,
            }
        }
        std::thread::sleep(REOPEN_EVERY);
    }
}

/// The caller may have gone; it is told to come back otherwise.
fn refuse(message: Message) {
    drop(message.reply.send(Err(ApiError::store_failed())));
}

/// Runs requests in one transaction and answers them.
fn run_batch(
    database: &Database,
    shared: &Shared,
    state: &mut State,
    batch: Vec<Message>,
) -> Result<(), redb::Error> {
    let (works, replies): (Vec<_>, Vec<_>) = batch
        .into_iter()
        .map(|message| (message.work, message.reply))
        .unzip();
    let outcome = transact(database, &shared.registry, &state.index, |txn| {
        let mut answers = Vec::with_capacity(works.len());
        for work in works {
            let before = txn.events.len();
            let answer = catch_unwind(AssertUnwindSafe(|| work(txn)))
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
    let (error, outcome) = match outcome {
        Ok((answers, committed)) => {
            publish(shared, state, committed);
            for (reply, answer) in replies.into_iter().zip(answers) {
                // The caller may have gone; its write stands.
                drop(reply.send(answer));
            }
            return Ok(());
        }
        Err(Failure::Refused(error)) => (error, Ok(())),
        Err(Failure::Store(error)) => (ApiError::store_failed(), Err(error)),
    };
    for reply in replies {
        drop(reply.send(Err(error.clone())));
    }
    outcome
}

fn publish(shared: &Shared, state: &mut State, committed: Committed) {
    state.apply(committed.effects);
    for task in committed.tasks {
        let is_sweep = task == Task::Events { after: None };
        let is_due = !is_sweep
            || state
                .expired_at
                .is_none_or(|at| at.elapsed() >= EXPIRE_EVERY);
        if is_due {
            if is_sweep {
                state.expired_at = Some(Instant::now());
            }
            state.tasks.push(task);
        }
    }
    shared.history.publish(committed.events);
}

fn collect(
    database: &Database,
    shared: &Shared,
    state: &mut State,
    task: Task,
) -> Result<(), redb::Error> {
    let outcome = transact(database, &shared.registry, &state.index, |txn| {
        gc::step(txn, &task)
    });
    match outcome {
        Ok((rest, committed)) => {
            publish(shared, state, committed);
            if let Some(rest) = rest {
                state.tasks.push(rest);
            }
        }
        // Dropped rather than repeated at once: the next change or the next start brings it back.
        Err(Failure::Refused(error)) => tracing::error!(error = %error, "cannot collect garbage"),
        Err(Failure::Store(error)) => return Err(error),
    }
    Ok(())
}
