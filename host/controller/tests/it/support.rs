//! A control plane, the controllers and a registry in this process.

use crate::bindings::Policies;
use futures::StreamExt as _;
use kube::api::{DeleteParams, Patch, PatchParams, PostParams, WatchEvent, WatchParams};
use kube::runtime::wait::{await_condition, conditions};
use kube::{Api, Client, Resource, ResourceExt as _};
use opendepot_actors::reconciler::{SourceOptions, Sources, Workshop};
use opendepot_actors::registry::{RegistryOptions, RenderContext};
use opendepot_actors::{
    Arbiters, ReconcilerHandle, RegistryHandle, ScannerHandle, reconciler::ReconcilerOptions,
};
use opendepot_apiserver::{Embedded, Options};
use opendepot_controller::{Context, ContextOptions, Controllers, Feed};
use opendepot_crds::{
    ConditionType, Depot, GroupBinding, Module, Provider, Version, conditions::find,
};
use opendepot_domain::seam::{BindingPolicies, BoxFuture, SeamError, StorageDecisions};
use opendepot_domain::{
    Artifact, ArtifactRecord, NativePlan, Operation, Placement, PluginId, Sha256, Transfer,
};
use opendepot_identity::ArtifactKeys;
use opendepot_signing::Signer;
use opendepot_transfer::{EgressConfig, FetchLimits, Fetcher, Stores, StoresConfig};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use std::fmt::Debug;
use std::io::Write as _;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};
use tempfile::TempDir;
use tokio::runtime::Runtime;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use url::Url;

/// Nothing here takes longer, also on a busy machine.
pub(crate) const DEADLINE: Duration = Duration::from_secs(60);
/// Where everything is.
pub(crate) const NAMESPACE: &str = "default";

/// Runs a test where actors can be started; all tests share one pool.
pub(crate) fn run<F: Future>(test: impl FnOnce(Arc<Runtime>) -> F) -> F::Output {
    static POOL: OnceLock<Arc<Runtime>> = OnceLock::new();
    let pool = POOL.get_or_init(|| {
        let mut builder = tokio::runtime::Builder::new_multi_thread();
        Arc::new(builder.worker_threads(2).enable_all().build().unwrap())
    });
    opendepot_actors::runtime::block_on(pool, test(Arc::clone(pool)))
}

/// Everything goes to the filesystem store, under the config's name; with `moved-` before it where the resource
/// names a directory.
#[derive(Default)]
pub(crate) struct Storage {
    /// Whether the store is down.
    pub(crate) is_down: AtomicBool,
}

impl StorageDecisions for Storage {
    fn validate<'a>(
        &'a self,
        _: &'a PluginId,
        _: Option<&'a str>,
    ) -> BoxFuture<'a, Result<(), SeamError>> {
        Box::pin(std::future::ready(Ok(())))
    }

    fn locate<'a>(
        &'a self,
        _: &'a PluginId,
        backend: Option<&'a str>,
        artifact: &'a Artifact,
    ) -> BoxFuture<'a, Result<Placement, SeamError>> {
        let is_moved = backend.is_some_and(|backend| backend.contains("directoryPath"));
        let folder = if is_moved { "moved-" } else { "" };
        let key = format!("{folder}{}/{}", artifact.config_name, artifact.file_name);
        Box::pin(std::future::ready(Ok(placement(&key))))
    }

    fn plan<'a>(
        &'a self,
        record: &'a ArtifactRecord,
        _: &'a Artifact,
        operation: Operation,
        _: u64,
    ) -> BoxFuture<'a, Result<Transfer, SeamError>> {
        let is_down = self.is_down.load(Ordering::Relaxed);
        Box::pin(std::future::ready(match operation {
            _ if is_down => Err(SeamError {
                kind: opendepot_domain::Kind::Unavailable,
                message: "the store is down".to_owned(),
            }),
            Operation::Prepare => Ok(Transfer::Nothing),
            _ => Ok(Transfer::Native(NativePlan {
                plugin: record.plugin.clone(),
                placement: placement(&record.key),
            })),
        }))
    }
}

