//! The one error of this crate.

use opendepot_domain::Kind;
use std::io;
use std::path::{Path, PathBuf};

/// Why a credential, a key file or a token file was refused. No variant carries a secret.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No usable credential. The text is for the audit log, never for the caller.
    #[error("cannot authenticate the request: {reason}")]
    Unauthenticated {
        /// What is wrong, without any part of the credential.
        reason: &'static str,
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
