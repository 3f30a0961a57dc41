//! The feed of the registry: watches Modules, Providers and Versions, and keeps what serving
//! needs of each, checked against its seal. The registry actor pulls snapshots from it.

use crate::alone::{self, Alone};
use crate::census::Census;
use crate::claims::{self, Claims, Place};
use crate::doomed::Doomed;
use crate::facts;
use crate::index::{Index, Summary};
use crate::labels::{self, LabelIndex, watch_namespaces};
use crate::metric;
use crate::seal;
use crate::shelf::{Shelf, keep, key};
use crate::version::approves_any;
use futures::{StreamExt as _, TryStreamExt as _};
use kube::runtime::watcher::{self, Event};
use kube::runtime::{WatchStreamExt as _, watcher as watch};
use kube::{Api, Client, ResourceExt as _};
use opendepot_actors::RegistryHandle;
use opendepot_actors::registry::{
    CatalogSource, ModuleResource, ProviderResource, Snapshot, VersionResource,
};
use opendepot_crds::{Module, Provider, StorageConfig, Version};
use opendepot_domain::access::Labels;
use opendepot_domain::seam::LabelSource;
use opendepot_domain::{ArtifactKind, Target};
use opendepot_identity::{ArtifactKeys, SealState};
use parking_lot::{Mutex, RwLock};
use serde::de::DeserializeOwned;
use std::collections::{HashMap, HashSet};
use std::fmt::Debug;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use tokio::sync::{Notify, mpsc};

/// The feed. Cloning is one reference count.
#[derive(Clone)]
pub struct Feed(Arc<Inner>);

struct Inner {
    keys: Arc<ArtifactKeys>,
    default_storage: Option<StorageConfig>,
    modules: Shelf<ModuleResource>,
    providers: Shelf<ProviderResource>,
    versions: Shelf<VersionResource>,
    summaries: RwLock<HashMap<String, Arc<Summary>>>,
    index: Index,
    claims: Claims,
    census: Census,
    alone: Alone,
    doomed: Doomed,
    labels: LabelIndex,
    owners: Owners,
    nudges: Nudges,
    /// Told whenever an initial list is complete.
    progress: Notify,
}

/// Tells the owners' controllers that one of their Versions changed. Bounded: a full queue holds
/// up the feed for as long as the controllers need.
struct Owners {
    sender: mpsc::Sender<Owner>,
    receiver: Mutex<Option<mpsc::Receiver<Owner>>>,
}

/// Versions that have to be looked at because something else changed. As [`Owners`].
struct Nudges {
    sender: mpsc::Sender<String>,
    receiver: Mutex<Option<mpsc::Receiver<String>>>,
}

impl Default for Nudges {
    fn default() -> Self {
        let (sender, receiver) = mpsc::channel(1024);
        Self {
            sender,
            receiver: Mutex::new(Some(receiver)),
        }
    }
}

/// A Module or Provider whose Versions changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Owner {
    pub(crate) kind: ArtifactKind,
    pub(crate) namespace: String,
    pub(crate) name: String,
}

impl Feed {
    /// An empty feed; [`Feed::run`] fills it. `default_storage` is of resources that name none.
    #[must_use]
    pub fn new(keys: Arc<ArtifactKeys>, default_storage: Option<StorageConfig>) -> Self {
        let (sender, receiver) = mpsc::channel(1024);
        Self(Arc::new(Inner {
            keys,
            default_storage,
            modules: Shelf::default(),
            providers: Shelf::default(),
            versions: Shelf::default(),
            summaries: RwLock::default(),
            index: Index::default(),
            claims: Claims::default(),
            census: Census::default(),
            alone: Alone::default(),
            doomed: Doomed::default(),
            labels: LabelIndex::default(),
            owners: Owners {
                sender,
                receiver: Mutex::new(Some(receiver)),
            },
            nudges: Nudges::default(),
            progress: Notify::new(),
        }))
    }

