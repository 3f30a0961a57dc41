//! Hand-written seams.

use opendepot_actors::registry::{CatalogSource, Snapshot};
use opendepot_domain::access::Labels;
use opendepot_domain::seam::{AccessPolicy, BoxFuture, LabelSource, SeamError, StorageDecisions};
use opendepot_domain::{
    Action, Artifact, ArtifactRecord, Decision, Kind, NativePlan, Operation, Placement, PluginId,
    Subject, Target, Transfer,
};
use opendepot_transfer::{CloudCredential, CloudCredentialKind, NativeAccess, Secret, StoreAccess};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

pub(crate) type Rule = Box<dyn Fn(&Subject, Action, &Target) -> Vec<Decision> + Send + Sync>;

/// A chain of policies that is one closure, or none.
pub(crate) struct FakePolicy {
    pub(crate) rule: Option<Rule>,
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

/// The same labels for everything.
#[derive(Default)]
pub(crate) struct FakeLabels(pub(crate) Mutex<Labels>);

impl LabelSource for FakeLabels {
    fn labels(&self, _: &Target) -> Labels {
        self.0.lock().unwrap().clone()
    }
}

/// Plans reads under the record's own key.
#[derive(Default)]
pub(crate) struct FakeStorage {
    pub(crate) num_plans: AtomicUsize,
    pub(crate) failure: Mutex<Option<Kind>>,
    /// Fails for links alone.
    pub(crate) makes_no_links: AtomicBool,
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
        self.num_plans.fetch_add(1, Ordering::Relaxed);
        let is_link = matches!(operation, Operation::Presign(_));
        assert!(is_link || operation == Operation::Get);
        let mut failure = *self.failure.lock().unwrap();
        if is_link && self.makes_no_links.load(Ordering::Relaxed) {
            failure = Some(Kind::Unavailable);
        }
        Box::pin(std::future::ready(match failure {
            Some(kind) => Err(SeamError {
                kind,
                message: "secret detail of `s3://inner-bucket`".to_owned(),
            }),
            None if is_link => Ok(native(record, BUCKET)),
            None => Ok(native(record, &record.store)),
        }))
    }
}

/// Where links lead.
pub(crate) const BUCKET: &str = "s3://depot";

fn native(record: &ArtifactRecord, store: &str) -> Transfer {
    Transfer::Native(NativePlan {
        plugin: record.plugin.clone(),
        placement: Placement {
            store: store.to_owned(),
            key: record.key.clone(),
            attributes: Vec::new(),
            options: Vec::new(),
            credentials: None,
        },
    })
}

/// A bucket that links can be made to; nothing is there to be reached.
pub(crate) struct FakeBucket;

impl NativeAccess for FakeBucket {
    fn access<'a>(&'a self, _: &'a NativePlan) -> BoxFuture<'a, Result<StoreAccess, SeamError>> {
        let secret = r#"{"accessKeyId": "id", "secretAccessKey": "c4n4ry"}"#;
        Box::pin(std::future::ready(Ok(StoreAccess {
            endpoint: Some("https://s3.example".to_owned()),
            credential: Some(CloudCredential {
                kind: CloudCredentialKind::AwsStatic,
                secret: Some(Secret::new(secret.to_owned())),
            }),
            ..StoreAccess::default()
        })))
    }
}

/// Facts that a test can change.
#[derive(Default)]
pub(crate) struct FakeSource(pub(crate) Mutex<Snapshot>);

impl CatalogSource for FakeSource {
    fn snapshot(&self) -> Option<Snapshot> {
        Some(self.0.lock().unwrap().clone())
    }
}
