//! Test keys and hostile certificates.

use crate::certificate::{Entity, assemble};
use crate::packets::{Reading, read_key};
use pgp::composed::{SignedKeyDetails, SignedPublicSubKey, SignedSecretKey, SignedSecretSubKey};
use pgp::crypto::ed25519::{self, Mode};
use pgp::crypto::eddsa_legacy;
use pgp::crypto::hash::HashAlgorithm;
use pgp::crypto::public_key::PublicKeyAlgorithm;
use pgp::packet::{
    KeyFlags, Notation, PubKeyInner, PublicKey, PublicSubkey, SecretKey, SecretSubkey, Signature,
    SignatureConfig, SignatureType, Subpacket, SubpacketData, UserId,
};
use pgp::ser::Serialize as _;
use pgp::types::{
    Ed25519PublicParams, EddsaLegacyPublicParams, KeyDetails as _, KeyVersion, Password,
    PlainSecretParams, PublicParams, SecretParams, SignedUser, Tag, Timestamp,
};
use std::fs;
use std::path::PathBuf;

/// When the test keys were made: 2025-01-01.
pub(crate) const MADE_AT: u64 = 1_735_689_600;
/// A day later.
pub(crate) const NOW: u64 = MADE_AT + 86_400;

fn data(folder: &str, name: &str) -> Vec<u8> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("testdata")
        .join(folder)
        .join(name);
    fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// A private key of `testdata/private`.
pub(crate) fn private(name: &str) -> Vec<u8> {
    data("private", &format!("{name}.asc"))
}

/// A file of `testdata/upstream`.
pub(crate) fn upstream(name: &str) -> Vec<u8> {
    data("upstream", name)
}

/// The binary form of an armored key.
pub(crate) fn binary(armored: &[u8]) -> Vec<u8> {
    let text = std::str::from_utf8(armored).unwrap();
    let body: String = text
        .lines()
        .skip_while(|line| !line.is_empty())
        .take_while(|line| !line.starts_with('=') && !line.starts_with("-----END"))
        .collect();
    base64::Engine::decode(&base64::engine::general_purpose::STANDARD, body).unwrap()
}

/// What a forged certificate is to get wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Forgery {
    /// Nothing: a key like those that we generate, with a signing subkey.
    None,
    /// A signing subkey that never agreed to belong to this key.
    NoBackSignature,
    /// Somebody else's key as a subkey that does not sign, which needs no consent.
    AdoptedKey,
    /// A self-signature with a critical notation that nobody knows.
    CriticalNotation,
    /// A user id that was revoked.
    RevokedUser,
    /// A self-signature over another user id.
    OtherUser,
    /// No user id.
    NoUser,
    /// A self-signature that ends an hour after it was made.
    ShortSelfSignature,
    /// Far more self-signatures than anyone needs.
    ManySelfSignatures,
    /// The new algorithm number.
    NewEd25519,
    /// Version 6.
    Version6,
}

fn secret(seed: u8, forgery: Forgery) -> SecretKey {
    let at = Timestamp::from_secs(u32::try_from(MADE_AT).unwrap());
    let is_new = matches!(forgery, Forgery::NewEd25519 | Forgery::Version6);
    let version = if forgery == Forgery::Version6 {
        KeyVersion::V6
    } else {
        KeyVersion::V4
    };
    let (algorithm, public, secret) = if is_new {
        let key = ed25519::SecretKey::try_from_bytes([seed; 32], Mode::Ed25519).unwrap();
        let public = PublicParams::Ed25519(Ed25519PublicParams::from(&key));
        (
            PublicKeyAlgorithm::Ed25519,
            public,
            PlainSecretParams::Ed25519(key),
        )
    } else {
        let key = ed25519::SecretKey::try_from_bytes([seed; 32], Mode::EdDSALegacy).unwrap();
        let key = eddsa_legacy::SecretKey::Ed25519(key);
        let public = PublicParams::EdDSALegacy(EddsaLegacyPublicParams::try_from(&key).unwrap());
        (
            PublicKeyAlgorithm::EdDSALegacy,
            public,
            PlainSecretParams::EdDSALegacy(key),
        )
    };
    let inner = PubKeyInner::new(version, algorithm, at, None, public).unwrap();
    SecretKey::new(
        PublicKey::from_inner(inner).unwrap(),
        SecretParams::Plain(secret),
    )
    .unwrap()
}

fn subkey(seed: u8) -> SecretSubkey {
    let key = ed25519::SecretKey::try_from_bytes([seed; 32], Mode::EdDSALegacy).unwrap();
    let key = eddsa_legacy::SecretKey::Ed25519(key);
    let public = PublicParams::EdDSALegacy(EddsaLegacyPublicParams::try_from(&key).unwrap());
    let at = Timestamp::from_secs(u32::try_from(MADE_AT).unwrap());
    let inner = PubKeyInner::new(
        KeyVersion::V4,
        PublicKeyAlgorithm::EdDSALegacy,
        at,
        None,
        public,
    )
    .unwrap();
    let params = SecretParams::Plain(PlainSecretParams::EdDSALegacy(key));
    SecretSubkey::new(PublicSubkey::from_inner(inner).unwrap(), params).unwrap()
}

