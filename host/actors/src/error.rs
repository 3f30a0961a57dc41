//! Failures of a call to an actor.

use opendepot_domain::Kind;

/// Why a call to an actor failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Every permit is taken.
    #[error("`{actor}` is at capacity")]
    Busy {
        /// The actor's name.
        actor: &'static str,
    },
    /// The actor is restarting, shutting down, or gave no reply in time.
    #[error("`{actor}` gave no reply")]
    Unavailable {
        /// The actor's name.
        actor: &'static str,
    },
    /// A storage plugin or its plan failed.
    #[error(transparent)]
    Storage(#[from] opendepot_domain::seam::SeamError),
    /// Moving bytes failed.
    #[error(transparent)]
    Transfer(#[from] opendepot_transfer::Error),
}

impl Error {
    /// What the failure means to a caller.
    #[must_use]
    pub fn kind(&self) -> Kind {
        match self {
            Self::Busy { .. } => Kind::Busy,
            Self::Unavailable { .. } => Kind::Unavailable,
            Self::Storage(error) => error.kind,
            Self::Transfer(error) => error.kind(),
        }
    }
}
