//! Parts of a Version's status that serving and deletion read.

use crate::error::Error;
use crate::limits;
use crate::pattern;
use kube::KubeSchema;
use opendepot_domain::error::InvalidValue;
use opendepot_domain::{ArtifactRecord, FileName, H1, PluginId, Sha256};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Where bytes are: the wire form of [`ArtifactRecord`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct StatusArtifact {
    /// The storage plugin that placed the bytes.
    #[schemars(length(min = 1, max = 63), regex(pattern = pattern::DNS_LABEL))]
    pub plugin: String,
    /// The store, such as `s3://bucket`.
    #[schemars(length(min = 1, max = 1024))]
    pub store: String,
    /// The key within the store.
    #[schemars(length(min = 1, max = 1024))]
    pub key: String,
    /// The last segment of the key.
    #[schemars(length(min = 1, max = 128), regex(pattern = pattern::SEGMENT))]
    pub file_name: String,
    /// The media type of the bytes.
    #[schemars(length(min = 1, max = 128))]
    pub media_type: String,
    /// Size in bytes.
    #[schemars(range(min = 0, max = limits::ARTIFACT_BYTES))]
    pub size: u64,
    /// Digest of the bytes, lower-case hex.
    #[schemars(length(min = 64, max = 64), regex(pattern = pattern::SHA256_HEX))]
    pub sha256: String,
}

impl From<&ArtifactRecord> for StatusArtifact {
    fn from(record: &ArtifactRecord) -> Self {
        Self {
            plugin: record.plugin.to_string(),
            store: record.store.clone(),
            key: record.key.clone(),
            file_name: record.file_name.to_string(),
            media_type: record.media_type.clone(),
            size: record.size,
            sha256: record.sha256.to_string(),
        }
    }
}

impl From<ArtifactRecord> for StatusArtifact {
    fn from(record: ArtifactRecord) -> Self {
        Self::from(&record)
    }
}

impl TryFrom<&StatusArtifact> for ArtifactRecord {
    type Error = Error;

    fn try_from(artifact: &StatusArtifact) -> Result<Self, Error> {
        Ok(Self {
            plugin: PluginId::new(artifact.plugin.clone())?,
            store: artifact.store.clone(),
            key: artifact.key.clone(),
            file_name: FileName::new(artifact.file_name.clone())?,
            media_type: artifact.media_type.clone(),
            size: artifact.size,
            sha256: Sha256::from_hex(&artifact.sha256)?,
        })
    }
}

impl TryFrom<StatusArtifact> for ArtifactRecord {
    type Error = Error;

    fn try_from(artifact: StatusArtifact) -> Result<Self, Error> {
        Self::try_from(&artifact)
    }
}

/// The MAC over everything in a status that serving or deletion reads (contract.md 3).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Seal {
    /// Which artifacts key made it.
    #[schemars(length(min = 1, max = 128))]
    pub key_id: String,
    /// The MAC.
    #[schemars(length(min = 1, max = 128))]
    pub mac: String,
}

/// What was fetched: the identity that later fetches are compared with (T27, T28).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct VersionSource {
    /// The commit of the tag, lower-case hex.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64), regex(pattern = "^([0-9a-f]{40}|[0-9a-f]{64})$"))]
    pub commit: Option<String>,
    /// The tag that was found.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 256))]
    pub tag: Option<String>,
    /// Digest over the names and contents of the files, independent of their compression.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 128))]
    pub tree_digest: Option<String>,
    /// The repository's number at its forge, which survives a rename and not a re-creation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = limits::ARTIFACT_BYTES))]
    pub repository_id: Option<u64>,
    /// Where the bytes came from, without query and credentials.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 2048))]
    pub url: Option<String>,
    /// Digest of the bytes as the source sent them, lower-case hex.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 64, max = 64), regex(pattern = pattern::SHA256_HEX))]
    pub upstream_sha256: Option<String>,
    /// The upstream key whose signature was verified.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64), regex(pattern = pattern::KEY_ID))]
    pub signing_key: Option<String>,
}

/// One platform's package in a release: the wire form of `opendepot_domain::ReleaseFile`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ReleaseFile {
    /// Operating system.
    #[schemars(length(min = 1, max = 32), regex(pattern = pattern::PLATFORM_PART))]
    pub os: String,
    /// Architecture.
    #[schemars(length(min = 1, max = 32), regex(pattern = pattern::PLATFORM_PART))]
    pub arch: String,
    /// Digest of the package, lower-case hex.
    #[schemars(length(min = 64, max = 64), regex(pattern = pattern::SHA256_HEX))]
    pub sha256: String,
    /// Directory hash of the package.
    #[schemars(length(min = 47, max = 47), regex(pattern = pattern::H1))]
    pub h1: String,
    /// Size in bytes.
    #[schemars(range(min = 0, max = limits::ARTIFACT_BYTES))]
    pub size: u64,
}

/// A signed release: the wire form of `opendepot_domain::Release`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Release {
    /// SHA-256 of the SHA256SUMS text, lower-case hex.
    #[schemars(length(min = 64, max = 64), regex(pattern = pattern::SHA256_HEX))]
    pub id: String,
    /// The platforms, sorted by os, then arch.
    #[schemars(length(max = limits::RELEASE_FILES))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["os".into(), "arch".into()]))]
    pub files: Vec<ReleaseFile>,
    /// The binary detached OpenPGP signature, in base64.
    #[schemars(length(min = 1, max = 8192))]
    pub signature: String,
    /// The key that signed, upper-case hex.
    #[schemars(length(min = 1, max = 64), regex(pattern = pattern::KEY_ID))]
    pub key_id: String,
    /// When, in Unix seconds.
    #[schemars(range(min = 0, max = 253_402_300_799_i64))]
    pub signed_at: i64,
}

