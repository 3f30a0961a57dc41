//! Azure Blob Storage: what `object_store` does not do, or not in a way that clients with a clock of
//! their own can use. Containers, one-object deletion, links (shared access signatures), and blocks
//! that become an object under a condition, with attributes.

mod link;
mod workload;

use super::access::CloudCredentialKind;
use super::client::{Common, secret, unusable};
use super::kept::Kept;
use super::seen::{self, Failure, watched};
use super::wire::Wire;
use crate::error::Error;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::Method;
use http::header::{CONTENT_LENGTH, HeaderMap, HeaderName, HeaderValue, IF_NONE_MATCH};
use object_store::azure::{AzureAuthorizer, MicrosoftAzure, MicrosoftAzureBuilder};
use object_store::client::{HttpRequest, HttpRequestBody, HttpResponse};
use object_store::multipart::PartId;
use object_store::path::Path;
use object_store::{Attribute, Attributes};
use std::sync::Arc;
use std::time::Instant;
use url::Url;
use workload::Workload;

/// What the operator may set.
pub(super) const OPTIONS: &[&str] = &[
    "authority-host",
    "ca-file",
    "client-id",
    "storage-class",
    "tenant-id",
    "token-file",
];

/// One container.
pub(super) struct Azure {
    store: MicrosoftAzure,
    account: String,
    container: String,
    /// The account's endpoint.
    service: Url,
    credentials: Credentials,
    /// What links are signed with where the account's key is not known.
    delegated: Kept<link::DelegationKey>,
    wire: Wire,
}

/// What signs the requests of one container, and links to its objects.
#[derive(Clone)]
pub(super) enum Credentials {
    None,
    /// The account's key, as its file has it and as bytes.
    Key(Arc<AccountKey>),
    Workload(Arc<Workload>),
}

pub(super) struct AccountKey {
    text: zeroize::Zeroizing<String>,
    bytes: zeroize::Zeroizing<Vec<u8>>,
}

impl Credentials {
    /// # Errors
    /// [`Error::Invalid`] for a credential that cannot be used.
    pub(super) fn new(common: &Common<'_>) -> Result<Self, Error> {
        use CloudCredentialKind::{AzureKey, AzureWorkload};
        Ok(match common.credential(&[AzureKey, AzureWorkload])? {
            None => Self::None,
            Some(credential) if credential.kind == AzureKey => {
                let text = secret(credential)?;
                let bytes = STANDARD.decode(text).map_err(|_| {
                    let reason = "its file is not an account key, which is one line of base64";
                    Error::invalid("use a credential of kind `azure-key`", reason)
                })?;
                Self::Key(Arc::new(AccountKey {
                    text: text.to_owned().into(),
                    bytes: bytes.into(),
                }))
            }
            Some(_) => Self::Workload(Arc::new(Workload::new(common)?)),
        })
    }
}

impl Azure {
    /// # Errors
    /// [`Error::Invalid`] for settings that cannot be used.
    pub(super) fn open(
        account: &str,
        container: &str,
        store: &str,
        credentials: &Credentials,
        common: &Common<'_>,
    ) -> Result<Self, Error> {
        let service = match &common.endpoint {
            Some(endpoint) => endpoint.clone(),
            None => Url::parse(&format!("https://{account}.blob.core.windows.net"))
                .map_err(|_| unusable(store))?,
        };
        let mut builder = MicrosoftAzureBuilder::new()
            .with_account(account)
            .with_container_name(container)
            .with_endpoint(service.as_str().trim_end_matches('/').to_owned())
            .with_http_connector(common.wire.clone())
            .with_retry(common.retry.clone())
            .with_client_options(Common::client_options());
        builder = match credentials {
            Credentials::None => builder.with_skip_signature(true),
            Credentials::Key(key) => builder.with_access_key(key.text.as_str()),
            Credentials::Workload(workload) => builder.with_credentials(Arc::clone(workload) as _),
        };
        Ok(Self {
            store: builder.build().map_err(|_| unusable(store))?,
            account: account.to_owned(),
            container: container.to_owned(),
            service,
            credentials: credentials.clone(),
            delegated: Kept::default(),
            wire: common.wire.clone(),
        })
    }

    pub(super) const fn objects(&self) -> &MicrosoftAzure {
        &self.store
    }

    /// Forgets the credential that was refused; whether there may be another one.
    pub(super) fn forget_credential(&self, before: Instant) -> bool {
        match &self.credentials {
            Credentials::Workload(workload) => {
                workload.forget(before);
                true
            }
            Credentials::None | Credentials::Key(_) => false,
        }
    }

