//! Static credentials: a file that changes is in use soon.

use super::{KEY, filled, pass, read};
use crate::gcs_server::{FIRST, GcsServer, SECOND};
use crate::server::S3Server;
use crate::{Fixture, key_pair, plan};
use opendepot_domain::Kind;
use opendepot_transfer::{EgressConfig, RemoteLimits, StoreAccess};
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
