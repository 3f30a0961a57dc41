//! storage-s3 before versitygw, and storage-azure before Azurite.

use super::{Cloud, journey, write_key};
use crate::{download, expect_no_canary, module_path, wait_condition};
use opendepot_tests::object_server::{ACCESS_KEY, ACCOUNT, ACCOUNT_KEYS, ObjectServer, SECRET_KEY};
use opendepot_tests::{Kind, Module, Setup};

fn versitygw(server: &ObjectServer) -> Cloud {
    Cloud {
        plugin: "storage-s3",
        settings: "{ prefix: terraform }",
        stores: "s3://depot",
        endpoint: server.url(),
        kind: "aws-static",
        secret: format!(
            r#"{{ "accessKeyId": "{ACCESS_KEY}", "secretAccessKey": "{SECRET_KEY}" }}"#
        ),
        block: "s3: { bucket: depot, region: eu-central-1 }",
    }
}

fn azurite(server: &ObjectServer) -> Cloud {
    Cloud {
        plugin: "storage-azure",
        settings: "{}",
        stores: "az://depotaccount/*",
        endpoint: format!("{}/{ACCOUNT}", server.url()),
        kind: "azure-key",
        secret: ACCOUNT_KEYS[0].to_owned(),
        block: "azureStorage: { accountName: depotaccount, accountUrl: \"https://depotaccount.blob.core.windows.net\", \
                subscriptionID: 00000000-0000-0000-0000-000000000000, resourceGroup: depot }",
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn opentofu_installs_from_versitygw() {
    journey(&versitygw(&ObjectServer::versitygw().await), Kind::Tofu).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn opentofu_installs_from_azurite() {
    journey(&azurite(&ObjectServer::azurite().await), Kind::Tofu).await;
}

mod terraform {
    use super::*;

    #[tokio::test(flavor = "multi_thread")]
    async fn terraform_installs_from_versitygw() {
        let server = ObjectServer::versitygw().await;
        journey(&versitygw(&server), Kind::Terraform).await;
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn terraform_installs_from_azurite() {
        journey(&azurite(&ObjectServer::azurite().await), Kind::Terraform).await;
    }
}

#[tokio::test]
async fn an_account_key_is_replaced_while_clients_read() {
    let server = ObjectServer::azurite().await;
    let setup = azurite(&server).operate(Setup::plain(), "");
    Module::new("blob").write(&setup.manifests());
    let registry = setup.start().await;
    registry.wait_module("blob", &["1.0.0"]).await;
    let path = module_path(&registry, "blob").await;
    let bytes = download(&registry, &path).await;
    write_key(registry.setup().dir(), ACCOUNT_KEYS[1]);
    for at in 0..50 {
        assert_eq!(download(&registry, &path).await, bytes, "{at}");
    }
    Module::new("late").write(&registry.setup().manifests());
    registry.wait_module("late", &["1.0.0"]).await;
    expect_no_canary(&registry, &ACCOUNT_KEYS);
}

#[tokio::test]
async fn a_config_whose_name_is_no_containers_is_refused_with_the_rule() {
    let server = ObjectServer::azurite().await;
    let setup = azurite(&server).operate(Setup::plain(), "");
    Module::new("ab").write(&setup.manifests());
    let registry = setup.start().await;
    wait_condition(&registry, "ab-1-0-0", "container").await;
}
