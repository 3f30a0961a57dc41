//! A registry in this process: the real actor, stores in a temp folder, hand-written seams.

use crate::facts::{facts, module_id, package_bytes, provider_id};
use crate::fake::{FakeBucket, FakeLabels, FakePolicy, FakeSource, FakeStorage, Rule};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::{HeaderMap, Method, Request, StatusCode};
use http_body_util::BodyExt as _;
use opendepot_actors::registry::{
    CatalogSource, RegistryOptions, RenderContext, SigningKeyDocument, Snapshot,
};
use opendepot_actors::{Arbiters, RegistryHandle};
use opendepot_api::routes::Peer;
use opendepot_api::{Access, AccessOptions, ApiState, Limits, ModuleOptions, Public, StateOptions};
use opendepot_domain::access::Base;
use opendepot_domain::seam::{AccessPolicy, LabelSource, StorageDecisions};
use opendepot_domain::{Action, Capability, Decision, Purpose, Sha256, Subject, Target, Version};
use opendepot_identity::{ArtifactKeys, TokenFile, Verifier};
use opendepot_transfer::{EgressConfig, FetchLimits, RemoteLimits, Stores, StoresConfig};
use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;
use std::sync::atomic::{AtomicU64, AtomicUsize};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tempfile::TempDir;
use tokio::runtime::Runtime;

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
        let stores = stores(&root);
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
        let labels = Arc::new(FakeLabels::default());
        let state = ApiState::new(StateOptions {
            registry: registry.clone(),
            access: Access::new(AccessOptions {
                verifier,
                policy: Arc::clone(&policy) as Arc<dyn AccessPolicy>,
                labels: Arc::clone(&labels) as Arc<dyn LabelSource>,
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
            public: Public::new(state.clone()).unwrap(),
            state,
            registry,
            storage,
            policy,
            labels,
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

/// Files, and a bucket that links can be made to.
fn stores(root: &Path) -> Stores {
    // Rustls has a provider once the process has one.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let stores = Stores::open(StoresConfig::new(root)).unwrap();
    let policy = EgressConfig::default().policy().unwrap().of_granted_hosts();
    stores.with_cloud(
        policy,
        FetchLimits::default(),
        Arc::new(FakeBucket),
        RemoteLimits::default(),
    )
}

/// A running registry.
pub(crate) struct World {
    pub(crate) public: Public,
    pub(crate) state: ApiState,
    pub(crate) registry: RegistryHandle,
    pub(crate) storage: Arc<FakeStorage>,
    pub(crate) policy: Arc<FakePolicy>,
    pub(crate) labels: Arc<FakeLabels>,
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
    /// Sends one request; without a `host` of its own it is for this machine.
    pub(crate) async fn send(
        &self,
        method: Method,
        target: &str,
        headers: &[(&str, &str)],
    ) -> Answer {
        let mut request = Request::builder().method(method).uri(target);
        if headers.iter().all(|(name, _)| *name != "host") {
            request = request.header("host", "127.0.0.1:8080");
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        self.send_exactly(request.body(axum::body::Body::empty()).unwrap())
            .await
    }

    /// Sends one request as it is.
    pub(crate) async fn send_exactly(&self, request: Request<axum::body::Body>) -> Answer {
        let peer = Peer(IpAddr::V4(Ipv4Addr::LOCALHOST));
        let answer = self.public.answer(peer, request).await;
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
