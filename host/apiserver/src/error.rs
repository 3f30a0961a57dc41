//! What can go wrong outside a request. Inside one, failures are `Status` answers.

use opendepot_domain::Kind;
use std::path::PathBuf;

/// A failure to open or run the embedded control plane.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Another process, or another [`crate::Embedded`] of this one, has the file open.
    #[error("cannot open the embedded store `{}`: another process has it open", .path.display())]
    Locked {
        /// The file.
        path: PathBuf,
    },
    /// The file cannot be opened or created.
    #[error("cannot open the embedded store `{}`: {source}", .path.display())]
    Open {
        /// The file, or a word for memory.
        path: PathBuf,
        /// What the store said.
        source: Box<redb::Error>,
    },
    /// The file was opened but does not hold what it should.
    #[error("cannot read the embedded store: {0}")]
    Store(Box<redb::Error>),
    /// An object in the store is not JSON.
    #[error("cannot read the object `{key}` of the embedded store: {source}")]
    Object {
        /// Its key, with `/` between the parts.
        key: String,
        /// The parser's words.
        source: serde_json::Error,
    },
    /// The file was written by a later version.
    #[error(
        "cannot open the embedded store: its format is `{found}`, this program reads up to `{supported}`"
    )]
    Format {
        /// The format of the file.
        found: u64,
        /// The newest format that this program reads.
        supported: u64,
    },
    /// The thread that writes could not be started.
    #[error("cannot start the writer of the embedded store: {0}")]
    Thread(std::io::Error),
    /// A resource definition cannot be served.
    #[error("cannot serve the resource definition `{name}`: {message}")]
    Definition {
        /// The definition's name.
        name: String,
        /// Why.
        message: String,
    },
    /// The folder of manifests cannot be watched at all.
    #[error("cannot watch the manifests folder `{}`: {message}", .path.display())]
    Manifests {
        /// The folder.
        path: PathBuf,
        /// Why.
        message: String,
    },
}

impl Error {
    /// What the failure means to a caller.
    #[must_use]
    pub const fn kind(&self) -> Kind {
        match self {
            Self::Locked { .. } => Kind::Conflict,
            Self::Open { .. } | Self::Manifests { .. } => Kind::Unavailable,
            Self::Store(_) | Self::Object { .. } => Kind::Corrupt,
            Self::Format { .. } | Self::Definition { .. } => Kind::Invalid,
            Self::Thread(_) => Kind::Internal,
        }
    }

    pub(crate) fn store(source: impl Into<redb::Error>) -> Self {
        Self::Store(Box::new(source.into()))
    }
}
