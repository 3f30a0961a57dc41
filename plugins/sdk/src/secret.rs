//! Secrets that a plugin may compute with but never read.
//!
//! The bytes stay with the host. What a plugin gets is a handle, and MACs under it, which is what
//! signing a request takes. The author asks with `needs: { secrets: [signing-key] }`, the operator
//! grants the name. To send a secret in a header, name it in [`crate::http::Header`] instead.
//!
//! ```
//! use opendepot_plugin_sdk::secret::{Encoding, Error, Secret};
//!
//! fn signature(date: &str, region: &str, message: &str) -> Result<Vec<u8>, Error> {
//!     let key = Secret::open("signing-key", Encoding::Raw)?;
//!     let key = key.derive_sha256(b"V1", date.as_bytes());
//!     let key = key.derive_sha256(b"", region.as_bytes());
//!     Ok(key.mac_sha256(message.as_bytes()))
//! }
//!
//! // There is no host outside of WebAssembly.
//! assert!(matches!(signature("20260101", "eu-1", "GET /"), Err(Error::Missing(_))));
//! ```

pub use crate::bindings::storage::opendepot::host::secrets::{Encoding, Error};

use crate::bindings::storage::opendepot::host::secrets;

/// A handle to a secret that the host keeps.
#[derive(Debug)]
pub struct Secret(secrets::Secret);

impl Secret {
    /// Opens the secret called `name`; `encoding` says how the host decodes the stored text first.
    ///
    /// # Errors
    /// [`Error`]; outside of WebAssembly always [`Error::Missing`], as there is no host.
    pub fn open(name: &str, encoding: Encoding) -> Result<Self, Error> {
        #[cfg(target_family = "wasm")]
        return secrets::open(name, encoding).map(Self);
        #[cfg(not(target_family = "wasm"))]
        {
            let _ = encoding;
            Err(Error::Missing(name.to_owned()))
        }
    }

    /// HMAC-SHA256 over `message` under the secret: 32 bytes.
    #[must_use]
    pub fn mac_sha256(&self, message: &[u8]) -> Vec<u8> {
        self.0.mac_sha256(message)
    }

    /// HMAC-SHA256 over `message` under `prefix` followed by the secret, kept as a secret.
    #[must_use]
    pub fn derive_sha256(&self, prefix: &[u8], message: &[u8]) -> Self {
        Self(self.0.derive_sha256(prefix, message))
    }
}
