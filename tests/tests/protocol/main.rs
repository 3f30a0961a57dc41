//! What the registry answers over HTTP (contract.md 4, reliability.md 9.1). Each test starts a
//! server of its own with the few resources that it needs.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests: the way they report is to panic with what they saw"
)]

mod artifacts;
mod bindings;
mod capabilities;
mod discovery;
mod hostile;
mod labels;
mod metrics;
mod modules;
mod providers;
mod scrape;
mod tokens;
mod wire;

use opendepot_tests::fixture::NAMESPACE;
use opendepot_tests::server::{MODULES, PROVIDERS};
use opendepot_tests::{Module, Registry, Release, Setup};
use serde_json::Value;

/// A server that publishes these.
async fn serve(modules: &[Module], releases: &[Release]) -> Registry {
    let setup = Setup::plain();
    for module in modules {
        module.write(&setup.manifests());
    }
    for release in releases {
        release.write(&setup.manifests());
    }
    setup.start().await
}

/// A server with the module `hello` 1.0.0, published.
async fn with_module() -> Registry {
    let registry = serve(&[Module::new("hello")], &[]).await;
    registry.wait_module("hello", &["1.0.0"]).await;
    registry
}

/// A server with the provider `note` 1.0.0 for two platforms, published.
async fn with_provider() -> (Registry, Release) {
    let release = Release::new("note");
    let registry = serve(&[], std::slice::from_ref(&release)).await;
    registry.wait_provider("note", &["1.0.0"]).await;
    (registry, release)
}

/// The path of a module's download route.
fn module_download(name: &str, version: &str) -> String {
    format!("{MODULES}/{NAMESPACE}/{name}/local/{version}/download")
}

/// The path of a provider's package document.
fn package(name: &str, version: &str, platform: &str) -> String {
    format!("{PROVIDERS}/{NAMESPACE}/{name}/{version}/download/{platform}")
}

/// The location that a Terraform client is given for a module: a path with a query.
async fn module_location(registry: &Registry, name: &str, version: &str) -> String {
    let answer = registry
        .get(&module_download(name, version))
        .header("user-agent", "Terraform/1.11.4")
        .send()
        .await
        .unwrap();
    assert_eq!(answer.status(), 204);
    answer.headers()["x-terraform-get"]
        .to_str()
        .unwrap()
        .to_owned()
}

/// What go-getter requests for a location: `archive` and `checksum` removed, the rest sorted by
/// name (protocols.md 1.10).
fn as_go_getter(location: &str) -> String {
    let (path, query) = location.split_once('?').unwrap_or((location, ""));
    let mut pairs: Vec<&str> = query
        .split('&')
        .filter(|pair| !pair.starts_with("archive=") && !pair.starts_with("checksum="))
        .collect();
    pairs.sort_unstable();
    format!("{path}?{}", pairs.join("&"))
}

/// The value of a query parameter, undecoded.
fn parameter<'a>(location: &'a str, name: &str) -> Option<&'a str> {
    let (_, query) = location.split_once('?')?;
    query
        .split('&')
        .find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='))
}

/// A member of a JSON document as text.
fn text<'a>(json: &'a Value, pointer: &str) -> &'a str {
    json.pointer(pointer)
        .and_then(Value::as_str)
        .unwrap_or_else(|| panic!("no text at `{pointer}` in {json}"))
}

/// A URL of this server as a path; path-absolute ones are as they are.
fn path_of(registry: &Registry, url: &str) -> String {
    url.strip_prefix(&registry.base()).unwrap_or(url).to_owned()
}

/// Checks an error that we produce: JSON with `errors` and `requestId`, nothing internal (H22).
async fn expect_error(answer: reqwest::Response, status: u16) {
    let url = answer.url().clone();
    assert_eq!(answer.status(), status, "{url}");
    let headers = answer.headers().clone();
    let body = answer.text().await.unwrap();
    let json: Value = serde_json::from_str(&body).unwrap_or_else(|e| panic!("{url}: {e}: {body}"));
    let errors = json["errors"]
        .as_array()
        .unwrap_or_else(|| panic!("{url}: {body}"));
    assert!(
        !errors.is_empty() && errors.iter().all(Value::is_string),
        "{url}: {body}"
    );
    let id = json["requestId"].as_str().unwrap_or_default();
    assert!(!id.is_empty(), "{url}: {body}");
    assert_eq!(headers["x-request-id"], id, "{url}");
    assert_eq!(headers["cache-control"], "no-store", "{url}");
    let temporary = std::env::temp_dir();
    for internal in [
        temporary.to_str().unwrap(),
        "panicked",
        "kube",
        "redb",
        ".rs:",
        "signature=",
    ] {
        assert!(!body.contains(internal), "{url} says `{internal}`: {body}");
    }
}
