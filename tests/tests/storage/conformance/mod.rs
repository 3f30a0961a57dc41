//! The conformance suite of storage plugins, with bytes: every built-in one, each before servers of
//! its kind, through the registry's own client. What is skipped is named here, so that nothing is
//! left out in silence.

mod site;

use crate::CANARY;
use crate::cloud::gcs_server::{BodyFault, FIRST, GcsServer};
use crate::nginx::{Door, Nginx};
use crate::signing::Gateway;
use opendepot_conformance::{Outcome, Report};
use opendepot_tests::object_server::{ACCESS_KEY, ACCOUNT, ACCOUNT_KEYS, ObjectServer, SECRET_KEY};
use opendepot_tests::s3::{KEYS, Mode, S3};
use opendepot_transfer::CloudCredentialKind;
use serde_json::json;
use site::{SECRET, Site, Way, access, web};

/// How many cases move bytes.
const NUM_CASES: usize = 15;

/// Cases that stores without links skip.
const LINKS: [&str; 2] = ["data-link", "data-link-life"];

/// Nothing failed, every case ran, and exactly these were skipped.
#[track_caller]
fn expect_only_skips(report: &Report, skipped: &[&str]) {
    assert!(report.is_ok(), "{report}");
    let checks = report.checks.iter();
    let cases = checks.filter(|check| check.name.starts_with("data-"));
    assert_eq!(cases.count(), NUM_CASES, "{report}");
    let checks = report.checks.iter();
    let are_skipped: Vec<&str> = checks
        .filter(|check| matches!(check.outcome, Outcome::Skipped(_)))
        .map(|check| check.name)
        .collect();
    assert_eq!(are_skipped, skipped, "{report}");
}

#[track_caller]
fn expect_failure(report: &Report, case: &str, words: &str) {
    let mut failures = report.failures();
    assert!(
        failures.any(|(name, reason)| name == case && reason.contains(words)),
        "`{case}` should fail with `{words}`: {report}"
    );
}

fn s3(endpoint: String, (id, secret): (&str, &str)) -> Site {
    let secret = json!({ "accessKeyId": id, "secretAccessKey": secret }).to_string();
    Site {
        plugin: "storage-s3",
        settings: json!({ "bucket": "depot", "prefix": "terraform" }),
        grants: None,
        way: Way::Cloud(access(endpoint, CloudCredentialKind::AwsStatic, &secret)),
        race: None,
    }
}

fn gcs(server: &GcsServer) -> Site {
    let key = FIRST.credential().secret.unwrap();
    let endpoint = server.endpoint.clone();
    Site {
        plugin: "storage-gcs",
        settings: json!({ "bucket": "depot" }),
        grants: None,
        way: Way::Cloud(access(endpoint, CloudCredentialKind::GcpKey, key.reveal())),
        race: None,
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn storage_fs_on_this_file_system() {
    let site = Site {
        plugin: "storage-fs",
        settings: json!({ "root": "/srv/artifacts" }),
        grants: None,
        way: Way::Files,
        race: None,
    };
    expect_only_skips(&site.report().await, &LINKS);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn storage_s3_before_versitygw() {
    let server = ObjectServer::versitygw().await;
    let site = s3(server.url(), (ACCESS_KEY, SECRET_KEY));
    expect_only_skips(&site.report().await, &[]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn storage_s3_before_a_server_in_this_process() {
    let server = S3::start().await;
    let site = Site {
        race: Some("the server looks first and writes then"),
        ..s3(server.url(), KEYS[0])
    };
    expect_only_skips(&site.report().await, &["data-one-writer-wins"]);
    assert_eq!(server.keys(), [""; 0], "everything was removed");
    assert_eq!(server.num_unfinished(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn storage_azure_before_azurite() {
    let server = ObjectServer::azurite().await;
    let endpoint = format!("{}/{ACCOUNT}", server.url());
    let site = Site {
        plugin: "storage-azure",
        settings: json!({ "account": ACCOUNT }),
        grants: Some(json!({
            "stores": [{ "match": format!("az://{ACCOUNT}/*") }],
            "create-containers": true,
        })),
        way: Way::Cloud(access(
            endpoint,
            CloudCredentialKind::AzureKey,
            ACCOUNT_KEYS[0],
        )),
        race: None,
    };
    expect_only_skips(&site.report().await, &[]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn storage_gcs_before_a_server_in_this_process() {
    let server = GcsServer::start(&[FIRST]).await;
    expect_only_skips(&gcs(&server).report().await, &[]);
    let (objects, uploads) = server.names();
    assert!(objects.is_empty(), "{objects:?}");
    assert!(uploads.is_empty(), "{uploads:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn storage_http_before_nginx() {
    let server = Nginx::start(&Door::Basic(CANARY), true);
    let site = Site {
        plugin: "storage-http",
        settings: json!({
            "url": server.url(),
            "auth": { "basic": { "user": "depot", "secret": SECRET } },
        }),
        grants: Some(web(&server.host())),
        way: Way::Signed(CANARY),
        race: Some("nginx keeps to no condition of a PUT"),
    };
    let [link, life] = LINKS;
    expect_only_skips(&site.report().await, &["data-one-writer-wins", link, life]);
    assert!(server.objects().is_empty(), "{:?}", server.objects());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn storage_http_before_a_signing_gateway() {
    let server = Gateway::start(CANARY).await;
    let site = Site {
        plugin: "storage-http",
        settings: json!({
            "url": format!("http://{}/bucket", server.host()),
            "sign": { "secret": SECRET, "lifetime": 60 },
        }),
        grants: Some(web(&server.host())),
        way: Way::Signed(CANARY),
        race: None,
    };
    expect_only_skips(&site.report().await, &[]);
    assert!(server.objects().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_with_other_bytes_fails_the_suite() {
    let server = GcsServer::start(&[FIRST]).await;
    server.faults().set_body(BodyFault::Wrong);
    let report = gcs(&server).report().await;
    expect_failure(&report, "data-put-get-head-delete", "digest");
    expect_failure(&report, "data-range", "digest");
    expect_failure(&report, "data-link", "a link is to open");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_breaks_off_fails_the_suite() {
    let server = S3::start().await;
    server.set_mode(Mode::Half);
    let report = s3(server.url(), KEYS[0]).report().await;
    expect_failure(&report, "data-put-get-head-delete", "get of");
    expect_failure(&report, "data-link", "no answer");
}
