//! S3 as versitygw speaks it, over a folder. It takes no signature that differs in a byte.

use super::Site;
use super::corruption::{self, KEY};
use super::process::Server;
use crate::{Fixture, bytes, expected, key_pair};
use http::Method;
use object_store::aws::{AwsAuthorizer, AwsCredential};
use object_store::client::{HttpRequest, HttpRequestBody};
use opendepot_domain::Kind;
use opendepot_transfer::StoreAccess;
use std::cell::Cell;
use std::fs::File;
use std::time::{Duration, SystemTime};

const ID: &str = "depot-key";
const SECRET: &str = "depot-secret";
const WRONG: &str = "not-the-secret-key";

async fn started() -> Site {
    let server = Server::start("OPENDEPOT_VERSITYGW", |command, address, folder| {
        let (root, metadata) = (folder.join("root"), folder.join("metadata"));
        // A bucket is a folder.
        std::fs::create_dir_all(root.join("depot")).unwrap();
        std::fs::create_dir(&metadata).unwrap();
        command
            .env("ROOT_ACCESS_KEY", ID)
            .env("ROOT_SECRET_KEY", SECRET)
            .args(["--port", &address.to_string(), "posix", "--sidecar"])
            .args([metadata, root]);
    });
    let server = server.await;
    Site {
        fixture: Fixture::new(StoreAccess {
            endpoint: Some(format!("http://{}", server.address)),
            credential: Some(key_pair(ID, SECRET)),
            ..StoreAccess::default()
        }),
        store: "s3://depot".to_owned(),
        missing: "s3://no-such-bucket".to_owned(),
        wrong: Some((key_pair(ID, WRONG), WRONG)),
        uploads: None,
        server,
    }
}

/// Asks the server what our client does not; the answer's text.
async fn ask(site: &Site, method: Method, path: &str) -> String {
    let credential = AwsCredential {
        key_id: ID.to_owned(),
        secret_key: SECRET.to_owned(),
        token: None,
    };
    let mut request = HttpRequest::new(HttpRequestBody::empty());
    *request.method_mut() = method.clone();
    let url = format!("http://{}{path}", site.server.address);
    *request.uri_mut() = url.parse().unwrap();
    AwsAuthorizer::new(&credential, "s3", "us-east-1")
        .try_authorize(&mut request, None)
        .unwrap();
    let sent = reqwest::Client::new().request(method, url);
    let sent = sent.headers(request.headers().clone());
    let answer = sent.send().await.unwrap().error_for_status().unwrap();
    answer.text().await.unwrap()
}

/// How many uploads there are that nobody finished.
async fn num_unfinished(site: &Site) -> usize {
    let listed = ask(site, Method::GET, "/depot?uploads=").await;
    listed.matches("<UploadId>").count()
}

#[tokio::test]
async fn what_is_left_of_an_upload_goes_with_the_object_and_nothing_else() {
    let site = started().await;
    for key in ["ab%20c%2B%C3%BC.zip", "ab%20c%2B%C3%BC.zip.sig"] {
        ask(&site, Method::POST, &format!("/depot/vpc/{key}?uploads=")).await;
    }
    assert_eq!(num_unfinished(&site).await, 2);
    let plan = site.plan("vpc/ab c+ü.zip");
    site.fixture.stores.delete(&plan).await.unwrap();
    assert_eq!(num_unfinished(&site).await, 1);
}

#[tokio::test]
async fn an_upload_that_fails_leaves_nothing() {
    let (site, content) = (started().await, bytes(20 << 20));
    let file = site.fixture.file(&content);
    let plan = site.plan("vpc/0190-module.zip");
    let put = site.fixture.stores.put(
        &plan,
        file.as_path().into(),
        expected(&bytes((20 << 20) - 1)),
    );
    assert_eq!(put.await.unwrap_err().kind(), Kind::Corrupt);
    assert_eq!(num_unfinished(&site).await, 0);
    assert_eq!(site.fixture.stores.head(&plan).await.unwrap(), None);
}

#[tokio::test]
async fn what_changes_on_the_disk_never_comes_out() {
    let site = started().await;
    let file = site.server.folder.path().join("root/depot").join(KEY);
    // The server keeps the tag of a file that changed; what it tells is the time, in seconds.
    let seconds = Cell::new(1_800_000_000);
    corruption::never_comes_out(&site, async |content| {
        std::fs::write(&file, content).unwrap();
        seconds.set(seconds.get() + 1);
        let time = SystemTime::UNIX_EPOCH + Duration::from_secs(seconds.get());
        let file = File::options().write(true).open(&file).unwrap();
        file.set_modified(time).unwrap();
    })
    .await;
}

tests! { started: all }
