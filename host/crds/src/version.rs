//! `Version`: one version of a module, or of a provider for one platform.

use crate::config::{ModuleConfig, ProviderConfig};
use crate::error::Error;
use crate::limits;
use crate::pattern;
use crate::scan::Scan;
use crate::schema;
use crate::status::{Release, Seal, StatusArtifact, Verdict, VersionSource};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{CustomResource, KubeSchema};
use opendepot_domain::{ArtifactKind, Platform, Sha256};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Which artifact a Version stands for.
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[kube(
    group = "opendepot.defdev.io",
    version = "v1alpha1",
    kind = "Version",
    plural = "versions",
    singular = "version",
    shortname = "ver",
    category = "opendepot",
    namespaced,
    derive = "Default",
    derive = "PartialEq",
    status = "VersionStatus",
    selectable = ".spec.type",
    selectable = ".spec.version",
    doc = "A Version is one version of a module, or of a provider for one platform.",
    printcolumn(name = "Type", type_ = "string", json_path = ".spec.type"),
    printcolumn(name = "Version", type_ = "string", json_path = ".spec.version"),
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
        name = "Source",
        type_ = "string",
        json_path = ".status.source.url",
        priority = 1
    ),
    printcolumn(
        name = "Backend",
        type_ = "string",
        json_path = ".status.artifact.plugin",
        priority = 1
    ),
    printcolumn(
        name = "Digest",
        type_ = "string",
        json_path = ".status.sha256",
        priority = 1
    ),
    printcolumn(
        name = "Age",
        type_ = "date",
        json_path = ".metadata.creationTimestamp"
    )
)]
#[x_kube(validation = (
    "self.type == 'Module' ? has(self.moduleConfigRef) && !has(self.providerConfigRef) : has(self.providerConfigRef) && !has(self.moduleConfigRef)",
    "a Version of type Module has moduleConfigRef only, one of type Provider has providerConfigRef only"
))]
#[x_kube(validation = (
    "!has(oldSelf.moduleConfigRef) || !has(oldSelf.moduleConfigRef.name) || (has(self.moduleConfigRef) && has(self.moduleConfigRef.name) && self.moduleConfigRef.name == oldSelf.moduleConfigRef.name)",
    "moduleConfigRef.name is immutable once set"
))]
#[x_kube(validation = (
    "!has(oldSelf.providerConfigRef) || !has(oldSelf.providerConfigRef.name) || (has(self.providerConfigRef) && has(self.providerConfigRef.name) && self.providerConfigRef.name == oldSelf.providerConfigRef.name)",
    "providerConfigRef.name is immutable once set"
))]
#[x_kube(validation = (
    "(!has(oldSelf.operatingSystem) || (has(self.operatingSystem) && self.operatingSystem == oldSelf.operatingSystem)) && (!has(oldSelf.architecture) || (has(self.architecture) && self.architecture == oldSelf.architecture))",
    "operatingSystem and architecture are immutable once set"
))]
pub struct VersionSpec {
    /// Module or Provider.
    #[serde(rename = "type")]
    #[x_kube(validation = ("self == oldSelf", "type is immutable"))]
    pub type_: VersionType,
    /// SemVer, with or without `v`.
    #[schemars(length(min = 1, max = limits::VERSION_CHARS), regex(pattern = pattern::VERSION))]
    #[x_kube(validation = ("self == oldSelf", "version is immutable"))]
    pub version: String,
    /// The stored file's name; chosen after the fetch when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 128), regex(pattern = pattern::SEGMENT))]
    pub file_name: Option<String>,
    /// Looks at the source once more; acts once a generation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub force_sync: Option<bool>,
    /// The architecture of a provider's package.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 32), regex(pattern = pattern::PLATFORM_PART))]
    pub architecture: Option<String>,
    /// The operating system of a provider's package.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 32), regex(pattern = pattern::PLATFORM_PART))]
    pub operating_system: Option<String>,
    /// How the module is fetched and stored.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub module_config_ref: Option<ModuleConfig>,
    /// How the provider is fetched and stored.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provider_config_ref: Option<ProviderConfig>,
}

/// Module or Provider.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum VersionType {
    /// A module.
    #[default]
    Module,
    /// A provider for one platform.
    Provider,
    /// What the original let through; never written by us, never in the schema.
    #[serde(other)]
    #[schemars(skip)]
    Unknown,
}

impl VersionSpec {
    /// Module or provider.
    ///
    /// # Errors
    /// [`Error::Missing`] for a type that is neither.
    pub const fn kind(&self) -> Result<ArtifactKind, Error> {
        match self.type_ {
            VersionType::Module => Ok(ArtifactKind::Module),
            VersionType::Provider => Ok(ArtifactKind::Provider),
            VersionType::Unknown => Err(Error::Missing { field: "spec.type" }),
        }
    }

