//! The strong tags under which objects were read whole and found right.
//!
//! They let a part be asked for as a part: a server that still has the tag has the bytes that were
//! hashed. Servers over a folder keep the tag of a file that changed, so the time of the last change
//! must be the same too. Bounded in number and in age, so that damage which leaves both alone is found
//! again.

use http::header::{ETAG, HeaderMap, HeaderValue, LAST_MODIFIED};
use moka::sync::Cache;
use opendepot_domain::{PluginId, Sha256};
use std::time::Duration;

const MAX_REMEMBERED: u64 = 10_000;
const REMEMBERED_FOR: Duration = Duration::from_secs(60 * 60);

/// Tags by object.
pub(super) struct Tags(Cache<Sha256, Version>);

/// What tells one content of an object from another.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Version {
    pub(super) tag: HeaderValue,
    /// When it changed last, as the server says it.
    modified: Option<String>,
}

/// Remembers one object's tag once its bytes were found right, and forgets it once they were not.
pub(crate) struct Keeper {
    tags: Cache<Sha256, Version>,
    key: Sha256,
    /// Of these bytes, if they have a strong one.
    version: Option<Version>,
}

impl Keeper {
    pub(crate) fn remember(&mut self) {
        if let Some(version) = self.version.take() {
            self.tags.insert(self.key, version);
        }
    }

    pub(crate) fn forget(&self) {
        self.tags.invalidate(&self.key);
    }
}

impl Default for Tags {
    fn default() -> Self {
        Self(
            Cache::builder()
                .max_capacity(MAX_REMEMBERED)
                .time_to_live(REMEMBERED_FOR)
                .build(),
        )
    }
}

impl Tags {
    /// An object's name here.
    pub(super) fn key(plugin: &PluginId, store: &str, key: &str, sha256: Sha256) -> Sha256 {
        let mut input = opendepot_domain::canonical::Canonical::new("remote-object");
        input
            .field(plugin.as_str())
            .field(store)
            .field(key)
            .field(&sha256.to_string());
        Sha256::of(input.as_bytes())
    }

    pub(super) fn get(&self, key: &Sha256) -> Option<Version> {
        self.0.get(key)
    }

    /// A server that no longer keeps to a tag is asked for whole objects.
    pub(super) fn forget(&self, key: &Sha256) {
        self.0.invalidate(key);
    }

    pub(super) fn keeper(&self, key: Sha256, version: Option<Version>) -> Keeper {
        Keeper {
            tags: self.0.clone(),
            key,
            version,
        }
    }
}

impl Version {
    /// `None` without a strong tag.
    pub(super) fn new(tag: Option<&str>, modified: Option<String>) -> Option<Self> {
        let tag = tag?;
        let is_strong =
            (3..=256).contains(&tag.len()) && tag.starts_with('"') && tag.ends_with('"');
        let tag = HeaderValue::from_str(tag).ok().filter(|_| is_strong)?;
        Some(Self { tag, modified })
    }

    /// That of an answer.
    pub(super) fn of(headers: &HeaderMap) -> Option<Self> {
        let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
        Self::new(text(ETAG), text(LAST_MODIFIED).map(str::to_owned))
    }
}
