//! The metadata server of Google Cloud, and the service that signs in the name of its account.

use super::alone::alone;
use super::listener::Listener;
use super::service::{Answer, Mode, Service, header, said};
use super::{all_read, filled, fixture, pass, puts_and_reads, read, unavailable};
use crate::gcs_server::{FIRST, GcsServer};
use crate::{Fixture, plan};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::request::Parts;
use jiff::{SignedDuration, Timestamp};
use opendepot_domain::Kind;
use opendepot_transfer::{CloudCredential, CloudCredentialKind, StoreAccess};
use parking_lot::Mutex;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

const STORE: &str = "gs://depot";
const ACCOUNT: &str = "/computeMetadata/v1/instance/service-accounts/default";
const MINUTE: Duration = Duration::from_secs(60);

/// The tokens that were issued, and how long new ones live.
#[derive(Clone)]
struct Tokens(Arc<Mutex<Issued>>);

struct Issued {
    ends: BTreeMap<String, Timestamp>,
    seconds: i64,
}

impl Tokens {
    fn living(seconds: i64) -> Self {
        Self(Arc::new(Mutex::new(Issued {
            ends: BTreeMap::new(),
            seconds,
        })))
    }

    fn num(&self) -> usize {
        self.0.lock().ends.len()
    }

    /// The store learns of all that were issued. As a server, it would ask.
    fn told(&self, store: &GcsServer) {
        store.set_tokens(self.0.lock().ends.clone());
    }

    fn metadata(&self, store: &GcsServer, parts: &Parts) -> Answer {
        if header(parts, "metadata-flavor") != Some("Google") || parts.method != "GET" {
            return said(403, "");
        }
        if header(parts, "x-forwarded-for").is_some() {
            return said(403, "");
        }
        let mut answer = match parts.uri.path().strip_prefix(ACCOUNT) {
            Some("/email") => said(200, FIRST.email),
            Some("/token") => {
                let mut issued = self.0.lock();
                let token = format!("ya29.issued-token-{}", issued.ends.len() + 1);
                let end = Timestamp::now() + SignedDuration::from_secs(issued.seconds);
                issued.ends.insert(token.clone(), end);
                let seconds = issued.seconds;
                drop(issued);
                self.told(store);
                let document = json!({
                    "access_token": token, "expires_in": seconds, "token_type": "Bearer",
                });
                said(200, document.to_string())
            }
            _ => said(404, ""),
        };
        let flavor = "Google".parse().unwrap();
        answer.headers_mut().insert("metadata-flavor", flavor);
        answer
    }

    /// `projects.serviceAccounts.signBlob`.
    fn sign(&self, parts: &Parts, body: &[u8]) -> Answer {
        let token = header(parts, "authorization").and_then(|value| value.strip_prefix("Bearer "));
        let ends = token.and_then(|token| self.0.lock().ends.get(token).copied());
        if ends.is_none_or(|end| end <= Timestamp::now()) {
            return said(401, "hunter2");
        }
        let path = format!("/v1/projects/-/serviceAccounts/{}:signBlob", FIRST.email);
        let asked: Value = serde_json::from_slice(body).unwrap();
        let payload = STANDARD.decode(asked["payload"].as_str().unwrap()).unwrap();
        if parts.method != "POST" || parts.uri.path() != path {
            return said(404, "");
        }
        let signed = STANDARD.encode(FIRST.signed(&payload));
        said(
            200,
            json!({ "keyId": "1", "signedBlob": signed }).to_string(),
        )
    }
}

struct Site {
    tokens: Tokens,
    metadata: Service,
    signer: Service,
    store: Arc<GcsServer>,
    fixture: Fixture,
}

fn environment(address: SocketAddr) -> Vec<(&'static str, String)> {
    vec![("GCE_METADATA_HOST", address.to_string())]
}

