//! The documents of the provider registry protocol, as registries write them.

use super::UpstreamVersion;
use crate::answer::{excerpt, shown};
use crate::error::Error;
use opendepot_domain::{Platform, Sha256, Version};
use serde::Deserialize;
use url::Url;

/// `/.well-known/terraform.json`.
#[derive(Deserialize)]
pub(super) struct Discovery {
    #[serde(rename = "providers.v1")]
    pub(super) providers: Option<String>,
}

/// `{base}/{namespace}/{type}/versions`.
#[derive(Deserialize)]
pub(super) struct VersionsAnswer {
    #[serde(default)]
    versions: Option<Vec<VersionAnswer>>,
}

#[derive(Deserialize)]
struct VersionAnswer {
    version: String,
    #[serde(default)]
    protocols: Option<Vec<String>>,
    #[serde(default)]
    platforms: Option<Vec<PlatformAnswer>>,
}

#[derive(Deserialize)]
struct PlatformAnswer {
    os: String,
    arch: String,
}

impl VersionsAnswer {
    /// What of it is well formed, newest first.
    pub(super) fn into_versions(self) -> Vec<UpstreamVersion> {
        let mut versions: Vec<UpstreamVersion> = self
            .versions
            .unwrap_or_default()
            .into_iter()
            .filter_map(|answer| {
                let mut platforms: Vec<Platform> = answer
                    .platforms
                    .unwrap_or_default()
                    .iter()
                    .filter_map(|platform| Platform::new(&platform.os, &platform.arch).ok())
                    .collect();
                platforms.sort();
                platforms.dedup();
                Some(UpstreamVersion {
                    version: Version::parse(&answer.version).ok()?,
                    protocols: protocols(answer.protocols.as_deref().unwrap_or_default()),
                    platforms,
                })
            })
            .collect();
        versions.sort_by(|a, b| b.version.cmp(&a.version));
        versions.dedup_by(|a, b| a.version == b.version);
        versions
    }
}

/// `{base}/{namespace}/{type}/{version}/download/{os}/{arch}`.
#[derive(Deserialize)]
pub(super) struct PackageAnswer {
    #[serde(default)]
    pub(super) protocols: Option<Vec<String>>,
    #[serde(default)]
    os: Option<String>,
    #[serde(default)]
    arch: Option<String>,
    #[serde(rename = "filename")]
    pub(super) file_name: String,
    pub(super) download_url: String,
    #[serde(default)]
    shasum: Option<String>,
    #[serde(rename = "shasums_url", default)]
    sums_url: Option<String>,
    #[serde(rename = "shasums_signature_url", default)]
    signature_url: Option<String>,
    #[serde(default)]
    signing_keys: Option<SigningKeys>,
}

#[derive(Deserialize)]
struct SigningKeys {
    #[serde(default)]
    gpg_public_keys: Option<Vec<SigningKey>>,
}

#[derive(Deserialize)]
struct SigningKey {
    #[serde(default)]
    ascii_armor: Option<String>,
}

impl PackageAnswer {
    /// Refuses a document about another platform than the one asked for.
    pub(super) fn require_platform(&self, platform: &Platform, from: &Url) -> Result<(), Error> {
        for (stated, asked) in [(&self.os, platform.os()), (&self.arch, platform.arch())] {
            if let Some(stated) = stated
                && stated != asked
            {
                return Err(Error::Answer {
                    url: shown(from),
                    reason: format!("it is about `{}`, not `{asked}`", excerpt(stated)),
                });
            }
        }
        Ok(())
    }

    /// Refuses a file that is by its name a package of another version: whoever answers could
    /// otherwise pass an old release off as a new one, its true signature included.
    pub(super) fn require_version(&self, version: &Version, from: &Url) -> Result<(), Error> {
        match version_of(&self.file_name) {
            Some(stated) if !stated.is_same_release(version) => Err(Error::Answer {
                url: shown(from),
                reason: format!("its file is of version {stated}, not {version}"),
            }),
            _ => Ok(()),
        }
    }

    /// Where SHA256SUMS is; some registries write an empty text for none.
    pub(super) fn sums_url(&self) -> Option<&str> {
        self.sums_url.as_deref().filter(|url| !url.is_empty())
    }

    /// Where its signature is.
    pub(super) fn signature_url(&self) -> Option<&str> {
        self.signature_url.as_deref().filter(|url| !url.is_empty())
    }

    /// The digest that the registry states; it must be there.
    pub(super) fn digest(&self) -> Result<Sha256, Error> {
        let text = self.shasum.as_deref().unwrap_or_default();
        Sha256::from_hex(text).map_err(|_| Error::Digest {
            file: excerpt(&self.file_name),
            reason: format!("the registry states `{}` as its digest", excerpt(text)),
        })
    }

    /// The keys that the registry lists.
    pub(super) fn armored_keys(&self) -> Vec<String> {
        self.signing_keys
            .iter()
            .flat_map(|keys| keys.gpg_public_keys.iter().flatten())
            .filter_map(|key| key.ascii_armor.clone())
            .filter(|armor| !armor.trim().is_empty())
            .collect()
    }
}

/// The version in `terraform-provider-{type}_{version}_{os}_{arch}.zip`; `None` for other names,
/// which registries may use.
fn version_of(file_name: &str) -> Option<Version> {
    let stem = file_name
        .strip_prefix("terraform-provider-")?
        .strip_suffix(".zip")?;
    // From the end: arch, os, version, type.
    let mut parts = stem.rsplitn(4, '_').skip(2);
    let version = parts.next()?;
    parts.next()?;
    Version::parse(version).ok()
}

/// Protocols of the form `6.0`; clients could not read others.
pub(crate) fn protocols(stated: &[String]) -> Vec<String> {
    let is_number =
        |text: &str| (1..=3).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit());
    stated
        .iter()
        .filter(|text| {
            text.split_once('.')
                .is_some_and(|(major, minor)| is_number(major) && is_number(minor))
        })
        .take(8)
        .cloned()
        .collect()
}
