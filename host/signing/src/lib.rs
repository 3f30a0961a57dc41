//! OpenPGP for provider releases: our detached signature over `SHA256SUMS`, and the check of
//! upstream's.
//!
//! A [`Signer`] is loaded or generated once and signs a release once, when it is made; nothing
//! signs on request, so neither time nor the number of requests tells anything about the key.
//! A [`PublicKey`] is what clients get to see and what upstream signatures are checked with.
//!
//! What bounds it: [`MAX_KEY_BYTES`], [`MAX_SIGNATURE_BYTES`], [`MAX_TEXT_BYTES`],
//! [`MAX_PACKETS`] and [`MAX_SELF_SIGNATURES`], all checked before the work they bound. Every
//! call into the OpenPGP library is guarded: a panic there is an [`Error::Panicked`], not ours.
//! Nothing here waits or does I/O, but RSA costs milliseconds: call it on the blocking pool.
//!
//! What it refuses: a private key that clients would not accept or that is weaker than our floor
//! (DSA, ElGamal, RSA below 2048 bits, secp256k1, version 6, the new Ed25519 number, SHA-1
//! preferences), is expired, revoked, locked or unable to sign, and a file that holds anything
//! but one key. Upstream signatures are judged by the clients' rule instead, which is laxer
//! ([`verify_detached`]).
//!
//! What may surprise:
//! - Keys are version 4 and `Ed25519Legacy`: older clients and GnuPG 2.2 refuse the new number.
//! - Clients try keys in order and give up at the first one that they cannot decode, so one bad
//!   key spoils every install. [`PublicKey::parse`] is strict for that reason, and the armor that
//!   it hands out is written by us: without photographs, other people's signatures or comments.
//! - An expired key still verifies, because clients only warn; [`PublicKey::expires_at`] is for
//!   the caller to report.
//! - Upstream keys on brainpool curves and secp256k1 are refused although clients accept them: the
//!   library cannot check all of their signatures.
//! - Secret parameters are wiped when dropped; copies inside the library's reading buffers are
//!   beyond reach.

#![warn(missing_docs)]

mod certificate;
mod error;
mod facts;
mod floor;
mod generate;
mod packets;
mod public;
mod signer;
#[cfg(test)]
mod testing;

pub use error::Error;
pub use public::{PublicKey, verify_detached};
pub use signer::Signer;

/// The longest key file, armored or binary.
pub const MAX_KEY_BYTES: usize = 256 * 1024;
/// The longest detached signature.
pub const MAX_SIGNATURE_BYTES: usize = 64 * 1024;
/// The longest text that is signed or verified; a `SHA256SUMS` has a few kilobytes.
pub const MAX_TEXT_BYTES: usize = 8 * 1024 * 1024;
/// The most packets in one key file or signature.
pub const MAX_PACKETS: usize = 2048;
/// The most signatures of a key over itself, each of which costs a verification.
pub const MAX_SELF_SIGNATURES: usize = 256;
/// How far another clock may be ahead of ours before a creation time counts as in the future.
pub const CLOCK_SKEW_SECONDS: u64 = 300;

/// The wall clock in Unix seconds; zero before 1970.
fn unix_now() -> u64 {
    std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .map_or(0, |since| since.as_secs())
}
