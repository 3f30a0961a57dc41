//! What every client must be able to do.

use opendepot_tests::fixture::write_example_provider;
use opendepot_tests::{Client, Kind, Module, Registry, Release, Setup};
use std::fs;

const BOTH: &str = r#"
terraform {
  required_providers {
    example = {
      source  = "HOST/team/example"
      version = "1.0.0"
    }
  }
}

module "hello" {
  source  = "HOST/team/hello/local"
  version = "1.0.0"
  name    = "Ada"
}

resource "example_note" "this" {
  text = module.hello.message
}

data "example_release" "this" {}

output "note" {
  value = example_note.this.text
}

output "provider" {
  value = "${data.example_release.this.version} ${data.example_release.this.platform}"
}
"#;

const HELLO: &str = r#"
module "hello" {
  source  = "HOST/team/hello/local"
  version = "1.0.0"
  name    = "Ada"
}
"#;

/// A server with the module `hello` and the provider `example`, both published.
async fn serve_both() -> Registry {
    let setup = Setup::tls();
    Module::new("hello")
        .versions(&["1.0.0", "1.1.0"])
        .write(&setup.manifests());
    write_example_provider(&setup.manifests());
    let registry = setup.start().await;
    registry.wait_module("hello", &["1.1.0", "1.0.0"]).await;
    registry.wait_provider("example", &["1.1.0", "1.0.0"]).await;
    registry
}

fn num_hashes(lock: &str, scheme: &str) -> usize {
    lock.matches(&format!("\"{scheme}:")).count()
}

pub(crate) async fn installs_validates_and_applies(kind: Kind) {
    let registry = serve_both().await;
    let client = Client::new(kind, &registry, BOTH);
    client.run(&["init"]).expect_success();
    client.run(&["validate"]).expect_success();
    client.run(&["apply", "-auto-approve"]).expect_success();
    assert_eq!(client.output("note"), "Hello, Ada, from 1.0.0");
    let provider = client.output("provider");
    assert!(provider.starts_with("1.0.0 "), "{provider}");
    // SHA256SUMS lists every platform, so the lock has a zh hash for each.
    let lock = client.lock();
    assert_eq!(num_hashes(&lock, "zh"), 2, "{lock}");
    assert!(num_hashes(&lock, "h1") >= 1, "{lock}");
    client.run(&["init", "-lockfile=readonly"]).expect_success();
    client.run(&["destroy", "-auto-approve"]).expect_success();
}

pub(crate) async fn module_inputs_are_validated(kind: Kind) {
    let registry = serve_both().await;
    let client = Client::new(kind, &registry, &HELLO.replace("name ", "nmae "));
    client.run(&["init"]);
    client.run(&["validate"]).expect_failure("nmae");
    client.write(
        "main.tf",
        &HELLO.replace("HOST", &registry.setup().address().to_string()),
    );
    client.run(&["init"]).expect_success();
    client.run(&["validate"]).expect_success();
}

pub(crate) async fn picks_versions_by_constraint_and_upgrades(kind: Kind) {
    let registry = serve_both().await;
    let client = Client::new(kind, &registry, BOTH);
    client.run(&["init"]).expect_success();
    let main = fs::read_to_string(client.work().join("main.tf")).unwrap();
    client.write("main.tf", &main.replace("\"1.0.0\"", "\"~> 1.0\""));
    client.run(&["init", "-upgrade"]).expect_success();
    client.run(&["apply", "-auto-approve"]).expect_success();
    assert_eq!(client.output("note"), "Hello, Ada, from 1.1.0");
    let provider = client.output("provider");
    assert!(provider.starts_with("1.1.0 "), "{provider}");
    client.write("main.tf", &main.replace("\"1.0.0\"", "\">= 2.0\""));
    client
        .run(&["init", "-upgrade"])
        .expect_failure("no available");
}

pub(crate) async fn locks_two_platforms(kind: Kind) {
    let registry = serve_both().await;
    // Without the module: `providers lock` wants modules to be installed first.
    let provider = BOTH.split("module \"hello\"").next().unwrap();
    let client = Client::new(kind, &registry, provider);
    let platforms = ["-platform=linux_amd64", "-platform=linux_arm64"];
    client
        .run(&["providers", "lock", platforms[0], platforms[1]])
        .expect_success();
    let lock = client.lock();
    assert_eq!(num_hashes(&lock, "h1"), 2, "{lock}");
    assert_eq!(num_hashes(&lock, "zh"), 2, "{lock}");
    // The same bytes as init installs.
    client.run(&["init", "-lockfile=readonly"]).expect_success();
}

