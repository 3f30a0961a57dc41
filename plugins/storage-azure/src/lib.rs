//! The Azure backend: artifacts as blobs, each config's in a container of its own.
//!
//! What it decides is an account, a container and a key; the host's own client, with the
//! credentials and the endpoint of the operator's grant, makes the container, moves the bytes and
//! makes links. Names are the original's: container `{config name}`, blob
//! `{config name}/{file}`.
//!
//! What bounds it: a key has at most 1024 bytes and two segments of at most 255 bytes. What it
//! refuses: configs whose names Azure does not take for containers, plain names that are none (`.`,
//! `..`, control characters, backslashes), the tier `Archive`, an `accountUrl` that is not the
//! account's, and to plan for any store but a container. What may surprise: `accountUrl` is checked
//! and then not used, the endpoint is the grant's, so that no resource can send a token elsewhere;
//! `subscriptionID` and `resourceGroup`, with which the original asked the resource manager for
//! containers, are accepted and not used either. Containers are made only under the grant
//! `create-containers`. A recorded artifact stays in its account when the settings name another.

mod account;
mod configuration;

use configuration::Settings;
use opendepot_plugin_sdk::settings::shown;
use opendepot_plugin_sdk::storage::{
    Configuration, Error, Operation, Placement, StoragePlugin, Transfer, content_type,
};
use opendepot_plugin_sdk::{Artifact, key, register_storage};

/// The plugin.
pub struct Azure;

impl StoragePlugin for Azure {
    fn validate(configuration: &Configuration) -> Result<(), Error> {
        Settings::read(configuration).map(drop)
    }

    fn locate(configuration: &Configuration, artifact: &Artifact) -> Result<Placement, Error> {
        let settings = Settings::read(configuration)?;
        let account = settings.account()?;
        let container = artifact.config_name();
        account::check_container(container).map_err(|rule| {
            Error::Denied(format!(
                "config name `{}` cannot be the name of a container: {rule}; give the config \
                 another `name`, or the resource another backend",
                shown(container)
            ))
        })?;
        let key = key::of_artifact(&[], artifact)?;
        let store = format!("{}{account}/{container}", account::SCHEME);
        Ok(Placement::new(store, key))
    }

    fn plan(
        configuration: &Configuration,
        artifact: &Artifact,
        recorded: Placement,
        operation: &Operation,
        _now: u64,
    ) -> Result<Transfer, Error> {
        let settings = Settings::read(configuration)?;
        account::check_store(&recorded.store)
            .map_err(|rule| Error::cannot_plan("store", &recorded.store, rule))?;
        recorded.check_key()?;
        let placement = Placement::new(recorded.store, recorded.key);
        match operation {
            Operation::Put => {
                let content_type = content_type(&artifact.file_name);
                let placement = placement.with_attribute("content-type", content_type);
                Ok(Transfer::Native(match settings.storage_class {
                    Some(class) => placement.with_option("storage-class", class),
                    None => placement,
                }))
            }
            Operation::Prepare
            | Operation::Get
            | Operation::Head
            | Operation::Delete
            | Operation::Presign(_) => Ok(Transfer::Native(placement)),
            Operation::Other(name) => Err(Error::unknown_operation(name)),
        }
    }
}

register_storage!(Azure);

#[cfg(test)]
mod tests;
