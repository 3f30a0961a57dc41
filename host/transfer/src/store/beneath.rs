//! Opening below a root without ever leaving it or following a link (S03).
//!
//! `openat2` resolves a whole key in the kernel. Where it is missing (old kernels, strict
//! seccomp profiles) each segment is opened with `O_NOFOLLOW` from its parent's descriptor.

use super::location::Key;
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use std::fs::File;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

const DIRECTORY_MODE: Mode = Mode::from_raw_mode(0o750);
/// `openat2` answers EAGAIN when a rename elsewhere raced with it.
const MAX_RACES: usize = 16;

/// A store's root directory, held open.
pub(crate) struct Root {
    fd: OwnedFd,
    is_openat2_missing: AtomicBool,
}

impl Root {
    /// Opens `path`; its last component must not be a link.
    pub(crate) fn open(path: &Path) -> Result<Self, Errno> {
        Ok(Self {
            fd: rustix::fs::open(path, directory_flags(), Mode::empty())?,
            is_openat2_missing: AtomicBool::new(cfg!(not(target_os = "linux"))),
        })
    }

    pub(crate) fn fd(&self) -> &OwnedFd {
        &self.fd
    }

    /// Uses only the way for systems without `openat2`.
    #[cfg(test)]
    pub(crate) fn without_openat2(self) -> Self {
        self.is_openat2_missing.store(true, Ordering::Relaxed);
        self
    }

    /// Opens a regular file for reading.
    ///
    /// # Errors
    /// `NOENT` when it or a directory above it is missing; `LOOP`, `XDEV` or `NOTDIR` when a
    /// link is in the way; `ISDIR` when it is not a regular file.
    pub(crate) fn open_file(&self, key: &Key) -> Result<File, Errno> {
        // Non-blocking, so that a planted FIFO cannot hang the caller.
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let fd = match self.open_whole(key, flags) {
            Err(Errno::NOSYS) => {
                let parent = self.open_parent(key)?;
                let parent = parent.as_ref().unwrap_or(&self.fd);
                rustix::fs::openat(parent, key.file_name(), flags, Mode::empty())?
            }
            outcome => outcome?,
        };
        let file = File::from(fd);
        let is_file = file
            .metadata()
            .map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::IO))?
            .is_file();
        if is_file { Ok(file) } else { Err(Errno::ISDIR) }
    }

    #[cfg(target_os = "linux")]
    fn open_whole(&self, key: &Key, flags: OFlags) -> Result<OwnedFd, Errno> {
        use rustix::fs::ResolveFlags;
        if self.is_openat2_missing.load(Ordering::Relaxed) {
            return Err(Errno::NOSYS);
        }
        let resolve =
            ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
        for _ in 0..MAX_RACES {
            match rustix::fs::openat2(&self.fd, key.as_str(), flags, Mode::empty(), resolve) {
                Err(Errno::AGAIN) => {}
                Err(Errno::NOSYS | Errno::PERM) => {
                    self.is_openat2_missing.store(true, Ordering::Relaxed);
                    return Err(Errno::NOSYS);
                }
                outcome => return outcome,
            }
        }
        Err(Errno::AGAIN)
    }

    #[cfg(not(target_os = "linux"))]
    fn open_whole(&self, _key: &Key, _flags: OFlags) -> Result<OwnedFd, Errno> {
        Err(Errno::NOSYS)
    }

    /// Opens the directory that holds the object; `None` is the root itself.
    pub(crate) fn open_parent(&self, key: &Key) -> Result<Option<OwnedFd>, Errno> {
        let mut parent = None;
        for segment in key.parents() {
            let from = parent.as_ref().unwrap_or(&self.fd);
            parent = Some(open_directory(from, segment)?);
        }
        Ok(parent)
    }

    /// As [`Self::open_parent`], creating what is missing. Each new entry is synced, so that a
    /// crash cannot lose the directory of a file that was reported stored.
    pub(crate) fn create_parent(&self, key: &Key) -> Result<Option<OwnedFd>, Errno> {
        let mut parent = None;
        for segment in key.parents() {
            let from = parent.as_ref().unwrap_or(&self.fd);
            let child = match open_directory(from, segment) {
                Err(Errno::NOENT) => {
                    match rustix::fs::mkdirat(from, segment, DIRECTORY_MODE) {
                        Ok(()) | Err(Errno::EXIST) => {}
                        Err(error) => return Err(error),
                    }
                    rustix::fs::fsync(from)?;
                    open_directory(from, segment)?
                }
                outcome => outcome?,
            };
            parent = Some(child);
        }
        Ok(parent)
    }
}

fn directory_flags() -> OFlags {
    OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC
}

fn open_directory(from: &OwnedFd, segment: &str) -> Result<OwnedFd, Errno> {
    rustix::fs::openat(from, segment, directory_flags(), Mode::empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    fn key(text: &str) -> Key {
        Key::new(Path::new(""), text).unwrap()
    }

    #[test]
    fn no_link_is_followed_in_either_way() {
        let outside = tempfile::tempdir().unwrap();
        std::fs::write(outside.path().join("secret"), b"secret").unwrap();
        let inside = tempfile::tempdir().unwrap();
        let root_path = inside.path();
        std::fs::create_dir(root_path.join("real")).unwrap();
        std::fs::write(root_path.join("real/file"), b"ok").unwrap();
        symlink(outside.path(), root_path.join("directory-link")).unwrap();
        symlink(outside.path().join("secret"), root_path.join("file-link")).unwrap();
        symlink("real", root_path.join("inner-link")).unwrap();
        symlink("/proc/self/root", root_path.join("magic")).unwrap();
        for root in [
            Root::open(root_path).unwrap(),
            Root::open(root_path).unwrap().without_openat2(),
        ] {
            assert!(root.open_file(&key("real/file")).is_ok());
            for hostile in [
                "directory-link/secret",
                "file-link",
                "inner-link/file",
                "magic/etc/passwd",
            ] {
                let error = root.open_file(&key(hostile)).unwrap_err();
                assert!(
                    matches!(error, Errno::LOOP | Errno::NOTDIR | Errno::XDEV),
                    "{hostile}: {error:?}"
                );
                assert!(root.create_parent(&key(hostile)).is_err() || hostile == "file-link");
            }
            assert_eq!(root.open_file(&key("gone/x")).unwrap_err(), Errno::NOENT);
            assert_eq!(root.open_file(&key("real")).unwrap_err(), Errno::ISDIR);
        }
    }

    #[test]
    fn a_root_that_is_a_link_is_not_opened() {
        let directory = tempfile::tempdir().unwrap();
        let link = directory.path().join("link");
        symlink(directory.path(), &link).unwrap();
        assert!(Root::open(&link).is_err());
    }
}