fn config(key: &SecretKey, kind: SignatureType, at: u64) -> SignatureConfig {
    let hash = HashAlgorithm::Sha256;
    let mut config = match key.version() {
        KeyVersion::V6 => SignatureConfig::v6_with_salt(kind, key.algorithm(), hash, vec![7; 16]),
        _ => SignatureConfig::v4(kind, key.algorithm(), hash),
    };
    let at = Timestamp::from_secs(u32::try_from(at).unwrap());
    let mut flags = KeyFlags::default();
    flags.set_certify(kind != SignatureType::SubkeyBinding);
    flags.set_sign(true);
    config.hashed_subpackets = vec![
        Subpacket::regular(SubpacketData::SignatureCreationTime(at)).unwrap(),
        Subpacket::regular(SubpacketData::IssuerFingerprint(key.fingerprint())).unwrap(),
        Subpacket::regular(SubpacketData::KeyFlags(flags)).unwrap(),
    ];
    config
}

/// A private key, binary, that is wrong in one way.
pub(crate) fn forged(forgery: Forgery) -> Vec<u8> {
    let key = secret(1, forgery);
    let public = key.public_key().clone();
    let password = Password::empty();
    let user = UserId::from_str(pgp::types::PacketHeaderVersion::default(), "forged").unwrap();
    let other = UserId::from_str(pgp::types::PacketHeaderVersion::default(), "other").unwrap();
    let signed_user = if forgery == Forgery::OtherUser {
        &other
    } else {
        &user
    };

    let certify = |kind, at, extra: Vec<Subpacket>| -> Signature {
        let mut config = config(&key, kind, at);
        config.hashed_subpackets.extend(extra);
        config
            .sign_certification(&key, &public, &password, Tag::UserId, signed_user)
            .unwrap()
    };
    let extra = match forgery {
        Forgery::CriticalNotation => vec![
            Subpacket::critical(SubpacketData::Notation(Notation {
                readable: true,
                name: "obey@example.com".into(),
                value: "x".into(),
            }))
            .unwrap(),
        ],
        Forgery::ShortSelfSignature => vec![
            Subpacket::regular(SubpacketData::SignatureExpirationTime(
                pgp::types::Duration::from_secs(3600),
            ))
            .unwrap(),
        ],
        _ => Vec::new(),
    };
    let mut signatures = vec![certify(SignatureType::CertPositive, MADE_AT, extra)];
    if forgery == Forgery::RevokedUser {
        signatures.push(certify(
            SignatureType::CertRevocation,
            MADE_AT + 60,
            Vec::new(),
        ));
    }
    if forgery == Forgery::ManySelfSignatures {
        let one = signatures.remove(0);
        signatures = vec![one; crate::MAX_SELF_SIGNATURES + 1];
    }
    let users = match forgery {
        Forgery::NoUser => Vec::new(),
        _ => vec![SignedUser::new(user, signatures)],
    };
    let mut subkeys = Vec::new();
    if matches!(
        forgery,
        Forgery::None | Forgery::NoBackSignature | Forgery::AdoptedKey
    ) {
        let subkey = subkey(2);
        let mut binding = config(&key, SignatureType::SubkeyBinding, MADE_AT);
        if forgery == Forgery::AdoptedKey {
            let flags = SubpacketData::KeyFlags(KeyFlags::default());
            binding.hashed_subpackets.pop();
            binding
                .hashed_subpackets
                .push(Subpacket::regular(flags).unwrap());
        }
        if forgery == Forgery::None {
            let mut back = config(&key, SignatureType::KeyBinding, MADE_AT);
            back.hashed_subpackets.truncate(1);
            let back = back
                .sign_primary_key_binding(&subkey, subkey.public_key(), &password, &public)
                .unwrap();
            binding.hashed_subpackets.push(
                Subpacket::regular(SubpacketData::EmbeddedSignature(Box::new(back))).unwrap(),
            );
        }
        let signature = binding
            .sign_subkey_binding(&key, &public, &password, subkey.public_key())
            .unwrap();
        subkeys.push(SignedSecretSubKey::new(subkey, vec![signature]));
    }
    let details = SignedKeyDetails::new(Vec::new(), Vec::new(), users, Vec::new());
    let none: Vec<SignedPublicSubKey> = Vec::new();
    SignedSecretKey::new(key, details, none, subkeys)
        .to_bytes()
        .unwrap()
}

/// The fingerprint of the key that the forged ones have as their subkey.
pub(crate) fn subkey_fingerprint() -> String {
    hex::encode_upper(secret(2, Forgery::None).fingerprint())
}

/// The public side of a private key, binary.
pub(crate) fn public_part(private: &[u8]) -> Vec<u8> {
    let items = read_key("test key", private, Reading::AsClients).unwrap();
    let Entity { certificate, .. } = assemble("test key", items).unwrap().remove(0);
    binary(certificate.to_armor().unwrap().as_bytes())
}