fn placement(key: &str) -> Placement {
    Placement {
        store: "file:///".to_owned(),
        key: key.to_owned(),
        attributes: Vec::new(),
        options: Vec::new(),
        credentials: None,
    }
}

/// The running parts.
pub(crate) struct World {
    pub(crate) client: Client,
    pub(crate) registry: RegistryHandle,
    pub(crate) storage: Arc<Storage>,
    pub(crate) policies: Arc<Policies>,
    pub(crate) context: Arc<Context>,
    pub(crate) signer: Arc<Signer>,
    folder: TempDir,
    /// Where GitHub would be: takes connections and never answers.
    silent: TcpListener,
    keys: Arc<ArtifactKeys>,
    arbiters: Arbiters,
    stop: watch::Sender<bool>,
    tasks: Vec<JoinHandle<()>>,
    _embedded: Embedded,
}

impl Drop for World {
    fn drop(&mut self) {
        let _ = self.stop.send(true);
        for task in &self.tasks {
            task.abort();
        }
        self.registry.stop();
        self.arbiters.stop();
    }
}

pub(crate) const ALL: Controllers = Controllers {
    module: true,
    provider: true,
    version: true,
};

impl World {
    pub(crate) async fn start(pool: &Arc<Runtime>) -> Self {
        Self::with_signing(pool, true).await
    }

    /// With or without a usable signing key.
    pub(crate) async fn with_signing(pool: &Arc<Runtime>, can_sign: bool) -> Self {
        let folder = tempfile::tempdir().unwrap();
        for part in ["temp", "manifests"] {
            std::fs::create_dir(folder.path().join(part)).unwrap();
        }
        let embedded = Embedded::open(Options {
            path: None,
            crds: opendepot_crds::all(),
            watch_history: 10_000,
        })
        .unwrap();
        let keys = Arc::new(ArtifactKeys::load_or_generate(&folder.path().join("keys")).unwrap());
        let (signer, _) =
            Signer::generate_ed25519("Test <test@example.org>", 1_700_000_000).unwrap();
        let signer = Arc::new(signer);
        let storage = Arc::new(Storage::default());
        let policies = Arc::new(Policies::default());
        let arbiters = Arbiters::start(pool);
        let client = embedded.client(NAMESPACE);
        let silent = TcpListener::bind("127.0.0.1:0").unwrap();
        let parts = Parts {
            folder: folder.path(),
            silent: &silent,
            client: &client,
            keys: &keys,
            storage: &storage,
            policies: &policies,
        };
        let signing = if can_sign {
            Ok(Arc::clone(&signer))
        } else {
            Err("the key has expired".to_owned())
        };
        let (stop, stopped) = watch::channel(false);
        let (registry, context, tasks) = parts.start(&arbiters, signing, stopped);
        Self {
            client,
            registry,
            storage,
            policies,
            context,
            signer,
            folder,
            silent,
            keys,
            arbiters,
            stop,
            tasks,
            _embedded: embedded,
        }
    }

    /// Ends the controllers and starts fresh ones over the same control plane, with `keys`.
    pub(crate) async fn restart(&mut self, pool: &Arc<Runtime>, keys: Option<Arc<ArtifactKeys>>) {
        let _ = self.stop.send(true);
        for task in self.tasks.drain(..) {
            let _ = tokio::time::timeout(DEADLINE, task)
                .await
                .expect("it does not end");
        }
        self.registry.stop();
        self.arbiters.stop();
        self.arbiters = Arbiters::start(pool);
        if let Some(keys) = keys {
            self.keys = keys;
        }
        let (stop, stopped) = watch::channel(false);
        let parts = Parts {
            folder: self.folder.path(),
            silent: &self.silent,
            client: &self.client,
            keys: &self.keys,
            storage: &self.storage,
            policies: &self.policies,
        };
        let (registry, context, tasks) =
            parts.start(&self.arbiters, Ok(Arc::clone(&self.signer)), stopped);
        (self.registry, self.context, self.tasks, self.stop) = (registry, context, tasks, stop);
    }

