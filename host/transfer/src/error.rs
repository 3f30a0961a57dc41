//! What can go wrong, and what it means to a caller.

use opendepot_domain::Kind;
use rustix::io::Errno;
use std::fmt;
use std::io;

/// In which way bytes are not what their record says; a metric label.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Damage {
    /// Fewer or more bytes than recorded.
    Size,
    /// The right number of bytes with another digest.
    Digest,
    /// The file changed while it was read.
    Changed,
}

impl Damage {
    /// The metric label.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Size => "size",
            Self::Digest => "digest",
            Self::Changed => "changed",
        }
    }
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Size => "its size is not the expected one",
            Self::Digest => "its digest is not the expected one",
            Self::Changed => "it changed while it was read",
        })
    }
}

/// A failed transfer. URLs appear without user info, query and fragment, which may hold secrets.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The object or URL does not exist.
    #[error("cannot find {what}")]
    NotFound {
        /// The object or URL.
        what: String,
    },
    /// The neighbour refused us (401, 403).
    #[error("cannot {attempt}: access denied")]
    Denied {
        /// What was attempted.
        attempt: String,
    },
    /// The egress policy refuses the URL or every address of its host.
    #[error("cannot reach `{url}`: {reason}")]
    Refused {
        /// The URL, redacted.
        url: String,
        /// The rule that refuses it.
        reason: String,
    },
    /// The plan, key, range or file can never work as it is.
    #[error("cannot {attempt}: {reason}")]
    Invalid {
        /// What was attempted.
        attempt: String,
        /// Why not.
        reason: String,
    },
    /// The settings are wrong; all problems at once.
    #[error("cannot use the transfer settings: {}", problems.join("; "))]
    Settings {
        /// Each problem, with the setting and value that it is about.
        problems: Vec<String>,
    },
    /// The key holds other bytes.
    #[error("cannot write {what}: it exists with other bytes")]
    Conflict {
        /// The object.
        what: String,
    },
    /// Bytes are not what their record says.
    #[error("cannot use {what}: {damage}")]
    Corrupt {
        /// The object or file.
        what: String,
        /// In which way.
        damage: Damage,
    },
    /// More bytes than the caller allows.
    #[error("cannot fetch `{url}`: the body is larger than {limit_bytes} bytes")]
    TooLarge {
        /// The URL, redacted.
        url: String,
        /// The cap.
        limit_bytes: u64,
    },
    /// The neighbour asks to wait. Callers add jitter and never try earlier.
    #[error(
        "cannot fetch `{url}`: rate limited, to be tried again after {retry_after_seconds} seconds"
    )]
    RateLimited {
        /// The URL, redacted.
        url: String,
        /// Seconds to wait, 1 to 86 400.
        retry_after_seconds: u64,
    },
    /// Too much is going on already.
    #[error("cannot {attempt}: too many others wait")]
    Busy {
        /// What was attempted.
        attempt: String,
    },
    /// A neighbour, the network or the disk is not well; trying later may work.
    #[error("cannot {attempt}: {reason}")]
    Unavailable {
        /// What was attempted.
        attempt: String,
        /// What happened.
        reason: String,
    },
    /// Our own disk is full, or our share of it.
    #[error("cannot {attempt}: no space is left on the disk")]
    DiskFull {
        /// What was attempted.
        attempt: String,
    },
    /// Our own fault.
    #[error("cannot {attempt}: {reason}")]
    Internal {
        /// What was attempted.
        attempt: String,
        /// What happened.
        reason: String,
    },
}

impl Error {
    /// What the failure means.
    #[must_use]
    pub const fn kind(&self) -> Kind {
        match self {
            Self::NotFound { .. } => Kind::NotFound,
            Self::Denied { .. } | Self::Refused { .. } => Kind::Denied,
            Self::Invalid { .. } | Self::Settings { .. } | Self::TooLarge { .. } => Kind::Invalid,
            Self::Conflict { .. } => Kind::Conflict,
            Self::Corrupt { .. } => Kind::Corrupt,
            Self::Busy { .. } => Kind::Busy,
            Self::RateLimited { .. } | Self::Unavailable { .. } | Self::DiskFull { .. } => {
                Kind::Unavailable
            }
            Self::Internal { .. } => Kind::Internal,
        }
    }

    /// Seconds that the neighbour asked to wait, when it did.
    #[must_use]
    pub const fn retry_after_seconds(&self) -> Option<u64> {
        match self {
            Self::RateLimited {
                retry_after_seconds,
                ..
            } => Some(*retry_after_seconds),
            _ => None,
        }
    }

    pub(crate) fn invalid(attempt: impl Into<String>, reason: impl Into<String>) -> Self {
        Self::Invalid {
            attempt: attempt.into(),
            reason: reason.into(),
        }
    }

    pub(crate) fn unavailable(attempt: impl Into<String>, reason: impl Into<String>) -> Self {
        Self::Unavailable {
            attempt: attempt.into(),
            reason: reason.into(),
        }
    }

    /// Maps a failed system call. Links are the tenant's or an intruder's doing and never get
    /// better by trying again; everything else of the disk does. A missing file is not
    /// [`Self::NotFound`] here: that is for objects and URLs, and their callers say so.
    pub(crate) fn io(attempt: impl Into<String>, error: &io::Error) -> Self {
        let attempt = attempt.into();
        match Errno::from_io_error(error) {
            Some(Errno::LOOP | Errno::XDEV) => {
                return Self::invalid(attempt, "a symbolic link or a way out of the root is in it");
            }
            Some(Errno::NOTDIR | Errno::ISDIR | Errno::NAMETOOLONG) => {
                return Self::invalid(attempt, error.to_string());
            }
            _ => {}
        }
        // By kind, because temporary files wrap the number of the error.
        match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::DiskFull { attempt },
            _ => Self::unavailable(attempt, error.to_string()),
        }
    }

    /// A blocking task that panicked or was cancelled at shutdown.
    pub(crate) fn task(attempt: impl Into<String>) -> Self {
        Self::Internal {
            attempt: attempt.into(),
            reason: "its task ended early".to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn system_errors_get_the_kind_that_their_cure_needs() {
        for (errno, kind) in [
            (Errno::NOENT, Kind::Unavailable),
            (Errno::LOOP, Kind::Invalid),
            (Errno::XDEV, Kind::Invalid),
            (Errno::NOSPC, Kind::Unavailable),
            (Errno::DQUOT, Kind::Unavailable),
            (Errno::IO, Kind::Unavailable),
            (Errno::ROFS, Kind::Unavailable),
            (Errno::MFILE, Kind::Unavailable),
        ] {
            let error = Error::io("write object `x`", &io::Error::from(errno));
            assert_eq!(error.kind(), kind, "{errno:?}");
        }
        let full = Error::io("write object `x`", &io::Error::from(Errno::NOSPC));
        assert_eq!(
            full.to_string(),
            "cannot write object `x`: no space is left on the disk"
        );
    }
}
