//! Secrets that a plugin may compute with but never read.

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
