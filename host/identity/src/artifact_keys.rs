//! The keys behind capability URLs and status seals.
//!
//! A file holds one key a line: 32 bytes in standard base64. The first key mints and seals, all
//! of them verify; so a key is rotated by putting a new one first and removing the old one when
//! nothing made with it is left. Lines that start with `#` and empty lines are ignored.

use crate::error::Error;
use crate::file;
use crate::{MAX_KEY_FILE_BYTES, MAX_KEYS};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use hmac::{Hmac, Mac};
use opendepot_domain::Capability;
use opendepot_domain::canonical::Canonical;
use rand::TryRngCore as _;
use std::fmt;
use std::path::Path;
use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

type HmacSha256 = Hmac<sha2::Sha256>;

const KEY_BYTES: usize = 32;
/// The block of SHA-256: a shorter key is padded with zeros to it (RFC 2104 section 2).
const BLOCK_BYTES: usize = 64;

/// The loaded keys. `Debug` shows their ids only.
pub struct ArtifactKeys {
    first: Key,
    older: Vec<Key>,
}

/// One key, split by purpose so that a seal can never pass for a capability.
struct Key {
    id: String,
    capability: Zeroizing<[u8; KEY_BYTES]>,
    seal: Zeroizing<[u8; KEY_BYTES]>,
}

/// A MAC over a status, as `status.seal` carries it (contract.md 3).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seal {
    /// The key's id: eight hex digits.
    pub key_id: String,
    /// HMAC-SHA256: 64 lower-case hex digits.
    pub mac: String,
}

/// What a seal is worth.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SealState {
    /// Made by the first key.
    Current,
    /// Made by a key that is being rotated out: valid, and to be made again.
    OlderKey,
    /// Not made by any key over this input.
    Invalid,
}

impl fmt::Debug for ArtifactKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ArtifactKeys")
            .field(&self.all().map(|key| key.id.as_str()).collect::<Vec<_>>())
            .finish()
    }
}

impl ArtifactKeys {
    /// Reads the key file.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::Io`]; [`Error::Malformed`] for a line that is not a key, for
    /// no key, more than [`MAX_KEYS`], or one key twice. The line's number is named, never its text.
    pub fn load(path: &Path) -> Result<Self, Error> {
        let bytes = file::read(path, MAX_KEY_FILE_BYTES)?;
        file::warn_if_exposed(path, true);
        let text =
            std::str::from_utf8(&bytes).map_err(|_| Error::malformed(path, "it is not text"))?;
        Self::parse(path, text)
    }

    /// Makes a file with one new key, mode 0600.
    ///
    /// # Errors
    /// [`Error::Exists`], [`Error::Io`]; [`Error::Internal`] when the system has no randomness.
    pub fn generate(path: &Path) -> Result<Self, Error> {
        let mut secret = Zeroizing::new([0; KEY_BYTES]);
        rand::rngs::OsRng
            .try_fill_bytes(&mut *secret)
            .map_err(|error| Error::Internal {
                what: "generate an artifact key",
                reason: error.to_string(),
            })?;
        let encoded = Zeroizing::new(STANDARD.encode(secret.as_slice()));
        let text = Zeroizing::new(format!(
            "# OpenDepot artifact keys: the first mints, all verify.\n{}\n",
            *encoded
        ));
        file::create(path, text.as_bytes())?;
        Self::load(path)
    }

    /// Reads the key file, or makes it when it does not exist; of several processes that try at
    /// the same time one makes it and all read it.
    ///
    /// # Errors
    /// As [`Self::load`] and [`Self::generate`].
    pub fn load_or_generate(path: &Path) -> Result<Self, Error> {
        match Self::load(path) {
            Err(Error::NotFound { .. }) => match Self::generate(path) {
                Err(Error::Exists { .. }) => Self::load(path),
                other => other,
            },
            other => other,
        }
    }

