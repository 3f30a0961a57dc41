//! What the operator sets for stores, and opening their directories.

use super::beneath::Root;
use super::filesystem::{FileStore, Shared};
use super::location;
use super::verified::Verified;
use crate::body::Pool;
use crate::error::Error;
use crate::sweep::{MAX_DEPTH, sweep};
use rustix::io::Errno;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The directories of `file://` stores and the limits of all stores.
#[derive(Clone, Debug)]
pub struct StoresConfig {
    /// The root of the filesystem backend: `file:///`. Created when missing.
    pub filesystem_root: PathBuf,
    /// Further directories that plans may name by their absolute path. They must exist.
    pub extra_file_stores: Vec<PathBuf>,
    /// Limits.
    pub limits: StoreLimits,
}

impl StoresConfig {
    /// One root and default limits.
    #[must_use]
    pub fn new(filesystem_root: impl Into<PathBuf>) -> Self {
        Self {
            filesystem_root: filesystem_root.into(),
            extra_file_stores: Vec::new(),
            limits: StoreLimits::default(),
        }
    }
}

/// Limits of stores (reliability.md 2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoreLimits {
    /// The largest object in bytes.
    pub max_object_bytes: u64,
    /// Files hashed at a time because their state is unknown.
    pub concurrent_hashes: usize,
    /// How long an open waits for such a hash. The hash goes on.
    pub verify_timeout: Duration,
}

impl Default for StoreLimits {
    fn default() -> Self {
        Self {
            max_object_bytes: 2 << 30,
            concurrent_hashes: 2,
            verify_timeout: Duration::from_secs(8),
        }
    }
}

/// Opens every directory; all problems at once.
pub(super) fn open(config: StoresConfig) -> Result<(Vec<FileStore>, u64), Error> {
    let StoresConfig {
        filesystem_root,
        extra_file_stores,
        limits,
    } = config;
    let mut problems = Vec::new();
    if limits.max_object_bytes == 0 {
        problems.push("the largest object size is 0".to_owned());
    }
    if limits.concurrent_hashes == 0 {
        problems.push("the number of concurrent hashes is 0".to_owned());
    }
    let shared = Shared {
        pool: Pool::default(),
        verified: Verified::new(limits.concurrent_hashes, limits.verify_timeout),
    };
    let mut directories = Vec::new();
    let root = location::configured(&filesystem_root).and_then(|path| {
        create(&path)?;
        Ok(path)
    });
    let extra = extra_file_stores.iter().map(|path| {
        if path.is_absolute() {
            location::configured(path)
        } else {
            Err(format!("`{}` is not absolute", path.display()))
        }
    });
    for path in std::iter::once(root).chain(extra) {
        match path.and_then(|path| open_directory(path, &shared)) {
            Ok(store) => directories.push(store),
            Err(problem) => problems.push(problem),
        }
    }
    if problems.is_empty() {
        Ok((directories, limits.max_object_bytes))
    } else {
        Err(Error::Settings { problems })
    }
}

fn create(path: &Path) -> Result<(), String> {
    let shown = path.display();
    if path.is_symlink() {
        return Err(format!("`{shown}` is a symbolic link"));
    }
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .map_err(|error| format!("cannot create `{shown}`: {error}"))
}

fn open_directory(path: PathBuf, shared: &Shared) -> Result<FileStore, String> {
    let shown = path.display();
    let root = Root::open(&path).map_err(|error| match error {
        Errno::LOOP | Errno::NOTDIR if path.is_symlink() => {
            format!("`{shown}` is a symbolic link")
        }
        error => format!("cannot open `{shown}`: {error}"),
    })?;
    let num_removed =
        sweep(root.fd(), MAX_DEPTH).map_err(|error| format!("cannot sweep `{shown}`: {error}"))?;
    if num_removed > 0 {
        tracing::info!(
            store.num_removed = num_removed,
            "removed temporary files that a crash left in `{shown}`"
        );
    }
    Ok(FileStore::new(root, path, shared.clone()))
}
