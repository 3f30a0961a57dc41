//! Which Versions stand alone, by the Module whose name they carry: no owner tells them that it
//! came, changed or went.

use crate::version::intent;
use opendepot_crds::Version;
use opendepot_domain::ArtifactKind;
use parking_lot::RwLock;
use std::collections::{HashMap, HashSet};

/// Objects and Modules as `namespace/name`. Bounded by the number of Versions without an owner.
#[derive(Debug, Default)]
pub(crate) struct Alone(RwLock<Inner>);

#[derive(Debug, Default)]
struct Inner {
    by_module: HashMap<String, HashSet<String>>,
    by_object: HashMap<String, String>,
}

/// The Module that a Version without an owner belongs to.
pub(crate) fn module_of(version: &Version) -> Option<String> {
    if intent::owner(version).is_some() {
        return None;
    }
    let (id, _) = intent::identity(version).ok()?;
    (id.kind == ArtifactKind::Module).then(|| format!("{}/{}", id.namespace, id.name))
}

impl Alone {
    /// Notes which Module an object waits for, or that it waits for none.
    pub(crate) fn set(&self, object: &str, module: Option<String>) {
        if module.is_none() && !self.0.read().by_object.contains_key(object) {
            return;
        }
        let mut inner = self.0.write();
        if let Some(before) = inner.by_object.remove(object)
            && let Some(objects) = inner.by_module.get_mut(&before)
        {
            objects.remove(object);
            if objects.is_empty() {
                inner.by_module.remove(&before);
            }
        }
        if let Some(module) = module {
            inner.by_object.insert(object.to_owned(), module.clone());
            let objects = inner.by_module.entry(module).or_default();
            objects.insert(object.to_owned());
        }
    }

    /// Forgets every object that `is_known` does not know.
    pub(crate) fn retain(&self, is_known: impl Fn(&str) -> bool) {
        let gone: Vec<String> = {
            let inner = self.0.read();
            let unknown = inner.by_object.keys().filter(|object| !is_known(object));
            unknown.cloned().collect()
        };
        for object in gone {
            self.set(&object, None);
        }
    }

    /// The objects that wait for this Module.
    pub(crate) fn of(&self, module: &str) -> Vec<String> {
        let inner = self.0.read();
        let objects = inner.by_module.get(module);
        objects.into_iter().flatten().cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_object_waits_for_one_module_until_it_is_owned_or_gone() {
        let alone = Alone::default();
        alone.set("a/one", Some("a/vpc".to_owned()));
        alone.set("a/two", Some("a/vpc".to_owned()));
        alone.set("a/three", None);
        let mut both = alone.of("a/vpc");
        both.sort();
        assert_eq!(both, ["a/one", "a/two"]);
        alone.set("a/one", Some("a/dns".to_owned()));
        assert_eq!(alone.of("a/vpc"), ["a/two"]);
        assert_eq!(alone.of("a/dns"), ["a/one"]);
        alone.retain(|object| object == "a/one");
        assert!(alone.of("a/vpc").is_empty());
        alone.set("a/one", None);
        assert!(alone.0.read().by_module.is_empty() && alone.0.read().by_object.is_empty());
    }
}
