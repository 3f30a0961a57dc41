//! What the operator writes (plugins.md 2). Raw: parsed into grants and checked while loading.

use crate::compile::CompileConfig;
use crate::limits::Limits;
use opendepot_domain::{PluginId, Sha256};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::PathBuf;

/// One entry of the key `plugins`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PluginEntry {
    /// The plugin's name in this host; for storage what `storageConfig.plugin.name` refers to.
    pub name: PluginId,
    /// Where the component comes from.
    pub source: Source,
    /// SHA-256 of the component; mandatory for folders and OCI artifacts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<Sha256>,
    /// Place in the chain of auth and scan plugins; ties by name.
    #[serde(default = "default_order")]
    pub order: i64,
    /// Over the author's defaults; an object.
    #[serde(default)]
    pub settings: serde_json::Value,
    /// What the plugin may do.
    #[serde(default)]
    pub grants: GrantsConfig,
}

const fn default_order() -> i64 {
    100
}

/// Where a component comes from: exactly one key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Source {
    /// A folder with `plugin.yaml` and the component.
    Folder(PathBuf),
    /// A plugin that ships with the executable.
    Builtin(PluginId),
    /// An OCI artifact: `registry/repository@sha256:…`.
    Oci(String),
}

/// What the operator grants. An empty list means none.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case", deny_unknown_fields)]
pub struct GrantsConfig {
    /// Stores that a placement may name.
    pub stores: Vec<StoreGrantConfig>,
    /// `host:port` for requests; plain HTTP only as `http://host:port`.
    pub hosts: Vec<String>,
    /// Credentials that a placement may name.
    pub credentials: BTreeMap<String, CredentialConfig>,
    /// Secrets that the plugin may use, each with the hosts that it may be sent to.
    pub secrets: BTreeMap<String, SecretGrantConfig>,
    /// Whether `prepare` may create containers and buckets.
    pub create_containers: bool,
    /// Whether judgements may change a severity or suppress a finding.
    pub judge_findings: bool,
    /// Claims that the plugin sees.
    pub claims: Vec<String>,
}

/// A store pattern and how the host reaches what it matches.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct StoreGrantConfig {
    /// A store, or a prefix of one that ends in `*`.
    #[serde(rename = "match")]
    pub pattern: String,
    /// Another endpoint than the cloud's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<String>,
    /// The region.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    /// Further client options; the operator's word, so not checked here.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub options: BTreeMap<String, String>,
    /// The credential used when the placement names none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credentials: Option<String>,
}

/// A credential: its kind, and for static kinds the file under `secretsDir`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CredentialConfig {
    /// How it is obtained.
    pub kind: CredentialKind,
    /// File name under `secretsDir`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret: Option<String>,
}

/// How a credential is obtained.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CredentialKind {
    /// Access key and secret key from a file.
    AwsStatic,
    /// A projected service account token.
    AwsWebIdentity,
    /// The instance metadata service.
    AwsMetadata,
    /// An account key from a file.
    AzureKey,
    /// A projected service account token.
    AzureWorkload,
    /// A service account key from a file.
    GcpKey,
    /// The metadata server.
    GcpMetadata,
}

/// Where a secret may be sent.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
pub struct SecretGrantConfig {
    /// `host:port`; empty for a secret that only keys MACs.
    pub hosts: Vec<String>,
}

/// The key `pluginPolicy`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
pub struct PluginPolicy {
    /// The one folder that secrets are files of.
    pub secrets_dir: Option<PathBuf>,
    /// Whether folders that no entry lists are loaded, without any grant.
    pub allow_unlisted: bool,
    /// PEM public keys. When there are any, a component from a folder or a registry needs a
    /// detached signature by one of them beside it.
    pub public_keys: Vec<PathBuf>,
    /// Components that are never loaded, and are unloaded when they are.
    pub denied_digests: Vec<Sha256>,
    /// A docker configuration file with credentials of OCI registries.
    pub docker_config: Option<PathBuf>,
}

/// Everything that a host is built from.
#[derive(Clone, Debug)]
pub struct HostConfig {
    /// The operator's entries.
    pub entries: Vec<PluginEntry>,
    /// The folder of built-in plugins, `{name}/{plugin.yaml,plugin.wasm}`.
    pub builtin_dir: PathBuf,
    /// Folders whose subfolders are plugins.
    pub plugin_dirs: Vec<PathBuf>,
    /// Secrets and unlisted folders.
    pub policy: PluginPolicy,
    /// Limits.
    pub limits: Limits,
    /// What the store `file:///` stands for; handed to storage-fs as its `root`.
    pub filesystem_root: PathBuf,
    /// How components are compiled.
    pub compile: CompileConfig,
}
