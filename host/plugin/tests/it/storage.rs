//! Storage decisions: what is answered, and forged plans.

use crate::guests::{self, Place, Plan, Request, place};
use crate::support::{Site, artifact, failure, grants, id, record};
use opendepot_domain::placement::{HeaderValue, OptionValue, SignedRequest};
use opendepot_domain::seam::{BoxFuture, SeamError, StorageDecisions as _};
use opendepot_domain::{Kind, NativePlan, Operation, Placement, Transfer};
use opendepot_plugin::{CheckedRequest, HttpError, HttpResponse, HttpSender, PluginHost};
use std::sync::Arc;
use std::sync::Mutex;

const GRANTS: &str = r#"
stores:
  - { match: "s3://depot-*", region: eu-1, credentials: prod }
  - { match: "file:///" }
hosts: ["artifactory.test:443"]
credentials: { prod: { kind: aws-static, secret: prod-keys } }
secrets: { token: { hosts: ["artifactory.test:443"] }, elsewhere: {} }
"#;
const NEEDS: &str = "{ hosts: true, secrets: [token, elsewhere] }";
const STORE: &str = "s3://depot-a";
const KEY: &str = "vpc/x.zip";

fn site(component: &[u8]) -> Site {
    let mut site = Site::new();
    site.plugin_needing("backend", "storage", component, NEEDS)
        .grants = grants(GRANTS);
    site
}

async fn host(component: &[u8]) -> PluginHost {
    let host = site(component).host().await;
    assert_eq!(failure(&host, "backend"), None);
    host
}

async fn locate(host: &PluginHost) -> Result<Placement, SeamError> {
    host.locate(&id("backend"), Some("{}"), &artifact()).await
}

async fn plan(plan: Plan, operation: Operation) -> Result<Transfer, SeamError> {
    let host = host(&guests::storage(&place(STORE, KEY), &plan)).await;
    host.plan(&record("backend", STORE, KEY), &artifact(), operation, 100)
        .await
}

#[tokio::test]
async fn an_honest_placement_is_passed_on() {
    let mut honest = place(STORE, KEY);
    honest.options = vec![("storage-class", "STANDARD_IA")];
    honest.credentials = Some("prod");
    let host = host(&guests::storage(&honest, &Plan::Native(honest.clone()))).await;
    let expected = Placement {
        store: STORE.into(),
        key: KEY.into(),
        attributes: Vec::new(),
        options: vec![(
            "storage-class".into(),
            OptionValue::Plain("STANDARD_IA".into()),
        )],
        credentials: Some("prod".into()),
    };
    assert_eq!(locate(&host).await, Ok(expected.clone()));
    let planned = host
        .plan(
            &record("backend", STORE, KEY),
            &artifact(),
            Operation::Get,
            100,
        )
        .await;
    assert_eq!(
        planned,
        Ok(Transfer::Native(NativePlan {
            plugin: id("backend"),
            placement: expected
        }))
    );
    let access = host
        .store_access(&id("backend"), STORE, Some("prod"))
        .unwrap();
    assert_eq!(access.region.as_deref(), Some("eu-1"));
    let credential = access.credential.unwrap();
    assert!(
        credential
            .secret_file
            .unwrap()
            .ends_with("secrets/prod-keys")
    );
    assert_eq!(host.store_access(&id("backend"), "s3://other", None), None);
    assert_eq!(host.store_access(&id("nobody"), STORE, None), None);
    assert_eq!(host.validate(&id("backend"), Some("{}")).await, Ok(()));
}

#[tokio::test]
async fn forged_placements_are_refused() {
    let with = |options: Vec<(&'static str, &'static str)>, credentials| Place {
        options,
        credentials,
        ..place(STORE, KEY)
    };
    for (name, forged) in [
        ("another bucket", place("s3://others", KEY)),
        ("the host's folder", place("file:///etc", "passwd")),
        ("climbing key", place("file:///", "../../etc/passwd")),
        ("absolute key", place("file:///", "/etc/passwd")),
        (
            "metadata address",
            place("http://169.254.169.254", "latest"),
        ),
        ("line break in the key", place(STORE, "a\r\nb")),
        (
            "own endpoint",
            with(vec![("endpoint", "https://evil.test")], None),
        ),
        (
            "own credential option",
            with(vec![("access-key-id", "x")], None),
        ),
        ("ungranted credential", with(Vec::new(), Some("root"))),
    ] {
        let host = host(&guests::storage(&forged, &Plan::Nothing)).await;
        let error = locate(&host).await.unwrap_err();
        assert_eq!(error.kind, Kind::Denied, "{name}: {error}");
    }
}

