//! Versions of modules and providers, SemVer 2.0 as clients use it.

use crate::error::InvalidValue;
use serde::{Deserialize, Serialize};
use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;

/// A canonical version: SemVer without the leading `v`.
///
/// Ordered by SemVer precedence; build metadata breaks ties by text so that the order is total.
/// Two versions that differ in build metadata alone are *one* version to a registry
/// (contract.md 3): see [`Version::is_same_release`].
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Version(semver::Version);

impl Version {
    /// Parses with or without one leading `v`.
    ///
    /// # Errors
    /// [`InvalidValue`] when the rest is not SemVer 2.0 or is longer than 128 characters.
    pub fn parse(text: &str) -> Result<Self, InvalidValue> {
        let bare = text.strip_prefix('v').unwrap_or(text);
        let refuse = || {
            InvalidValue::new(
                "version",
                text,
                "SemVer such as `1.2.3`, with or without `v`",
            )
        };
        if bare.len() > 128 {
            return Err(refuse());
        }
        semver::Version::parse(bare).map(Self).map_err(|_| refuse())
    }

    /// Whether both name the same release: equal but for build metadata.
    #[must_use]
    pub fn is_same_release(&self, other: &Self) -> bool {
        self.release_key() == other.release_key()
    }

    /// The text that identifies the release: canonical, without build metadata.
    #[must_use]
    pub fn release_key(&self) -> String {
        let mut bare = self.0.clone();
        bare.build = semver::BuildMetadata::EMPTY;
        bare.to_string()
    }

    /// Whether the version carries a pre-release part.
    #[must_use]
    pub fn is_prerelease(&self) -> bool {
        !self.0.pre.is_empty()
    }

    /// Major, minor and patch.
    #[must_use]
    pub const fn triple(&self) -> (u64, u64, u64) {
        (self.0.major, self.0.minor, self.0.patch)
    }

    /// The pre-release part, empty for a normal release.
    #[must_use]
    pub fn prerelease(&self) -> &str {
        self.0.pre.as_str()
    }

    /// Compares by SemVer precedence alone: build metadata counts for nothing.
    #[must_use]
    pub fn cmp_precedence(&self, other: &Self) -> Ordering {
        self.0.cmp_precedence(&other.0)
    }

    /// The part of a Kubernetes object name that stands for this version, as the original writes
    /// it: lower case, `.` and `_` to `-`; `+` to `-` as well, which the original left out.
    #[must_use]
    pub fn object_name_part(&self) -> String {
        self.0
            .to_string()
            .to_lowercase()
            .replace(['.', '_', '+'], "-")
    }
}

impl PartialOrd for Version {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Version {
    fn cmp(&self, other: &Self) -> Ordering {
        self.0
            .cmp_precedence(&other.0)
            .then_with(|| self.0.build.as_str().cmp(other.0.build.as_str()))
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for Version {
    type Err = InvalidValue;
    fn from_str(text: &str) -> Result<Self, InvalidValue> {
        Self::parse(text)
    }
}

impl TryFrom<String> for Version {
    type Error = InvalidValue;
    fn try_from(text: String) -> Result<Self, InvalidValue> {
        Self::parse(&text)
    }
}

impl From<Version> for String {
    fn from(version: Version) -> Self {
        version.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn version(text: &str) -> Version {
        Version::parse(text).unwrap()
    }

    #[test]
    fn leading_v_is_dropped_once() {
        assert_eq!(version("v1.2.3").to_string(), "1.2.3");
        assert!(Version::parse("vv1.2.3").is_err());
    }

    #[test]
    fn prerelease_sorts_before_its_release() {
        assert!(version("1.0.0-rc1") < version("1.0.0"));
        assert!(version("1.0.0-rc.2") < version("1.0.0-rc.10"));
    }

    #[test]
    fn build_metadata_is_not_another_release() {
        assert!(version("1.0.0+a").is_same_release(&version("1.0.0+b")));
        assert_ne!(version("1.0.0+a"), version("1.0.0+b"));
    }

    #[test]
    fn garbage_is_refused() {
        for text in [
            "", "1", "1.2", "1.2.3.4", "01.2.3", "1.2.3/..", "latest", "1.2.3 ", "１.2.3",
        ] {
            assert!(Version::parse(text).is_err(), "{text}");
        }
    }
}
