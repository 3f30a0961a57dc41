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
pub(crate) struct FileConfig {
    /// `opendepot.defdev.io/v1alpha1`, when given.
    pub(crate) api_version: Option<String>,
    /// `Configuration`, when given.
    pub(crate) kind: Option<String>,
    pub(crate) listen: Option<String>,
    pub(crate) admin_listen: Option<String>,
    pub(crate) public_url: Option<String>,
    pub(crate) data_dir: Option<PathBuf>,
    pub(crate) manifests: Option<PathBuf>,
    pub(crate) manifests_prune: Option<bool>,
    pub(crate) watch_namespace: Option<String>,
    pub(crate) controllers: Option<String>,
    pub(crate) serve_registry: Option<bool>,
    pub(crate) plugin_dirs: Option<Vec<PathBuf>>,
    pub(crate) filesystem_mount_path: Option<PathBuf>,
    pub(crate) tls_cert_path: Option<PathBuf>,
    pub(crate) tls_cert_key: Option<PathBuf>,
    pub(crate) dev_tls: Option<bool>,
    pub(crate) anonymous_auth: Option<bool>,
    pub(crate) log_level: Option<String>,
    pub(crate) log_format: Option<String>,
    pub(crate) auth: Auth,
    pub(crate) sources: Sources,
    pub(crate) storage: Storage,
    pub(crate) modules: Modules,
    pub(crate) artifacts: Artifacts,
    pub(crate) signing: Signing,
    pub(crate) scanning: Scanning,
    pub(crate) plugins: Vec<PluginEntry>,
    pub(crate) plugin_policy: Option<PluginPolicy>,
    pub(crate) egress: Egress,
    pub(crate) limits: Limits,
    pub(crate) shutdown: Shutdown,
}

/// Who callers are.
#[derive(Debug, Default, Clone, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Auth {
    /// The token file; naming it chooses the token-file mode.
    pub(crate) tokens_file: Option<PathBuf>,
}

/// Where artifacts come from.
#[derive(Debug, Default, Clone, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Sources {
    pub(crate) github: Github,
    pub(crate) provider_registry: ProviderRegistry,
    /// Roots of absolute `source.path` folders.
    pub(crate) allowed_paths: Vec<PathBuf>,
}

/// GitHub and what speaks its API.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Github {
    pub(crate) api_url: String,
    /// A file that holds a token; without it requests are anonymous.
    pub(crate) token_file: Option<PathBuf>,
}

impl Default for Github {
    fn default() -> Self {
        Self {
            api_url: "https://api.github.com".to_owned(),
            token_file: None,
        }
    }
}

/// The upstream provider registry.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct ProviderRegistry {
    pub(crate) url: String,
    pub(crate) docs_api_url: String,
    /// Whether an upstream release must be signed.
    pub(crate) require_signature: bool,
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
pub(crate) struct Storage {
    pub(crate) default: Option<StorageConfig>,
}

/// How modules are answered.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Modules {
    pub(crate) direct_download: bool,
    pub(crate) direct_download_max_bytes: u64,
}

impl Default for Modules {
    fn default() -> Self {
        Self {
            direct_download: true,
            direct_download_max_bytes: 8 * 1024 * 1024,
        }
    }
}

/// Capabilities and seals.
#[derive(Debug, Default, Clone, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Artifacts {
    /// The keys: the first mints and seals, all verify. Made in the data dir when not named.
    pub(crate) key_file: Option<PathBuf>,
    /// Serve the original's bare links without a credential.
    pub(crate) allow_unsigned: bool,
}

/// The OpenPGP key of releases.
#[derive(Debug, Default, Clone, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Signing {
    pub(crate) private_key_file: Option<PathBuf>,
    pub(crate) passphrase_file: Option<PathBuf>,
    /// Public keys of earlier releases: stay advertised.
    pub(crate) retired_public_key_files: Vec<PathBuf>,
    pub(crate) source_url: Option<String>,
}

/// Scanning is not built yet; the key that scripts set is refused by name.
#[derive(Debug, Default, Clone, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Scanning {
    pub(crate) trivy_path: Option<PathBuf>,
}

/// What may be reached, by purpose.
#[derive(Debug, Default, Clone, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Egress {
    pub(crate) sources: EgressConfig,
    pub(crate) storage: EgressConfig,
    pub(crate) plugins: EgressConfig,
    pub(crate) identity: EgressConfig,
}

/// Limits, by area (reliability.md section 2).
#[derive(Debug, Default, Clone, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Limits {
    pub(crate) http: HttpLimits,
    pub(crate) jobs: Jobs,
    pub(crate) plugins: Plugins,
    pub(crate) upstream: Upstream,
    pub(crate) archives: Archives,
}

/// Heavy work at a time.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Jobs {
    pub(crate) num_fetches: usize,
    pub(crate) num_stores: usize,
}

impl Default for Jobs {
    fn default() -> Self {
        Self {
            num_fetches: 4,
            num_stores: 4,
        }
    }
}

/// What guests may use.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Plugins {
    pub(crate) component_bytes: u64,
    pub(crate) memory_bytes: usize,
    pub(crate) num_instances: u32,
    pub(crate) auth_deadline_milliseconds: u64,
    pub(crate) scan_deadline_milliseconds: u64,
    pub(crate) storage_deadline_milliseconds: u64,
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
pub(crate) struct Upstream {
    pub(crate) connect_seconds: u64,
    pub(crate) metadata_seconds: u64,
    pub(crate) idle_seconds: u64,
    pub(crate) total_seconds: u64,
}

impl Default for Upstream {
    fn default() -> Self {
        Self {
            connect_seconds: 5,
            metadata_seconds: 30,
            idle_seconds: 30,
            total_seconds: 1_800,
        }
    }
}

/// How large archives may be.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Archives {
    pub(crate) module_packed_bytes: u64,
    pub(crate) module_unpacked_bytes: u64,
    pub(crate) provider_packed_bytes: u64,
    pub(crate) provider_unpacked_bytes: u64,
    pub(crate) num_entries: usize,
    pub(crate) inspect_seconds: u64,
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
pub(crate) struct Shutdown {
    /// Between readiness turning false and the listener closing. Default 0: nothing routes to a
    /// registry on loopback.
    pub(crate) drain_delay_seconds: Option<u64>,
    /// For requests in flight; default 60.
    pub(crate) grace_seconds: Option<u64>,
    /// For downloads in flight; default 600.
    pub(crate) download_grace_seconds: Option<u64>,
}
