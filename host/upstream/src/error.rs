//! What can go wrong at a source, and what it means to a caller.

use opendepot_domain::Kind;
use opendepot_domain::error::InvalidValue;

/// A source that could not be found, read or trusted. URLs carry no query and no user info.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The exchange failed or was refused.
    #[error(transparent)]
    Fetch(#[from] opendepot_transfer::Error),
    /// A name or version breaks its grammar.
    #[error(transparent)]
    Value(#[from] InvalidValue),
    /// The repository does not exist, or our credentials do not show it.
    #[error("cannot find repository `{repository}`")]
    RepositoryNotFound {
        /// Owner and name.
        repository: String,
    },
    /// None of the tags exists.
    #[error("cannot find a tag {tags} in repository `{repository}`")]
    TagNotFound {
        /// Owner and name.
        repository: String,
        /// The tags tried, in backticks.
        tags: String,
    },
    /// The answer is not what the protocol asks for.
    #[error("cannot use the answer of `{url}`: {reason}")]
    Answer {
        /// Who answered.
        url: String,
        /// What is wrong.
        reason: String,
    },
    /// What came is no archive.
    #[error("cannot use what `{url}` sent: it is no archive but starts with `{start}`")]
    NotAnArchive {
        /// Who sent it.
        url: String,
        /// Its first bytes, escaped.
        start: String,
    },
    /// The registry does not have the provider.
    #[error("cannot find provider `{provider}`")]
    ProviderNotFound {
        /// Organisation and name.
        provider: String,
    },
    /// The source does not have this version for this platform.
    #[error("provider `{provider}` {version} is not available for {platform}")]
    PlatformUnavailable {
        /// Organisation and name, or the folder.
        provider: String,
        /// The version.
        version: String,
        /// The platform.
        platform: String,
    },
    /// The digest of a release file is missing, malformed or different.
    #[error("cannot verify `{file}`: {reason}")]
    Digest {
        /// The file.
        file: String,
        /// What is wrong.
        reason: String,
    },
    /// The release carries no signature.
    #[error("release of `{provider}` {version} is not signed")]
    Unsigned {
        /// Organisation and name.
        provider: String,
        /// The version.
        version: String,
    },
    /// None of the keys that the registry lists is trusted.
    #[error("release of `{provider}` is signed by {listed}, not by a trusted key ({trusted})")]
    UnknownKey {
        /// Organisation and name.
        provider: String,
        /// The keys that the registry lists.
        listed: String,
        /// The keys that count.
        trusted: String,
    },
    /// The signature or its key is wrong.
    #[error("cannot verify the signature of `{provider}` {version}: {source}")]
    Signature {
        /// Organisation and name.
        provider: String,
        /// The version.
        version: String,
        /// Why.
        source: opendepot_signing::Error,
    },
    /// The path leaves its root, or something on it is not what it must be.
    #[error("cannot use path `{path}`: {reason}")]
    Path {
        /// The path beneath its root.
        path: String,
        /// Why not.
        reason: String,
    },
    /// Nothing is at the path.
    #[error("cannot find `{path}`")]
    PathNotFound {
        /// The path beneath its root.
        path: String,
    },
    /// The system could not read it.
    #[error("cannot read `{path}`: {reason}")]
    Io {
        /// The path beneath its root.
        path: String,
        /// Why not.
        reason: String,
    },
    /// A task of ours ended early.
    #[error("cannot {attempt}: its task ended early")]
    Task {
        /// What was attempted.
        attempt: &'static str,
    },
}

impl Error {
    /// What the failure means to a caller.
    #[must_use]
    pub const fn kind(&self) -> Kind {
        match self {
            Self::Fetch(error) => error.kind(),
            Self::Value(_) | Self::Path { .. } => Kind::Invalid,
            Self::RepositoryNotFound { .. }
            | Self::TagNotFound { .. }
            | Self::ProviderNotFound { .. }
            | Self::PlatformUnavailable { .. }
            | Self::PathNotFound { .. } => Kind::NotFound,
            Self::Answer { .. } | Self::NotAnArchive { .. } | Self::Io { .. } => Kind::Unavailable,
            Self::Digest { .. } => Kind::Corrupt,
            Self::Unsigned { .. } | Self::UnknownKey { .. } => Kind::Denied,
            Self::Signature { source, .. } => source.kind(),
            Self::Task { .. } => Kind::Internal,
        }
    }

    /// The reason that a condition carries for it: CamelCase, a closed set.
    #[must_use]
    pub const fn reason(&self) -> &'static str {
        use opendepot_transfer::Error as Fetch;
        match self {
            Self::Fetch(Fetch::RateLimited { .. }) => "RateLimited",
            Self::Fetch(Fetch::Denied { .. }) => "AuthenticationFailed",
            Self::Fetch(Fetch::Refused { .. }) => "SourceForbidden",
            Self::Fetch(Fetch::NotFound { .. }) => "SourceNotFound",
            Self::Fetch(Fetch::TooLarge { .. }) => "TooLarge",
            Self::Fetch(Fetch::Busy { .. }) => "Busy",
            Self::Fetch(Fetch::DiskFull { .. }) => "DiskFull",
            Self::Fetch(Fetch::Internal { .. }) | Self::Task { .. } => "InternalError",
            Self::Fetch(_) | Self::Io { .. } => "SourceUnreachable",
            Self::Value(_) => "InvalidSpec",
            Self::RepositoryNotFound { .. }
            | Self::TagNotFound { .. }
            | Self::ProviderNotFound { .. }
            | Self::PathNotFound { .. } => "SourceNotFound",
            Self::PlatformUnavailable { .. } => "PlatformUnavailable",
            Self::Answer { .. } | Self::NotAnArchive { .. } => "SourceInvalid",
            Self::Digest { .. } => "DigestMismatch",
            Self::Unsigned { .. } => "Unsigned",
            Self::UnknownKey { .. } => "SigningKeyUnknown",
            Self::Signature { source, .. } => match source {
                opendepot_signing::Error::UnknownIssuer { .. } => "SigningKeyUnknown",
                _ => "SignatureInvalid",
            },
            Self::Path { .. } => "UnsafePath",
        }
    }

    /// Seconds that the source asked us to wait, when it did. Callers add jitter.
    #[must_use]
    pub const fn retry_after_seconds(&self) -> Option<u64> {
        match self {
            Self::Fetch(error) => error.retry_after_seconds(),
            _ => None,
        }
    }
}
