//! Public keys, and the check of detached signatures.

use crate::certificate::{Certificate, assemble, is_issued_by, key_id};
use crate::error::{Error, guarded};
use crate::facts::{Facts, KeyFacts, made_at, refuse_unknown_critical, signature_expiry};
use crate::packets::{Item, Reading, read_key, read_packets};
use crate::{CLOCK_SKEW_SECONDS, MAX_SIGNATURE_BYTES, MAX_TEXT_BYTES, floor, unix_now};
use pgp::packet::{Packet, Signature, SignatureType, SignatureVersion};
use pgp::types::{KeyDetails, VerifyingKey};
use std::fmt;
use std::sync::Arc;

const WHAT: &str = "public key";

/// A public key that clients can decode.
#[derive(Clone)]
pub struct PublicKey {
    /// The primary key's id, 16 upper-case hex digits.
    pub key_id: String,
    /// The primary key's fingerprint, 40 upper-case hex digits: the safe thing to pin.
    pub fingerprint: String,
    /// The key for clients, written by us.
    pub ascii_armor: String,
    /// When the key was made, Unix seconds.
    pub created_at: u64,
    /// When the primary key ends, Unix seconds; `None` for never. Clients only warn.
    pub expires_at: Option<u64>,
    /// Whether the key revoked itself. Nothing verifies with it any more.
    pub is_revoked: bool,
    pub(crate) certificate: Arc<Certificate>,
    pub(crate) facts: Arc<Facts>,
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PublicKey")
            .field("fingerprint", &self.fingerprint)
            .field("expires_at", &self.expires_at)
            .field("is_revoked", &self.is_revoked)
            .finish_non_exhaustive()
    }
}

impl PublicKey {
    /// Reads one public key, armored or binary, that will be handed to clients: strict, because
    /// one that some client cannot decode spoils every install (reliability.md 5).
    ///
    /// # Errors
    /// [`Error::TooLarge`], or [`Error::Malformed`] for anything but one version 4 public key
    /// with a valid self-signature and an algorithm that all clients know; a private key too.
    pub fn parse(armored_or_binary: &[u8]) -> Result<Self, Error> {
        guarded("read a public key", || {
            let items = read_key(WHAT, armored_or_binary, Reading::Strict)?;
            let mut entities = assemble(WHAT, items)?.into_iter();
            let (Some(entity), None) = (entities.next(), entities.next()) else {
                return Err(Error::malformed(WHAT, "it must be exactly one key"));
            };
            if entity.secrets.primary.is_some() || !entity.secrets.subkeys.is_empty() {
                return Err(Error::malformed(WHAT, "it is a private key"));
            }
            Self::from_certificate(entity.certificate)
        })
    }

    /// Reads upstream's keys as clients read them: the first armored block, one or more keys,
    /// unreadable ones skipped.
    ///
    /// # Errors
    /// [`Error::TooLarge`], or [`Error::Malformed`] when no key is left.
    pub fn parse_upstream(armored_or_binary: &[u8]) -> Result<Vec<Self>, Error> {
        guarded("read upstream's keys", || {
            let items = read_key(WHAT, armored_or_binary, Reading::AsClients)?;
            let mut keys = Vec::new();
            let mut last_error = Error::malformed(WHAT, "it holds no key");
            for entity in assemble(WHAT, items)? {
                match Self::from_certificate(entity.certificate) {
                    Ok(key) => keys.push(key),
                    Err(error) => last_error = error,
                }
            }
            if keys.is_empty() {
                return Err(last_error);
            }
            Ok(keys)
        })
    }

    pub(crate) fn from_certificate(certificate: Certificate) -> Result<Self, Error> {
        floor::require_decodable(WHAT, &certificate)?;
        let facts = Facts::of(WHAT, &certificate)?;
        Ok(Self {
            key_id: key_id(&certificate.primary),
            fingerprint: hex::encode_upper(certificate.primary.fingerprint()),
            ascii_armor: certificate.to_armor()?,
            created_at: facts.primary.created_at,
            expires_at: facts.primary.expires_at,
            is_revoked: facts.primary.is_revoked,
            certificate: Arc::new(certificate),
            facts: Arc::new(facts),
        })
    }

    /// Whether the primary key is over at `now`.
    #[must_use]
    pub fn is_expired(&self, now: u64) -> bool {
        self.facts.primary.is_expired(now)
    }

    /// Checks a binary detached signature as [`verify_detached`] does.
    ///
    /// # Errors
    /// As there.
    pub fn verify(&self, text: &[u8], signature: &[u8]) -> Result<(), Error> {
        verify_detached(std::slice::from_ref(self), text, signature).map(|_| ())
    }

    /// Whether `id`, as people write it, names this key or one of its signing subkeys: at least
    /// the last eight hex digits of a fingerprint, of either case, with or without `0x`.
    ///
    /// Other subkeys do not count: anybody may adopt somebody else's key as one of those, because
    /// only a signing subkey has to agree.
    #[must_use]
    pub fn is_named(&self, id: &str) -> bool {
        let id = id.trim().to_ascii_uppercase();
        let id = id.strip_prefix("0X").unwrap_or(&id);
        if id.len() < 8 || !id.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return false;
        }
        let mut subkeys = self
            .certificate
            .subkeys
            .iter()
            .zip(&self.facts.subkeys)
            .filter(|(_, facts)| facts.may_sign);
        self.fingerprint.ends_with(id)
            || subkeys.any(|(subkey, _)| hex::encode_upper(subkey.key.fingerprint()).ends_with(id))
    }

    /// The key or subkey that `signature` names, if it may sign.
    fn issuer_of(&self, signature: &Signature) -> Option<(&dyn Verifier, &KeyFacts)> {
        let primary = &self.certificate.primary;
        if is_issued_by(signature, primary) && self.facts.primary.may_sign {
            return Some((primary, &self.facts.primary));
        }
        self.certificate
            .subkeys
            .iter()
            .zip(&self.facts.subkeys)
            .find(|(subkey, facts)| facts.may_sign && is_issued_by(signature, &subkey.key))
            .map(|(subkey, facts)| (&subkey.key as &dyn Verifier, facts))
    }
}

