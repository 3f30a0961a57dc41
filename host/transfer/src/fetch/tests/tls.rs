//! Trust, and what only TLS shows.

use super::*;

/// A CA, and an acceptor with a certificate of it.
struct Tls {
    ca_pem: String,
    acceptor: tokio_rustls::TlsAcceptor,
}

fn tls(host: &str, is_expired: bool, alpn: &[&[u8]]) -> Tls {
    let ca_key = KeyPair::generate().unwrap();
    let mut ca = CertificateParams::new(Vec::new()).unwrap();
    ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let ca_pem = ca.self_signed(&ca_key).unwrap().pem();
    let issuer = Issuer::new(ca, ca_key);
    let key = KeyPair::generate().unwrap();
    let mut leaf = CertificateParams::new(vec![host.to_owned()]).unwrap();
    if is_expired {
        leaf.not_before = rcgen::date_time_ymd(2001, 1, 1);
        leaf.not_after = rcgen::date_time_ymd(2002, 1, 1);
    }
    let leaf = leaf.signed_by(&key, &issuer).unwrap();
    let private = rustls_pki_types::PrivateKeyDer::try_from(key.serialize_der()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![leaf.der().clone()], private)
        .unwrap();
    config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
    Tls {
        ca_pem,
        acceptor: Arc::new(config).into(),
    }
}

fn trusting(ca_pem: Option<&str>) -> (Fetcher, tempfile::NamedTempFile) {
    let file = tempfile::NamedTempFile::new().unwrap();
    let mut config = serde_json::json!({
        "allow": ["*.test"],
        "allowHttp": ["*.test"],
        "allowPrivate": ["127.0.0.1/32"],
    });
    if let Some(pem) = ca_pem {
        std::fs::write(file.path(), pem).unwrap();
        config["caFile"] = file.path().to_str().unwrap().into();
    }
    (fetcher(policy(config)), file)
}

fn https(server: &Server, host: &str) -> FetchRequest {
    let mut url = server.url(host, "/");
    let port = url.port();
    url = Url::parse(url.as_str().replacen("http", "https", 1).as_str()).unwrap();
    url.set_port(port).unwrap();
    FetchRequest::new(url)
}

#[tokio::test]
async fn the_ca_file_decides_whom_tls_trusts() {
    let good = tls("a.test", false, &[b"h2", b"http/1.1"]);
    let server = Server::start_with(Some(good.acceptor), |_| answer(200, &[], "ok")).await;
    let (trusted, _file) = trusting(Some(&good.ca_pem));
    trusted
        .get_bytes(&https(&server, "a.test"), 10)
        .await
        .unwrap();
    assert_eq!(server.seen.lock()[0].version(), http::Version::HTTP_2);
    let (untrusted, _none) = trusting(None);
    let wrong_host = trusted.get_bytes(&https(&server, "b.test"), 10).await;
    let unknown = untrusted.get_bytes(&https(&server, "a.test"), 10).await;
    let old = tls("a.test", true, &[]);
    let expired_server = Server::start_with(Some(old.acceptor), |_| answer(200, &[], "ok")).await;
    let (trusting_old, _file) = trusting(Some(&old.ca_pem));
    let expired = trusting_old
        .get_bytes(&https(&expired_server, "a.test"), 10)
        .await;
    for (name, outcome) in [
        ("wrong host", wrong_host),
        ("unknown issuer", unknown),
        ("expired", expired),
    ] {
        let error = outcome.unwrap_err();
        assert_eq!(error.kind(), Kind::Unavailable, "{name}: {error}");
        assert!(error.to_string().contains("certificate"), "{name}: {error}");
    }
    assert!(expired_server.seen.lock().is_empty());
}

#[tokio::test]
async fn a_ca_file_that_cannot_be_used_is_a_settings_error() {
    for text in [
        "",
        "not a certificate",
        "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
    ] {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        let path = file.path().to_str().unwrap();
        let policy = policy(serde_json::json!({ "caFile": path }));
        let outcome = Fetcher::new(policy, FetchLimits::default());
        assert!(matches!(outcome, Err(Error::Settings { .. })), "{text:?}");
    }
}

#[tokio::test]
async fn a_redirect_from_https_to_http_is_refused_even_where_http_is_allowed() {
    let plain = Server::start(|_| answer(200, &[], "plain")).await;
    let target = plain.url("a.test", "/").to_string();
    let good = tls("a.test", false, &[]);
    let server = Server::start_with(Some(good.acceptor), move |_| {
        answer(302, &[("location", &target)], "")
    })
    .await;
    let (fetcher, _file) = trusting(Some(&good.ca_pem));
    let error = fetcher
        .get_bytes(&https(&server, "a.test"), 10)
        .await
        .unwrap_err();
    assert_eq!(error.kind(), Kind::Denied, "{error}");
    assert!(plain.seen.lock().is_empty());
}

#[tokio::test]
async fn a_reset_http2_stream_is_unavailable_and_leaves_nothing() {
    let good = tls("a.test", false, &[b"h2"]);
    let server = Server::start_with(Some(good.acceptor), |_| {
        broken(3, Some(io::Error::other("reset")), Some(100_000))
    })
    .await;
    let (fetcher, _file) = trusting(Some(&good.ca_pem));
    let (outcome, num_files) = download(&fetcher, https(&server, "a.test").url, 1 << 20).await;
    assert_eq!(outcome.unwrap_err().kind(), Kind::Unavailable);
    assert_eq!(num_files, 0);
    assert_eq!(server.seen.lock()[0].version(), http::Version::HTTP_2);
}
