//! What can go wrong, and what to do about it.

use crate::artifact::{ArtifactError, Part};
use crate::docker::DockerError;
use crate::reference::ReferenceError;
use opendepot_domain::{Kind, Sha256};
use std::path::PathBuf;

/// A plugin that could not be pulled. No text in it is a secret or an answer's body.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OciError {
    /// The reference is none, or has no digest.
    #[error(transparent)]
    Reference(#[from] ReferenceError),
    /// The docker configuration file cannot be used.
    #[error(transparent)]
    Docker(#[from] DockerError),
    /// The request failed, or the egress policy refuses it.
    #[error(transparent)]
    Fetch(#[from] opendepot_transfer::Error),
    /// The registry does not have it.
    #[error("`{registry}` has no {what}: check the repository's name and the digest")]
    NotFound {
        /// The registry's host.
        registry: String,
        /// The manifest or blob.
        what: String,
    },
    /// The registry wants credentials and there are none.
    #[error(
        "`{registry}` wants credentials for `{repository}`: name a docker configuration file in \
         `pluginPolicy.dockerConfig`, with an entry `{registry}` under `auths`"
    )]
    CredentialsMissing {
        /// The registry's host.
        registry: String,
        /// The repository.
        repository: String,
    },
    /// The registry, or its token server, refuses the credentials.
    #[error(
        "`{host}` refuses the credentials for `{repository}`: correct the entry `{host}` under \
         `auths` in `{file}`, or let its user read that repository"
    )]
    CredentialsRefused {
        /// Who refuses.
        host: String,
        /// The repository.
        repository: String,
        /// The docker configuration file.
        file: PathBuf,
    },
    /// The registry refuses although it said what it wants, or in a way we do not speak.
    #[error("`{registry}` refuses access to `{repository}`: {reason}")]
    Denied {
        /// The registry's host.
        registry: String,
        /// The repository.
        repository: String,
        /// Why.
        reason: &'static str,
    },
    /// The registry sends us to another host with credentials that are not for it.
    #[error(
        "`{registry}` wants its credentials to be sent to `{realm}`, which is not done: if that is \
         right, add an entry `{realm}` under `auths` in the docker configuration file"
    )]
    Realm {
        /// The registry's host.
        registry: String,
        /// The token server's host.
        realm: String,
    },
    /// The token server does not speak TLS.
    #[error("the token server `{realm}` that `{registry}` names is not reached by https")]
    InsecureRealm {
        /// The registry's host.
        registry: String,
        /// The token server's host.
        realm: String,
    },
    /// The token server's answer is none.
    #[error("the answer of the token server `{realm}` holds no usable token")]
    Token {
        /// The token server's host.
        realm: String,
    },
    /// The manifest is not one of a plugin.
    #[error(transparent)]
    Artifact(#[from] ArtifactError),
    /// Bytes of another digest than asked for.
    #[error("the {what} has digest `sha256:{actual}`, expected `sha256:{expected}`")]
    Digest {
        /// What was received.
        what: &'static str,
        /// Of the received bytes.
        actual: Sha256,
        /// As the reference or the manifest says.
        expected: Sha256,
    },
    /// More or fewer bytes than the manifest says.
    #[error("the {} is {} than the {expected} bytes that the manifest says",
        part.what(), if *is_larger { "larger" } else { "smaller" })]
    Size {
        /// The blob.
        part: Part,
        /// As the manifest says.
        expected: u64,
        /// In which way it is wrong.
        is_larger: bool,
    },
    /// The component is packed, or no wasm at all.
    #[error("the layer `application/wasm` is {found}, expected a wasm binary as it is")]
    NotWasm {
        /// What it looks like.
        found: &'static str,
    },
    /// It took too long.
    #[error("no answer in time: what was received is thrown away")]
    Late,
    /// The cache folder cannot be used.
    #[error("cannot use the cache of plugins `{path}`: {source}")]
    Cache {
        /// The file or folder.
        path: PathBuf,
        /// The cause.
        source: std::io::Error,
    },
    /// Our own fault.
    #[error("the pull ended early")]
    Internal,
}

impl OciError {
    /// What the failure means: whether trying again can help.
    #[must_use]
    pub const fn kind(&self) -> Kind {
        match self {
            Self::Reference(_) | Self::Docker(_) | Self::Artifact(_) | Self::NotWasm { .. } => {
                Kind::Invalid
            }
            Self::Fetch(error) => error.kind(),
            Self::NotFound { .. } => Kind::NotFound,
            Self::CredentialsMissing { .. }
            | Self::CredentialsRefused { .. }
            | Self::Denied { .. }
            | Self::Realm { .. }
            | Self::InsecureRealm { .. } => Kind::Denied,
            Self::Digest { .. } | Self::Size { .. } => Kind::Corrupt,
            Self::Token { .. } | Self::Late | Self::Cache { .. } => Kind::Unavailable,
            Self::Internal => Kind::Internal,
        }
    }
}
