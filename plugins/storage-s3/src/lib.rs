//! The S3 backend: artifacts as objects of buckets, of S3 or of a server that speaks it.
//!
//! What it decides is a bucket and a key; the host's own client, with the credentials and the
//! endpoint of the operator's grant, moves the bytes and makes links. Keys are the original's:
//! `{key of the block, else the operator's prefix}/{config name}/{file}`.
//!
//! What bounds it: a key has at most 1024 bytes and 16 segments of at most 255 bytes. What it
//! refuses: names of buckets that break S3's rules, plain names that are none (`.`, `..`, control
//! characters, backslashes), storage classes whose objects cannot be read at once, and to plan for
//! any store but a bucket. What may surprise: a record has no region, so a region that a resource
//! names counts while its artifact is placed and no longer; of the operator's `bucket` the region is
//! always known, of others it is the grant's or found by the host. A recorded artifact stays in
//! its bucket when the settings name another. Class and encryption concern new objects only.

mod bucket;
mod configuration;

use configuration::Settings;
use opendepot_plugin_sdk::storage::{
    Configuration, Error, Operation, Placement, StoragePlugin, Transfer, content_type,
};
use opendepot_plugin_sdk::{Artifact, key, register_storage};

/// The plugin.
pub struct S3;

impl StoragePlugin for S3 {
    fn validate(configuration: &Configuration) -> Result<(), Error> {
        Settings::read(configuration).map(drop)
    }

    fn locate(configuration: &Configuration, artifact: &Artifact) -> Result<Placement, Error> {
        let settings = Settings::read(configuration)?;
        let bucket = settings.bucket()?;
        let key = key::of_artifact(settings.folder(), artifact)?;
        Ok(placement(&settings, bucket, key))
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
            .ok_or_else(|| denied("this plugin has buckets, `s3://bucket`, alone"))?;
        bucket::check(bucket).map_err(denied)?;
        recorded.check_key()?;
        let placement = placement(&settings, bucket, recorded.key.clone());
        match operation {
            Operation::Prepare => Ok(Transfer::Nothing),
            Operation::Put => {
                let content_type = content_type(&artifact.file_name);
                let placement = placement.with_attribute("content-type", content_type);
                let options = settings.write_options.into_iter();
                Ok(Transfer::Native(
                    options.fold(placement, |placement, (name, value)| {
                        placement.with_option(name, value)
                    }),
                ))
            }
            Operation::Get | Operation::Head | Operation::Delete | Operation::Presign(_) => {
                Ok(Transfer::Native(placement))
            }
            Operation::Other(name) => Err(Error::unknown_operation(name)),
        }
    }
}

/// A key in a bucket, with the bucket's region where it is known.
fn placement(settings: &Settings, bucket: &str, key: String) -> Placement {
    let placement = Placement::new(format!("{}{bucket}", bucket::SCHEME), key);
    match settings.region(bucket) {
        Some(region) => placement.with_option("region", region),
        None => placement,
    }
}

register_storage!(S3);

#[cfg(test)]
mod tests;
