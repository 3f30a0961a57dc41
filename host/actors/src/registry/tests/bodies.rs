//! Snapshots of every JSON body, with fixed keys and time.

use super::{
    NOW, context, listed, of_module, of_provider, parsed, platform, pretty, provider, signed,
    snapshot, state, version,
};
use crate::registry::{Catalog, ProviderResource, VersionResource};
use opendepot_domain::capability;
use std::sync::Arc;

fn widget() -> Vec<VersionResource> {
    let mut packages = vec![
        platform("widget", "1.0.0", "linux", "l"),
        platform("widget", "1.0.0", "darwin", "d"),
    ];
    let release = signed(&packages.iter().collect::<Vec<_>>(), 1_790_000_000);
    for package in &mut packages {
        package.releases = vec![release.clone()];
    }
    packages
}

#[test]
fn module_versions() {
    let catalog = of_module(vec![
        version("network", "1.0.0", "a"),
        version("network", "2.0.0-rc.1+build", "b"),
    ]);
    insta::assert_snapshot!(pretty(
        &catalog.module("team", "network").unwrap().versions.plain
    ));
}

#[test]
fn provider_versions_with_warnings() {
    let mut resource = ProviderResource {
        ..(*provider("widget")).clone()
    };
    resource.deprecated = vec![
        (parsed("1.0.0"), "it has a flaw; use 2.0.0".to_owned()),
        (
            parsed("0.9.0"),
            "not published, so nobody is warned".to_owned(),
        ),
    ];
    let facts = snapshot(&[], &[Arc::new(resource)], widget());
    let catalog = state::build(&Catalog::default(), facts, NOW);
    insta::assert_snapshot!(pretty(
        &catalog.provider("team", "widget").unwrap().versions.plain
    ));
}

#[test]
fn no_warnings_are_no_member() {
    let catalog = of_provider(widget());
    let body = &catalog.provider("team", "widget").unwrap().versions.plain;
    assert!(!String::from_utf8_lossy(body).contains("warnings"));
}

fn document(catalog: &Catalog, os: &str, now: u64) -> bytes::Bytes {
    let version = catalog
        .provider("team", "widget")
        .unwrap()
        .version(&parsed("1.0.0"))
        .unwrap();
    let release = &version.releases[0];
    release
        .package(os, "amd64")
        .unwrap()
        .document(version, release, &context(), now)
}

#[test]
fn a_package_document() {
    insta::assert_snapshot!(pretty(&document(&of_provider(widget()), "linux", NOW)));
}

#[test]
fn a_document_is_rendered_once_a_window_and_never_outlives_it() {
    let catalog = of_provider(widget());
    let first = document(&catalog, "linux", NOW);
    let window_end = capability::expiry(NOW) - capability::WINDOW_SECONDS;
    let same = document(&catalog, "linux", window_end);
    assert_eq!(first.as_ptr(), same.as_ptr(), "shared, not rendered again");
    let next = document(&catalog, "linux", window_end + 1);
    assert_ne!(first, next);
    // Asked with a clock that is behind: its own window, not a longer life.
    assert_eq!(document(&catalog, "linux", NOW), first);
}

#[test]
fn identical_archives_leave_packages_out() {
    let mut packages = vec![
        platform("widget", "1.0.0", "linux", "same"),
        platform("widget", "1.0.0", "darwin", "same"),
    ];
    let release = signed(&packages.iter().collect::<Vec<_>>(), 10);
    for package in &mut packages {
        package.releases = vec![release.clone()];
    }
    let catalog = of_provider(packages);
    let text = document(&catalog, "linux", NOW);
    let value: serde_json::Value = serde_json::from_slice(&text).unwrap();
    assert!(value.get("packages").is_none());
    assert!(value["shasum"].is_string());
}

#[test]
fn large_lists_are_gzipped_and_say_the_same() {
    use std::io::Read as _;
    let small = of_module(vec![version("network", "1.0.0", "a")]);
    assert!(
        small
            .module("team", "network")
            .unwrap()
            .versions
            .gzip
            .is_none()
    );
    let many: Vec<_> = (0..10_000_u32)
        .map(|patch| version("network", &format!("1.0.{patch}"), &patch.to_string()))
        .collect();
    let catalog = of_module(many);
    let document = &catalog.module("team", "network").unwrap().versions;
    let gzip = document.gzip.as_ref().unwrap();
    assert!(gzip.len() < 1 << 20, "{}", gzip.len());
    let mut plain = Vec::new();
    flate2::read::GzDecoder::new(gzip.as_ref())
        .read_to_end(&mut plain)
        .unwrap();
    assert_eq!(plain, document.plain);
    let versions = listed(&document.plain);
    assert_eq!(
        (
            versions.len(),
            versions[0].as_str(),
            versions[9_999].as_str()
        ),
        (10_000, "1.0.9999", "1.0.0")
    );
}
