//! The closed set of failure kinds that every crate's error maps to.

use std::fmt;

/// What a failure means to a caller. HTTP status, requeue delay and metric label are total
/// functions of it (architecture.md 7).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// The thing named does not exist.
    NotFound,
    /// The caller is known and may not.
    Denied,
    /// The caller is not known.
    Unauthenticated,
    /// The input can never work as it is.
    Invalid,
    /// Something else holds what was asked for, or changed meanwhile.
    Conflict,
    /// No capacity at this moment; the same call may work soon.
    Busy,
    /// A neighbour is down or answered wrongly.
    Unavailable,
    /// Bytes are not what their record says.
    Corrupt,
    /// Our own fault.
    Internal,
}

impl Kind {
    /// The metric label: lower case, closed set.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::NotFound => "not_found",
            Self::Denied => "denied",
            Self::Unauthenticated => "unauthenticated",
            Self::Invalid => "invalid",
            Self::Conflict => "conflict",
            Self::Busy => "busy",
            Self::Unavailable => "unavailable",
            Self::Corrupt => "corrupt",
            Self::Internal => "internal",
        }
    }

    /// Seconds until work that failed this way is worth trying again, before back-off and
    /// jitter; `None` where only a change of the input can help.
    #[must_use]
    pub const fn requeue_after_seconds(self) -> Option<u64> {
        match self {
            Self::Invalid => None,
            Self::Busy | Self::Conflict => Some(1),
            Self::Unavailable | Self::Internal | Self::NotFound => Some(5),
            Self::Denied | Self::Unauthenticated | Self::Corrupt => Some(60),
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.label())
    }
}

/// A value that its type refuses.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{value}` is not a valid {what}: {rule}")]
pub struct InvalidValue {
    /// What the value was meant to be, such as `version`.
    pub what: &'static str,
    /// The offending value, escaped and shortened.
    pub value: String,
    /// The rule that it breaks.
    pub rule: &'static str,
}

impl InvalidValue {
    /// Builds the error; the value is escaped and cut to 80 characters.
    #[must_use]
    pub fn new(what: &'static str, value: &str, rule: &'static str) -> Self {
        let value: String = value.escape_debug().take(80).collect();
        Self { what, value, rule }
    }
}
