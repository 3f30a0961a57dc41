//! Secrets: files under one folder, named, never shown to a guest.

use crate::v0_1::host::secrets::Encoding;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, Mac as _};
use opendepot_domain::Kind;
use std::io::Read as _;
use std::path::Path;
use zeroize::Zeroizing;

/// The largest secret file, in bytes.
const MAX_BYTES: u64 = 64 << 10;

/// The rule of [`is_secret_name`].
pub(crate) const NAME_RULE: &str =
    "letters, digits, `.`, `_` and `-`, starting with a letter or digit, at most 128, no `..`";

/// Whether a name can only be a file of the secrets folder itself.
pub(crate) fn is_secret_name(name: &str) -> bool {
    opendepot_domain::FileName::new(name).is_ok()
}

/// Why a secret cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SecretError {
    /// Not declared, or not granted, or not for that host.
    #[error("it is not granted for this use")]
    Denied,
    /// No folder is configured, or it has no such file.
    #[error("there is no such file under `pluginPolicy.secretsDir`")]
    Missing,
    /// Not a regular file, too large, or not what the encoding or a header allows.
    #[error("its file is unreadable, larger than 64 KiB, or not in the form that the use needs")]
    Malformed,
}

impl SecretError {
    /// What the failure means to a caller.
    #[must_use]
    pub const fn kind(self) -> Kind {
        match self {
            Self::Denied => Kind::Denied,
            Self::Missing | Self::Malformed => Kind::Unavailable,
        }
    }
}

#[expect(
    unreachable_pub,
    reason = "the generated bindings re-export it, which a narrower visibility forbids"
)]
/// Key bytes that guests hold a handle to. Wiped when dropped.
pub struct SecretKey(Zeroizing<Vec<u8>>);

impl SecretKey {
    /// Decodes a secret file's text.
    pub(crate) fn decode(
        content: &Zeroizing<Vec<u8>>,
        encoding: Encoding,
    ) -> Result<Self, SecretError> {
        let text = content.trim_ascii_end();
        let bytes = match encoding {
            Encoding::Raw => text.to_vec(),
            Encoding::Base64 => STANDARD.decode(text).map_err(|_| SecretError::Malformed)?,
            Encoding::Hex => hex::decode(text).map_err(|_| SecretError::Malformed)?,
        };
        Ok(Self(Zeroizing::new(bytes)))
    }

    /// HMAC-SHA256 of a message.
    pub(crate) fn mac(&self, message: &[u8]) -> Vec<u8> {
        mac(&self.0, message).to_vec()
    }

    /// HMAC-SHA256 keyed by `prefix` and the secret, kept as a secret.
    pub(crate) fn derive(&self, prefix: &[u8], message: &[u8]) -> Self {
        let mut key = Zeroizing::new(Vec::with_capacity(prefix.len() + self.0.len()));
        key.extend_from_slice(prefix);
        key.extend_from_slice(&self.0);
        Self(Zeroizing::new(mac(&key, message).to_vec()))
    }
}

fn mac(key: &[u8], message: &[u8]) -> Zeroizing<[u8; 32]> {
    #[expect(
        clippy::expect_used,
        reason = "HMAC takes keys of any length; the error cannot happen"
    )]
    let mut mac = Hmac::<sha2::Sha256>::new_from_slice(key).expect("any key length");
    mac.update(message);
    Zeroizing::new(mac.finalize().into_bytes().into())
}

/// Reads a secret that the caller has already authorised. Blocking.
pub(crate) fn read(dir: Option<&Path>, name: &str) -> Result<Zeroizing<Vec<u8>>, SecretError> {
    if !is_secret_name(name) {
        return Err(SecretError::Denied);
    }
    let path = dir.ok_or(SecretError::Missing)?.join(name);
    // Kubernetes mounts secrets as symbolic links, so links are followed. Non-blocking, so that
    // a FIFO cannot hold the call.
    let flags =
        rustix::fs::OFlags::RDONLY | rustix::fs::OFlags::NONBLOCK | rustix::fs::OFlags::CLOEXEC;
    let file = rustix::fs::open(&path, flags, rustix::fs::Mode::empty())
        .map_err(|_| SecretError::Missing)?;
    let file = std::fs::File::from(file);
    let metadata = file.metadata().map_err(|_| SecretError::Malformed)?;
    if !metadata.is_file() || metadata.len() > MAX_BYTES {
        return Err(SecretError::Malformed);
    }
    let mut content = Zeroizing::new(Vec::with_capacity(MAX_BYTES as usize + 1));
    file.take(MAX_BYTES + 1)
        .read_to_end(&mut content)
        .map_err(|_| SecretError::Malformed)?;
    if content.len() as u64 > MAX_BYTES {
        return Err(SecretError::Malformed);
    }
    Ok(content)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_cannot_leave_the_folder() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("token"), "s3cret\n").unwrap();
        std::fs::create_dir(dir.path().join("sub")).unwrap();
        assert_eq!(&**read(Some(dir.path()), "token").unwrap(), b"s3cret\n");
        for name in [
            "../token",
            "/etc/passwd",
            "",
            ".",
            "..",
            "sub/x",
            "a\0b",
            ".token",
        ] {
            assert_eq!(
                read(Some(dir.path()), name).unwrap_err(),
                SecretError::Denied,
                "{name:?}"
            );
        }
        assert_eq!(
            read(Some(dir.path()), "sub").unwrap_err(),
            SecretError::Malformed
        );
        assert_eq!(
            read(Some(dir.path()), "none").unwrap_err(),
            SecretError::Missing
        );
        assert_eq!(read(None, "token").unwrap_err(), SecretError::Missing);
        std::fs::write(dir.path().join("huge"), vec![b'a'; 70_000]).unwrap();
        assert_eq!(
            read(Some(dir.path()), "huge").unwrap_err(),
            SecretError::Malformed
        );
    }

    #[test]
    fn macs_are_those_of_the_standard() {
        // RFC 4231, test case 2.
        let key = |text: &str, encoding| {
            SecretKey::decode(&Zeroizing::new(text.as_bytes().to_vec()), encoding)
        };
        let expected = "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843";
        let message = b"what do ya want for nothing?";
        for (text, encoding) in [
            ("Jefe\n", Encoding::Raw),
            ("SmVmZQ==", Encoding::Base64),
            ("4a656665\n", Encoding::Hex),
        ] {
            assert_eq!(
                hex::encode(key(text, encoding).unwrap().mac(message)),
                expected
            );
        }
        let derived = key("fe", Encoding::Raw).unwrap().derive(b"Je", message);
        let outer = SecretKey(Zeroizing::new(hex::decode(expected).unwrap()));
        assert_eq!(derived.mac(b"x"), outer.mac(b"x"));
        assert!(key("zz", Encoding::Hex).is_err());
    }
}
