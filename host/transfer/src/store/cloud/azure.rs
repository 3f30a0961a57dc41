//! Azure Blob Storage: what `object_store` does not do, or not in a way that clients with a clock of
//! their own can use. Containers, one-object deletion, links (shared access signatures), and blocks
//! that become an object under a condition, with attributes.

use super::access::CloudCredentialKind;
use super::client::{Common, secret, unusable};
use super::seen::{self, Failure, watched};
use super::wire::Wire;
use crate::error::Error;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::Method;
use http::header::{CONTENT_LENGTH, HeaderMap, HeaderName, HeaderValue, IF_NONE_MATCH};
use object_store::azure::{
    AzureAuthorizer, AzureConfigKey, AzureCredential, MicrosoftAzure, MicrosoftAzureBuilder,
};
use object_store::client::{HttpRequest, HttpRequestBody, HttpResponse};
use object_store::multipart::PartId;
use object_store::path::Path;
use object_store::{Attribute, Attributes};
use serde::Deserialize;
use std::time::{Duration, SystemTime};
use url::Url;

/// The version that signatures are made for.
const SAS_VERSION: &str = "2021-12-02";
/// Clocks differ: a link is valid from a while ago.
const SKEW: Duration = Duration::from_secs(15 * 60);

/// One container.
#[derive(Debug)]
pub(super) struct Azure {
    store: MicrosoftAzure,
    account: String,
    container: String,
    /// The account's endpoint.
    service: Url,
    /// The account's key, where that is the credential.
    key: Option<AccountKey>,
    wire: Wire,
}

struct AccountKey(zeroize::Zeroizing<Vec<u8>>);

impl std::fmt::Debug for AccountKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("[redacted]")
    }
}

impl Azure {
    /// # Errors
    /// [`Error::Invalid`] for settings that cannot be used.
    pub(super) fn open(
        account: &str,
        container: &str,
        store: &str,
        common: &Common<'_>,
    ) -> Result<Self, Error> {
        use CloudCredentialKind::{AzureKey, AzureWorkload};
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
        let mut key = None;
        builder = match common.credential(&[AzureKey, AzureWorkload])? {
            None => builder.with_skip_signature(true),
            Some(credential) if credential.kind == AzureKey => {
                let text = secret(credential)?;
                let bytes = STANDARD.decode(text).map_err(|_| {
                    let reason = "its file is not an account key, which is one line of base64";
                    Error::invalid("use a credential of kind `azure-key`", reason)
                })?;
                key = Some(AccountKey(zeroize::Zeroizing::new(bytes)));
                builder.with_access_key(text)
            }
            Some(_) => workload(builder)?,
        };
        Ok(Self {
            store: builder.build().map_err(|_| unusable(store))?,
            account: account.to_owned(),
            container: container.to_owned(),
            service,
            key,
            wire: common.wire.clone(),
        })
    }