    /// What the owner with this uid controls.
    pub(crate) fn owned(&self, uid: &str) -> Vec<Arc<Summary>> {
        self.0.index.owned(uid)
    }

    /// Another Version than `object` (`namespace/name`) whose status holds this place.
    pub(crate) fn other_holder(&self, place: Place, object: &str) -> Option<String> {
        self.0.claims.other_holder(place, object)
    }

    /// Sets the gauges of what stands where, for a scrape.
    pub fn show(&self) {
        let now = i64::try_from(crate::context::unix_now()).unwrap_or(i64::MAX);
        self.0.census.show(now);
    }

    /// Resolves once `object` (`namespace/name`) is being deleted or gone.
    pub(crate) async fn doomed(&self, object: &str) {
        self.0.doomed.wait(object).await;
    }

    /// What a Version holds, when its status is ours.
    fn claim(&self, object: &Version) {
        let is_sealed = seal::check(&self.0.keys, object) != SealState::Invalid;
        self.0.census.note(&key(object), object, is_sealed);
        let places = if is_sealed {
            claims::places(object)
        } else {
            Vec::new()
        };
        self.0.claims.set(&key(object), places);
        self.0.alone.set(&key(object), alone::module_of(object));
        let is_deleting = object.metadata.deletion_timestamp.is_some();
        self.0.doomed.set(&key(object), is_deleting);
    }

    /// The owners whose Versions change; to be taken once.
    pub(crate) fn take_owners(&self) -> Option<mpsc::Receiver<Owner>> {
        self.0.owners.receiver.lock().take()
    }

    /// Versions, as `namespace/name`, to look at again; to be taken once.
    pub(crate) fn take_nudges(&self) -> Option<mpsc::Receiver<String>> {
        self.0.nudges.receiver.lock().take()
    }

    /// Whether the initial lists are complete.
    #[must_use]
    pub fn is_synced(&self) -> bool {
        let inner = &self.0;
        [
            &inner.modules.is_synced,
            &inner.providers.is_synced,
            &inner.versions.is_synced,
        ]
        .into_iter()
        .all(|synced| synced.load(Ordering::Acquire))
    }

    /// Resolves once the initial lists are complete.
    pub async fn synced(&self) {
        while !self.is_synced() {
            self.0.progress.notified().await;
        }
    }

    /// Watches until `shutdown`, telling the registry of every change.
    pub async fn run(
        &self,
        client: Client,
        namespace: Option<&str>,
        registry: RegistryHandle,
        shutdown: impl Future<Output = ()>,
    ) {
        let inner = &self.0;
        let modules = watch_kind(
            api::<Module>(&client, namespace),
            &inner.modules,
            facts::module,
            &registry,
            inner,
            ArtifactKind::Module,
        );
        let providers = watch_kind(
            api::<Provider>(&client, namespace),
            &inner.providers,
            facts::provider,
            &registry,
            inner,
            ArtifactKind::Provider,
        );
        let versions = self.watch_versions(api::<Version>(&client, namespace), &registry);
        let namespaces = watch_namespaces(client, namespace, &inner.labels);
        tokio::select! {
            () = shutdown => {}
            _ = futures::future::join4(modules, providers, versions, namespaces) => {}
        }
    }
}

