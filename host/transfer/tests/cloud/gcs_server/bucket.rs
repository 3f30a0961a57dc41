//! The bucket: objects and uploads in memory. Every operation is one step under one lock.

use super::{Refusal, condition, refuse};
use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderMap, HeaderValue};
use jiff::Timestamp;
use opendepot_domain::Sha256;
use std::collections::BTreeMap;

/// The bucket's own class, which an object has that is given none.
const DEFAULT_CLASS: &str = "STANDARD";
/// Headers of a request that stay with the object.
const KEPT: &[&str] = &[
    "cache-control",
    "content-disposition",
    "content-encoding",
    "content-language",
    "content-type",
    "x-goog-custom-time",
];
/// Headers that change what a write means and are not known here.
const UNKNOWN: &[&str] = &[
    "x-goog-acl",
    "x-goog-encryption-key",
    "x-goog-encryption-kms-key-name",
    "x-goog-object-lock-mode",
    "x-goog-resumable",
];

/// One object.
#[derive(Clone, Debug)]
pub(crate) struct Object {
    pub(crate) content: Bytes,
    pub(crate) generation: u64,
    pub(crate) metageneration: u64,
    pub(crate) etag: String,
    pub(crate) class: String,
    /// What it was put with: its content type, and what is its user's.
    pub(crate) headers: HeaderMap,
    pub(super) modified: Timestamp,
}

/// An upload in parts that is under way.
pub(super) struct Upload {
    pub(super) key: String,
    pub(super) id: String,
    pub(super) begun: Timestamp,
    pub(super) metadata: Metadata,
    pub(super) parts: BTreeMap<u32, (Bytes, String)>,
}

/// What an object is given besides its content.
#[derive(Clone, Debug, Default)]
pub(super) struct Metadata {
    headers: HeaderMap,
    class: Option<String>,
}

pub(super) struct Bucket {
    pub(super) objects: BTreeMap<String, Object>,
    pub(super) uploads: Vec<Upload>,
    /// How many entries a page of a list has.
    pub(super) page: usize,
    last_number: u64,
}

impl Default for Bucket {
    fn default() -> Self {
        Self {
            objects: BTreeMap::new(),
            uploads: Vec::new(),
            page: 1_000,
            last_number: 1_700_000_000_000_000,
        }
    }
}

impl Metadata {
    /// # Errors
    /// For headers that mean something which is not known here.
    pub(super) fn of(headers: &HeaderMap) -> Result<Self, Refusal> {
        if let Some(name) = UNKNOWN.iter().find(|name| headers.contains_key(**name)) {
            return Err(refuse(400, "InvalidArgument", *name));
        }
        let kept = headers.iter().filter(|(name, _)| {
            KEPT.contains(&name.as_str()) || name.as_str().starts_with("x-goog-meta-")
        });
        let class = headers
            .get("x-goog-storage-class")
            .map(|class| class.to_str().unwrap_or_default().to_owned());
        if let Some(class) = &class
            && !["STANDARD", "NEARLINE", "COLDLINE", "ARCHIVE"].contains(&class.as_str())
        {
            return Err(refuse(400, "InvalidStorageClass", class));
        }
        Ok(Self {
            headers: kept
                .map(|(name, value)| (name.clone(), value.clone()))
                .collect(),
            class,
        })
    }
}

impl Bucket {
    /// A number that nothing else has.
    fn number(&mut self) -> u64 {
        self.last_number += 1;
        self.last_number
    }

    /// A new object, under the tag that a whole upload has.
    pub(super) fn object(&mut self, content: Bytes, metadata: Metadata, now: Timestamp) -> Object {
        let etag = tag(&content);
        let Metadata { mut headers, class } = metadata;
        headers
            .entry(CONTENT_TYPE)
            .or_insert(HeaderValue::from_static("binary/octet-stream"));
        Object {
            content,
            generation: self.number(),
            metageneration: 1,
            etag,
            class: class.unwrap_or_else(|| DEFAULT_CLASS.to_owned()),
            headers,
            modified: now,
        }
    }

    pub(super) fn get(&self, key: &str) -> Result<&Object, Refusal> {
        let object = self.objects.get(key);
        object.ok_or_else(|| refuse(404, "NoSuchKey", key))
    }

    /// Puts an object, over another one too unless a condition says otherwise.
    pub(super) fn put(
        &mut self,
        key: &str,
        content: Bytes,
        metadata: Metadata,
        conditions: &HeaderMap,
        now: Timestamp,
    ) -> Result<&Object, Refusal> {
        condition::of_change(conditions, self.objects.get(key))?;
        let object = self.object(content, metadata, now);
        self.objects.insert(key.to_owned(), object);
        self.get(key)
    }

    /// Copies an object with what it was put with; its class is the bucket's unless one is named.
    pub(super) fn copy(
        &mut self,
        source: &str,
        key: &str,
        class: Option<&str>,
        conditions: &HeaderMap,
        now: Timestamp,
    ) -> Result<&Object, Refusal> {
        let source = self.get(source)?.clone();
        condition::of_change(conditions, self.objects.get(key))?;
        let copied = Object {
            generation: self.number(),
            metageneration: 1,
            class: class.unwrap_or(DEFAULT_CLASS).to_owned(),
            modified: now,
            ..source
        };
        self.objects.insert(key.to_owned(), copied);
        self.get(key)
    }

    pub(super) fn delete(&mut self, key: &str, conditions: &HeaderMap) -> Result<(), Refusal> {
        condition::of_change(conditions, Some(self.get(key)?))?;
        self.objects.remove(key);
        Ok(())
    }

    /// Begins an upload in parts and tells its id.
    pub(super) fn begin(&mut self, key: &str, metadata: Metadata, now: Timestamp) -> String {
        let id = format!("AB/+={}", self.number());
        self.uploads.push(Upload {
            key: key.to_owned(),
            id: id.clone(),
            begun: now,
            metadata,
            parts: BTreeMap::new(),
        });
        id
    }

    /// The tag of what was put together of parts: nobody computes it from the content.
    pub(super) fn tag_of_parts(&mut self) -> String {
        format!("\"-CJ{}AE=\"", self.number())
    }
}

/// The tag of what came whole: the same for the same content.
pub(super) fn tag(content: &[u8]) -> String {
    let digest = Sha256::of(content).to_string();
    format!("\"{}\"", &digest[..32])
}
