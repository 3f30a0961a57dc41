//! Which keys are good enough: our floor for what we sign with, and what clients can decode.

use crate::certificate::{Certificate, key_id};
use crate::error::Error;
use crate::facts::Facts;
use pgp::crypto::hash::HashAlgorithm;
use pgp::ser::Serialize as _;
use pgp::types::{EcdhPublicParams, EcdsaPublicParams, EddsaLegacyPublicParams};
use pgp::types::{KeyDetails, KeyVersion, PublicParams};

/// The smallest RSA modulus that we sign with.
const MIN_RSA_BITS: u16 = 2048;
/// The smallest RSA modulus that clients verify.
const MIN_CLIENT_RSA_BITS: u16 = 1024;

/// Every key packet of a certificate.
fn keys(certificate: &Certificate) -> impl Iterator<Item = &dyn KeyDetails> {
    let primary: &dyn KeyDetails = &certificate.primary;
    let subkeys = certificate.subkeys.iter();
    std::iter::once(primary).chain(subkeys.map(|subkey| &subkey.key as &dyn KeyDetails))
}

/// Refuses what some client could not decode: the file goes to them as it is.
pub(crate) fn require_decodable(
    what: &'static str,
    certificate: &Certificate,
) -> Result<(), Error> {
    for key in keys(certificate) {
        if key.version() != KeyVersion::V4 {
            return Err(Error::malformed(
                what,
                "it is not a version 4 key, which older clients need",
            ));
        }
        if let Err(reason) = decodable(key.public_params()) {
            return Err(Error::malformed(what, reason));
        }
    }
    Ok(())
}

/// What the oldest supported verifier (go-crypto 1.0) reads and this library can check.
fn decodable(params: &PublicParams) -> Result<(), &'static str> {
    match params {
        PublicParams::RSA(_) if rsa_bits(params) >= MIN_CLIENT_RSA_BITS => Ok(()),
        PublicParams::RSA(_) => Err("rsa below 1024 bits"),
        PublicParams::DSA(_)
        | PublicParams::Elgamal(_)
        | PublicParams::ECDSA(
            EcdsaPublicParams::P256 { .. }
            | EcdsaPublicParams::P384 { .. }
            | EcdsaPublicParams::P521 { .. },
        )
        | PublicParams::EdDSALegacy(EddsaLegacyPublicParams::Ed25519 { .. }) => Ok(()),
        // The library insists on a form of signature that GnuPG writes half of the time: better
        // refused always than now and then.
        PublicParams::ECDSA(EcdsaPublicParams::Secp256k1 { .. }) => {
            Err("the curve secp256k1, which cannot be checked reliably")
        }
        PublicParams::ECDH(EcdhPublicParams::Unsupported { .. }) => Err("an unknown curve"),
        PublicParams::ECDH(_) => Ok(()),
        _ => Err("an algorithm or curve that clients do not know"),
    }
}

/// Refuses a private key file with any key below our floor, whether or not it would sign.
pub(crate) fn require_strong_keys(certificate: &Certificate) -> Result<(), Error> {
    let id = key_id(&certificate.primary);
    for key in keys(certificate) {
        if key.version() != KeyVersion::V4 {
            return Err(Error::unusable(&id, "it is not a version 4 key"));
        }
        if let Err(reason) = strong(key.public_params()) {
            return Err(Error::unusable(&id, reason));
        }
    }
    Ok(())
}

/// Refuses a private key that says by its own signature that weak hashes will do.
pub(crate) fn require_strong_hashes(id: &str, facts: &Facts) -> Result<(), Error> {
    if facts.self_hash.is_none_or(|hash| !is_strong_hash(hash)) {
        return Err(Error::unusable(
            id,
            "its self-signature uses a weak hash such as sha-1",
        ));
    }
    let preferred = &facts.preferred_hashes;
    if !preferred.is_empty() && !preferred.iter().copied().any(is_strong_hash) {
        return Err(Error::unusable(id, "it prefers weak hashes only"));
    }
    Ok(())
}

fn strong(params: &PublicParams) -> Result<(), &'static str> {
    match params {
        PublicParams::RSA(_) if rsa_bits(params) >= MIN_RSA_BITS => Ok(()),
        PublicParams::RSA(_) => Err("rsa below 2048 bits"),
        PublicParams::DSA(_) => Err("dsa"),
        PublicParams::Elgamal(_) => Err("elgamal"),
        PublicParams::EdDSALegacy(EddsaLegacyPublicParams::Ed25519 { .. }) => Ok(()),
        PublicParams::Ed25519(_) => Err("the new ed25519 number, which older clients refuse"),
        PublicParams::ECDSA(
            EcdsaPublicParams::P256 { .. }
            | EcdsaPublicParams::P384 { .. }
            | EcdsaPublicParams::P521 { .. },
        )
        | PublicParams::ECDH(
            EcdhPublicParams::Curve25519Legacy { .. }
            | EcdhPublicParams::P256 { .. }
            | EcdhPublicParams::P384 { .. }
            | EcdhPublicParams::P521 { .. },
        ) => Ok(()),
        PublicParams::ECDSA(EcdsaPublicParams::Secp256k1 { .. }) => Err("the curve secp256k1"),
        _ => Err("an algorithm or curve that is not accepted"),
    }
}

/// The hash to sign with: SHA-256, or SHA-512 where the curve is longer than that.
pub(crate) const fn signing_hash(params: &PublicParams) -> HashAlgorithm {
    match params {
        PublicParams::ECDSA(EcdsaPublicParams::P384 { .. } | EcdsaPublicParams::P521 { .. }) => {
            HashAlgorithm::Sha512
        }
        _ => HashAlgorithm::Sha256,
    }
}

/// Whether clients' verifier knows the hash; it has no reject list, but never learnt MD5.
pub(crate) const fn is_client_hash(hash: HashAlgorithm) -> bool {
    is_strong_hash(hash) || matches!(hash, HashAlgorithm::Sha1 | HashAlgorithm::Sha224)
}

const fn is_strong_hash(hash: HashAlgorithm) -> bool {
    matches!(
        hash,
        HashAlgorithm::Sha256
            | HashAlgorithm::Sha384
            | HashAlgorithm::Sha512
            | HashAlgorithm::Sha3_256
            | HashAlgorithm::Sha3_512
    )
}

/// The length of an RSA modulus: the bit count in front of the first number on the wire
/// (RFC 4880 3.2). Zero where there is none.
fn rsa_bits(params: &PublicParams) -> u16 {
    params
        .to_bytes()
        .ok()
        .and_then(|bytes| bytes.first_chunk::<2>().copied())
        .map_or(0, u16::from_be_bytes)
}
