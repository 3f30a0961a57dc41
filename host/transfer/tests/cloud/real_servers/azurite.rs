//! Azure Blob Storage as Azurite speaks it.

use super::Site;
use super::corruption;
use super::process::Server;
use crate::{Fixture, plan};
use http::header::CONTENT_LENGTH;
use http::{HeaderValue, Method};
use object_store::azure::{AzureAccessKey, AzureAuthorizer, AzureCredential};
use object_store::client::{HttpRequest, HttpRequestBody};
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

#[tokio::test]
async fn what_is_overwritten_never_comes_out() {
    let site = started().await;
    let path = format!("{ACCOUNT}/depot/{}", corruption::KEY);
    let url = format!("http://{}/{path}", site.server.address);
    let client = reqwest::Client::new();
    corruption::never_comes_out(&site, async |content| {
        overwrite(&client, &url, content).await;
    })
    .await;
}

/// Puts a blob as somebody else would who has the account's key.
async fn overwrite(client: &reqwest::Client, url: &str, content: &[u8]) {
    let credential = AzureCredential::AccessKey(AzureAccessKey::try_new(KEY).unwrap());
    let mut request = HttpRequest::new(HttpRequestBody::empty());
    *request.method_mut() = Method::PUT;
    *request.uri_mut() = url.parse().unwrap();
    let headers = request.headers_mut();
    headers.insert(CONTENT_LENGTH, content.len().into());
    headers.insert("x-ms-blob-type", HeaderValue::from_static("BlockBlob"));
    AzureAuthorizer::new(&credential, ACCOUNT)
        .try_authorize(&mut request)
        .unwrap();
    let sent = client.put(url).headers(request.headers().clone());
    let answer = sent.body(content.to_vec()).send().await.unwrap();
    assert_eq!(answer.status(), 201);
}

tests! { started: all }
