//! Google Cloud Storage: what `object_store` does not do, or not as the service documents it.
//!
//! Links are signed here, since its own name a fixed host and leave the path of the object as it is.
//! A credential is the one that was granted: where none or the metadata server is, its client would
//! use what it finds in the home directory.

mod link;
mod metadata;

use super::access::{CloudCredential, CloudCredentialKind};
use super::client::{Common, secret, unusable};
use super::seen::{NoBase, Trouble, watched};
use super::wire::Wire;
use crate::error::Error;
use http::header::{AUTHORIZATION, HeaderValue};
use link::Link;
use metadata::Metadata;
use object_store::StaticCredentialProvider;
use object_store::client::HttpRequest;
use object_store::gcp::{GcpCredential, GoogleCloudStorage, GoogleCloudStorageBuilder};
use object_store::path::Path;
use ring::rand::SystemRandom;
use ring::signature::{RSA_PKCS1_SHA256, RsaKeyPair};
use rustls_pki_types::PrivateKeyDer;
use rustls_pki_types::pem::PemObject as _;
use serde::Deserialize;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};
use url::Url;

/// What the operator may set.
pub(super) const OPTIONS: &[&str] = &["ca-file", "iam-endpoint", "storage-class"];

/// The service's own endpoint.
const SERVICE: &str = "https://storage.googleapis.com";

/// One bucket.
pub(super) struct Gcs {
    pub(super) store: GoogleCloudStorage,
    /// The bucket's own URL.
    pub(super) url: Url,
    pub(super) wire: Wire,
    credentials: Credentials,
}

/// What signs the requests of one bucket, and links to its objects.
#[derive(Clone)]
pub(super) enum Credentials {
    None,
    Key(Arc<Key>),
    Metadata(Arc<Metadata>),
}

impl Credentials {
    /// # Errors
    /// [`Error::Invalid`] for a credential that cannot be used.
    pub(super) fn new(common: &Common<'_>) -> Result<Self, Error> {
        use CloudCredentialKind::{GcpKey, GcpMetadata};
        Ok(match common.credential(&[GcpKey, GcpMetadata])? {
            None => Self::None,
            Some(credential) if credential.kind == GcpKey => {
                Self::Key(Arc::new(Key::new(credential)?))
            }
            Some(_) => Self::Metadata(Arc::new(Metadata::new(common)?)),
        })
    }
}

/// # Errors
/// [`Error::Invalid`] for settings that cannot be used.
pub(super) fn open(
    bucket: &str,
    store: &str,
    credentials: &Credentials,
    common: &Common<'_>,
) -> Result<Gcs, Error> {
    let mut wire = common.wire.clone();
    if let Some(class) = common.options.get("storage-class") {
        // Without it a copy has the bucket's class, not that of what is copied.
        let class = HeaderValue::from_str(class).map_err(|_| unusable(store))?;
        wire.of_copies.insert("x-goog-storage-class", class);
    }
    let mut url = match &common.endpoint {
        Some(endpoint) => endpoint.clone(),
        None => Url::parse(SERVICE).map_err(|_| unusable(store))?,
    };
    let mut builder = GoogleCloudStorageBuilder::new()
        .with_bucket_name(bucket)
        // The file of a key may name another.
        .with_base_url(url.as_str().trim_end_matches('/'))
        .with_http_connector(wire.clone())
        .with_retry(common.retry.clone())
        .with_client_options(Common::client_options());
    builder = match credentials {
        Credentials::None => {
            // Some requests ask for a credential though none is wanted.
            let nothing = GcpCredential {
                bearer: String::new(),
            };
            builder
                .with_skip_signature(true)
                .with_credentials(Arc::new(StaticCredentialProvider::new(nothing)))
        }
        Credentials::Key(key) => builder.with_service_account_key(key.file.as_str()),
        Credentials::Metadata(metadata) => builder.with_credentials(Arc::clone(metadata) as _),
    };
    let client = builder.build().map_err(|_| unusable(store))?;
    url.path_segments_mut()
        .map_err(|()| unusable(store))?
        .pop_if_empty()
        .push(bucket);
    Ok(Gcs {
        store: client,
        url,
        wire,
        credentials: credentials.clone(),
    })
}

impl Gcs {
    /// Adds the credential to a request that is made here.
    pub(super) async fn authorize(&self, request: &mut HttpRequest) -> object_store::Result<()> {
        if matches!(self.credentials, Credentials::None) {
            return Ok(());
        }
        let credential = self.store.credentials().get_credential().await?;
        request
            .headers_mut()
            .insert(AUTHORIZATION, bearer(&credential)?);
        Ok(())
    }

