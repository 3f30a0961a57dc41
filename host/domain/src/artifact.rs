//! What is stored and served: one archive of one version, for providers of one platform.

use crate::canonical::Canonical;
use crate::digest::Sha256;
use crate::error::InvalidValue;
use crate::name::{ConfigName, FileName, Namespace, PluginId, ResourceName};
use crate::platform::Platform;
use crate::version::Version;
use serde::{Deserialize, Serialize};
use std::fmt;

/// Module or provider.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ArtifactKind {
    /// A module archive.
    Module,
    /// A provider package for one platform.
    Provider,
}

impl ArtifactKind {
    /// Lower-case name, as logs, metrics and capabilities carry it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Module => "module",
            Self::Provider => "provider",
        }
    }
}

impl fmt::Display for ArtifactKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Which artifact: the tuple whose bytes never change (invariant I2).
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ArtifactId {
    /// Kubernetes namespace of the resource.
    pub namespace: Namespace,
    /// Module or provider.
    pub kind: ArtifactKind,
    /// The resource name.
    pub name: ResourceName,
    /// The version, build metadata included.
    pub version: Version,
    /// The platform; present exactly for providers.
    pub platform: Option<Platform>,
}

impl fmt::Display for ArtifactId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} {}/{} {}",
            self.kind, self.namespace, self.name, self.version
        )?;
        if let Some(platform) = &self.platform {
            write!(f, " {platform}")?;
        }
        Ok(())
    }
}

/// An artifact with its bytes' identity, as storage plugins see it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Artifact {
    /// Which artifact.
    pub id: ArtifactId,
    /// The `name` of the resource's config: the first segment of the storage key.
    pub config_name: ConfigName,
    /// The last segment of the storage key.
    pub file_name: FileName,
    /// `application/zip` or `application/x-tar`.
    pub media_type: String,
    /// Size in bytes.
    pub size: u64,
    /// Digest of the bytes.
    pub sha256: Sha256,
}

/// Where stored bytes are: `status.artifact` and `status.pending` of a Version. Read, never
/// recomputed (contract.md 3).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ArtifactRecord {
    /// The storage plugin that placed the bytes and plans every later access.
    pub plugin: PluginId,
    /// The store, such as `file:///` or `s3://bucket`.
    pub store: String,
    /// The key within the store; relative to the backend's root.
    pub key: String,
    /// Last segment of the key.
    pub file_name: FileName,
    /// Media type of the bytes.
    pub media_type: String,
    /// Size in bytes.
    pub size: u64,
    /// Digest of the bytes: the authority on what is served.
    pub sha256: Sha256,
}

/// The media type of a provider package and of a zip module.
pub const MEDIA_TYPE_ZIP: &str = "application/zip";
/// The media type of a gzipped tar module, as the original answers it.
pub const MEDIA_TYPE_TAR: &str = "application/x-tar";

/// The conventional file name of a provider package, which SHA256SUMS lists
/// (contract.md 4).
#[must_use]
pub fn provider_file_name(
    provider_type: &ResourceName,
    version: &Version,
    platform: &Platform,
) -> String {
    format!("terraform-provider-{provider_type}_{version}_{platform}.zip")
}

/// The Kubernetes name of a module's Version object, as the original builds it (OD-2.5).
#[must_use]
pub fn module_version_name(config_name: &ConfigName, version: &Version) -> String {
    format!(
        "{}-{}",
        object_part(config_name.as_str()),
        version.object_name_part()
    )
}

/// The Kubernetes name of a provider's Version object, as the original builds it (OD-2.5).
#[must_use]
pub fn provider_version_name(
    config_name: &ConfigName,
    version: &Version,
    platform: &Platform,
) -> String {
    format!(
        "{}-{}-{}-{}",
        object_part(config_name.as_str()),
        version.object_name_part(),
        platform.os(),
        platform.arch()
    )
}

fn object_part(name: &str) -> String {
    name.to_lowercase().replace(['.', '_', '/'], "-")
}

/// The suffix that the later of two resources appends when their Version names collide: the
/// first eight hex digits of SHA-256 over owner kind, name, version, os and arch (contract.md 3).
#[must_use]
pub fn collision_suffix(id: &ArtifactId) -> String {
    let mut input = Canonical::new("version-name");
    input
        .field(id.kind.as_str())
        .field(id.name.as_str())
        .field(&id.version.to_string());
    if let Some(platform) = &id.platform {
        input.field(platform.os()).field(platform.arch());
    }
    Sha256::of(input.as_bytes())
        .to_string()
        .chars()
        .take(8)
        .collect()
}

/// Chooses the stored file name: a version 8 UUID (RFC 9562 section 5.8) derived from the
/// artifact and its digest, so that two workers choose the same one.
///
/// # Errors
/// [`InvalidValue`] when `extension` cannot be part of a file name.
pub fn derived_file_name(
    id: &ArtifactId,
    sha256: &Sha256,
    extension: &str,
) -> Result<FileName, InvalidValue> {
    let mut input = Canonical::new("file-name");
    input
        .field(id.namespace.as_str())
        .field(id.kind.as_str())
        .field(id.name.as_str())
        .field(&id.version.to_string())
        .field(
            &id.platform
                .as_ref()
                .map(ToString::to_string)
                .unwrap_or_default(),
        )
        .field(&sha256.to_string());
    let digest = Sha256::of(input.as_bytes());
    let mut bytes = [0; 16];
    for (to, from) in bytes.iter_mut().zip(digest.as_bytes()) {
        *to = *from;
    }
    FileName::new(format!("{}.{extension}", uuid::Uuid::new_v8(bytes)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(name: &str, version: &str) -> ArtifactId {
        ArtifactId {
            namespace: Namespace::new("default").unwrap(),
            kind: ArtifactKind::Module,
            name: ResourceName::new(name).unwrap(),
            version: Version::parse(version).unwrap(),
            platform: None,
        }
    }

    #[test]
    fn version_names_are_the_originals() {
        let name = ConfigName::new("terraform-aws-eks").unwrap();
        assert_eq!(
            module_version_name(&name, &Version::parse("v21.10.1").unwrap()),
            "terraform-aws-eks-21-10-1"
        );
        let name = ConfigName::new("aws").unwrap();
        let platform = Platform::new("linux", "amd64").unwrap();
        assert_eq!(
            provider_version_name(&name, &Version::parse("5.80.0").unwrap(), &platform),
            "aws-5-80-0-linux-amd64"
        );
    }

    #[test]
    fn aliased_names_get_different_suffixes() {
        assert_ne!(
            collision_suffix(&id("foo", "1.2.3-4")),
            collision_suffix(&id("foo-1", "2.3.4"))
        );
    }

    #[test]
    fn file_names_are_stable_and_injective() {
        let digest = Sha256::of(b"x");
        let one = derived_file_name(&id("a", "1.0.0"), &digest, "zip").unwrap();
        assert_eq!(
            one,
            derived_file_name(&id("a", "1.0.0"), &digest, "zip").unwrap()
        );
        assert_ne!(
            one,
            derived_file_name(&id("a", "1.0.1"), &digest, "zip").unwrap()
        );
        assert_eq!(one.as_str().as_bytes()[14], b'8');
    }
}
