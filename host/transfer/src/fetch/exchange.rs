//! Requests of any method that are sent once: nothing is followed, nothing tried again.

use super::answer::Fetched;
use super::request::{HostClass, Secret};
use super::{Fetcher, failed};
use crate::egress::{Grant, redacted};
use crate::error::Error;
use crate::metric;
use bytes::{Bytes, BytesMut};
use http::header::{ACCEPT_ENCODING, HeaderMap, HeaderName, HeaderValue};
use http::{Method, StatusCode};
use std::fmt;
use url::Url;

/// A request that is sent exactly once. Redirects are answers.
pub struct ExchangeRequest {
    /// The method.
    pub method: Method,
    /// Where to; it must pass the policy.
    pub url: Url,
    /// Headers in order. All values are treated as secrets.
    pub headers: Vec<(String, Secret)>,
    /// The body; empty for none.
    pub body: Bytes,
    /// Who is asked.
    pub host_class: HostClass,
}

impl fmt::Debug for ExchangeRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ExchangeRequest")
            .field("method", &self.method)
            .field("url", &redacted(&self.url))
            .field("num_headers", &self.headers.len())
            .field("body_bytes", &self.body.len())
            .finish_non_exhaustive()
    }
}

/// As [`ExchangeRequest`], ready for the wire.
pub(crate) struct Outgoing {
    pub(crate) method: Method,
    pub(crate) url: Url,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Option<reqwest::Body>,
    pub(crate) host_class: HostClass,
}

impl Fetcher {
    /// Sends one request and reads the whole answer, whatever its status. The caller has the clock.
    ///
    /// # Errors
    /// [`Error::Refused`] by the policy, [`Error::TooLarge`] above `max_bytes`,
    /// [`Error::Unavailable`]; [`Error::Invalid`] for a header that HTTP cannot carry.
    pub async fn exchange(
        &self,
        request: ExchangeRequest,
        max_bytes: usize,
    ) -> Result<Fetched, Error> {
        let ExchangeRequest {
            method,
            url,
            headers,
            body,
            host_class,
        } = request;
        let attempt = attempt(&method, &url);
        let outgoing = Outgoing {
            headers: header_map(&headers)?,
            body: (!body.is_empty()).then(|| body.into()),
            method,
            url: url.clone(),
            host_class,
        };
        let mut response = self.send_once(outgoing, &attempt).await?;
        let (status, headers) = (response.status(), response.headers().clone());
        let too_large = || Error::TooLarge {
            url: redacted(&url),
            limit_bytes: max_bytes as u64,
        };
        if response
            .content_length()
            .is_some_and(|len| len > max_bytes as u64)
        {
            return Err(too_large());
        }
        let mut body = BytesMut::new();
        while let Some(chunk) = response
            .chunk()
            .await
            .map_err(|error| failed(attempt.clone(), &url, error))?
        {
            if chunk.len() > max_bytes - body.len() {
                return Err(too_large());
            }
            body.extend_from_slice(&chunk);
        }
        Ok(Fetched {
            status: status.as_u16(),
            headers,
            body: body.freeze(),
            final_url: url,
        })
    }

    /// Sends one request and waits for the head of its answer, for as long as it takes: the
    /// caller has the clock.
    pub(crate) async fn send_once(
        &self,
        outgoing: Outgoing,
        attempt: &str,
    ) -> Result<reqwest::Response, Error> {
        let Outgoing {
            method,
            url,
            mut headers,
            body,
            host_class,
        } = outgoing;
        let grant = self.0.policy.grant(&url);
        let client = match grant.inspect_err(|_| metric::refused(host_class))? {
            Grant::Listed => &self.0.listed,
            Grant::Endpoint => &self.0.endpoint,
        };
        headers
            .entry(ACCEPT_ENCODING)
            .or_insert(HeaderValue::from_static("identity"));
        let mut request = client.request(method, url.clone()).headers(headers);
        if let Some(body) = body {
            request = request.body(body);
        }
        let sent = request.send().await;
        metric::asked(host_class, sent.as_ref().ok());
        sent.map_err(|error| failed(attempt.to_owned(), &url, error))
    }
}

/// `GET https://…`, without what may be secret.
pub(crate) fn attempt(method: &Method, url: &Url) -> String {
    format!("{method} `{}`", redacted(url))
}

/// Headers as HTTP has them, none of them shown by anything that prints them.
pub(crate) fn header_map(headers: &[(String, Secret)]) -> Result<HeaderMap, Error> {
    let mut map = HeaderMap::with_capacity(headers.len());
    for (name, value) in headers {
        let refuse = |reason| {
            let name: String = name.escape_debug().take(128).collect();
            Error::invalid(format!("send the header `{name}`"), reason)
        };
        let header =
            HeaderName::from_bytes(name.as_bytes()).map_err(|_| refuse("its name is none"))?;
        let mut value = HeaderValue::from_str(value.reveal())
            .map_err(|_| refuse("its value cannot be in a header"))?;
        value.set_sensitive(true);
        map.append(header, value);
    }
    Ok(map)
}

/// The status as the host's own words.
pub(crate) fn answered(status: StatusCode) -> String {
    format!("it answered {}", status.as_u16())
}
