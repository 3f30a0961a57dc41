//! `Provider`: the versions and platforms of one provider.

use crate::config::ProviderConfig;
use crate::error::Error;
use crate::limits;
use crate::pattern;
use crate::scan::ProviderSourceScan;
use crate::schema;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{CustomResource, KubeSchema};
use opendepot_domain::Version;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Which versions of a provider are published, for which platforms.
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[kube(
    group = "opendepot.defdev.io",
    version = "v1alpha1",
    kind = "Provider",
    plural = "providers",
    singular = "provider",
    shortname = "prov",
    category = "opendepot",
    namespaced,
    derive = "Default",
    derive = "PartialEq",
    status = "ProviderStatus",
    doc = "A Provider publishes versions of one provider under its own name.",
    validation = Rule::new("self.metadata.name.size() <= 63 && self.metadata.name.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?$')")
        .message("a Provider's name is its type in registry addresses: lower-case letters, digits and inner hyphens, at most 63"),
    printcolumn(name = "Latest", type_ = "string", json_path = ".status.latestVersion"),
    printcolumn(name = "Ready", type_ = "string", json_path = r#".status.conditions[?(@.type=="Ready")].status"#),
    printcolumn(name = "Reason", type_ = "string", json_path = r#".status.conditions[?(@.type=="Ready")].reason"#),
    printcolumn(name = "Source", type_ = "string", json_path = ".status.resolvedSourceRepository", priority = 1),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
pub struct ProviderSpec {
    /// Looks at the source once more; acts once a generation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub force_sync: Option<bool>,
    /// How the provider is fetched and stored.
    pub provider_config: ProviderConfig,
    /// The versions to publish; taking one out deletes it.
    #[schemars(length(max = limits::VERSIONS))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["version".into()]))]
    #[x_kube(validation = Rule::new(crate::module::UNIQUE_VERSIONS).message(crate::module::UNIQUE_VERSIONS_MESSAGE))]
    pub versions: Vec<ProviderSpecVersion>,
}

/// One version of a provider.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct ProviderSpecVersion {
    /// SemVer, with or without `v`.
    #[schemars(length(min = 1, max = limits::VERSION_CHARS), regex(pattern = pattern::VERSION))]
    pub version: String,
    /// Why clients should move on; shown to them as a warning.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 512))]
    pub deprecated: Option<String>,
    /// Kept from the original; without meaning.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 32))]
    pub architecture: Option<String>,
    /// Kept from the original; without meaning.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub name: Option<String>,
    /// Kept from the original; without meaning.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 32))]
    pub operating_system: Option<String>,
    /// Kept from the original; without meaning.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub synced: Option<bool>,
}

impl ProviderSpecVersion {
    /// An entry with nothing but the version.
    #[must_use]
    pub fn new(version: impl Into<String>) -> Self {
        Self {
            version: version.into(),
            ..Self::default()
        }
    }

    /// The version as a value.
    ///
    /// # Errors
    /// [`Error::Value`] when the text is not SemVer: the original stored any text.
    pub fn parsed(&self) -> Result<Version, Error> {
        Ok(Version::parse(&self.version)?)
    }
}

/// What is known about a provider.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct ProviderStatus {
    /// The highest version, with a leading `v`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = limits::VERSION_CHARS))]
    pub latest_version: Option<String>,
    /// Kept from the original; never written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub file_name: Option<String>,
    /// Whether every version and platform has its Version.
    #[serde(default)]
    pub synced: bool,
    /// The same in words.
    #[serde(default)]
    #[schemars(length(max = 4096))]
    pub sync_status: String,
    /// The Versions, by `{version}-{os}-{arch}`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = limits::PROVIDER_VERSION_REFS))]
    pub provider_version_refs: BTreeMap<String, ProviderVersionRef>,
    /// The source repository that was found, for the source scan.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 512))]
    pub resolved_source_repository: Option<String>,
    /// The ids of the releases of each version, newest first; each Version carries them in full.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "release_ids")]
    pub releases: BTreeMap<String, Vec<String>>,
    /// Upstream signing keys that were seen first and are trusted since.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "pinned_keys")]
    pub pinned_signing_keys: Vec<String>,
    /// The newest source scan, as the seed version of the original keeps it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source_scan: Option<ProviderSourceScan>,
    /// The generation that this status is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = limits::GENERATION))]
    pub observed_generation: Option<i64>,
    /// The latest observations.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "schema::conditions")]
    pub conditions: Vec<Condition>,
    /// The last `forceSync` generation or `requested-at` value that was acted on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 256))]
    pub last_handled_sync: Option<String>,
}

fn release_ids(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    schemars::json_schema!({
        "type": "object",
        "description": "The ids of the releases of each version, newest first; each Version carries them in full.",
        "maxProperties": limits::VERSIONS,
        "additionalProperties": {
            "type": "array",
            "maxItems": limits::RELEASES,
            "x-kubernetes-list-type": "atomic",
            "items": { "type": "string", "maxLength": 64, "pattern": pattern::SHA256_HEX },
        },
    })
}

fn pinned_keys(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    schema::text_set(
        "Upstream signing keys that were seen first and are trusted since.",
        32,
        schema::text(64, pattern::KEY_ID),
    )
}

/// The Version of one platform.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct ProviderVersionRef {
    /// The architecture.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 32))]
    pub architecture: Option<String>,
    /// The Version's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub name: Option<String>,
    /// The operating system.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 32))]
    pub operating_system: Option<String>,
    /// Kept from the original; never written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub synced: Option<bool>,
    /// The version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = limits::VERSION_CHARS))]
    pub version: Option<String>,
}