    pub(super) const fn objects(&self) -> &MicrosoftAzure {
        &self.store
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

    /// A link to one object, for reading, until `ttl` from now.
    ///
    /// # Errors
    /// [`Error::Invalid`] without a credential, [`Error::Unavailable`] when the service makes no
    /// key for it.
    pub(super) async fn sign(&self, key: &Path, ttl: Duration) -> Result<Url, Error> {
        let attempt = "sign a link";
        let now = SystemTime::now();
        let (start, expiry) = (time(now - SKEW)?, time(now + ttl)?);
        let mut url = self.object(key).map_err(|_| unusable(&self.account))?;
        let resource = format!("/blob/{}/{}/{key}", self.account, self.container);
        let mut query = vec![
            ("sp", "r".to_owned()),
            ("st", start.clone()),
            ("se", expiry.clone()),
            ("sv", SAS_VERSION.to_owned()),
            ("sr", "b".to_owned()),
        ];
        let is_https = url.scheme() == "https";
        let protocol = if is_https { "https" } else { "" };
        if is_https {
            query.push(("spr", protocol.to_owned()));
        }
        let signature = if let Some(AccountKey(account_key)) = &self.key {
            // Create a service SAS, version 2020-12-06 and later: the fields in order, empty ones
            // included.
            let fields = [
                "r",
                &start,
                &expiry,
                &resource,
                "",
                "",
                protocol,
                SAS_VERSION,
                "b",
                "",
                "",
                "",
                "",
                "",
                "",
                "",
            ];
            mac(account_key, &fields.join("\n"))
        } else {
            let delegated = watched(self.delegation_key(&start, &expiry))
                .await
                .map_err(|failure| failure.into_error(attempt, &self.account))?;
            // Create a user delegation SAS, version 2020-12-06 and later.
            let fields = [
                "r",
                &start,
                &expiry,
                &resource,
                &delegated.signed_oid,
                &delegated.signed_tid,
                &delegated.signed_start,
                &delegated.signed_expiry,
                &delegated.signed_service,
                &delegated.signed_version,
                "",
                "",
                "",
                "",
                protocol,
                SAS_VERSION,
                "b",
                "",
                "",
                "",
                "",
                "",
                "",
                "",
            ];
            let secret = STANDARD.decode(&delegated.value).map_err(|_| {
                Error::unavailable(attempt, "the service answered with a key that is none")
            })?;
            let signature = mac(&secret, &fields.join("\n"));
            query.extend([
                ("skoid", delegated.signed_oid),
                ("sktid", delegated.signed_tid),
                ("skt", delegated.signed_start),
                ("ske", delegated.signed_expiry),
                ("sks", delegated.signed_service),
                ("skv", delegated.signed_version),
            ]);
            signature
        };
        query.push(("sig", signature));
        url.query_pairs_mut().extend_pairs(query);
        Ok(url)
    }

    /// Get User Delegation Key.
    async fn delegation_key(
        &self,
        start: &str,
        expiry: &str,
    ) -> object_store::Result<DelegationKey> {
        let mut url = self.service.clone();
        url.set_query(Some("restype=service&comp=userdelegationkey"));
        let body = format!(
            "<?xml version=\"1.0\" encoding=\"utf-8\"?><KeyInfo><Start>{start}</Start><Expiry>{expiry}</Expiry></KeyInfo>"
        );
        let answer = self
            .send(Method::POST, &url, HeaderMap::new(), body.into())
            .await?;
        let status = answer.status().as_u16();
        let body = answer.into_body().bytes().await.map_err(generic)?;
        if !(200..300).contains(&status) {
            return Err(refused(status));
        }
        quick_xml::de::from_reader(&*body).map_err(generic)
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
        let credential = self.store.credentials().get_credential().await?;
        if self.key.is_some() || !matches!(*credential, AzureCredential::AccessKey(_)) {
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

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct DelegationKey {
    signed_oid: String,
    signed_tid: String,
    signed_start: String,
    signed_expiry: String,
    signed_service: String,
    signed_version: String,
    value: String,
}

/// Workload identity as its webhook sets it up: in the environment.
fn workload(builder: MicrosoftAzureBuilder) -> Result<MicrosoftAzureBuilder, Error> {
    let mut builder = builder.with_credential_type("workload_identity");
    for (name, key, is_needed) in [
        ("AZURE_CLIENT_ID", AzureConfigKey::ClientId, true),
        ("AZURE_TENANT_ID", AzureConfigKey::AuthorityId, true),
        (
            "AZURE_FEDERATED_TOKEN_FILE",
            AzureConfigKey::FederatedTokenFile,
            true,
        ),
        ("AZURE_AUTHORITY_HOST", AzureConfigKey::AuthorityHost, false),
    ] {
        match std::env::var(name) {
            Ok(value) => builder = builder.with_config(key, value),
            Err(_) if is_needed => {
                return Err(Error::invalid(
                    "use a credential of kind `azure-workload`",
                    format!("`{name}` is not set: workload identity is not enabled for this pod"),
                ));
            }
            Err(_) => {}
        }
    }
    Ok(builder)
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

fn mac(key: &[u8], text: &str) -> String {
    let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, key);
    STANDARD.encode(ring::hmac::sign(&key, text.as_bytes()))
}

/// RFC 3339 in whole seconds, as signatures have it.
fn time(at: SystemTime) -> Result<String, Error> {
    let at = jiff::Timestamp::try_from(at)
        .map_err(|_| Error::invalid("sign a link", "its time is out of range"))?;
    Ok(at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string())
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