pub(crate) async fn refuses_tampered_bytes(kind: Kind) {
    let registry = serve_both().await;
    let client = Client::new(kind, &registry, BOTH);
    client.run(&["init"]).expect_success();

    // A lock from elsewhere: other hashes for the same version.
    let lock = client.lock();
    let forged: String = lock
        .lines()
        .map(|line| {
            match line
                .trim_start()
                .strip_prefix("\"zh:")
                .or(line.trim_start().strip_prefix("\"h1:"))
            {
                Some(_) if line.contains("\"zh:") => format!("    \"zh:{}\",\n", "0".repeat(64)),
                Some(_) => format!("    \"h1:{}=\",\n", "A".repeat(43)),
                None => format!("{line}\n"),
            }
        })
        .collect();
    client.write(".terraform.lock.hcl", &forged);
    fs::remove_dir_all(client.work().join(".terraform")).unwrap();
    client.run(&["init"]).expect_failure("checksum");

    // Bytes changed in the store: never delivered whole, so nothing can be installed.
    client.write(".terraform.lock.hcl", &lock);
    let num_changed = tamper(&registry.setup().data_dir().join("artifacts"));
    assert!(num_changed >= 4, "only {num_changed} stored files found");
    let outcome = client.run(&["init"]);
    assert!(
        !outcome.is_success,
        "installed tampered bytes:\n{}",
        outcome.text
    );
}

/// Flips the last byte of every stored file below `dir`; says how many there were.
fn tamper(dir: &std::path::Path) -> usize {
    let mut count = 0;
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            count += tamper(&path);
        } else if path.is_file() {
            let mut bytes = fs::read(&path).unwrap();
            if let Some(last) = bytes.last_mut() {
                *last ^= 1;
                // A new file in its place: also where the store made its files read-only.
                fs::remove_file(&path).unwrap();
                fs::write(&path, bytes).unwrap();
                count += 1;
            }
        }
    }
    count
}

pub(crate) async fn reports_what_does_not_exist(kind: Kind) {
    let registry = serve_both().await;
    let client = Client::new(kind, &registry, &HELLO.replace("team/hello", "team/other"));
    client.run(&["init"]).expect_failure("not found");
    let client = Client::new(kind, &registry, &HELLO.replace("\"1.0.0\"", "\"9.9.9\""));
    client.run(&["init"]).expect_failure("no available version");
    let client = Client::new(
        kind,
        &registry,
        &BOTH.replace("team/example", "team/missing"),
    );
    client.run(&["init"]).expect_failure("team/missing");
}

pub(crate) async fn installs_a_tar_module_and_a_subfolder(kind: Kind) {
    let setup = Setup::tls();
    Module::new("packed")
        .config("fileFormat: tar.gz")
        .write(&setup.manifests());
    Module::new("tree")
        .file(
            "modules/inner/main.tf",
            "output \"inner\" {\n  value = \"inside\"\n}\n",
        )
        .write(&setup.manifests());
    let registry = setup.start().await;
    registry.wait_module("packed", &["1.0.0"]).await;
    registry.wait_module("tree", &["1.0.0"]).await;
    let main = r#"
module "packed" {
  source  = "HOST/team/packed/local"
  version = "1.0.0"
  name    = "Ada"
}

module "inner" {
  source  = "HOST/team/tree/local//modules/inner"
  version = "1.0.0"
}

output "both" {
  value = "${module.packed.message} ${module.inner.inner}"
}
"#;
    let client = Client::new(kind, &registry, main);
    client.run(&["init"]).expect_success();
    client.run(&["apply", "-auto-approve"]).expect_success();
    assert_eq!(client.output("both"), "Hello, Ada, from 1.0.0 inside");
}

pub(crate) async fn accepts_an_rsa_signature(kind: Kind) {
    let setup = Setup::tls();
    write_example_provider(&setup.manifests());
    let key = setup.dir().join("rsa.asc");
    fs::write(&key, include_str!("rsa4096.asc")).unwrap();
    let config = format!("signing:\n  privateKeyFile: {}\n", key.display());
    let registry = setup.config(&config).start().await;
    registry.wait_provider("example", &["1.1.0", "1.0.0"]).await;
    let provider = BOTH.split("module \"hello\"").next().unwrap();
    let client = Client::new(kind, &registry, provider);
    let outcome = client.run(&["init"]);
    let text = &outcome.expect_success().text;
    assert!(text.contains("key ID"), "{text}");
}

pub(crate) async fn shows_a_deprecation(kind: Kind) {
    let setup = Setup::tls();
    Release::new("note")
        .platforms(&[("linux", "amd64"), ("linux", "arm64")])
        .version_line("deprecated: \"use note 2 instead\"")
        .write(&setup.manifests());
    let registry = setup.start().await;
    registry.wait_provider("note", &["1.0.0"]).await;
    let main = r#"
terraform {
  required_providers {
    note = {
      source = "HOST/team/note"
    }
  }
}
"#;
    let client = Client::new(kind, &registry, main);
    let outcome = client.run(&["init"]);
    let text = &outcome.expect_success().text;
    assert!(text.contains("use note 2 instead"), "{text}");
}
