//! Stores of the clouds, and servers that speak as they do, behind the registry: what a user writes
//! in `storageConfig` works with real clients, proxied and by link.

mod gcs;
#[path = "../../../../host/transfer/tests/cloud/gcs_server/mod.rs"]
#[expect(dead_code, reason = "its other users need more of it")]
pub(crate) mod gcs_server;
mod s3;
mod servers;

use crate::{download, metric, module_path};
use opendepot_tests::fixture::write_example_provider;
use opendepot_tests::server::PROVIDERS;
use opendepot_tests::{Client, Kind, Module, Registry, Setup};
use std::fs;
use std::path::Path;

/// A store and what its operator says.
pub(crate) struct Cloud {
    /// The plugin.
    pub(crate) plugin: &'static str,
    /// Its settings, in one line of YAML.
    pub(crate) settings: &'static str,
    /// The stores that are granted.
    pub(crate) stores: &'static str,
    /// Where the server is.
    pub(crate) endpoint: String,
    /// The credential's kind.
    pub(crate) kind: &'static str,
    /// What its file holds.
    pub(crate) secret: String,
    /// The block of a resource, in one line of YAML.
    pub(crate) block: &'static str,
}

impl Cloud {
    /// The operator's configuration; the store is also that of resources that name none.
    pub(crate) fn operate(&self, setup: Setup, presign: &str) -> Setup {
        let dir = setup.dir().to_owned();
        fs::create_dir(dir.join("secrets")).unwrap();
        write_key(&dir, &self.secret);
        let Self {
            plugin,
            settings,
            stores,
            endpoint,
            kind,
            block,
            ..
        } = self;
        setup.config(&format!(
            r#"plugins:
  - name: {plugin}
    source: {{ builtin: {plugin} }}
    settings: {settings}
    grants:
      stores: [{{ match: "{stores}", endpoint: "{endpoint}", credentials: bucket }}]
      credentials: {{ bucket: {{ kind: {kind}, secret: bucket-key }} }}
      create-containers: true
pluginPolicy: {{ secretsDir: "{}" }}
egress: {{ storage: {{ allowPrivate: ["127.0.0.0/8"], allowHttp: ["127.0.0.1"] }} }}
storage: {{ default: {{ {block}{presign} }} }}
"#,
            dir.join("secrets").display()
        ))
    }

    /// A module that names the store itself, and a provider that leaves it to the operator.
    pub(crate) async fn published(&self, presign: &str) -> Registry {
        let setup = self.operate(Setup::tls(), presign);
        let manifests = setup.manifests();
        Module::new("hello")
            .config(&format!("storageConfig: {{ {}{presign} }}", self.block))
            .write(&manifests);
        write_example_provider(&manifests);
        let registry = setup.start().await;
        registry.wait_module("hello", &["1.0.0"]).await;
        registry.wait_provider("example", &["1.1.0", "1.0.0"]).await;
        registry
    }
}

/// As Kubernetes does: the new file appears whole.
pub(crate) fn write_key(setup: &Path, secret: &str) {
    let beside = setup.join("bucket-key.new");
    fs::write(&beside, format!("{secret}\n")).unwrap();
    fs::rename(beside, setup.join("secrets/bucket-key")).unwrap();
}

/// Links for a minute.
pub(crate) const PRESIGN: &str = ", presign: { enabled: true, ttl: 60s, fallbackToProxy: false }";

const MAIN: &str = r#"
terraform {
  required_providers {
    example = { source = "HOST/team/example" }
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

output "note" {
  value = example_note.this.text
}
"#;

/// Module and provider through this client, to an applied configuration.
pub(crate) fn installs(registry: &Registry, kind: Kind) {
    let client = Client::new(kind, registry, MAIN);
    client.run(&["init"]).expect_success();
    client.run(&["apply", "-auto-approve"]).expect_success();
    assert_eq!(client.output("note"), "Hello, Ada, from 1.0.0");
}

/// Published, installed with this client, through this process and by link.
pub(crate) async fn journey(cloud: &Cloud, kind: Kind) {
    let registry = cloud.published("").await;
    installs(&registry, kind);
    let path = module_path(&registry, "hello").await;
    assert!(!download(&registry, &path).await.is_empty());
    assert!(bytes_by(&registry, "proxy").await > 0.0);
    assert!(bytes_by(&registry, "presign").await < 1.0);
    drop(registry);

    let registry = cloud.published(PRESIGN).await;
    installs(&registry, kind);
    assert!(bytes_by(&registry, "presign").await > 0.0);
    assert!(bytes_by(&registry, "proxy").await < 1.0);
    for path in [
        module_path(&registry, "hello").await,
        package_path(&registry).await,
    ] {
        let link = link(&registry, &path).await;
        assert!(link.starts_with(&cloud.endpoint), "{link}");
    }
}

async fn bytes_by(registry: &Registry, mode: &str) -> f64 {
    metric(registry, &["opendepot_download_bytes_total", mode]).await
}

/// Where a package's bytes are: a capability.
pub(crate) async fn package_path(registry: &Registry) -> String {
    let document = format!("{PROVIDERS}/team/example/1.1.0/download/linux/amd64");
    let document = registry.json(&document).await;
    let url = document["download_url"].as_str().unwrap();
    url.strip_prefix(&registry.base()).unwrap_or(url).to_owned()
}

/// The link that a download is answered with.
pub(crate) async fn link(registry: &Registry, path: &str) -> String {
    let answer = registry.get(path).send().await.unwrap();
    assert_eq!(answer.status(), 307, "{path}");
    assert_eq!(answer.headers()["cache-control"], "no-store");
    answer.headers()["location"].to_str().unwrap().to_owned()
}
