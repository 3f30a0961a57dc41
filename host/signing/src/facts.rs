//! What a key says about itself, verified: capabilities, revocations, times.
//!
//! The rules are those of the clients' verifier (go-crypto): a signature of a key over itself
//! that does not verify makes the whole key undecodable; the newest one counts; among user ids
//! the one with the fewest revocations, then the one marked primary, then the newest speaks for
//! the key; what others signed is ignored.

use crate::certificate::{Certificate, Subkey, User, is_issued_by};
use crate::error::Error;
use crate::{CLOCK_SKEW_SECONDS, MAX_SELF_SIGNATURES};
use pgp::crypto::hash::HashAlgorithm;
use pgp::packet::{Signature, SignatureType, SubpacketData};
use pgp::types::{KeyDetails, Tag};
use std::cmp::Reverse;

const OWN_SIGNATURE: &str = "a signature of the key over itself does not verify";

/// What holds for one primary key or subkey.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct KeyFacts {
    /// Whether its flags allow signatures over data.
    pub(crate) may_sign: bool,
    /// Whether a valid revocation exists, of the key or of what speaks for it.
    pub(crate) is_revoked: bool,
    /// When it was made, Unix seconds.
    pub(crate) created_at: u64,
    /// When it ends, Unix seconds; `None` for never.
    pub(crate) expires_at: Option<u64>,
    /// From when the self-signatures behind all this hold.
    pub(crate) bound_from: u64,
    /// Until when they hold.
    pub(crate) bound_until: Option<u64>,
}

impl KeyFacts {
    /// Whether the self-signatures hold at `now`: clients refuse otherwise.
    pub(crate) fn is_bound(&self, now: u64) -> bool {
        self.bound_from <= now.saturating_add(CLOCK_SKEW_SECONDS)
            && self.bound_until.is_none_or(|until| now < until)
    }

    /// Whether the key is over at `now`: clients warn.
    pub(crate) fn is_expired(&self, now: u64) -> bool {
        self.expires_at.is_some_and(|at| at <= now)
    }
}

/// What holds for a certificate.
#[derive(Clone, Debug)]
pub(crate) struct Facts {
    /// The primary key.
    pub(crate) primary: KeyFacts,
    /// The subkeys, in the certificate's order.
    pub(crate) subkeys: Vec<KeyFacts>,
    /// The hash of the self-signature that speaks for the key.
    pub(crate) self_hash: Option<HashAlgorithm>,
    /// The hashes that the key's owner prefers; empty when it does not say.
    pub(crate) preferred_hashes: Vec<HashAlgorithm>,
}

/// Counts verifications down.
struct Budget(usize);

impl Budget {
    const fn spend(&mut self, what: &'static str) -> Result<(), Error> {
        match self.0.checked_sub(1) {
            Some(left) => {
                self.0 = left;
                Ok(())
            }
            None => Err(Error::TooLarge {
                what,
                limit: MAX_SELF_SIGNATURES,
                unit: "self-signatures",
            }),
        }
    }
}

/// What speaks for a key: a user id's newest self-signature.
struct Voice<'a> {
    signature: &'a Signature,
    num_revocations: usize,
}

impl Facts {
    /// Verifies everything that `certificate` says about itself.
    pub(crate) fn of(what: &'static str, certificate: &Certificate) -> Result<Self, Error> {
        let budget = &mut Budget(MAX_SELF_SIGNATURES);
        for revocation in &certificate.revocations {
            budget.spend(what)?;
            // Clients cannot decode a key with a revocation that is not its own.
            revocation
                .verify_key(&certificate.primary)
                .map_err(|_| Error::malformed(what, OWN_SIGNATURE))?;
        }
        let voice = speaker(what, certificate, budget)?;
        let created_at = seconds(certificate.primary.created_at());
        let primary = KeyFacts {
            may_sign: signing_flag(voice.signature).unwrap_or(true),
            is_revoked: !certificate.revocations.is_empty() || voice.num_revocations > 0,
            created_at,
            expires_at: key_expiry(voice.signature, created_at),
            bound_from: made_at(voice.signature),
            bound_until: signature_expiry(voice.signature),
        };
        let subkeys = certificate
            .subkeys
            .iter()
            .map(|subkey| subkey_facts(what, certificate, subkey, budget))
            .collect::<Result<_, _>>()?;
        Ok(Self {
            primary,
            subkeys,
            self_hash: voice.signature.hash_alg(),
            preferred_hashes: voice.signature.preferred_hash_algs().to_vec(),
        })
    }
}

/// Verifies the user ids and picks the one that speaks for the key.
fn speaker<'a>(
    what: &'static str,
    certificate: &'a Certificate,
    budget: &mut Budget,
) -> Result<Voice<'a>, Error> {
    let mut voices = Vec::new();
    for user in &certificate.users {
        voices.extend(user_voice(what, certificate, user, budget)?);
    }
    let voice = voices
        .into_iter()
        .min_by_key(|voice| {
            (
                voice.num_revocations,
                Reverse(voice.signature.is_primary()),
                Reverse(made_at(voice.signature)),
            )
        })
        .ok_or_else(|| Error::malformed(what, "the key has no user id that it signed itself"))?;
    refuse_unknown_critical(what, voice.signature)?;
    Ok(voice)
}

