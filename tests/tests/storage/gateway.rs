//! storage-http with a signing gateway behind it: URLs carry a MAC that the plugin makes with a key
//! that it never sees.

use crate::signing::Gateway;
use crate::{
    CANARY, download, expect_no_canary, module_path, wait_condition, with_store, write_secret,
};
use opendepot_tests::wait::SOON;
use opendepot_tests::{Module, Registry, Setup, sha256, wait_until};
use std::fs;

fn settings(gateway: &Gateway) -> String {
    format!(
        "url: http://{}/bucket\nsign: {{ secret: web-secret, lifetime: 60 }}",
        gateway.host()
    )
}

async fn with_module(gateway: &Gateway) -> Registry {
    let setup = with_store(
        Setup::plain().args(&["--manifests-prune"]),
        &gateway.host(),
        &settings(gateway),
        "",
    );
    Module::new("hello").write(&setup.manifests());
    setup.start().await
}

#[tokio::test]
async fn every_request_carries_a_valid_mac_and_no_secret_is_seen() {
    let gateway = Gateway::start(CANARY).await;
    let registry = with_module(&gateway).await;
    registry.wait_module("hello", &["1.0.0"]).await;
    let path = module_path(&registry, "hello").await;
    let bytes = download(&registry, &path).await;
    let objects = gateway.objects();
    let stored = objects.values().next().unwrap();
    assert_eq!((objects.len(), sha256(stored)), (1, sha256(&bytes)));
    fs::remove_file(registry.setup().manifests().join("hello.yaml")).unwrap();
    wait_until("the object to be removed", SOON, || async {
        match gateway.objects().len() {
            0 => Ok(()),
            left => Err(left),
        }
    })
    .await;
    assert_eq!(gateway.num_refused(), 0, "{:?}", gateway.seen());
    let methods: Vec<String> = gateway
        .seen()
        .into_iter()
        .map(|(method, _)| method)
        .collect();
    for method in ["PUT", "GET", "HEAD", "DELETE"] {
        assert!(
            methods.iter().any(|seen| seen == method),
            "{method}: {methods:?}"
        );
    }
    // Neither the key nor a URL that opens something is kept or printed.
    let signatures: Vec<String> = gateway
        .seen()
        .iter()
        .filter_map(|(_, target)| Some(target.split_once("signature=")?.1.to_owned()))
        .collect();
    let mut hidden = vec![CANARY];
    hidden.extend(signatures.iter().map(String::as_str));
    expect_no_canary(&registry, &hidden);
}

#[tokio::test]
async fn a_wrong_key_publishes_nothing_until_it_is_right() {
    let gateway = Gateway::start("an0ther-key").await;
    let registry = with_module(&gateway).await;
    wait_condition(&registry, "hello-1-0-0", "access denied").await;
    assert!(gateway.num_refused() > 0 && gateway.objects().is_empty());
    write_secret(registry.setup().dir(), "an0ther-key");
    // Another word of the owner, so that the next try need not wait for its turn.
    let manifests = registry.setup().manifests();
    Module::new("second").write(&manifests);
    registry.wait_module("second", &["1.0.0"]).await;
    let path = module_path(&registry, "second").await;
    download(&registry, &path).await;
}

#[tokio::test]
async fn redirects_lead_nowhere() {
    // Z17, W13: neither to a neighbour nor to a metadata service.
    let gateway = Gateway::start(CANARY).await;
    let neighbour = Gateway::start(CANARY).await;
    let registry = with_module(&gateway).await;
    registry.wait_module("hello", &["1.0.0"]).await;
    let path = module_path(&registry, "hello").await;
    let bytes = download(&registry, &path).await;
    for to in [
        format!("http://{}/bucket/x", neighbour.host()),
        "http://169.254.169.254/latest/meta-data".to_owned(),
    ] {
        gateway.redirect(Some(&to));
        let answer = registry.get(&path).send().await.unwrap();
        assert_eq!(answer.status(), 503, "{to}");
        let body = answer.text().await.unwrap();
        assert!(
            !body.contains("169.254") && !body.contains("bucket"),
            "{body}"
        );
    }
    assert!(neighbour.seen().is_empty());
    gateway.redirect(None);
    assert_eq!(download(&registry, &path).await, bytes);
}
