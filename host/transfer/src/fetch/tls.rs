//! What TLS trusts: the system's certificates (`SSL_CERT_FILE` and `SSL_CERT_DIR` count) and the
//! operator's CA files.

use crate::egress::EgressPolicy;
use crate::error::Error;
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::{self, PemObject as _};
use std::sync::Arc;

pub(super) fn config(policy: &EgressPolicy) -> Result<ClientConfig, Error> {
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
    if let Some(path) = policy.ca_file() {
        let added = CertificateDer::pem_file_iter(path)
            .map_err(|error| error.to_string())
            .and_then(|certificates| add(&mut roots, certificates));
        added.map_err(|reason| Error::Settings {
            problems: vec![format!("`caFile` `{}`: {reason}", path.display())],
        })?;
    }
    if let Some(pem) = policy.authorities() {
        add(&mut roots, CertificateDer::pem_slice_iter(pem)).map_err(|reason| {
            Error::invalid("use the option `ca-file` of a store grant", reason)
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

fn add(
    roots: &mut RootCertStore,
    certificates: impl Iterator<Item = Result<CertificateDer<'static>, pem::Error>>,
) -> Result<(), String> {
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
