//! Writing an object once: a second name for the source, or a temporary file that is hashed; sync,
//! publish without overwriting, sync.

use super::beneath::Root;
use super::identity;
use super::link::{self, Linked};
use super::location::Key;
use super::{Expected, Put, Source};
use crate::error::{Damage, Error};
use crate::fault;
use crate::metric;
use crate::store::BACKEND_FILESYSTEM;
use crate::sweep::{lock, temp_name};
use opendepot_domain::Sha256;
use rustix::fs::{AtFlags, Mode, OFlags};
use rustix::io::Errno;
use sha2::Digest as _;
use std::fs::File;
use std::io::{Read as _, Write as _};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

pub(super) const FILE_MODE: Mode = Mode::from_raw_mode(0o640);
const COPY_BUFFER_BYTES: usize = 1 << 20;
/// A concurrent delete may take the directory away, a sweep the temporary file, and another
/// writer's object may come and go.
const MAX_TRIES: usize = 8;

/// Puts `source` at `key`. Blocks.
pub(super) fn put(
    root: &Root,
    key: &Key,
    source: Source<'_>,
    expected: Expected,
    cancelled: &AtomicBool,
) -> Result<Put, Error> {
    let attempt = || format!("write object `{key}`");
    fault::point("storage.put.begin");
    for _ in 0..MAX_TRIES {
        if is_there(root, key, expected)? {
            return Ok(Put::AlreadyThere);
        }
        let parent = root
            .create_parent(key)
            .map_err(|error| Error::io(attempt(), &error.into()))?;
        let directory = parent.as_ref().unwrap_or(root.fd());
        fault::point("storage.put.directory-created");
        match link::link(source, directory, key.file_name(), expected) {
            Ok(Linked::Yes) => {
                sync_directory(directory, &attempt)?;
                return Ok(Put::Created);
            }
            Ok(Linked::Taken) => continue,
            Ok(Linked::No) => {}
            Err(error) => return Err(Error::io(attempt(), &error)),
        }
        let mut temp = match Temp::create(directory) {
            Ok(Some(temp)) => temp,
            Ok(None) | Err(Errno::NOENT) => continue,
            Err(error) => return Err(Error::io(attempt(), &error.into())),
        };
        fault::point("storage.put.temp-created");
        copy(source.path, &mut temp.file, expected, cancelled, &attempt)?;
        fault::point("storage.put.written");
        temp.file
            .sync_all()
            .map_err(|error| Error::io(attempt(), &error))?;
        fault::point("storage.put.synced");
        match temp.publish(key.file_name()) {
            Ok(()) => {}
            Err(Errno::EXIST | Errno::NOENT) => continue,
            Err(error) => return Err(Error::io(attempt(), &error.into())),
        }
        sync_directory(directory, &attempt)?;
        return Ok(Put::Created);
    }
    Err(Error::unavailable(
        attempt(),
        "others kept changing its directory",
    ))
}

/// Makes the new name durable.
fn sync_directory(directory: &OwnedFd, attempt: &dyn Fn() -> String) -> Result<(), Error> {
    fault::point("storage.put.published");
    rustix::fs::fsync(directory).map_err(|error| Error::io(attempt(), &error.into()))?;
    fault::point("storage.put.done");
    Ok(())
}

/// Whether the object exists with the expected bytes.
fn is_there(root: &Root, key: &Key, expected: Expected) -> Result<bool, Error> {
    let attempt = || format!("compare object `{key}`");
    let file = match root.open_file(key) {
        Ok(file) => file,
        Err(Errno::NOENT) => return Ok(false),
        Err(error) => return Err(Error::io(attempt(), &error.into())),
    };
    let conflict = || Error::Conflict {
        what: format!("object `{key}`"),
    };
    let size = file
        .metadata()
        .map_err(|error| Error::io(attempt(), &error))?
        .len();
    if size != expected.size {
        return Err(conflict());
    }
    let (digest, _) = identity::hash(&file).map_err(|error| Error::io(attempt(), &error))?;
    if digest != expected.sha256 {
        return Err(conflict());
    }
    // A writer that crashed after publishing may not have synced; the caller relies on us.
    file.sync_all()
        .map_err(|error| Error::io(attempt(), &error))?;
    let parent = root
        .open_parent(key)
        .map_err(|error| Error::io(attempt(), &error.into()))?;
    rustix::fs::fsync(parent.as_ref().unwrap_or(root.fd()))
        .map_err(|error| Error::io(attempt(), &error.into()))?;
    Ok(true)
}

