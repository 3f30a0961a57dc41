//! Workload identity: the token of a service account, exchanged at the directory.

use super::entra::{CLIENT, Entra, TENANT};
use super::{ASSERTION, Blobs, STORE, Site, credential, started, unshown};
use crate::credentials::alone::alone;
use crate::credentials::listener::Listener;
use crate::credentials::service::Mode;
use crate::credentials::{all_read, filled, fixture, pass, puts_and_reads, read, unavailable};
use crate::{Fixture, plan};
use opendepot_domain::Kind;
use opendepot_transfer::StoreAccess;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

fn token_file(address: SocketAddr) -> PathBuf {
    std::env::temp_dir().join(format!("opendepot-federated-token-{}", address.port()))
}

fn environment(address: SocketAddr) -> Vec<(&'static str, String)> {
    let file = token_file(address).to_str().unwrap().to_owned();
    vec![
        ("AZURE_AUTHORITY_HOST", format!("http://{address}/")),
        ("AZURE_CLIENT_ID", CLIENT.to_owned()),
        ("AZURE_TENANT_ID", TENANT.to_owned()),
        ("AZURE_FEDERATED_TOKEN_FILE", file),
    ]
}

#[test]
fn the_environment_of_a_pod_is_enough() {
    let test = "credentials::azure::workload::the_environment_of_a_pod_is_enough";
    alone(test, environment, async |address| {
        let file = token_file(address);
        std::fs::write(&file, format!("{ASSERTION}\n")).unwrap();
        let entra = Entra::start(address, 3_600, ASSERTION).await;
        let blobs = Blobs::start(&entra.tokens).await;
        let fixture = fixture(StoreAccess {
            endpoint: Some(blobs.endpoint()),
            credential: Some(credential()),
            ..StoreAccess::default()
        });
        puts_and_reads(&fixture, STORE).await;
        std::fs::remove_file(&file).unwrap();
        assert_eq!(
            entra.service.asked(),
            [format!("POST /{TENANT}/oauth2/v2.0/token")]
        );
    });
}

#[tokio::test]
async fn an_object_is_put_and_read_with_one_token() {
    let listener = Listener::start();
    let site = started(3_600).await;
    puts_and_reads(&site.fixture, STORE).await;
    assert_eq!(site.entra.tokens.num(), 1);
    unshown(&listener.heard());
}

#[tokio::test]
async fn a_token_is_replaced_before_its_end_and_used_until_then() {
    let site = started(2).await;
    let plan = filled(&site.fixture, STORE).await;
    site.entra.service.set(Mode::Slow);
    pass(1_050).await;
    all_read(&site.fixture, &plan, 20).await;
    assert_eq!(site.entra.tokens.num(), 2);
    site.entra.service.set(Mode::Failing);
    pass(1_200).await;
    all_read(&site.fixture, &plan, 20).await;
    pass(900).await;
    for mode in [Mode::Failing, Mode::Babbling, Mode::Silent] {
        site.entra.service.set(mode);
        unshown(&unavailable(read(&site.fixture, &plan)).await);
    }
    site.entra.service.set(Mode::Up);
    all_read(&site.fixture, &plan, 20).await;
    assert_eq!(site.entra.tokens.num(), 3);
}

#[tokio::test]
async fn what_was_revoked_is_replaced_once_for_all() {
    let site = started(3_600).await;
    let plan = filled(&site.fixture, STORE).await;
    site.entra.tokens.revoke();
    all_read(&site.fixture, &plan, 20).await;
    assert_eq!(site.entra.tokens.num(), 2);
    site.entra.tokens.revoke();
    let link = site.fixture.stores.presign(&plan, Duration::from_secs(60));
    link.await.unwrap();
}

#[tokio::test]
async fn the_token_of_the_pod_is_read_anew_for_each_exchange() {
    let site = started(1).await;
    let plan = filled(&site.fixture, STORE).await;
    site.file.write("pod-token.three.four");
    site.entra.tokens.set_assertion("pod-token.three.four");
    pass(1_010).await;
    read(&site.fixture, &plan).await.unwrap();
    std::fs::remove_file(site.file.path()).unwrap();
    pass(1_010).await;
    unavailable(read(&site.fixture, &plan)).await;
    site.file.write("pod-token.three.four");
    read(&site.fixture, &plan).await.unwrap();
}

#[tokio::test]
async fn who_is_refused_is_told_so_and_nothing_is_shown() {
    let listener = Listener::start();
    let Site {
        entra,
        fixture: good,
        file,
        ..
    } = started(3_600).await;
    file.write("pod-token.of.another");
    let plan = plan(STORE, "any.zip");
    for error in [
        good.put(&plan, b"x").await.unwrap_err(),
        good.stores.head(&plan).await.unwrap_err(),
        read(&good, &plan).await.unwrap_err(),
        good.stores.delete(&plan).await.unwrap_err(),
        good.stores
            .presign(&plan, Duration::from_secs(60))
            .await
            .unwrap_err(),
    ] {
        assert_eq!(error.kind(), Kind::Denied, "{error}");
        unshown(&format!("{error} {error:?}"));
    }
    unshown(&listener.heard());
    assert_eq!(entra.tokens.num(), 0);
}

#[tokio::test]
async fn what_is_missing_is_named() {
    let site = started(3_600).await;
    for option in ["client-id", "tenant-id", "token-file"] {
        let mut access = site.fixture.operator.0.lock().unwrap().clone();
        access.options.remove(option);
        let error = Fixture::new(access)
            .stores
            .head(&plan(STORE, "any.zip"))
            .await;
        let error = error.unwrap_err();
        assert_eq!(error.kind(), Kind::Invalid, "{error}");
        assert!(error.to_string().contains(option), "{error}");
    }
    assert_eq!(site.entra.service.asked(), Vec::<String>::new());
}
