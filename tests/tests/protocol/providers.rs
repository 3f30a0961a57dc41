//! The provider registry protocol.

use crate::{expect_error, package, path_of, serve, text, with_provider};
use opendepot_tests::fixture::NAMESPACE;
use opendepot_tests::server::PROVIDERS;
use opendepot_tests::{Release, sha256};
use serde_json::{Value, json};

#[tokio::test]
async fn versions_carry_protocols_and_every_platform() {
    let release = Release::new("note").versions(&["1.0.0", "1.1.0"]);
    let registry = serve(&[], &[release]).await;
    registry.wait_provider("note", &["1.1.0", "1.0.0"]).await;
    let json = registry
        .json(&format!("{PROVIDERS}/{NAMESPACE}/note/versions"))
        .await;
    for version in json["versions"].as_array().unwrap() {
        assert_eq!(version["protocols"], json!(["6.0"]));
        let mut platforms = version["platforms"].as_array().unwrap().clone();
        platforms.sort_by_key(ToString::to_string);
        let expected = json!([{"arch": "amd64", "os": "linux"}, {"arch": "arm64", "os": "darwin"}]);
        assert_eq!(Value::Array(platforms), expected);
    }
}

#[tokio::test]
async fn a_deprecated_version_warns() {
    let release = Release::new("note").version_line("deprecated: \"use note 2\"");
    let registry = serve(&[], &[release]).await;
    registry.wait_provider("note", &["1.0.0"]).await;
    let json = registry
        .json(&format!("{PROVIDERS}/{NAMESPACE}/note/versions"))
        .await;
    let warnings = json["warnings"].as_array().expect("warnings");
    assert!(
        warnings
            .iter()
            .any(|w| w.as_str().unwrap().contains("use note 2")),
        "{json}"
    );
}

#[tokio::test]
async fn a_package_document_is_consistent_with_what_it_points_to() {
    // G06, G15: shasum, SHA256SUMS, zh hash and bytes are one digest, for each platform its own.
    let (registry, release) = with_provider().await;
    let mut sums_of = Vec::new();
    for (os, arch) in [("linux", "amd64"), ("darwin", "arm64")] {
        let document = registry
            .json(&package("note", "1.0.0", &format!("{os}/{arch}")))
            .await;
        let expected = sha256(&release.archive("1.0.0", os, arch));
        assert_eq!(
            (text(&document, "/os"), text(&document, "/arch")),
            (os, arch)
        );
        assert_eq!(text(&document, "/shasum"), expected);
        assert_eq!(
            text(&document, "/filename"),
            release.file_name("1.0.0", os, arch)
        );
        assert_eq!(document["protocols"], json!(["6.0"]));

        let url = path_of(&registry, text(&document, "/download_url"));
        let answer = registry.get(&url).send().await.unwrap();
        assert_eq!(answer.status(), 200);
        assert_eq!(answer.headers()["content-type"], "application/zip");
        assert_eq!(sha256(&answer.bytes().await.unwrap()), expected);

        let url = path_of(&registry, text(&document, "/shasums_url"));
        let sums = registry
            .get(&url)
            .send()
            .await
            .unwrap()
            .text()
            .await
            .unwrap();
        let line = format!("{expected}  {}\n", release.file_name("1.0.0", os, arch));
        assert!(sums.contains(&line), "{sums}");
        sums_of.push(sums);
    }
    // The same text for every platform: one line each, sorted by name, no blank line.
    assert_eq!(sums_of[0], sums_of[1]);
    let names: Vec<_> = sums_of[0]
        .lines()
        .map(|line| line.split_once("  ").unwrap().1)
        .collect();
    assert_eq!(names.len(), 2);
    assert!(names.is_sorted() && sums_of[0].ends_with('\n') && !sums_of[0].contains("\n\n"));
}

#[tokio::test]
async fn the_signature_is_binary_made_once_and_by_the_first_key() {
    let (registry, _) = with_provider().await;
    let document = registry
        .json(&package("note", "1.0.0", "linux/amd64"))
        .await;
    let sums = path_of(&registry, text(&document, "/shasums_url"));
    let sums = registry
        .get(&sums)
        .send()
        .await
        .unwrap()
        .bytes()
        .await
        .unwrap();
    let url = path_of(&registry, text(&document, "/shasums_signature_url"));
    let signature = registry
        .get(&url)
        .send()
        .await
        .unwrap()
        .bytes()
        .await
        .unwrap();
    assert!(signature[0] & 0x80 != 0, "not a binary OpenPGP packet");
    let again = registry
        .get(&url)
        .send()
        .await
        .unwrap()
        .bytes()
        .await
        .unwrap();
    assert_eq!(signature, again);
    let armor = text(&document, "/signing_keys/gpg_public_keys/0/ascii_armor");
    let key = opendepot_signing::PublicKey::parse(armor.as_bytes()).unwrap();
    key.verify(&sums, &signature).unwrap();
    let key_id = text(&document, "/signing_keys/gpg_public_keys/0/key_id");
    assert!(key.is_named(key_id) && key_id == key_id.to_uppercase());
}

