//! Workload identity: the token that the cluster gives a pod, exchanged at the directory for one that
//! the store takes.

use super::super::client::Common;
use super::super::kept::{self, Ending, Kept};
use super::super::wire::Wire;
use super::generic;
use crate::error::Error;
use crate::fetch::Secret;
use http::header::{ACCEPT, CONTENT_TYPE, HeaderValue};
use http::{Method, StatusCode};
use object_store::CredentialProvider;
use object_store::azure::AzureCredential;
use object_store::client::{HttpRequest, HttpService as _};
use serde::Deserialize;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};
use url::Url;

/// The directory of the public cloud.
const AUTHORITY: &str = "https://login.microsoftonline.com";
const SCOPE: &str = "https://storage.azure.com/.default";
const ASSERTION: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// One application, by the token of this pod.
pub(in crate::store::cloud) struct Workload {
    /// The directory's token endpoint.
    endpoint: Url,
    client_id: String,
    token_file: PathBuf,
    wire: Wire,
    kept: Kept<Arc<AzureCredential>>,
}

impl std::fmt::Debug for Workload {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Workload").finish_non_exhaustive()
    }
}

impl Workload {
    /// What the pod is given is in the environment, as its webhook puts it there; the options
    /// `client-id`, `tenant-id`, `token-file` and `authority-host` say otherwise.
    ///
    /// # Errors
    /// [`Error::Invalid`] when something is missing.
    pub(super) fn new(common: &Common<'_>) -> Result<Self, Error> {
        let refuse =
            |reason: String| Error::invalid("use a credential of kind `azure-workload`", reason);
        let set = |option: &str, variable: &str| {
            let option = common.granted(option).map(str::to_owned);
            option.or_else(|| std::env::var(variable).ok())
        };
        let needed = |option: &str, variable: &str| {
            set(option, variable).ok_or_else(|| {
                refuse(format!(
                    "neither `{variable}` is set, as where workload identity is enabled for a pod, \
                     nor the option `{option}` of the store's grant"
                ))
            })
        };
        let authority = set("authority-host", "AZURE_AUTHORITY_HOST");
        let authority = authority.unwrap_or_else(|| AUTHORITY.to_owned());
        let mut endpoint = super::seen::endpoint(&authority)?;
        endpoint
            .path_segments_mut()
            .map_err(|()| refuse("its authority takes no path".to_owned()))?
            .pop_if_empty()
            .extend([
                &needed("tenant-id", "AZURE_TENANT_ID")?,
                "oauth2",
                "v2.0",
                "token",
            ]);
        Ok(Self {
            endpoint,
            client_id: needed("client-id", "AZURE_CLIENT_ID")?,
            token_file: needed("token-file", "AZURE_FEDERATED_TOKEN_FILE")?.into(),
            wire: common.wire.clone(),
            kept: Kept::default(),
        })
    }

    /// The next use fetches a new token, unless it was fetched since.
    pub(super) fn forget(&self, before: Instant) {
        self.kept.forget(before);
    }

    async fn fetch(&self) -> object_store::Result<Ending<Arc<AzureCredential>>> {
        let assertion = tokio::fs::read_to_string(&self.token_file).await;
        let assertion = assertion.map(Secret::new).map_err(|_| {
            tracing::warn!("cannot read the token file `{}`", self.token_file.display());
            generic(Unusable)
        })?;
        let form = url::form_urlencoded::Serializer::new(String::new())
            .append_pair("client_id", &self.client_id)
            .append_pair("client_assertion_type", ASSERTION)
            .append_pair("client_assertion", assertion.reveal().trim())
            .append_pair("scope", SCOPE)
            .append_pair("grant_type", "client_credentials")
            .finish();
        let mut request = HttpRequest::new(form.into());
        *request.method_mut() = Method::POST;
        *request.uri_mut() = self.endpoint.as_str().parse().map_err(generic)?;
        let (form, json) = ("application/x-www-form-urlencoded", "application/json");
        let headers = request.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(form));
        headers.insert(ACCEPT, HeaderValue::from_static(json));
        let asked_at = SystemTime::now();
        let answer = self.wire.call(request).await.map_err(generic)?;
        if answer.status() != StatusCode::OK {
            kept::refused(&self.endpoint, answer.status());
            return Err(generic(Unusable));
        }
        let body = answer.into_body().bytes().await.map_err(generic)?;
        let token: Token = serde_json::from_slice(&body).map_err(|_| generic(Unusable))?;
        // It becomes a header.
        if !token.access_token.bytes().all(|b| b.is_ascii_graphic()) {
            return Err(generic(Unusable));
        }
        let ends_at = asked_at.checked_add(Duration::from_secs(token.expires_in));
        Ok(Ending {
            value: Arc::new(AzureCredential::BearerToken(token.access_token)),
            ends_at: ends_at.ok_or_else(|| generic(Unusable))?,
        })
    }
}

#[async_trait::async_trait]
impl CredentialProvider for Workload {
    type Credential = AzureCredential;

    async fn get_credential(&self) -> object_store::Result<Arc<AzureCredential>> {
        let kept = self.kept.get(Duration::ZERO, self.fetch()).await?;
        Ok(Arc::clone(&kept.value))
    }
}

#[derive(Deserialize)]
struct Token {
    access_token: String,
    expires_in: u64,
}

#[derive(Debug, thiserror::Error)]
#[error("the directory gave no token")]
struct Unusable;
