//! What TLS trusts: the system's certificates (`SSL_CERT_FILE` and `SSL_CERT_DIR` count) and the
//! operator's CA file.

use crate::error::Error;
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;
use std::path::Path;
use std::sync::Arc;

pub(super) fn config(ca_file: Option<&Path>) -> Result<ClientConfig, Error> {
    let mut roots = RootCertStore::empty();
    let native = rustls_native_certs::load_native_certs();
    let (_, num_ignored) = roots.add_parsable_certificates(native.certs);
    if num_ignored > 0 || !native.errors.is_empty() {
        tracing::warn!(
            tls.num_ignored = num_ignored,
            tls.num_errors = native.errors.len(),
            "some of the system's certificates cannot be used"
        );
    }
    if let Some(path) = ca_file {
        add_file(&mut roots, path).map_err(|reason| Error::Settings {
            problems: vec![format!("`caFile` `{}`: {reason}", path.display())],
        })?;
    }
    if roots.is_empty() {
        tracing::warn!("no certificate is trusted, so every fetch over https will fail");
    }
    // The provider is named, so that nothing depends on what the binary installed.
    let mut config =
        ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(|error| Error::Internal {
                attempt: "configure TLS".to_owned(),
                reason: error.to_string(),
            })?
            .with_root_certificates(roots)
            .with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(config)
}

fn add_file(roots: &mut RootCertStore, path: &Path) -> Result<(), String> {
    let certificates = CertificateDer::pem_file_iter(path).map_err(|error| error.to_string())?;
    let mut num_added = 0;
    for certificate in certificates {
        let certificate = certificate.map_err(|error| error.to_string())?;
        roots.add(certificate).map_err(|error| error.to_string())?;
        num_added += 1;
    }
    if num_added == 0 {
        return Err("it holds no certificate".to_owned());
    }
    Ok(())
}
