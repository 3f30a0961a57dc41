//! Credentials of AWS that end: from the security token service, or from a metadata service. Fetched
//! through our own client, [`Kept`], and fetched anew before they end.

use super::access::CloudCredentialKind;
use super::client::Common;
use super::kept::{self, Ending, Kept};
use super::wire::Wire;
use crate::error::Error;
use crate::fetch::Secret;
use bytes::Bytes;
use http::{HeaderValue, Method};
use object_store::CredentialProvider;
use object_store::aws::AwsCredential;
use object_store::client::{HttpRequest, HttpService as _};
use serde::Deserialize;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};
use url::Url;

const INSTANCE: &str = "http://169.254.169.254";
const TASK: &str = "http://169.254.170.2";

/// A credential that is fetched again and again.
pub(super) struct Session {
    source: Source,
    wire: Wire,
    kept: Kept<Arc<AwsCredential>>,
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Session").finish_non_exhaustive()
    }
}

type Current = Ending<Arc<AwsCredential>>;

enum Source {
    /// AssumeRoleWithWebIdentity.
    WebIdentity {
        endpoint: Url,
        role_arn: String,
        token_file: PathBuf,
    },
    /// The credentials of a task or a pod.
    Container {
        url: Url,
        token_file: Option<PathBuf>,
    },
    /// The role of an instance (IMDSv2), from the service at this URL.
    Instance(Url),
}

impl Session {
    /// What a service account (IRSA), a task or a pod is given is in the environment, as AWS puts it
    /// there; the options `role-arn`, `token-file` and `sts-endpoint` say otherwise.
    ///
    /// # Errors
    /// [`Error::Invalid`] when something is missing.
    pub(super) fn new(
        kind: CloudCredentialKind,
        region: &str,
        common: &Common<'_>,
    ) -> Result<Self, Error> {
        let refuse = |reason: String| {
            Error::invalid(
                format!("use a credential of kind `{}`", kind.label()),
                reason,
            )
        };
        let set = |option: &str, variable: &str| {
            let option = common.granted(option).map(str::to_owned);
            option.or_else(|| std::env::var(variable).ok())
        };
        let source = if kind == CloudCredentialKind::AwsWebIdentity {
            let needed = |option: &str, variable: &str| {
                set(option, variable).ok_or_else(|| {
                    refuse(format!(
                        "neither `{variable}` is set nor the option `{option}` of the store's grant"
                    ))
                })
            };
            let endpoint = set("sts-endpoint", "AWS_ENDPOINT_URL_STS")
                .unwrap_or_else(|| format!("https://sts.{region}.amazonaws.com"));
            Source::WebIdentity {
                endpoint: super::seen::endpoint(&endpoint)?,
                role_arn: needed("role-arn", "AWS_ROLE_ARN")?,
                token_file: needed("token-file", "AWS_WEB_IDENTITY_TOKEN_FILE")?.into(),
            }
        } else if let Ok(path) = std::env::var("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI") {
            let url = Url::parse(&format!("{TASK}{path}"));
            Source::Container {
                url: url.map_err(|_| refuse("its relative URI is none".to_owned()))?,
                token_file: None,
            }
        } else if let Ok(url) = std::env::var("AWS_CONTAINER_CREDENTIALS_FULL_URI") {
            let token_file = std::env::var_os("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE");
            Source::Container {
                url: Url::parse(&url).map_err(|_| refuse("its full URI is none".to_owned()))?,
                token_file: token_file.map(PathBuf::from),
            }
        } else {
            // As the libraries of AWS have it.
            let url = std::env::var("AWS_EC2_METADATA_SERVICE_ENDPOINT");
            let url = url.unwrap_or_else(|_| INSTANCE.to_owned());
            Source::Instance(super::seen::endpoint(&url)?)
        };
        Ok(Self {
            source,
            wire: common.wire.clone(),
            kept: Kept::default(),
        })
    }

    /// How long the credential that signs now is good for; one that ends before `needed` is
    /// replaced first, when that is possible.
    pub(super) async fn remaining(&self, needed: Duration) -> object_store::Result<Duration> {
        let kept = self.kept.get(needed, self.fetch()).await?;
        Ok(kept.remaining())
    }

    /// The next use fetches a new one, unless it was fetched since.
    pub(super) fn forget(&self, before: Instant) {
        self.kept.forget(before);
    }

    async fn fetch(&self) -> Result<Current, object_store::Error> {
        match &self.source {
            Source::WebIdentity {
                endpoint,
                role_arn,
                token_file,
            } => {
                let token = read(token_file).await?;
                let form = url::form_urlencoded::Serializer::new(String::new())
                    .append_pair("Action", "AssumeRoleWithWebIdentity")
                    .append_pair("Version", "2011-06-15")
                    .append_pair("RoleArn", role_arn)
                    .append_pair("RoleSessionName", "opendepot")
                    .append_pair("DurationSeconds", "3600")
                    .append_pair("WebIdentityToken", token.reveal().trim())
                    .finish();
                let header = ("content-type", "application/x-www-form-urlencoded");
                let body = self
                    .ask(Method::POST, endpoint, &[header], form.into())
                    .await?;
                let answer: AssumeRole = quick_xml::de::from_reader(&*body)
                    .map_err(|_| malformed("the security token service"))?;
                answer.result.credentials.current()
            }
            Source::Container { url, token_file } => {
                let token = match token_file {
                    Some(file) => Some(read(file).await?),
                    None => None,
                };
                let header = token
                    .as_ref()
                    .map(|token| ("authorization", token.reveal().trim()));
                let body = self
                    .ask(Method::GET, url, header.as_slice(), Bytes::new())
                    .await?;
                document(&body)
            }
            Source::Instance(service) => self.instance(service).await,
        }
    }

