//! Clients of stores, made from what the plan names and what the operator grants.

use super::access::{CloudCredential, CloudCredentialKind, StoreAccess};
use super::granted::Granted;
use super::seen::{Trouble, endpoint, watched};
use super::wire::Wire;
use super::{azure, gcs, s3};
use crate::error::Error;
use crate::fetch::Secret;
use crate::store::RemoteLimits;
use crate::store::location::Remote;
use http::Method;
use object_store::multipart::MultipartStore;
use object_store::path::Path;
use object_store::signer::Signer as _;
use object_store::{BackoffConfig, ClientOptions, ObjectStore, RetryConfig};
use opendepot_domain::placement::OptionValue;
use std::collections::BTreeMap;
use std::time::Duration;
use url::Url;

/// Links are good for whole seconds.
pub(super) const SHORTEST_LINK: Duration = Duration::from_secs(1);

/// One store, as two clients: what a download waits for is given up sooner.
pub(super) struct Client {
    pub(super) reader: Backend,
    pub(super) writer: Backend,
    /// The store as plans write it.
    pub(super) store: String,
    /// The operator's endpoint; empty for the cloud's own.
    pub(super) endpoint: String,
    /// What a put gives the object besides its attributes.
    pub(super) storage_class: Option<String>,
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The clients inside show keys.
        f.debug_struct("Client")
            .field("store", &self.store)
            .finish_non_exhaustive()
    }
}

/// The three kinds.
pub(super) enum Backend {
    S3(s3::S3),
    Azure(azure::Azure),
    Gcs(gcs::Gcs),
}

impl Backend {
    pub(super) fn objects(&self) -> &dyn ObjectStore {
        match self {
            Self::S3(s3) => &s3.store,
            Self::Azure(store) => store.objects(),
            Self::Gcs(gcs) => &gcs.store,
        }
    }

    pub(super) fn parts(&self) -> &dyn MultipartStore {
        match self {
            Self::S3(s3) => &s3.store,
            Self::Azure(store) => store.objects(),
            Self::Gcs(gcs) => &gcs.store,
        }
    }

    /// A link to one object, for reading.
    ///
    /// # Errors
    /// [`Error::Invalid`] without a credential, [`Error::Unavailable`] when none can be had.
    pub(super) async fn sign(
        &self,
        path: &Path,
        mut ttl: Duration,
        attempt: &str,
        store: &str,
    ) -> Result<Url, Trouble> {
        let s3 = match self {
            Self::Azure(azure) => return azure.sign(path, ttl, attempt, store).await,
            Self::Gcs(gcs) => return gcs.sign(path, ttl, attempt, store).await,
            Self::S3(s3) => s3,
        };
        if let Some(session) = &s3.session {
            ttl = ttl.min(watched(session.remaining(ttl)).await?);
            if ttl < SHORTEST_LINK {
                return Err(Error::unavailable(attempt, "the credential ends now").into());
            }
        }
        if !s3.is_signed {
            return Err(needs_no_link(attempt).into());
        }
        if s3.has_customer_key {
            let reason = "who reads objects under the operator's own key must send that key";
            return Err(Error::invalid(attempt, reason).into());
        }
        Ok(watched(s3.store.signed_url(Method::GET, path, ttl)).await?)
    }

    /// The metric label.
    pub(super) const fn label(&self) -> &'static str {
        match self {
            Self::S3(_) => "s3",
            Self::Azure(_) => "azure",
            Self::Gcs(_) => "gcs",
        }
    }
}

/// There is no credential to sign a link with.
pub(super) fn needs_no_link(attempt: &str) -> Error {
    Error::invalid(
        attempt,
        "the store's grant names no credential, and what is open needs no link",
    )
}

/// The options of a store: the operator's before the plan's.
pub(super) struct Options(BTreeMap<String, String>);

impl Options {
    /// # Errors
    /// [`Error::Invalid`] for an option that is none of `known`.
    fn new(
        access: &StoreAccess,
        planned: &[(String, OptionValue)],
        known: &[&str],
    ) -> Result<Self, Error> {
        let mut options = BTreeMap::new();
        for (name, value) in planned {
            if let OptionValue::Plain(value) = value {
                options.insert(name.clone(), value.clone());
            }
        }
        options.extend(access.options.clone());
        for name in options.keys() {
            if !known.contains(&name.as_str()) {
                return Err(Error::invalid(
                    format!("use the option `{name}` of a store grant"),
                    format!("this kind of store has {}", known.join(", ")),
                ));
            }
        }
        Ok(Self(options))
    }

    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// # Errors
    /// [`Error::Invalid`] for anything but `true` and `false`.
    pub(super) fn flag(&self, name: &str) -> Result<Option<bool>, Error> {
        self.get(name)
            .map(|text| {
                text.parse().map_err(|_| {
                    Error::invalid(
                        format!("use the option `{name}` of a store grant"),
                        "its value is `true` or `false`",
                    )
                })
            })
            .transpose()
    }
}

