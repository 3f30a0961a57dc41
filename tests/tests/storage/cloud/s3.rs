//! storage-s3 before a server in this process, which can be told to do wrong.

use super::{Cloud, PRESIGN, journey, link, write_key};
use crate::{download, expect_no_canary, module_path, never_whole, verify, wait_condition};
use opendepot_tests::fixture::noise;
use opendepot_tests::s3::{KEYS, Mode, S3};
use opendepot_tests::wait::SOON;
use opendepot_tests::{Kind, Module, Registry, Setup, wait_until};
use std::fs;
use std::time::{Duration, Instant};

fn key_pair((id, secret): (&str, &str)) -> String {
    format!(r#"{{ "accessKeyId": "{id}", "secretAccessKey": "{secret}" }}"#)
}

fn cloud(server: &S3) -> Cloud {
    Cloud {
        plugin: "storage-s3",
        settings: "{}",
        stores: "s3://depot",
        endpoint: server.url(),
        kind: "aws-static",
        secret: key_pair(KEYS[0]),
        block: "s3: { bucket: depot, region: eu-central-1, key: team/vpc }",
    }
}

/// A server with the module `blob`, published into the bucket, and where its bytes are.
async fn with_blob(server: &S3, presign: &str) -> (Registry, String, Vec<u8>) {
    let setup = cloud(server).operate(Setup::plain(), presign);
    Module::new("blob")
        .file("data.bin", noise(300_000, 4))
        .write(&setup.manifests());
    let registry = setup.start().await;
    registry.wait_module("blob", &["1.0.0"]).await;
    let path = module_path(&registry, "blob").await;
    let bytes = fs::read(server.object(&server.keys()[0])).unwrap();
    (registry, path, bytes)
}

/// Waits until the controllers have looked at what they stored and ask the bucket nothing any more.
async fn settled(server: &S3) {
    let mut quiet_since = Instant::now();
    wait_until("the bucket to be left alone", SOON, || {
        let seen = server.take_seen();
        if !seen.is_empty() {
            quiet_since = Instant::now();
        }
        let is_quiet = quiet_since.elapsed() > Duration::from_secs(1);
        std::future::ready(if is_quiet { Ok(()) } else { Err(seen) })
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn opentofu_installs_from_a_bucket() {
    journey(&cloud(&S3::start().await), Kind::Tofu).await;
}

mod terraform {
    use super::*;

    #[tokio::test(flavor = "multi_thread")]
    async fn terraform_installs_from_a_bucket() {
        journey(&cloud(&S3::start().await), Kind::Terraform).await;
    }
}

#[tokio::test]
async fn a_download_is_one_read_of_the_bucket_and_metadata_is_none() {
    let server = S3::start().await;
    let (registry, path, bytes) = with_blob(&server, "").await;
    let keys = server.keys();
    assert!(keys[0].starts_with("team/vpc/blob/"), "{keys:?}");
    settled(&server).await;
    assert_eq!(download(&registry, &path).await, bytes);
    assert_eq!(server.take_seen(), [("GET".to_owned(), 1)].into());
    for _ in 0..10 {
        registry.wait_module("blob", &["1.0.0"]).await;
        module_path(&registry, "blob").await;
    }
    let part = registry.get(&path).header("range", "bytes=5-99");
    let part = part.send().await.unwrap();
    assert_eq!(part.status(), 206);
    assert_eq!(part.bytes().await.unwrap(), bytes[5..100]);
    assert_eq!(server.take_seen(), [("GET".to_owned(), 1)].into());
}

#[tokio::test]
async fn a_link_is_for_one_object_and_asks_the_bucket_nothing() {
    let server = S3::start().await;
    let (registry, path, bytes) = with_blob(&server, PRESIGN).await;
    settled(&server).await;
    let first = link(&registry, &path).await;
    for _ in 0..10 {
        link(&registry, &path).await;
    }
    assert_eq!(server.take_seen(), [].into(), "a redirect asks nobody");
    assert!(first.contains("X-Amz-Expires=60"), "{first}");
    let http = registry.http();
    let got = http.get(&first).send().await.unwrap();
    assert_eq!(got.bytes().await.unwrap(), bytes);
    let other = first.replace("/blob/", "/bl0b/");
    assert_eq!(http.get(&other).send().await.unwrap().status(), 403);
    assert_eq!(http.delete(&first).send().await.unwrap().status(), 403);
    assert_eq!(
        http.put(&first).body("x").send().await.unwrap().status(),
        403
    );
    // Neither the secret nor what is signed with it is kept or printed.
    let signature = first.rsplit_once("X-Amz-Signature=").unwrap().1;
    expect_no_canary(&registry, &[KEYS[0].1, signature]);
}

#[tokio::test]
async fn a_credential_is_replaced_while_clients_read() {
    let server = S3::start().await;
    let (registry, path, bytes) = with_blob(&server, "").await;
    // Both are valid for a while, as whoever rotates them does it.
    write_key(registry.setup().dir(), &key_pair(KEYS[1]));
    let mut num_read = 0;
    for at in 0..300 {
        if at == 100 {
            server.revoke(KEYS[0].0);
        }
        assert_eq!(download(&registry, &path).await, bytes, "{at}");
        num_read += 1;
    }
    assert_eq!(num_read, 300);
    let late = Module::new("late");
    late.write(&registry.setup().manifests());
    registry.wait_module("late", &["1.0.0"]).await;
    expect_no_canary(&registry, &[KEYS[0].1, KEYS[1].1]);
}

#[tokio::test]
async fn a_bucket_that_fails_takes_nothing_but_downloads_with_it() {
    // S04, S05.
    let server = S3::start().await;
    let (registry, path, bytes) = with_blob(&server, "").await;
    for mode in [Mode::SlowDown, Mode::Reset, Mode::Stall] {
        server.set_mode(mode);
        let started = Instant::now();
        let answer = registry.get(&path).send().await.unwrap();
        assert_eq!(answer.status(), 503, "{mode:?}");
        assert!(answer.headers().contains_key("retry-after"), "{mode:?}");
        assert!(started.elapsed() <= Duration::from_secs(8), "{mode:?}");
        registry.wait_module("blob", &["1.0.0"]).await;
        server.set_mode(Mode::Right);
        let resumed = Instant::now();
        assert_eq!(download(&registry, &path).await, bytes);
        assert!(resumed.elapsed() < Duration::from_secs(10), "{mode:?}");
    }
    server.set_mode(Mode::Half);
    never_whole(&registry, &path, &bytes, "half of it").await;
    // What is to be published in the meantime is published later.
    server.set_mode(Mode::SlowDown);
    let late = Module::new("late");
    late.write(&registry.setup().manifests());
    wait_condition(&registry, "late-1-0-0", "False").await;
    server.set_mode(Mode::Right);
    registry.wait_module("late", &["1.0.0"]).await;
    registry.wait_module("blob", &["1.0.0"]).await;
}

#[tokio::test]
async fn a_thousand_damaged_objects_are_not_delivered() {
    let server = S3::start().await;
    let (registry, path, bytes) = with_blob(&server, "").await;
    let file = server.object(&server.keys()[0]);
    // A linear congruential generator: the same damage in every run.
    let mut state = 4_u64;
    let mut next = |below: usize| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        usize::try_from(state >> 33).unwrap() % below
    };
    for at in 0..1_000 {
        let mut damaged = bytes.clone();
        match at % 4 {
            0 => damaged.truncate(next(bytes.len())),
            1 => damaged.extend(noise(1 + next(5_000), 7)),
            _ => damaged[next(bytes.len())] ^= 1 << next(8),
        }
        fs::write(&file, &damaged).unwrap();
        never_whole(&registry, &path, &bytes, &format!("damage {at}")).await;
    }
    fs::write(&file, &bytes).unwrap();
    assert_eq!(download(&registry, &path).await, bytes);
}

#[tokio::test]
async fn a_resource_cannot_choose_what_is_not_granted() {
    // T03, T04: refused before anything moves.
    let server = S3::start().await;
    let setup = cloud(&server).operate(Setup::plain(), "");
    for (name, block) in [
        (
            "tenant",
            "s3: { bucket: other-tenant, region: eu-central-1 }",
        ),
        (
            "climbs",
            "plugin: { name: storage-s3, settings: { bucket: depot, key: a/../../b } }",
        ),
        (
            "address",
            "plugin: { name: storage-s3, settings: { bucket: 169.254.169.254 } }",
        ),
    ] {
        Module::new(name)
            .config(&format!("storageConfig: {{ {block} }}"))
            .write(&setup.manifests());
    }
    let registry = setup.start().await;
    for name in ["tenant", "climbs", "address"] {
        wait_condition(&registry, &format!("{name}-1-0-0"), "False").await;
    }
    assert_eq!(server.take_seen(), [].into());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_no_version_records_is_found_and_goes_when_that_is_asked_for() {
    let server = S3::start().await;
    let (registry, path, bytes) = with_blob(&server, "").await;
    let key = server.keys()[0].clone();
    let folder = key.rsplit_once('/').unwrap().0;
    let orphan = format!("{folder}/2917ab99-c93a-861b-afe6-eeb9507591d5.zip");
    let foreign = format!("{folder}/notes.txt");
    for key in [&orphan, &foreign] {
        fs::write(server.object(key), "left").unwrap();
    }
    // Seen, and left alone: it is not to be removed, or not old enough yet.
    for more in [&["--orphans"][..], &["--orphans", "--collect"]] {
        let said = verify(&registry, more);
        assert!(said.contains("1 whole, 0 not"), "{said}");
        assert!(said.contains("2 orphans, 0 of them removed"), "{said}");
        assert!(said.contains(&orphan) && said.contains(&foreign), "{said}");
        assert_eq!(server.keys().len(), 3);
    }
    let said = verify(&registry, &["--orphans", "--collect", "--grace", "0s"]);
    assert!(said.contains("2 orphans, 1 of them removed"), "{said}");
    let mut left = vec![key, foreign];
    left.sort();
    assert_eq!(server.keys(), left);
    assert_eq!(download(&registry, &path).await, bytes);
}

#[tokio::test]
async fn a_kill_during_an_upload_in_parts_leaves_nothing_behind() {
    let server = S3::start().await;
    let mut setup = cloud(&server).operate(Setup::plain().args(&["--manifests-prune"]), "");
    Module::new("large")
        .file("data.bin", noise(30 << 20, 9))
        .write(&setup.manifests());
    for _ in 0..3 {
        let registry = setup.spawn();
        wait_until("an upload to be under way", SOON, || async {
            match (server.num_unfinished(), server.keys()) {
                (0, keys) if keys.is_empty() => Err(keys),
                _ => Ok(()),
            }
        })
        .await;
        setup = registry.kill().await;
        let visible: Vec<String> = server.keys();
        let whole = visible.iter().filter(|key| !key.contains(".upload-"));
        assert!(whole.count() <= 1, "{visible:?}");
    }
    let registry = setup.start().await;
    registry.wait_module("large", &["1.0.0"]).await;
    let path = module_path(&registry, "large").await;
    assert!(download(&registry, &path).await.len() > 30 << 20);
    // Its removal collects what uploads of it left.
    fs::remove_file(registry.setup().manifests().join("large.yaml")).unwrap();
    wait_until("the bucket to be empty", SOON, || async {
        match server.keys() {
            left if left.is_empty() => Ok(()),
            left => Err(left),
        }
    })
    .await;
}
