//! The module registry protocol.

use crate::{
    as_go_getter, expect_error, module_download, module_location, parameter, serve, with_module,
};
use opendepot_tests::fixture::{NAMESPACE, unzip};
use opendepot_tests::server::MODULES;
use opendepot_tests::{Module, sha256};
use serde_json::{Value, json};

#[tokio::test]
async fn versions_are_newest_first_and_without_v() {
    let versions = ["v1.2.0", "1.10.0", "2.0.0-rc.1", "1.2.0-beta"];
    let registry = serve(&[Module::new("hello").versions(&versions)], &[]).await;
    registry
        .wait_module("hello", &["2.0.0-rc.1", "1.10.0", "1.2.0", "1.2.0-beta"])
        .await;
    let json = registry
        .json(&format!("{MODULES}/{NAMESPACE}/hello/local/versions"))
        .await;
    assert_eq!(json["modules"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn unknown_things_are_not_found() {
    // H28: never an empty 200 or 204, never a 500.
    let registry = with_module().await;
    for path in [
        format!("{MODULES}/{NAMESPACE}/other/local/versions"),
        format!("{MODULES}/elsewhere/hello/local/versions"),
        module_download("hello", "9.9.9"),
        module_download("other", "1.0.0"),
        format!("{MODULES}/{NAMESPACE}/hello/other-system/versions"),
        format!("{MODULES}/{NAMESPACE}/hello/other-system/1.0.0/download"),
        "/opendepot/modules/v1/".to_owned(),
        "/opendepot/nothing".to_owned(),
        "/debug/pprof/".to_owned(),
        "/metrics".to_owned(),
    ] {
        expect_error(registry.get(&path).send().await.unwrap(), 404).await;
    }
}

#[tokio::test]
async fn nothing_published_is_an_empty_list() {
    let module = Module::new("later").without_sources();
    let registry = serve(&[module, Module::new("hello")], &[]).await;
    registry.wait_module("hello", &["1.0.0"]).await;
    let json = registry
        .json(&format!("{MODULES}/{NAMESPACE}/later/local/versions"))
        .await;
    assert_eq!(json, json!({"modules": [{"versions": []}]}));
    expect_error(
        registry
            .get(&module_download("later", "1.0.0"))
            .send()
            .await
            .unwrap(),
        404,
    )
    .await;
}

#[tokio::test]
async fn any_system_is_accepted_when_none_is_configured() {
    let registry = serve(&[Module::new("hello").provider(None)], &[]).await;
    registry.wait_module("hello", &["1.0.0"]).await;
    let json = registry
        .json(&format!("{MODULES}/{NAMESPACE}/hello/anything/versions"))
        .await;
    assert_eq!(json["modules"][0]["versions"][0]["version"], "1.0.0");
}

#[tokio::test]
async fn terraform_gets_a_location_that_go_getter_understands() {
    let registry = with_module().await;
    let location = module_location(&registry, "hello", "1.0.0").await;
    assert!(
        location.starts_with("/opendepot/modules/v1/download/"),
        "{location}"
    );
    assert_eq!(parameter(&location, "archive"), Some("zip"), "{location}");
    for name in ["fileChecksum", "expires", "signature"] {
        assert!(
            parameter(&location, name).is_some(),
            "no `{name}` in {location}"
        );
    }

    // HEAD, then GET, on fresh connections, without credentials.
    let requested = as_go_getter(&location);
    let head = registry
        .request(reqwest::Method::HEAD, &requested)
        .send()
        .await
        .unwrap();
    assert_eq!(head.status(), 200);
    let answer = registry.get(&requested).send().await.unwrap();
    assert_eq!(answer.status(), 200);
    assert_eq!(answer.headers()["content-type"], "application/zip");
    let bytes = answer.bytes().await.unwrap();
    let checksum = format!("sha256:{}", sha256(&bytes));
    assert_eq!(
        parameter(&location, "checksum").map(|c| c.replace("%3A", ":")),
        Some(checksum)
    );
    let entries = unzip(&bytes);
    assert!(
        entries.contains_key("main.tf"),
        "no main.tf at the root: {:?}",
        entries.keys()
    );
}

#[tokio::test]
async fn a_tampered_body_fails_the_clients_checksum() {
    // H37: what go-getter compares is the digest of the true bytes, so one flipped bit shows.
    let registry = with_module().await;
    let location = module_location(&registry, "hello", "1.0.0").await;
    let bytes = registry
        .get(&as_go_getter(&location))
        .send()
        .await
        .unwrap()
        .bytes()
        .await
        .unwrap();
    let mut tampered = bytes.to_vec();
    tampered[0] ^= 1;
    let checksum = parameter(&location, "checksum").unwrap();
    assert!(checksum.contains(&sha256(&bytes)) && !checksum.contains(&sha256(&tampered)));
}

#[tokio::test]
async fn newer_opentofu_gets_both_forms_in_one_answer() {
    // H35. The location is the same path without a query, because that client logs it.
    let registry = with_module().await;
    for agent in ["OpenTofu/1.12.6", "OpenTofu/1.13.0-dev", "OpenTofu/2.0.0"] {
        let request = registry.get(&module_download("hello", "1.0.0"));
        let answer = request.header("user-agent", agent).send().await.unwrap();
        assert_eq!(answer.status(), 200, "{agent}");
        assert!(
            answer.headers()["vary"]
                .to_str()
                .unwrap()
                .to_lowercase()
                .contains("user-agent")
        );
        let header = answer.headers()["x-terraform-get"]
            .to_str()
            .unwrap()
            .to_owned();
        let json: Value = answer.json().await.unwrap();
        assert_eq!(
            json["use_registry_credentials"],
            Value::Bool(true),
            "{json}"
        );
        let location = json["location"].as_str().unwrap();
        assert_eq!(location, header.split('?').next().unwrap());
        let answer = registry
            .get(location)
            .header("accept", "application/zip, application/x-tar; *;q=0.1")
            .header("accept-encoding", "identity, gzip, *;q=0.1")
            .send()
            .await
            .unwrap();
        assert_eq!(answer.status(), 200, "{agent}");
        assert!(answer.headers().get("content-encoding").is_none());
        assert!(unzip(&answer.bytes().await.unwrap()).contains_key("main.tf"));
    }
}

#[tokio::test]
async fn every_other_client_gets_the_header_alone() {
    let registry = with_module().await;
    for agent in [
        "OpenTofu/1.11.0",
        "OpenTofu/1.6.2",
        "Terraform/1.2.0",
        "OpenTofu/x",
        "curl/8",
        "",
    ] {
        let request = registry.get(&module_download("hello", "1.0.0"));
        let answer = request.header("user-agent", agent).send().await.unwrap();
        assert_eq!(answer.status(), 204, "{agent}");
        assert!(answer.headers().contains_key("x-terraform-get"), "{agent}");
        assert!(answer.bytes().await.unwrap().is_empty(), "{agent}");
    }
}

#[tokio::test]
async fn a_large_module_is_not_offered_directly() {
    // That client form has a 10 s timeout for the whole body: 8 MiB at most.
    let big = Module::new("big").file("data.bin", opendepot_tests::fixture::noise(9 << 20, 1));
    let registry = serve(&[big], &[]).await;
    registry.wait_module("big", &["1.0.0"]).await;
    let request = registry.get(&module_download("big", "1.0.0"));
    let answer = request
        .header("user-agent", "OpenTofu/1.12.6")
        .send()
        .await
        .unwrap();
    assert_eq!(answer.status(), 204);
}

#[tokio::test]
async fn a_version_may_be_asked_for_with_v() {
    let registry = with_module().await;
    let plain = registry
        .get(&module_download("hello", "1.0.0"))
        .send()
        .await
        .unwrap();
    let with_v = registry
        .get(&module_download("hello", "v1.0.0"))
        .send()
        .await
        .unwrap();
    assert_eq!(plain.status(), 204);
    assert!(
        matches!(with_v.status().as_u16(), 204 | 404),
        "{}",
        with_v.status()
    );
}

#[tokio::test]
async fn names_that_could_alias_keep_their_own_bytes() {
    // H06: both Version objects would be called foo-1-2-3-4.
    let foo = Module::new("foo")
        .versions(&["1.2.3-4"])
        .file("which", "foo");
    let foo_1 = Module::new("foo-1")
        .versions(&["2.3.4"])
        .file("which", "foo-1");
    let registry = serve(&[foo, foo_1], &[]).await;
    for (name, version) in [("foo", "1.2.3-4"), ("foo-1", "2.3.4")] {
        registry.wait_module(name, &[version]).await;
        let location = module_location(&registry, name, version).await;
        let answer = registry.get(&as_go_getter(&location)).send().await.unwrap();
        let entries = unzip(&answer.bytes().await.unwrap());
        assert_eq!(entries["which"], name.as_bytes());
    }
}

#[tokio::test]
async fn tar_modules_say_so() {
    let registry = serve(&[Module::new("hello").config("fileFormat: tar.gz")], &[]).await;
    registry.wait_module("hello", &["1.0.0"]).await;
    let location = module_location(&registry, "hello", "1.0.0").await;
    assert_eq!(
        parameter(&location, "archive"),
        Some("tar.gz"),
        "{location}"
    );
    let bytes = registry
        .get(&as_go_getter(&location))
        .send()
        .await
        .unwrap()
        .bytes()
        .await
        .unwrap();
    assert_eq!(bytes[..2], [0x1f, 0x8b], "not gzip");
}
