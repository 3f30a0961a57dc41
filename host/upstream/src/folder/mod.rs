//! Folders of this machine, opened beneath a root without following a link.

mod beneath;
mod release;
#[cfg(test)]
mod tests;

pub use release::{LocalPackage, ReleaseFolder};

use crate::error::Error;
use beneath::open_folder;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

/// A module's folder, held open: what is done through [`Self::path`] stays in the folder that
/// was opened, whoever renames or links something meanwhile.
#[derive(Debug)]
pub struct ModuleFolder {
    path: PathBuf,
    _folder: OwnedFd,
}

impl ModuleFolder {
    /// Opens `path` beneath `root`. Blocks.
    ///
    /// # Errors
    /// [`Error::PathNotFound`]; [`Error::Path`] when the path climbs, or a link or a file is in
    /// its way; [`Error::Io`].
    pub fn open(root: &Path, path: &str) -> Result<Self, Error> {
        let folder = open_folder(root, path)?;
        Ok(Self {
            path: beneath::path_of(&folder, root, path),
            _folder: folder,
        })
    }

    /// A path to the open folder, valid while this value lives.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }
}
