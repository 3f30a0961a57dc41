//! Metadata services: of an instance (IMDSv2), and of a task or a pod (the container credentials
//! endpoint with a token file).

use super::Keys;
use super::s3::Bucket;
use crate::credentials::alone::alone;
use crate::credentials::listener::Listener;
use crate::credentials::service::{Answer, Mode, Service, header, said};
use crate::credentials::{
    TokenFile, all_read, filled, fixture, pass, puts_and_reads, read, unavailable,
};
use crate::{Fixture, key_pair, plan};
use http::request::Parts;
use opendepot_transfer::{CloudCredential, CloudCredentialKind, StoreAccess};
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

const STORE: &str = "s3://depot";
const ROLE: &str = "depot-role";
const HOUR: i64 = 3_600_000;

fn metadata() -> CloudCredential {
    CloudCredential {
        kind: CloudCredentialKind::AwsMetadata,
        secret: None,
    }
}

fn access(bucket: &Bucket, credential: Option<CloudCredential>) -> StoreAccess {
    StoreAccess {
        endpoint: Some(bucket.server.endpoint.clone()),
        credential,
        ..StoreAccess::default()
    }
}

/// What IMDSv2 answers.
fn instance(keys: &Keys, parts: &Parts) -> Answer {
    let path = parts.uri.path();
    // Who forwards for others gets nothing.
    if header(parts, "x-forwarded-for").is_some() {
        return said(403, "");
    }
    if path == "/latest/api/token" {
        let life = header(parts, "x-aws-ec2-metadata-token-ttl-seconds");
        let life: Option<u32> = life.and_then(|life| life.parse().ok());
        let is_good =
            parts.method == "PUT" && life.is_some_and(|life| (1..=21_600).contains(&life));
        return if is_good {
            said(200, "imds-token==")
        } else {
            said(400, "")
        };
    }
    if parts.method != "GET" || header(parts, "x-aws-ec2-metadata-token") != Some("imds-token==") {
        return said(401, "");
    }
    let roles = "/latest/meta-data/iam/security-credentials/";
    match path.strip_prefix(roles) {
        Some("") => said(200, ROLE),
        Some(ROLE) => keys.issue().document(),
        _ => said(404, ""),
    }
}

fn of_instance(address: SocketAddr) -> Vec<(&'static str, String)> {
    vec![(
        "AWS_EC2_METADATA_SERVICE_ENDPOINT",
        format!("http://{address}"),
    )]
}

const IMDS: [&str; 3] = [
    "PUT /latest/api/token",
    "GET /latest/meta-data/iam/security-credentials/",
    "GET /latest/meta-data/iam/security-credentials/depot-role",
];

async fn imds(address: SocketAddr, keys: &Keys) -> Service {
    let keys = keys.clone();
    Service::at(address, move |parts, _| instance(&keys, parts)).await
}

#[test]
fn an_instance_gives_its_role() {
    let test = "credentials::aws::metadata::an_instance_gives_its_role";
    alone(test, of_instance, async |address| {
        let (keys, listener) = (Keys::living(HOUR), Listener::start());
        let (service, bucket) = (imds(address, &keys).await, Bucket::start(&keys).await);
        let site = fixture(access(&bucket, Some(metadata())));
        puts_and_reads(&site, STORE).await;
        assert_eq!(service.asked(), IMDS);
        assert_eq!(bucket.seen(), (vec!["ASIAKEY1".to_owned()], 0));
        let heard = listener.heard();
        keys.unshown(&heard);
        assert!(!heard.contains("imds-token"), "{heard}");
    });
}

#[test]
fn the_role_of_an_instance_is_replaced_before_its_end() {
    let test = "credentials::aws::metadata::the_role_of_an_instance_is_replaced_before_its_end";
    alone(test, of_instance, async |address| {
        let keys = Keys::living(2_000);
        let (service, bucket) = (imds(address, &keys).await, Bucket::start(&keys).await);
        let site = fixture(access(&bucket, Some(metadata())));
        let plan = filled(&site, STORE).await;
        pass(1_100).await;
        all_read(&site, &plan, 20).await;
        assert_eq!((keys.num(), bucket.seen().1), (2, 0));
        service.set(Mode::Failing);
        pass(1_100).await;
        all_read(&site, &plan, 20).await;
        pass(1_100).await;
        keys.unshown(&unavailable(read(&site, &plan)).await);
        service.set(Mode::Silent);
        unavailable(read(&site, &plan)).await;
        service.set(Mode::Up);
        read(&site, &plan).await.unwrap();
        assert_eq!(bucket.seen().1, 0);
    });
}