impl From<&opendepot_domain::Release> for Release {
    fn from(release: &opendepot_domain::Release) -> Self {
        Self {
            id: release.id.clone(),
            files: release
                .files
                .iter()
                .map(|file| ReleaseFile {
                    os: file.os.clone(),
                    arch: file.arch.clone(),
                    sha256: file.sha256.to_string(),
                    h1: file.h1.to_string(),
                    size: file.size,
                })
                .collect(),
            signature: release.signature.clone(),
            key_id: release.key_id.clone(),
            signed_at: i64::try_from(release.signed_at).unwrap_or(i64::MAX),
        }
    }
}

impl TryFrom<&Release> for opendepot_domain::Release {
    type Error = Error;

    fn try_from(release: &Release) -> Result<Self, Error> {
        let signed_at = u64::try_from(release.signed_at).map_err(|_| {
            InvalidValue::new(
                "signedAt",
                &release.signed_at.to_string(),
                "seconds since 1970",
            )
        })?;
        let files = release
            .files
            .iter()
            .map(|file| {
                Ok(opendepot_domain::ReleaseFile {
                    os: file.os.clone(),
                    arch: file.arch.clone(),
                    sha256: Sha256::from_hex(&file.sha256)?,
                    h1: H1::try_from(file.h1.clone())?,
                    size: file.size,
                })
            })
            .collect::<Result<_, Error>>()?;
        Ok(Self {
            id: release.id.clone(),
            files,
            signature: release.signature.clone(),
            key_id: release.key_id.clone(),
            signed_at,
        })
    }
}

/// What the scan chain decided.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Verdict {
    /// The decision.
    pub result: VerdictResult,
    /// Why; empty for a plain publish.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 1024))]
    pub reason: String,
}

/// The decision of the scan chain. What is not understood counts as [`Self::NotScanned`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum VerdictResult {
    /// May be served.
    Publish,
    /// Must not be served.
    Block,
    /// Nothing usable is known; the failure policy decides.
    #[default]
    #[serde(other)]
    NotScanned,
}

impl From<&opendepot_domain::scan::Verdict> for Verdict {
    fn from(verdict: &opendepot_domain::scan::Verdict) -> Self {
        use opendepot_domain::scan::Verdict as Domain;
        let (result, reason) = match verdict {
            Domain::Publish => (VerdictResult::Publish, ""),
            Domain::Block(reason) => (VerdictResult::Block, reason.as_str()),
            Domain::NotScanned(reason) => (VerdictResult::NotScanned, reason.as_str()),
        };
        Self {
            result,
            reason: reason.chars().take(1024).collect(),
        }
    }
}

impl From<&Verdict> for opendepot_domain::scan::Verdict {
    fn from(verdict: &Verdict) -> Self {
        match verdict.result {
            VerdictResult::Publish => Self::Publish,
            VerdictResult::Block => Self::Block(verdict.reason.clone()),
            VerdictResult::NotScanned => Self::NotScanned(verdict.reason.clone()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn record() -> ArtifactRecord {
        ArtifactRecord {
            plugin: PluginId::new("storage-fs").unwrap(),
            store: "file:///".to_owned(),
            key: "vpc/x.zip".to_owned(),
            file_name: FileName::new("x.zip").unwrap(),
            media_type: "application/zip".to_owned(),
            size: 7,
            sha256: Sha256::of(b"x"),
        }
    }

    #[test]
    fn artifacts_convert_both_ways() {
        let wire = StatusArtifact::from(record());
        let value = serde_json::to_value(&wire).unwrap();
        assert_eq!(value["fileName"], "x.zip");
        assert_eq!(value["mediaType"], "application/zip");
        assert_eq!(ArtifactRecord::try_from(wire).unwrap(), record());
    }

    #[test]
    fn a_tampered_artifact_does_not_convert() {
        for (field, value) in [
            ("fileName", json!("../x")),
            ("sha256", json!("abc")),
            ("plugin", json!("a/b")),
        ] {
            let mut wire = serde_json::to_value(StatusArtifact::from(record())).unwrap();
            wire[field] = value;
            let wire: StatusArtifact = serde_json::from_value(wire).unwrap();
            assert!(ArtifactRecord::try_from(wire).is_err(), "{field}");
        }
    }

    #[test]
    fn releases_convert_both_ways() {
        let release = opendepot_domain::Release {
            id: Sha256::of(b"sums").to_string(),
            files: vec![opendepot_domain::ReleaseFile {
                os: "linux".to_owned(),
                arch: "amd64".to_owned(),
                sha256: Sha256::of(b"x"),
                h1: H1::of_files([("a", Sha256::of(b"a"))]),
                size: 1,
            }],
            signature: "c2ln".to_owned(),
            key_id: "34365D9472D7468F".to_owned(),
            signed_at: 1_790_000_000,
        };
        let wire = Release::from(&release);
        assert_eq!(
            serde_json::to_value(&wire).unwrap()["signedAt"],
            1_790_000_000
        );
        assert_eq!(opendepot_domain::Release::try_from(&wire).unwrap(), release);
        let early = Release {
            signed_at: -1,
            ..wire
        };
        assert!(opendepot_domain::Release::try_from(&early).is_err());
    }

    #[test]
    fn an_unknown_verdict_is_not_a_publish() {
        let verdict: Verdict = serde_json::from_value(json!({"result": "Maybe"})).unwrap();
        assert_eq!(verdict.result, VerdictResult::NotScanned);
        let block: Verdict =
            serde_json::from_value(json!({"result": "Block", "reason": "r"})).unwrap();
        let domain = opendepot_domain::scan::Verdict::from(&block);
        assert_eq!(Verdict::from(&domain), block);
    }
}
