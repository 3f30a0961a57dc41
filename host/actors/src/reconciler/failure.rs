//! Why a job failed.

use opendepot_domain::Kind;
use opendepot_domain::seam::SeamError;
use std::io;

/// A failed job. `reason` is a CamelCase condition reason of a closed set.
#[derive(Debug, thiserror::Error)]
pub enum JobError {
    /// This namespace has enough queued.
    #[error("enough work is queued for this namespace")]
    Busy,
    /// The job panicked.
    #[error("the job panicked")]
    Panicked,
    /// The actor did not take the job.
    #[error(transparent)]
    Actor(crate::Error),
    /// The source could not be had.
    #[error(transparent)]
    Source(#[from] opendepot_upstream::Error),
    /// The archive was not accepted.
    #[error(transparent)]
    Archive(#[from] opendepot_archive::Error),
    /// Bytes could not be moved.
    #[error(transparent)]
    Transfer(#[from] opendepot_transfer::Error),
    /// The storage plugin or its plan was refused.
    #[error(transparent)]
    Storage(SeamError),
    /// The source is over the limit.
    #[error("the source is over the limit of {limit} bytes")]
    TooLarge {
        /// In bytes.
        limit: u64,
    },
    /// Asked for something that is not built.
    #[error("{0}, which is not available yet")]
    Unsupported(&'static str),
    /// A local file could not be used.
    #[error("cannot {attempt}: {source}")]
    Io {
        /// What was attempted.
        attempt: &'static str,
        /// Why not.
        source: io::Error,
    },
}

impl JobError {
    /// What the failure means.
    #[must_use]
    pub fn kind(&self) -> Kind {
        match self {
            Self::Busy => Kind::Busy,
            Self::Panicked => Kind::Internal,
            Self::Actor(error) => error.kind(),
            Self::Source(error) => error.kind(),
            Self::Archive(error) => error.kind(),
            Self::Transfer(error) => error.kind(),
            Self::Storage(error) => error.kind,
            Self::TooLarge { .. } | Self::Unsupported(_) => Kind::Invalid,
            Self::Io { .. } => Kind::Unavailable,
        }
    }

    /// The condition reason.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Busy => "Busy",
            Self::Panicked => "InternalError",
            Self::Actor(_) => "Waiting",
            Self::Source(error) => error.reason(),
            Self::Archive(error) => match error.reason() {
                same @ ("UnsafePath" | "TooLarge" | "InternalError") => same,
                "MissingSubdirectory" | "EmptyModule" => "SourceInvalid",
                "MissingExecutable" | "AmbiguousExecutable" => "WrongExecutable",
                "InspectionTimedOut" => "TooLarge",
                _ => "InvalidArchive",
            },
            Self::Transfer(error) => transfer_reason(error.kind()),
            Self::Storage(error) => match error.kind {
                Kind::Invalid => "StorageInvalid",
                Kind::Denied => "StorageDenied",
                Kind::NotFound => "PluginUnavailable",
                Kind::Internal => "PluginFailed",
                Kind::Conflict => "AlreadyClaimed",
                _ => "StorageUnavailable",
            },
            Self::TooLarge { .. } => "TooLarge",
            Self::Unsupported(_) => "StorageInvalid",
            Self::Io { source, .. } if source.kind() == io::ErrorKind::StorageFull => "DiskFull",
            Self::Io { .. } => "InternalError",
        }
    }

    /// Seconds that the source asked us to wait.
    #[must_use]
    pub fn retry_after_seconds(&self) -> Option<u64> {
        match self {
            Self::Source(error) => error.retry_after_seconds(),
            _ => None,
        }
    }
}

/// Failures of the store: those of fetching come as [`JobError::Source`].
const fn transfer_reason(kind: Kind) -> &'static str {
    match kind {
        Kind::Denied => "StorageDenied",
        Kind::Invalid => "StorageInvalid",
        Kind::Conflict => "AlreadyClaimed",
        Kind::Corrupt => "ArtifactCorrupt",
        Kind::NotFound => "ArtifactMissing",
        Kind::Internal => "InternalError",
        _ => "StorageUnavailable",
    }
}
