//! storage-gcs before the server that checks credentials, links and conditions.

use super::gcs_server::{Account, FIRST, GcsServer, SECOND};
use super::{Cloud, PRESIGN, journey, link, write_key};
use crate::{download, expect_no_canary, module_path};
use opendepot_tests::{Kind, Module, Setup};

fn key_of(account: &Account) -> String {
    account.credential().secret.unwrap().reveal().to_owned()
}

fn cloud(server: &GcsServer) -> Cloud {
    Cloud {
        plugin: "storage-gcs",
        settings: "{}",
        stores: "gs://depot",
        endpoint: server.endpoint.clone(),
        kind: "gcp-key",
        secret: key_of(&FIRST),
        block: "gcs: { bucket: depot }",
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn opentofu_installs_from_a_bucket_of_gcs() {
    journey(&cloud(&GcsServer::start(&[FIRST]).await), Kind::Tofu).await;
}

mod terraform {
    use super::*;

    #[tokio::test(flavor = "multi_thread")]
    async fn terraform_installs_from_a_bucket_of_gcs() {
        let server = GcsServer::start(&[FIRST]).await;
        journey(&cloud(&server), Kind::Terraform).await;
    }
}

#[tokio::test]
async fn an_accounts_key_is_replaced_while_clients_read() {
    let server = GcsServer::start(&[FIRST, SECOND]).await;
    let setup = cloud(&server).operate(Setup::plain(), "");
    Module::new("blob").write(&setup.manifests());
    let registry = setup.start().await;
    registry.wait_module("blob", &["1.0.0"]).await;
    let path = module_path(&registry, "blob").await;
    let bytes = download(&registry, &path).await;
    write_key(registry.setup().dir(), &key_of(&SECOND));
    for at in 0..200 {
        if at == 100 {
            server.set_accounts(&[SECOND]);
        }
        assert_eq!(download(&registry, &path).await, bytes, "{at}");
    }
    let line = |account: &Account| account.private_key().lines().nth(3).unwrap().to_owned();
    expect_no_canary(&registry, &[&line(&FIRST), &line(&SECOND)]);
}

#[tokio::test]
async fn a_link_to_gcs_asks_the_bucket_nothing() {
    let server = GcsServer::start(&[FIRST]).await;
    let setup = cloud(&server).operate(Setup::plain(), PRESIGN);
    Module::new("blob").write(&setup.manifests());
    let registry = setup.start().await;
    registry.wait_module("blob", &["1.0.0"]).await;
    let path = module_path(&registry, "blob").await;
    server.counted();
    let first = link(&registry, &path).await;
    for _ in 0..10 {
        link(&registry, &path).await;
    }
    assert_eq!(server.counted(), []);
    let got = registry.http().get(&first).send().await.unwrap();
    assert_eq!(got.status(), 200);
}
