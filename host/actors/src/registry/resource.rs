//! What the registry actor is fed: published facts, already checked against their seals.

use opendepot_domain::{
    ArtifactId, ArtifactRecord, ConfigName, H1, Namespace, Presign, Release, ResourceName, Version,
};
use std::sync::Arc;

/// A Module resource, as far as serving cares.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModuleResource {
    /// Kubernetes namespace.
    pub namespace: Namespace,
    /// Resource name.
    pub name: ResourceName,
    /// Its uid: Versions name it as their owner.
    pub uid: String,
    /// The `provider` of its config: the `{system}` of its address; any is accepted when unset.
    pub system: Option<String>,
}

/// A Provider resource, as far as serving cares.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProviderResource {
    /// Kubernetes namespace.
    pub namespace: Namespace,
    /// Resource name.
    pub name: ResourceName,
    /// Its uid: Versions name it as their owner.
    pub uid: String,
    /// Deprecated versions and why; shown as `warnings`.
    pub deprecated: Vec<(Version, String)>,
}

/// A stored, permitted, sealed Version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VersionResource {
    /// The artifact; its name is the owning resource's.
    pub id: ArtifactId,
    /// Name of the Version object: breaks ties.
    pub object_name: String,
    /// Uid of the Module or Provider that controls it; nothing when it stands alone.
    pub owner_uid: Option<String>,
    /// On its way out: a provider platform is served until a release goes without it.
    pub is_deleting: bool,
    /// The `name` of its config: the storage key's first segment.
    pub config_name: ConfigName,
    /// The original's backend path of its download URL (contract.md 4).
    pub backend_path: String,
    /// Where the bytes are.
    pub record: ArtifactRecord,
    /// Whether clients get links to the store.
    pub presign: Option<Presign>,
    /// What an approved change replaced: an older release may still list it.
    pub previous: Option<ArtifactRecord>,
    /// Directory hash; providers only.
    pub h1: Option<H1>,
    /// Plugin protocols; providers only.
    pub protocols: Vec<String>,
    /// Signed releases that list this platform, newest first; providers only.
    pub releases: Vec<Release>,
}

/// Everything known at one moment.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    /// All modules.
    pub modules: Vec<Arc<ModuleResource>>,
    /// All providers.
    pub providers: Vec<Arc<ProviderResource>>,
    /// All servable versions of both kinds.
    pub versions: Vec<Arc<VersionResource>>,
}

/// Where the registry actor takes its facts from. It pulls rather than being told, so that a
/// restarted actor starts from a complete and fresh list.
pub trait CatalogSource: Send + Sync + 'static {
    /// The facts, or nothing before the initial lists are complete.
    fn snapshot(&self) -> Option<Snapshot>;
}