impl Feed {
    /// As [`watch_kind`], and keeps the owners' index in step: an owner is told once the index
    /// knows, so that what it reads then is not older than what it was told of.
    async fn watch_versions(&self, api: Api<Version>, registry: &RegistryHandle) {
        let inner = &self.0;
        let default = inner.default_storage.as_ref();
        let convert = |object: &Version| facts::version(&inner.keys, default, object);
        let config = watcher::Config::default().page_size(crate::PAGE_SIZE);
        let mut events = watch(api, config).default_backoff().boxed();
        let mut fresh: HashMap<String, Arc<VersionResource>> = HashMap::new();
        let mut listed: HashMap<String, Arc<Summary>> = HashMap::new();
        let mut seen: HashSet<String> = HashSet::new();
        loop {
            let has_changed = match events.try_next().await {
                Ok(Some(Event::Init)) => {
                    fresh.clear();
                    listed.clear();
                    seen.clear();
                    false
                }
                Ok(Some(Event::InitApply(object))) => {
                    keep(
                        &mut fresh,
                        &object,
                        convert,
                        Some(&inner.versions.entries.read()),
                    );
                    self.claim(&object);
                    seen.insert(key(&object));
                    if let Some(summary) = Summary::of(&inner.keys, &object) {
                        listed.insert(key(&object), Arc::new(summary));
                    }
                    false
                }
                Ok(Some(Event::InitDone)) => {
                    inner.claims.retain(|object| seen.contains(object));
                    inner.alone.retain(|object| seen.contains(object));
                    inner.doomed.retain(|object| seen.contains(object));
                    inner.census.retain(&seen);
                    seen = HashSet::new();
                    let gone: Vec<String> = inner
                        .summaries
                        .read()
                        .keys()
                        .filter(|key| !listed.contains_key(*key))
                        .cloned()
                        .collect();
                    for key in gone {
                        self.note(key, None).await;
                    }
                    for (key, summary) in listed.drain() {
                        self.note(key, Some(summary)).await;
                    }
                    *inner.versions.entries.write() = std::mem::take(&mut fresh);
                    inner.versions.is_synced.store(true, Ordering::Release);
                    inner.progress.notify_one();
                    true
                }
                Ok(Some(Event::Apply(object))) => {
                    self.claim(&object);
                    self.note(
                        key(&object),
                        Summary::of(&inner.keys, &object).map(Arc::new),
                    )
                    .await;
                    keep(&mut inner.versions.entries.write(), &object, convert, None)
                }
                Ok(Some(Event::Delete(object))) => {
                    inner.claims.set(&key(&object), Vec::new());
                    inner.alone.set(&key(&object), None);
                    inner.doomed.gone(&key(&object));
                    inner.census.forget(&key(&object));
                    self.note(key(&object), None).await;
                    inner
                        .versions
                        .entries
                        .write()
                        .remove(&key(&object))
                        .is_some()
                }
                Ok(None) => return,
                Err(error) => {
                    watch_failed("version", &error);
                    false
                }
            };
            if has_changed {
                registry.catalog_changed().await;
            }
        }
    }

    /// Replaces one summary and tells its owner.
    async fn note(&self, key: String, after: Option<Arc<Summary>>) {
        let inner = &self.0;
        let before = match &after {
            Some(after) => inner.summaries.write().insert(key, Arc::clone(after)),
            None => inner.summaries.write().remove(&key),
        };
        let Some(about) = after.clone().or_else(|| before.clone()) else {
            return;
        };
        inner.index.replace(before.as_deref(), after);
        let owner = Owner {
            kind: about.owner.kind,
            namespace: about.namespace.clone(),
            name: about.owner.name.clone(),
        };
        // Before the first list is complete every owner is looked at anyway.
        if inner.versions.is_synced.load(Ordering::Acquire) {
            let _ = inner.owners.sender.send(owner).await;
        }
    }
}

impl Inner {
    /// Tells the Version controller which Versions a Module or Provider is news for: those that
    /// stand alone under its name, and those whose changed content it may approve.
    async fn nudge<K: kube::Resource>(&self, kind: ArtifactKind, owner: &K) {
        // Before the first list is complete every Version is looked at anyway.
        if !self.versions.is_synced.load(Ordering::Acquire) {
            return;
        }
        let mut versions = Vec::new();
        if kind == ArtifactKind::Module {
            versions = self.alone.of(&key(owner));
        }
        if approves_any(owner)
            && let Some(uid) = &owner.meta().uid
        {
            let owned = self.index.owned(uid);
            let drifted = owned.iter().filter(|version| version.has_drifted);
            versions
                .extend(drifted.map(|version| format!("{}/{}", version.namespace, version.name)));
        }
        for version in versions {
            // Refused only where no Version controller runs.
            let _ = self.nudges.sender.send(version).await;
        }
    }
}