    /// A link to one object, for reading, until `ttl` from now.
    ///
    /// # Errors
    /// [`Error::Invalid`] without a credential, [`Error::Unavailable`] when none can be had.
    pub(super) async fn sign(
        &self,
        path: &Path,
        ttl: Duration,
        attempt: &str,
        store: &str,
    ) -> Result<Url, Trouble> {
        let link = |email: &str| {
            let now = jiff::Timestamp::try_from(SystemTime::now())
                .map_err(|_| Error::invalid(attempt, "its time is out of range"))?;
            Link::new(&self.url, path, email, now, ttl).map_err(|NoBase| unusable(store))
        };
        match &self.credentials {
            Credentials::None => Err(super::client::needs_no_link(attempt).into()),
            Credentials::Key(key) => {
                let link = link(&key.email)?;
                let signature = key.sign(link.to_sign.as_bytes());
                let signature = signature
                    .ok_or_else(|| Error::unavailable(attempt, "the key cannot sign it"))?;
                Ok(link.signed(&signature))
            }
            Credentials::Metadata(metadata) => {
                let email = watched(metadata.email()).await?;
                let link = link(email)?;
                let signature = watched(metadata.sign(email, &link.to_sign)).await?;
                Ok(link.signed(&signature))
            }
        }
    }

    /// Forgets the credential that was refused; whether there may be another one.
    pub(super) fn forget_credential(&self, before: Instant) -> bool {
        match &self.credentials {
            Credentials::Metadata(metadata) => {
                metadata.forget(before);
                true
            }
            Credentials::None | Credentials::Key(_) => false,
        }
    }
}

/// The key of a service account.
pub(super) struct Key {
    email: String,
    pair: RsaKeyPair,
    /// The file, for the client.
    file: zeroize::Zeroizing<String>,
}

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Key").finish_non_exhaustive()
    }
}

/// What is used of a key's file.
#[derive(Deserialize)]
struct KeyFile {
    client_email: String,
    private_key: String,
    #[serde(rename = "private_key_id")]
    _id: String,
}

impl Key {
    fn new(credential: &CloudCredential) -> Result<Self, Error> {
        let text = secret(credential)?;
        let refuse = || {
            Error::invalid(
                "use a credential of kind `gcp-key`",
                "its file is not the key of a service account, which is a JSON object with \
                 `client_email`, `private_key_id` and `private_key`",
            )
        };
        let file: KeyFile = serde_json::from_str(text).map_err(|_| refuse())?;
        let pair = match PrivateKeyDer::from_pem_slice(file.private_key.as_bytes()) {
            Ok(PrivateKeyDer::Pkcs8(key)) => RsaKeyPair::from_pkcs8(key.secret_pkcs8_der()),
            Ok(PrivateKeyDer::Pkcs1(key)) => RsaKeyPair::from_der(key.secret_pkcs1_der()),
            _ => return Err(refuse()),
        };
        Ok(Self {
            email: file.client_email,
            pair: pair.map_err(|_| refuse())?,
            file: zeroize::Zeroizing::new(text.to_owned()),
        })
    }

    fn sign(&self, text: &[u8]) -> Option<Vec<u8>> {
        let mut signature = vec![0; self.pair.public().modulus_len()];
        self.pair
            .sign(
                &RSA_PKCS1_SHA256,
                &SystemRandom::new(),
                text,
                &mut signature,
            )
            .ok()?;
        Some(signature)
    }
}

fn bearer(credential: &GcpCredential) -> object_store::Result<HeaderValue> {
    let value = format!("Bearer {}", credential.bearer);
    let mut value = HeaderValue::from_str(&value).map_err(generic)?;
    value.set_sensitive(true);
    Ok(value)
}

fn generic(source: impl std::error::Error + Send + Sync + 'static) -> object_store::Error {
    object_store::Error::Generic {
        store: "GCS",
        source: Box::new(source),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fetch::Secret;

    #[test]
    fn a_file_that_is_no_key_is_refused_without_being_shown() {
        for text in [
            "",
            "hunter2",
            "{}",
            r#"{"client_email": "hunter2", "private_key_id": "1"}"#,
            r#"{"client_email": "a", "private_key_id": "1", "private_key": "hunter2"}"#,
            r#"{"type": "authorized_user", "refresh_token": "hunter2"}"#,
        ] {
            let refused = Key::new(&CloudCredential {
                kind: CloudCredentialKind::GcpKey,
                secret: Some(Secret::new(text)),
            });
            let error = refused.unwrap_err().to_string();
            assert!(
                error.contains("gcp-key") && !error.contains("hunter2"),
                "{error}"
            );
        }
    }
}
