//! The metadata server: tokens of the account that a machine or a pod runs as, and signatures in its
//! name, which another service makes with them.

use super::super::client::Common;
use super::super::kept::{self, Ending, Kept};
use super::super::wire::Wire;
use super::{bearer, generic};
use crate::error::Error;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::Method;
use http::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use object_store::CredentialProvider;
use object_store::client::{HttpRequest, HttpRequestBody, HttpResponse, HttpService as _};
use object_store::gcp::GcpCredential;
use serde::Deserialize;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};
use tokio::sync::OnceCell;
use url::Url;

/// Names of the server; the second is for who cannot resolve the first.
const SERVERS: [&str; 2] = ["metadata.google.internal", "169.254.169.254"];
const ACCOUNT: &str = "computeMetadata/v1/instance/service-accounts/default";
/// What signs in the name of accounts.
const SIGNER: &str = "https://iamcredentials.googleapis.com";
const FLAVOR: &str = "metadata-flavor";

/// The account of this machine or pod.
pub(in crate::store::cloud) struct Metadata {
    /// Where the account's own documents are; the first that answers is believed.
    accounts: Vec<Url>,
    signer: Url,
    wire: Wire,
    email: OnceCell<String>,
    kept: Kept<Arc<GcpCredential>>,
}

impl std::fmt::Debug for Metadata {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Metadata").finish_non_exhaustive()
    }
}

impl Metadata {
    /// `GCE_METADATA_HOST` may name another server, as for the service's own libraries.
    ///
    /// # Errors
    /// [`Error::Invalid`] when it names none.
    pub(super) fn new(common: &Common<'_>) -> Result<Self, Error> {
        let accounts = match std::env::var("GCE_METADATA_HOST") {
            Ok(host) => vec![account(&host)],
            Err(_) => SERVERS.map(account).to_vec(),
        };
        let accounts: Result<_, url::ParseError> = accounts.into_iter().collect();
        let accounts = accounts.map_err(|_| {
            Error::invalid(
                "use a credential of kind `gcp-metadata`",
                "`GCE_METADATA_HOST` is not a host",
            )
        })?;
        let signer =
            super::super::seen::endpoint(common.granted("iam-endpoint").unwrap_or(SIGNER))?;
        Ok(Self::at(accounts, signer, common.wire.clone()))
    }

    fn at(accounts: Vec<Url>, signer: Url, wire: Wire) -> Self {
        Self {
            accounts,
            signer,
            wire,
            email: OnceCell::new(),
            kept: Kept::default(),
        }
    }

    /// The account's name, which stays.
    pub(super) async fn email(&self) -> object_store::Result<&str> {
        let asked = self.email.get_or_try_init(|| async {
            let body = self.ask("email").await?;
            let text = std::str::from_utf8(&body).map_err(generic)?.trim();
            // It becomes part of a URL.
            let is_plain = |b: u8| b.is_ascii_alphanumeric() || b"@._-".contains(&b);
            let is_name = !text.is_empty() && text.bytes().all(is_plain);
            is_name
                .then(|| text.to_owned())
                .ok_or_else(|| generic(Unusable))
        });
        Ok(asked.await?)
    }

    /// The account's signature of a text.
    pub(super) async fn sign(&self, email: &str, text: &str) -> object_store::Result<Vec<u8>> {
        let payload = serde_json::json!({ "payload": STANDARD.encode(text) }).to_string();
        let path = format!("/v1/projects/-/serviceAccounts/{email}:signBlob");
        let url = self.signer.join(&path).map_err(generic)?;
        let mut request = HttpRequest::new(payload.into());
        *request.method_mut() = Method::POST;
        *request.uri_mut() = url.as_str().parse().map_err(generic)?;
        let credential = self.get_credential().await?;
        let headers = request.headers_mut();
        headers.insert(AUTHORIZATION, bearer(&credential)?);
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        let answer = self.wire.call(request).await.map_err(generic)?;
        let body = body(&self.signer, answer).await?;
        let signed: Signed = serde_json::from_slice(&body).map_err(generic)?;
        STANDARD.decode(signed.signed_blob).map_err(generic)
    }

    /// The next use fetches a new token, unless it was fetched since.
    pub(super) fn forget(&self, before: Instant) {
        self.kept.forget(before);
    }

    async fn ask(&self, document: &str) -> object_store::Result<Bytes> {
        let mut failed = generic(Unusable);
        for account in &self.accounts {
            match self.ask_at(account, document).await {
                Ok(body) => return Ok(body),
                Err(error) => failed = error,
            }
        }
        Err(failed)
    }

    async fn ask_at(&self, account: &Url, document: &str) -> object_store::Result<Bytes> {
        let url = format!("{account}/{document}");
        let mut request = HttpRequest::new(HttpRequestBody::empty());
        *request.uri_mut() = url.parse().map_err(generic)?;
        let flavor = HeaderValue::from_static("Google");
        request.headers_mut().insert(FLAVOR, flavor.clone());
        let answer = self.wire.call(request).await.map_err(generic)?;
        // Something else at that address does not say so.
        if answer.headers().get(FLAVOR) != Some(&flavor) {
            return Err(generic(Unusable));
        }
        body(account, answer).await
    }

    async fn fetch(&self) -> object_store::Result<Ending<Arc<GcpCredential>>> {
        let body = self.ask("token").await?;
        current(&body, SystemTime::now())
    }
}

