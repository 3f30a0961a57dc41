//! Provider releases (contract.md 3, *Releases*): one complete release is served, never a mix.

use super::{NOW, listed, of_provider, parsed, platform, provider, signed, snapshot, state};
use crate::registry::{Catalog, ProviderVersion, VersionResource};
use opendepot_domain::{Release, Sha256};
use std::sync::Arc;

fn served(catalog: &Catalog) -> Option<&Arc<ProviderVersion>> {
    catalog
        .provider("team", "widget")
        .unwrap()
        .version(&parsed("1.0.0"))
}

fn ids(catalog: &Catalog) -> Vec<String> {
    served(catalog)
        .map(|version| {
            version
                .releases
                .iter()
                .map(|release| release.id.clone())
                .collect()
        })
        .unwrap_or_default()
}

/// A package of `widget` 1.0.0 that carries `releases`.
fn carrying(package: &VersionResource, releases: &[&Release]) -> VersionResource {
    VersionResource {
        releases: releases.iter().map(|release| (*release).clone()).collect(),
        ..package.clone()
    }
}

fn linux() -> VersionResource {
    platform("widget", "1.0.0", "linux", "linux-bytes")
}

fn darwin() -> VersionResource {
    platform("widget", "1.0.0", "darwin", "darwin-bytes")
}

#[test]
fn nothing_is_served_before_a_release_is_signed() {
    let catalog = of_provider(vec![linux(), darwin()]);
    assert!(served(&catalog).is_none());
    assert!(listed(&catalog.provider("team", "widget").unwrap().versions.plain).is_empty());
}

#[test]
fn a_release_that_every_listed_platform_carries_is_served() {
    let release = signed(&[&linux(), &darwin()], 10);
    let catalog = of_provider(vec![
        carrying(&linux(), &[&release]),
        carrying(&darwin(), &[&release]),
    ]);
    assert_eq!(ids(&catalog), std::slice::from_ref(&release.id));
    let newest = &served(&catalog).unwrap().releases[0];
    let names: Vec<&str> = newest
        .packages
        .iter()
        .map(|package| package.file_name.as_str())
        .collect();
    assert_eq!(
        names,
        [
            "terraform-provider-widget_1.0.0_darwin_amd64.zip",
            "terraform-provider-widget_1.0.0_linux_amd64.zip"
        ]
    );
    assert_eq!(
        Sha256::of(&newest.sums).to_string(),
        release.id,
        "the text is what was signed"
    );
    assert_eq!(&newest.signature[..], b"signed at 10");
    assert!(newest.package("linux", "amd64").is_some());
    assert!(newest.package("linux", "arm64").is_none());
    assert_eq!(catalog.counts(), (0, 1, 2));
    assert_eq!(catalog.any_release().unwrap().0, newest.sums);
}

#[test]
fn a_listed_platform_that_is_not_there_or_does_not_carry_it_yet_holds_it_back() {
    let release = signed(&[&linux(), &darwin()], 10);
    assert!(served(&of_provider(vec![carrying(&linux(), &[&release])])).is_none());
    assert!(
        served(&of_provider(vec![
            carrying(&linux(), &[&release]),
            darwin()
        ]))
        .is_none()
    );
}

#[test]
fn the_older_release_is_served_until_all_carry_the_newer_and_then_still_answers() {
    let older = signed(&[&linux()], 10);
    let newer = signed(&[&linux(), &darwin()], 20);
    // Written to one platform, not yet to the other.
    let catalog = of_provider(vec![carrying(&linux(), &[&newer, &older]), darwin()]);
    assert_eq!(ids(&catalog), std::slice::from_ref(&older.id));
    let names =
        |catalog: &Catalog| -> usize { served(catalog).unwrap().releases[0].packages.len() };
    assert_eq!(names(&catalog), 1);
    // Written to both.
    let catalog = of_provider(vec![
        carrying(&linux(), &[&newer, &older]),
        carrying(&darwin(), &[&newer]),
    ]);
    assert_eq!(ids(&catalog), [newer.id.clone(), older.id.clone()]);
    assert_eq!(names(&catalog), 2);
    // The older has gone.
    let catalog = of_provider(vec![
        carrying(&linux(), &[&newer]),
        carrying(&darwin(), &[&newer]),
    ]);
    assert_eq!(ids(&catalog), [newer.id]);
}

#[test]
fn a_release_that_is_wanted_again_is_the_newest_at_once() {
    // An approved change and its taking back: the first release stands first again, although the
    // second was signed later and all its bytes are still there.
    let (before, after) = (
        linux(),
        platform("widget", "1.0.0", "linux", "changed-bytes"),
    );
    let (first, second) = (signed(&[&before], 10), signed(&[&after], 20));
    let mut again = carrying(&before, &[&first, &second]);
    again.previous = Some(after.record.clone());
    let catalog = of_provider(vec![again]);
    assert_eq!(ids(&catalog), [first.id.clone(), second.id]);
    let package = served(&catalog).unwrap().releases[0]
        .package("linux", "amd64")
        .unwrap();
    assert_eq!(package.record.sha256, before.record.sha256);
}

