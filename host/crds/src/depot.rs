//! `Depot`: which modules and providers to take over from a source.

use crate::config::{GithubClientConfig, ModuleConfig, ProviderConfig};
use crate::limits;
use crate::schema;
use crate::storage::StorageConfig;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{CustomResource, KubeSchema};
use serde::{Deserialize, Serialize};

/// What a Depot takes over.
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[kube(
    group = "opendepot.defdev.io",
    version = "v1alpha1",
    kind = "Depot",
    plural = "depots",
    singular = "depot",
    shortname = "dpt",
    category = "opendepot",
    namespaced,
    derive = "Default",
    derive = "PartialEq",
    status = "DepotStatus",
    doc = "A Depot keeps Modules and Providers for everything that its constraints match upstream.",
    printcolumn(
        name = "Ready",
        type_ = "string",
        json_path = r#".status.conditions[?(@.type=="Ready")].status"#
    ),
    printcolumn(
        name = "Reason",
        type_ = "string",
        json_path = r#".status.conditions[?(@.type=="Ready")].reason"#
    ),
    printcolumn(
        name = "Interval",
        type_ = "integer",
        json_path = ".spec.pollingIntervalMinutes",
        description = "Minutes between two looks upstream",
        priority = 1
    ),
    printcolumn(
        name = "Age",
        type_ = "date",
        json_path = ".metadata.creationTimestamp"
    )
)]
pub struct DepotSpec {
    /// Values for entries that leave them out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub global: Option<GlobalConfig>,
    /// The modules to take over.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = limits::DEPOT_CONFIGS))]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub module_configs: Vec<ModuleConfig>,
    /// The providers to take over.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = limits::DEPOT_CONFIGS))]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub provider_configs: Vec<ProviderConfig>,
    /// Minutes between two looks upstream; absent or 0: only when the Depot changes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 10_080))]
    pub polling_interval_minutes: Option<i64>,
}

/// Values for entries that leave them out.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct GlobalConfig {
    /// How GitHub is asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub github_client_config: Option<GithubClientConfig>,
    /// For modules: file format and immutability.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub module_config: Option<ModuleConfig>,
    /// Where artifacts are stored.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub storage_config: Option<StorageConfig>,
}

/// What a Depot has done.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct DepotStatus {
    /// The names of the Modules that it keeps.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "managed")]
    pub modules: Vec<String>,
    /// The names of the Providers that it keeps.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "managed")]
    pub providers: Vec<String>,
    /// The generation that this status is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = limits::GENERATION))]
    pub observed_generation: Option<i64>,
    /// The latest observations.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "schema::conditions")]
    pub conditions: Vec<Condition>,
    /// The last value of the `requested-at` annotation that was acted on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 256))]
    pub last_handled_sync: Option<String>,
}

fn managed(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    schemars::json_schema!({
        "type": "array",
        "description": "Names of resources in the Depot's namespace.",
        "maxItems": limits::DEPOT_CONFIGS,
        "x-kubernetes-list-type": "atomic",
        "items": { "type": "string", "maxLength": 253 },
    })
}

impl DepotSpec {
    /// A module entry with the global values filled in: storage, GitHub client, file format and
    /// immutability, as the original does.
    #[must_use]
    pub fn effective_module(&self, entry: &ModuleConfig) -> ModuleConfig {
        let mut config = entry.clone();
        let Some(global) = &self.global else {
            return config;
        };
        config.storage_config = config
            .storage_config
            .or_else(|| global.storage_config.clone());
        config.github_client_config = config
            .github_client_config
            .or_else(|| global.github_client_config.clone());
        if let Some(defaults) = &global.module_config {
            config.file_format = config.file_format.or_else(|| defaults.file_format.clone());
            config.immutable = config.immutable.or(defaults.immutable);
        }
        config
    }

    /// A provider entry with the global storage filled in.
    #[must_use]
    pub fn effective_provider(&self, entry: &ProviderConfig) -> ProviderConfig {
        let mut config = entry.clone();
        if let Some(global) = &self.global {
            config.storage_config = config
                .storage_config
                .or_else(|| global.storage_config.clone());
        }
        config
    }

    /// Seconds between two looks upstream; `None` means never by itself.
    #[must_use]
    pub fn polling_interval_seconds(&self) -> Option<u64> {
        u64::try_from(self.polling_interval_minutes?)
            .ok()
            .filter(|minutes| *minutes > 0)
            .map(|minutes| minutes.min(10_080) * 60)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn global_values_fill_gaps_only() {
        let spec: DepotSpec = serde_json::from_value(json!({
            "global": {
                "githubClientConfig": {"useAuthenticatedClient": true},
                "moduleConfig": {"fileFormat": "tar", "immutable": true, "provider": "ignored"},
                "storageConfig": {"gcs": {"bucket": "b-1"}},
            },
            "moduleConfigs": [{"name": "a"}, {"name": "b", "fileFormat": "zip", "immutable": false}],
            "providerConfigs": [{"name": "null"}],
            "pollingIntervalMinutes": 60,
        }))
        .unwrap();
        let first = spec.effective_module(&spec.module_configs[0]);
        assert_eq!(first.file_format.as_deref(), Some("tar"));
        assert!(first.is_immutable() && first.uses_github_app());
        assert_eq!(first.provider, None);
        let second = spec.effective_module(&spec.module_configs[1]);
        assert_eq!(second.file_format.as_deref(), Some("zip"));
        assert!(!second.is_immutable());
        let provider = spec.effective_provider(&spec.provider_configs[0]);
        assert!(provider.storage_config.is_some() && !provider.uses_github_app());
        assert_eq!(spec.polling_interval_seconds(), Some(3_600));
    }
}
