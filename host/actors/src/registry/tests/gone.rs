//! What was served until a moment ago is remembered as long as capabilities for it can live.

use super::{NOW, module, platform, provider, signed, snapshot, state, version};
use crate::registry::{Catalog, Snapshot, package_key};
use opendepot_domain::Sha256;

const PATH: &str = "plugin/storage-fs/network/a.zip";

fn with_module() -> Snapshot {
    snapshot(
        &[module("network")],
        &[],
        vec![version("network", "1.0.0", "a")],
    )
}

fn without() -> Snapshot {
    snapshot(&[module("network")], &[], Vec::new())
}

#[test]
fn a_module_version_is_gone_for_ten_minutes() {
    let first = state::build(&Catalog::default(), with_module(), NOW);
    assert!(first.gone(PATH).is_none());
    let second = state::build(&first, without(), NOW);
    let gone = second.gone(PATH).unwrap();
    assert_eq!((gone.sha256, gone.until), (Sha256::of(b"a"), NOW + 600));
    assert_eq!(gone.releases, [""]);
    assert!(second.module_by_backend_path(PATH).is_none());
    // Rebuilds do not prolong it, and its end is its end.
    let third = state::build(&second, without(), NOW + 599);
    assert_eq!(third.gone(PATH).unwrap().until, NOW + 600);
    assert!(
        state::build(&third, without(), NOW + 600)
            .gone(PATH)
            .is_none()
    );
}

#[test]
fn what_comes_back_is_not_gone() {
    let first = state::build(&Catalog::default(), with_module(), NOW);
    let second = state::build(&first, without(), NOW);
    let third = state::build(&second, with_module(), NOW + 1);
    assert!(third.gone(PATH).is_none());
    assert!(third.module_by_backend_path(PATH).is_some());
}

#[test]
fn a_deleted_module_takes_all_its_versions_along() {
    let first = state::build(&Catalog::default(), with_module(), NOW);
    let second = state::build(&first, Snapshot::default(), NOW);
    assert!(second.gone(PATH).is_some());
}

fn key(os: &str) -> String {
    package_key("team", "widget", &"1.0.0".parse().unwrap(), os, "amd64")
}

#[test]
fn a_provider_platform_is_gone_once_no_release_lists_it() {
    let (linux, darwin) = (
        platform("widget", "1.0.0", "linux", "l"),
        platform("widget", "1.0.0", "darwin", "d"),
    );
    let both = signed(&[&linux, &darwin], 10);
    let carried = |package: &crate::registry::VersionResource,
                   releases: &[&opendepot_domain::Release]| {
        let mut package = package.clone();
        package.releases = releases.iter().map(|release| (*release).clone()).collect();
        package
    };
    let facts = snapshot(
        &[],
        &[provider("widget")],
        vec![carried(&linux, &[&both]), carried(&darwin, &[&both])],
    );
    let first = state::build(&Catalog::default(), facts, NOW);

    let without = signed(&[&linux], 20);
    let facts = snapshot(
        &[],
        &[provider("widget")],
        vec![carried(&linux, &[&without])],
    );
    let second = state::build(&first, facts, NOW);
    let gone = second.gone(&key("darwin")).unwrap();
    assert_eq!(
        (gone.sha256, gone.releases.as_slice()),
        (darwin.record.sha256, &[both.id.clone()][..])
    );
    assert!(
        second.gone(&key("linux")).is_none(),
        "linux is served under the newer release"
    );
    assert_eq!(gone.id, darwin.id);

    let third = state::build(&second, Snapshot::default(), NOW + 1);
    assert!(third.gone(&key("linux")).is_some());
    assert_eq!(third.gone(&key("darwin")).unwrap().until, NOW + 600);
}

#[test]
fn of_two_releases_the_newest_package_is_the_one_remembered() {
    let (before, after) = (
        platform("widget", "1.0.0", "linux", "old"),
        platform("widget", "1.0.0", "linux", "new"),
    );
    let (older, newer) = (signed(&[&before], 10), signed(&[&after], 20));
    let mut package = after.clone();
    package.previous = Some(before.record.clone());
    package.releases = vec![newer.clone(), older.clone()];
    let facts = snapshot(&[], &[provider("widget")], vec![package]);
    let first = state::build(&Catalog::default(), facts, NOW);
    let second = state::build(&first, Snapshot::default(), NOW);
    let gone = second.gone(&key("linux")).unwrap();
    assert_eq!(gone.sha256, after.record.sha256);
    assert_eq!(gone.releases, [newer.id, older.id]);
}
