//! Storage plugins with a real server behind them: what is published is on the server, comes back
//! whole or not at all, and no secret is seen anywhere on the way.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests: the way they report is to panic with what they saw"
)]

mod cloud;
mod conformance;
mod gateway;
mod nginx;
mod signing;
mod webdav;

use opendepot_tests::fixture::NAMESPACE;
use opendepot_tests::server::{MODULES, binary};
use opendepot_tests::wait::SOON;
use opendepot_tests::{Registry, Setup, wait_until};
use serde_json::Value;
use std::fs;
use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::Command;

/// Nobody should ever see it.
const CANARY: &str = "c4n4ry-5ecret-0f-the-st0re";

/// A setup whose default storage is the plugin `web`, storage-http, at a server on loopback.
/// `settings` are lines of YAML; the one secret is called `web-secret`.
fn with_store(setup: Setup, server: &str, settings: &str, more: &str) -> Setup {
    let dir = setup.dir().to_owned();
    fs::create_dir(dir.join("secrets")).unwrap();
    write_secret(&dir, CANARY);
    let settings: String = settings
        .lines()
        .map(|line| format!("      {line}\n"))
        .collect();
    setup.config(&format!(
        r#"plugins:
  - name: web
    source: {{ builtin: storage-http }}
    settings:
{settings}    grants:
      hosts: ["http://{server}"]
      secrets: {{ web-secret: {{ hosts: ["http://{server}"] }} }}
pluginPolicy: {{ secretsDir: "{}" }}
egress: {{ plugins: {{ allowPrivate: ["127.0.0.0/8"], allowHttp: ["127.0.0.1"] }} }}
storage: {{ default: {{ plugin: {{ name: web }} }} }}
{more}"#,
        dir.join("secrets").display()
    ))
}

fn write_secret(setup: &Path, secret: &str) {
    // As Kubernetes does: the new file appears whole.
    let file = setup.join("secrets/web-secret");
    let beside = setup.join("web-secret.new");
    fs::write(&beside, format!("{secret}\n")).unwrap();
    fs::rename(beside, file).unwrap();
}

/// Where a module's bytes are: a capability.
async fn module_path(registry: &Registry, name: &str) -> String {
    let path = format!("{MODULES}/{NAMESPACE}/{name}/local/1.0.0/download");
    let answer = registry
        .get(&path)
        .header("user-agent", "Terraform/1.11.4")
        .send()
        .await
        .unwrap();
    assert_eq!(answer.status(), 204, "{name}");
    let location = answer.headers()["x-terraform-get"].to_str().unwrap();
    location.to_owned()
}

async fn download(registry: &Registry, path: &str) -> Vec<u8> {
    let answer = registry.get(path).send().await.unwrap();
    assert_eq!(answer.status(), 200, "{path}");
    answer.bytes().await.unwrap().to_vec()
}

/// A Version, as the control plane has it; nothing when it cannot be read.
fn version(registry: &Registry, name: &str) -> Option<Value> {
    let socket = registry.setup().data_dir().join("control.sock");
    let mut socket = UnixStream::connect(socket).ok()?;
    let path = format!("/apis/opendepot.defdev.io/v1alpha1/namespaces/{NAMESPACE}/versions/{name}");
    write!(socket, "GET {path} HTTP/1.0\r\nHost: localhost\r\n\r\n").ok()?;
    let mut answer = String::new();
    socket.read_to_string(&mut answer).ok()?;
    serde_json::from_str(answer.split_once("\r\n\r\n")?.1).ok()
}

/// Waits until a Version's conditions hold these words.
async fn wait_condition(registry: &Registry, name: &str, words: &str) {
    wait_until(&format!("`{words}` on {name}"), SOON, || async {
        let version = version(registry, name);
        let conditions = version.and_then(|v| v.pointer("/status/conditions").cloned());
        match conditions {
            Some(found) if found.to_string().contains(words) => Ok(()),
            other => Err(other),
        }
    })
    .await;
}

/// What the command says about the artifacts of a running registry.
fn verify(registry: &Registry, more: &[&str]) -> String {
    let setup = registry.setup();
    let output = Command::new(binary())
        .arg("verify")
        .args(more)
        .arg("--config")
        .arg(setup.dir().join("config.yaml"))
        .arg("--data-dir")
        .arg(setup.data_dir())
        .output()
        .unwrap();
    String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned()
}

/// The sum of a metric's samples whose line holds all these words.
async fn metric(registry: &Registry, words: &[&str]) -> f64 {
    let url = format!("http://{}/metrics", registry.setup().admin_address());
    let text = registry.http().get(&url).send().await.unwrap();
    let text = text.text().await.unwrap();
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines
        .filter(|line| words.iter().all(|word| line.contains(word)))
        .filter_map(|line| line.rsplit_once(' ')?.1.parse::<f64>().ok())
        .sum()
}

/// Everything that was printed, kept or answered, without a secret in it.
fn expect_no_canary(registry: &Registry, secrets: &[&str]) {
    let log = registry.setup().log();
    let mut folders = vec![registry.setup().data_dir()];
    let mut files = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.is_file() {
                files.push(path);
            }
        }
    }
    assert!(files.len() > 3, "{files:?}");
    for secret in secrets {
        assert!(!log.contains(secret), "the log shows a secret");
        for file in &files {
            let bytes = fs::read(file).unwrap_or_default();
            let found = bytes
                .windows(secret.len())
                .any(|window| window == secret.as_bytes());
            assert!(!found, "{} holds a secret", file.display());
        }
    }
}

/// A body that arrived whole must be the true one (I5): a refusal or a broken transfer is right.
async fn never_whole(registry: &Registry, path: &str, true_bytes: &[u8], what: &str) {
    let answer = registry.get(path).send().await.unwrap();
    if !answer.status().is_success() {
        return;
    }
    let declared = answer.content_length();
    if let Ok(bytes) = answer.bytes().await {
        assert_eq!(declared, Some(bytes.len() as u64), "{what}");
        assert!(bytes == true_bytes, "{what}: delivered whole");
    }
}
