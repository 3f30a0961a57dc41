//! HTTP requests that the host sends, to hosts that the plugin declared and the operator granted.
//!
//! Secrets are named, never seen: the host fills them in, and only towards the hosts that each
//! secret is bound to. The author asks with `needs: { hosts: true, secrets: [token] }`, the
//! operator grants with `hosts` and `secrets`. Redirects are answers, not followed; nothing is
//! retried; the time is what the call has left.
//!
//! ```
//! use opendepot_plugin_sdk::http::{Error, Header, Request, send};
//!
//! fn bucket(name: &str) -> Result<Option<Vec<u8>>, Error> {
//!     let request = Request::new("GET", format!("https://inventory.example/buckets/{name}"))
//!         .header(Header::bearer("token"))
//!         .header(Header::plain("accept", "application/json"));
//!     let answer = send(&request)?;
//!     match answer.status {
//!         200 => Ok(Some(answer.body)),
//!         404 => Ok(None),
//!         status => Err(Error::Other(format!("the inventory answered {status}"))),
//!     }
//! }
//!
//! // There is no host outside of WebAssembly.
//! assert!(matches!(bucket("modules"), Err(Error::Unreachable(_))));
//! ```

pub use crate::bindings::storage::opendepot::host::http::{
    Basic, Error, Header, HeaderValue, Prefixed, Request, Response,
};

/// Sends a request and waits for the whole answer.
///
/// # Errors
/// [`Error`]; outside of WebAssembly always [`Error::Unreachable`], as there is no host.
pub fn send(request: &Request) -> Result<Response, Error> {
    #[cfg(target_family = "wasm")]
    return crate::bindings::storage::opendepot::host::http::send(request);
    #[cfg(not(target_family = "wasm"))]
    Err(Error::Unreachable(format!(
        "no host outside of WebAssembly sends `{} {}`",
        request.method, request.url
    )))
}

impl Request {
    /// A request without headers and body.
    pub fn new(method: impl Into<String>, url: impl Into<String>) -> Self {
        Self {
            method: method.into(),
            url: url.into(),
            headers: Vec::new(),
            body: Vec::new(),
        }
    }

    /// Adds a header.
    #[must_use]
    pub fn header(mut self, header: Header) -> Self {
        self.headers.push(header);
        self
    }

    /// Sets the body.
    #[must_use]
    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self
    }
}

impl Header {
    /// A header with a value that is no secret.
    pub fn plain(name: impl Into<String>, value: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            value: HeaderValue::Plain(value.into()),
        }
    }

    /// `Authorization: Bearer` with the secret called `secret`.
    pub fn bearer(secret: impl Into<String>) -> Self {
        Self {
            name: "authorization".to_owned(),
            value: HeaderValue::Secret(Prefixed {
                prefix: "Bearer ".to_owned(),
                secret: secret.into(),
            }),
        }
    }

    /// `Authorization: Basic` with `user` and, as the password, the secret called `secret`.
    pub fn basic(user: impl Into<String>, secret: impl Into<String>) -> Self {
        Self {
            name: "authorization".to_owned(),
            value: HeaderValue::Basic(Basic {
                user: user.into(),
                secret: secret.into(),
            }),
        }
    }
}