pub(crate) fn watch_failed(kind: &'static str, error: &watcher::Error) {
    metric::watch_restarted(kind, error);
    tracing::warn!("watch of kind `{kind}` broke off, trying again: {error}");
}

impl LabelSource for Feed {
    fn labels(&self, target: &Target) -> Labels {
        let (namespace, name) = (target.namespace.as_str(), target.name.as_str());
        self.0.labels.of(namespace, target.kind, name)
    }
}

impl CatalogSource for Feed {
    fn snapshot(&self) -> Option<Snapshot> {
        self.is_synced().then(|| Snapshot {
            modules: self.0.modules.all(),
            providers: self.0.providers.all(),
            versions: self.0.versions.all(),
        })
    }
}

fn api<K>(client: &Client, namespace: Option<&str>) -> Api<K>
where
    K: kube::Resource<Scope = k8s_openapi::NamespaceResourceScope, DynamicType = ()>,
{
    match namespace {
        Some(namespace) => Api::namespaced(client.clone(), namespace),
        None => Api::all(client.clone()),
    }
}

/// Keeps a shelf in step with a kind. A relist replaces it whole once complete, so nothing is
/// inferred to be gone while listing (K05, K07).
async fn watch_kind<K, R, F>(
    api: Api<K>,
    shelf: &Shelf<R>,
    convert: F,
    registry: &RegistryHandle,
    inner: &Inner,
    kind: ArtifactKind,
) where
    K: kube::Resource<DynamicType = ()> + Clone + DeserializeOwned + Debug + Send + 'static,
    R: PartialEq,
    F: Fn(&K) -> Option<R>,
{
    let config = watcher::Config::default().page_size(crate::PAGE_SIZE);
    let mut events = watch(api, config).default_backoff().boxed();
    let mut fresh: HashMap<String, Arc<R>> = HashMap::new();
    let mut labelled = Vec::new();
    loop {
        let has_changed = match events.try_next().await {
            Ok(Some(Event::Init)) => {
                fresh.clear();
                labelled.clear();
                inner.census.clear_owners(kind);
                false
            }
            Ok(Some(Event::InitApply(object))) => {
                inner.census.note_owner(kind, &object, true);
                let place = (object.namespace().unwrap_or_default(), object.name_any());
                labelled.push((place.0, place.1, labels::labels(&object)));
                keep(&mut fresh, &object, &convert, Some(&shelf.entries.read()));
                false
            }
            Ok(Some(Event::InitDone)) => {
                inner.labels.replace(kind, std::mem::take(&mut labelled));
                *shelf.entries.write() = std::mem::take(&mut fresh);
                shelf.is_synced.store(true, Ordering::Release);
                inner.progress.notify_one();
                true
            }
            Ok(Some(Event::Apply(object))) => {
                inner.census.note_owner(kind, &object, true);
                inner.labels.note(kind, &object, true);
                let has_changed = keep(&mut shelf.entries.write(), &object, &convert, None);
                inner.nudge(kind, &object).await;
                has_changed
            }
            Ok(Some(Event::Delete(object))) => {
                inner.census.note_owner(kind, &object, false);
                inner.labels.note(kind, &object, false);
                let has_changed = shelf.entries.write().remove(&key(&object)).is_some();
                inner.nudge(kind, &object).await;
                has_changed
            }
            Ok(None) => return,
            Err(error) => {
                watch_failed(kind.as_str(), &error);
                false
            }
        };
        if has_changed {
            registry.catalog_changed().await;
        }
    }
}
