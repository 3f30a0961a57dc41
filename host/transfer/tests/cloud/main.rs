//! Stores of the clouds against servers in this process (S3 as `s3s-fs` speaks it, Google Cloud
//! Storage as our own does), and against those of others ([`real_servers`]).
#![expect(clippy::unwrap_used, reason = "helpers of tests are tests")]

mod credentials;
mod gcs;
mod gcs_server;
mod options;
mod real_servers;
mod s3;
mod server;

use http_body_util::BodyExt as _;
use opendepot_domain::placement::NativePlan;
use opendepot_domain::seam::{BoxFuture, SeamError};
use opendepot_domain::{Placement, PluginId, Sha256, Transfer};
use opendepot_transfer::{
    ByteRange, CloudCredential, CloudCredentialKind, EgressConfig, Error, Expected, FetchLimits,
    NativeAccess, RemoteLimits, Secret, StoreAccess, Stores, StoresConfig,
};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

/// An operator whose word can change.
pub(crate) struct Operator(pub(crate) Mutex<StoreAccess>);

impl NativeAccess for Operator {
    fn access<'a>(&'a self, _: &'a NativePlan) -> BoxFuture<'a, Result<StoreAccess, SeamError>> {
        let access = self.0.lock().unwrap().clone();
        Box::pin(async move { Ok(access) })
    }
}

/// Stores with one operator, whose endpoint is on loopback.
pub(crate) struct Fixture {
    pub(crate) stores: Stores,
    pub(crate) operator: Arc<Operator>,
    pub(crate) folder: tempfile::TempDir,
}

impl Fixture {
    pub(crate) fn new(access: StoreAccess) -> Self {
        Self::with(access, EgressConfig::default(), RemoteLimits::default())
    }

    /// As [`Self::new`], where this may be reached besides what is granted.
    pub(crate) fn with(access: StoreAccess, egress: EgressConfig, limits: RemoteLimits) -> Self {
        // Rustls has a provider once the process has one.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let folder = tempfile::tempdir().unwrap();
        let egress = EgressConfig {
            allow_http: vec!["127.0.0.1".to_owned()],
            ..egress
        };
        let policy = egress.policy().unwrap().of_granted_hosts();
        let operator = Arc::new(Operator(Mutex::new(access)));
        let stores = Stores::open(StoresConfig::new(folder.path().join("files"))).unwrap();
        Self {
            stores: stores.with_cloud(
                policy,
                FetchLimits::default(),
                Arc::clone(&operator) as _,
                limits,
            ),
            operator,
            folder,
        }
    }

    pub(crate) fn file(&self, bytes: &[u8]) -> PathBuf {
        let path = self.folder.path().join("source");
        std::fs::write(&path, bytes).unwrap();
        path
    }

    pub(crate) async fn put(
        &self,
        plan: &Transfer,
        bytes: &[u8],
    ) -> Result<opendepot_transfer::Put, Error> {
        let file = self.file(bytes);
        self.stores
            .put(plan, file.as_path().into(), expected(bytes))
            .await
    }

    pub(crate) async fn read(
        &self,
        plan: &Transfer,
        expected: Expected,
        range: Option<ByteRange>,
    ) -> Result<Vec<u8>, Error> {
        let body = self.stores.open_body(plan, expected, range).await?;
        Ok(body.collect().await?.to_bytes().to_vec())
    }
}

pub(crate) fn plan(store: &str, key: &str) -> Transfer {
    Transfer::Native(NativePlan {
        plugin: PluginId::new("storage").unwrap(),
        placement: Placement {
            store: store.to_owned(),
            key: key.to_owned(),
            attributes: vec![("content-type".to_owned(), "application/zip".to_owned())],
            options: Vec::new(),
            credentials: None,
        },
    })
}

pub(crate) fn expected(bytes: &[u8]) -> Expected {
    Expected {
        size: bytes.len() as u64,
        sha256: Sha256::of(bytes),
    }
}

pub(crate) fn bytes(len: usize) -> Vec<u8> {
    (0..len).map(|n| (n * 31 % 251) as u8).collect()
}

pub(crate) fn key_pair(id: &str, secret: &str) -> CloudCredential {
    let text = format!(r#"{{"accessKeyId": "{id}", "secretAccessKey": "{secret}"}}"#);
    CloudCredential {
        kind: CloudCredentialKind::AwsStatic,
        secret: Some(Secret::new(text)),
    }
}