    /// Creates the container; that it is there already is success.
    pub(super) async fn create_container(&self) -> Result<(), Failure> {
        watched(async {
            let mut url = self.below(&[&self.container])?;
            url.set_query(Some("restype=container"));
            let answer = self
                .send(
                    Method::PUT,
                    &url,
                    HeaderMap::new(),
                    HttpRequestBody::empty(),
                )
                .await?;
            match answer.status().as_u16() {
                200..=299 | 409 => Ok(()),
                status => Err(refused(status)),
            }
        })
        .await
    }

    /// Removes one object; that it is gone already is success, but not that its container is.
    pub(super) async fn delete(&self, key: &Path) -> Result<(), Failure> {
        watched(async {
            let url = self.object(key)?;
            let answer = self
                .send(
                    Method::DELETE,
                    &url,
                    HeaderMap::new(),
                    HttpRequestBody::empty(),
                )
                .await?;
            match answer.status().as_u16() {
                200..=299 => Ok(()),
                status => Err(refused(status)),
            }
        })
        .await
    }

    /// Makes one object of blocks that were put (Put Block List), unless there is one already.
    pub(super) async fn commit(
        &self,
        key: &Path,
        parts: &[PartId],
        attributes: &Attributes,
    ) -> Result<(), Failure> {
        let mut list = "<?xml version=\"1.0\" encoding=\"utf-8\"?><BlockList>".to_owned();
        for part in parts {
            let id = STANDARD.encode(&part.content_id);
            list.push_str(&format!("<Uncommitted>{id}</Uncommitted>"));
        }
        list.push_str("</BlockList>");
        watched(async {
            let mut url = self.object(key)?;
            url.set_query(Some("comp=blocklist"));
            let mut headers = headers(attributes)?;
            headers.insert(IF_NONE_MATCH, HeaderValue::from_static("*"));
            let answer = self.send(Method::PUT, &url, headers, list.into()).await?;
            match answer.status().as_u16() {
                200..=299 => Ok(()),
                status => Err(refused(status)),
            }
        })
        .await
    }

    async fn send(
        &self,
        method: Method,
        url: &Url,
        headers: HeaderMap,
        body: HttpRequestBody,
    ) -> object_store::Result<HttpResponse> {
        let length = body.content_length();
        let mut request = HttpRequest::new(body);
        *request.method_mut() = method;
        *request.uri_mut() = url.as_str().parse().map_err(generic)?;
        *request.headers_mut() = headers;
        request.headers_mut().insert(CONTENT_LENGTH, length.into());
        if !matches!(self.credentials, Credentials::None) {
            let credential = self.store.credentials().get_credential().await?;
            AzureAuthorizer::new(&credential, &self.account).try_authorize(&mut request)?;
        }
        self.wire.insist(request).await.map_err(generic)
    }

    fn object(&self, key: &Path) -> object_store::Result<Url> {
        let mut segments = vec![self.container.as_str()];
        segments.extend(key.as_ref().split('/'));
        self.below(&segments)
    }

    fn below(&self, segments: &[&str]) -> object_store::Result<Url> {
        let mut url = self.service.clone();
        url.path_segments_mut()
            .map_err(|()| generic(seen::NoBase))?
            .pop_if_empty()
            .extend(segments);
        Ok(url)
    }
}

/// Attributes of an object as the service takes them.
fn headers(attributes: &Attributes) -> object_store::Result<HeaderMap> {
    let mut headers = HeaderMap::new();
    for (attribute, value) in attributes {
        let name = match attribute {
            Attribute::ContentType => "x-ms-blob-content-type".to_owned(),
            Attribute::CacheControl => "x-ms-blob-cache-control".to_owned(),
            Attribute::ContentDisposition => "x-ms-blob-content-disposition".to_owned(),
            Attribute::StorageClass => "x-ms-access-tier".to_owned(),
            Attribute::Metadata(name) => format!("x-ms-meta-{name}"),
            _ => continue,
        };
        let name: HeaderName = name.parse().map_err(generic)?;
        headers.insert(name, HeaderValue::from_str(value).map_err(generic)?);
    }
    Ok(headers)
}

fn refused(status: u16) -> object_store::Error {
    let source = format!("status {status}").into();
    match status {
        404 => object_store::Error::NotFound {
            path: String::new(),
            source,
        },
        409 => object_store::Error::AlreadyExists {
            path: String::new(),
            source,
        },
        412 => object_store::Error::Precondition {
            path: String::new(),
            source,
        },
        _ => object_store::Error::Generic {
            store: "azure",
            source,
        },
    }
}

fn generic(source: impl std::error::Error + Send + Sync + 'static) -> object_store::Error {
    object_store::Error::Generic {
        store: "azure",
        source: Box::new(source),
    }
}
