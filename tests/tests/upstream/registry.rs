//! Providers mirrored from another registry.

use crate::mirrored_provider;
use opendepot_tests::server::PROVIDERS;
use opendepot_tests::upstream::{Canned, Upstream};
use opendepot_tests::wait::SOON;
use opendepot_tests::{Release, Setup, sha256, wait_until};
use serde_json::json;

const PLATFORMS: [(&str, &str); 2] = [("linux", "amd64"), ("linux", "arm64")];

fn release() -> Release {
    Release::new("null").platforms(&PLATFORMS)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_signed_release_is_mirrored_untouched() {
    let upstream = Upstream::start().await;
    upstream.provider("hashicorp", "null", &release(), &["3.2.4"], &PLATFORMS);
    let setup = Setup::plain().config(&upstream.config());
    mirrored_provider(&setup, "null", "hashicorp", "", &["3.2.4"]);
    let registry = setup.start().await;
    registry.wait_provider("null", &["3.2.4"]).await;
    for (os, arch) in PLATFORMS {
        let path = format!("{PROVIDERS}/team/null/3.2.4/download/{os}/{arch}");
        let document = registry.json(&path).await;
        let expected = release().archive("3.2.4", os, arch);
        assert_eq!(document["shasum"], sha256(&expected));
        assert_eq!(document["protocols"], json!(["5.0"]));
        // Signed by us: the clients trust this registry's key, not the upstream's.
        assert_ne!(
            document["signing_keys"]["gpg_public_keys"][0]["key_id"],
            upstream.key_id()
        );
        let url = document["download_url"].as_str().unwrap();
        let answer = registry.get(url).send().await.unwrap();
        assert_eq!(answer.bytes().await.unwrap(), expected);
    }
}

/// Publishes a release of which `change` breaks something; nothing of it may be published.
async fn expect_refused(what: &str, change: impl Fn(&Upstream)) {
    let upstream = Upstream::start().await;
    upstream.provider("hashicorp", "null", &release(), &["3.2.4"], &PLATFORMS);
    change(&upstream);
    // A good one beside it shows that mirroring works at all.
    upstream.provider(
        "hashicorp",
        "good",
        &Release::new("good").platforms(&PLATFORMS),
        &["1.0.0"],
        &PLATFORMS,
    );
    let setup = Setup::plain().config(&upstream.config());
    mirrored_provider(&setup, "null", "hashicorp", "", &["3.2.4"]);
    mirrored_provider(&setup, "good", "hashicorp", "", &["1.0.0"]);
    let registry = setup.start().await;
    registry.wait_provider("good", &["1.0.0"]).await;
    wait_until("the release to be asked for", SOON, || async {
        let asked = upstream
            .seen()
            .iter()
            .any(|s| s.target.contains("null/3.2.4"));
        if asked { Ok(()) } else { Err(what) }
    })
    .await;
    registry.wait_provider("null", &[]).await;
    let status = registry
        .status(&format!("{PROVIDERS}/team/null/3.2.4/download/linux/amd64"))
        .await;
    assert_eq!(status, 404, "{what}");
}

const FILES: &str = "/files/hashicorp/null/3.2.4";
const SUMS: &str = "/files/hashicorp/null/3.2.4/terraform-provider-null_3.2.4_SHA256SUMS";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_missing_signature_is_refused() {
    expect_refused("no signature", |upstream| {
        upstream.unset(&format!("{SUMS}.sig"))
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_signature_over_other_text_is_refused() {
    expect_refused("signature over other text", |upstream| {
        let signature = upstream.sign(b"other text\n");
        upstream.set(
            &format!("{SUMS}.sig"),
            Canned::bytes("application/octet-stream", signature),
        );
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sums_that_do_not_list_the_archive_are_refused() {
    expect_refused("archive not listed", |upstream| {
        let text = format!("{}  something-else.zip\n", "0".repeat(64));
        let signature = upstream.sign(text.as_bytes());
        upstream.set(SUMS, Canned::bytes("text/plain", text));
        upstream.set(
            &format!("{SUMS}.sig"),
            Canned::bytes("application/octet-stream", signature),
        );
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn other_bytes_than_signed_are_refused() {
    expect_refused("other bytes", |upstream| {
        for (os, arch) in PLATFORMS {
            let file = release().file_name("3.2.4", os, arch);
            let other = release().archive("3.2.5", os, arch);
            upstream.set(
                &format!("{FILES}/{file}"),
                Canned::bytes("application/zip", other),
            );
        }
    })
    .await;
}

/// Makes the release one that names no signature and no key.
fn unsign(upstream: &Upstream) {
    for (os, arch) in PLATFORMS {
        let path = format!("/v1/providers/hashicorp/null/3.2.4/download/{os}/{arch}");
        upstream.edit(&path, |document| {
            document["shasums_signature_url"] = json!("");
            document["signing_keys"] = json!({"gpg_public_keys": []});
        });
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unsigned_release_is_refused() {
    expect_refused("unsigned", unsign).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unsigned_release_is_taken_when_allowed() {
    let upstream = Upstream::start().await;
    upstream.provider("hashicorp", "null", &release(), &["3.2.4"], &PLATFORMS);
    unsign(&upstream);
    let setup = Setup::plain().config(&upstream.config());
    let host = upstream.host();
    let more = format!(
        "    source:\n      registry:\n        host: \"{host}\"\n        allowUnsigned: true\n"
    );
    mirrored_provider(&setup, "null", "hashicorp", &more, &["3.2.4"]);
    let registry = setup.start().await;
    registry.wait_provider("null", &["3.2.4"]).await;
}