    /// The version as a value.
    ///
    /// # Errors
    /// [`Error::Value`] when the text is not SemVer: the original stored any text.
    pub fn parsed(&self) -> Result<opendepot_domain::Version, Error> {
        Ok(opendepot_domain::Version::parse(&self.version)?)
    }

    /// The platform of a provider's package; `None` for a module.
    ///
    /// # Errors
    /// [`Error::Missing`] when a provider's Version names no platform; [`Error::Value`] when a
    /// part is malformed.
    pub fn platform(&self) -> Result<Option<Platform>, Error> {
        if self.kind()? == ArtifactKind::Module {
            return Ok(None);
        }
        let os = self.operating_system.as_deref().ok_or(Error::Missing {
            field: "spec.operatingSystem",
        })?;
        let arch = self.architecture.as_deref().ok_or(Error::Missing {
            field: "spec.architecture",
        })?;
        Ok(Some(Platform::new(os, arch)?))
    }

    /// Whether both references are set, which the original's schema let through.
    #[must_use]
    pub const fn has_both_refs(&self) -> bool {
        self.module_config_ref.is_some() && self.provider_config_ref.is_some()
    }
}

/// What is known about a version. Serving and deletion read it only under a valid seal.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct VersionStatus {
    /// Whether the bytes are stored.
    #[serde(default)]
    pub synced: bool,
    /// The same in words.
    #[serde(default)]
    #[schemars(length(max = 4096))]
    pub sync_status: String,
    /// SHA-256 of the stored bytes in standard base64, as the original keeps it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 44), regex(pattern = pattern::SHA256_BASE64))]
    pub checksum: Option<String>,
    /// Size of the stored bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = limits::ARTIFACT_BYTES))]
    pub archive_size_bytes: Option<i64>,
    /// The scan of a provider's executable.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub binary_scan: Option<Scan>,
    /// The scan of a module, or of a provider's source.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source_scan: Option<Scan>,
    /// The ConfigMap with a module's README.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub readme_config_map_ref: Option<ReadmeConfigMapRef>,
    /// The generation that this status is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = limits::GENERATION))]
    pub observed_generation: Option<i64>,
    /// The latest observations.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "schema::conditions")]
    pub conditions: Vec<Condition>,
    /// SHA-256 of the stored bytes, lower-case hex.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64), regex(pattern = pattern::SHA256_HEX))]
    pub sha256: Option<String>,
    /// The directory hash that lock files carry.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 47), regex(pattern = pattern::H1))]
    pub h1: Option<String>,
    /// The protocols that a provider speaks, such as `6.0`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "protocols")]
    pub protocols: Vec<String>,
    /// When the version was first published, RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64), extend("format" = "date-time"))]
    pub published_at: Option<String>,
    /// What was fetched.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<VersionSource>,
    /// Where the bytes are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub artifact: Option<StatusArtifact>,
    /// Where bytes are about to be; written before the first is uploaded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pending: Option<StatusArtifact>,
    /// What an approved change or a take-over replaced.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous: Option<StatusArtifact>,
    /// The MAC over what serving and deletion read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seal: Option<Seal>,
    /// The releases that list this platform, newest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = limits::RELEASES))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["id".into()]))]
    pub releases: Vec<Release>,
    /// The last `forceSync` generation or `requested-at` value that was acted on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 256))]
    pub last_handled_sync: Option<String>,
    /// What the scan chain decided.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verdict: Option<Verdict>,
}

fn protocols(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    schema::text_set(
        "The protocols that a provider speaks, such as `6.0`.",
        8,
        schema::text(7, pattern::PROTOCOL),
    )
}

/// A ConfigMap in the Version's namespace.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ReadmeConfigMapRef {
    /// The ConfigMap's name.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
    /// The key in its data.
    #[schemars(length(min = 1, max = 253))]
    pub key: String,
}

impl VersionStatus {
    /// The digest of the stored bytes: `sha256`, else the original's `checksum`.
    ///
    /// # Errors
    /// [`Error::Value`] when the text is not a digest, or when both are set and differ.
    pub fn digest(&self) -> Result<Option<Sha256>, Error> {
        let hex = self.sha256.as_deref().map(Sha256::from_hex).transpose()?;
        let base64 = self
            .checksum
            .as_deref()
            .map(Sha256::from_base64)
            .transpose()?;
        match (hex, base64) {
            (Some(hex), Some(base64)) if hex != base64 => {
                Err(opendepot_domain::error::InvalidValue::new(
                    "checksum",
                    self.checksum.as_deref().unwrap_or_default(),
                    "the same digest as `sha256`",
                )
                .into())
            }
            (hex, base64) => Ok(hex.or(base64)),
        }
    }
}
