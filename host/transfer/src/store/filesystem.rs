//! The filesystem store.

use super::beneath::Root;
use super::identity::{self, Identity};
use super::location::Key;
use super::siblings::{self, Sibling};
use super::verified::Verified;
use super::{Expected, Put, Source, put};
use crate::body::{ArtifactBody, FileBody, Pool};
use crate::error::{Damage, Error};
use crate::fault;
use crate::metric;
use opendepot_domain::Sha256;
use rustix::fs::{AtFlags, FileType};
use rustix::io::Errno;
use sha2::Digest as _;
use std::fs::File;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::SystemTime;

/// The metric label of this backend.
pub(crate) const BACKEND: &str = "filesystem";

/// Bytes that a verification reads between two reports of its progress.
const VERIFY_STEP_BYTES: usize = 4 << 20;

/// What all filesystem stores of a process share.
#[derive(Clone)]
pub(super) struct Shared {
    pub(super) pool: Pool,
    pub(super) verified: Verified,
}

/// One root directory.
pub(crate) struct FileStore {
    root: Arc<Root>,
    path: PathBuf,
    shared: Shared,
    can_read_inline: Arc<AtomicBool>,
}

/// An open file whose bytes were found to be the expected ones.
pub(crate) struct Checked {
    pub(crate) file: Arc<File>,
    pub(crate) identity: Identity,
    /// Whether any later change gives another identity.
    pub(crate) is_settled: bool,
    pub(crate) expected: Expected,
    pub(crate) what: String,
}

fn named(key: &Key) -> String {
    format!("object `{key}`")
}

/// Tells a blocking task that nobody waits for it any more.
struct CancelOnDrop(Arc<AtomicBool>);

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

impl FileStore {
    pub(super) fn new(root: Root, path: PathBuf, shared: Shared) -> Self {
        Self {
            root: Arc::new(root),
            path,
            shared,
            can_read_inline: Arc::new(AtomicBool::new(true)),
        }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) async fn put(
        &self,
        key: Key,
        source: Source<'_>,
        expected: Expected,
    ) -> Result<Put, Error> {
        let cancelled = Arc::new(AtomicBool::new(false));
        let _cancel = CancelOnDrop(Arc::clone(&cancelled));
        let attempt = format!("write {}", named(&key));
        let root = Arc::clone(&self.root);
        let (path, hashed) = (source.path.to_owned(), source.hashed);
        blocking(attempt, move || {
            let source = Source {
                path: &path,
                hashed,
            };
            put::put(&root, &key, source, expected, &cancelled)
        })
        .await
    }

    pub(super) async fn siblings(&self, key: Key) -> Result<Vec<Sibling>, Error> {
        let root = Arc::clone(&self.root);
        let attempt = format!("list the folder of {}", named(&key));
        blocking(attempt, move || siblings::of_file(&root, &key)).await
    }

    pub(super) async fn open_body(
        &self,
        key: Key,
        expected: Expected,
        bytes: Range<u64>,
    ) -> Result<ArtifactBody, Error> {
        let is_whole = bytes == (0..expected.size);
        let mut checked = self.check(&key, expected).await?;
        if !checked.is_settled && !is_whole {
            // A whole body is hashed again as it streams; a range cannot be. So it waits until
            // every later change shows.
            tokio::time::sleep(checked.identity.tick()).await;
            checked = self.check(&key, expected).await?;
        }
        Ok(ArtifactBody::file(FileBody::new(
            checked,
            self.shared.pool.clone(),
            Arc::clone(&self.can_read_inline),
            bytes,
        )))
    }

    /// Opens an object and compares it with what is expected.
    async fn check(&self, key: &Key, expected: Expected) -> Result<Checked, Error> {
        let what = named(key);
        let Some((file, identity)) = self.open(key).await? else {
            return Err(Error::NotFound { what });
        };
        if identity.size != expected.size {
            return Err(metric::corrupt(BACKEND, what, Damage::Size));
        }
        // Asked before the digest is, so that it holds for what is hashed.
        let is_settled = identity.is_settled(SystemTime::now());
        let digest = self.shared.verified.digest(&file, identity, &what).await?;
        if digest != expected.sha256 {
            return Err(metric::corrupt(BACKEND, what, Damage::Digest));
        }
        Ok(Checked {
            file,
            identity,
            is_settled,
            expected,
            what,
        })
    }

    async fn open(&self, key: &Key) -> Result<Option<(Arc<File>, Identity)>, Error> {
        let attempt = format!("open {}", named(key));
        let root = Arc::clone(&self.root);
        let key = key.clone();
        blocking(attempt.clone(), move || match root.open_file(&key) {
            Ok(file) => {
                let identity = Identity::of(&file).map_err(|error| Error::io(attempt, &error))?;
                Ok(Some((Arc::new(file), identity)))
            }
            Err(Errno::NOENT) => Ok(None),
            Err(error) => Err(Error::io(attempt, &error.into())),
        })
        .await
    }

