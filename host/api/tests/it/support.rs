//! A registry in this process: the real actor, stores in a temp folder, hand-written seams.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::{HeaderMap, Method, Request, StatusCode};
use http_body_util::BodyExt as _;
use opendepot_actors::registry::{
    CatalogSource, ModuleResource, ProviderResource, RegistryOptions, RenderContext,
    SigningKeyDocument, Snapshot, VersionResource,
};
use opendepot_actors::{Arbiters, RegistryHandle};
use opendepot_api::routes::{self, Peer};
use opendepot_api::{Access, AccessOptions, ApiState, Limits, ModuleOptions, StateOptions};
use opendepot_domain::access::Base;
use opendepot_domain::seam::{AccessPolicy, BoxFuture, SeamError, StorageDecisions};
use opendepot_domain::{
    Action, Artifact, ArtifactId, ArtifactKind, ArtifactRecord, Capability, ConfigName, Decision,
    FileName, H1, Kind, Namespace, Operation, Placement, Platform, PluginId, Purpose, Release,
    ReleaseFile, ResourceName, Sha256, Subject, Target, Transfer, Version, release,
};
use opendepot_identity::{ArtifactKeys, TokenFile, Verifier};
use opendepot_transfer::{Stores, StoresConfig};
use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tempfile::TempDir;
use tokio::runtime::Runtime;
use tower::ServiceExt as _;

/// Runs a test where actors can be started; all tests share one pool.
pub(crate) fn run<F: Future>(test: impl FnOnce(Arc<Runtime>) -> F) -> F::Output {
    static POOL: OnceLock<Arc<Runtime>> = OnceLock::new();
    let pool = POOL.get_or_init(|| {
        let mut builder = tokio::runtime::Builder::new_multi_thread();
        Arc::new(builder.worker_threads(2).enable_all().build().unwrap())
    });
    opendepot_actors::runtime::block_on(pool, test(Arc::clone(pool)))
}

/// Who may come in.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    /// Everybody.
    Anonymous,
    /// Everybody on this machine.
    LocalOnly,
    /// Holders of a token of the token file.
    Token,
}

type Rule = Box<dyn Fn(&Subject, Action, &Target) -> Vec<Decision> + Send + Sync>;

/// A chain of policies that is one closure, or none.
pub(crate) struct FakePolicy {
    rule: Option<Rule>,
    pub(crate) generation: AtomicU64,
    pub(crate) num_calls: AtomicUsize,
}

impl AccessPolicy for FakePolicy {
    fn generation(&self) -> u64 {
        self.generation.load(Ordering::Relaxed)
    }

    fn is_empty(&self) -> bool {
        self.rule.is_none()
    }

    fn authorize<'a>(
        &'a self,
        subject: &'a Subject,
        action: Action,
        targets: &'a [Target],
        _: u64,
    ) -> BoxFuture<'a, Vec<Decision>> {
        self.num_calls.fetch_add(1, Ordering::Relaxed);
        let rule = self.rule.as_ref().unwrap();
        let answers = targets
            .iter()
            .flat_map(|target| rule(subject, action, target))
            .collect();
        Box::pin(std::future::ready(answers))
    }
}

/// Plans reads under the record's own key.
#[derive(Default)]
pub(crate) struct FakeStorage {
    pub(crate) num_plans: AtomicUsize,
    pub(crate) failure: Mutex<Option<Kind>>,
}

impl StorageDecisions for FakeStorage {
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
        _: Option<&'a str>,
        _: &'a Artifact,
    ) -> BoxFuture<'a, Result<Placement, SeamError>> {
        unreachable!("serving never places")
    }

    fn plan<'a>(
        &'a self,
        record: &'a ArtifactRecord,
        _: &'a Artifact,
        operation: Operation,
        _: u64,
    ) -> BoxFuture<'a, Result<Transfer, SeamError>> {
        assert_eq!(operation, Operation::Get);
        self.num_plans.fetch_add(1, Ordering::Relaxed);
        let failure = *self.failure.lock().unwrap();
        Box::pin(std::future::ready(match failure {
            Some(kind) => Err(SeamError {
                kind,
                message: "secret detail of `s3://inner-bucket`".to_owned(),
            }),
            None => Ok(native(record)),
        }))
    }
}

