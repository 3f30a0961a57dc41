//! Modules: which versions, in which order, whose.

use super::{NOW, listed, module, of_module, parsed, snapshot, state, version};
use crate::registry::Catalog;
use std::sync::Arc;

fn list(catalog: &Catalog) -> Vec<String> {
    listed(&catalog.module("team", "network").unwrap().versions.plain)
}

#[test]
fn versions_are_listed_newest_first_by_precedence() {
    let texts = [
        "1.9.0",
        "1.10.0",
        "2.0.0-rc.2",
        "2.0.0-rc.10",
        "2.0.0",
        "0.1.0",
    ];
    let versions = texts
        .map(|text| version("network", text, &text.replace('.', "-")))
        .to_vec();
    let catalog = of_module(versions);
    assert_eq!(
        list(&catalog),
        [
            "2.0.0",
            "2.0.0-rc.10",
            "2.0.0-rc.2",
            "1.10.0",
            "1.9.0",
            "0.1.0"
        ]
    );
}

#[test]
fn a_module_without_versions_is_there_and_lists_none() {
    let catalog = of_module(Vec::new());
    assert!(list(&catalog).is_empty());
    assert!(catalog.module("team", "other").is_none());
    assert!(catalog.module("other", "network").is_none());
}

#[test]
fn build_metadata_twins_are_one_version_and_one_set_of_bytes() {
    let twins = || {
        vec![
            version("network", "1.0.0+a", "a"),
            version("network", "1.0.0+b", "b"),
        ]
    };
    let mut reversed = twins();
    reversed.reverse();
    for versions in [twins(), reversed] {
        let catalog = of_module(versions);
        let entry = catalog.module("team", "network").unwrap();
        assert_eq!(
            list(&catalog),
            ["1.0.0+b"],
            "the same whatever the order of the facts"
        );
        for asked in ["1.0.0", "1.0.0+a", "1.0.0+b", "1.0.0+other"] {
            assert_eq!(
                entry.version(&parsed(asked)).unwrap().backend_path,
                "plugin/storage-fs/network/b.zip"
            );
        }
        // The other twin's bytes are reached by no address.
        assert!(
            catalog
                .module_by_backend_path("plugin/storage-fs/network/a.zip")
                .is_none()
        );
    }
}

#[test]
fn a_version_that_claims_another_owner_is_never_served() {
    // `foo` 1.2.3-4 and `foo-1` 2.3.4 have one object name (T02, H06).
    let foo = version("foo", "1.2.3-4", "of-foo");
    let mut forged = version("foo-1", "2.3.4", "of-foo");
    forged.owner_uid = Some("uid-foo".to_owned());
    let facts = snapshot(&[module("foo"), module("foo-1")], &[], vec![foo, forged]);
    let catalog = state::build(&Catalog::default(), facts, NOW);
    let own = catalog.module("team", "foo").unwrap();
    assert_eq!(listed(&own.versions.plain), ["1.2.3-4"]);
    let other = catalog.module("team", "foo-1").unwrap();
    assert!(listed(&other.versions.plain).is_empty());
    assert!(other.version(&parsed("2.3.4")).is_none());

    // Nor one that a module of the same name owned before it was deleted and made anew.
    let mut stale = version("network", "1.0.0", "stale");
    stale.owner_uid = Some("uid-of-the-one-before".to_owned());
    assert!(list(&of_module(vec![stale])).is_empty());
}

#[test]
fn a_version_that_stands_alone_is_served_if_its_module_exists() {
    let mut alone = version("network", "1.0.0", "alone");
    alone.owner_uid = None;
    assert_eq!(list(&of_module(vec![alone.clone()])), ["1.0.0"]);
    let nobody = state::build(&Catalog::default(), snapshot(&[], &[], vec![alone]), NOW);
    assert!(
        nobody
            .module_by_backend_path("plugin/storage-fs/network/alone.zip")
            .is_none()
    );
}

#[test]
fn a_version_that_stands_alone_never_takes_the_place_of_an_owned_one() {
    for text in ["1.0.0", "1.0.0+z"] {
        let own = version("network", "1.0.0", "own");
        let mut alone = version("network", text, "alone");
        alone.owner_uid = None;
        alone.object_name = "aaa-sorts-first".to_owned();
        let catalog = of_module(vec![alone, own, version("network", "0.9.0", "older")]);
        assert_eq!(list(&catalog), ["1.0.0", "0.9.0"], "{text}");
        let served = catalog
            .module("team", "network")
            .unwrap()
            .version(&parsed("1.0.0"))
            .unwrap();
        assert_eq!(served.backend_path, "plugin/storage-fs/network/own.zip");
    }
}

#[test]
fn namespaces_do_not_mix() {
    let mut elsewhere = version("network", "1.0.0", "elsewhere");
    elsewhere.id.namespace = "other".parse().unwrap();
    assert!(list(&of_module(vec![elsewhere])).is_empty());
}

#[test]
fn what_did_not_change_keeps_its_entry_and_its_bytes() {
    let (network, other) = (module("network"), module("other"));
    let facts = snapshot(
        &[Arc::clone(&network), Arc::clone(&other)],
        &[],
        vec![
            version("network", "1.0.0", "a"),
            version("other", "1.0.0", "b"),
        ],
    );
    let first = state::build(&Catalog::default(), facts.clone(), NOW);
    let mut changed = facts.clone();
    changed
        .versions
        .push(Arc::new(version("other", "2.0.0", "c")));
    let second = state::build(&first, changed, NOW);
    assert_eq!((first.generation, second.generation), (1, 2));
    let (before, after) = (
        first.module("team", "network").unwrap(),
        second.module("team", "network").unwrap(),
    );
    assert!(Arc::ptr_eq(before, after));
    let (before, after) = (
        first.module("team", "other").unwrap(),
        second.module("team", "other").unwrap(),
    );
    assert!(!Arc::ptr_eq(before, after));
    assert_eq!(listed(&after.versions.plain), ["2.0.0", "1.0.0"]);
    // The resource's own change re-renders it.
    let mut changed = facts;
    changed.modules[0] = Arc::new(crate::registry::ModuleResource {
        system: Some("aws".to_owned()),
        ..(*network).clone()
    });
    let third = state::build(&second, changed, NOW);
    assert_eq!(
        third.module("team", "network").unwrap().system.as_deref(),
        Some("aws")
    );
}

#[test]
fn counts_are_of_what_is_served() {
    let catalog = of_module(vec![
        version("network", "1.0.0", "a"),
        version("network", "1.1.0", "b"),
    ]);
    assert_eq!(catalog.counts(), (1, 0, 2));
    assert!(catalog.any_release().is_none());
}