fn user_voice<'a>(
    what: &'static str,
    certificate: &Certificate,
    user: &'a User,
    budget: &mut Budget,
) -> Result<Option<Voice<'a>>, Error> {
    let mut newest: Option<&Signature> = None;
    let mut num_revocations = 0;
    for signature in &user.signatures {
        if !signature.is_certification() {
            return Err(Error::malformed(
                what,
                "a user id carries a foreign signature type",
            ));
        }
        if !is_issued_by(signature, &certificate.primary) {
            continue;
        }
        budget.spend(what)?;
        signature
            .verify_certification(&certificate.primary, Tag::UserId, &user.id)
            .map_err(|_| Error::malformed(what, OWN_SIGNATURE))?;
        if signature.typ() == Some(SignatureType::CertRevocation) {
            num_revocations += 1;
        } else if newest.is_none_or(|best| made_at(signature) > made_at(best)) {
            newest = Some(signature);
        }
    }
    Ok(newest.map(|signature| Voice {
        signature,
        num_revocations,
    }))
}

fn subkey_facts(
    what: &'static str,
    certificate: &Certificate,
    subkey: &Subkey,
    budget: &mut Budget,
) -> Result<KeyFacts, Error> {
    let mut newest: Option<&Signature> = None;
    let mut is_revoked = false;
    for signature in &subkey.signatures {
        budget.spend(what)?;
        signature
            .verify_subkey_binding(&certificate.primary, &subkey.key)
            .map_err(|_| Error::malformed(what, OWN_SIGNATURE))?;
        if signature.typ() == Some(SignatureType::SubkeyRevocation) {
            is_revoked = true;
            continue;
        }
        // Without the subkey's own consent anyone could adopt somebody else's signing key.
        if signing_flag(signature) == Some(true) {
            budget.spend(what)?;
            signature
                .embedded_signature()
                .ok_or_else(|| Error::malformed(what, "a signing subkey has no back signature"))?
                .verify_primary_key_binding(&subkey.key, &certificate.primary)
                .map_err(|_| Error::malformed(what, OWN_SIGNATURE))?;
        }
        if newest.is_none_or(|best| made_at(signature) > made_at(best)) {
            newest = Some(signature);
        }
    }
    let binding = newest.ok_or_else(|| Error::malformed(what, "a subkey is not bound"))?;
    refuse_unknown_critical(what, binding)?;
    let created_at = seconds(subkey.key.created_at());
    let back_until = binding.embedded_signature().and_then(signature_expiry);
    Ok(KeyFacts {
        may_sign: signing_flag(binding) == Some(true),
        is_revoked,
        created_at,
        expires_at: key_expiry(binding, created_at),
        bound_from: made_at(binding),
        bound_until: [signature_expiry(binding), back_until]
            .into_iter()
            .flatten()
            .min(),
    })
}

/// Refuses a signature that insists on being understood in a way that clients do not know.
pub(crate) fn refuse_unknown_critical(
    what: &'static str,
    signature: &Signature,
) -> Result<(), Error> {
    let is_unknown = signature.config().is_some_and(|config| {
        config.hashed_subpackets().any(|subpacket| {
            subpacket.is_critical
                && matches!(
                    subpacket.data,
                    SubpacketData::Notation(_)
                        | SubpacketData::Experimental(..)
                        | SubpacketData::Other(..)
                )
        })
    });
    if is_unknown {
        return Err(Error::malformed(
            what,
            "a signature has an unknown critical part",
        ));
    }
    Ok(())
}

/// When a signature was made; zero where it does not say.
pub(crate) fn made_at(signature: &Signature) -> u64 {
    signature.created().map_or(0, seconds)
}

/// When a signature ends by itself.
pub(crate) fn signature_expiry(signature: &Signature) -> Option<u64> {
    let life = u64::from(signature.signature_expiration_time()?.as_secs());
    (life > 0).then(|| made_at(signature) + life)
}

fn key_expiry(signature: &Signature, created_at: u64) -> Option<u64> {
    let life = u64::from(signature.key_expiration_time()?.as_secs());
    (life > 0).then_some(created_at + life)
}

/// The signing flag; `None` where the signature carries no flags at all.
fn signing_flag(signature: &Signature) -> Option<bool> {
    signature
        .config()?
        .hashed_subpackets()
        .find_map(|subpacket| match &subpacket.data {
            SubpacketData::KeyFlags(flags) => Some(flags.sign()),
            _ => None,
        })
}

fn seconds(time: pgp::types::Timestamp) -> u64 {
    u64::from(time.as_secs())
}
