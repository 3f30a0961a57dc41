//! The file: objects as JSON bytes under ordered keys, and one revision for all of them.
//!
//! Reads are snapshots of `redb` and never wait for the writer. Writes go through one thread
//! (`writer.rs`).

use crate::error::Error;
use crate::history::History;
use crate::resource::{Registry, Resource};
use crate::status_error::ApiError;
use crate::writer::{self, Message, Work, Written};
use bytes::Bytes;
use parking_lot::{Mutex, RwLock};
use redb::{Database, ReadOnlyTable, ReadableDatabase as _, ReadableTable as _, TableDefinition};
use std::collections::VecDeque;
use std::fmt;
use std::ops::{Bound, ControlFlow};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use tokio::sync::{Semaphore, mpsc, oneshot, watch};

/// Key to JSON bytes.
pub(crate) const OBJECTS: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("objects");
/// `revision` and `format`.
pub(crate) const META: TableDefinition<'_, &str, u64> = TableDefinition::new("meta");
pub(crate) const REVISION: &str = "revision";
const FORMAT: &str = "format";
const FORMAT_VERSION: u64 = 1;

/// Memory for pages of the file; `redb` would take 1 GiB.
const CACHE_BYTES: usize = 16 << 20;
/// Writes that wait for the writer; more wait in their callers.
const QUEUE: usize = 256;
/// A paged list holds its snapshot for so long; then its token is answered 410.
const SNAPSHOT_LIFE: Duration = Duration::from_secs(60);
/// Paged lists of different revisions at a time; the oldest is answered 410.
const MAX_SNAPSHOTS: usize = 16;

/// Where an object is: `group/plural`, namespace and name, joined by NUL, which none can contain.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Key(Arc<str>);

impl Key {
    pub(crate) fn new(resource: &Resource, namespace: &str, name: &str) -> Self {
        Self(format!("{}{name}", prefix(resource, Some(namespace))).into())
    }

    pub(crate) fn from_stored(text: &str) -> Self {
        Self(text.into())
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    pub(crate) fn has_prefix(&self, prefix: &str) -> bool {
        self.0.starts_with(prefix)
    }

    /// `group/plural`, namespace (empty for cluster-scoped kinds) and name.
    pub(crate) fn parts(&self) -> (&str, &str, &str) {
        let mut parts = self.0.splitn(3, '\0');
        let mut next = || parts.next().unwrap_or_default();
        (next(), next(), next())
    }

    /// The kind, if it is still served.
    pub(crate) fn resource<'a>(&self, registry: &'a Registry) -> Option<&'a Arc<Resource>> {
        let (group, plural) = self.parts().0.split_once('/')?;
        registry.by_storage(group, plural)
    }
}

/// What all keys of a kind, or of a kind in one namespace, begin with.
pub(crate) fn prefix(resource: &Resource, namespace: Option<&str>) -> String {
    match namespace {
        Some(namespace) => format!("{}/{}\0{namespace}\0", resource.group, resource.plural),
        None => format!("{}/{}\0", resource.group, resource.plural),
    }
}

/// The first text after everything that begins with `prefix`, which ends with NUL.
fn prefix_end(prefix: &str) -> String {
    format!("{}\u{1}", prefix.strip_suffix('\0').unwrap_or(prefix))
}

/// The store at one revision.
pub(crate) struct Snapshot {
    objects: ReadOnlyTable<&'static str, &'static [u8]>,
    pub(crate) revision: u64,
}

impl Snapshot {
    pub(crate) fn get(&self, key: &Key) -> Result<Option<Bytes>, ApiError> {
        self.objects
            .get(key.as_str())
            .map(|found| found.map(|guard| Bytes::copy_from_slice(guard.value())))
            .map_err(|error| ApiError::internal("read an object", &error))
    }

    /// Calls `visit` with each object below `prefix` after the key `after`, in order.
    pub(crate) fn scan(
        &self,
        prefix: &str,
        after: Option<&str>,
        mut visit: impl FnMut(Key, &[u8]) -> Result<ControlFlow<()>, ApiError>,
    ) -> Result<(), ApiError> {
        let broken = |error: redb::StorageError| ApiError::internal("list objects", &error);
        let end = prefix_end(prefix);
        let start = after.map_or(Bound::Included(prefix), Bound::Excluded);
        let range = self
            .objects
            .range::<&str>((start, Bound::Excluded(end.as_str())))
            .map_err(broken)?;
        for entry in range {
            let (key, value) = entry.map_err(broken)?;
            if visit(Key::from_stored(key.value()), value.value())?.is_break() {
                break;
            }
        }
        Ok(())
    }
}

