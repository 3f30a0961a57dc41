//! Small secret files: bounded reads, atomic writes, a lock against lost updates.

use crate::error::Error;
use std::fs::{self, File, Metadata, TryLockError};
use std::io::{Read as _, Write as _};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use zeroize::Zeroizing;

/// How long a lock is waited for.
const LOCK_TIMEOUT: Duration = Duration::from_secs(5);
/// How often a held lock is tried again.
const LOCK_RETRY_AFTER: Duration = Duration::from_millis(20);
/// What a file of ours gets.
const PRIVATE_MODE: u32 = 0o600;

/// Reads a whole file of at most `limit` bytes.
pub(crate) fn read(path: &Path, limit: u64) -> Result<Zeroizing<Vec<u8>>, Error> {
    let failed = |error| Error::io("read", path, error);
    let file = File::open(path).map_err(failed)?;
    let mut bytes = Zeroizing::new(Vec::new());
    file.take(limit + 1)
        .read_to_end(&mut bytes)
        .map_err(failed)?;
    if bytes.len() as u64 > limit {
        return Err(Error::malformed(
            path,
            format!("it is longer than {limit} bytes"),
        ));
    }
    Ok(bytes)
}

/// Creates a file with mode 0600, whole or not at all.
///
/// Fails with [`Error::Exists`] when it is there, also when another process was faster.
pub(crate) fn create(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    let temp = temp_beside(path, bytes)?;
    temp.persist_noclobber(path)
        .map_err(|error| Error::io("create", path, error.error))?;
    sync_folder(path)
}

/// Replaces a file, or creates it with mode 0600; readers see the old or the new content whole.
///
/// An existing file keeps its owner where the system lets us, and its mode.
pub(crate) fn replace(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    // A link stays a link: what it points to is replaced.
    let path = &fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let temp = temp_beside(path, bytes)?;
    if let Ok(old) = fs::metadata(path) {
        // Best effort: a server under another user goes on reading if we may say so.
        let _ = std::os::unix::fs::fchown(temp.as_file(), Some(old.uid()), Some(old.gid()));
        let mode = fs::Permissions::from_mode(old.mode() & 0o777);
        temp.as_file()
            .set_permissions(mode)
            .map_err(|error| Error::io("set the mode of", path, error))?;
    }
    temp.persist(path)
        .map_err(|error| Error::io("replace", path, error.error))?;
    sync_folder(path)
}

fn temp_beside(path: &Path, bytes: &[u8]) -> Result<tempfile::NamedTempFile, Error> {
    let failed = |error| Error::io("write", path, error);
    let mut temp = tempfile::Builder::new()
        .prefix(".opendepot-")
        .permissions(fs::Permissions::from_mode(PRIVATE_MODE))
        .tempfile_in(folder(path))
        .map_err(failed)?;
    temp.write_all(bytes).map_err(failed)?;
    temp.as_file().sync_all().map_err(failed)?;
    Ok(temp)
}

fn folder(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

fn sync_folder(path: &Path) -> Result<(), Error> {
    File::open(folder(path))
        .and_then(|folder| folder.sync_all())
        .map_err(|error| Error::io("sync the folder of", path, error))
}

/// Warns when others than owner and group can change the file, or read it if it is secret.
pub(crate) fn warn_if_exposed(path: &Path, is_secret: bool) {
    let Ok(metadata) = fs::metadata(path) else {
        return;
    };
    let forbidden = if is_secret { 0o006 } else { 0o002 };
    // A mounted Kubernetes Secret is a link, and its mode is the pod's business.
    let is_link = fs::symlink_metadata(path).is_ok_and(|metadata| metadata.is_symlink());
    if metadata.mode() & forbidden != 0 && !is_link {
        tracing::warn!(
            file.mode = format_args!("{:o}", metadata.mode() & 0o777),
            "file `{}` is open to every user of this machine",
            path.display()
        );
    }
}

/// Holds the lock of a file until dropped: an own file beside it, because the file is replaced.
#[derive(Debug)]
pub(crate) struct Lock {
    _file: File,
}

impl Lock {
    /// Takes the lock.
    pub(crate) fn take(path: &Path) -> Result<Self, Error> {
        let path = lock_path(path);
        let failed = |error| Error::io("lock", &path, error);
        let file = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&path)
            .map_err(failed)?;
        let deadline = Instant::now() + LOCK_TIMEOUT;
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(Self { _file: file }),
                Err(TryLockError::Error(error)) => return Err(failed(error)),
                Err(TryLockError::WouldBlock) if Instant::now() >= deadline => {
                    return Err(Error::Locked { path });
                }
                Err(TryLockError::WouldBlock) => std::thread::sleep(LOCK_RETRY_AFTER),
            }
        }
    }
}

fn lock_path(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".lock");
    PathBuf::from(name)
}

/// What tells one state of a file from another without reading it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Identity {
    device: u64,
    inode: u64,
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Identity {
    /// The identity of the file that `path` leads to.
    pub(crate) fn of(path: &Path) -> Result<Self, Error> {
        fs::metadata(path)
            .map(|metadata| Self::from(&metadata))
            .map_err(|error| Error::io("look at", path, error))
    }

    /// Whether a later change is sure to show: clocks of file systems tick coarsely.
    pub(crate) fn is_settled(&self, now: u64) -> bool {
        let newest = self.modified.0.max(self.changed.0);
        i64::try_from(now).is_ok_and(|now| newest + 2 < now)
    }
}

impl From<&Metadata> for Identity {
    fn from(metadata: &Metadata) -> Self {
        Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            size: metadata.size(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn created_files_are_private_and_never_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("key");
        create(&path, b"one").unwrap();
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        assert!(matches!(create(&path, b"two"), Err(Error::Exists { .. })));
        assert_eq!(&**read(&path, 10).unwrap(), b"one");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "temp left");
    }

    #[test]
    fn a_replaced_file_keeps_its_mode_and_its_link() {
        let dir = tempfile::tempdir().unwrap();
        let (path, link) = (dir.path().join("file"), dir.path().join("link"));
        create(&path, b"one").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        std::os::unix::fs::symlink(&path, &link).unwrap();
        replace(&link, b"two").unwrap();
        assert_eq!(&**read(&path, 10).unwrap(), b"two");
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o640);
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
    }

    #[test]
    fn a_long_file_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        create(&path, b"12345").unwrap();
        assert!(read(&path, 5).is_ok());
        assert!(matches!(read(&path, 4), Err(Error::Malformed { .. })));
    }

    #[test]
    fn the_lock_excludes() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        let lock = Lock::take(&path).unwrap();
        let other = File::options().write(true).open(lock_path(&path)).unwrap();
        assert!(matches!(other.try_lock(), Err(TryLockError::WouldBlock)));
        drop(lock);
        assert!(other.try_lock().is_ok());
    }
}