    /// A keys file with a new key before the old ones.
    pub(crate) fn rotated_keys(&self) -> Arc<ArtifactKeys> {
        let old = std::fs::read_to_string(self.folder.path().join("keys")).unwrap();
        let path = self.folder.path().join("rotated");
        ArtifactKeys::generate(&path).unwrap();
        let new = std::fs::read_to_string(&path).unwrap();
        std::fs::write(&path, format!("{new}{old}")).unwrap();
        Arc::new(ArtifactKeys::load(&path).unwrap())
    }

    pub(crate) fn keys(&self) -> &ArtifactKeys {
        &self.keys
    }

    pub(crate) fn api<K>(&self) -> Api<K>
    where
        K: Resource<Scope = k8s_openapi::NamespaceResourceScope, DynamicType = ()>,
    {
        Api::namespaced(self.client.clone(), NAMESPACE)
    }

    pub(crate) fn manifests(&self) -> PathBuf {
        self.folder.path().join("manifests")
    }

    /// Whether the source that never answers was asked; to be asked once.
    pub(crate) fn is_source_asked(&self) -> bool {
        self.silent.set_nonblocking(true).unwrap();
        match self.silent.accept() {
            Ok((connection, _)) => {
                // Kept open: a closed one would be an answer.
                std::mem::forget(connection);
                true
            }
            Err(_) => false,
        }
    }

    /// Every stored file, by its key.
    pub(crate) fn stored(&self) -> Vec<String> {
        let root = self.folder.path().join("artifacts");
        let mut keys = Vec::new();
        for folder in std::fs::read_dir(&root)
            .unwrap()
            .map(|entry| entry.unwrap().path())
        {
            if folder.is_dir() {
                let files = std::fs::read_dir(&folder).unwrap();
                keys.extend(files.map(|file| {
                    file.unwrap()
                        .path()
                        .strip_prefix(&root)
                        .unwrap()
                        .to_str()
                        .unwrap()
                        .to_owned()
                }));
            }
        }
        keys.sort();
        keys
    }

    pub(crate) fn stored_path(&self, key: &str) -> PathBuf {
        self.folder.path().join("artifacts").join(key)
    }