struct Held {
    snapshot: Arc<Snapshot>,
    since: Instant,
}

/// What readers, watches and the writer share.
pub(crate) struct Shared {
    database: RwLock<Option<Arc<Database>>>,
    path: Option<PathBuf>,
    held: Mutex<VecDeque<Held>>,
    pub(crate) history: History,
    pub(crate) registry: Registry,
    closed: watch::Sender<bool>,
    /// Turns of rendering a page: every thread that does it keeps memory of its own.
    pub(crate) renderers: Semaphore,
}

/// Pages rendered at a time.
const NUM_RENDERERS: usize = 2;

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").finish_non_exhaustive()
    }
}

impl Shared {
    /// The store as it is now.
    pub(crate) fn snapshot(&self) -> Result<Arc<Snapshot>, ApiError> {
        let Some(database) = self.database.read().clone() else {
            return Err(ApiError::unavailable());
        };
        snapshot_of(&database)
            .map(Arc::new)
            .map_err(|error| ApiError::internal("read the store", &error))
    }

    /// Closes and opens the file: `redb` refuses everything after the first write that failed,
    /// because the disk was full, say. Until it is open again, readers are refused too.
    pub(crate) fn reopen(&self) -> Result<(Arc<Database>, Snapshot), Error> {
        let Some(path) = &self.path else {
            let why = "what was in memory is lost".to_owned();
            return Err(Error::store(redb::StorageError::Corrupted(why)));
        };
        self.held.lock().clear();
        self.database.write().take();
        let database = Arc::new(open_database(Some(path))?);
        let snapshot = snapshot_of(&database).map_err(Error::store)?;
        self.history.resume(snapshot.revision);
        *self.database.write() = Some(Arc::clone(&database));
        Ok((database, snapshot))
    }

    /// Keeps a snapshot for the later pages of a list.
    pub(crate) fn hold(&self, snapshot: &Arc<Snapshot>) {
        let mut held = self.held.lock();
        if let Some(found) = held
            .iter_mut()
            .find(|held| held.snapshot.revision == snapshot.revision)
        {
            found.since = Instant::now();
            return;
        }
        held.push_back(Held {
            snapshot: Arc::clone(snapshot),
            since: Instant::now(),
        });
        while held.len() > MAX_SNAPSHOTS {
            held.pop_front();
        }
    }

    /// The snapshot of an earlier page.
    pub(crate) fn held(&self, revision: u64) -> Option<Arc<Snapshot>> {
        self.release_old();
        self.held
            .lock()
            .iter()
            .find(|held| held.snapshot.revision == revision)
            .map(|held| Arc::clone(&held.snapshot))
    }

    /// Lets go of snapshots whose time is up, so that their pages can be reused.
    pub(crate) fn release_old(&self) {
        self.held
            .lock()
            .retain(|held| held.since.elapsed() < SNAPSHOT_LIFE);
    }

    /// Turns true when the server shuts down.
    pub(crate) fn closed(&self) -> watch::Receiver<bool> {
        self.closed.subscribe()
    }
}

fn snapshot_of(database: &Database) -> Result<Snapshot, redb::Error> {
    let read = database.begin_read()?;
    let objects = read.open_table(OBJECTS)?;
    let revision = read
        .open_table(META)?
        .get(REVISION)?
        .map_or(0, |guard| guard.value());
    Ok(Snapshot { objects, revision })
}

