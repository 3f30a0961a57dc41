//! What every reconcile shares.

use crate::backoff::Backoff;
use crate::events::Events;
use crate::feed::Feed;
use crate::release::Completed;
use crate::throttle::Throttle;
use crate::version::Leaving;
use kube::Client;
use opendepot_actors::{ReconcilerHandle, ScannerHandle};
use opendepot_crds::StorageConfig;
use opendepot_domain::seam::BindingPolicies;
use opendepot_identity::ArtifactKeys;
use opendepot_signing::Signer;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::sync::watch;

/// How to build a [`Context`].
pub struct ContextOptions {
    /// The control plane.
    pub client: Client,
    /// Heavy work.
    pub reconciler: ReconcilerHandle,
    /// The scan slot.
    pub scanner: ScannerHandle,
    /// Who is given GroupBindings.
    pub policies: Arc<dyn BindingPolicies>,
    /// Changes whenever a policy came, changed or went: bindings are then given again.
    pub policies_changed: watch::Receiver<u64>,
    /// Seals statuses.
    pub artifact_keys: Arc<ArtifactKeys>,
    /// Signs releases; the reason when no key is usable.
    pub signer: Result<Arc<Signer>, String>,
    /// The backend of resources that name none.
    pub default_storage: Option<StorageConfig>,
    /// What relative `source.path` folders are relative to.
    pub manifests: Option<PathBuf>,
    /// Roots of absolute `source.path` folders.
    pub allowed_paths: Vec<PathBuf>,
    /// The upstream registry of providers that name none: its URL.
    pub provider_registry: String,
    /// Whether upstream releases must be signed.
    pub require_signature: bool,
    /// The one namespace that is watched; nothing for all.
    pub watch_namespace: Option<String>,
    /// How long bytes stay at a place that they were moved away from.
    pub grace: Duration,
}

/// Shared by all controllers.
pub struct Context {
    pub(crate) options: ContextOptions,
    pub(crate) feed: Feed,
    pub(crate) backoff: Backoff,
    pub(crate) throttle: Throttle,
    pub(crate) completed: Completed,
    pub(crate) events: Events,
    pub(crate) leaving: Leaving,
}

impl Context {
    /// Builds the context.
    #[must_use]
    pub fn new(options: ContextOptions, feed: Feed) -> Self {
        let events = Events::new(options.client.clone());
        Self {
            options,
            feed,
            events,
            backoff: Backoff::default(),
            throttle: Throttle::default(),
            completed: Completed::default(),
            leaving: Leaving::default(),
        }
    }

    pub(crate) fn client(&self) -> Client {
        self.options.client.clone()
    }

    pub(crate) fn api<K>(&self, namespace: &str) -> kube::Api<K>
    where
        K: kube::Resource<Scope = k8s_openapi::NamespaceResourceScope>,
        K::DynamicType: Default,
    {
        kube::Api::namespaced(self.client(), namespace)
    }
}

/// Unix seconds.
pub(crate) fn unix_now() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |elapsed| elapsed.as_secs())
}
