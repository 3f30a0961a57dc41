//! GET requests to one repository, with whatever authentication its registry wants.
//!
//! Hidden contract: a login goes to the host and port that the docker configuration file names it
//! for, a token to the registry that wanted it. Only the registry itself may ask for either: an
//! answer behind a redirect may not.

use crate::challenge::{self, Challenge};
use crate::docker::{DockerConfig, Login};
use crate::error::OciError;
use crate::reference::Reference;
use bytes::Bytes;
use http::header::CONTENT_TYPE;
use opendepot_transfer::{Credential, Error, FetchRequest, Fetched, Fetcher, HostClass, Secret};
use serde::Deserialize;
use url::Url;

const MAX_TOKEN_ANSWER_BYTES: u64 = 64 << 10;
const MAX_TOKEN_BYTES: usize = 16 << 10;

/// A repository while it is being read from.
pub(crate) struct Session<'a> {
    fetcher: &'a Fetcher,
    reference: &'a Reference,
    docker: Option<DockerConfig>,
    /// `https://registry/`, or http where the operator allows that.
    base: Url,
    credential: Option<Credential>,
    /// Whose login was used, if any.
    used_login_of: Option<String>,
    is_authenticated: bool,
}

/// A good answer.
pub(crate) struct Document {
    pub(crate) bytes: Bytes,
    pub(crate) content_type: Option<String>,
}

#[derive(Deserialize)]
struct TokenAnswer {
    token: Option<String>,
    access_token: Option<String>,
}

impl<'a> Session<'a> {
    pub(crate) fn new(
        fetcher: &'a Fetcher,
        reference: &'a Reference,
        docker: Option<DockerConfig>,
    ) -> Result<Self, OciError> {
        Ok(Self {
            base: base(fetcher, reference)?,
            fetcher,
            reference,
            docker,
            credential: None,
            used_login_of: None,
            is_authenticated: false,
        })
    }

    /// Reads `/v2/{repository}/{path}`; `what` names it in errors.
    pub(crate) async fn get(
        &mut self,
        path: &str,
        accept: Option<&str>,
        max_bytes: u64,
        what: &str,
    ) -> Result<Document, OciError> {
        let mut url = self.base.clone();
        url.set_path(&format!("/v2/{}/{path}", self.reference.repository()));
        loop {
            let request = FetchRequest {
                credential: self.credential.clone(),
                accept: accept.map(str::to_owned),
                host_class: HostClass::Plugin,
                ..FetchRequest::new(url.clone())
            };
            let answer = self.fetcher.get_bytes(&request, max_bytes).await?;
            let is_own = answer.final_url.origin() == self.base.origin();
            match answer.status {
                200 => {
                    let content_type = answer.headers.get(CONTENT_TYPE);
                    let content_type = content_type.and_then(|value| value.to_str().ok());
                    return Ok(Document {
                        content_type: content_type.map(str::to_owned),
                        bytes: answer.body,
                    });
                }
                401 if is_own && !self.is_authenticated => {
                    self.authenticate(&answer).await?;
                    self.is_authenticated = true;
                }
                401 | 403 if is_own => return Err(self.denied()),
                404 => {
                    return Err(OciError::NotFound {
                        registry: self.registry(),
                        what: what.to_owned(),
                    });
                }
                _ => return Err(unexpected(answer)),
            }
        }
    }

    async fn authenticate(&mut self, answer: &Fetched) -> Result<(), OciError> {
        match challenge::of(&answer.headers) {
            Some(Challenge::Basic) => {
                let login = self.login(&self.base)?.ok_or_else(|| self.missing())?;
                self.used_login_of = Some(self.registry());
                self.credential = Some(login.credential(&self.base));
            }
            Some(Challenge::Bearer { realm, service }) => {
                let token = self.token(realm, service).await?;
                self.credential = Some(Credential::bearer(&self.base, &token));
            }
            None => {
                return Err(OciError::Denied {
                    registry: self.registry(),
                    repository: self.reference.repository().to_owned(),
                    reason: "it wants neither name and password nor a token of a server it names",
                });
            }
        }
        Ok(())
    }

