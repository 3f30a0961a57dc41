//! How the server knows who asks: a named secret in a header, or a MAC in the URL.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use opendepot_plugin_sdk::http::{Header, HeaderValue, Prefixed};
use opendepot_plugin_sdk::secret::{self, Encoding, Secret};
use opendepot_plugin_sdk::storage::{Error, SignedRequest};
use std::fmt::Write as _;

/// The way in.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Access {
    /// Anybody may.
    Open,
    /// `Authorization: Bearer` and a secret.
    Bearer {
        /// Its name.
        secret: String,
    },
    /// `Authorization: Basic` with a secret as the password.
    Basic {
        /// The user.
        user: String,
        /// The password's name.
        secret: String,
    },
    /// Any header with a secret at its end.
    Header {
        /// The header.
        name: String,
        /// What comes before the secret.
        prefix: String,
        /// The secret's name.
        secret: String,
    },
    /// Every URL carries an expiry and a MAC.
    Sign(Sign),
}

/// How URLs are signed.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Sign {
    /// The name of the key.
    pub(crate) secret: String,
    /// How the key is stored.
    pub(crate) encoding: KeyEncoding,
    /// How long a URL is valid that is not a link for a client, in seconds.
    pub(crate) lifetime: u64,
    /// What is signed, with placeholders.
    pub(crate) message: String,
    /// The query parameter of the expiry.
    pub(crate) expires: String,
    /// The query parameter of the MAC.
    pub(crate) signature: String,
    /// How the MAC is written.
    pub(crate) format: Format,
}

/// How a key is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum KeyEncoding {
    Raw,
    Base64,
    Hex,
}

/// How a MAC is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    Hex,
    /// Without padding.
    Base64Url,
}

impl Access {
    /// Gives a request its URL and what lets it in.
    pub(crate) fn admit(
        &self,
        request: &mut SignedRequest,
        url: &str,
        now: u64,
    ) -> Result<(), Error> {
        request.url = url.to_owned();
        match self {
            Self::Open => {}
            Self::Bearer { secret } => request.headers.push(Header::bearer(secret.as_str())),
            Self::Basic { user, secret } => {
                request
                    .headers
                    .push(Header::basic(user.as_str(), secret.as_str()));
            }
            Self::Header {
                name,
                prefix,
                secret,
            } => request.headers.push(Header {
                name: name.clone(),
                value: HeaderValue::Secret(Prefixed {
                    prefix: prefix.clone(),
                    secret: secret.clone(),
                }),
            }),
            Self::Sign(sign) => {
                request.expires_at = now.saturating_add(sign.lifetime);
                request.url = sign.signed(&request.method, url, request.expires_at)?;
            }
        }
        Ok(())
    }

    /// A URL that needs nothing else until `expires_at`, where URLs are signed.
    pub(crate) fn link(&self, url: &str, expires_at: u64) -> Result<Option<String>, Error> {
        match self {
            Self::Sign(sign) => sign.signed("GET", url, expires_at).map(Some),
            _ => Ok(None),
        }
    }
}

impl Sign {
    fn signed(&self, method: &str, url: &str, expires_at: u64) -> Result<String, Error> {
        let encoding = match self.encoding {
            KeyEncoding::Raw => Encoding::Raw,
            KeyEncoding::Base64 => Encoding::Base64,
            KeyEncoding::Hex => Encoding::Hex,
        };
        let key = Secret::open(&self.secret, encoding).map_err(|error| match error {
            secret::Error::Denied(reason) => Error::Denied(format!("the signing key: {reason}")),
            secret::Error::Missing(reason) | secret::Error::Other(reason) => {
                Error::Unavailable(format!("the signing key: {reason}"))
            }
        })?;
        let mac = key.mac_sha256(self.text(method, url, expires_at).as_bytes());
        Ok(self.url(url, expires_at, &mac))
    }

    /// What is signed.
    pub(crate) fn text(&self, method: &str, url: &str, expires_at: u64) -> String {
        let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
        let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
        // One pass, so that no value is taken for a placeholder.
        let mut text = String::new();
        let mut rest = self.message.as_str();
        while let Some((before, after)) = rest.split_once('{') {
            text.push_str(before);
            let (name, after) = after.split_once('}').unwrap_or((after, ""));
            match name {
                "method" => text.push_str(method),
                "host" => text.push_str(host),
                "path" => {
                    text.push('/');
                    text.push_str(path);
                }
                "expires" => text.push_str(&expires_at.to_string()),
                // The settings were checked.
                _ => {}
            }
            rest = after;
        }
        text.push_str(rest);
        text
    }

    /// The URL with its expiry and MAC.
    pub(crate) fn url(&self, url: &str, expires_at: u64, mac: &[u8]) -> String {
        let mac = match self.format {
            Format::Hex => mac.iter().fold(String::new(), |mut text, byte| {
                // Writing to a text cannot fail.
                let _ = write!(text, "{byte:02x}");
                text
            }),
            Format::Base64Url => URL_SAFE_NO_PAD.encode(mac),
        };
        let (expires, signature) = (&self.expires, &self.signature);
        format!("{url}?{expires}={expires_at}&{signature}={mac}")
    }
}

/// The placeholders of a message.
pub(crate) const PLACEHOLDERS: &[&str] = &["method", "host", "path", "expires"];

/// The names in braces.
pub(crate) fn placeholders(message: &str) -> Vec<&str> {
    message
        .split('{')
        .skip(1)
        .filter_map(|part| part.split_once('}').map(|(name, _)| name))
        .collect()
}