#[test]
fn an_instance_is_not_asked_unless_the_operator_says_so() {
    let test = "credentials::aws::metadata::an_instance_is_not_asked_unless_the_operator_says_so";
    alone(test, of_instance, async |address| {
        let keys = Keys::living(HOUR);
        let (service, bucket) = (imds(address, &keys).await, Bucket::start(&keys).await);
        let web_identity = CloudCredential {
            kind: CloudCredentialKind::AwsWebIdentity,
            secret: None,
        };
        let plan = plan(STORE, "any.zip");
        for credential in [None, Some(key_pair("id", "secret")), Some(web_identity)] {
            let site = fixture(access(&bucket, credential));
            site.stores.head(&plan).await.unwrap_err();
            site.put(&plan, b"x").await.unwrap_err();
            let link = site.stores.presign(&plan, Duration::from_secs(60));
            let _may_be_made = link.await;
        }
        // Another address than the services' own is for the egress settings to allow.
        let site = Fixture::new(access(&bucket, Some(metadata())));
        site.stores.head(&plan).await.unwrap_err();
        assert_eq!(service.asked(), Vec::<String>::new());
        let site = fixture(access(&bucket, Some(metadata())));
        site.stores.head(&plan).await.unwrap();
        assert_eq!(service.asked(), IMDS);
    });
}

/// Where the token of a pod is: beside the test, and known before it starts.
fn token_file(address: SocketAddr) -> std::path::PathBuf {
    std::env::temp_dir().join(format!("opendepot-pod-token-{}", address.port()))
}

fn of_pod(address: SocketAddr) -> Vec<(&'static str, String)> {
    let file = token_file(address).to_str().unwrap().to_owned();
    vec![
        (
            "AWS_CONTAINER_CREDENTIALS_FULL_URI",
            format!("http://{address}/v1/credentials"),
        ),
        ("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", file),
    ]
}

#[test]
fn a_pod_gets_what_its_token_is_good_for() {
    let test = "credentials::aws::metadata::a_pod_gets_what_its_token_is_good_for";
    alone(test, of_pod, async |address| {
        let (keys, listener) = (Keys::living(600), Listener::start());
        let (file, good) = (token_file(address), TokenFile::new("pod-token.1"));
        let (issuer, known) = (keys.clone(), good.path());
        let service = Service::at(address, move |parts, _| {
            let token = std::fs::read_to_string(&known).unwrap();
            let is_good = header(parts, "authorization") == Some(token.trim());
            match (parts.method.as_str(), parts.uri.path()) {
                ("GET", "/v1/credentials") if is_good => issuer.issue().document(),
                ("GET", "/v1/credentials") => said(401, "hunter2"),
                _ => said(404, ""),
            }
        });
        let (service, bucket) = (service.await, Bucket::start(&keys).await);
        let site = fixture(access(&bucket, Some(metadata())));
        let plan = plan(STORE, "any.zip");
        // Without a token nobody is asked.
        unavailable(site.stores.head(&plan)).await;
        assert_eq!(service.asked(), Vec::<String>::new());
        write(&file, "pod-token.1\n");
        puts_and_reads(&site, STORE).await;
        write(&file, "pod-token.2\n");
        good.write("pod-token.2");
        pass(610).await;
        puts_and_reads(&site, STORE).await;
        good.write("pod-token.3");
        pass(610).await;
        let error = site.stores.head(&plan).await.unwrap_err();
        let heard = format!("{error} {error:?} {}", listener.heard());
        std::fs::remove_file(&file).unwrap();
        keys.unshown(&heard);
        assert!(
            !heard.contains("pod-token.") && !heard.contains("hunter2"),
            "{heard}"
        );
    });
}

fn write(file: &Path, text: &str) {
    std::fs::write(file, text).unwrap();
}
