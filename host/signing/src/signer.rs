//! Our own key: loaded once, checked by the clients' rules, used once a release.

use crate::certificate::{Certificate, Entity, Secrets, assemble, key_id};
use crate::error::{Error, guarded};
use crate::facts::{Facts, KeyFacts};
use crate::packets::{Reading, read_key};
use crate::public::{PublicKey, bound_text, verify_at};
use crate::{CLOCK_SKEW_SECONDS, floor, generate, unix_now};
use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use pgp::composed::DetachedSignature;
use pgp::crypto::hash::HashAlgorithm;
use pgp::packet::{
    SecretKey, SecretSubkey, Signature, SignatureConfig, SignatureType, Subpacket, SubpacketData,
};
use pgp::ser::Serialize as _;
use pgp::types::{
    KeyDetails, Password, S2kParams, SecretParams, SigningKey, StringToKey, Timestamp,
};
use std::fmt;
use zeroize::Zeroizing;

const WHAT: &str = "private key";

/// The most memory that unlocking may ask for, as the exponent of its KiB: 1 GiB.
const MAX_ARGON2_EXPONENT: u8 = 20;

/// Base64 as people paste it: padded or not.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// A private key that signs releases. Its secret part is wiped when dropped and shows nowhere.
pub struct Signer {
    secret: Secret,
    facts: KeyFacts,
    hash: HashAlgorithm,
    public: PublicKey,
}

/// The part that signs, unlocked.
enum Secret {
    Primary(Box<SecretKey>),
    Subkey(Box<SecretSubkey>),
}

impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Signer")
            .field("public", &self.public)
            .finish_non_exhaustive()
    }
}

impl Signer {
    /// Makes a version 4 `Ed25519Legacy` key, dated `created_at` (Unix seconds), and returns it
    /// with the armored private key to store.
    ///
    /// # Errors
    /// [`Error::Malformed`] for a user id that is empty, longer than 256 bytes or has control
    /// characters; [`Error::Internal`] when the system has no randomness.
    pub fn generate_ed25519(
        user_id: &str,
        created_at: u64,
    ) -> Result<(Self, Zeroizing<Vec<u8>>), Error> {
        let armored = guarded("generate a signing key", || {
            generate::armored(user_id, created_at)
        })?;
        let signer = Self::load_at(&armored, None, created_at)?;
        Ok((signer, armored))
    }

    /// Loads the key of a file, armored or binary, and checks it with the rules that clients
    /// apply: it signs a probe, which the public part that clients will get must verify.
    ///
    /// The primary key signs when it may and its secret is there, else the newest subkey that may.
    ///
    /// # Errors
    /// [`Error::Malformed`] and [`Error::TooLarge`] for a file that is not exactly one private
    /// key; [`Error::PassphraseMissing`], [`Error::PassphraseWrong`]; [`Error::Unusable`] with
    /// the reason for everything else.
    pub fn load(private_key: &[u8], passphrase: Option<&str>) -> Result<Self, Error> {
        Self::load_at(private_key, passphrase, unix_now())
    }

    /// As [`Self::load`], at a time given in Unix seconds.
    ///
    /// # Errors
    /// As there.
    pub fn load_at(private_key: &[u8], passphrase: Option<&str>, now: u64) -> Result<Self, Error> {
        guarded("load a signing key", || {
            let entity = read_private(private_key)?;
            let signer = Self::from_entity(entity, passphrase, now)?;
            signer.probe(now)?;
            Ok(signer)
        })
    }

    /// Loads the key from the original's environment (opendepot.md 3.7): a key id, the armored
    /// public key and the armored private key in base64, without passphrase.
    ///
    /// # Errors
    /// As [`Self::load`]; [`Error::Mismatch`] when the key id or the public key is another's.
    pub fn from_original(
        expected_key_id: &str,
        ascii_armor: &str,
        private_key_base64: &str,
    ) -> Result<Self, Error> {
        let text: Zeroizing<String> = Zeroizing::new(
            private_key_base64
                .chars()
                .filter(|c| !c.is_ascii_whitespace())
                .collect(),
        );
        let private = BASE64
            .decode(text.as_bytes())
            .map(Zeroizing::new)
            .map_err(|_| Error::malformed(WHAT, "it is not base64"))?;
        let mut signer = Self::load(&private, None)?;
        let mismatch = |public: &str| Error::Mismatch {
            public: crate::error::shorten(public),
            private: signer.public.key_id.clone(),
        };
        if !signer.public.is_named(expected_key_id) {
            return Err(mismatch(expected_key_id));
        }
        let public = PublicKey::parse(ascii_armor.as_bytes())?;
        if public.fingerprint != signer.public.fingerprint {
            return Err(mismatch(&public.key_id));
        }
        // The operator's public part is what clients get: it must do on its own.
        require_alive(&public.key_id, &public.facts.primary, unix_now())?;
        signer.public = public;
        guarded("load a signing key", || signer.probe(unix_now()))?;
        Ok(signer)
    }

