//! Why a function was not called: mistakes in the input, with their place.

use crate::world::World;
use serde_json::Value;

/// Why a function was not called.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvokeError {
    /// The world has no such function.
    #[error("the {world} world has no function `{function}`; it has {accepted}")]
    Function {
        /// What was asked for.
        function: String,
        /// The component's world.
        world: World,
        /// Its functions.
        accepted: String,
    },
    /// The input is no object, or has a member that nothing takes.
    #[error("the input has `{path}`, which nothing takes; accepted are {accepted}")]
    Unknown {
        /// Where.
        path: String,
        /// What is accepted there.
        accepted: String,
    },
    /// A member is missing.
    #[error("the input lacks `{path}`: {expected}")]
    Missing {
        /// Where.
        path: String,
        /// What is accepted there.
        expected: String,
    },
    /// A value is of another type.
    #[error("`{path}` of the input is {expected}, not `{found}`")]
    Type {
        /// Where; `.` for the whole.
        path: String,
        /// What is accepted there.
        expected: String,
        /// What is there, cut.
        found: String,
    },
    /// An argument that nobody gave comes from another function, which did not answer.
    #[error(
        "`{argument}` is not given, and asking `{function}` for it ended with: {reason}; give it in the input, \
         or settings that the plugin accepts"
    )]
    Unanswered {
        /// The argument.
        argument: &'static str,
        /// The function asked.
        function: &'static str,
        /// What came of it.
        reason: String,
    },
}

impl InvokeError {
    pub(super) fn input(path: &str, expected: &str, found: &Value) -> Self {
        Self::Type {
            path: if path.is_empty() { "." } else { path }.to_owned(),
            expected: crate::text::cut(expected, 1000).replace("\\\"", "\""),
            found: crate::text::cut(&found.to_string(), 120).replace("\\\"", "\""),
        }
    }
}
