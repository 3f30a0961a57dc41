//! Temporary files: their names, their locks, and removing what a crash left (S01).
//!
//! A writer holds an exclusive `flock` on its temporary file for as long as it lives. A sweep
//! removes only files whose lock it gets, so it never takes one from another process that shares
//! the directory. Where the file system has no locks, a file counts as left over after an hour.

use crate::error::Error;
use rustix::fs::{AtFlags, Dir, FileType, FlockOperation, Mode, OFlags};
use rustix::io::Errno;
use std::fs::File;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::time::{Duration, SystemTime};

/// Starts the name of every temporary file of ours. No storage key may use it.
pub(crate) const TEMP_PREFIX: &str = ".opendepot-tmp-";

const LEFT_OVER_AFTER: Duration = Duration::from_secs(3600);
/// Keys are at most this deep; a sweep goes no further.
pub(crate) const MAX_DEPTH: usize = 16;

/// A fresh name for a temporary file.
pub(crate) fn temp_name() -> String {
    format!("{TEMP_PREFIX}{}", uuid::Uuid::new_v4().simple())
}

/// Takes the writer's lock. `false`: a sweep has the file, choose another name.
pub(crate) fn lock(file: &File) -> bool {
    match rustix::fs::flock(file, FlockOperation::NonBlockingLockExclusive) {
        // A sweep may have removed the file between its creation and this lock.
        Ok(()) => rustix::fs::fstat(file).is_ok_and(|stat| stat.st_nlink > 0),
        Err(error) => !is_held(error),
    }
}

// `EWOULDBLOCK` and `EAGAIN` are one number here.
fn is_held(error: Errno) -> bool {
    error == Errno::AGAIN
}

/// Removes the temporary files that a crash left in `directory` itself, not below it, and
/// returns how many. For the directory that downloads are written to.
///
/// # Errors
/// [`Error::Unavailable`] when the directory cannot be read.
pub fn sweep_directory(directory: &Path) -> Result<usize, Error> {
    let attempt = || format!("sweep `{}`", directory.display());
    let fd = rustix::fs::open(
        directory,
        OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC,
        Mode::empty(),
    )
    .map_err(|error| Error::io(attempt(), &error.into()))?;
    sweep(&fd, 0).map_err(|error| Error::io(attempt(), &error.into()))
}

/// Sweeps `directory` and `depth` levels below it; follows no links. What cannot be read below
/// is logged and left.
pub(crate) fn sweep(directory: &OwnedFd, depth: usize) -> Result<usize, Errno> {
    let mut num_removed = 0;
    for entry in Dir::read_from(directory)? {
        let entry = entry?;
        let name = entry.file_name();
        let bytes = name.to_bytes();
        if bytes == b"." || bytes == b".." {
            continue;
        }
        let is_ours = bytes.starts_with(TEMP_PREFIX.as_bytes());
        match entry.file_type() {
            FileType::Directory | FileType::Unknown if depth > 0 && !is_ours => {
                let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
                let below = rustix::fs::openat(directory, name, flags, Mode::empty())
                    .and_then(|fd| sweep(&fd, depth - 1));
                match below {
                    Ok(num) => num_removed += num,
                    Err(Errno::NOTDIR | Errno::NOENT | Errno::LOOP) => {}
                    Err(error) => {
                        tracing::warn!("cannot sweep a directory of the store: {error}");
                    }
                }
            }
            FileType::RegularFile | FileType::Unknown
                if is_ours && remove_if_left_over(directory.as_fd(), name) =>
            {
                num_removed += 1;
            }
            _ => {}
        }
    }
    Ok(num_removed)
}

fn remove_if_left_over(directory: rustix::fd::BorrowedFd<'_>, name: &std::ffi::CStr) -> bool {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let Ok(fd) = rustix::fs::openat(directory, name, flags, Mode::empty()) else {
        return false;
    };
    let file = File::from(fd);
    let is_left_over = match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => true,
        Err(error) if is_held(error) => false,
        Err(_) => file
            .metadata()
            .and_then(|metadata| metadata.modified())
            .is_ok_and(|at| {
                SystemTime::now()
                    .duration_since(at)
                    .is_ok_and(|age| age > LEFT_OVER_AFTER)
            }),
    };
    is_left_over && rustix::fs::unlinkat(directory, name, AtFlags::empty()).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sweep_takes_leftovers_and_leaves_live_and_foreign_files() {
        let directory = tempfile::tempdir().unwrap();
        let left_over = directory.path().join(temp_name());
        let live = directory.path().join(temp_name());
        let foreign = directory.path().join("kept.zip");
        for path in [&left_over, &live, &foreign] {
            std::fs::write(path, b"x").unwrap();
        }
        let held = File::open(&live).unwrap();
        assert!(lock(&held));
        assert_eq!(sweep_directory(directory.path()).unwrap(), 1);
        assert!(!left_over.exists() && live.exists() && foreign.exists());
        drop(held);
        assert_eq!(sweep_directory(directory.path()).unwrap(), 1);
    }

    #[test]
    fn a_writer_notices_that_a_sweep_took_its_file() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join(temp_name());
        let file = File::create(&path).unwrap();
        sweep_directory(directory.path()).unwrap();
        assert!(!lock(&file));
    }
}
