//! Where things are in the clone.

use anyhow::{Context, Result};
use std::path::{Path, PathBuf};

/// The root of the clone: this crate is two folders below it.
///
/// # Errors
/// When the clone was moved after this program was built.
pub(crate) fn root() -> Result<PathBuf> {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../..")
        .canonicalize()
        .context("cannot find the root of the clone; was it moved since xtask was built?")
}

/// The folder for build results: `CARGO_TARGET_DIR` when set, else `target/`.
pub(crate) fn target(root: &Path) -> PathBuf {
    match std::env::var_os("CARGO_TARGET_DIR") {
        Some(dir) if !dir.is_empty() => root.join(dir),
        _ => root.join("target"),
    }
}