fn native(record: &ArtifactRecord) -> Transfer {
    Transfer::Native(Placement {
        store: record.store.clone(),
        key: record.key.clone(),
        attributes: Vec::new(),
        options: Vec::new(),
        credentials: None,
    })
}

/// Facts that a test can change.
#[derive(Default)]
pub(crate) struct FakeSource(Mutex<Snapshot>);

impl CatalogSource for FakeSource {
    fn snapshot(&self) -> Option<Snapshot> {
        Some(self.0.lock().unwrap().clone())
    }
}

/// How to build a [`World`].
pub(crate) struct Setup {
    pub(crate) mode: Mode,
    pub(crate) limits: Limits,
    pub(crate) allow_unsigned: bool,
    pub(crate) base_url: String,
    pub(crate) modules: ModuleOptions,
    rule: Option<Rule>,
}

impl Setup {
    pub(crate) fn new(mode: Mode) -> Self {
        Self {
            mode,
            limits: Limits::default(),
            allow_unsigned: false,
            base_url: String::new(),
            modules: ModuleOptions {
                direct_download: true,
                direct_download_max_bytes: 100_000,
            },
            rule: None,
        }
    }

    /// Lists one policy.
    pub(crate) fn policy(
        mut self,
        rule: impl Fn(&Subject, Action, &Target) -> Decision + Send + Sync + 'static,
    ) -> Self {
        self.rule = Some(Box::new(move |subject, action, target| {
            vec![rule(subject, action, target)]
        }));
        self
    }

    /// Lists one policy that answers whatever it likes.
    pub(crate) fn raw_policy(
        mut self,
        rule: impl Fn(&Subject, Action, &Target) -> Vec<Decision> + Send + Sync + 'static,
    ) -> Self {
        self.rule = Some(Box::new(rule));
        self
    }

    /// Starts with the facts of [`facts`].
    pub(crate) async fn start(self, pool: &Arc<Runtime>) -> World {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("artifacts");
        let stores = Stores::open(StoresConfig::new(&root)).unwrap();
        let (snapshot, bytes) = facts(&root);
        let source = Arc::new(FakeSource(Mutex::new(snapshot)));
        let storage = Arc::new(FakeStorage::default());
        let keys = fixed_keys(folder.path());
        let arbiters = Arbiters::start(pool);
        let registry = RegistryHandle::start(
            arbiters.registry(),
            RegistryOptions {
                source: Arc::clone(&source) as Arc<dyn CatalogSource>,
                storage: Arc::clone(&storage) as Arc<dyn StorageDecisions>,
                context: RenderContext {
                    base_url: self.base_url,
                    artifact_keys: Arc::clone(&keys),
                    signing_keys: Arc::new(vec![SigningKeyDocument {
                        key_id: "0123456789ABCDEF".to_owned(),
                        ascii_armor: "-- the armored key --".to_owned(),
                        source_url: None,
                    }]),
                },
                num_cached_plans: 100,
            },
        );
        let tokens = folder.path().join("tokens.yaml");
        let token = TokenFile::create(&tokens, "reader", &["team".to_owned()], None).unwrap();
        let verifier = match self.mode {
            Mode::Token => Verifier::TokenFile(Arc::new(TokenFile::open(&tokens).unwrap())),
            Mode::Anonymous | Mode::LocalOnly => Verifier::Anonymous,
        };
        let base = verifier.base();
        assert_eq!(base == Base::Deny, self.mode == Mode::Token);
        let policy = Arc::new(FakePolicy {
            rule: self.rule,
            generation: AtomicU64::new(1),
            num_calls: AtomicUsize::new(0),
        });
        let state = ApiState::new(StateOptions {
            registry: registry.clone(),
            access: Access::new(AccessOptions {
                verifier,
                policy: Arc::clone(&policy) as Arc<dyn AccessPolicy>,
                base,
                local_only: self.mode == Mode::LocalOnly,
            }),
            stores,
            artifact_keys: Arc::clone(&keys),
            limits: self.limits.clone(),
            modules: self.modules,
            allow_unsigned: self.allow_unsigned,
            filesystem_root: root.clone(),
        });
        let world = World {
            router: routes::router(state.clone()),
            state,
            registry,
            storage,
            policy,
            keys,
            token,
            bytes,
            limits: self.limits,
            root,
            source,
            arbiters,
            _folder: folder,
        };
        until("the first catalog", || world.registry.is_built()).await;
        world
    }
}