    async fn instance(&self, service: &Url) -> Result<Current, object_store::Error> {
        let at = |path: &str| {
            let url = service.join(&format!("/latest/{path}"));
            url.map_err(|_| malformed("the metadata service"))
        };
        let text = |body: Bytes| {
            let text = String::from_utf8(body.to_vec()).ok();
            text.map(|text| text.trim().to_owned())
                .filter(|text| !text.is_empty() && text.bytes().all(|b| b.is_ascii_graphic()))
                .ok_or_else(|| malformed("the metadata service"))
        };
        let lifetime = [("x-aws-ec2-metadata-token-ttl-seconds", "600")];
        let token = self
            .ask(Method::PUT, &at("api/token")?, &lifetime, Bytes::new())
            .await?;
        let token = Secret::new(text(token)?);
        let header = [("x-aws-ec2-metadata-token", token.reveal())];
        let roles = "meta-data/iam/security-credentials/";
        let role = self
            .ask(Method::GET, &at(roles)?, &header, Bytes::new())
            .await?;
        let role = at(&format!("{roles}{}", text(role)?))?;
        let body = self.ask(Method::GET, &role, &header, Bytes::new()).await?;
        document(&body)
    }

    async fn ask(
        &self,
        method: Method,
        url: &Url,
        headers: &[(&'static str, &str)],
        body: Bytes,
    ) -> Result<Bytes, object_store::Error> {
        let mut request = HttpRequest::new(body.into());
        *request.method_mut() = method;
        *request.uri_mut() = url.as_str().parse().map_err(|_| malformed("its address"))?;
        for (name, value) in headers {
            let mut value = HeaderValue::from_str(value).map_err(|_| malformed("a token"))?;
            value.set_sensitive(true);
            request.headers_mut().insert(*name, value);
        }
        let answer = self.wire.call(request).await.map_err(|_| failed())?;
        if !answer.status().is_success() {
            kept::refused(url, answer.status());
            return Err(failed());
        }
        answer.into_body().bytes().await.map_err(|_| failed())
    }
}

#[async_trait::async_trait]
impl CredentialProvider for Session {
    type Credential = AwsCredential;

    async fn get_credential(&self) -> object_store::Result<Arc<AwsCredential>> {
        let kept = self.kept.get(Duration::ZERO, self.fetch()).await?;
        Ok(Arc::clone(&kept.value))
    }
}

#[derive(Deserialize)]
struct AssumeRole {
    #[serde(rename = "AssumeRoleWithWebIdentityResult")]
    result: AssumeRoleResult,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct AssumeRoleResult {
    credentials: Credentials,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Credentials {
    access_key_id: String,
    secret_access_key: String,
    #[serde(alias = "Token")]
    session_token: String,
    expiration: String,
}

impl Credentials {
    fn current(self) -> Result<Current, object_store::Error> {
        let ends_at: jiff::Timestamp = self
            .expiration
            .parse()
            .map_err(|_| malformed("the end of a credential"))?;
        // The token becomes a header.
        if !self.session_token.bytes().all(|b| b.is_ascii_graphic()) {
            return Err(malformed("a session token"));
        }
        Ok(Current {
            value: Arc::new(AwsCredential {
                key_id: self.access_key_id,
                secret_key: self.secret_access_key,
                token: Some(self.session_token),
            }),
            ends_at: ends_at.into(),
        })
    }
}

fn document(body: &[u8]) -> Result<Current, object_store::Error> {
    let credentials: Credentials =
        serde_json::from_slice(body).map_err(|_| malformed("the metadata service"))?;
    credentials.current()
}

async fn read(file: &Path) -> Result<Secret, object_store::Error> {
    let text = tokio::fs::read_to_string(file).await;
    text.map(Secret::new).map_err(|_| {
        tracing::warn!("cannot read the token file `{}`", file.display());
        failed()
    })
}

fn malformed(what: &str) -> object_store::Error {
    object_store::Error::Generic {
        store: "S3",
        source: format!("{what} answered with something else than it should").into(),
    }
}

fn failed() -> object_store::Error {
    object_store::Error::Generic {
        store: "S3",
        source: "no credential can be had".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documents_of_both_services_are_read() {
        let xml = "<AssumeRoleWithWebIdentityResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\">\
            <AssumeRoleWithWebIdentityResult><Credentials><SessionToken>t</SessionToken>\
            <SecretAccessKey>s</SecretAccessKey><Expiration>2030-01-02T03:04:05Z</Expiration>\
            <AccessKeyId>id</AccessKeyId></Credentials></AssumeRoleWithWebIdentityResult>\
            </AssumeRoleWithWebIdentityResponse>";
        let answer: AssumeRole = quick_xml::de::from_reader(xml.as_bytes()).unwrap();
        let current = answer.result.credentials.current().unwrap();
        assert_eq!(current.value.key_id, "id");
        assert_eq!(current.value.token.as_deref(), Some("t"));
        let json = br#"{"Code":"Success","AccessKeyId":"id","SecretAccessKey":"s","Token":"t","Expiration":"2030-01-02T03:04:05Z"}"#;
        assert_eq!(document(json).unwrap().ends_at, current.ends_at);
        assert!(document(b"{}").is_err());
    }
}
