//! What the operator may say of a store besides where it is: whom TLS trusts, how buckets are
//! addressed, how objects are kept.

use crate::server::S3Server;
use crate::{Fixture, bytes, expected, key_pair, plan};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::HeaderMap;
use opendepot_domain::Kind;
use opendepot_transfer::{ByteRange, EgressConfig, Put, RemoteLimits, StoreAccess};
use parking_lot::Mutex;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use s3s::auth::SimpleAuth;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_util::task::AbortOnDropHandle;

const STORE: &str = "s3://depot";

fn options(options: &[(&str, &str)]) -> std::collections::BTreeMap<String, String> {
    let options = options.iter();
    options
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect()
}

/// TLS before another server, with a certificate of a CA of its own.
struct Door {
    endpoint: String,
    ca: String,
    _task: AbortOnDropHandle<()>,
}

impl Door {
    async fn before(server: &S3Server) -> Self {
        let (ca, acceptor) = certified();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = format!("https://{}", listener.local_addr().unwrap());
        let behind = server.endpoint.trim_start_matches("http://").to_owned();
        let task = tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                let (acceptor, behind) = (acceptor.clone(), behind.clone());
                tokio::spawn(async move {
                    let Ok(mut outside) = acceptor.accept(socket).await else {
                        return;
                    };
                    let mut inside = TcpStream::connect(behind).await.unwrap();
                    let _ended = tokio::io::copy_bidirectional(&mut outside, &mut inside).await;
                });
            }
        });
        Self {
            endpoint,
            ca,
            _task: AbortOnDropHandle::new(task),
        }
    }
}

fn certified() -> (String, TlsAcceptor) {
    let ca_key = KeyPair::generate().unwrap();
    let mut ca = CertificateParams::new(Vec::new()).unwrap();
    ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let pem = ca.self_signed(&ca_key).unwrap().pem();
    let issuer = Issuer::new(ca, ca_key);
    let key = KeyPair::generate().unwrap();
    let leaf = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
    let leaf = leaf.signed_by(&key, &issuer).unwrap();
    let private = rustls_pki_types::PrivateKeyDer::try_from(key.serialize_der()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![leaf.der().clone()], private)
        .unwrap();
    (pem, Arc::new(config).into())
}

