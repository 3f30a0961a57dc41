//! Content digests: SHA-256 and the directory hash `h1:` that lock files carry.

use crate::error::InvalidValue;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use sha2::Digest as _;
use std::fmt;

/// A SHA-256 digest. `Display` is 64 lower-case hex digits, the wire form of every protocol here.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Sha256([u8; 32]);

impl Sha256 {
    /// Hashes bytes that are already in memory.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        Self(sha2::Sha256::digest(bytes).into())
    }

    /// Finishes a running hash.
    #[must_use]
    pub fn finish(hasher: sha2::Sha256) -> Self {
        Self(hasher.finalize().into())
    }

    /// Wraps raw digest bytes.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The raw digest.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// Parses 64 hex digits of either case.
    ///
    /// # Errors
    /// [`InvalidValue`] for any other text.
    pub fn from_hex(text: &str) -> Result<Self, InvalidValue> {
        let mut bytes = [0; 32];
        hex::decode_to_slice(text, &mut bytes)
            .map_err(|_| InvalidValue::new("SHA-256", text, "64 hex digits"))?;
        Ok(Self(bytes))
    }

    /// Parses standard base64, the form of `status.checksum` and `fileChecksum` (OD-2.5).
    ///
    /// # Errors
    /// [`InvalidValue`] for any other text.
    pub fn from_base64(text: &str) -> Result<Self, InvalidValue> {
        STANDARD
            .decode(text)
            .ok()
            .and_then(|bytes| bytes.try_into().ok())
            .map(Self)
            .ok_or_else(|| InvalidValue::new("SHA-256", text, "32 bytes in standard base64"))
    }

    /// Standard base64 with padding.
    #[must_use]
    pub fn to_base64(&self) -> String {
        STANDARD.encode(self.0)
    }
}

impl fmt::Display for Sha256 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for Sha256 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl TryFrom<String> for Sha256 {
    type Error = InvalidValue;
    fn try_from(text: String) -> Result<Self, InvalidValue> {
        Self::from_hex(&text)
    }
}

impl From<Sha256> for String {
    fn from(digest: Sha256) -> Self {
        digest.to_string()
    }
}

/// The `h1:` hash of lock files: SHA-256 over the sorted lines `<hex sha256>  <name>\n` of an
/// archive's files (protocols.md 1.7).
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct H1(String);

impl H1 {
    /// Hashes the files of an archive; the order given does not matter.
    #[must_use]
    pub fn of_files<'a>(files: impl IntoIterator<Item = (&'a str, Sha256)>) -> Self {
        let mut files: Vec<_> = files.into_iter().collect();
        files.sort_unstable_by(|a, b| a.0.cmp(b.0));
        let mut hasher = sha2::Sha256::new();
        for (name, digest) in files {
            hasher.update(format!("{digest}  {name}\n"));
        }
        Self(format!("h1:{}", Sha256::finish(hasher).to_base64()))
    }

    /// The text with its `h1:` prefix.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for H1 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for H1 {
    type Error = InvalidValue;
    fn try_from(text: String) -> Result<Self, InvalidValue> {
        match text.strip_prefix("h1:").map(Sha256::from_base64) {
            Some(Ok(_)) => Ok(Self(text)),
            _ => Err(InvalidValue::new(
                "directory hash",
                &text,
                "`h1:` and a SHA-256 in base64",
            )),
        }
    }
}

impl From<H1> for String {
    fn from(hash: H1) -> Self {
        hash.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn upper_case_hex_is_accepted_and_printed_lower() {
        let digest = Sha256::of(b"x");
        assert_eq!(
            Sha256::from_hex(&digest.to_string().to_uppercase()).unwrap(),
            digest
        );
        assert!(Sha256::from_hex(&digest.to_string()[1..]).is_err());
        assert_eq!(Sha256::from_base64(&digest.to_base64()).unwrap(), digest);
    }

    #[test]
    fn h1_of_one_known_file() {
        // golang.org/x/mod/sumdb/dirhash.Hash1 over the single file `a` with content `x`.
        let hash = H1::of_files([("a", Sha256::of(b"x"))]);
        let line = format!("{}  a\n", Sha256::of(b"x"));
        assert_eq!(
            hash.as_str(),
            format!("h1:{}", Sha256::of(line.as_bytes()).to_base64())
        );
    }
}