/// The open store and its writer.
#[derive(Debug)]
pub(crate) struct Store {
    pub(crate) shared: Arc<Shared>,
    sender: Mutex<Option<mpsc::Sender<Message>>>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Store {
    pub(crate) fn open(
        path: Option<&Path>,
        registry: Registry,
        watch_history: usize,
    ) -> Result<Self, Error> {
        let database = Arc::new(open_database(path)?);
        initialise(&database)?;
        let snapshot = snapshot_of(&database).map_err(Error::store)?;
        let revision = snapshot.revision;
        let shared = Arc::new(Shared {
            database: RwLock::new(Some(Arc::clone(&database))),
            path: path.map(Path::to_path_buf),
            held: Mutex::new(VecDeque::new()),
            history: History::new(watch_history, revision),
            registry,
            closed: watch::Sender::new(false),
            renderers: Semaphore::new(NUM_RENDERERS),
        });
        let mut state = writer::State::load(&snapshot, &shared.registry)?;
        drop(snapshot);
        writer::prepare(&database, &shared, &mut state);
        let (sender, receiver) = mpsc::channel(QUEUE);
        let for_thread = Arc::clone(&shared);
        let thread = std::thread::Builder::new()
            .name("opendepot-store".to_owned())
            .spawn(move || writer::run(database, &for_thread, state, receiver))
            .map_err(Error::Thread)?;
        Ok(Self {
            shared,
            sender: Mutex::new(Some(sender)),
            thread: Mutex::new(Some(thread)),
        })
    }

    /// Runs `work` in the writer; the answer comes after the commit.
    pub(crate) async fn write(&self, work: Work) -> Result<Written, ApiError> {
        let Some(sender) = self.sender.lock().clone() else {
            return Err(ApiError::unavailable());
        };
        let (reply, answer) = oneshot::channel();
        sender
            .send(Message { work, reply })
            .await
            .map_err(|_| ApiError::unavailable())?;
        drop(sender);
        answer.await.map_err(|_| ApiError::unavailable())?
    }

    /// Ends watches, lets queued writes finish, and closes the file.
    pub(crate) fn shutdown(&self) {
        self.shared.closed.send_replace(true);
        self.sender.lock().take();
        let thread = self.thread.lock().take();
        if let Some(thread) = thread
            && thread.join().is_err()
        {
            tracing::error!("the writer of the embedded store had panicked");
        }
        self.shared.held.lock().clear();
        self.shared.database.write().take();
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        self.shutdown();
    }
}

fn open_database(path: Option<&Path>) -> Result<Database, Error> {
    let mut builder = Database::builder();
    builder.set_cache_size(CACHE_BYTES);
    let shown = path.map_or_else(|| PathBuf::from("memory"), Path::to_path_buf);
    let result = match path {
        None => builder.create_with_backend(redb::backends::InMemoryBackend::new()),
        Some(path) => open_private(path)
            .map_err(redb::DatabaseError::from)
            .and_then(redb::backends::FileBackend::new)
            .and_then(|backend| builder.create_with_backend(backend)),
    };
    result.map_err(|error| match error {
        redb::DatabaseError::DatabaseAlreadyOpen => Error::Locked { path: shown },
        other => Error::Open {
            path: shown,
            source: Box::new(other.into()),
        },
    })
}

/// Opens or creates the file for its owner alone: it holds Secrets.
fn open_private(path: &Path) -> std::io::Result<std::fs::File> {
    let mut options = std::fs::OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}

fn initialise(database: &Database) -> Result<(), Error> {
    let run = || -> Result<u64, redb::Error> {
        let write = database.begin_write()?;
        let found;
        {
            write.open_table(OBJECTS)?;
            let mut meta = write.open_table(META)?;
            let format = meta.get(FORMAT)?.map(|guard| guard.value());
            found = format.unwrap_or(FORMAT_VERSION);
            if format.is_none() {
                meta.insert(FORMAT, FORMAT_VERSION)?;
                // As in a cluster, no object has revision 0 or 1.
                meta.insert(REVISION, 1)?;
            }
        }
        write.commit()?;
        Ok(found)
    };
    let found = run().map_err(Error::store)?;
    if found > FORMAT_VERSION {
        return Err(Error::Format {
            found,
            supported: FORMAT_VERSION,
        });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_come_apart_again_and_prefixes_do_not_leak() {
        let namespaces = crate::builtin::namespace();
        let key = Key::new(&namespaces, "", "a.b");
        assert_eq!(key.parts(), ("/namespaces", "", "a.b"));
        let config_maps = &crate::builtin::namespaced()[0];
        let key = Key::new(config_maps, "team", "x");
        assert!(key.has_prefix(&prefix(config_maps, Some("team"))));
        assert!(!key.has_prefix(&prefix(config_maps, Some("tea"))));
        let end = prefix_end(&prefix(config_maps, Some("team")));
        assert!(key.as_str() < end.as_str());
        assert!(Key::new(config_maps, "team-a", "x").as_str() > end.as_str());
    }
}