fn copy(
    source: &Path,
    target: &mut File,
    expected: Expected,
    cancelled: &AtomicBool,
    attempt: &dyn Fn() -> String,
) -> Result<(), Error> {
    let io = |error: std::io::Error| Error::io(attempt(), &error);
    let read =
        |error: std::io::Error| Error::io(format!("read source `{}`", source.display()), &error);
    let damaged = |damage| {
        metric::corrupt(
            BACKEND_FILESYSTEM,
            format!("source `{}`", source.display()),
            damage,
        )
    };
    let mut source_file = File::open(source).map_err(read)?;
    let mut buffer = vec![0; COPY_BUFFER_BYTES];
    let mut hasher = sha2::Sha256::new();
    let mut size = 0;
    loop {
        if cancelled.load(Ordering::Relaxed) {
            return Err(Error::unavailable(attempt(), "its caller left"));
        }
        let len = match source_file.read(&mut buffer) {
            Ok(0) => break,
            Ok(len) => len,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(read(error)),
        };
        size += len as u64;
        if size > expected.size {
            return Err(damaged(Damage::Size));
        }
        let bytes = buffer.get(..len).unwrap_or_default();
        hasher.update(bytes);
        target.write_all(bytes).map_err(io)?;
    }
    if size != expected.size {
        return Err(damaged(Damage::Size));
    }
    if Sha256::finish(hasher) != expected.sha256 {
        return Err(damaged(Damage::Digest));
    }
    Ok(())
}

/// A locked temporary file that is removed unless it was published by renaming.
struct Temp<'a> {
    directory: &'a OwnedFd,
    name: String,
    file: File,
    is_renamed: bool,
}

impl<'a> Temp<'a> {
    /// `None`: a sweep of another process took it at once.
    fn create(directory: &'a OwnedFd) -> Result<Option<Self>, Errno> {
        let name = temp_name();
        let flags =
            OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = File::from(rustix::fs::openat(
            directory,
            name.as_str(),
            flags,
            FILE_MODE,
        )?);
        let temp = Self {
            directory,
            name,
            file,
            is_renamed: false,
        };
        Ok(lock(&temp.file).then_some(temp))
    }

    /// Gives the file its name, never over another file.
    fn publish(&mut self, name: &str) -> Result<(), Errno> {
        let (directory, temp) = (self.directory, self.name.as_str());
        match rename_new(directory, temp, name) {
            Ok(()) => {
                self.is_renamed = true;
                Ok(())
            }
            // NFS, FUSE and old kernels cannot rename without overwriting; a link never does.
            Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => {
                rustix::fs::linkat(directory, temp, directory, name, AtFlags::empty())
            }
            Err(error) => Err(error),
        }
    }
}

#[cfg(target_os = "linux")]
fn rename_new(directory: &OwnedFd, from: &str, to: &str) -> Result<(), Errno> {
    let flags = rustix::fs::RenameFlags::NOREPLACE;
    rustix::fs::renameat_with(directory, from, directory, to, flags)
}

#[cfg(not(target_os = "linux"))]
fn rename_new(_directory: &OwnedFd, _from: &str, _to: &str) -> Result<(), Errno> {
    Err(Errno::NOSYS)
}

impl Drop for Temp<'_> {
    fn drop(&mut self) {
        if !self.is_renamed {
            let removed =
                rustix::fs::unlinkat(self.directory, self.name.as_str(), AtFlags::empty());
            if let Err(error) = removed
                && error != Errno::NOENT
            {
                tracing::warn!("cannot remove a temporary file of the store: {error}");
            }
        }
    }
}
