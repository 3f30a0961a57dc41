//! Opening below a root without leaving it (S03, T22).
//!
//! `openat2` resolves the whole path in the kernel. Where it is missing each segment is opened
//! with `O_NOFOLLOW` from its parent's descriptor. The root itself is the operator's and may be
//! a link.

use crate::answer::excerpt;
use crate::error::Error;
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use std::fs::File;
use std::io::Read as _;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

/// `openat2` answers EAGAIN when a rename elsewhere raced with it.
#[cfg(target_os = "linux")]
const MAX_RACES: usize = 16;
const MAX_DEPTH: usize = 64;

/// Opens a folder beneath `root`.
pub(super) fn open_folder(root: &Path, path: &str) -> Result<OwnedFd, Error> {
    let segments = segments(path)?;
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let root_fd = rustix::fs::open(root, flags, Mode::empty())
        .map_err(|error| failed(&root.to_string_lossy(), error))?;
    match whole(&root_fd, &segments.join("/")) {
        Err(Errno::NOSYS) => stepwise(root_fd, &segments),
        outcome => outcome,
    }
    .map_err(|error| failed(path, error))
}

/// The plain segments of a relative path.
fn segments(path: &str) -> Result<Vec<&str>, Error> {
    let refuse = |reason: &str| Error::Path {
        path: excerpt(path),
        reason: reason.to_owned(),
    };
    if path.starts_with('/') || path.contains(['\0', '\\']) {
        return Err(refuse("it must be relative, with `/` between its parts"));
    }
    let segments: Vec<&str> = path
        .split('/')
        .filter(|segment| !matches!(*segment, "" | "."))
        .collect();
    if segments.contains(&"..") {
        return Err(refuse("it climbs with `..`"));
    }
    if segments.is_empty() {
        return Err(refuse("it names no folder"));
    }
    if segments.len() > MAX_DEPTH {
        return Err(refuse("it is nested too deeply"));
    }
    Ok(segments)
}

#[cfg(target_os = "linux")]
fn whole(root: &OwnedFd, path: &str) -> Result<OwnedFd, Errno> {
    use rustix::fs::ResolveFlags;
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
    for _ in 0..MAX_RACES {
        match rustix::fs::openat2(root, path, flags, Mode::empty(), resolve) {
            Err(Errno::AGAIN) => {}
            // Strict seccomp profiles answer EPERM.
            Err(Errno::PERM) => return Err(Errno::NOSYS),
            outcome => return outcome,
        }
    }
    Err(Errno::AGAIN)
}

#[cfg(not(target_os = "linux"))]
fn whole(_root: &OwnedFd, _path: &str) -> Result<OwnedFd, Errno> {
    Err(Errno::NOSYS)
}

/// The way for systems without `openat2`.
pub(super) fn stepwise(root: OwnedFd, segments: &[&str]) -> Result<OwnedFd, Errno> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    segments.iter().try_fold(root, |parent, segment| {
        rustix::fs::openat(&parent, *segment, flags, Mode::empty())
    })
}

/// Opens a regular file in an open folder; `None` when there is none.
pub(super) fn open_file(folder: impl AsFd, name: &str) -> Result<Option<File>, Error> {
    if name.contains(['/', '\0']) || matches!(name, "" | "." | "..") {
        return Err(Error::Path {
            path: excerpt(name),
            reason: "it is no file name".to_owned(),
        });
    }
    // Non-blocking, so that a planted FIFO cannot hang the caller.
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = match rustix::fs::openat(folder, name, flags, Mode::empty()) {
        Ok(fd) => File::from(fd),
        Err(Errno::NOENT) => return Ok(None),
        Err(error) => return Err(failed(name, error)),
    };
    let metadata = file.metadata().map_err(|error| Error::Io {
        path: excerpt(name),
        reason: error.to_string(),
    })?;
    if !metadata.is_file() {
        return Err(Error::Path {
            path: excerpt(name),
            reason: "it is not a regular file".to_owned(),
        });
    }
    Ok(Some(file))
}

/// Reads a small file whole; `None` when there is none.
pub(super) fn read_file(
    folder: impl AsFd,
    name: &str,
    max_bytes: u64,
) -> Result<Option<Vec<u8>>, Error> {
    let Some(file) = open_file(folder, name)? else {
        return Ok(None);
    };
    let mut bytes = Vec::new();
    file.take(max_bytes.saturating_add(1))
        .read_to_end(&mut bytes)
        .map_err(|error| Error::Io {
            path: excerpt(name),
            reason: error.to_string(),
        })?;
    if bytes.len() as u64 > max_bytes {
        return Err(Error::Path {
            path: excerpt(name),
            reason: format!("it is larger than {max_bytes} bytes"),
        });
    }
    Ok(Some(bytes))
}

/// A path that leads to the open folder and not to whatever has its name by now.
#[cfg(target_os = "linux")]
pub(super) fn path_of(folder: &OwnedFd, _root: &Path, _path: &str) -> PathBuf {
    use std::os::fd::AsRawFd as _;
    PathBuf::from(format!("/proc/self/fd/{}", folder.as_raw_fd()))
}

/// Other systems cannot name an open folder.
#[cfg(not(target_os = "linux"))]
pub(super) fn path_of(_folder: &OwnedFd, root: &Path, path: &str) -> PathBuf {
    root.join(path)
}

pub(super) fn failed(path: &str, error: Errno) -> Error {
    let path = excerpt(path);
    let refuse = |path, reason: &str| Error::Path {
        path,
        reason: reason.to_owned(),
    };
    match error {
        Errno::NOENT => Error::PathNotFound { path },
        Errno::LOOP | Errno::XDEV => refuse(path, "a link is in its way"),
        // `O_NOFOLLOW` with `O_DIRECTORY` answers this for a link as well.
        Errno::NOTDIR => refuse(path, "a link or a file is in its way"),
        Errno::NAMETOOLONG => refuse(path, "it is too long"),
        error => Error::Io {
            path,
            reason: std::io::Error::from(error).to_string(),
        },
    }
}