/// A running registry.
pub(crate) struct World {
    pub(crate) router: axum::Router,
    pub(crate) state: ApiState,
    pub(crate) registry: RegistryHandle,
    pub(crate) storage: Arc<FakeStorage>,
    pub(crate) policy: Arc<FakePolicy>,
    pub(crate) keys: Arc<ArtifactKeys>,
    pub(crate) token: String,
    pub(crate) bytes: Bytes,
    pub(crate) limits: Limits,
    pub(crate) root: std::path::PathBuf,
    source: Arc<FakeSource>,
    arbiters: Arbiters,
    _folder: TempDir,
}

impl Drop for World {
    fn drop(&mut self) {
        self.registry.stop();
        self.arbiters.stop();
    }
}

/// A whole answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Answer {
    pub(crate) fn code(&self) -> u16 {
        self.status.as_u16()
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .map_or("", |value| value.to_str().unwrap())
    }

    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("{error}: {:?}", String::from_utf8_lossy(&self.body)))
    }

    /// What we say of errors: JSON with one sentence and the id that the header has.
    pub(crate) fn assert_error(&self, code: u16, context: &str) {
        let shown = String::from_utf8_lossy(&self.body);
        assert_eq!(self.code(), code, "{context}: {shown}");
        assert_eq!(self.header("content-type"), "application/json", "{context}");
        assert_eq!(self.header("cache-control"), "no-store", "{context}");
        let json = self.json();
        assert_eq!(
            json["errors"].as_array().unwrap().len(),
            1,
            "{context}: {shown}"
        );
        assert_eq!(json["requestId"], self.header("x-request-id"), "{context}");
        assert_ne!(json["requestId"], "", "{context}");
    }
}

impl World {
    /// Sends one request.
    pub(crate) async fn send(
        &self,
        method: Method,
        target: &str,
        headers: &[(&str, &str)],
    ) -> Answer {
        let mut request = Request::builder().method(method).uri(target);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let mut request = request.body(axum::body::Body::empty()).unwrap();
        request
            .extensions_mut()
            .insert(Peer(IpAddr::V4(Ipv4Addr::LOCALHOST)));
        let answer = self.router.clone().oneshot(request).await.unwrap();
        let (parts, body) = answer.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        Answer {
            status: parts.status,
            headers: parts.headers,
            body,
        }
    }

    pub(crate) async fn get(&self, target: &str) -> Answer {
        self.send(Method::GET, target, &[]).await
    }

    /// A GET with the token.
    pub(crate) async fn get_as_reader(&self, target: &str) -> Answer {
        let value = format!("Bearer {}", self.token);
        self.send(Method::GET, target, &[("authorization", &value)])
            .await
    }

    /// Changes the facts and waits until they are served.
    pub(crate) async fn change(&self, edit: impl FnOnce(&mut Snapshot)) {
        edit(&mut self.source.0.lock().unwrap());
        let before = self.registry.catalog().generation;
        self.registry.catalog_changed().await;
        until("a new catalog", || {
            self.registry.catalog().generation > before
        })
        .await;
    }

    /// The query of a capability.
    pub(crate) fn query(&self, capability: &Capability<'_>) -> String {
        let (expires, signature) = (capability.expires, self.keys.mint(capability));
        format!("expires={expires}&signature={signature}")
    }

    /// The id of a provider version's newest release.
    pub(crate) fn release_id(&self, version: &str) -> String {
        let version = Version::parse(version).unwrap();
        let catalog = self.registry.catalog();
        let entry = catalog.provider("team", "widget").unwrap();
        entry.version(&version).unwrap().releases[0].id.clone()
    }

