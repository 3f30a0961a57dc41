//! Static credentials: a file that changes is in use soon, and each plugin has its own.

use super::{KEY, filled, pass, read};
use crate::gcs_server::{FIRST, GcsServer, SECOND};
use crate::server::S3Server;
use crate::{Fixture, key_pair, plan};
use opendepot_domain::placement::NativePlan;
use opendepot_domain::seam::{BoxFuture, SeamError};
use opendepot_domain::{Kind, PluginId, Transfer};
use opendepot_transfer::{
    EgressConfig, FetchLimits, NativeAccess, RemoteLimits, StoreAccess, Stores, StoresConfig,
};
use std::sync::Arc;
use std::time::Duration;

const STORE: &str = "s3://depot";

fn remembering(access: StoreAccess, access_for: Duration) -> Fixture {
    let limits = RemoteLimits {
        access_for,
        ..RemoteLimits::default()
    };
    Fixture::with(access, EgressConfig::default(), limits)
}

#[test]
fn what_the_operator_grants_is_asked_anew_within_a_minute() {
    assert!(RemoteLimits::default().access_for <= Duration::from_secs(60));
}

#[tokio::test]
async fn a_new_key_is_used_before_the_old_one_ends() {
    let server = S3Server::start(&[("id", "secret"), ("new", "other")]).await;
    let access = StoreAccess {
        endpoint: Some(server.endpoint.clone()),
        credential: Some(key_pair("id", "secret")),
        ..StoreAccess::default()
    };
    let fixture = remembering(access, Duration::from_millis(200));
    let plan = filled(&fixture, STORE).await;
    let id = async || {
        let link = fixture.stores.presign(&plan, Duration::from_secs(60)).await;
        let link = link.unwrap().to_string();
        link.contains("Credential=new")
    };
    assert!(!id().await);
    fixture.operator.0.lock().unwrap().credential = Some(key_pair("new", "other"));
    pass(210).await;
    assert!(id().await);
    read(&fixture, &plan).await.unwrap();
    // What is taken away is gone as soon.
    fixture.operator.0.lock().unwrap().credential = None;
    pass(210).await;
    let link = fixture.stores.presign(&plan, Duration::from_secs(60)).await;
    assert_eq!(link.unwrap_err().kind(), Kind::Invalid);
    assert_eq!(
        read(&fixture, &plan).await.unwrap_err().kind(),
        Kind::Denied
    );
}

#[tokio::test]
async fn a_new_key_of_a_service_account_too() {
    let server = GcsServer::start(&[FIRST, SECOND]).await;
    server.place(KEY, crate::bytes(100));
    let access = StoreAccess {
        endpoint: Some(server.endpoint.clone()),
        credential: Some(FIRST.credential()),
        ..StoreAccess::default()
    };
    let fixture = remembering(access, Duration::from_millis(200));
    let plan = plan("gs://depot", KEY);
    read(&fixture, &plan).await.unwrap();
    fixture.operator.0.lock().unwrap().credential = Some(SECOND.credential());
    pass(210).await;
    server.set_accounts(&[SECOND]);
    read(&fixture, &plan).await.unwrap();
}

/// An operator who grants the store to both plugins, with a credential each.
struct Both(String);

impl NativeAccess for Both {
    fn access<'a>(&'a self, plan: &'a NativePlan) -> BoxFuture<'a, Result<StoreAccess, SeamError>> {
        let credential = match plan.plugin.as_str() {
            "storage" => key_pair("id", "secret"),
            _ => key_pair("none", "hunter2"),
        };
        let access = StoreAccess {
            endpoint: Some(self.0.clone()),
            credential: Some(credential),
            ..StoreAccess::default()
        };
        Box::pin(std::future::ready(Ok(access)))
    }
}

#[tokio::test]
async fn a_plugin_has_its_own_credential_and_no_others() {
    let server = S3Server::start(&[("id", "secret")]).await;
    let fixture = Fixture::new(StoreAccess::default());
    let egress = EgressConfig {
        allow_http: vec!["127.0.0.1".to_owned()],
        ..EgressConfig::default()
    };
    let stores = StoresConfig::new(fixture.folder.path().join("both"));
    let stores = Stores::open(stores).unwrap().with_cloud(
        egress.policy().unwrap().of_granted_hosts(),
        FetchLimits::default(),
        Arc::new(Both(server.endpoint.clone())),
        RemoteLimits::default(),
    );
    let fixture = Fixture { stores, ..fixture };
    let one = filled(&fixture, STORE).await;
    let Transfer::Native(mut other) = one.clone() else {
        unreachable!("it is a native plan");
    };
    other.plugin = PluginId::new("other").unwrap();
    let other = Transfer::Native(other);
    for _ in 0..2 {
        read(&fixture, &one).await.unwrap();
        let refused = read(&fixture, &other).await.unwrap_err();
        assert_eq!(refused.kind(), Kind::Denied, "{refused}");
        assert!(!format!("{refused:?}").contains("hunter2"));
    }
}
