//! The strong tags under which objects were read whole and found right.
//!
//! They let a part be asked for as a part: a server that still has the tag has the bytes that were
//! hashed. Bounded in number and in age, so that damage which leaves the tag alone is found again.

use http::header::{ETAG, HeaderMap, HeaderValue};
use moka::sync::Cache;
use opendepot_domain::{PluginId, Sha256};
use std::time::Duration;

const MAX_REMEMBERED: u64 = 10_000;
const REMEMBERED_FOR: Duration = Duration::from_secs(60 * 60);

/// Tags by object.
pub(super) struct Tags(Cache<Sha256, HeaderValue>);

/// Remembers one object's tag once its bytes were found right.
pub(crate) struct Keeper {
    tags: Cache<Sha256, HeaderValue>,
    key: Sha256,
    tag: HeaderValue,
}

impl Keeper {
    pub(crate) fn remember(self) {
        self.tags.insert(self.key, self.tag);
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

    pub(super) fn get(&self, key: &Sha256) -> Option<HeaderValue> {
        self.0.get(key)
    }

    /// A server that no longer keeps to a tag is asked for whole objects.
    pub(super) fn forget(&self, key: &Sha256) {
        self.0.invalidate(key);
    }

    pub(super) fn keeper(&self, key: Sha256, tag: HeaderValue) -> Keeper {
        Keeper {
            tags: self.0.clone(),
            key,
            tag,
        }
    }
}

/// A tag, if it is a strong one.
pub(super) fn parse(text: &str) -> Option<HeaderValue> {
    let is_strong = (3..=256).contains(&text.len()) && text.starts_with('"') && text.ends_with('"');
    is_strong
        .then(|| HeaderValue::from_str(text).ok())
        .flatten()
}

/// The tag of an answer, if it is a strong one.
pub(super) fn strong(headers: &HeaderMap) -> Option<HeaderValue> {
    parse(headers.get(ETAG)?.to_str().ok()?)
}