    /// Asks the realm for a token to pull this repository, and nothing else.
    async fn token(&mut self, realm: Url, service: Option<String>) -> Result<Secret, OciError> {
        let is_own = realm.origin() == self.base.origin();
        let host = authority(&realm);
        if realm.scheme() != "https" && !is_own {
            return Err(OciError::InsecureRealm {
                registry: self.registry(),
                realm: host,
            });
        }
        let login = self.login(&realm)?;
        if login.is_none() && !is_own && self.login(&self.base)?.is_some() {
            return Err(OciError::Realm {
                registry: self.registry(),
                realm: host,
            });
        }
        let mut url = realm;
        {
            let mut query = url.query_pairs_mut();
            if let Some(service) = &service {
                query.append_pair("service", service);
            }
            let repository = self.reference.repository();
            query.append_pair("scope", &format!("repository:{repository}:pull"));
        }
        self.used_login_of = login.is_some().then(|| host.clone());
        let request = FetchRequest {
            credential: login.map(|login| login.credential(&url)),
            accept: Some("application/json".to_owned()),
            host_class: HostClass::Plugin,
            ..FetchRequest::new(url)
        };
        let answer = self
            .fetcher
            .get_bytes(&request, MAX_TOKEN_ANSWER_BYTES)
            .await?;
        match answer.status {
            200 => token_of(&answer.body).ok_or(OciError::Token { realm: host }),
            401 | 403 => Err(self.denied()),
            _ => Err(unexpected(answer)),
        }
    }

    fn login(&self, url: &Url) -> Result<Option<Login>, OciError> {
        match &self.docker {
            Some(docker) => Ok(docker.login(url)?),
            None => Ok(None),
        }
    }

    fn denied(&self) -> OciError {
        match (&self.used_login_of, &self.docker) {
            (Some(host), Some(docker)) => OciError::CredentialsRefused {
                host: host.clone(),
                repository: self.reference.repository().to_owned(),
                file: docker.path().to_owned(),
            },
            _ => self.missing(),
        }
    }

    fn missing(&self) -> OciError {
        OciError::CredentialsMissing {
            registry: self.registry(),
            repository: self.reference.repository().to_owned(),
        }
    }

    fn registry(&self) -> String {
        self.reference.registry().to_owned()
    }
}

/// Plain HTTP only where the operator's egress policy lists the registry for it.
fn base(fetcher: &Fetcher, reference: &Reference) -> Result<Url, OciError> {
    let parse = |scheme: &str| {
        let text = format!("{scheme}://{}/", reference.registry());
        Url::parse(&text).map_err(|_| OciError::Internal)
    };
    let plain = parse("http")?;
    if fetcher.policy().check(&plain).is_ok() {
        return Ok(plain);
    }
    parse("https")
}

/// `host` or `host:port`, as keys of `auths` are written.
fn authority(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    match url.port() {
        Some(port) => format!("{host}:{port}"),
        None => host.to_owned(),
    }
}

fn token_of(body: &[u8]) -> Option<Secret> {
    let answer: TokenAnswer = serde_json::from_slice(body).ok()?;
    let (token, access_token) = (
        Secret::new(answer.token.unwrap_or_default()),
        Secret::new(answer.access_token.unwrap_or_default()),
    );
    let is_usable = |token: &Secret| {
        let text = token.reveal();
        !text.is_empty()
            && text.len() <= MAX_TOKEN_BYTES
            && text.bytes().all(|b| b.is_ascii_graphic())
    };
    [token, access_token].into_iter().find(is_usable)
}

/// Any other status, by what it means.
fn unexpected(answer: Fetched) -> OciError {
    match answer.success() {
        Err(error) => error.into(),
        Ok(answer) => Error::Unavailable {
            attempt: "pull".to_owned(),
            reason: format!("the registry answered {} instead of 200", answer.status),
        }
        .into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_come_under_two_names() {
        let read = |json: &str| token_of(json.as_bytes()).map(|token| token.reveal().to_owned());
        assert_eq!(read(r#"{"token": "a.b-c"}"#).as_deref(), Some("a.b-c"));
        assert_eq!(
            read(r#"{"access_token": "x", "expires_in": 3}"#).as_deref(),
            Some("x")
        );
        assert_eq!(
            read(r#"{"token": "", "access_token": "x"}"#).as_deref(),
            Some("x")
        );
        for json in [
            "{}",
            "[]",
            "<html>",
            r#"{"token": 1}"#,
            r#"{"token": "a b"}"#,
            r#"{"token": "a\r\nx-evil: 1"}"#,
        ] {
            assert_eq!(read(json), None, "{json}");
        }
        let long = format!(r#"{{"token": "{}"}}"#, "x".repeat(MAX_TOKEN_BYTES + 1));
        assert_eq!(read(&long), None);
    }
}
