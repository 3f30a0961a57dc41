//! What a store of the suite is: a built plugin, what its operator says, and the registry's own
//! client for what it plans.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use opendepot_conformance::{ByteStore, Links, Options, Report, StoreBytes, StoreError, Visit};
use opendepot_domain::placement::{HeaderValue, NativePlan, SignedRequest};
use opendepot_domain::seam::{BoxFuture, SeamError};
use opendepot_domain::{Kind, Transfer};
use opendepot_plugin::GrantsConfig;
use opendepot_tests::server::client_builder;
use opendepot_transfer::{
    CloudCredential, CloudCredentialKind, EgressConfig, FetchLimits, Fetcher, NativeAccess,
    RemoteLimits, Secret, SignedHeaders, StoreAccess, Stores, StoresConfig,
};
use serde_json::{Value, json};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use url::Url;

/// The one secret of signed requests, by its name.
pub(crate) const SECRET: &str = "web-secret";

/// A store.
pub(crate) struct Site {
    /// The plugin that ships.
    pub(crate) plugin: &'static str,
    /// Its settings.
    pub(crate) settings: Value,
    /// The grants; absent: what its answers need.
    pub(crate) grants: Option<Value>,
    /// How its server is reached.
    pub(crate) way: Way,
    /// Why two writers of one key may both win, where they may.
    pub(crate) race: Option<&'static str>,
}

/// How a server is reached.
pub(crate) enum Way {
    /// By the client of clouds.
    Cloud(StoreAccess),
    /// By signed requests with this secret.
    Signed(&'static str),
    /// It is a folder, which the suite makes.
    Files,
}

pub(crate) fn access(endpoint: String, kind: CloudCredentialKind, secret: &str) -> StoreAccess {
    StoreAccess {
        endpoint: Some(endpoint),
        region: Some("eu-central-1".to_owned()),
        credential: Some(CloudCredential {
            kind,
            secret: Some(Secret::new(secret)),
        }),
        ..StoreAccess::default()
    }
}

impl Site {
    /// The report of the suite.
    pub(crate) async fn report(&self) -> Report {
        let dir = tempfile::tempdir().unwrap();
        let mut options = Options {
            settings: self.settings.clone(),
            ..Options::default()
        };
        if let Some(grants) = &self.grants {
            let grants: GrantsConfig = serde_json::from_value(grants.clone()).unwrap();
            options.grants = Some(grants);
        }
        if let Way::Signed(secret) = self.way {
            fs::write(dir.path().join(SECRET), secret).unwrap();
            options.secrets_dir = Some(dir.path().to_owned());
        }
        if let Some(stores) = self.stores(&dir.path().join("files")) {
            let bytes = StoreBytes::new(stores.clone());
            let bytes: Arc<dyn ByteStore> = Arc::new(match self.race {
                Some(why) => bytes.racing(why),
                None => bytes,
            });
            options.bytes = Some(bytes);
            let http = client_builder(None).build().unwrap();
            options.links = Some(Arc::new(Web { stores, http }));
        }
        let report = opendepot_conformance::run(&built(self.plugin), &options).await;
        report.unwrap()
    }

    /// Those of a registry, whose server is on loopback.
    fn stores(&self, root: &Path) -> Option<Stores> {
        let egress = EgressConfig {
            allow_private: vec!["127.0.0.0/8".to_owned()],
            allow_http: vec!["127.0.0.1".to_owned()],
            ..EgressConfig::default()
        };
        let policy = egress.policy().unwrap().of_granted_hosts();
        let fetch_limits = FetchLimits::default();
        // What fails here fails for good.
        let limits = RemoteLimits {
            num_read_retries: 0,
            num_sync_retries: 1,
            sync_timeout: Duration::from_secs(60),
            ..RemoteLimits::default()
        };
        // Before the client, which is made with rustls.
        let _installed = client_builder(None);
        let stores = Stores::open(StoresConfig::new(root)).unwrap();
        match &self.way {
            Way::Files => None,
            Way::Cloud(access) => {
                let operator = Arc::new(Operator(access.clone()));
                Some(stores.with_cloud(policy, fetch_limits, operator, limits))
            }
            Way::Signed(secret) => {
                let fetcher = Fetcher::new(policy, fetch_limits).unwrap();
                Some(stores.with_signed(fetcher, Arc::new(Filled(secret)), limits))
            }
        }
    }
}

/// The folder of a built plugin.
fn built(plugin: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/plugins");
    let folder = folder.join(plugin);
    let is_built = folder.join("plugin.wasm").exists();
    assert!(is_built, "{plugin} is not built: run `cargo xtask plugins`");
    folder
}

/// The grant of a server's host, with the one secret.
pub(crate) fn web(host: &str) -> Value {
    let host = format!("http://{host}");
    json!({ "hosts": [host], "secrets": { SECRET: { "hosts": [host] } } })
}

/// One operator's word for every store.
struct Operator(StoreAccess);

impl NativeAccess for Operator {
    fn access<'a>(&'a self, _: &'a NativePlan) -> BoxFuture<'a, Result<StoreAccess, SeamError>> {
        Box::pin(async { Ok(self.0.clone()) })
    }
}

/// Fills one secret in.
struct Filled(&'static str);

impl SignedHeaders for Filled {
    fn fill<'a>(
        &'a self,
        request: &'a SignedRequest,
    ) -> BoxFuture<'a, Result<Vec<(String, Secret)>, SeamError>> {
        let headers = request.headers.iter().map(|(name, value)| {
            let value = match value {
                HeaderValue::Plain(text) => text.clone(),
                HeaderValue::Secret { prefix, .. } => format!("{prefix}{}", self.0),
                HeaderValue::Basic { user, .. } => {
                    let pair = format!("{user}:{}", self.0);
                    format!("Basic {}", BASE64_STANDARD.encode(pair))
                }
            };
            (name.clone(), Secret::new(value))
        });
        let headers = headers.collect();
        Box::pin(async { Ok(headers) })
    }
}

/// A client with nothing but a link.
struct Web {
    stores: Stores,
    http: reqwest::Client,
}

fn unanswered(error: impl std::fmt::Display) -> StoreError {
    StoreError {
        kind: Kind::Unavailable,
        message: error.to_string(),
    }
}

impl Links for Web {
    fn link<'a>(
        &'a self,
        plan: &'a Transfer,
        seconds: u32,
    ) -> BoxFuture<'a, Result<Url, StoreError>> {
        Box::pin(async move {
            let life = Duration::from_secs(seconds.into());
            let link = self.stores.presign(plan, life).await;
            link.map_err(unanswered)
        })
    }

    fn visit<'a>(
        &'a self,
        link: &'a Url,
        visit: Visit,
    ) -> BoxFuture<'a, Result<Option<Vec<u8>>, StoreError>> {
        Box::pin(async move {
            let request = match visit {
                Visit::Read => self.http.get(link.clone()),
                // Azure wants to know what kind of object it is to be.
                Visit::Write => self
                    .http
                    .put(link.clone())
                    .header("x-ms-blob-type", "BlockBlob")
                    .body("other bytes"),
                Visit::Remove => self.http.delete(link.clone()),
            };
            let answer = request.send().await.map_err(unanswered)?;
            if !answer.status().is_success() {
                return Ok(None);
            }
            let bytes = answer.bytes().await.map_err(unanswered)?;
            Ok(Some(bytes.to_vec()))
        })
    }
}
