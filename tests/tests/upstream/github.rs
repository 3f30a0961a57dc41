//! Modules from tags of a GitHub repository.

use crate::github_module;
use opendepot_tests::fixture::unzip;
use opendepot_tests::server::MODULES;
use opendepot_tests::upstream::{Canned, Upstream};
use opendepot_tests::wait::SOON;
use opendepot_tests::{Registry, Setup, wait_until};
use serde_json::json;
use std::collections::BTreeMap;

const MAIN: &[u8] = b"output \"x\" {\n  value = 1\n}\n";

async fn entries(registry: &Registry, name: &str, version: &str) -> BTreeMap<String, Vec<u8>> {
    let path = format!("{MODULES}/team/{name}/local/{version}/download");
    let answer = registry.get(&path).send().await.unwrap();
    let location = answer.headers()["x-terraform-get"]
        .to_str()
        .unwrap()
        .to_owned();
    let answer = registry.get(&location).send().await.unwrap();
    assert_eq!(answer.status(), 200);
    unzip(&answer.bytes().await.unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tags_with_and_without_v_are_published_without_wrapper() {
    let upstream = Upstream::start().await;
    let files: &[(&str, &[u8])] = &[
        ("main.tf", MAIN),
        ("modules/inner/main.tf", MAIN),
        ("README.md", b"# hi\n"),
    ];
    upstream.github(
        "acme",
        "terraform-network",
        10,
        &[("v1.0.0", files), ("1.1.0", files)],
    );
    let setup = Setup::plain().config(&upstream.config());
    github_module(
        &setup,
        "network",
        "{owner: acme, repository: terraform-network}",
        &["1.0.0", "1.1.0"],
    );
    let registry = setup.start().await;
    registry.wait_module("network", &["1.1.0", "1.0.0"]).await;
    let entries = entries(&registry, "network", "1.0.0").await;
    let mut names: Vec<_> = entries.keys().filter(|name| !name.ends_with('/')).collect();
    names.sort();
    assert_eq!(names, ["README.md", "main.tf", "modules/inner/main.tf"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tag_prefix_and_a_subdirectory_pick_one_module_of_many() {
    let upstream = Upstream::start().await;
    let files: &[(&str, &[u8])] = &[("vpc/main.tf", MAIN), ("dns/main.tf", b"# other\n")];
    upstream.github("acme", "modules", 20, &[("vpc/v2.0.0", files)]);
    let setup = Setup::plain().config(&upstream.config());
    let source = "{owner: acme, repository: modules, tagPrefix: vpc/, subdirectory: vpc}";
    github_module(&setup, "vpc", source, &["2.0.0"]);
    let registry = setup.start().await;
    registry.wait_module("vpc", &["2.0.0"]).await;
    let entries = entries(&registry, "vpc", "2.0.0").await;
    assert_eq!(entries["main.tf"], MAIN);
    assert!(
        !entries.keys().any(|name| name.contains("dns")),
        "{:?}",
        entries.keys()
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_no_archive_is_never_published() {
    // Z10, Z11: an error page, a login page, JSON, an empty body, half an archive.
    let upstream = Upstream::start().await;
    let bad = [
        ("html", Canned::bytes("text/html", "<html>log in</html>")),
        ("json", Canned::json(&json!({"message": "rate limited"}))),
        ("empty", Canned::bytes("application/x-gzip", "")),
        (
            "half",
            Canned::bytes(
                "application/x-gzip",
                vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3, 1, 2],
            ),
        ),
    ];
    let setup = Setup::plain().config(&upstream.config());
    for (name, answer) in bad {
        upstream.github("acme", name, 30, &[("v1.0.0", &[("main.tf", MAIN)])]);
        for reference in ["refs/tags/v1.0.0", "v1.0.0"] {
            upstream.set(
                &format!("/codeload/acme/{name}/legacy.tar.gz/{reference}"),
                answer.clone(),
            );
        }
        let commit = opendepot_tests::upstream::commit_of(&[("main.tf", MAIN)]);
        upstream.set(
            &format!("/codeload/acme/{name}/legacy.tar.gz/{commit}"),
            answer,
        );
        github_module(
            &setup,
            name,
            &format!("{{owner: acme, repository: {name}}}"),
            &["1.0.0"],
        );
    }
    upstream.github("acme", "good", 31, &[("v1.0.0", &[("main.tf", MAIN)])]);
    github_module(
        &setup,
        "good",
        "{owner: acme, repository: good}",
        &["1.0.0"],
    );
    let registry = setup.start().await;
    registry.wait_module("good", &["1.0.0"]).await;
    for name in ["html", "json", "empty", "half"] {
        wait_until("the archive to be fetched", SOON, || async {
            let path = format!("/codeload/acme/{name}/");
            if upstream.seen().iter().any(|s| s.target.starts_with(&path)) {
                Ok(())
            } else {
                Err(name)
            }
        })
        .await;
        registry.wait_module(name, &[]).await;
    }
    let stored = registry.setup().data_dir().join("artifacts");
    assert!(!stored.join("html").exists());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_moved_tag_changes_nothing() {
    // Z21: one that points elsewhere later is drift; the old bytes stay.
    let upstream = Upstream::start().await;
    upstream.github("acme", "network", 40, &[("v1.0.0", &[("main.tf", MAIN)])]);
    let setup = Setup::plain().config(&upstream.config());
    github_module(
        &setup,
        "network",
        "{owner: acme, repository: network}",
        &["1.0.0"],
    );
    let registry = setup.start().await;
    registry.wait_module("network", &["1.0.0"]).await;
    let before = entries(&registry, "network", "1.0.0").await;
    let moved: &[(&str, &[u8])] = &[("main.tf", b"# evil\n")];
    upstream.github(
        "acme",
        "network",
        40,
        &[("v1.0.0", moved), ("v1.1.0", moved)],
    );
    github_module(
        registry.setup(),
        "network",
        "{owner: acme, repository: network}",
        &["1.0.0", "1.1.0"],
    );
    registry.wait_module("network", &["1.1.0", "1.0.0"]).await;
    assert_eq!(entries(&registry, "network", "1.0.0").await, before);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redirect_to_a_host_that_is_not_allowed_is_refused() {
    // Z16, Z17: and the token never leaves for it.
    let (upstream, other) = (Upstream::start().await, Upstream::start().await);
    upstream.github("acme", "network", 50, &[("v1.0.0", &[("main.tf", MAIN)])]);
    for reference in ["refs/tags/v1.0.0", "v1.0.0"] {
        let to = format!("{}/steal", other.url());
        let path = format!("/repos/acme/network/tarball/{reference}");
        upstream.set(&path, Canned::header(302, "location", &to));
    }
    let commit = opendepot_tests::upstream::commit_of(&[("main.tf", MAIN)]);
    let to = format!("{}/steal", other.url());
    upstream.set(
        &format!("/repos/acme/network/tarball/{commit}"),
        Canned::header(302, "location", &to),
    );
    let setup = Setup::plain();
    let token = setup.dir().join("token");
    std::fs::write(&token, "canary-github-token\n").unwrap();
    let config = upstream.config().replace(
        "  providerRegistry:",
        &format!("    tokenFile: {}\n  providerRegistry:", token.display()),
    );
    let setup = setup.config(&config);
    github_module(
        &setup,
        "network",
        "{owner: acme, repository: network}",
        &["1.0.0"],
    );
    let registry = setup.start().await;
    wait_until("the archive to be asked for", SOON, || async {
        if upstream
            .seen()
            .iter()
            .any(|s| s.target.contains("/tarball/"))
        {
            Ok(())
        } else {
            Err(upstream.seen().len())
        }
    })
    .await;
    registry.wait_module("network", &[]).await;
    assert!(other.seen().is_empty(), "{:?}", other.seen());
    let asked = upstream.seen();
    assert!(
        asked
            .iter()
            .any(|s| s.headers.contains_key("authorization")),
        "the token was not used"
    );
    assert!(!registry.setup().log().contains("canary-github-token"));
}