    /// Signs `text` with a binary detached version 4 signature that says it was made at `at`
    /// (Unix seconds), but not before the key.
    ///
    /// Give the time of publishing, so that a repeated attempt says the same and a wrong clock
    /// shows. RSA takes about 10 ms: call it on the blocking pool.
    ///
    /// # Errors
    /// [`Error::Unusable`] when the key is over at `at`; [`Error::TooLarge`];
    /// [`Error::BadSignature`] when the fresh signature does not verify, which would be a fault of
    /// the machine.
    pub fn sign(&self, text: &[u8], at: u64) -> Result<Vec<u8>, Error> {
        bound_text(text)?;
        let primary = &self.public.facts.primary;
        let at = at.max(self.facts.created_at);
        // A key that was renewed after `at` may still sign for then.
        let judged_at = at.max(primary.bound_from).max(self.facts.bound_from);
        require_alive(&self.public.key_id, primary, judged_at)?;
        require_alive(&self.public.key_id, &self.facts, judged_at)?;
        let made_at = u32::try_from(at)
            .map(Timestamp::from_secs)
            .map_err(|_| Error::malformed("signing time", "it is after 2106"))?;
        guarded("sign", || {
            let signature = self
                .secret
                .sign(self.hash, text, made_at)
                .and_then(|signature| DetachedSignature::new(signature).to_bytes())
                .map_err(|error| Error::internal("sign", error))?;
            // A faulty signature may give the key away, so it never leaves.
            verify_at(
                std::slice::from_ref(&self.public),
                text,
                &signature,
                judged_at,
            )?;
            Ok(signature)
        })
    }

    /// The public part, as clients get it.
    #[must_use]
    pub const fn public_key(&self) -> &PublicKey {
        &self.public
    }

    fn from_entity(entity: Entity, passphrase: Option<&str>, now: u64) -> Result<Self, Error> {
        let Entity {
            certificate,
            secrets,
        } = entity;
        let id = key_id(&certificate.primary);
        floor::require_strong_keys(&certificate)?;
        let facts = Facts::of(WHAT, &certificate)?;
        floor::require_strong_hashes(&id, &facts)?;
        require_alive(&id, &facts.primary, now)?;
        let (mut secret, facts) = choose(&id, secrets, &certificate, &facts, now)?;
        secret.unlock(&id, passphrase)?;
        let hash = floor::signing_hash(secret.public_params());
        let public = PublicKey::from_certificate(certificate)?;
        // What clients will read is the armor, so that is what counts.
        let public = PublicKey::parse(public.ascii_armor.as_bytes())?;
        Ok(Self {
            secret,
            facts,
            hash,
            public,
        })
    }

    fn probe(&self, now: u64) -> Result<(), Error> {
        self.sign(b"opendepot signing key self-check\n", now)
            .map(|_| ())
            .map_err(|error| match error {
                Error::Internal { reason, .. } | Error::BadSignature { reason, .. } => {
                    Error::unusable(&self.public.key_id, format!("it cannot sign: {reason}"))
                }
                Error::UnknownIssuer { .. } => Error::unusable(
                    &self.public.key_id,
                    "its public part does not cover the part that signs",
                ),
                other => other,
            })
    }
}

impl Secret {
    fn params(&self) -> &SecretParams {
        match self {
            Self::Primary(key) => key.secret_params(),
            Self::Subkey(key) => key.secret_params(),
        }
    }

    fn public_params(&self) -> &pgp::types::PublicParams {
        match self {
            Self::Primary(key) => key.public_params(),
            Self::Subkey(key) => key.public_params(),
        }
    }

    /// Removes the passphrase for good, so that signing needs none.
    fn unlock(&mut self, id: &str, passphrase: Option<&str>) -> Result<(), Error> {
        let SecretParams::Encrypted(_) = self.params() else {
            return Ok(());
        };
        if let Some(StringToKey::Argon2 { m_enc, .. }) = string_to_key(self.params())
            && *m_enc > MAX_ARGON2_EXPONENT
        {
            return Err(Error::unusable(id, "unlocking it takes more than 1 gib"));
        }
        let password = passphrase
            .map(Password::from)
            .ok_or_else(|| Error::PassphraseMissing {
                key_id: id.to_owned(),
            })?;
        let unlocked = match self {
            Self::Primary(key) => key.remove_password(&password),
            Self::Subkey(key) => key.remove_password(&password),
        };
        unlocked.map_err(|_| Error::PassphraseWrong {
            key_id: id.to_owned(),
        })
    }

