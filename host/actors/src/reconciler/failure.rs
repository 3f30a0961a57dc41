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
    #[error("cannot {attempt}: {}", source.kind())]
    Io {
        /// What was attempted.
        attempt: &'static str,
        /// Why not; its text may name a temporary file, which is nobody else's business.
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
                same @ ("UnsafePath" | "TooLarge" | "InternalError" | "DiskFull") => same,
                "MissingSubdirectory" | "EmptyModule" => "SourceInvalid",
                "MissingExecutable" | "AmbiguousExecutable" => "WrongExecutable",
                "InspectionTimedOut" => "TooLarge",
                _ => "InvalidArchive",
            },
            Self::Transfer(opendepot_transfer::Error::DiskFull { .. }) => "DiskFull",
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
            Self::Io { source, .. } => match source.kind() {
                io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => "DiskFull",
                _ => "InternalError",
            },
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_has_one_name_wherever_it_shows() {
        let full = || io::Error::from(io::ErrorKind::StorageFull);
        let fetched = opendepot_transfer::Error::DiskFull {
            attempt: "write".to_owned(),
        };
        let stored = opendepot_transfer::Error::DiskFull {
            attempt: "write".to_owned(),
        };
        for error in [
            JobError::Io {
                attempt: "write a temporary file",
                source: full(),
            },
            JobError::Archive(opendepot_archive::Error::Io {
                action: "write archive",
                source: full(),
            }),
            JobError::Source(opendepot_upstream::Error::Fetch(fetched)),
            JobError::Transfer(stored),
        ] {
            assert_eq!(error.reason(), "DiskFull", "{error}");
            assert_eq!(error.kind(), Kind::Unavailable, "{error}");
        }
    }

    #[test]
    fn a_path_of_ours_reaches_no_status() {
        let named = io::Error::new(io::ErrorKind::PermissionDenied, "at path /data/tmp/fetch-1");
        let error = JobError::Io {
            attempt: "create a temporary file",
            source: named,
        };
        assert_eq!(
            error.to_string(),
            "cannot create a temporary file: permission denied"
        );
    }
}