async fn started(address: SocketAddr, seconds: i64) -> Site {
    let (tokens, store) = (
        Tokens::living(seconds),
        Arc::new(GcsServer::start(&[FIRST]).await),
    );
    let (issuer, known) = (tokens.clone(), Arc::clone(&store));
    let metadata = Service::at(address, move |parts, _| issuer.metadata(&known, parts)).await;
    let issuer = tokens.clone();
    let signer = Service::start(move |parts, body| issuer.sign(parts, body)).await;
    let fixture = fixture(StoreAccess {
        endpoint: Some(store.endpoint.clone()),
        options: [("iam-endpoint".to_owned(), signer.url.clone())].into(),
        credential: Some(CloudCredential {
            kind: CloudCredentialKind::GcpMetadata,
            secret: None,
        }),
        ..StoreAccess::default()
    });
    Site {
        tokens,
        metadata,
        signer,
        store,
        fixture,
    }
}

#[test]
fn the_account_of_a_machine_reads_writes_and_signs() {
    let test = "credentials::gcp::the_account_of_a_machine_reads_writes_and_signs";
    alone(test, environment, async |address| {
        let listener = Listener::start();
        let site = started(address, 3_600).await;
        let token = format!("GET {ACCOUNT}/token");
        puts_and_reads(&site.fixture, STORE).await;
        assert_eq!(site.metadata.asked(), [token]);
        let plan = filled(&site.fixture, STORE).await;
        for _ in 0..2 {
            // Its own key signs, which outlives the token.
            let link = site
                .fixture
                .stores
                .presign(&plan, MINUTE * 120)
                .await
                .unwrap();
            assert!(link.as_str().contains("X-Goog-Expires=7200&"), "{link}");
            assert_eq!(reqwest::get(link).await.unwrap().status(), 200);
        }
        assert_eq!(site.metadata.asked(), [format!("GET {ACCOUNT}/email")]);
        assert_eq!(site.signer.asked().len(), 2);
        site.signer.set(Mode::Failing);
        let text = unavailable(site.fixture.stores.presign(&plan, MINUTE)).await;
        let heard = format!("{text} {}", listener.heard());
        for part in ["issued-token", "hunter2", "X-Goog-Signature"] {
            assert!(!heard.contains(part), "{heard}");
        }
    });
}

#[test]
fn a_token_is_replaced_before_its_end_and_used_until_then() {
    let test = "credentials::gcp::a_token_is_replaced_before_its_end_and_used_until_then";
    alone(test, environment, async |address| {
        let site = started(address, 2).await;
        let plan = filled(&site.fixture, STORE).await;
        assert_eq!(site.tokens.num(), 1);
        pass(1_050).await;
        all_read(&site.fixture, &plan, 20).await;
        assert_eq!(site.tokens.num(), 2);
        site.metadata.set(Mode::Failing);
        pass(1_200).await;
        all_read(&site.fixture, &plan, 20).await;
        pass(900).await;
        let text = unavailable(read(&site.fixture, &plan)).await;
        assert!(!text.contains("issued-token"), "{text}");
        site.metadata.set(Mode::Silent);
        unavailable(read(&site.fixture, &plan)).await;
        site.metadata.set(Mode::Up);
        read(&site.fixture, &plan).await.unwrap();
        // One that is refused before its end is replaced too.
        site.store.set_tokens(BTreeMap::new());
        all_read(&site.fixture, &plan, 20).await;
    });
}

#[test]
fn a_machine_is_not_asked_unless_the_operator_says_so() {
    let test = "credentials::gcp::a_machine_is_not_asked_unless_the_operator_says_so";
    alone(test, environment, async |address| {
        let site = started(address, 3_600).await;
        let plan = plan(STORE, "any.zip");
        let access = site.fixture.operator.0.lock().unwrap().clone();
        for credential in [None, Some(FIRST.credential())] {
            let other = fixture(StoreAccess {
                credential,
                ..access.clone()
            });
            let _refused_or_not = other.stores.head(&plan).await;
            let _made_or_not = other.stores.presign(&plan, MINUTE).await;
        }
        // Another address than the server's own is for the egress settings to allow.
        let error = Fixture::new(access).stores.head(&plan).await.unwrap_err();
        assert_eq!(error.kind(), Kind::Denied, "{error}");
        assert_eq!(site.metadata.asked(), Vec::<String>::new());
        site.fixture.stores.head(&plan).await.unwrap();
        assert_eq!(site.metadata.asked().len(), 1);
    });
}
