//! Which object's sealed status holds which place in a store: two objects must not hold one
//! (contract.md 3), because the end of either would remove the other's bytes.

use opendepot_crds::{StatusArtifact, Version};
use opendepot_domain::Sha256;
use opendepot_domain::canonical::Canonical;
use parking_lot::RwLock;
use std::collections::HashMap;

/// A place in a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Place(Sha256);

impl Place {
    pub(crate) fn of(artifact: &StatusArtifact) -> Self {
        let mut input = Canonical::new("place");
        input
            .field(&artifact.plugin)
            .field(&artifact.store)
            .field(&artifact.key);
        Self(Sha256::of(input.as_bytes()))
    }
}

/// Every place that a Version's status records.
pub(crate) fn places(version: &Version) -> Vec<Place> {
    let Some(status) = &version.status else {
        return Vec::new();
    };
    let recorded = [&status.artifact, &status.pending, &status.previous];
    recorded.into_iter().flatten().map(Place::of).collect()
}

/// The claims of all Versions, by `namespace/name`. Bounded by three places a Version.
#[derive(Debug, Default)]
pub(crate) struct Claims(RwLock<Inner>);

#[derive(Debug, Default)]
struct Inner {
    by_place: HashMap<Place, Vec<String>>,
    by_object: HashMap<String, Vec<Place>>,
}

impl Claims {
    /// Replaces what one object holds.
    pub(crate) fn set(&self, object: &str, places: Vec<Place>) {
        let mut inner = self.0.write();
        for old in inner.by_object.remove(object).unwrap_or_default() {
            if let Some(holders) = inner.by_place.get_mut(&old) {
                holders.retain(|holder| holder != object);
                if holders.is_empty() {
                    inner.by_place.remove(&old);
                }
            }
        }
        if places.is_empty() {
            return;
        }
        for place in &places {
            let holders = inner.by_place.entry(*place).or_default();
            if !holders.iter().any(|holder| holder == object) {
                holders.push(object.to_owned());
            }
        }
        inner.by_object.insert(object.to_owned(), places);
    }

    /// Forgets every object that `is_known` does not know.
    pub(crate) fn retain(&self, is_known: impl Fn(&str) -> bool) {
        let gone: Vec<String> = {
            let inner = self.0.read();
            let unknown = inner.by_object.keys().filter(|object| !is_known(object));
            unknown.cloned().collect()
        };
        for object in gone {
            self.set(&object, Vec::new());
        }
    }

    /// Another object that holds this place.
    pub(crate) fn other_holder(&self, place: Place, object: &str) -> Option<String> {
        let inner = self.0.read();
        let mut holders = inner.by_place.get(&place)?.iter();
        holders.find(|holder| *holder != object).cloned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(key: &str) -> Place {
        Place::of(&StatusArtifact {
            key: key.to_owned(),
            ..StatusArtifact::default()
        })
    }

    #[test]
    fn a_place_is_held_until_its_holder_lets_it_go() {
        let claims = Claims::default();
        claims.set("a/one", vec![place("k"), place("k"), place("l")]);
        assert_eq!(claims.other_holder(place("k"), "a/one"), None);
        assert_eq!(
            claims.other_holder(place("k"), "a/two").as_deref(),
            Some("a/one")
        );
        claims.set("a/two", vec![place("k")]);
        assert_eq!(
            claims.other_holder(place("k"), "a/one").as_deref(),
            Some("a/two")
        );
        claims.set("a/one", vec![place("l")]);
        assert_eq!(claims.other_holder(place("k"), "a/two"), None);
        claims.retain(|object| object == "a/one");
        assert_eq!(claims.other_holder(place("k"), "a/three"), None);
        assert_eq!(
            claims.other_holder(place("l"), "a/three").as_deref(),
            Some("a/one")
        );
        claims.set("a/one", Vec::new());
        assert!(claims.0.read().by_place.is_empty() && claims.0.read().by_object.is_empty());
    }

    #[test]
    fn places_differ_by_plugin_store_and_key() {
        let of = |plugin: &str, store: &str, key: &str| {
            Place::of(&StatusArtifact {
                plugin: plugin.to_owned(),
                store: store.to_owned(),
                key: key.to_owned(),
                ..StatusArtifact::default()
            })
        };
        let all = [
            of("a", "b", "c"),
            of("x", "b", "c"),
            of("a", "x", "c"),
            of("a", "b", "x"),
            of("ab", "", "c"),
        ];
        for (index, one) in all.iter().enumerate() {
            assert!(all.iter().skip(index + 1).all(|other| other != one));
        }
    }
}