#[test]
fn an_older_release_answers_with_the_bytes_that_an_approved_change_replaced() {
    let (before, after) = (
        linux(),
        platform("widget", "1.0.0", "linux", "changed-bytes"),
    );
    let (older, newer) = (signed(&[&before], 10), signed(&[&after], 20));
    let mut changed = carrying(&after, &[&newer, &older]);
    // Without the record of the replaced bytes the older release cannot be served whole.
    assert_eq!(
        ids(&of_provider(vec![changed.clone()])),
        std::slice::from_ref(&newer.id)
    );
    changed.previous = Some(before.record.clone());
    let catalog = of_provider(vec![changed]);
    assert_eq!(ids(&catalog), [newer.id, older.id]);
    let digests: Vec<Sha256> = served(&catalog)
        .unwrap()
        .releases
        .iter()
        .map(|release| release.packages[0].record.sha256)
        .collect();
    assert_eq!(digests, [after.record.sha256, before.record.sha256]);
}

#[test]
fn a_package_with_another_digest_than_the_release_lists_is_never_served_under_it() {
    let release = signed(&[&linux(), &darwin()], 10);
    let swapped = platform("widget", "1.0.0", "linux", "other-bytes");
    let catalog = of_provider(vec![
        carrying(&swapped, &[&release]),
        carrying(&darwin(), &[&release]),
    ]);
    assert!(served(&catalog).is_none());
}

#[test]
fn a_release_whose_text_is_not_what_was_signed_is_never_served() {
    let honest = signed(&[&linux()], 10);
    let alterations: [fn(&mut Release); 3] = [
        |release| release.id = Sha256::of(b"another text").to_string(),
        |release| release.id = "not a digest".to_owned(),
        |release| release.signature = "not base64!".to_owned(),
    ];
    for alter in alterations {
        let mut release = honest.clone();
        alter(&mut release);
        assert!(served(&of_provider(vec![carrying(&linux(), &[&release])])).is_none());
    }
    // A release without files lists nothing.
    let mut empty = honest;
    empty.files.clear();
    assert!(served(&of_provider(vec![carrying(&linux(), &[&empty])])).is_none());
}

#[test]
fn a_platform_on_its_way_out_is_served_until_a_release_goes_without_it() {
    let both = signed(&[&linux(), &darwin()], 10);
    let mut leaving = carrying(&darwin(), &[&both]);
    leaving.is_deleting = true;
    let catalog = of_provider(vec![carrying(&linux(), &[&both]), leaving.clone()]);
    assert_eq!(ids(&catalog), std::slice::from_ref(&both.id));
    let without = signed(&[&linux()], 20);
    let catalog = of_provider(vec![
        carrying(&linux(), &[&without, &both]),
        leaving.clone(),
    ]);
    assert_eq!(ids(&catalog), [without.id.clone(), both.id.clone()]);
    // All on their way out: the version goes.
    let mut linux_too = carrying(&linux(), &[&both]);
    linux_too.is_deleting = true;
    assert!(served(&of_provider(vec![linux_too, leaving])).is_none());
}

#[test]
fn packages_of_another_owner_are_never_served() {
    let release = signed(&[&linux()], 10);
    for owner in [None, Some("uid-other".to_owned())] {
        let mut foreign = carrying(&linux(), &[&release]);
        foreign.owner_uid = owner;
        assert!(served(&of_provider(vec![foreign])).is_none());
    }
}

#[test]
fn build_metadata_twins_are_one_version() {
    let mut versions = Vec::new();
    for (text, bytes) in [("1.0.0+a", "a"), ("1.0.0+b", "b")] {
        let package = platform("widget", text, "linux", bytes);
        let release = signed(&[&package], 10);
        versions.push(carrying(&package, &[&release]));
    }
    let catalog = of_provider(versions);
    assert_eq!(
        listed(&catalog.provider("team", "widget").unwrap().versions.plain),
        ["1.0.0+b"]
    );
    assert_eq!(served(&catalog).unwrap().version.to_string(), "1.0.0+b");
}

#[test]
fn protocols_are_those_of_the_release_and_said_once() {
    let release = signed(&[&linux(), &darwin()], 10);
    let mut with = [
        carrying(&linux(), &[&release]),
        carrying(&darwin(), &[&release]),
    ];
    with[0].protocols = vec!["6.0".to_owned(), "5.0".to_owned()];
    let mut unlisted = platform("widget", "1.0.0", "windows", "w");
    unlisted.protocols = vec!["4.0".to_owned()];
    let catalog = of_provider(with.into_iter().chain([unlisted]).collect());
    assert_eq!(served(&catalog).unwrap().protocols, ["5.0", "6.0"]);
}

#[test]
fn what_did_not_change_keeps_its_entry_and_the_documents_rendered_for_it() {
    let release = signed(&[&linux()], 10);
    let facts = snapshot(
        &[],
        &[provider("widget")],
        vec![carrying(&linux(), &[&release])],
    );
    let first = state::build(&Catalog::default(), facts.clone(), NOW);
    let mut more = facts;
    more.providers.push(provider("other"));
    let second = state::build(&first, more, NOW);
    let (before, after) = (
        first.provider("team", "widget").unwrap(),
        second.provider("team", "widget").unwrap(),
    );
    assert!(Arc::ptr_eq(before, after));
    assert!(second.gone.is_empty());
}
