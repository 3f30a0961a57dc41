//! What serving needs of the objects of one kind, in step with a watch.

use kube::ResourceExt as _;
use parking_lot::RwLock;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

/// What is known of one kind, by namespace and name.
pub(crate) struct Shelf<R> {
    pub(crate) entries: RwLock<HashMap<String, Arc<R>>>,
    pub(crate) is_synced: AtomicBool,
}

impl<R> Default for Shelf<R> {
    fn default() -> Self {
        Self {
            entries: RwLock::default(),
            is_synced: AtomicBool::new(false),
        }
    }
}

impl<R> Shelf<R> {
    pub(crate) fn all(&self) -> Vec<Arc<R>> {
        self.entries.read().values().cloned().collect()
    }
}

/// Where an object is kept.
pub(crate) fn key<K: kube::Resource>(object: &K) -> String {
    format!(
        "{}/{}",
        object.namespace().unwrap_or_default(),
        object.name_any()
    )
}

/// Puts what serving needs of `object` into `entries`; answers whether that changed anything.
/// Unchanged facts keep their `Arc`, so that the registry can tell.
pub(crate) fn keep<K: kube::Resource, R: PartialEq>(
    entries: &mut HashMap<String, Arc<R>>,
    object: &K,
    convert: impl Fn(&K) -> Option<R>,
    known: Option<&HashMap<String, Arc<R>>>,
) -> bool {
    let key = key(object);
    let Some(resource) = convert(object) else {
        return entries.remove(&key).is_some();
    };
    let same = known
        .and_then(|known| known.get(&key))
        .or_else(|| entries.get(&key))
        .filter(|old| ***old == resource);
    match same.cloned() {
        Some(same) => {
            entries.insert(key, same);
            false
        }
        None => {
            entries.insert(key, Arc::new(resource));
            true
        }
    }
}