    /// Writes the source of a module version.
    pub(crate) fn write_module(&self, name: &str, version: &str, text: &str) {
        let folder = self.manifests().join(name).join(version);
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join("main.tf"), format!("# {text}\n")).unwrap();
    }

    /// Writes a provider package into its release folder.
    pub(crate) fn write_package(&self, name: &str, version: &str, os: &str, text: &str) {
        let folder = self.manifests().join(name).join(version);
        std::fs::create_dir_all(&folder).unwrap();
        let file = std::fs::File::create(folder.join(format!(
            "terraform-provider-{name}_{version}_{os}_amd64.zip"
        )))
        .unwrap();
        let mut zip = zip::ZipWriter::new(file);
        let options = zip::write::SimpleFileOptions::default().unix_permissions(0o755);
        zip.start_file(format!("terraform-provider-{name}_v{version}"), options)
            .unwrap();
        zip.write_all(format!("{text} {os}").as_bytes()).unwrap();
        zip.finish().unwrap();
    }

    pub(crate) async fn create<K>(&self, object: Value) -> K
    where
        K: Resource<Scope = k8s_openapi::NamespaceResourceScope, DynamicType = ()>
            + Clone
            + Debug
            + Serialize
            + DeserializeOwned,
    {
        let object: K = serde_json::from_value(object).unwrap();
        self.api()
            .create(&PostParams::default(), &object)
            .await
            .unwrap()
    }

    /// A merge patch, as a user would send it.
    pub(crate) async fn patch<K>(&self, name: &str, patch: Value) -> K
    where
        K: Resource<Scope = k8s_openapi::NamespaceResourceScope, DynamicType = ()>
            + Clone
            + Debug
            + DeserializeOwned,
    {
        self.api()
            .patch(name, &PatchParams::default(), &Patch::Merge(patch))
            .await
            .unwrap()
    }

    pub(crate) async fn patch_status(&self, name: &str, status: Value) -> Version {
        let patch = Patch::Merge(json!({ "status": status }));
        self.api()
            .patch_status(name, &PatchParams::default(), &patch)
            .await
            .unwrap()
    }

    pub(crate) async fn annotate<K>(&self, name: &str, key: &str, value: &str) -> K
    where
        K: Resource<Scope = k8s_openapi::NamespaceResourceScope, DynamicType = ()>
            + Clone
            + Debug
            + DeserializeOwned,
    {
        self.patch(
            name,
            json!({ "metadata": { "annotations": { key: value } } }),
        )
        .await
    }

    pub(crate) async fn delete<K>(&self, name: &str)
    where
        K: Resource<Scope = k8s_openapi::NamespaceResourceScope, DynamicType = ()>
            + Clone
            + Debug
            + DeserializeOwned,
    {
        self.api::<K>()
            .delete(name, &DeleteParams::default())
            .await
            .unwrap();
    }

    pub(crate) async fn get<K>(&self, name: &str) -> K
    where
        K: Resource<Scope = k8s_openapi::NamespaceResourceScope, DynamicType = ()>
            + Clone
            + Debug
            + DeserializeOwned,
    {
        self.api().get(name).await.unwrap()
    }

    /// Waits until the object is as `claim` says.
    pub(crate) async fn until<K>(&self, name: &str, what: &str, claim: impl Fn(&K) -> bool) -> K
    where
        K: Resource<Scope = k8s_openapi::NamespaceResourceScope, DynamicType = ()>
            + Clone
            + Debug
            + DeserializeOwned
            + Send
            + 'static,
    {
        let is_met = |object: Option<&K>| object.is_some_and(&claim);
        let wait = await_condition(self.api::<K>(), name, is_met);
        match tokio::time::timeout(DEADLINE, wait).await {
            Ok(object) => object.unwrap().unwrap(),
            Err(_) => {
                let now = self.api::<K>().get_opt(name).await.unwrap();
                panic!("waited too long for {what} of `{name}`: {now:#?}");
            }
        }
    }

    /// Waits until a Version is published.
    pub(crate) async fn published(&self, name: &str) -> Version {
        self.until(name, "publication", |version: &Version| {
            is(version, ConditionType::Published)
        })
        .await
    }

    /// Waits until the object with this uid is gone.
    pub(crate) async fn gone<K>(&self, object: &K)
    where
        K: Resource<Scope = k8s_openapi::NamespaceResourceScope, DynamicType = ()>
            + Clone
            + Debug
            + DeserializeOwned
            + Send
            + 'static,
    {
        let (name, uid) = (object.name_any(), object.uid().unwrap());
        let wait = await_condition(self.api::<K>(), &name, conditions::is_deleted(&uid));
        tokio::time::timeout(DEADLINE, wait)
            .await
            .expect("it stays")
            .unwrap();
    }

    /// Waits for a condition of the parts.
    pub(crate) async fn wait(&self, what: &str, is_met: impl Fn() -> bool) {
        let deadline = Instant::now() + DEADLINE;
        while !is_met() {
            assert!(Instant::now() < deadline, "waited too long for {what}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// The digest of the bytes that clients get for a module version.
    pub(crate) fn served(&self, module: &str, version: &str) -> Option<Sha256> {
        let catalog = self.registry.catalog();
        let entry = catalog.module(NAMESPACE, module)?;
        Some(entry.version(&version.parse().unwrap())?.record.sha256)
    }

    /// The ids of the releases that clients get for a provider version, newest first, and the
    /// platforms of the newest.
    pub(crate) fn released(
        &self,
        provider: &str,
        version: &str,
    ) -> Option<(Vec<String>, Vec<String>)> {
        let catalog = self.registry.catalog();
        let version = catalog
            .provider(NAMESPACE, provider)?
            .version(&version.parse().unwrap())?;
        let ids = version
            .releases
            .iter()
            .map(|release| release.id.clone())
            .collect();
        let packages = version.releases[0].packages.iter();
        Some((
            ids,
            packages
                .map(|package| package.platform.to_string())
                .collect(),
        ))
    }

    /// Waits until no resource of ours has changed for `quiet`, and says at which
    /// revision that is.
    pub(crate) async fn settled(&self, quiet: Duration) -> String {
        let started = Instant::now();
        loop {
            assert!(started.elapsed() < DEADLINE, "it never comes to rest");
            let revision = self
                .api::<Version>()
                .list(&Default::default())
                .await
                .unwrap()
                .metadata
                .resource_version
                .unwrap();
            if self.is_quiet_after(&revision, quiet).await {
                return revision;
            }
        }
    }

    /// Whether nothing is written for `quiet` after `revision`.
    pub(crate) async fn is_quiet_after(&self, revision: &str, quiet: Duration) -> bool {
        let versions = self.next_write::<Version>(revision);
        let modules = self.next_write::<Module>(revision);
        let providers = self.next_write::<Provider>(revision);
        let unbuilt = [
            self.next_write::<Depot>(revision),
            self.next_write::<GroupBinding>(revision),
        ];
        let built = [versions, modules, providers];
        let any = futures::future::select_all(built.into_iter().chain(unbuilt));
        match tokio::time::timeout(quiet, any).await {
            Err(_) => true,
            Ok((what, ..)) => {
                eprintln!("written after {revision}: {what}");
                false
            }
        }
    }

    fn next_write<K>(&self, revision: &str) -> futures::future::BoxFuture<'static, String>
    where
        K: Resource<Scope = k8s_openapi::NamespaceResourceScope, DynamicType = ()>
            + Clone
            + Debug
            + DeserializeOwned
            + Send
            + 'static,
    {
        let (api, revision) = (self.api::<K>(), revision.to_owned());
        Box::pin(async move {
            let mut events = api
                .watch(&WatchParams::default(), &revision)
                .await
                .unwrap()
                .boxed();
            while let Some(event) = events.next().await {
                match event.unwrap() {
                    WatchEvent::Bookmark(_) => {}
                    WatchEvent::Added(object)
                    | WatchEvent::Modified(object)
                    | WatchEvent::Deleted(object) => {
                        let managers = object.meta().managed_fields.clone().unwrap_or_default();
                        let by = managers.last().and_then(|last| last.manager.clone());
                        return format!("{} `{}` by {by:?}", K::kind(&()), object.name_any());
                    }
                    WatchEvent::Error(error) => panic!("{error}"),
                }
            }
            "the watch ended".to_owned()
        })
    }
}

/// What the parts are made of.
struct Parts<'a> {
    folder: &'a Path,
    silent: &'a TcpListener,
    client: &'a Client,
    keys: &'a Arc<ArtifactKeys>,
    storage: &'a Arc<Storage>,
    policies: &'a Arc<Policies>,
}

impl Parts<'_> {
    fn start(
        &self,
        arbiters: &Arbiters,
        signer: Result<Arc<Signer>, String>,
        stopped: watch::Receiver<bool>,
    ) -> (RegistryHandle, Arc<Context>, Vec<JoinHandle<()>>) {
        let feed = Feed::new(Arc::clone(self.keys), None);
        let storage = Arc::clone(self.storage) as Arc<dyn StorageDecisions>;
        let registry = RegistryHandle::start(
            arbiters.registry(),
            RegistryOptions {
                source: Arc::new(feed.clone()),
                storage: Arc::clone(&storage),
                context: RenderContext {
                    base_url: String::new(),
                    artifact_keys: Arc::clone(self.keys),
                    signing_keys: Arc::default(),
                },
                num_cached_plans: 100,
            },
        );
        let github: Url = format!("http://{}/", self.silent.local_addr().unwrap())
            .parse()
            .unwrap();
        let egress = EgressConfig {
            allow_http: vec!["127.0.0.1".to_owned()],
            ..EgressConfig::default()
        };
        let policy = egress.policy().unwrap().endpoint(&github).unwrap();
        let fetcher = Fetcher::new(policy, FetchLimits::default());
        let sources = Sources::new(SourceOptions {
            fetcher: fetcher.unwrap(),
            github_api: github,
            github_token: None,
            progress: Arc::new(|_, _, _| {}),
        });
        let workshop = Workshop {
            sources: sources.unwrap(),
            storage,
            stores: Stores::open(StoresConfig::new(self.folder.join("artifacts"))).unwrap(),
            temp_dir: self.folder.join("temp"),
            module_limits: opendepot_archive::Limits::module(),
            provider_limits: opendepot_archive::Limits::module(),
        };
        let options = ReconcilerOptions {
            workshop,
            num_fetches: 4,
            num_stores: 4,
        };
        let context = Arc::new(Context::new(
            ContextOptions {
                client: self.client.clone(),
                reconciler: ReconcilerHandle::start(arbiters.reconciler(), options),
                scanner: ScannerHandle::start(arbiters.scanner()),
                policies: Arc::clone(self.policies) as Arc<dyn BindingPolicies>,
                policies_changed: self.policies.changed.subscribe(),
                artifact_keys: Arc::clone(self.keys),
                signer,
                default_storage: None,
                manifests: Some(self.folder.join("manifests")),
                allowed_paths: Vec::new(),
                provider_registry: "https://registry.invalid".to_owned(),
                require_signature: true,
                watch_namespace: None,
                grace: std::time::Duration::ZERO,
            },
            feed.clone(),
        ));
        let (client, handle, mut end) = (self.client.clone(), registry.clone(), stopped.clone());
        let feeding = tokio::spawn(async move {
            let ended = async move {
                let _ = end.wait_for(|stop| *stop).await;
            };
            feed.run(client, None, handle, ended).await;
        });
        let controlling = tokio::spawn(opendepot_controller::run(
            Arc::clone(&context),
            ALL,
            stopped,
        ));
        (registry, context, vec![feeding, controlling])
    }
}

