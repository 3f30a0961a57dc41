//! Artifacts on any server that takes PUT, GET, HEAD and DELETE: WebDAV, a raw repository of
//! Artifactory or Nexus, a gateway that takes signed URLs.
//!
//! What it decides is a key below the operator's `url`, and for each operation one request, which
//! the host performs. The store of a placement is that `url`; the key is
//! `{path}/{config name}/{file}`, percent-encoded where a URL needs it. Credentials are named and
//! filled in by the host, or are a MAC in the URL, made with a secret that the plugin never sees.
//!
//! What bounds it: a key has at most 1024 bytes and 16 segments of at most 255 bytes. What it
//! refuses: plain names that are none (`.`, `..`, control characters, backslashes), links for
//! clients unless URLs are signed, two ways to authenticate at once. What may surprise: a recorded
//! artifact is looked for at the URL that was recorded, with the credentials of today, so a new
//! `url` concerns new artifacts only and both hosts need their grants; with `createCollections` the
//! outer collections are made while planning, by requests of the plugin's own.

mod access;
mod address;
mod collections;
mod configuration;
mod statuses;

use configuration::Settings;
use opendepot_plugin_sdk::http::Header;
use opendepot_plugin_sdk::storage::{
    Configuration, Error, Operation, Placement, SignedRequest, StoragePlugin, Transfer,
};
use opendepot_plugin_sdk::{Artifact, key, register_storage};

/// How long the plan of a request without an expiry of its own may be carried out, in seconds.
const PLAN_SECONDS: u64 = 3600;

/// The plugin.
pub struct Http;

impl StoragePlugin for Http {
    fn validate(configuration: &Configuration) -> Result<(), Error> {
        configuration::read(configuration).map(drop)
    }

    fn locate(configuration: &Configuration, artifact: &Artifact) -> Result<Placement, Error> {
        let (settings, path) = configuration::read(configuration)?;
        let key = key::of_artifact(&path, artifact)?;
        Ok(Placement::new(settings.url, key))
    }

    fn plan(
        configuration: &Configuration,
        artifact: &Artifact,
        placement: Placement,
        operation: &Operation,
        now: u64,
    ) -> Result<Transfer, Error> {
        let (settings, _) = configuration::read(configuration)?;
        let denied = |reason: &str| Error::cannot_plan("store", &placement.store, reason);
        let store = address::store(&placement.store).map_err(|reason| denied(&reason))?;
        if store != placement.store {
            return Err(denied("not as it was located"));
        }
        placement.check_key()?;
        let planner = Planner {
            settings: &settings,
            store: &store,
            now,
        };
        planner.plan(&placement.key, artifact, operation)
    }
}

/// Makes requests to one store.
struct Planner<'a> {
    settings: &'a Settings,
    store: &'a str,
    now: u64,
}

impl Planner<'_> {
    fn plan(
        &self,
        key: &str,
        artifact: &Artifact,
        operation: &Operation,
    ) -> Result<Transfer, Error> {
        let statuses = &self.settings.statuses;
        let url = address::below(self.store, key);
        let request = match operation {
            Operation::Prepare => return self.prepare(key),
            Operation::Put => {
                let mut request = self.request("PUT", &url, &statuses.put)?;
                request.exists.clone_from(&statuses.exists);
                let media_type = Header::plain("content-type", artifact.media_type.as_str());
                request.headers.push(media_type);
                if self.settings.is_conditional {
                    request.headers.push(Header::plain("if-none-match", "*"));
                }
                request
            }
            Operation::Get => self.request("GET", &url, &statuses.get)?,
            Operation::Head => self.request("HEAD", &url, &statuses.get)?,
            Operation::Delete => self.request("DELETE", &url, &statuses.delete)?,
            Operation::Presign(seconds) => {
                let expires_at = self.now.saturating_add(u64::from(*seconds));
                let Some(url) = self.settings.access.link(&url, expires_at)? else {
                    return Err(Error::Unsupported(
                        "links for clients need signed URLs, the setting `sign`: `presign`"
                            .to_owned(),
                    ));
                };
                SignedRequest {
                    url,
                    expires_at,
                    ..self.bare("GET", &statuses.get)
                }
            }
            Operation::Other(name) => return Err(Error::unknown_operation(name)),
        };
        Ok(Transfer::Signed(request))
    }

    /// A request with the store's credentials.
    fn request(&self, method: &str, url: &str, success: &[u16]) -> Result<SignedRequest, Error> {
        let mut request = self.bare(method, success);
        self.settings.access.admit(&mut request, url, self.now)?;
        Ok(request)
    }

    fn bare(&self, method: &str, success: &[u16]) -> SignedRequest {
        SignedRequest {
            method: method.to_owned(),
            url: String::new(),
            headers: Vec::new(),
            expires_at: self.now.saturating_add(PLAN_SECONDS),
            success: success.to_vec(),
            exists: Vec::new(),
            missing: self.settings.statuses.missing.clone(),
            attributes: Vec::new(),
        }
    }
}

register_storage!(Http);

#[cfg(test)]
mod tests;