#[tokio::test]
async fn a_store_is_trusted_by_a_ca_of_its_own() {
    let server = S3Server::start(&[("id", "secret")]).await;
    let door = Door::before(&server).await;
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), &door.ca).unwrap();
    let access = StoreAccess {
        endpoint: Some(door.endpoint.clone()),
        options: options(&[("ca-file", file.path().to_str().unwrap())]),
        credential: Some(key_pair("id", "secret")),
        ..StoreAccess::default()
    };
    let limits = RemoteLimits {
        access_for: Duration::from_millis(100),
        num_sync_retries: 0,
        ..RemoteLimits::default()
    };
    let fixture = Fixture::with(access.clone(), EgressConfig::default(), limits);
    let (plan, content) = (plan(STORE, "vpc/one.zip"), bytes(1_000));
    assert_eq!(fixture.put(&plan, &content).await.unwrap(), Put::Created);
    let read = fixture.read(&plan, expected(&content), None).await;
    assert!(read.unwrap() == content);
    // What the file holds counts, and it is read anew before long.
    let until = async |wanted: Result<Option<u64>, Kind>, what: &str| {
        let deadline = Instant::now() + Duration::from_secs(10);
        loop {
            let head = fixture.stores.head(&plan).await;
            let head = head.map_err(|error| error.kind());
            if head == wanted {
                return;
            }
            assert!(Instant::now() < deadline, "{what}: {head:?}");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let (other, _) = certified();
    for (text, kind) in [
        (&other, Kind::Unavailable),
        (&"none".to_owned(), Kind::Invalid),
    ] {
        std::fs::write(file.path(), text).unwrap();
        until(Err(kind), text).await;
    }
    std::fs::write(file.path(), format!("{other}{}", door.ca)).unwrap();
    until(Ok(Some(1_000)), "with ours among them").await;
    fixture.operator.0.lock().unwrap().options.clear();
    until(Err(Kind::Unavailable), "without a file").await;
}

#[tokio::test]
async fn buckets_are_addressed_as_the_operator_says() {
    let service = "s3.eu-central-1.amazonaws.com";
    let virtual_style = ("virtual-hosted-style", "true");
    let path_style = ("virtual-hosted-style", "false");
    for (store, endpoint, option, host, path) in [
        (
            "s3://depot",
            None,
            None,
            "depot.s3.eu-central-1.amazonaws.com",
            "/k.zip",
        ),
        ("s3://de.pot", None, None, service, "/de.pot/k.zip"),
        (
            "s3://depot",
            None,
            Some(path_style),
            service,
            "/depot/k.zip",
        ),
        (
            "s3://depot",
            Some("https://s3.example"),
            None,
            "s3.example",
            "/depot/k.zip",
        ),
        (
            "s3://depot",
            Some("https://s3.example"),
            Some(virtual_style),
            "depot.s3.example",
            "/k.zip",
        ),
    ] {
        let fixture = Fixture::new(StoreAccess {
            endpoint: endpoint.map(str::to_owned),
            region: Some("eu-central-1".to_owned()),
            options: options(option.as_slice()),
            credential: Some(key_pair("id", "secret")),
        });
        let plan = plan(store, "k.zip");
        let link = fixture.stores.presign(&plan, Duration::from_secs(60));
        let link = link.await.unwrap();
        assert_eq!(
            (link.host_str().unwrap(), link.path()),
            (host, path),
            "{link}"
        );
        assert!(link.as_str().contains("%2Feu-central-1%2Fs3%2F"), "{link}");
    }
}

#[tokio::test]
async fn objects_are_kept_as_the_operator_says() {
    let seen: Arc<Mutex<Vec<HeaderMap>>> = Arc::default();
    let (guard, mut auth) = (Arc::clone(&seen), SimpleAuth::new());
    auth.register("id".to_owned(), "secret".into());
    let server = S3Server::guarded(auth, move |parts| {
        let is_begin = parts.method == "POST"
            && parts
                .uri
                .query()
                .is_some_and(|query| query.starts_with("uploads"));
        let is_put = parts.method == "PUT" && parts.uri.query().is_none();
        let is_probe = parts.uri.path().contains("probe");
        if (is_begin || is_put) && !is_probe {
            guard.lock().push(parts.headers.clone());
        }
        None
    });
    let server = server.await;
    let fixture = Fixture::new(StoreAccess {
        endpoint: Some(server.endpoint.clone()),
        options: options(&[
            ("server-side-encryption", "aws:kms"),
            ("sse-bucket-key-enabled", "true"),
            ("sse-kms-key-id", "alias/depot"),
            ("storage-class", "STANDARD"),
        ]),
        credential: Some(key_pair("id", "secret")),
        ..StoreAccess::default()
    });
    for len in [1_000, 9 << 20] {
        let plan = plan(STORE, &format!("vpc/{len}.zip"));
        fixture.put(&plan, &bytes(len)).await.unwrap();
        let headers = seen.lock().pop().unwrap();
        for (name, value) in [
            ("x-amz-server-side-encryption", "aws:kms"),
            ("x-amz-server-side-encryption-bucket-key-enabled", "true"),
            ("x-amz-server-side-encryption-aws-kms-key-id", "alias/depot"),
            ("x-amz-storage-class", "STANDARD"),
        ] {
            let said = headers.get(name).map(|value| value.to_str().unwrap());
            assert_eq!(said, Some(value), "{len} {name}");
        }
    }
}

#[tokio::test]
async fn objects_are_encrypted_with_the_operators_own_key() {
    const HEADER: &str = "x-amz-server-side-encryption-customer-";
    // As a server would that keeps no key: it tells who has the one that the object was put with.
    let key = STANDARD.encode([7; 32]);
    let good = key.clone();
    let mut auth = SimpleAuth::new();
    auth.register("id".to_owned(), "secret".into());
    let server = S3Server::guarded(auth, move |parts| {
        let query = parts.uri.query().unwrap_or_default();
        let is_of_bytes = match parts.method.as_str() {
            "GET" => query.is_empty(),
            "HEAD" | "PUT" => true,
            "POST" => query.starts_with("uploads"),
            _ => false,
        };
        let header = |name: &str| parts.headers.get(format!("{HEADER}{name}"));
        let is_good = header("algorithm").is_some_and(|value| value == "AES256")
            && header("key").is_some_and(|value| value == good.as_str())
            && header("key-md5").is_some();
        let refused = http::Response::builder().status(400);
        (is_of_bytes && !is_good).then(|| {
            let error = "<Error><Code>InvalidRequest</Code></Error>".to_owned();
            refused.body(s3s::Body::from(error)).unwrap()
        })
    });
    let server = server.await;
    let file = tempfile::NamedTempFile::new().unwrap();
    let named = ("sse-customer-key-file", file.path().to_str().unwrap());
    let access = |named: &[(&str, &str)]| StoreAccess {
        endpoint: Some(server.endpoint.clone()),
        options: options(named),
        credential: Some(key_pair("id", "secret")),
        ..StoreAccess::default()
    };
    std::fs::write(file.path(), format!("{key}\n")).unwrap();
    let fixture = Fixture::new(access(&[named]));
    for len in [1_000, 9 << 20] {
        let (plan, content) = (plan(STORE, &format!("vpc/{len}.zip")), bytes(len));
        assert_eq!(fixture.put(&plan, &content).await.unwrap(), Put::Created);
        assert_eq!(fixture.stores.head(&plan).await.unwrap(), Some(len as u64));
        let range = ByteRange {
            start: 10,
            end_inclusive: 20,
        };
        for range in [None, Some(range)] {
            let read = fixture.read(&plan, expected(&content), range).await;
            assert!(read.unwrap().len() == range.map_or(len, |_| 11));
        }
    }
    let plan = plan(STORE, "vpc/1000.zip");
    let link = fixture.stores.presign(&plan, Duration::from_secs(60));
    let link = link.await.unwrap_err();
    assert_eq!(link.kind(), Kind::Invalid, "{link}");
    let without = Fixture::new(access(&[]));
    assert!(without.stores.head(&plan).await.is_err());
    for (text, more) in [
        ("hunter2", None),
        ("aHVudGVyMg==", None),
        (key.as_str(), Some(("server-side-encryption", "AES256"))),
    ] {
        std::fs::write(file.path(), text).unwrap();
        let named: Vec<_> = [named].into_iter().chain(more).collect();
        let error = Fixture::new(access(&named)).stores.head(&plan).await;
        let error = error.unwrap_err();
        assert_eq!(error.kind(), Kind::Invalid, "{error}");
        let said = format!("{error:?}");
        assert!(!said.contains("hunter2") && !said.contains(&key), "{said}");
    }
}

#[tokio::test]
async fn an_unknown_option_is_named_with_those_that_are_known() {
    for (store, known) in [
        ("s3://depot", "virtual-hosted-style"),
        ("az://depotacct/depot", "authority-host"),
        ("gs://depot", "iam-endpoint"),
    ] {
        let fixture = Fixture::new(StoreAccess {
            endpoint: Some("http://127.0.0.1:1".to_owned()),
            options: options(&[("pathStyle", "true")]),
            ..StoreAccess::default()
        });
        let error = fixture
            .stores
            .head(&plan(store, "k.zip"))
            .await
            .unwrap_err();
        assert_eq!(error.kind(), Kind::Invalid);
        let text = error.to_string();
        let is_named = ["pathStyle", known, "ca-file", "storage-class"]
            .iter()
            .all(|name| text.contains(name));
        assert!(is_named, "{text}");
    }
}
