//! Azure Blob Storage as Azurite speaks it.

use super::Site;
use super::process::Server;
use crate::{Fixture, plan};
use opendepot_transfer::{CloudCredential, CloudCredentialKind, Secret, StoreAccess};

/// Its one account, and that account's key, which everybody knows.
const ACCOUNT: &str = "devstoreaccount1";
const KEY: &str =
    "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==";
const WRONG: &str = "bm90LXRoZS1hY2NvdW50LWtleQ==";

async fn started() -> Site {
    let server = Server::start("OPENDEPOT_AZURITE", |command, address, _| {
        command
            .args(["--blobHost", &address.ip().to_string()])
            .args(["--blobPort", &address.port().to_string()])
            // It refuses versions of the service that are newer than itself.
            .args(["--inMemoryPersistence", "--skipApiVersionCheck"])
            .args(["--disableTelemetry", "--silent"]);
    });
    let server = server.await;
    let fixture = Fixture::new(StoreAccess {
        endpoint: Some(format!("http://{}/{ACCOUNT}", server.address)),
        credential: Some(key(KEY)),
        ..StoreAccess::default()
    });
    let store = format!("az://{ACCOUNT}/depot");
    // The second time it is there already.
    for _ in 0..2 {
        let container = plan(&store, "any.zip");
        fixture.stores.prepare(&container).await.unwrap();
    }
    Site {
        fixture,
        store,
        missing: format!("az://{ACCOUNT}/no-such-container"),
        wrong: Some((key(WRONG), WRONG)),
        uploads: None,
        server,
    }
}

fn key(text: &str) -> CloudCredential {
    CloudCredential {
        kind: CloudCredentialKind::AzureKey,
        secret: Some(Secret::new(text)),
    }
}

tests! { started: all }
