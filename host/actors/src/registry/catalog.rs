//! The read side: immutable, replaced whole, looked up without allocation.

use super::resource::{ModuleResource, ProviderResource, VersionResource};
use arc_swap::ArcSwapOption;
use bytes::Bytes;
use opendepot_domain::{ArtifactId, ArtifactRecord, Platform, Presign, Sha256, Version};
use std::collections::HashMap;
use std::ops::Deref;
use std::sync::Arc;

/// A rendered JSON body, plain and, where it pays, gzipped.
#[derive(Clone, Debug)]
pub struct Document {
    /// The body.
    pub plain: Bytes,
    /// The same, gzipped; absent for small bodies.
    pub gzip: Option<Bytes>,
}

/// One module as clients see it.
#[derive(Debug)]
pub struct ModuleEntry {
    /// The `{system}` that its address must name, when it is set.
    pub system: Option<String>,
    /// The version list.
    pub versions: Document,
    pub(super) by_version: HashMap<String, Arc<ModuleVersion>>,
    pub(super) inputs: Inputs<ModuleResource>,
}

impl ModuleEntry {
    /// The published version, build metadata aside.
    #[must_use]
    pub fn version(&self, version: &Version) -> Option<&Arc<ModuleVersion>> {
        self.by_version.get(&version.release_key())
    }
}

/// One published module version: the facts it was made from, shared.
#[derive(Debug)]
pub struct ModuleVersion {
    /// The value of go-getter's `archive` parameter: `zip` or `tar.gz`.
    pub archive: &'static str,
    pub(super) resource: Arc<VersionResource>,
}

impl Deref for ModuleVersion {
    type Target = VersionResource;

    fn deref(&self) -> &VersionResource {
        &self.resource
    }
}

/// One provider as clients see it.
#[derive(Debug)]
pub struct ProviderEntry {
    /// The version list.
    pub versions: Document,
    pub(super) by_version: HashMap<String, Arc<ProviderVersion>>,
    pub(super) inputs: Inputs<ProviderResource>,
}

impl ProviderEntry {
    /// The published version, build metadata aside.
    #[must_use]
    pub fn version(&self, version: &Version) -> Option<&Arc<ProviderVersion>> {
        self.by_version.get(&version.release_key())
    }
}

/// One published provider version: its newest complete release, and the one before while
/// clients may still hold capabilities for it.
#[derive(Debug)]
pub struct ProviderVersion {
    /// The version as published.
    pub version: Version,
    /// Plugin protocols.
    pub protocols: Vec<String>,
    /// Served releases, newest first; never empty.
    pub releases: Vec<ServedRelease>,
}

/// A release whose every platform is stored.
#[derive(Debug)]
pub struct ServedRelease {
    /// SHA-256 of the SHA256SUMS text, hex.
    pub id: String,
    /// The same as a digest: what capabilities for SUMS and signature name.
    pub digest: Sha256,
    /// The SHA256SUMS body.
    pub sums: Bytes,
    /// The binary signature body.
    pub signature: Bytes,
    /// The key that signed.
    pub key_id: String,
    /// Its packages, sorted by platform.
    pub packages: Vec<Package>,
}

impl ServedRelease {
    /// The package for one platform.
    #[must_use]
    pub fn package(&self, os: &str, arch: &str) -> Option<&Package> {
        self.packages
            .iter()
            .find(|package| package.platform.os() == os && package.platform.arch() == arch)
    }
}

/// One platform's package.
#[derive(Debug)]
pub struct Package {
    /// Which artifact.
    pub id: ArtifactId,
    /// Its platform.
    pub platform: Platform,
    /// Where its bytes are.
    pub record: ArtifactRecord,
    /// Whether clients get links to the store.
    pub presign: Option<Presign>,
    /// Directory hash.
    pub h1: String,
    /// Conventional file name.
    pub file_name: String,
    /// Name of its Version object.
    pub object_name: String,
    pub(super) config_name: opendepot_domain::ConfigName,
    /// The package document of the current capability window, rendered on first request.
    pub(super) document: ArcSwapOption<WindowDocument>,
}

