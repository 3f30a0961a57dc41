//! TLS: certificates reloaded when their files change, and the development CA.

use arc_swap::ArcSwap;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};
use rustls::crypto::ring;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use std::fmt;
use std::fs;
use std::future::Future;
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

/// How often the files are looked at.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// Why TLS cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file cannot be read or written.
    #[error("cannot use `{path}`: {source}")]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file does not hold what it should.
    #[error("cannot use `{path}`: {reason}")]
    Content {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// The certificate is not for the key.
    #[error("certificate and key do not belong together: {0}")]
    Mismatch(String),
    /// The development CA cannot be made.
    #[error("cannot make a development certificate: {0}")]
    Development(#[from] rcgen::Error),
    /// The TLS library refuses.
    #[error("cannot configure tls: {0}")]
    Rustls(#[from] rustls::Error),
}

/// A certificate and its key, reloaded when the files change.
pub struct Certificate {
    chain: PathBuf,
    key: PathBuf,
    current: ArcSwap<CertifiedKey>,
    /// The files' times before they were loaded.
    loaded: Stamp,
}

type Stamp = [Option<SystemTime>; 2];

impl fmt::Debug for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Certificate")
            .field("chain", &self.chain)
            .finish_non_exhaustive()
    }
}

impl Certificate {
    /// Loads both files.
    ///
    /// # Errors
    /// [`Error`] when one is unreadable or they do not belong together.
    pub fn load(chain: PathBuf, key: PathBuf) -> Result<Arc<Self>, Error> {
        let loaded = stamp(&chain, &key);
        let current = ArcSwap::from_pointee(certified_key(&chain, &key)?);
        Ok(Arc::new(Self {
            chain,
            key,
            current,
            loaded,
        }))
    }

    /// The server configuration: TLS 1.2 and 1.3, h2 and http/1.1.
    ///
    /// # Errors
    /// [`Error::Rustls`] when the provider does not support that.
    pub fn server_config(self: &Arc<Self>) -> Result<Arc<rustls::ServerConfig>, Error> {
        let mut config =
            rustls::ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
                .with_safe_default_protocol_versions()?
                .with_no_client_auth()
                .with_cert_resolver(Arc::clone(self) as Arc<dyn ResolvesServerCert>);
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(Arc::new(config))
    }

    /// Reloads on change until `shutdown`; a pair that does not fit keeps the old one (H30).
    pub async fn watch(self: Arc<Self>, shutdown: impl Future<Output = ()>) {
        tokio::pin!(shutdown);
        let mut seen = self.loaded;
        loop {
            tokio::select! {
                () = &mut shutdown => return,
                () = tokio::time::sleep(LOOK_EVERY) => {}
            }
            let now = stamp(&self.chain, &self.key);
            if now == seen {
                continue;
            }
            match certified_key(&self.chain, &self.key) {
                Ok(key) => {
                    self.current.store(Arc::new(key));
                    seen = now;
                    tracing::info!(tls.certificate = %self.chain.display(), "reloaded the tls certificate");
                }
                Err(error) => {
                    seen = now;
                    metrics::counter!("opendepot_tls_reload_failures_total").increment(1);
                    tracing::error!("keeping the old tls certificate: {error}");
                }
            }
        }
    }
}

fn stamp(chain: &Path, key: &Path) -> Stamp {
    [chain, key].map(|path| fs::metadata(path).and_then(|meta| meta.modified()).ok())
}

impl ResolvesServerCert for Certificate {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.current.load_full())
    }
}

fn certified_key(chain_path: &Path, key_path: &Path) -> Result<CertifiedKey, Error> {
    let read = |path: &Path| {
        fs::read(path).map_err(|source| Error::File {
            path: path.to_owned(),
            source,
        })
    };
    let content = |path: &Path, reason: String| Error::Content {
        path: path.to_owned(),
        reason,
    };
    let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_slice_iter(&read(chain_path)?)
        .collect::<Result<_, _>>()
        .map_err(|error| content(chain_path, error.to_string()))?;
    if chain.is_empty() {
        return Err(content(chain_path, "no certificate in it".to_owned()));
    }
    let key = PrivateKeyDer::from_pem_slice(&read(key_path)?)
        .map_err(|error| content(key_path, error.to_string()))?;
    CertifiedKey::from_der(chain, key, &ring::default_provider())
        .map_err(|error| Error::Mismatch(error.to_string()))
}

/// Where the files of the development CA are.
#[derive(Clone, Debug)]
pub struct DevelopmentFiles {
    /// What clients trust: `SSL_CERT_FILE`.
    pub ca: PathBuf,
    /// The server's chain.
    pub certificate: PathBuf,
    /// The server's key, 0600.
    pub key: PathBuf,
}

/// Makes, or keeps, a CA and a certificate for this machine's loopback names under `folder`.
///
/// # Errors
/// [`Error`] when the folder cannot be written.
pub fn development(folder: &Path) -> Result<DevelopmentFiles, Error> {
    let files = DevelopmentFiles {
        ca: folder.join("ca.pem"),
        certificate: folder.join("server.pem"),
        key: folder.join("server.key"),
    };
    if files.ca.is_file()
        && certified_key(&files.certificate, &files.key).is_ok()
        && is_recent(&files.certificate)
    {
        return Ok(files);
    }
    fs::create_dir_all(folder).map_err(|source| Error::File {
        path: folder.to_owned(),
        source,
    })?;
    let ca_key = KeyPair::generate()?;
    let mut ca = CertificateParams::default();
    ca.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    ca.distinguished_name
        .push(DnType::CommonName, "OpenDepot development CA");
    ca.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let ca_certificate = ca.self_signed(&ca_key)?;
    let issuer = Issuer::new(ca, ca_key);

    let key = KeyPair::generate()?;
    let names = ["localhost", "127.0.0.1", "::1"].map(str::to_owned);
    let mut leaf = CertificateParams::new(names)?;
    leaf.distinguished_name
        .push(DnType::CommonName, "OpenDepot on this machine");
    leaf.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    let leaf = leaf.signed_by(&key, &issuer)?;
    // The CA's own key is not kept: nothing else can ever be signed by what users trust.
    write(&files.key, key.serialize_pem().as_bytes(), 0o600)?;
    write(
        &files.certificate,
        format!("{}{}", leaf.pem(), ca_certificate.pem()).as_bytes(),
        0o644,
    )?;
    write(&files.ca, ca_certificate.pem().as_bytes(), 0o644)?;
    Ok(files)
}

/// A development certificate is made anew after half a year.
fn is_recent(path: &Path) -> bool {
    let age = fs::metadata(path)
        .and_then(|meta| meta.modified())
        .ok()
        .and_then(|time| time.elapsed().ok());
    age.is_some_and(|age| age < Duration::from_secs(180 * 24 * 3600))
}

fn write(path: &Path, bytes: &[u8], mode: u32) -> Result<(), Error> {
    let mut options = fs::OpenOptions::new();
    options.write(true).create(true).truncate(true).mode(mode);
    options
        .open(path)
        .and_then(|mut file| file.write_all(bytes).and_then(|()| file.sync_all()))
        .map_err(|source| Error::File {
            path: path.to_owned(),
            source,
        })
}

#[cfg(test)]
mod tests;