/// The settings that all kinds share.
pub(super) struct Common<'a> {
    pub(super) access: &'a StoreAccess,
    /// What objects are encrypted with, where the operator keeps the key.
    pub(super) customer_key: Option<&'a Secret>,
    pub(super) options: Options,
    pub(super) endpoint: Option<Url>,
    pub(super) wire: Wire,
    pub(super) retry: RetryConfig,
}

impl Common<'_> {
    /// The policy decides about plain HTTP, not the client.
    pub(super) fn client_options() -> ClientOptions {
        ClientOptions::new().with_allow_http(true)
    }

    /// An option of credentials, which plans have no say in.
    pub(super) fn granted(&self, option: &str) -> Option<&str> {
        self.access.options.get(option).map(String::as_str)
    }

    /// The credential, when it is of one of these kinds.
    ///
    /// # Errors
    /// [`Error::Invalid`] for a credential of another cloud.
    pub(super) fn credential(
        &self,
        kinds: &[CloudCredentialKind],
    ) -> Result<Option<&CloudCredential>, Error> {
        match &self.access.credential {
            None => Ok(None),
            Some(credential) if kinds.contains(&credential.kind) => Ok(Some(credential)),
            Some(credential) => {
                let kinds: Vec<&str> = kinds.iter().map(|kind| kind.label()).collect();
                Err(Error::invalid(
                    format!("use a credential of kind `{}`", credential.kind.label()),
                    format!("this kind of store takes {}", kinds.join(", ")),
                ))
            }
        }
    }
}

/// The content of a credential's file.
///
/// # Errors
/// [`Error::Invalid`] when the credential names none.
pub(super) fn secret(credential: &CloudCredential) -> Result<&str, Error> {
    let secret = credential.secret.as_ref().ok_or_else(|| {
        Error::invalid(
            format!("use a credential of kind `{}`", credential.kind.label()),
            "it names no `secret`",
        )
    })?;
    Ok(secret.reveal().trim())
}

/// A client could not be made of what was given. The text of the cause may hold what was given.
pub(super) fn unusable(store: &str) -> Error {
    Error::invalid(
        format!("use store `{store}`"),
        "its endpoint, options or credential cannot be used together",
    )
}

impl Client {
    /// # Errors
    /// [`Error::Invalid`] for settings that cannot be used, [`Error::Unavailable`] when the
    /// region of a bucket cannot be found out.
    pub(super) async fn open(
        remote: &Remote<'_>,
        store: &str,
        granted: &Granted,
        planned: &[(String, OptionValue)],
        wire: Wire,
        limits: &RemoteLimits,
    ) -> Result<Self, Error> {
        let known = match remote {
            Remote::S3 { .. } => s3::OPTIONS,
            Remote::Azure { .. } => azure::OPTIONS,
            Remote::Gcs { .. } => gcs::OPTIONS,
        };
        let access = &granted.access;
        let endpoint = access.endpoint.as_deref().map(endpoint).transpose()?;
        let common = |retry| {
            Ok::<_, Error>(Common {
                access,
                customer_key: granted.customer_key.as_ref(),
                options: Options::new(access, planned, known)?,
                endpoint: endpoint.clone(),
                wire: wire.clone(),
                retry,
            })
        };
        let read = common(retry(limits.num_read_retries, limits.read_timeout))?;
        let write = common(retry(limits.num_sync_retries, limits.sync_timeout))?;
        let storage_class = read.options.get("storage-class").map(str::to_owned);
        let (reader, writer) = match remote {
            Remote::S3 { bucket } => {
                let region = s3::region(bucket, &read).await?;
                let credentials = s3::Credentials::new(&region, &read)?;
                let open = |common| s3::open(bucket, store, &region, &credentials, common);
                (Backend::S3(open(&read)?), Backend::S3(open(&write)?))
            }
            Remote::Azure { account, container } => {
                let credentials = azure::Credentials::new(&read)?;
                let open =
                    |common| azure::Azure::open(account, container, store, &credentials, common);
                (Backend::Azure(open(&read)?), Backend::Azure(open(&write)?))
            }
            Remote::Gcs { bucket } => {
                let credentials = gcs::Credentials::new(&read)?;
                let open = |common| gcs::open(bucket, store, &credentials, common);
                (Backend::Gcs(open(&read)?), Backend::Gcs(open(&write)?))
            }
        };
        Ok(Self {
            reader,
            writer,
            store: store.to_owned(),
            endpoint: access.endpoint.clone().unwrap_or_default(),
            storage_class,
        })
    }
}

fn retry(max_retries: usize, retry_timeout: Duration) -> RetryConfig {
    RetryConfig {
        backoff: BackoffConfig {
            init_backoff: Duration::from_millis(250),
            max_backoff: Duration::from_secs(15),
            base: 2.0,
        },
        max_retries,
        // Requests are sent again with the signature that they have.
        retry_timeout: retry_timeout.min(Duration::from_secs(240)),
    }
}