#[tokio::test]
async fn forged_plans_are_refused() {
    let request = Request {
        method: "GET",
        url: "https://artifactory.test/vpc/x.zip",
        headers: vec![("X-A", "b")],
        expires_at: 200,
    };
    let planned = plan(Plan::Signed(request.clone()), Operation::Get).await;
    let Ok(Transfer::Signed(honest)) = planned else {
        panic!("{planned:?}");
    };
    assert_eq!(honest.url, "https://artifactory.test/vpc/x.zip");
    assert_eq!(
        honest.headers,
        [("X-A".into(), HeaderValue::Plain("b".into()))]
    );
    assert_eq!(
        (honest.success, honest.missing),
        (vec![200, 206], vec![404])
    );
    let signed = |change: fn(&mut Request)| {
        let mut forged = request.clone();
        change(&mut forged);
        Plan::Signed(forged)
    };
    for (name, forged, operation) in [
        (
            "another bucket",
            Plan::Native(place("s3://depot-b", KEY)),
            Operation::Get,
        ),
        (
            "another key",
            Plan::Native(place(STORE, "vpc/y.zip")),
            Operation::Get,
        ),
        (
            "the host's folder",
            Plan::Native(place("file:///etc", "passwd")),
            Operation::Get,
        ),
        ("nothing for a get", Plan::Nothing, Operation::Get),
        ("nothing for a put", Plan::Nothing, Operation::Put),
        ("nothing for a delete", Plan::Nothing, Operation::Delete),
        (
            "metadata address",
            signed(|r| r.url = "http://169.254.169.254/latest/meta-data"),
            Operation::Get,
        ),
        (
            "another host",
            signed(|r| r.url = "https://evil.test/"),
            Operation::Get,
        ),
        (
            "plain http",
            signed(|r| r.url = "http://artifactory.test/"),
            Operation::Get,
        ),
        (
            "user information",
            signed(|r| r.url = "https://a:b@artifactory.test/"),
            Operation::Get,
        ),
        (
            "line break in a header",
            signed(|r| r.headers = vec![("X-A", "b\r\nHost: evil.test")]),
            Operation::Get,
        ),
        (
            "own host header",
            signed(|r| r.headers = vec![("Host", "evil.test")]),
            Operation::Get,
        ),
        (
            "own length",
            signed(|r| r.headers = vec![("content-length", "0")]),
            Operation::Get,
        ),
        ("expired", signed(|r| r.expires_at = 100), Operation::Get),
        (
            "delete for a get",
            signed(|r| r.method = "DELETE"),
            Operation::Get,
        ),
        ("get for a put", signed(|_| {}), Operation::Put),
        ("headers on a link", signed(|_| {}), Operation::Presign(60)),
    ] {
        let error = plan(forged, operation).await.unwrap_err();
        assert_eq!(error.kind, Kind::Denied, "{name}: {error}");
    }
}

#[tokio::test]
async fn prepare_creates_only_under_its_grant() {
    let native = Plan::Native(place(STORE, KEY));
    assert_eq!(
        plan(Plan::Nothing, Operation::Prepare).await,
        Ok(Transfer::Nothing)
    );
    assert_eq!(
        plan(native, Operation::Prepare).await,
        Ok(Transfer::Nothing)
    );
    let native = Plan::Native(place(STORE, KEY));
    let mut site = site(&guests::storage(&place(STORE, KEY), &native));
    site.config.entries[0].grants.create_containers = true;
    let planned = site
        .host()
        .await
        .plan(
            &record("backend", STORE, KEY),
            &artifact(),
            Operation::Prepare,
            100,
        )
        .await;
    assert!(matches!(planned, Ok(Transfer::Native(_))), "{planned:?}");
}

#[tokio::test]
async fn unknown_and_broken_backends_are_told_apart() {
    let mut site = Site::new();
    site.plugin("broken", "storage", b"not wasm");
    let host = site.host().await;
    let kind = |result: Result<Placement, SeamError>| result.unwrap_err().kind;
    assert_eq!(
        kind(host.locate(&id("nobody"), None, &artifact()).await),
        Kind::NotFound
    );
    assert_eq!(
        kind(host.locate(&id("broken"), None, &artifact()).await),
        Kind::Unavailable
    );
    let planned = host
        .plan(
            &record("nobody", STORE, KEY),
            &artifact(),
            Operation::Get,
            1,
        )
        .await;
    assert_eq!(planned.unwrap_err().kind, Kind::Unavailable);
}

#[tokio::test]
async fn secrets_are_opened_only_when_declared_and_granted() {
    for (name, is_written, expected) in [
        ("token", true, "opened"),
        ("token", false, "missing"),
        ("elsewhere", true, "opened"),
        ("prod-keys", true, "denied"),
        ("../secrets/token", true, "denied"),
        ("/etc/passwd", true, "denied"),
    ] {
        let site = site(&guests::storage_opening(name));
        if is_written && !name.contains('/') {
            site.secret(name, "s3cret\n");
        }
        let host = site.host().await;
        assert_eq!(failure(&host, "backend"), None);
        assert_eq!(locate(&host).await.unwrap().key, expected, "{name}");
    }
    let hoarding = site(&guests::storage_hoarding("token"));
    hoarding.secret("token", "s3cret");
    let error = locate(&hoarding.host().await).await.unwrap_err();
    assert!(error.message.contains("too many resources"), "{error}");
}

