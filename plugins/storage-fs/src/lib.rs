//! The file system backend: artifacts as files under one folder.
//!
//! What it decides is a key, nothing else: the store is always `file:///`, which the host opens
//! beneath the root that the operator granted. Keys are the original's:
//! `{directory below the root}/{config name}/{file}`.
//!
//! What bounds it: a key has at most 1024 bytes and 16 segments of at most 255 bytes. What it
//! refuses: a directory outside of the root (by whole segments: `/data/modules-x` is not below
//! `/data/modules`), `.`, `..`, control characters and backslashes anywhere, links for clients
//! (`presign`), and to plan for any store but its own. What may surprise: records hold keys
//! relative to the root, so moving the root's files and changing `root` moves everything; a
//! directory's empty parts (`//`, a final `/`) are dropped, as the original's path joining does.

mod configuration;

use opendepot_plugin_sdk::storage::{
    Configuration, Error, Operation, Placement, StoragePlugin, Transfer,
};
use opendepot_plugin_sdk::{Artifact, key, register_storage};

/// The one store of this plugin.
const STORE: &str = "file:///";

/// The plugin.
pub struct FileSystem;

impl StoragePlugin for FileSystem {
    fn validate(configuration: &Configuration) -> Result<(), Error> {
        configuration::directory(configuration).map(drop)
    }

    fn locate(configuration: &Configuration, artifact: &Artifact) -> Result<Placement, Error> {
        let directory = configuration::directory(configuration)?;
        let key = key::of_artifact(&directory, artifact)?;
        Ok(Placement::new(STORE, key))
    }

    fn plan(
        _configuration: &Configuration,
        _artifact: &Artifact,
        placement: Placement,
        operation: &Operation,
        _now: u64,
    ) -> Result<Transfer, Error> {
        if placement.store != STORE {
            let reason = format!("this plugin has `{STORE}` alone");
            return Err(Error::cannot_plan("store", &placement.store, &reason));
        }
        placement.check_key()?;
        match operation {
            Operation::Prepare => Ok(Transfer::Nothing),
            Operation::Put | Operation::Get | Operation::Head | Operation::Delete => Ok(
                Transfer::Native(Placement::new(placement.store, placement.key)),
            ),
            Operation::Presign(_) => Err(Error::Unsupported(
                "the file system cannot make links for clients: `presign`".to_owned(),
            )),
            Operation::Other(name) => Err(Error::unknown_operation(name)),
        }
    }
}

register_storage!(FileSystem);

#[cfg(test)]
mod tests;
