//! Requests and the credentials that may go with them.

use crate::egress::redacted;
use crate::error::Error;
use http::header::{AUTHORIZATION, HeaderName, HeaderValue};
use std::fmt;
use url::{Origin, Url};
use zeroize::Zeroizing;

/// A secret text. It is wiped when dropped, and never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// Wraps a secret.
    #[must_use]
    pub fn new(text: impl Into<String>) -> Self {
        Self(Zeroizing::new(text.into()))
    }

    /// The secret itself.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

/// A header that goes to one origin only (T26).
#[derive(Clone, Debug)]
pub struct Credential {
    /// The scheme, host and port that it is for.
    pub origin: Origin,
    /// The header, usually `authorization`.
    pub header: HeaderName,
    /// The header's whole value, such as `Bearer …`.
    pub value: Secret,
}

impl Credential {
    /// A bearer token for the origin of `url`.
    #[must_use]
    pub fn bearer(url: &Url, token: &Secret) -> Self {
        Self {
            origin: url.origin(),
            header: AUTHORIZATION,
            value: Secret::new(format!("Bearer {}", token.reveal())),
        }
    }

    pub(super) fn is_for(&self, url: &Url) -> bool {
        // An opaque origin equals only itself, so it is for no URL.
        self.origin.is_tuple() && self.origin == url.origin()
    }

    pub(super) fn value(&self) -> Result<HeaderValue, Error> {
        let mut value = HeaderValue::from_str(self.value.reveal()).map_err(|_| {
            Error::invalid(
                format!("send the header `{}`", self.header),
                "its secret cannot be in a header",
            )
        })?;
        value.set_sensitive(true);
        Ok(value)
    }
}

/// Who is asked: a label of the request metrics, and nothing else.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum HostClass {
    /// The GitHub API, and the archives that it leads to.
    Github,
    /// A provider registry.
    Registry,
    /// Wherever a registry says that packages and their SHA256SUMS are.
    Package,
    /// A host that was granted to a plugin.
    Plugin,
    /// A store of artifacts, and whatever gives credentials for it.
    Storage,
    /// Anything else.
    #[default]
    Other,
}

impl HostClass {
    pub(crate) const fn label(self) -> &'static str {
        match self {
            Self::Github => "github",
            Self::Registry => "registry",
            Self::Package => "package",
            Self::Plugin => "plugin",
            Self::Storage => "storage",
            Self::Other => "other",
        }
    }
}

/// What to fetch.
#[derive(Clone)]
pub struct FetchRequest {
    /// Where; it must pass the policy.
    pub url: Url,
    /// Sent only while the URL has the credential's origin.
    pub credential: Option<Credential>,
    /// The `Accept` header.
    pub accept: Option<String>,
    /// Who is asked.
    pub host_class: HostClass,
}

impl fmt::Debug for FetchRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FetchRequest")
            .field("url", &redacted(&self.url))
            .field("credential", &self.credential)
            .field("accept", &self.accept)
            .finish()
    }
}

impl FetchRequest {
    /// A request without credential and `Accept`.
    #[must_use]
    pub const fn new(url: Url) -> Self {
        Self {
            url,
            credential: None,
            accept: None,
            host_class: HostClass::Other,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_shows_neither_its_query_nor_its_credential() {
        let url = Url::parse("https://h.example/p?token=s3cret").unwrap();
        let credential = Credential::bearer(&url, &Secret::new("s3cret"));
        let request = FetchRequest {
            credential: Some(credential),
            ..FetchRequest::new(url)
        };
        let shown = format!("{request:?}");
        assert!(
            shown.contains("https://h.example/p") && !shown.contains("s3cret"),
            "{shown}"
        );
    }
}