#[tokio::test]
async fn packages_are_complete_for_all_platforms() {
    let (registry, release) = with_provider().await;
    let document = registry
        .json(&package("note", "1.0.0", "linux/amd64"))
        .await;
    let packages = document["packages"].as_object().expect("packages");
    assert_eq!(packages.len(), 2);
    for (os, arch) in [("linux", "amd64"), ("darwin", "arm64")] {
        let bytes = release.archive("1.0.0", os, arch);
        let entry = &packages[&format!("{os}_{arch}")];
        assert_eq!(entry["package_size"], bytes.len());
        let hashes: Vec<_> = entry["hashes"]
            .as_array()
            .unwrap()
            .iter()
            .flat_map(Value::as_str)
            .collect();
        assert!(
            hashes.contains(&&*format!("zh:{}", sha256(&bytes))),
            "{hashes:?}"
        );
        assert!(
            hashes
                .iter()
                .any(|hash| hash.starts_with("h1:") && hash.len() == 47),
            "{hashes:?}"
        );
    }
}

#[tokio::test]
async fn identical_archives_leave_packages_out() {
    // OpenTofu 1.12 panics when two platforms list the same zh hash.
    let registry = serve(&[], &[Release::new("note").identical_archives()]).await;
    registry.wait_provider("note", &["1.0.0"]).await;
    let document = registry
        .json(&package("note", "1.0.0", "linux/amd64"))
        .await;
    assert!(document.get("packages").is_none(), "{document}");
}

#[tokio::test]
async fn what_is_not_published_is_not_found() {
    // H29: a platform that was asked for, but that the source does not have, included.
    let (registry, _) = with_provider().await;
    for path in [
        package("note", "1.0.0", "windows/amd64"),
        package("note", "1.0.0", "linux/arm64"),
        package("note", "1.0.0", "plan9/mips"),
        package("note", "9.9.9", "linux/amd64"),
        package("other", "1.0.0", "linux/amd64"),
        format!("{PROVIDERS}/{NAMESPACE}/other/versions"),
        format!("{PROVIDERS}/elsewhere/note/versions"),
        format!("{PROVIDERS}/download/{NAMESPACE}/note/9.9.9?os=linux&arch=amd64"),
        format!("{PROVIDERS}/download/{NAMESPACE}/note/1.0.0?os=windows&arch=amd64"),
    ] {
        expect_error(registry.get(&path).send().await.unwrap(), 404).await;
    }
}

#[tokio::test]
async fn a_release_without_a_manifest_is_protocol_5() {
    let registry = serve(&[], &[Release::new("note").without_manifest()]).await;
    registry.wait_provider("note", &["1.0.0"]).await;
    let document = registry
        .json(&package("note", "1.0.0", "linux/amd64"))
        .await;
    assert_eq!(document["protocols"], json!(["5.0"]));
}

#[tokio::test]
async fn the_download_route_without_platform_needs_there_to_be_one() {
    let single = Release::new("single").platforms(&[("linux", "amd64")]);
    let registry = serve(&[], &[Release::new("note"), single.clone()]).await;
    registry.wait_provider("note", &["1.0.0"]).await;
    registry.wait_provider("single", &["1.0.0"]).await;

    let path = format!("{PROVIDERS}/download/{NAMESPACE}/note/1.0.0");
    let answer = registry.get(&path).send().await.unwrap();
    assert_eq!(answer.status(), 400);
    let body = answer.text().await.unwrap();
    assert!(body.contains("linux") && body.contains("darwin"), "{body}");

    let path = format!("{PROVIDERS}/download/{NAMESPACE}/single/1.0.0");
    let answer = registry.get(&path).send().await.unwrap();
    assert_eq!(answer.status(), 200);
    let expected = sha256(&single.archive("1.0.0", "linux", "amd64"));
    assert_eq!(sha256(&answer.bytes().await.unwrap()), expected);
}
