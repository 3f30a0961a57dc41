//! The one error of this crate.

use opendepot_domain::Kind;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

/// Why a request's credential is none: a closed set, for the audit log and for metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// There is none.
    Missing,
    /// There are several.
    Several,
    /// It is longer than any credential.
    TooLong,
    /// The header or the token is not of the form.
    Malformed,
    /// It is of another scheme.
    Scheme,
    /// No token of the file that is in force.
    Unknown,
}

impl Refusal {
    /// The metric label.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::Several => "several",
            Self::TooLong => "too_long",
            Self::Malformed => "malformed",
            Self::Scheme => "scheme",
            Self::Unknown => "unknown",
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Missing => "there is no credential",
            Self::Several => "more than one authorization header",
            Self::TooLong => "the authorization header is too long",
            Self::Malformed => "the bearer token is malformed",
            Self::Scheme => "the authorization scheme is not bearer",
            Self::Unknown => "the token is unknown or expired",
        })
    }
}

/// Why a credential, a key file or a token file was refused. No variant carries a secret.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No usable credential. The text is for the audit log, never for the caller.
    #[error("cannot authenticate the request: {reason}")]
    Unauthenticated {
        /// What is wrong, without any part of the credential.
        reason: Refusal,
    },
    /// The file does not exist.
    #[error("cannot read `{}`: it does not exist", path.display())]
    NotFound {
        /// The file.
        path: PathBuf,
    },
    /// The file exists and must not be replaced.
    #[error("cannot create `{}`: it exists already", path.display())]
    Exists {
        /// The file.
        path: PathBuf,
    },
    /// The file's content is refused.
    #[error("cannot use `{}`: {reason}", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A value given by the caller is refused.
    #[error("cannot use {what}: {reason}")]
    Invalid {
        /// What was given.
        what: &'static str,
        /// The rule that it breaks.
        reason: String,
    },
    /// A token of that name exists.
    #[error("cannot create token `{name}`: the name is taken")]
    NameTaken {
        /// The name.
        name: String,
    },
    /// No token of that name exists.
    #[error("cannot revoke token `{name}`: there is none of that name")]
    NoSuchToken {
        /// The name.
        name: String,
    },
    /// Another process holds the file's lock.
    #[error("cannot lock `{}`: another process holds it", path.display())]
    Locked {
        /// The lock file.
        path: PathBuf,
    },
    /// The operating system refused.
    #[error("cannot {what} `{}`: {source}", path.display())]
    Io {
        /// What was attempted.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The system gave no randomness, or a task of ours was lost.
    #[error("cannot {what}: {reason}")]
    Internal {
        /// What was attempted.
        what: &'static str,
        /// Why.
        reason: String,
    },
}

impl Error {
    /// What the failure means to a caller.
    #[must_use]
    pub const fn kind(&self) -> Kind {
        match self {
            Self::Unauthenticated { .. } => Kind::Unauthenticated,
            Self::NotFound { .. } | Self::NoSuchToken { .. } => Kind::NotFound,
            Self::Exists { .. } | Self::NameTaken { .. } => Kind::Conflict,
            Self::Malformed { .. } | Self::Invalid { .. } => Kind::Invalid,
            Self::Locked { .. } => Kind::Busy,
            Self::Io { .. } => Kind::Unavailable,
            Self::Internal { .. } => Kind::Internal,
        }
    }

    /// The `reason` of a refused credential as a metric label.
    #[must_use]
    pub const fn label(&self) -> &'static str {
        match self {
            Self::Unauthenticated { reason } => reason.label(),
            other => other.kind().label(),
        }
    }

    pub(crate) fn io(what: &'static str, path: &Path, source: io::Error) -> Self {
        let path = path.to_owned();
        match source.kind() {
            io::ErrorKind::NotFound => Self::NotFound { path },
            io::ErrorKind::AlreadyExists => Self::Exists { path },
            _ => Self::Io { what, path, source },
        }
    }

    pub(crate) fn malformed(path: &Path, reason: impl Into<String>) -> Self {
        Self::Malformed {
            path: path.to_owned(),
            reason: reason.into(),
        }
    }

    pub(crate) fn invalid(what: &'static str, reason: impl Into<String>) -> Self {
        Self::Invalid {
            what,
            reason: reason.into(),
        }
    }
}