#[async_trait::async_trait]
impl CredentialProvider for Metadata {
    type Credential = GcpCredential;

    async fn get_credential(&self) -> object_store::Result<Arc<GcpCredential>> {
        let kept = self.kept.get(Duration::ZERO, self.fetch()).await?;
        Ok(Arc::clone(&kept.value))
    }
}

#[derive(Deserialize)]
struct Token {
    access_token: String,
    expires_in: u64,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Signed {
    signed_blob: String,
}

fn account(host: &str) -> Result<Url, url::ParseError> {
    Url::parse(&format!("http://{host}/{ACCOUNT}"))
}

fn current(document: &[u8], now: SystemTime) -> object_store::Result<Ending<Arc<GcpCredential>>> {
    let token: Token = serde_json::from_slice(document).map_err(generic)?;
    let ends_at = now.checked_add(Duration::from_secs(token.expires_in));
    Ok(Ending {
        value: Arc::new(GcpCredential {
            bearer: token.access_token,
        }),
        ends_at: ends_at.ok_or_else(|| generic(Unusable))?,
    })
}

async fn body(of: &Url, answer: HttpResponse) -> object_store::Result<Bytes> {
    if !answer.status().is_success() {
        kept::refused(of, answer.status());
        return Err(generic(Unusable));
    }
    answer.into_body().bytes().await.map_err(generic)
}

#[derive(Debug, thiserror::Error)]
#[error("the metadata server or the service that signs did not answer as it should")]
struct Unusable;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::egress::EgressConfig;
    use crate::fetch::{FetchLimits, Fetcher};
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;

    /// A server that answers every connection with the same head and body, to who asks as one does.
    async fn server(head: &'static str, body: &'static str) -> Url {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let host = listener.local_addr().unwrap().to_string();
        tokio::spawn(async move {
            while let Ok((mut socket, _)) = listener.accept().await {
                let (mut request, mut more) = (Vec::new(), [0; 1_024]);
                while !request.ends_with(b"\r\n\r\n") {
                    let read = socket.read(&mut more).await.unwrap();
                    request.extend_from_slice(&more[..read]);
                }
                let request = String::from_utf8(request).unwrap();
                let is_polite = request.contains("metadata-flavor: Google\r\n");
                let status = if is_polite { "200 OK" } else { "403 Forbidden" };
                let answer = format!(
                    "HTTP/1.1 {status}\r\n{head}connection: close\r\ncontent-length: {}\r\n\r\n{body}",
                    body.len()
                );
                socket.write_all(answer.as_bytes()).await.unwrap();
            }
        });
        account(&host).unwrap()
    }

    fn wire() -> Wire {
        let egress = EgressConfig {
            allow_http: vec!["127.0.0.1".to_owned()],
            allow_private: vec!["127.0.0.1/32".to_owned()],
            ..EgressConfig::default()
        };
        let policy = egress.policy().unwrap().of_granted_hosts();
        Wire {
            fetcher: Fetcher::new(policy, FetchLimits::default()).unwrap(),
            metadata: None,
            idle_timeout: Duration::from_secs(5),
            of_copies: http::HeaderMap::new(),
        }
    }

    fn metadata(accounts: Vec<Url>) -> Metadata {
        Metadata::at(accounts, Url::parse(SIGNER).unwrap(), wire())
    }

    #[tokio::test]
    async fn only_a_metadata_server_is_believed() {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let token = r#"{"access_token": "t", "expires_in": 3600}"#;
        let impostor = server("", r#"{"access_token": "wrong", "expires_in": 3600}"#).await;
        let real = server("Metadata-Flavor: Google\r\n", token).await;
        let believed = metadata(vec![impostor.clone(), real]);
        let credential = believed.get_credential().await.unwrap();
        assert_eq!(credential.bearer, "t");
        let again = believed.get_credential().await.unwrap();
        assert!(Arc::ptr_eq(&credential, &again), "it is kept");
        believed.forget(Instant::now());
        let new = believed.get_credential().await.unwrap();
        assert!(!Arc::ptr_eq(&credential, &new));
        let refused = metadata(vec![impostor]);
        refused.get_credential().await.unwrap_err();
        refused.email().await.unwrap_err();
    }

    #[tokio::test]
    async fn the_accounts_name_is_a_name() {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let head = "Metadata-Flavor: Google\r\n";
        let named = server(head, "one@depot.iam.example\n").await;
        let named = metadata(vec![named]);
        assert_eq!(named.email().await.unwrap(), "one@depot.iam.example");
        for wrong in ["", "a/../b", "a?b", "a b", "ü"] {
            let metadata = metadata(vec![server(head, wrong).await]);
            assert!(metadata.email().await.is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_token_is_good_until_its_end() {
        let now = SystemTime::now();
        let document = br#"{"access_token": "t", "expires_in": 3599, "token_type": "Bearer"}"#;
        let current_token = current(document, now).unwrap();
        assert_eq!(current_token.value.bearer, "t");
        assert_eq!(current_token.ends_at, now + Duration::from_secs(3_599));
        for wrong in [&b"{}"[..], b"", b"{\"access_token\": \"t\"}"] {
            assert!(current(wrong, now).is_err());
        }
        let never = format!("{{\"access_token\": \"t\", \"expires_in\": {}}}", u64::MAX);
        assert!(current(never.as_bytes(), now).is_err());
    }
}
