//! `Module`: the versions of one module.

use crate::config::ModuleConfig;
use crate::error::Error;
use crate::limits;
use crate::pattern;
use crate::schema;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{CustomResource, KubeSchema};
use opendepot_domain::Version;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Which versions of a module are published.
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[kube(
    group = "opendepot.defdev.io",
    version = "v1alpha1",
    kind = "Module",
    plural = "modules",
    singular = "module",
    shortname = "mod",
    category = "opendepot",
    namespaced,
    derive = "Default",
    derive = "PartialEq",
    status = "ModuleStatus",
    doc = "A Module publishes versions of one module under its own name.",
    validation = Rule::new("self.metadata.name.size() <= 63 && self.metadata.name.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?$')")
        .message("a Module's name is part of its registry address: lower-case letters, digits and inner hyphens, at most 63"),
    printcolumn(name = "Latest", type_ = "string", json_path = ".status.latestVersion"),
    printcolumn(name = "Ready", type_ = "string", json_path = r#".status.conditions[?(@.type=="Ready")].status"#),
    printcolumn(name = "Reason", type_ = "string", json_path = r#".status.conditions[?(@.type=="Ready")].reason"#),
    printcolumn(name = "Provider", type_ = "string", json_path = ".spec.moduleConfig.provider", priority = 1),
    printcolumn(name = "Source", type_ = "string", json_path = ".spec.moduleConfig.repoUrl", priority = 1),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
pub struct ModuleSpec {
    /// Looks at the source once more; acts once a generation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub force_sync: Option<bool>,
    /// How the module is fetched and stored.
    pub module_config: ModuleConfig,
    /// The versions to publish; taking one out deletes it.
    #[schemars(length(max = limits::VERSIONS))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["version".into()]))]
    #[x_kube(validation = Rule::new(crate::module::UNIQUE_VERSIONS).message(crate::module::UNIQUE_VERSIONS_MESSAGE))]
    pub versions: Vec<SpecVersion>,
}

/// Two entries are one release when they differ in a leading `v` or in build metadata only.
///
/// Equal texts are refused by the list's map key already, so a list without build metadata, and
/// with `v` everywhere or nowhere, needs one pass. Only a mixed list is compared pair by pair;
/// the outer list of one element binds the normalised versions to `l`, so that they are computed
/// once. Measured with the API server's own library: the estimate allows 1 000 entries; a mixed
/// list may have about 700 before the cost of one evaluation is used up and it is refused.
pub(crate) const UNIQUE_VERSIONS: &str = "(!self.exists(x, x.version.contains('+')) && (self.all(x, x.version.startsWith('v')) || !self.exists(x, x.version.startsWith('v')))) || [self.map(x, (x.version.startsWith('v') ? x.version.substring(1) : x.version).split('+')[0])].all(l, l.all(k, l.indexOf(k) == l.lastIndexOf(k)))";
pub(crate) const UNIQUE_VERSIONS_MESSAGE: &str =
    "versions that differ only in a leading `v` or in build metadata are one version: list it once";

/// One version of a module.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct SpecVersion {
    /// SemVer, with or without `v`.
    #[schemars(length(min = 1, max = limits::VERSION_CHARS), regex(pattern = pattern::VERSION))]
    pub version: String,
    /// Why clients should move on; shown to them as a warning.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 512))]
    pub deprecated: Option<String>,
    /// Kept from the original; without meaning.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub file_name: Option<String>,
    /// Kept from the original; without meaning.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub name: Option<String>,
    /// Kept from the original; without meaning.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub synced: Option<bool>,
}

impl SpecVersion {
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

/// What is known about a module.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct ModuleStatus {
    /// The highest version, with a leading `v`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = limits::VERSION_CHARS))]
    pub latest_version: Option<String>,
    /// Kept from the original; never written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub file_name: Option<String>,
    /// Whether every version has its Version.
    #[serde(default)]
    pub synced: bool,
    /// The same in words.
    #[serde(default)]
    #[schemars(length(max = 4096))]
    pub sync_status: String,
    /// The Version of each entry, by the entry's version as written.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = limits::VERSIONS))]
    pub module_version_refs: BTreeMap<String, ModuleVersionRef>,
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

/// The Version of one entry.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct ModuleVersionRef {
    /// The Version's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub name: Option<String>,
    /// The stored file's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub file_name: Option<String>,
    /// Kept from the original; never written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub synced: Option<bool>,
    /// Kept from the original; never written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = limits::VERSION_CHARS))]
    pub version: Option<String>,
}