    pub(super) async fn head(&self, key: Key) -> Result<Option<u64>, Error> {
        let found = self.open(&key).await?;
        Ok(found.map(|(_, identity)| identity.size))
    }

    pub(super) async fn delete(&self, key: Key) -> Result<(), Error> {
        let attempt = format!("delete {}", named(&key));
        let root = Arc::clone(&self.root);
        blocking(attempt.clone(), move || {
            delete(&root, &key).map_err(|error| Error::io(attempt, &error.into()))
        })
        .await
    }

    pub(super) async fn verify(
        &self,
        key: Key,
        expected: Expected,
        progress: &(dyn Fn(u64) + Send + Sync),
    ) -> Result<(), Error> {
        let what = named(&key);
        let Some((file, identity)) = self.open(&key).await? else {
            return Err(Error::NotFound { what });
        };
        if identity.size != expected.size {
            return Err(metric::corrupt(BACKEND, what, Damage::Size));
        }
        let was_settled = identity.is_settled(SystemTime::now());
        let attempt = format!("verify {what}");
        let mut hasher = sha2::Sha256::new();
        let mut buffer = vec![0; VERIFY_STEP_BYTES];
        let mut offset = 0;
        loop {
            let file = Arc::clone(&file);
            let io_attempt = attempt.clone();
            let read;
            (hasher, buffer, read) = blocking(attempt.clone(), move || {
                let read = identity::read_at(&file, &mut buffer, offset)
                    .map_err(|error| Error::io(io_attempt, &error))?;
                hasher.update(buffer.get(..read).unwrap_or_default());
                Ok((hasher, buffer, read))
            })
            .await?;
            if read == 0 {
                break;
            }
            offset += read as u64;
            progress(offset);
        }
        let after = Identity::of(&file).map_err(|error| Error::io(attempt, &error))?;
        if after != identity {
            return Err(metric::corrupt(BACKEND, what, Damage::Changed));
        }
        let digest = Sha256::finish(hasher);
        if was_settled {
            // Rot that left the identity alone is refused from now on, not only here.
            self.shared.verified.remember(identity, digest);
        }
        if digest != expected.sha256 {
            return Err(metric::corrupt(BACKEND, what, Damage::Digest));
        }
        Ok(())
    }
}

/// Runs `work` on the blocking pool.
async fn blocking<T: Send + 'static>(
    attempt: String,
    work: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|_| Error::task(attempt))?
}

fn delete(root: &Root, key: &Key) -> Result<(), Errno> {
    fault::point("storage.delete.begin");
    let parent = match root.open_parent(key) {
        Ok(parent) => parent,
        Err(Errno::NOENT) => return Ok(()),
        Err(error) => return Err(error),
    };
    let directory = parent.as_ref().unwrap_or(root.fd());
    match rustix::fs::statat(directory, key.file_name(), AtFlags::SYMLINK_NOFOLLOW) {
        Ok(stat) => match FileType::from_raw_mode(stat.st_mode) {
            FileType::RegularFile => {}
            FileType::Symlink => return Err(Errno::LOOP),
            _ => return Err(Errno::ISDIR),
        },
        Err(Errno::NOENT) => {
            remove_empty_parents(root, key);
            return Ok(());
        }
        Err(error) => return Err(error),
    }
    match rustix::fs::unlinkat(directory, key.file_name(), AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => {}
        Err(error) => return Err(error),
    }
    fault::point("storage.delete.removed");
    rustix::fs::fsync(directory)?;
    fault::point("storage.delete.synced");
    remove_empty_parents(root, key);
    fault::point("storage.delete.done");
    Ok(())
}

/// Removes the directories above `key` that are empty, innermost first, never the root. What
/// cannot be removed stays: an empty directory harms nobody.
fn remove_empty_parents(root: &Root, key: &Key) {
    let mut parents: Vec<&str> = key.parents().collect();
    while let Some(last) = parents.pop() {
        let mut path = parents.join("/");
        if !path.is_empty() {
            path.push('/');
        }
        path.push_str(last);
        let Ok(inner) = Key::new(Path::new(""), &path) else {
            return;
        };
        let Ok(parent) = root.open_parent(&inner) else {
            return;
        };
        let directory = parent.as_ref().unwrap_or(root.fd());
        if rustix::fs::unlinkat(directory, last, AtFlags::REMOVEDIR).is_err() {
            return;
        }
    }
}
