//! The JSON bodies of both registry protocols, as clients accept them (protocols.md 1.4, 1.5).

use super::catalog::{Document, Package, ProviderVersion, ServedRelease, WindowDocument};
use super::resource::VersionResource;
use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use opendepot_domain::{Capability, Purpose, Version, capability};
use opendepot_identity::ArtifactKeys;
use opendepot_signing::PublicKey;
use serde::Serialize;
use std::collections::BTreeMap;
use std::io::Write as _;
use std::sync::Arc;

/// Bodies smaller than this go out in one packet anyway.
const GZIP_FLOOR_BYTES: usize = 1_400;

/// A public key as package documents list it.
#[derive(Clone, Debug, Serialize)]
pub struct SigningKeyDocument {
    /// Upper-case hex.
    pub key_id: String,
    /// The armored public key.
    pub ascii_armor: String,
    /// Where users can read about the key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source_url: Option<String>,
}

impl SigningKeyDocument {
    /// Describes a key.
    #[must_use]
    pub fn new(key: &PublicKey, source_url: Option<String>) -> Self {
        Self {
            key_id: key.key_id.clone(),
            ascii_armor: key.ascii_armor.clone(),
            source_url,
        }
    }
}

/// What rendering needs besides the facts.
#[derive(Clone)]
pub struct RenderContext {
    /// Base of emitted URLs without a trailing slash; empty for path-absolute ones.
    pub base_url: String,
    /// Mints the capabilities in package documents.
    pub artifact_keys: Arc<ArtifactKeys>,
    /// Every public key: the current one and the retired.
    pub signing_keys: Arc<Vec<SigningKeyDocument>>,
}

#[derive(Serialize)]
struct ModuleVersions<'a> {
    modules: [ModuleVersionList<'a>; 1],
}

#[derive(Serialize)]
struct ModuleVersionList<'a> {
    versions: Vec<VersionOnly<'a>>,
}

#[derive(Serialize)]
struct VersionOnly<'a> {
    version: &'a Version,
}

/// The version list of a module; `versions` is in descending order.
pub(super) fn module_versions(versions: &[&Version]) -> Document {
    let versions = versions
        .iter()
        .map(|version| VersionOnly { version })
        .collect();
    document(&ModuleVersions {
        modules: [ModuleVersionList { versions }],
    })
}

#[derive(Serialize)]
struct ProviderVersions<'a> {
    versions: Vec<ProviderVersionItem<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    warnings: Vec<String>,
}

#[derive(Serialize)]
struct ProviderVersionItem<'a> {
    version: &'a Version,
    protocols: &'a [String],
    platforms: Vec<PlatformItem<'a>>,
}

#[derive(Serialize)]
struct PlatformItem<'a> {
    os: &'a str,
    arch: &'a str,
}

/// The version list of a provider; `versions` is in descending order.
pub(super) fn provider_versions(
    versions: &[Arc<ProviderVersion>],
    deprecated: &[(Version, String)],
) -> Document {
    let warnings = deprecated
        .iter()
        .filter(|(version, _)| {
            versions
                .iter()
                .any(|served| served.version.is_same_release(version))
        })
        .map(|(version, reason)| format!("version {version} is deprecated: {reason}"))
        .collect();
    let versions = versions
        .iter()
        .map(|version| ProviderVersionItem {
            version: &version.version,
            protocols: &version.protocols,
            platforms: version
                .releases
                .first()
                .map(|release| release.packages.as_slice())
                .unwrap_or_default()
                .iter()
                .map(|package| PlatformItem {
                    os: package.platform.os(),
                    arch: package.platform.arch(),
                })
                .collect(),
        })
        .collect();
    document(&ProviderVersions { versions, warnings })
}

#[derive(Serialize)]
struct PackageDocument<'a> {
    protocols: &'a [String],
    os: &'a str,
    arch: &'a str,
    filename: &'a str,
    download_url: String,
    shasums_url: String,
    shasums_signature_url: String,
    shasum: String,
    signing_keys: SigningKeys<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    packages: Option<BTreeMap<String, PackageItem<'a>>>,
}

#[derive(Serialize)]
struct SigningKeys<'a> {
    gpg_public_keys: Vec<&'a SigningKeyDocument>,
}

#[derive(Serialize)]
struct PackageItem<'a> {
    hashes: [HashText<'a>; 2],
    package_size: u64,
}

