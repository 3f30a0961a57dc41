//! Why an archive was not accepted.

use opendepot_domain::Kind;
use std::io;

/// A failure to inspect or repackage an archive.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// An entry's name or a link's target could leave the folder it is unpacked into.
    #[error("cannot accept entry `{path}`: {rule}")]
    UnsafePath {
        /// The name, escaped and shortened.
        path: String,
        /// The rule it breaks.
        rule: &'static str,
    },
    /// The bytes are damaged, or say two things where they must say one.
    #[error("cannot read archive: {0}")]
    Corrupt(String),
    /// A limit was reached; reading stopped there.
    #[error("cannot accept archive: {what} is over the limit of {limit}")]
    TooLarge {
        /// What was measured.
        what: &'static str,
        /// The limit, in bytes or in entries as `what` says.
        limit: u64,
    },
    /// Well-formed, but of a kind that is refused.
    #[error("cannot accept archive: {0} is not supported")]
    Unsupported(String),
    /// Neither zip nor gzip nor tar, going by the first bytes.
    #[error("cannot read archive: it starts with `{start}`, which no archive does")]
    NotAnArchive {
        /// The first bytes, escaped.
        start: String,
    },
    /// A wrapper folder was to be stripped and there is not exactly one.
    #[error("cannot strip the wrapper folder: `{path}` is not inside the one folder at the top")]
    UnexpectedLayout {
        /// The entry outside of it.
        path: String,
    },
    /// The subdirectory asked for is not a folder of the archive.
    #[error("cannot package subdirectory `{subdirectory}`: the source has no such folder")]
    MissingSubdirectory {
        /// What was asked for, escaped and shortened.
        subdirectory: String,
    },
    /// Nothing is left to package.
    #[error("cannot package module: there is no file in it")]
    EmptyModule,
    /// The package has no executable for the resource's name.
    #[error("cannot accept provider package: no file `{expected}` at its top{}", hint(found.as_deref()))]
    MissingExecutable {
        /// The file name without version.
        expected: String,
        /// The resource name that would work, when the package has another provider's
        /// executable.
        found: Option<String>,
    },
    /// A client could start either of two files.
    #[error(
        "cannot accept provider package: both `{first}` and `{second}` could be its executable"
    )]
    AmbiguousExecutable {
        /// One of them.
        first: String,
        /// Another.
        second: String,
    },
    /// A file of the package carries the set-user-id, set-group-id or sticky bit.
    #[error("cannot accept provider package: `{path}` has mode bits {bits:o}")]
    SpecialMode {
        /// The file, escaped and shortened.
        path: String,
        /// The bits in question.
        bits: u32,
    },
    /// The time limit was reached.
    #[error("cannot inspect archive: not done after {seconds} s")]
    TimedOut {
        /// The limit.
        seconds: u64,
    },
    /// The caller gave up.
    #[error("cannot inspect archive: cancelled")]
    Cancelled,
    /// A file of ours could not be read or written.
    #[error("cannot {action}: {}", source.kind())]
    Io {
        /// What was attempted.
        action: &'static str,
        /// The cause; its text may name a temporary file, which is nobody else's business.
        source: io::Error,
    },
}

fn is_full(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded
    )
}

fn hint(found: Option<&str>) -> String {
    found.map_or_else(String::new, |name| {
        format!("; a resource named `{name}` would fit this package")
    })
}

impl Error {
    /// What the failure means to a caller.
    ///
    /// [`Kind::Corrupt`] may heal when the bytes are fetched again; [`Kind::Invalid`] cannot.
    #[must_use]
    pub fn kind(&self) -> Kind {
        match self {
            Self::Corrupt(_) | Self::NotAnArchive { .. } => Kind::Corrupt,
            Self::UnsafePath { .. }
            | Self::TooLarge { .. }
            | Self::Unsupported(_)
            | Self::UnexpectedLayout { .. }
            | Self::MissingSubdirectory { .. }
            | Self::EmptyModule
            | Self::MissingExecutable { .. }
            | Self::AmbiguousExecutable { .. }
            | Self::SpecialMode { .. } => Kind::Invalid,
            Self::TimedOut { .. } | Self::Cancelled => Kind::Busy,
            Self::Io { source, .. } if is_full(source) => Kind::Unavailable,
            Self::Io { .. } => Kind::Internal,
        }
    }

    /// The reason for a condition: CamelCase, a closed set.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self {
            Self::UnsafePath { .. } => "UnsafePath",
            Self::Corrupt(_) => "Corrupt",
            Self::TooLarge { .. } => "TooLarge",
            Self::Unsupported(_) => "UnsupportedArchive",
            Self::NotAnArchive { .. } => "NotAnArchive",
            Self::UnexpectedLayout { .. } => "UnexpectedLayout",
            Self::MissingSubdirectory { .. } => "MissingSubdirectory",
            Self::EmptyModule => "EmptyModule",
            Self::MissingExecutable { .. } => "MissingExecutable",
            Self::AmbiguousExecutable { .. } => "AmbiguousExecutable",
            Self::SpecialMode { .. } => "SpecialMode",
            Self::TimedOut { .. } => "InspectionTimedOut",
            Self::Cancelled => "Cancelled",
            Self::Io { source, .. } if is_full(source) => "DiskFull",
            Self::Io { .. } => "InternalError",
        }
    }

    pub(crate) fn corrupt(what: impl Into<String>) -> Self {
        Self::Corrupt(what.into())
    }

    pub(crate) fn unsupported(what: impl Into<String>) -> Self {
        Self::Unsupported(what.into())
    }

    /// Wraps a failure of our own files.
    pub(crate) fn io(action: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io { action, source }
    }

    /// Sorts a failed read of archive bytes: what a decoder or a short file reports is the
    /// archive's fault, the rest is ours.
    pub(crate) fn read(what: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |source| match source.kind() {
            io::ErrorKind::UnexpectedEof => Self::Corrupt(format!("the {what} is cut short")),
            io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput => {
                Self::Corrupt(format!("the {what} is damaged"))
            }
            _ => Self::Io {
                action: "read archive",
                source,
            },
        }
    }
}

/// Text from an archive as it may appear in a message: escaped, at most 80 characters.
pub(crate) fn shown(raw: &[u8]) -> String {
    let raw = raw.get(..320).unwrap_or(raw);
    String::from_utf8_lossy(raw)
        .escape_debug()
        .take(80)
        .collect()
}