    /// A capability for one of the routes of `widget` 1.2.0 for linux_amd64.
    pub(crate) fn widget_query(&self, purpose: Purpose) -> String {
        let id = provider_id("widget", "1.2.0", "linux", "amd64");
        let release = self.release_id("1.2.0");
        let sha256 = match purpose {
            Purpose::Sums | Purpose::Signature => Sha256::from_hex(&release).unwrap(),
            Purpose::Archive | Purpose::Module => Sha256::of(&package_bytes("1.2.0", "linux")),
        };
        let expires = unix_now() + 300;
        self.query(&Capability {
            purpose,
            id: &id,
            release: &release,
            sha256: &sha256,
            expires,
        })
    }

    /// A capability for `network` 1.1.0.
    pub(crate) fn network_query(&self) -> String {
        let id = module_id("network", "1.1.0");
        let sha256 = Sha256::of(&self.bytes);
        let (release, expires) = ("", unix_now() + 300);
        self.query(&Capability {
            purpose: Purpose::Module,
            id: &id,
            release,
            sha256: &sha256,
            expires,
        })
    }
}

/// The download path of `network` 1.1.0.
pub(crate) const NETWORK: &str =
    "/opendepot/modules/v1/download/plugin/storage-fs/network/network-1.1.0.zip";
/// The download path of `widget` 1.2.0 for linux_amd64.
pub(crate) const WIDGET: &str =
    "/opendepot/providers/v1/download/team/widget/1.2.0?os=linux&arch=amd64";

