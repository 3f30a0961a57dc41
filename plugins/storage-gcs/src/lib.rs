//! The Google Cloud Storage backend: artifacts as objects of buckets.
//!
//! What it decides is a bucket and a key; the host's own client, with the credentials and the
//! endpoint of the operator's grant, moves the bytes and makes links. Keys are the original's,
//! below the operator's prefix where there is one: `{prefix}/{config name}/{file}`.
//!
//! What bounds it: a key has at most 1024 bytes and 16 segments of at most 255 bytes. What it
//! refuses: names of buckets that break the service's rules, plain names that are none (`.`, `..`,
//! control characters, backslashes), and to plan for any store but a bucket. What may surprise: the
//! prefix is for every bucket, also for one that a resource names; a recorded artifact stays in its
//! bucket when the settings name another. The class concerns new objects only.

mod bucket;
mod configuration;

use configuration::Settings;
use opendepot_plugin_sdk::storage::{
    Configuration, Error, Operation, Placement, StoragePlugin, Transfer, content_type,
};
use opendepot_plugin_sdk::{Artifact, key, register_storage};

/// The plugin.
pub struct Gcs;

impl StoragePlugin for Gcs {
    fn validate(configuration: &Configuration) -> Result<(), Error> {
        Settings::read(configuration).map(drop)
    }

    fn locate(configuration: &Configuration, artifact: &Artifact) -> Result<Placement, Error> {
        let settings = Settings::read(configuration)?;
        let bucket = settings.bucket()?;
        let key = key::of_artifact(&settings.folder, artifact)?;
        Ok(Placement::new(format!("{}{bucket}", bucket::SCHEME), key))
    }

    fn plan(
        configuration: &Configuration,
        artifact: &Artifact,
        recorded: Placement,
        operation: &Operation,
        _now: u64,
    ) -> Result<Transfer, Error> {
        let settings = Settings::read(configuration)?;
        let denied = |rule: &str| Error::cannot_plan("store", &recorded.store, rule);
        let bucket = recorded
            .store
            .strip_prefix(bucket::SCHEME)
            .ok_or_else(|| denied("this plugin has buckets, `gs://bucket`, alone"))?;
        bucket::check(bucket).map_err(denied)?;
        recorded.check_key()?;
        let placement = Placement::new(recorded.store, recorded.key);
        match operation {
            Operation::Prepare => Ok(Transfer::Nothing),
            Operation::Put => {
                let content_type = content_type(&artifact.file_name);
                let placement = placement.with_attribute("content-type", content_type);
                Ok(Transfer::Native(match settings.storage_class {
                    Some(class) => placement.with_option("storage-class", class),
                    None => placement,
                }))
            }
            Operation::Get | Operation::Head | Operation::Delete | Operation::Presign(_) => {
                Ok(Transfer::Native(placement))
            }
            Operation::Other(name) => Err(Error::unknown_operation(name)),
        }
    }
}

register_storage!(Gcs);

#[cfg(test)]
mod tests;
