//! The YAML configuration file: raw, with unknown keys refused.

use opendepot_api::Limits as HttpLimits;
use opendepot_crds::StorageConfig;
use opendepot_plugin::{PluginEntry, PluginPolicy};
use opendepot_transfer::EgressConfig;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// The whole file.
#[derive(Debug, Default, Clone, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
pub struct FileConfig {
    /// `opendepot.defdev.io/v1alpha1`, when given.
    pub api_version: Option<String>,
    /// `Configuration`, when given.
    pub kind: Option<String>,
    pub listen: Option<String>,
    pub admin_listen: Option<String>,
    pub public_url: Option<String>,
    pub data_dir: Option<PathBuf>,
    pub manifests: Option<PathBuf>,
    pub manifests_prune: Option<bool>,
    pub watch_namespace: Option<String>,
    pub controllers: Option<String>,
    pub serve_registry: Option<bool>,
    pub plugin_dirs: Option<Vec<PathBuf>>,
    pub filesystem_mount_path: Option<PathBuf>,
    pub tls_cert_path: Option<PathBuf>,
    pub tls_cert_key: Option<PathBuf>,
    pub dev_tls: Option<bool>,
    pub anonymous_auth: Option<bool>,
    pub log_level: Option<String>,
    pub log_format: Option<String>,
    pub auth: Auth,
    pub sources: Sources,
    pub storage: Storage,
    pub modules: Modules,
    pub artifacts: Artifacts,
    pub signing: Signing,
    pub scanning: Scanning,
    pub plugins: Vec<PluginEntry>,
    pub plugin_policy: Option<PluginPolicy>,
    pub egress: Egress,
    pub limits: Limits,
    pub shutdown: Shutdown,
}

/// Who callers are.
#[derive(Debug, Default, Clone, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
pub struct Auth {
    /// The token file; naming it chooses the token-file mode.
    pub tokens_file: Option<PathBuf>,
}

/// Where artifacts come from.
#[derive(Debug, Default, Clone, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
pub struct Sources {
    pub github: Github,
    pub provider_registry: ProviderRegistry,
    /// Roots of absolute `source.path` folders.
    pub allowed_paths: Vec<PathBuf>,
}

/// GitHub and what speaks its API.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
pub struct Github {
    pub api_url: String,
    /// A file that holds a token; without it requests are anonymous.
    pub token_file: Option<PathBuf>,
}

impl Default for Github {
    fn default() -> Self {
        Self { api_url: "https://api.github.com".to_owned(), token_file: None }
    }
}

/// The upstream provider registry.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
pub struct ProviderRegistry {
    pub url: String,
    pub docs_api_url: String,
    /// Whether an upstream release must be signed.
    pub require_signature: bool,
}

impl Default for ProviderRegistry {
    fn default() -> Self {
        Self {
            url: "https://registry.opentofu.org".to_owned(),
            docs_api_url: "https://api.opentofu.org".to_owned(),
            require_signature: true,
        }
    }
}

/// The backend of resources that name none.
#[derive(Debug, Default, Clone, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
pub struct Storage {
    pub default: Option<StorageConfig>,
}

/// How modules are answered.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
pub struct Modules {
    pub direct_download: bool,
    pub direct_download_max_bytes: u64,
}

impl Default for Modules {
    fn default() -> Self {
        Self { direct_download: true, direct_download_max_bytes: 8 * 1024 * 1024 }
    }
}

/// Capabilities and seals.
#[derive(Debug, Default, Clone, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
pub struct Artifacts {
    /// The keys: the first mints and seals, all verify. Made in the data dir when not named.
    pub key_file: Option<PathBuf>,
    /// Serve the original's bare links without a credential.
    pub allow_unsigned: bool,
}

/// The OpenPGP key of releases.
#[derive(Debug, Default, Clone, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
pub struct Signing {
    pub private_key_file: Option<PathBuf>,
    pub passphrase_file: Option<PathBuf>,
    /// Public keys of earlier releases: stay advertised.
    pub retired_public_key_files: Vec<PathBuf>,
    pub source_url: Option<String>,
}

/// Scanning is not built yet; the key that scripts set is refused by name.
#[derive(Debug, Default, Clone, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
pub struct Scanning {
    pub trivy_path: Option<PathBuf>,
}

/// What may be reached, by purpose.
#[derive(Debug, Default, Clone, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
pub struct Egress {
    pub sources: EgressConfig,
    pub storage: EgressConfig,
    pub plugins: EgressConfig,
    pub identity: EgressConfig,
}

/// Limits, by area (reliability.md section 2).
#[derive(Debug, Default, Clone, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
pub struct Limits {
    pub http: HttpLimits,
    pub jobs: Jobs,
    pub plugins: Plugins,
    pub upstream: Upstream,
    pub archives: Archives,
}

/// Heavy work at a time.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
pub struct Jobs {
    pub num_fetches: usize,
    pub num_stores: usize,
}

impl Default for Jobs {
    fn default() -> Self {
        Self { num_fetches: 4, num_stores: 4 }
    }
}

/// What guests may use.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
pub struct Plugins {
    pub component_bytes: u64,
    pub memory_bytes: usize,
    pub num_instances: u32,
    pub auth_deadline_milliseconds: u64,
    pub scan_deadline_milliseconds: u64,
    pub storage_deadline_milliseconds: u64,
}

impl Default for Plugins {
    fn default() -> Self {
        Self {
            component_bytes: 32 << 20,
            memory_bytes: 64 << 20,
            num_instances: 32,
            auth_deadline_milliseconds: 50,
            scan_deadline_milliseconds: 2_000,
            storage_deadline_milliseconds: 30_000,
        }
    }
}

/// What upstream may cost.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
pub struct Upstream {
    pub connect_seconds: u64,
    pub metadata_seconds: u64,
    pub metadata_bytes: u64,
    pub idle_seconds: u64,
    pub total_seconds: u64,
}

impl Default for Upstream {
    fn default() -> Self {
        Self { connect_seconds: 5, metadata_seconds: 30, metadata_bytes: 8 << 20, idle_seconds: 30, total_seconds: 1_800 }
    }
}

/// How large archives may be.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
pub struct Archives {
    pub module_packed_bytes: u64,
    pub module_unpacked_bytes: u64,
    pub provider_packed_bytes: u64,
    pub provider_unpacked_bytes: u64,
    pub num_entries: usize,
    pub inspect_seconds: u64,
}

impl Default for Archives {
    fn default() -> Self {
        Self {
            module_packed_bytes: 256 << 20,
            module_unpacked_bytes: 1 << 30,
            provider_packed_bytes: 2 << 30,
            provider_unpacked_bytes: 6 << 30,
            num_entries: 50_000,
            inspect_seconds: 60,
        }
    }
}

/// How the process ends.
#[derive(Debug, Default, Clone, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
pub struct Shutdown {
    /// Between readiness turning false and the listener closing. Default 0: nothing routes to a
    /// registry on loopback.
    pub drain_delay_seconds: Option<u64>,
    /// For requests in flight; default 60.
    pub grace_seconds: Option<u64>,
    /// For downloads in flight; default 600.
    pub download_grace_seconds: Option<u64>,
}
