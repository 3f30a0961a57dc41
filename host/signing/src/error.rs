//! The one error of this crate.

use opendepot_domain::Kind;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Why a key or a signature was refused. No variant carries key material.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// More bytes, packets or signatures than the limit.
    #[error("cannot read {what}: more than {limit} {unit}")]
    TooLarge {
        /// What was read.
        what: &'static str,
        /// The limit that it exceeds.
        limit: usize,
        /// What is counted.
        unit: &'static str,
    },
    /// Not decodable, or not decodable by the clients.
    #[error("cannot decode {what}: {reason}")]
    Malformed {
        /// What was decoded.
        what: &'static str,
        /// What is wrong with it.
        reason: String,
    },
    /// A private key that must not or cannot sign.
    #[error("signing key `{key_id}` is unusable: {reason}")]
    Unusable {
        /// The key, 16 upper-case hex digits.
        key_id: String,
        /// Why.
        reason: String,
    },
    /// The private key is locked and no passphrase was given.
    #[error("signing key `{key_id}` is locked and no passphrase is configured")]
    PassphraseMissing {
        /// The key.
        key_id: String,
    },
    /// The private key stays locked.
    #[error("cannot unlock signing key `{key_id}`: wrong passphrase or damaged key")]
    PassphraseWrong {
        /// The key.
        key_id: String,
    },
    /// A public part or a key id that belongs to another private key.
    #[error("public key `{public}` does not belong to private key `{private}`")]
    Mismatch {
        /// What was given as the public part or its id.
        public: String,
        /// The private key's id.
        private: String,
    },
    /// None of the keys made the signature.
    #[error("signature was made by unknown key `{issuers}`")]
    UnknownIssuer {
        /// The issuers that the signature names.
        issuers: String,
    },
    /// A known key is named, but the signature does not fit the text.
    #[error("signature by key `{key_id}` does not verify: {reason}")]
    BadSignature {
        /// The key that the signature names.
        key_id: String,
        /// What failed.
        reason: String,
    },
    /// The key that made the signature is revoked.
    #[error("signature was made by revoked key `{key_id}`")]
    Revoked {
        /// The key.
        key_id: String,
    },
    /// The signature, or the key's own signature, is over or not yet valid.
    #[error("signature by key `{key_id}` is not valid at this time")]
    OutOfTime {
        /// The key.
        key_id: String,
    },
    /// The library panicked.
    #[error("cannot {what}: the openpgp library panicked")]
    Panicked {
        /// What was attempted.
        what: &'static str,
    },
    /// The operating system or the library failed at something that should work.
    #[error("cannot {what}: {reason}")]
    Internal {
        /// What was attempted.
        what: &'static str,
        /// The library's text.
        reason: String,
    },
}

impl Error {
    /// What the failure means to a caller.
    #[must_use]
    pub const fn kind(&self) -> Kind {
        match self {
            Self::TooLarge { .. }
            | Self::Malformed { .. }
            | Self::Unusable { .. }
            | Self::PassphraseMissing { .. }
            | Self::PassphraseWrong { .. }
            | Self::Mismatch { .. } => Kind::Invalid,
            Self::UnknownIssuer { .. }
            | Self::BadSignature { .. }
            | Self::Revoked { .. }
            | Self::OutOfTime { .. } => Kind::Corrupt,
            Self::Panicked { .. } | Self::Internal { .. } => Kind::Internal,
        }
    }

    pub(crate) fn malformed(what: &'static str, reason: impl ToString) -> Self {
        Self::Malformed {
            what,
            reason: shorten(&reason.to_string()),
        }
    }

    pub(crate) fn unusable(key_id: &str, reason: impl ToString) -> Self {
        Self::Unusable {
            key_id: key_id.to_owned(),
            reason: shorten(&reason.to_string()),
        }
    }

    pub(crate) fn internal(what: &'static str, reason: impl ToString) -> Self {
        Self::Internal {
            what,
            reason: shorten(&reason.to_string()),
        }
    }
}

/// One escaped line of bounded length: library texts may quote their input.
pub(crate) fn shorten(text: &str) -> String {
    text.escape_debug().take(200).collect()
}

/// Runs `work` at the library's boundary, where a panic on hostile input must not pass.
pub(crate) fn guarded<T>(
    what: &'static str,
    work: impl FnOnce() -> Result<T, Error>,
) -> Result<T, Error> {
    // Unwind safe: nothing that `work` borrows is changed by it, and its result is lost.
    catch_unwind(AssertUnwindSafe(work)).unwrap_or(Err(Error::Panicked { what }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_becomes_an_error() {
        let result = guarded::<()>("read a key", || panic!("hostile"));
        assert_eq!(result, Err(Error::Panicked { what: "read a key" }));
    }

    #[test]
    fn texts_stay_on_one_short_line() {
        let error = Error::malformed("key", format!("a\nb{}", "x".repeat(1000)));
        let text = error.to_string();
        assert!(!text.contains('\n') && text.len() < 300, "{text}");
    }
}
