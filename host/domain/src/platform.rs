//! Operating system and architecture of a provider package.

use crate::error::InvalidValue;
use serde::{Deserialize, Serialize};
use std::fmt;

/// A platform such as `linux_amd64`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Platform {
    os: String,
    arch: String,
}

impl Platform {
    /// Validates both parts.
    ///
    /// # Errors
    /// [`InvalidValue`] when a part is not 1 to 32 lower-case letters and digits.
    pub fn new(os: &str, arch: &str) -> Result<Self, InvalidValue> {
        for part in [os, arch] {
            if !(1..=32).contains(&part.len())
                || !part
                    .bytes()
                    .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit())
            {
                return Err(InvalidValue::new(
                    "platform",
                    part,
                    "lower-case letters and digits, at most 32",
                ));
            }
        }
        Ok(Self {
            os: os.to_owned(),
            arch: arch.to_owned(),
        })
    }

    /// The operating system, as Go names it.
    #[must_use]
    pub fn os(&self) -> &str {
        &self.os
    }

    /// The architecture, as Go names it.
    #[must_use]
    pub fn arch(&self) -> &str {
        &self.arch
    }
}

impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}_{}", self.os, self.arch)
    }
}
