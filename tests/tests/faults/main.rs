//! Faults from outside: kill -9, swapped files, a full disk, wrong flags, signals, poisoned
//! resources.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "tests: the way they report is to panic with what they saw"
)]

mod authoring;
mod crash;
mod files;
mod flags;
mod plugins;
mod reload;
mod signals;
mod space;

use opendepot_tests::server::{MODULES, PROVIDERS};
use opendepot_tests::{Registry, fixture::NAMESPACE, sha256};
use serde_json::Value;

/// The digest of a module's bytes, downloaded as OpenTofu 1.12 does.
async fn module_digest(registry: &Registry, name: &str, version: &str) -> String {
    let bytes = registry
        .get(&module_path(registry, name, version).await)
        .send()
        .await
        .unwrap();
    assert_eq!(bytes.status(), 200, "{name} {version}");
    sha256(&bytes.bytes().await.unwrap())
}

/// Where a module's bytes are: a capability.
async fn module_path(registry: &Registry, name: &str, version: &str) -> String {
    let path = format!("{MODULES}/{NAMESPACE}/{name}/local/{version}/download");
    let answer = registry.get(&path).send().await.unwrap();
    assert_eq!(answer.status(), 204, "{name} {version}");
    answer.headers()["x-terraform-get"]
        .to_str()
        .unwrap()
        .to_owned()
}

/// The package document of a provider for `linux/amd64`.
async fn package(registry: &Registry, name: &str, version: &str) -> Value {
    registry
        .json(&format!(
            "{PROVIDERS}/{NAMESPACE}/{name}/{version}/download/linux/amd64"
        ))
        .await
}

/// What a URL of a package document answers.
async fn fetch(registry: &Registry, document: &Value, member: &str) -> Vec<u8> {
    let url = document[member]
        .as_str()
        .unwrap_or_else(|| panic!("no {member} in {document}"));
    let path = url.strip_prefix(&registry.base()).unwrap_or(url);
    let answer = registry.get(path).send().await.unwrap();
    assert_eq!(answer.status(), 200, "{member}");
    answer.bytes().await.unwrap().to_vec()
}
