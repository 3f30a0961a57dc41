//! Who asks, and what we ourselves have vouched for: tokens, capabilities and seals.
//!
//! [`ArtifactKeys`] makes the MACs of capability URLs and status seals (contract.md 3 and 4).
//! [`TokenFile`] knows bearer tokens by their digest and follows its file. [`Verifier`] turns a
//! request's `Authorization` into a [`Subject`](opendepot_domain::Subject) by the mode that the
//! operator chose.
//!
//! What bounds it: the constants below; files are read up to their limit, locks are waited for
//! at most five seconds, and the watcher looks at its file once a second.
//!
//! What it refuses: any text of a MAC but the exact one that was minted, a second
//! `Authorization`, a token of another shape than ours, a token file with an unknown field, a
//! name given twice or a group in the space reserved for machine clients.
//!
//! What may surprise:
//! - In anonymous mode a credential is ignored, not checked: clients send what they have.
//! - A broken or missing token file leaves the last good one in force, so it revokes nobody.
//! - Creating or revoking a token rewrites the file; comments in it are lost.
//! - The functions that write files block; call them off the runtime.

#![warn(missing_docs)]

mod artifact_keys;
mod bearer;
mod error;
mod file;
mod reload;
mod token;
mod token_file;
mod verifier;

pub use artifact_keys::{ArtifactKeys, Seal, SealState};
pub use bearer::bearer;
pub use error::{Error, Refusal};
pub use token::{TokenInfo, TokenSubject};
pub use token_file::TokenFile;
pub use verifier::Verifier;

/// The longest `Authorization` value.
pub const MAX_AUTHORIZATION_BYTES: usize = 16 * 1024;
/// The most groups of one subject.
pub const MAX_GROUPS: usize = 1000;
/// The longest group.
pub const MAX_GROUP_BYTES: usize = 256;
/// The longest name of a token.
pub const MAX_NAME_BYTES: usize = 128;
/// The most tokens in one file.
pub const MAX_TOKENS: usize = 10_000;
/// The longest token file.
pub const MAX_TOKEN_FILE_BYTES: u64 = 16 * 1024 * 1024;
/// The longest file of artifact keys.
pub const MAX_KEY_FILE_BYTES: u64 = 64 * 1024;
/// The most artifact keys: one mints, the others are being rotated out.
pub const MAX_KEYS: usize = 16;
/// Groups that start so belong to machine clients and are never taken from a file or a token.
pub const RESERVED_GROUP_PREFIX: &str = "client:";
