//! kill -9: nothing acknowledged is lost, nothing is half published, nothing is left over (I1-I3).

use crate::{fetch, module_digest, package};
use opendepot_tests::fixture::noise;
use opendepot_tests::wait::SOON;
use opendepot_tests::{Module, Registry, Release, Setup, wait_until};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Every file below a folder.
fn files(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            found.extend(files(&path))
        } else {
            found.push(path)
        }
    }
    found
}

async fn all_published(registry: &Registry) {
    for n in 0..4 {
        registry
            .wait_module(&format!("module-{n}"), &["1.1.0", "1.0.0"])
            .await;
    }
    registry.wait_provider("note", &["1.0.0"]).await;
}

fn prepared() -> Setup {
    let setup = Setup::plain();
    for n in 0..4_u64 {
        Module::new(&format!("module-{n}"))
            .versions(&["1.0.0", "1.1.0"])
            .file("data.bin", noise(256 << 10, n))
            .write(&setup.manifests());
    }
    Release::new("note").write(&setup.manifests());
    setup
}

#[tokio::test]
async fn what_was_published_is_there_after_a_kill() {
    let registry = prepared().start().await;
    all_published(&registry).await;
    let digest = module_digest(&registry, "module-0", "1.0.0").await;
    let document = package(&registry, "note", "1.0.0").await;
    let sums = fetch(&registry, &document, "shasums_url").await;
    let signature = fetch(&registry, &document, "shasums_signature_url").await;

    let setup = registry.kill().await;
    // The sources are gone: what is served comes from what was stored.
    std::fs::remove_dir_all(setup.manifests().join("src")).unwrap();
    std::fs::remove_dir_all(setup.manifests().join("dist")).unwrap();
    let registry = setup.start().await;
    all_published(&registry).await;
    assert_eq!(module_digest(&registry, "module-0", "1.0.0").await, digest);
    let document = package(&registry, "note", "1.0.0").await;
    assert_eq!(fetch(&registry, &document, "shasums_url").await, sums);
    // Signed once: the signature carries a time, so a second one would differ.
    assert_eq!(
        fetch(&registry, &document, "shasums_signature_url").await,
        signature
    );
}

#[tokio::test]
async fn a_sync_killed_again_and_again_converges_without_leftovers() {
    let mut setup = prepared();
    let rounds = if std::env::var_os("OPENDEPOT_NIGHTLY").is_some() {
        20
    } else {
        1
    };
    for millis in [0, 40, 80, 120, 200, 300, 450, 700].repeat(rounds) {
        let registry = setup.spawn();
        registry.wait_ready().await;
        // Not a wait for something: the kill is meant to hit wherever the sync is by then.
        tokio::time::sleep(Duration::from_millis(millis)).await;
        setup = registry.kill().await;
    }
    let registry = setup.start().await;
    all_published(&registry).await;
    for n in 0..4 {
        for version in ["1.0.0", "1.1.0"] {
            module_digest(&registry, &format!("module-{n}"), version).await;
        }
    }
    let document = package(&registry, "note", "1.0.0").await;
    fetch(&registry, &document, "download_url").await;
    // Eight module versions and two platforms; no orphan, no temp file among them.
    let artifacts = registry.setup().data_dir().join("artifacts");
    wait_until("ten stored files and nothing else", SOON, || async {
        let found = files(&artifacts);
        if found.len() == 10 {
            Ok(())
        } else {
            Err(found)
        }
    })
    .await;
}

#[tokio::test]
async fn changes_made_while_it_was_down_are_seen() {
    let setup = Setup::plain();
    Module::new("hello").write(&setup.manifests());
    let registry = setup.start().await;
    registry.wait_module("hello", &["1.0.0"]).await;
    let setup = registry.kill().await;
    Module::new("hello")
        .versions(&["1.0.0", "2.0.0"])
        .write(&setup.manifests());
    Module::new("late").write(&setup.manifests());
    let registry = setup.start().await;
    registry.wait_module("hello", &["2.0.0", "1.0.0"]).await;
    registry.wait_module("late", &["1.0.0"]).await;
}

#[tokio::test]
async fn a_data_dir_has_one_owner() {
    let registry = prepared().start().await;
    let other = Setup::plain();
    let output = std::process::Command::new(opendepot_tests::server::binary())
        .args(["serve", "--listen", &other.address().to_string()])
        .args([
            "--admin-listen",
            &other.admin_address().to_string(),
            "--data-dir",
        ])
        .arg(registry.setup().data_dir())
        .stdin(std::process::Stdio::null())
        .output()
        .unwrap();
    assert!(!output.status.success());
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!said.contains("panicked"), "{said}");
    all_published(&registry).await;
}
