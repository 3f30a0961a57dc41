//! What every handler shares.

use crate::access::Access;
use crate::error::ApiError;
use crate::limits::Limits;
use crate::links::Links;
use crate::metric::Edge;
use opendepot_actors::RegistryHandle;
use opendepot_identity::ArtifactKeys;
use opendepot_transfer::Stores;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, SemaphorePermit, mpsc};

/// How module downloads are answered (contract.md 4).
#[derive(Clone, Debug)]
pub struct ModuleOptions {
    /// Whether OpenTofu 1.12 and newer are told to fetch with their registry credential.
    pub direct_download: bool,
    /// The largest archive for which that is done: that client form has ten seconds for the body.
    pub direct_download_max_bytes: u64,
}

/// How to build an [`ApiState`].
pub struct StateOptions {
    /// The registry actor's handle.
    pub registry: RegistryHandle,
    /// Who may do what.
    pub access: Access,
    /// Moves bytes.
    pub stores: Stores,
    /// Mints and verifies capabilities.
    pub artifact_keys: Arc<ArtifactKeys>,
    /// Limits of the edge.
    pub limits: Limits,
    /// How modules are answered.
    pub modules: ModuleOptions,
    /// Whether bare links of the original are served without a credential.
    pub allow_unsigned: bool,
    /// Root of the filesystem backend: paths outside it are 403 in anonymous mode.
    pub filesystem_root: PathBuf,
}

/// Shared state; cloning is one reference count.
#[derive(Clone)]
pub struct ApiState(Arc<Inner>);

struct Inner {
    options: StateOptions,
    downloads: Arc<Semaphore>,
    metadata: Semaphore,
    metrics: Edge,
    draining: AtomicBool,
    damage: OnceLock<mpsc::Sender<Damage>>,
    links: Links,
}

/// Recorded bytes that could not be served as recorded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damage {
    /// Namespace of the Version.
    pub namespace: String,
    /// Name of the Version.
    pub object_name: String,
    /// Whether they are gone; else they are not what the record says.
    pub is_missing: bool,
}

impl ApiState {
    /// Builds the state.
    #[must_use]
    pub fn new(options: StateOptions) -> Self {
        let downloads = Arc::new(Semaphore::new(options.limits.num_downloads));
        let metadata = Semaphore::new(options.limits.num_metadata);
        let draining = AtomicBool::new(false);
        let damage = OnceLock::new();
        Self(Arc::new(Inner {
            options,
            downloads,
            metadata,
            metrics: Edge::new(),
            draining,
            damage,
            links: Links::default(),
        }))
    }

    /// Names who is told of damaged artifacts; the first one named stays.
    pub fn report_damage_to(&self, reports: mpsc::Sender<Damage>) {
        let _ = self.0.damage.set(reports);
    }

    /// Reports damage. A full queue means that enough is known already.
    pub(crate) fn report(&self, damage: Damage) {
        if let Some(reports) = self.0.damage.get() {
            let _ = reports.try_send(damage);
        }
    }

    pub(crate) fn options(&self) -> &StateOptions {
        &self.0.options
    }

    pub(crate) fn registry(&self) -> &RegistryHandle {
        &self.0.options.registry
    }

    pub(crate) fn access(&self) -> &Access {
        &self.0.options.access
    }

    /// Readiness turns false from here on.
    pub fn start_draining(&self) {
        self.0.draining.store(true, Ordering::Relaxed);
    }

    /// Whether the process is about to stop.
    #[must_use]
    pub fn is_draining(&self) -> bool {
        self.0.draining.load(Ordering::Relaxed)
    }

    /// Downloads that hold a permit at this moment.
    #[must_use]
    pub fn num_active_downloads(&self) -> usize {
        self.0
            .options
            .limits
            .num_downloads
            .saturating_sub(self.0.downloads.available_permits())
    }

    /// Metadata requests that hold a permit at this moment.
    #[must_use]
    pub fn num_active_metadata(&self) -> usize {
        self.0
            .options
            .limits
            .num_metadata
            .saturating_sub(self.0.metadata.available_permits())
    }

    /// Links that were made a moment ago.
    pub(crate) fn links(&self) -> &Links {
        &self.0.links
    }

    pub(crate) fn metrics(&self) -> &Edge {
        &self.0.metrics
    }

    /// A metadata permit, or 503 at once.
    pub(crate) fn metadata_permit(&self) -> Result<SemaphorePermit<'_>, ApiError> {
        self.0.metadata.try_acquire().map_err(|_| {
            self.0.metrics.shed();
            ApiError::unavailable("too many requests at this moment, try again", 1)
        })
    }

    /// A download permit, waited for because clients never retry an archive.
    pub(crate) async fn download_permit(&self) -> Result<OwnedSemaphorePermit, ApiError> {
        let wait = Duration::from_secs(self.0.options.limits.download_wait_seconds);
        let permit =
            tokio::time::timeout(wait, Arc::clone(&self.0.downloads).acquire_owned()).await;
        permit.ok().and_then(Result::ok).ok_or_else(|| {
            self.0.metrics.shed();
            ApiError::unavailable("too many downloads at this moment, try again", 5)
        })
    }
}