    fn sign(
        &self,
        hash: HashAlgorithm,
        text: &[u8],
        at: Timestamp,
    ) -> pgp::errors::Result<Signature> {
        match self {
            Self::Primary(key) => sign_with(&**key, hash, text, at),
            Self::Subkey(key) => sign_with(&**key, hash, text, at),
        }
    }
}

fn sign_with(
    key: &impl SigningKey,
    hash: HashAlgorithm,
    text: &[u8],
    at: Timestamp,
) -> pgp::errors::Result<Signature> {
    let mut config = SignatureConfig::v4(SignatureType::Binary, key.algorithm(), hash);
    config.hashed_subpackets = vec![
        Subpacket::regular(SubpacketData::SignatureCreationTime(at))?,
        Subpacket::regular(SubpacketData::IssuerFingerprint(key.fingerprint()))?,
    ];
    // Older verifiers look for the issuer here.
    config.unhashed_subpackets = vec![Subpacket::regular(SubpacketData::IssuerKeyId(
        key.legacy_key_id(),
    ))?];
    config.sign(key, &Password::empty(), text)
}

fn read_private(input: &[u8]) -> Result<Entity, Error> {
    let items = read_key(WHAT, input, Reading::Strict)?;
    let mut entities = assemble(WHAT, items)?.into_iter();
    let (Some(entity), None) = (entities.next(), entities.next()) else {
        return Err(Error::malformed(WHAT, "it must be exactly one key"));
    };
    if entity.secrets.primary.is_none() {
        return Err(Error::malformed(WHAT, "it is a public key"));
    }
    Ok(entity)
}

/// Picks the part that signs.
fn choose(
    id: &str,
    secrets: Secrets,
    certificate: &Certificate,
    facts: &Facts,
    now: u64,
) -> Result<(Secret, KeyFacts), Error> {
    if facts.primary.may_sign
        && let Some(key) = secrets.primary
        && is_present(key.secret_params())
    {
        return Ok((Secret::Primary(Box::new(key)), facts.primary.clone()));
    }
    let mut candidates: Vec<_> = secrets
        .subkeys
        .into_iter()
        .filter(|key| is_present(key.secret_params()))
        .filter_map(|key| {
            let fingerprint = key.fingerprint();
            let (_, facts) = certificate
                .subkeys
                .iter()
                .zip(&facts.subkeys)
                .find(|(subkey, _)| subkey.key.fingerprint() == fingerprint)?;
            (facts.may_sign && require_alive(id, facts, now).is_ok()).then(|| (key, facts.clone()))
        })
        .collect();
    candidates.sort_by_key(|(_, facts)| facts.created_at);
    candidates
        .pop()
        .map(|(key, facts)| (Secret::Subkey(Box::new(key)), facts))
        .ok_or_else(|| Error::unusable(id, "no part of it may and can sign"))
}

/// Whether the secret is in the file: GnuPG leaves a stub where it was taken out.
fn is_present(params: &SecretParams) -> bool {
    !matches!(
        string_to_key(params),
        Some(StringToKey::Private { .. } | StringToKey::Other { .. })
    )
}

fn string_to_key(params: &SecretParams) -> Option<&StringToKey> {
    let SecretParams::Encrypted(locked) = params else {
        return None;
    };
    match locked.string_to_key_params() {
        S2kParams::Aead { s2k, .. }
        | S2kParams::Cfb { s2k, .. }
        | S2kParams::MalleableCfb { s2k, .. } => Some(s2k),
        S2kParams::Unprotected | S2kParams::LegacyCfb { .. } => None,
    }
}

/// Refuses a key that clients would not accept at `now`.
fn require_alive(id: &str, facts: &KeyFacts, now: u64) -> Result<(), Error> {
    let reason = if facts.is_revoked {
        "it is revoked"
    } else if facts.is_expired(now) {
        "it is expired"
    } else if facts.created_at > now.saturating_add(CLOCK_SKEW_SECONDS) {
        "it was made in the future"
    } else if !facts.is_bound(now) {
        "its self-signature is not valid at this time"
    } else {
        return Ok(());
    };
    Err(Error::unusable(id, reason))
}

#[cfg(test)]
#[path = "signer_tests.rs"]
mod tests;
