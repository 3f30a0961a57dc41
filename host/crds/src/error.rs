//! Why a resource that the API server holds cannot be used as it is.

use opendepot_domain::Kind;
use opendepot_domain::error::InvalidValue;

/// What is wrong with a resource's content.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A value breaks its grammar.
    #[error(transparent)]
    Value(#[from] InvalidValue),
    /// A value that this use needs is absent.
    #[error("`{field}` must be set")]
    Missing {
        /// The field's path in the resource.
        field: &'static str,
    },
    /// More than one member of a one-of block is set.
    #[error("`{field}` must name one of {choices}, not {found}")]
    NotExactlyOne {
        /// The block's path in the resource.
        field: &'static str,
        /// The members to choose from.
        choices: &'static str,
        /// How many are set.
        found: usize,
    },
    /// A block could not be written as JSON.
    #[error("cannot write `{what}` as JSON: {source}")]
    Json {
        /// What was to be written.
        what: &'static str,
        /// The serialiser's reason.
        source: serde_json::Error,
    },
    /// The definitions could not be written as YAML.
    #[error("cannot write resource definition `{name}` as YAML: {reason}")]
    Yaml {
        /// The definition's name.
        name: String,
        /// The serialiser's reason.
        reason: String,
    },
}

impl Error {
    /// What the failure means to a caller.
    #[must_use]
    pub const fn kind(&self) -> Kind {
        match self {
            Self::Value(_) | Self::Missing { .. } | Self::NotExactlyOne { .. } => Kind::Invalid,
            Self::Json { .. } | Self::Yaml { .. } => Kind::Internal,
        }
    }
}
