//! The one HTTP client of the process, as `object_store` wants it: every request of a store, and of
//! its credentials, passes the egress policy at the address that is connected to.

use super::seen;
use crate::error::Error;
use crate::fetch::{Fetcher, HostClass, Outgoing, attempt};
use backon::{BackoffBuilder as _, ExponentialBuilder};
use bytes::Bytes;
use http::Method;
use http::header::{AUTHORIZATION, HeaderMap};
use http_body::Body as _;
use http_body_util::{BodyExt as _, Limited};
use object_store::ClientOptions;
use object_store::client::{
    HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpResponse,
    HttpResponseBody, HttpService,
};
use opendepot_domain::Kind;
use std::time::Duration;
use url::Url;

/// Answers that are read whole: lists, errors, acknowledgements.
const MAX_DOCUMENT_BYTES: usize = 8 << 20;
/// Writing a part, or waiting for a server that puts parts together.
const WRITE_TIMEOUT: Duration = Duration::from_secs(300);
/// A credential that is none, as clients send it which cannot do without.
const EMPTY_BEARER: &str = "Bearer ";
/// How often a request of our own making is sent again.
const NUM_RETRIES: usize = 3;

/// Sends the requests of one store.
#[derive(Clone, Debug)]
pub(super) struct Wire {
    pub(super) fetcher: Fetcher,
    /// For the metadata services of the clouds, where a credential comes from one.
    pub(super) metadata: Option<Fetcher>,
    /// Waiting for the head of an answer to a read.
    pub(super) idle_timeout: Duration,
    /// What copies in one store are sent with besides what the client says of them.
    pub(super) of_copies: HeaderMap,
}

impl Wire {
    fn fetcher(&self, url: &Url) -> &Fetcher {
        match &self.metadata {
            Some(metadata) if metadata.policy().check(url).is_ok() => metadata,
            _ => &self.fetcher,
        }
    }

    /// Sends a request that may come twice, again while the server cannot answer it now.
    pub(super) async fn insist(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let mut waits = ExponentialBuilder::default()
            .with_max_times(NUM_RETRIES)
            .with_jitter()
            .build();
        loop {
            let answer = self.call(request.clone()).await?;
            match waits.next() {
                Some(wait) if matches!(answer.status().as_u16(), 500 | 502..=504) => {
                    tokio::time::sleep(wait).await;
                }
                _ => return Ok(answer),
            }
        }
    }
}

impl HttpConnector for Wire {
    fn connect(&self, _options: &ClientOptions) -> object_store::Result<HttpClient> {
        Ok(HttpClient::new(self.clone()))
    }
}

#[async_trait::async_trait]
impl HttpService for Wire {
    async fn call(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let (mut parts, body) = request.into_parts();
        if parts
            .headers
            .get(AUTHORIZATION)
            .is_some_and(|value| value == EMPTY_BEARER)
        {
            parts.headers.remove(AUTHORIZATION);
        }
        if parts.headers.contains_key("x-goog-copy-source") {
            parts.headers.extend(self.of_copies.clone());
        }
        let url = Url::parse(&parts.uri.to_string())
            .map_err(|_| HttpError::new(HttpErrorKind::Unknown, NotAnswered))?;
        // Only an object's own bytes are streamed; they are asked for without a query.
        let is_object = parts.method == Method::GET && url.query().is_none();
        let is_read = matches!(parts.method, Method::GET | Method::HEAD);
        let limit = if is_read {
            self.idle_timeout
        } else {
            WRITE_TIMEOUT
        };
        let body = match body.as_bytes() {
            _ if body.is_end_stream() => None,
            Some(bytes) => Some(bytes.clone().into()),
            None => Some(reqwest::Body::wrap(body)),
        };
        let outgoing = Outgoing {
            method: parts.method.clone(),
            url: url.clone(),
            headers: parts.headers,
            body,
            host_class: HostClass::Storage,
        };
        let what = attempt(&parts.method, &url);
        let sent = tokio::time::timeout(limit, self.fetcher(&url).send_once(outgoing, &what))
            .await
            .unwrap_or_else(|_| Err(Error::unavailable(&what, "no answer came in time")));
        let response = match sent {
            Ok(response) => http::Response::<reqwest::Body>::from(response),
            Err(error) => {
                let kind = match error.kind() {
                    Kind::Unavailable => HttpErrorKind::Request,
                    // What the policy refuses is not tried again.
                    _ => HttpErrorKind::Unknown,
                };
                seen::failed(error);
                return Err(HttpError::new(kind, NotAnswered));
            }
        };
        let (parts, body) = response.into_parts();
        if parts.status.is_success() && is_object {
            return Ok(HttpResponse::from_parts(
                parts,
                HttpResponseBody::new(body.map_err(broke_off)),
            ));
        }
        let document = Limited::new(body, MAX_DOCUMENT_BYTES).collect();
        let document = tokio::time::timeout(self.idle_timeout, document).await;
        let bytes: Bytes = match document {
            Ok(Ok(collected)) => collected.to_bytes(),
            Ok(Err(_)) | Err(_) => {
                return Err(HttpError::new(HttpErrorKind::Interrupted, NotAnswered));
            }
        };
        seen::answered(parts.status, &parts.headers, &bytes);
        Ok(HttpResponse::from_parts(parts, bytes.into()))
    }
}

fn broke_off(_: reqwest::Error) -> HttpError {
    HttpError::new(HttpErrorKind::Interrupted, NotAnswered)
}

/// Says nothing of where and why: that is for [`seen`].
#[derive(Debug, thiserror::Error)]
#[error("no whole answer came")]
struct NotAnswered;