/// Answers every request and remembers it.
#[derive(Default)]
struct Recorder {
    seen: Mutex<Vec<String>>,
}

impl HttpSender for Recorder {
    fn send(&self, request: CheckedRequest) -> BoxFuture<'_, Result<HttpResponse, HttpError>> {
        let line = format!(
            "{} {} {:?}",
            request.method,
            request.url,
            request
                .headers
                .iter()
                .map(|(name, value)| format!("{name}: {}", value.expose()))
                .collect::<Vec<_>>()
        );
        assert!(!format!("{request:?}").contains("s3cret"));
        self.seen.lock().unwrap().push(line);
        Box::pin(async {
            tokio::task::yield_now().await;
            Ok(HttpResponse {
                status: 200,
                headers: Vec::new(),
                body: b"hello".to_vec(),
            })
        })
    }
}

#[tokio::test]
async fn requests_need_a_sender_a_host_and_the_secrets_hosts() {
    let good = "https://artifactory.test/api";
    let without = site(&guests::storage_sending(good, None)).host().await;
    assert_eq!(locate(&without).await.unwrap().key, "denied");
    for (name, url, secret, expected) in [
        ("granted", good, None, "answered"),
        ("with a secret", good, Some("token"), "answered"),
        (
            "a secret that only keys macs",
            good,
            Some("elsewhere"),
            "denied",
        ),
        ("a credential as secret", good, Some("prod-keys"), "denied"),
        ("another host", "https://evil.test/", None, "denied"),
        (
            "another port",
            "https://artifactory.test:8443/",
            None,
            "denied",
        ),
        (
            "metadata address",
            "http://169.254.169.254/latest",
            None,
            "denied",
        ),
        ("loopback", "http://127.0.0.1/", None, "denied"),
    ] {
        let site = site(&guests::storage_sending(url, secret));
        site.secret("token", "s3cret\n");
        let sender = Arc::new(Recorder::default());
        let host = site
            .host_with(Arc::clone(&sender) as Arc<dyn HttpSender>)
            .await;
        assert_eq!(locate(&host).await.unwrap().key, expected, "{name}");
        let seen = sender.seen.lock().unwrap().clone();
        match (expected, secret) {
            ("answered", Some(_)) => {
                assert_eq!(
                    seen,
                    [format!("GET {good} [\"Authorization: Bearer s3cret\"]")]
                );
            }
            ("answered", None) => assert_eq!(seen, [format!("GET {good} []")]),
            _ => assert!(seen.is_empty(), "{name}: {seen:?}"),
        }
    }
}

/// Never answers.
struct Silent;

impl HttpSender for Silent {
    fn send(&self, _: CheckedRequest) -> BoxFuture<'_, Result<HttpResponse, HttpError>> {
        Box::pin(std::future::pending())
    }
}

#[tokio::test]
async fn a_call_stuck_in_the_host_ends() {
    let mut site = site(&guests::storage_sending("https://artifactory.test/", None));
    site.config.limits.storage_timeout = std::time::Duration::from_millis(100);
    site.config.limits.host_io_timeout = std::time::Duration::from_millis(100);
    let host = site.host_with(Arc::new(Silent)).await;
    let outcome = locate(&host).await;
    // Either the request or the whole call runs into the same deadline first.
    match outcome {
        Ok(placement) => assert_eq!(placement.key, "timeout"),
        Err(error) => assert!(error.message.contains("deadline"), "{error}"),
    }
}

#[tokio::test]
async fn headers_of_signed_plans_are_filled_by_the_host() {
    let site = site(&guests::storage(&place(STORE, KEY), &Plan::Nothing));
    site.secret("token", "s3cret\n");
    let host = site.host().await;
    let request = |url: &str, secret: &str| SignedRequest {
        plugin: id("backend"),
        method: "GET".into(),
        url: url.into(),
        headers: vec![(
            "Authorization".into(),
            HeaderValue::Basic {
                user: "ann".into(),
                secret: secret.into(),
            },
        )],
        expires_at: 1,
        success: vec![200],
        exists: Vec::new(),
        missing: Vec::new(),
    };
    let good = "https://artifactory.test/";
    let headers = host
        .signed_headers(&id("backend"), &request(good, "token"))
        .await
        .unwrap();
    assert_eq!(headers[0].1.expose(), "Basic YW5uOnMzY3JldA==");
    for (name, url, secret) in [
        ("ungranted secret", good, "prod-keys"),
        ("other host", "https://evil.test/", "token"),
        ("climbing", good, "../secrets/token"),
    ] {
        let outcome = host
            .signed_headers(&id("backend"), &request(url, secret))
            .await;
        assert!(outcome.is_err(), "{name}");
    }
}