    fn parse(path: &Path, text: &str) -> Result<Self, Error> {
        let mut keys: Vec<Key> = Vec::new();
        for (index, line) in text.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let refuse =
                |reason: &str| Error::malformed(path, format!("line {}: {reason}", index + 1));
            if keys.len() == MAX_KEYS {
                return Err(refuse("there are more than 16 keys"));
            }
            let bytes = STANDARD.decode(line).map(Zeroizing::new);
            let key = bytes
                .ok()
                .and_then(|bytes| {
                    Some(Key::new(bytes.first_chunk()?)).filter(|_| bytes.len() == KEY_BYTES)
                })
                .ok_or_else(|| refuse("it is not 32 bytes in base64"))?;
            if keys.iter().any(|other| other.id == key.id) {
                return Err(refuse("the key stands there twice"));
            }
            keys.push(key);
        }
        let mut keys = keys.into_iter();
        let first = keys
            .next()
            .ok_or_else(|| Error::malformed(path, "it holds no key"))?;
        Ok(Self {
            first,
            older: keys.collect(),
        })
    }

    fn all(&self) -> impl Iterator<Item = &Key> {
        std::iter::once(&self.first).chain(&self.older)
    }

    /// The id of the key that mints.
    #[must_use]
    pub fn key_id(&self) -> &str {
        &self.first.id
    }

    /// Mints the `signature` of a capability URL: the key's id, a dot and the MAC in base64url,
    /// 52 characters that no URL needs to escape.
    #[must_use]
    pub fn mint(&self, capability: &Capability<'_>) -> String {
        self.first.capability_text(capability)
    }

    /// Whether `signature` is what [`Self::mint`] answers, or would have answered under an older
    /// key. Only the exact text passes, compared in constant time; whether the capability has
    /// expired is the caller's to check.
    #[must_use]
    pub fn verify(&self, capability: &Capability<'_>, signature: &str) -> bool {
        let Some((id, _)) = signature.split_once('.') else {
            return false;
        };
        // The id is public: it stands in every URL.
        self.all().find(|key| key.id == id).is_some_and(|key| {
            let expected = Zeroizing::new(key.capability_text(capability));
            expected.as_bytes().ct_eq(signature.as_bytes()).into()
        })
    }

    /// Seals `input` with the first key.
    #[must_use]
    pub fn seal(&self, input: &Canonical) -> Seal {
        Seal {
            key_id: self.first.id.clone(),
            mac: self.first.seal_text(input),
        }
    }

    /// What the seal `key_id`, `mac` over `input` is worth.
    #[must_use]
    pub fn check_seal(&self, input: &Canonical, key_id: &str, mac: &str) -> SealState {
        let Some((index, key)) = self.all().enumerate().find(|(_, key)| key.id == key_id) else {
            return SealState::Invalid;
        };
        let expected = Zeroizing::new(key.seal_text(input));
        if !bool::from(expected.as_bytes().ct_eq(mac.as_bytes())) {
            SealState::Invalid
        } else if index == 0 {
            SealState::Current
        } else {
            SealState::OlderKey
        }
    }
}

impl Key {
    fn new(secret: &[u8; KEY_BYTES]) -> Self {
        let derive = |label: &str| -> Zeroizing<[u8; KEY_BYTES]> {
            Zeroizing::new(hmac(secret, Canonical::new(label).as_bytes()))
        };
        let name = derive("opendepot-artifact-key-id-v1");
        Self {
            id: hex::encode(name.first_chunk::<4>().unwrap_or(&[0; 4])),
            capability: derive("opendepot-artifact-key-capability-v1"),
            seal: derive("opendepot-artifact-key-seal-v1"),
        }
    }

    fn capability_text(&self, capability: &Capability<'_>) -> String {
        let mac = hmac(&self.capability, capability.input().as_bytes());
        format!("{}.{}", self.id, URL_SAFE_NO_PAD.encode(mac))
    }

    fn seal_text(&self, input: &Canonical) -> String {
        hex::encode(hmac(&self.seal, input.as_bytes()))
    }
}

fn hmac(key: &[u8; KEY_BYTES], input: &[u8]) -> [u8; 32] {
    let mut block = Zeroizing::new([0; BLOCK_BYTES]);
    for (to, from) in block.iter_mut().zip(key) {
        *to = *from;
    }
    let mut mac = <HmacSha256 as Mac>::new((&*block).into());
    mac.update(input);
    mac.finalize().into_bytes().into()
}

#[cfg(test)]
#[path = "artifact_keys_tests.rs"]
mod tests;
