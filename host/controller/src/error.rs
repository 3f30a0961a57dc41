//! Why a reconcile did not finish.

use opendepot_actors::reconciler::JobError;
use opendepot_domain::Kind;
use std::sync::Arc;

/// A failed reconcile. The object backs off; others go on.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The Kubernetes API refused or did not answer.
    #[error("cannot {attempt}: {source}")]
    Api {
        /// What was attempted.
        attempt: &'static str,
        /// Why not.
        source: Box<kube::Error>,
    },
    /// A job failed; its status has been written.
    #[error(transparent)]
    Job(#[from] Arc<JobError>),
    /// The reconcile panicked.
    #[error("the reconcile panicked")]
    Panicked,
    /// Something of our own does not add up.
    #[error("cannot {attempt}: {reason}")]
    Internal {
        /// What was attempted.
        attempt: &'static str,
        /// Why not.
        reason: String,
    },
}

impl Error {
    pub(crate) fn api(attempt: &'static str) -> impl FnOnce(kube::Error) -> Self {
        move |source| Self::Api {
            attempt,
            source: Box::new(source),
        }
    }

    /// What the failure means.
    #[must_use]
    pub fn kind(&self) -> Kind {
        match self {
            Self::Api { source, .. } => match source.as_ref() {
                kube::Error::Api(status) if status.code == 409 => Kind::Conflict,
                kube::Error::Api(status) if status.code == 404 => Kind::NotFound,
                kube::Error::Api(status) if status.code == 403 => Kind::Denied,
                kube::Error::Api(status) if status.code == 422 || status.code == 400 => {
                    Kind::Invalid
                }
                _ => Kind::Unavailable,
            },
            Self::Job(error) => error.kind(),
            Self::Panicked | Self::Internal { .. } => Kind::Internal,
        }
    }

    /// Seconds that the source asked us to wait, when it did.
    #[must_use]
    pub fn retry_after_seconds(&self) -> Option<u64> {
        match self {
            Self::Job(error) => error.retry_after_seconds(),
            _ => None,
        }
    }
}