/// A Module over the source folders of [`World::write_module`].
pub(crate) fn module(name: &str, versions: &[&str], config: Value) -> Value {
    let mut object = json!({
        "apiVersion": "opendepot.defdev.io/v1alpha1",
        "kind": "Module",
        "metadata": { "name": name },
        "spec": {
            "moduleConfig": { "provider": "aws", "source": { "path": format!("{name}/{{version}}") } },
            "versions": versions.iter().map(|version| json!({ "version": version })).collect::<Vec<_>>(),
        },
    });
    for (key, value) in config.as_object().unwrap() {
        object["spec"]["moduleConfig"][key] = value.clone();
    }
    object
}

/// A Provider over the release folders of [`World::write_package`].
pub(crate) fn provider(name: &str, version: &str, systems: &[&str]) -> Value {
    json!({
        "apiVersion": "opendepot.defdev.io/v1alpha1",
        "kind": "Provider",
        "metadata": { "name": name },
        "spec": {
            "providerConfig": {
                "operatingSystems": systems,
                "architectures": ["amd64"],
                "source": { "path": format!("{name}/{{version}}") },
            },
            "versions": [{ "version": version }],
        },
    })
}

/// Whether a condition is true.
pub(crate) fn is(version: &Version, type_: ConditionType) -> bool {
    let conditions = version
        .status
        .as_ref()
        .map(|status| status.conditions.as_slice())
        .unwrap_or_default();
    find(conditions, type_).is_some_and(|condition| condition.status == "True")
}

/// The reason and message of a condition.
pub(crate) fn said(version: &Version, type_: ConditionType) -> (String, String) {
    let conditions = version
        .status
        .as_ref()
        .map(|status| status.conditions.as_slice())
        .unwrap_or_default();
    find(conditions, type_)
        .map(|condition| (condition.reason.clone(), condition.message.clone()))
        .unwrap_or_default()
}

/// The recorded digest.
pub(crate) fn recorded(version: &Version) -> Sha256 {
    let artifact = version.status.as_ref().unwrap().artifact.as_ref().unwrap();
    Sha256::from_hex(&artifact.sha256).unwrap()
}