/// Makes the library's generic verification callable on keys and subkeys alike.
trait Verifier {
    fn verify(&self, signature: &Signature, text: &[u8]) -> pgp::errors::Result<()>;
}

impl<K: VerifyingKey> Verifier for K {
    fn verify(&self, signature: &Signature, text: &[u8]) -> pgp::errors::Result<()> {
        signature.verify(self, text)
    }
}

/// Checks a binary detached signature over `text` and says which of `keys` made it.
///
/// The clients' rule, older algorithms included: the first signature packet whose issuer is a key
/// or a signing subkey of `keys` decides. An expired key passes, a revoked one does not.
///
/// # Errors
/// [`Error::UnknownIssuer`], [`Error::BadSignature`], [`Error::Revoked`], [`Error::OutOfTime`];
/// [`Error::Malformed`] and [`Error::TooLarge`] for what is not a binary signature.
pub fn verify_detached<'k>(
    keys: &'k [PublicKey],
    text: &[u8],
    signature: &[u8],
) -> Result<&'k PublicKey, Error> {
    guarded("verify a signature", || {
        verify_at(keys, text, signature, unix_now())
    })
}

pub(crate) fn verify_at<'k>(
    keys: &'k [PublicKey],
    text: &[u8],
    signature: &[u8],
    now: u64,
) -> Result<&'k PublicKey, Error> {
    let signatures = read_signatures(signature)?;
    bound_text(text)?;
    for signature in &signatures {
        for key in keys {
            if let Some((verifier, facts)) = key.issuer_of(signature) {
                check(key, verifier, facts, signature, text, now)?;
                return Ok(key);
            }
        }
    }
    Err(Error::UnknownIssuer {
        issuers: issuers(&signatures),
    })
}

/// Refuses a text beyond the limit.
pub(crate) const fn bound_text(text: &[u8]) -> Result<(), Error> {
    if text.len() > MAX_TEXT_BYTES {
        return Err(Error::TooLarge {
            what: "text",
            limit: MAX_TEXT_BYTES,
            unit: "bytes",
        });
    }
    Ok(())
}

fn read_signatures(input: &[u8]) -> Result<Vec<Signature>, Error> {
    const WHAT: &str = "signature";
    if input.len() > MAX_SIGNATURE_BYTES {
        return Err(Error::TooLarge {
            what: WHAT,
            limit: MAX_SIGNATURE_BYTES,
            unit: "bytes",
        });
    }
    if input.starts_with(b"-----BEGIN") {
        return Err(Error::malformed(
            WHAT,
            "it is armored, and clients read binary ones only",
        ));
    }
    let mut signatures = Vec::new();
    for item in read_packets(WHAT, input, Reading::AsClients)? {
        let Item::Packet(packet) = item else { continue };
        let Packet::Signature(signature) = *packet else {
            return Err(Error::malformed(WHAT, "it holds something else as well"));
        };
        if signature.version() == SignatureVersion::V4 {
            signatures.push(signature);
        }
    }
    if signatures.is_empty() {
        return Err(Error::malformed(WHAT, "it is not of version 4"));
    }
    Ok(signatures)
}

fn check(
    key: &PublicKey,
    verifier: &dyn Verifier,
    facts: &KeyFacts,
    signature: &Signature,
    text: &[u8],
    now: u64,
) -> Result<(), Error> {
    let bad = |reason: &str| Error::BadSignature {
        key_id: key.key_id.clone(),
        reason: crate::error::shorten(reason),
    };
    if !matches!(
        signature.typ(),
        Some(SignatureType::Binary | SignatureType::Text)
    ) {
        return Err(bad("it is not a signature over a document"));
    }
    if !signature.hash_alg().is_some_and(floor::is_client_hash) {
        return Err(bad("its hash is not accepted"));
    }
    if verifier.verify(signature, text).is_err() {
        return Err(bad("it does not fit the text"));
    }
    refuse_unknown_critical("signature", signature)?;
    let primary = &key.facts.primary;
    if primary.is_revoked || facts.is_revoked {
        return Err(Error::Revoked {
            key_id: key.key_id.clone(),
        });
    }
    let is_over = signature_expiry(signature).is_some_and(|at| at <= now);
    let is_early = made_at(signature) > now.saturating_add(CLOCK_SKEW_SECONDS);
    if is_over || is_early || !primary.is_bound(now) || !facts.is_bound(now) {
        return Err(Error::OutOfTime {
            key_id: key.key_id.clone(),
        });
    }
    Ok(())
}

fn issuers(signatures: &[Signature]) -> String {
    let mut names: Vec<_> = signatures
        .iter()
        .flat_map(|signature| {
            let ids = signature.issuer_key_id();
            let ids = ids.into_iter().map(hex::encode_upper);
            let fingerprints = signature.issuer_fingerprint().into_iter();
            ids.chain(fingerprints.map(hex::encode_upper))
        })
        .take(4)
        .collect();
    if names.is_empty() {
        names.push("unnamed".to_owned());
    }
    names.join(" ")
}

#[cfg(test)]
#[path = "public_tests.rs"]
mod tests;