/// Waits for a condition.
pub(crate) async fn until(what: &str, is_met: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !is_met() {
        assert!(Instant::now() < deadline, "waited too long for {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

pub(crate) fn unix_now() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap()
        .as_secs()
}

fn fixed_keys(folder: &Path) -> Arc<ArtifactKeys> {
    let path = folder.join("artifact.keys");
    std::fs::write(&path, STANDARD.encode([7; 32])).unwrap();
    Arc::new(ArtifactKeys::load(&path).unwrap())
}

pub(crate) fn module_id(name: &str, version: &str) -> ArtifactId {
    ArtifactId {
        namespace: Namespace::new("team").unwrap(),
        kind: ArtifactKind::Module,
        name: ResourceName::new(name).unwrap(),
        version: Version::parse(version).unwrap(),
        platform: None,
    }
}

pub(crate) fn provider_id(name: &str, version: &str, os: &str, arch: &str) -> ArtifactId {
    let platform = Some(Platform::new(os, arch).unwrap());
    ArtifactId {
        kind: ArtifactKind::Provider,
        platform,
        ..module_id(name, version)
    }
}

fn store(root: &Path, config: &str, file: &str, bytes: &[u8]) -> ArtifactRecord {
    let folder = root.join(config);
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join(file), bytes).unwrap();
    let is_zip = file.ends_with(".zip");
    ArtifactRecord {
        plugin: PluginId::new("storage-fs").unwrap(),
        store: "file:///".to_owned(),
        key: format!("{config}/{file}"),
        file_name: FileName::new(file).unwrap(),
        media_type: if is_zip {
            "application/zip"
        } else {
            "application/x-tar"
        }
        .to_owned(),
        size: bytes.len() as u64,
        sha256: Sha256::of(bytes),
    }
}

/// The bytes of a `widget` package.
pub(crate) fn package_bytes(version: &str, os: &str) -> Vec<u8> {
    format!("package {version} {os} ").repeat(50).into_bytes()
}

/// A stored module version.
pub(crate) fn module_version(
    root: &Path,
    name: &str,
    version: &str,
    extension: &str,
    bytes: &[u8],
    backend: &str,
) -> VersionResource {
    let file = format!("{name}-{version}.{extension}");
    let record = store(root, name, &file, bytes);
    VersionResource {
        id: module_id(name, version),
        object_name: format!("{name}-{}", version.replace('.', "-")),
        owner_uid: Some(format!("uid-{name}")),
        is_deleting: false,
        config_name: ConfigName::new(name).unwrap(),
        backend_path: format!("{backend}/{name}/{file}"),
        record,
        previous: None,
        h1: None,
        protocols: Vec::new(),
        releases: Vec::new(),
    }
}

/// A stored, signed provider version for these platforms.
pub(crate) fn provider_versions(
    root: &Path,
    version: &str,
    platforms: &[(&str, &str)],
) -> Vec<VersionResource> {
    let name = ResourceName::new("widget").unwrap();
    let mut versions = Vec::new();
    let mut files = Vec::new();
    for (os, arch) in platforms {
        let bytes = package_bytes(version, os);
        let record = store(
            root,
            "widget",
            &format!("{version}-{os}-{arch}.zip"),
            &bytes,
        );
        let h1 = H1::of_files([("terraform-provider-widget", record.sha256)]);
        files.push(ReleaseFile {
            os: (*os).to_owned(),
            arch: (*arch).to_owned(),
            sha256: record.sha256,
            h1: h1.clone(),
            size: record.size,
        });
        versions.push(VersionResource {
            id: provider_id("widget", version, os, arch),
            object_name: format!("widget-{}-{os}-{arch}", version.replace('.', "-")),
            owner_uid: Some("uid-widget".to_owned()),
            is_deleting: false,
            config_name: ConfigName::new("widget").unwrap(),
            backend_path: String::new(),
            record,
            previous: None,
            h1: Some(h1),
            protocols: vec!["5.0".to_owned(), "6.0".to_owned()],
            releases: Vec::new(),
        });
    }
    files.sort_by(|a, b| (&a.os, &a.arch).cmp(&(&b.os, &b.arch)));
    let text = release::sums_text(&name, &Version::parse(version).unwrap(), &files);
    let release = Release {
        id: release::release_id(&text),
        files,
        signature: STANDARD.encode(b"\x88\x00binary signature"),
        key_id: "0123456789ABCDEF".to_owned(),
        signed_at: 1_790_000_000,
    };
    for version in &mut versions {
        version.releases = vec![release.clone()];
    }
    versions
}

/// What every test starts from: module `network` (system `aws`) with two versions and one more
/// in each of the original's backends, `anysystem` as tar.gz, `empty` without versions; provider
/// `widget` with 1.2.0 for two platforms and 1.3.0 for one.
fn facts(root: &Path) -> (Snapshot, Bytes) {
    let namespace = || Namespace::new("team").unwrap();
    let module = |name: &str, system: Option<&str>| {
        Arc::new(ModuleResource {
            namespace: namespace(),
            name: ResourceName::new(name).unwrap(),
            uid: format!("uid-{name}"),
            system: system.map(str::to_owned),
        })
    };
    let provider = |name: &str| {
        Arc::new(ProviderResource {
            namespace: namespace(),
            name: ResourceName::new(name).unwrap(),
            uid: format!("uid-{name}"),
            deprecated: vec![(Version::parse("1.2.0").unwrap(), "use 1.3.0".to_owned())],
        })
    };
    let bytes: Vec<u8> = (0..5_000_u32).map(|index| (index % 251) as u8).collect();
    let azure = "azure/sub/group/account/https%3A%2F%2Faccount%2Eexample%2F";
    let directory = base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(root.to_str().unwrap());
    let file_system = format!("fileSystem/{directory}");
    let mut versions = vec![
        module_version(
            root,
            "network",
            "1.0.0",
            "zip",
            b"network 1.0.0",
            "plugin/storage-fs",
        ),
        module_version(root, "network", "1.1.0", "zip", &bytes, "plugin/storage-fs"),
        module_version(
            root,
            "network",
            "0.1.0",
            "zip",
            b"in s3",
            "s3/bucket/eu-west-1",
        ),
        module_version(root, "network", "0.2.0", "zip", b"in gcs", "gcs/bucket"),
        module_version(root, "network", "0.3.0", "zip", b"in azure", azure),
        module_version(
            root,
            "network",
            "0.4.0",
            "zip",
            b"in a folder",
            &file_system,
        ),
        module_version(
            root,
            "anysystem",
            "2.0.0",
            "tar.gz",
            b"tar bytes",
            "plugin/storage-fs",
        ),
    ];
    versions.extend(provider_versions(
        root,
        "1.2.0",
        &[("linux", "amd64"), ("darwin", "arm64")],
    ));
    versions.extend(provider_versions(root, "1.3.0", &[("linux", "amd64")]));
    let snapshot = Snapshot {
        modules: vec![
            module("network", Some("aws")),
            module("anysystem", None),
            module("empty", None),
        ],
        providers: vec![provider("widget"), provider("unpublished")],
        versions: versions.into_iter().map(Arc::new).collect(),
    };
    (snapshot, Bytes::from(bytes))
}
