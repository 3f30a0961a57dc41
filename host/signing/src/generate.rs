//! A new key: version 4, `Ed25519Legacy`, one user id, no subkeys, no end.

use crate::error::Error;
use pgp::composed::{ArmorOptions, SignedKeyDetails, SignedSecretKey};
use pgp::crypto::hash::HashAlgorithm;
use pgp::crypto::public_key::PublicKeyAlgorithm;
use pgp::crypto::{ed25519, eddsa_legacy};
use pgp::packet::{
    KeyFlags, PubKeyInner, PublicKey, SecretKey, Signature, SignatureConfig, SignatureType,
    Subpacket, SubpacketData, UserId,
};
use pgp::types::{
    EddsaLegacyPublicParams, KeyDetails as _, KeyVersion, Password, PlainSecretParams,
    PublicParams, SecretParams, SignedUser, Tag, Timestamp,
};
use rand::TryRngCore as _;
use zeroize::Zeroizing;

/// The longest user id, in bytes.
const MAX_USER_ID_BYTES: usize = 256;

/// Makes a key and returns its armor.
pub(crate) fn armored(user_id: &str, created_at: u64) -> Result<Zeroizing<Vec<u8>>, Error> {
    const WHAT: &str = "user id";
    if user_id.is_empty() || user_id.len() > MAX_USER_ID_BYTES {
        return Err(Error::malformed(WHAT, "it must have 1 to 256 bytes"));
    }
    if user_id.chars().any(char::is_control) {
        return Err(Error::malformed(WHAT, "it has a control character"));
    }
    let created_at = u32::try_from(created_at)
        .map_err(|_| Error::malformed("creation time", "it is after 2106"))?;
    let mut seed = Zeroizing::new([0; 32]);
    rand::rngs::OsRng
        .try_fill_bytes(&mut *seed)
        .map_err(|error| Error::internal("generate a signing key", error))?;
    build(user_id, Timestamp::from_secs(created_at), &seed)
        .map_err(|error| Error::internal("generate a signing key", error))
}

fn build(
    user_id: &str,
    created_at: Timestamp,
    seed: &[u8; 32],
) -> pgp::errors::Result<Zeroizing<Vec<u8>>> {
    let secret = ed25519::SecretKey::try_from_bytes(*seed, ed25519::Mode::EdDSALegacy)?;
    let secret = eddsa_legacy::SecretKey::Ed25519(secret);
    let params = PublicParams::EdDSALegacy(EddsaLegacyPublicParams::try_from(&secret)?);
    let public = PublicKey::from_inner(PubKeyInner::new(
        KeyVersion::V4,
        PublicKeyAlgorithm::EdDSALegacy,
        created_at,
        None,
        params,
    )?)?;
    let params = SecretParams::Plain(PlainSecretParams::EdDSALegacy(secret));
    let key = SecretKey::new(public.clone(), params)?;
    let user = UserId::from_str(pgp::types::PacketHeaderVersion::default(), user_id)?;
    let signature = certify(&key, &public, &user, created_at)?;
    let details = SignedKeyDetails::new(
        Vec::new(),
        Vec::new(),
        vec![SignedUser::new(user, vec![signature])],
        Vec::new(),
    );
    SignedSecretKey::new(key, details, Vec::new(), Vec::new())
        .to_armored_bytes(ArmorOptions::default())
        .map(Zeroizing::new)
}

/// The self-signature, dated with the key: clients refuse one from their future.
fn certify(
    key: &SecretKey,
    public: &PublicKey,
    user: &UserId,
    at: Timestamp,
) -> pgp::errors::Result<Signature> {
    let mut flags = KeyFlags::default();
    flags.set_certify(true);
    flags.set_sign(true);
    let hashes = [HashAlgorithm::Sha256, HashAlgorithm::Sha512];
    let mut config = SignatureConfig::v4(
        SignatureType::CertPositive,
        key.algorithm(),
        HashAlgorithm::Sha256,
    );
    config.hashed_subpackets = vec![
        Subpacket::regular(SubpacketData::SignatureCreationTime(at))?,
        Subpacket::regular(SubpacketData::IssuerFingerprint(key.fingerprint()))?,
        Subpacket::regular(SubpacketData::KeyFlags(flags))?,
        Subpacket::regular(SubpacketData::PreferredHashAlgorithms(
            hashes.into_iter().collect(),
        ))?,
        Subpacket::regular(SubpacketData::IsPrimary(true))?,
    ];
    config.unhashed_subpackets = vec![Subpacket::regular(SubpacketData::IssuerKeyId(
        key.legacy_key_id(),
    ))?];
    config.sign_certification(key, public, &Password::empty(), Tag::UserId, user)
}