#[derive(Serialize)]
#[serde(untagged)]
enum HashText<'a> {
    Zip(String),
    Directory(&'a str),
}

impl Package {
    /// The package document whose capabilities were minted in the window of `now`.
    ///
    /// Rendered on the first request of a window and shared until the next one.
    #[must_use]
    pub fn document(
        &self,
        version: &ProviderVersion,
        release: &ServedRelease,
        context: &RenderContext,
        now: u64,
    ) -> Bytes {
        let expires = capability::expiry(now);
        if let Some(document) = self.document.load().as_ref()
            && document.expires == expires
        {
            return document.body.clone();
        }
        let body = self.render(version, release, context, expires);
        self.document.store(Some(Arc::new(WindowDocument {
            expires,
            body: body.clone(),
        })));
        body
    }

    fn render(
        &self,
        version: &ProviderVersion,
        release: &ServedRelease,
        context: &RenderContext,
        expires: u64,
    ) -> Bytes {
        let base = &context.base_url;
        let id = &self.id;
        let (os, arch) = (self.platform.os(), self.platform.arch());
        let mint = |purpose, sha256| {
            let capability = Capability {
                purpose,
                id,
                release: &release.id,
                sha256,
                expires,
            };
            format!(
                "expires={expires}&signature={}",
                context.artifact_keys.mint(&capability)
            )
        };
        let address = format!("{}/{}/{}", id.namespace, id.name, version.version);
        let download = mint(Purpose::Archive, &self.record.sha256);
        let sums = mint(Purpose::Sums, &release.digest);
        let signature = mint(Purpose::Signature, &release.digest);
        let document = PackageDocument {
            protocols: &version.protocols,
            os,
            arch,
            filename: &self.file_name,
            download_url: format!(
                "{base}/opendepot/providers/v1/download/{address}?os={os}&arch={arch}&{download}"
            ),
            shasums_url: format!(
                "{base}/opendepot/providers/v1/{address}/SHA256SUMS/{os}/{arch}?{sums}"
            ),
            shasums_signature_url: format!(
                "{base}/opendepot/providers/v1/{address}/SHA256SUMS.sig/{os}/{arch}?{signature}"
            ),
            shasum: self.record.sha256.to_string(),
            signing_keys: SigningKeys {
                gpg_public_keys: ordered_keys(&context.signing_keys, &release.key_id),
            },
            packages: packages(release),
        };
        Bytes::from(serde_json::to_vec(&document).unwrap_or_default())
    }
}

/// The release's key first: clients try keys in order (protocols.md 1.5).
fn ordered_keys<'a>(keys: &'a [SigningKeyDocument], key_id: &str) -> Vec<&'a SigningKeyDocument> {
    let (first, rest): (Vec<_>, Vec<_>) = keys
        .iter()
        .partition(|key| key.key_id.eq_ignore_ascii_case(key_id));
    first.into_iter().chain(rest).collect()
}

/// All platforms, or nothing when two have the same archive: an OpenTofu client panics on that
/// (protocols.md 1.11).
fn packages(release: &ServedRelease) -> Option<BTreeMap<String, PackageItem<'_>>> {
    let mut digests: Vec<_> = release
        .packages
        .iter()
        .map(|package| package.record.sha256)
        .collect();
    digests.sort_unstable();
    digests.dedup();
    if digests.len() != release.packages.len() {
        return None;
    }
    let mut items = BTreeMap::new();
    for package in &release.packages {
        let zip = HashText::Zip(format!("zh:{}", package.record.sha256));
        let hashes = [zip, HashText::Directory(&package.h1)];
        items.insert(
            package.platform.to_string(),
            PackageItem {
                hashes,
                package_size: package.record.size,
            },
        );
    }
    Some(items)
}

/// The value of `archive` that go-getter needs for this record.
pub(super) fn archive_parameter(version: &VersionResource) -> &'static str {
    if version.record.file_name.as_str().ends_with(".zip") {
        "zip"
    } else {
        "tar.gz"
    }
}

fn document(body: &impl Serialize) -> Document {
    let plain = Bytes::from(serde_json::to_vec(body).unwrap_or_default());
    let gzip = (plain.len() >= GZIP_FLOOR_BYTES)
        .then(|| compress(&plain))
        .flatten();
    Document { plain, gzip }
}

fn compress(plain: &[u8]) -> Option<Bytes> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(plain).ok()?;
    encoder.finish().ok().map(Bytes::from)
}
