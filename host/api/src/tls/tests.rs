use super::*;

#[test]
fn a_development_certificate_is_kept_and_its_key_is_private() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = tempfile::tempdir().unwrap();
    let files = development(folder.path()).unwrap();
    let first = fs::read(&files.ca).unwrap();
    assert_eq!(
        fs::metadata(&files.key).unwrap().permissions().mode() & 0o777,
        0o600
    );
    development(folder.path()).unwrap();
    assert_eq!(fs::read(&files.ca).unwrap(), first);
    Certificate::load(files.certificate, files.key)
        .unwrap()
        .server_config()
        .unwrap();
}

#[test]
fn a_foreign_key_is_refused() {
    let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (one, two) = (
        development(one.path()).unwrap(),
        development(two.path()).unwrap(),
    );
    assert!(matches!(
        Certificate::load(one.certificate, two.key),
        Err(Error::Mismatch(_))
    ));
}

/// The leaf that a handshake shows, or nothing when there is no handshake to be had.
fn shown(
    certificate: &Arc<Certificate>,
    versions: &[&'static rustls::SupportedProtocolVersion],
) -> Option<Vec<u8>> {
    #[derive(Debug)]
    struct Trusting;
    impl rustls::client::danger::ServerCertVerifier for Trusting {
        fn verify_server_cert(
            &self,
            _: &CertificateDer<'_>,
            _: &[CertificateDer<'_>],
            _: &rustls_pki_types::ServerName<'_>,
            _: &[u8],
            _: rustls_pki_types::UnixTime,
        ) -> Result<rustls::client::danger::ServerCertVerified, rustls::Error> {
            Ok(rustls::client::danger::ServerCertVerified::assertion())
        }
        fn verify_tls12_signature(
            &self,
            _: &[u8],
            _: &CertificateDer<'_>,
            _: &rustls::DigitallySignedStruct,
        ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
            Ok(rustls::client::danger::HandshakeSignatureValid::assertion())
        }
        fn verify_tls13_signature(
            &self,
            _: &[u8],
            _: &CertificateDer<'_>,
            _: &rustls::DigitallySignedStruct,
        ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
            Ok(rustls::client::danger::HandshakeSignatureValid::assertion())
        }
        fn supported_verify_schemes(&self) -> Vec<rustls::SignatureScheme> {
            ring::default_provider()
                .signature_verification_algorithms
                .supported_schemes()
        }
    }
    let mut config =
        rustls::ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_protocol_versions(versions)
            .unwrap()
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(Trusting))
            .with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec()];
    let mut client =
        rustls::ClientConnection::new(Arc::new(config), "localhost".try_into().unwrap()).unwrap();
    let mut server = rustls::ServerConnection::new(certificate.server_config().unwrap()).unwrap();
    for _ in 0..10 {
        let mut wire = Vec::new();
        client.write_tls(&mut wire).unwrap();
        server.read_tls(&mut wire.as_slice()).unwrap();
        server.process_new_packets().ok()?;
        wire.clear();
        server.write_tls(&mut wire).unwrap();
        client.read_tls(&mut wire.as_slice()).unwrap();
        client.process_new_packets().ok()?;
    }
    assert_eq!(client.alpn_protocol(), Some(&b"h2"[..]));
    client.peer_certificates().map(|chain| chain[0].to_vec())
}

fn leaf(path: &Path) -> Vec<u8> {
    CertificateDer::pem_slice_iter(&fs::read(path).unwrap())
        .next()
        .unwrap()
        .unwrap()
        .to_vec()
}

/// Puts `from` over `to` as a file of another second.
fn replace(from: &Path, to: &Path, age: u64) {
    fs::copy(from, to).unwrap();
    let file = fs::File::options().append(true).open(to).unwrap();
    file.set_modified(SystemTime::now() - Duration::from_secs(age))
        .unwrap();
}

#[tokio::test(start_paused = true)]
async fn new_files_are_used_by_new_handshakes_and_a_pair_that_does_not_fit_is_not() {
    let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (live, next) = (
        development(one.path()).unwrap(),
        development(two.path()).unwrap(),
    );
    let (first, second) = (leaf(&live.certificate), leaf(&next.certificate));
    let certificate = Certificate::load(live.certificate.clone(), live.key.clone()).unwrap();
    let all = rustls::ALL_VERSIONS;
    assert_eq!(shown(&certificate, all), Some(first.clone()));

    // Changed between the load and the watch: seen all the same.
    replace(&next.certificate, &live.certificate, 100);
    let watch = Arc::clone(&certificate).watch(std::future::pending());
    let watching = tokio::spawn(watch);
    tokio::time::sleep(Duration::from_secs(10)).await;
    assert_eq!(
        shown(&certificate, all),
        Some(first.clone()),
        "half a change is none"
    );

    replace(&next.key, &live.key, 90);
    tokio::time::sleep(Duration::from_secs(10)).await;
    assert_eq!(shown(&certificate, all), Some(second.clone()));

    for garbage in ["", "-----BEGIN CERTIFICATE-----"] {
        fs::write(&live.certificate, garbage).unwrap();
        tokio::time::sleep(Duration::from_secs(10)).await;
        assert_eq!(shown(&certificate, all), Some(second.clone()));
    }
    fs::remove_file(&live.certificate).unwrap();
    tokio::time::sleep(Duration::from_secs(10)).await;
    assert_eq!(shown(&certificate, all), Some(second));
    watching.abort();
}

#[tokio::test(start_paused = true)]
async fn a_change_before_the_watch_began_is_seen() {
    let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (live, next) = (
        development(one.path()).unwrap(),
        development(two.path()).unwrap(),
    );
    let certificate = Certificate::load(live.certificate.clone(), live.key.clone()).unwrap();
    replace(&next.certificate, &live.certificate, 100);
    replace(&next.key, &live.key, 100);
    let watching = tokio::spawn(Arc::clone(&certificate).watch(std::future::pending()));
    tokio::time::sleep(Duration::from_secs(10)).await;
    assert_eq!(
        shown(&certificate, rustls::ALL_VERSIONS),
        Some(leaf(&next.certificate))
    );
    watching.abort();
}

#[test]
fn both_versions_of_today_are_spoken() {
    let folder = tempfile::tempdir().unwrap();
    let files = development(folder.path()).unwrap();
    let certificate = Certificate::load(files.certificate, files.key).unwrap();
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        assert!(shown(&certificate, &[version]).is_some(), "{version:?}");
    }
}