/// A document that carries capabilities, and the expiry that they carry.
#[derive(Debug)]
pub(super) struct WindowDocument {
    pub(super) expires: u64,
    pub(super) body: Bytes,
}

/// What an entry was rendered from: unchanged inputs mean that the entry is reused.
#[derive(Debug)]
pub(super) struct Inputs<R> {
    pub(super) resource: Arc<R>,
    pub(super) versions: Vec<Arc<VersionResource>>,
}

impl<R> Inputs<R> {
    pub(super) fn are(&self, resource: &Arc<R>, versions: &[Arc<VersionResource>]) -> bool {
        Arc::ptr_eq(&self.resource, resource)
            && self.versions.len() == versions.len()
            && self
                .versions
                .iter()
                .zip(versions)
                .all(|(a, b)| Arc::ptr_eq(a, b))
    }
}

pub(super) type ByName<E> = HashMap<String, HashMap<String, Arc<E>>>;

/// Everything that is served.
#[derive(Debug, Default)]
pub struct Catalog {
    pub(super) modules: ByName<ModuleEntry>,
    pub(super) providers: ByName<ProviderEntry>,
    pub(super) by_backend_path: HashMap<String, Arc<ModuleVersion>>,
    pub(super) gone: HashMap<String, Gone>,
    /// Counts up with every rebuild; 0 is the empty catalog before the first.
    pub generation: u64,
}

/// What was served until a moment ago, kept so that a capability for it is answered 410.
#[derive(Clone, Debug)]
pub struct Gone {
    /// Which artifact.
    pub id: ArtifactId,
    /// Digest of its bytes.
    pub sha256: Sha256,
    /// The releases that listed it; one empty string for a module.
    pub releases: Vec<String>,
    /// Unix seconds until when capabilities for it can be alive.
    pub until: u64,
}

impl Catalog {
    /// The module of that address.
    #[must_use]
    pub fn module(&self, namespace: &str, name: &str) -> Option<&Arc<ModuleEntry>> {
        self.modules.get(namespace)?.get(name)
    }

    /// The provider of that address.
    #[must_use]
    pub fn provider(&self, namespace: &str, provider_type: &str) -> Option<&Arc<ProviderEntry>> {
        self.providers.get(namespace)?.get(provider_type)
    }

    /// The module version whose download URL has this backend path. Coordinates in a URL are
    /// compared with published records, never used to reach a backend (threat T03).
    #[must_use]
    pub fn module_by_backend_path(&self, path: &str) -> Option<&Arc<ModuleVersion>> {
        self.by_backend_path.get(path)
    }

    /// What was served under this key until lately: a backend path for modules, see
    /// [`package_key`] for providers.
    #[must_use]
    pub fn gone(&self, key: &str) -> Option<&Gone> {
        self.gone.get(key)
    }

    /// Number of published modules, providers and versions, for metrics.
    #[must_use]
    pub fn counts(&self) -> (usize, usize, usize) {
        let modules: usize = self.modules.values().map(HashMap::len).sum();
        let providers: usize = self.providers.values().map(HashMap::len).sum();
        let packages: usize = self
            .providers
            .values()
            .flat_map(HashMap::values)
            .flat_map(|entry| entry.by_version.values())
            .map(|version| {
                version
                    .releases
                    .first()
                    .map_or(0, |release| release.packages.len())
            })
            .sum();
        (modules, providers, self.by_backend_path.len() + packages)
    }

    /// One release to verify at readiness, when any provider is served.
    #[must_use]
    pub fn any_release(&self) -> Option<(Bytes, Bytes)> {
        self.providers
            .values()
            .flat_map(HashMap::values)
            .flat_map(|entry| entry.by_version.values())
            .find_map(|version| version.releases.first())
            .map(|release| (release.sums.clone(), release.signature.clone()))
    }
}

/// The key of a provider package among [`Catalog::gone`].
#[must_use]
pub fn package_key(
    namespace: &str,
    provider_type: &str,
    version: &Version,
    os: &str,
    arch: &str,
) -> String {
    format!(
        "provider/{namespace}/{provider_type}/{}/{os}/{arch}",
        version.release_key()
    )
}
