//! Names that cross a boundary: URL segments, storage key segments, Kubernetes names.

use crate::error::InvalidValue;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

macro_rules! name {
    ($(#[$doc:meta])* $type:ident, $what:literal, $rule:literal, $check:path) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $type(String);

        impl $type {
            /// Validates and wraps `value`.
            ///
            /// # Errors
            /// [`InvalidValue`] with the rule when the grammar does not fit.
            pub fn new(value: impl Into<String>) -> Result<Self, InvalidValue> {
                let value = value.into();
                if $check(&value) { Ok(Self(value)) } else { Err(InvalidValue::new($what, &value, $rule)) }
            }

            /// The name as written.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl FromStr for $type {
            type Err = InvalidValue;
            fn from_str(value: &str) -> Result<Self, InvalidValue> {
                Self::new(value)
            }
        }

        impl TryFrom<String> for $type {
            type Error = InvalidValue;
            fn try_from(value: String) -> Result<Self, InvalidValue> {
                Self::new(value)
            }
        }

        impl From<$type> for String {
            fn from(value: $type) -> Self {
                value.0
            }
        }

        impl AsRef<str> for $type {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }
    };
}

name!(
    /// A Kubernetes namespace: a DNS label (RFC 1123).
    Namespace, "namespace", "lower-case letters, digits and inner hyphens, at most 63", is_dns_label
);
name!(
    /// The resource name of a Module or Provider, and so the `{name}` or `{type}` of a registry
    /// address: a DNS label (reliability.md 11.7).
    ResourceName, "resource name", "lower-case letters, digits and inner hyphens, at most 63", is_dns_label
);
name!(
    /// The `name` of a `moduleConfig` or `providerConfig`: a repository or provider name at the
    /// source, and the first segment of a storage key as the original writes it.
    ConfigName, "config name", "letters, digits, `.`, `_` and `-`, starting with a letter or digit, at most 128, no `..`", is_segment
);
name!(
    /// The last segment of a storage key.
    FileName, "file name", "letters, digits, `.`, `_` and `-`, starting with a letter or digit, at most 128, no `..`", is_segment
);
name!(
    /// The name of a loaded plugin, as operators list it.
    PluginId, "plugin name", "lower-case letters, digits and inner hyphens, at most 63", is_dns_label
);

fn is_dns_label(value: &str) -> bool {
    let bytes = value.as_bytes();
    let edge = |b: &u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    (1..=63).contains(&bytes.len())
        && bytes.first().is_some_and(edge)
        && bytes.last().is_some_and(edge)
        && bytes.iter().all(|b| edge(b) || *b == b'-')
}

fn is_segment(value: &str) -> bool {
    let bytes = value.as_bytes();
    (1..=128).contains(&bytes.len())
        && bytes.first().is_some_and(u8::is_ascii_alphanumeric)
        && bytes
            .iter()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'))
        && !value.contains("..")
        && !value.ends_with('.')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hostile_names_are_refused_by_every_type() {
        for hostile in [
            "",
            ".",
            "..",
            "a/b",
            "a\\b",
            "a%2fb",
            "a?b",
            "a#b",
            "a\0b",
            "a\nb",
            "-a",
            "ä",
            &"a".repeat(200),
        ] {
            assert!(Namespace::new(hostile).is_err(), "{hostile:?}");
            assert!(ResourceName::new(hostile).is_err(), "{hostile:?}");
            assert!(ConfigName::new(hostile).is_err(), "{hostile:?}");
            assert!(FileName::new(hostile).is_err(), "{hostile:?}");
        }
        assert!(ConfigName::new("a..b").is_err());
        assert!(FileName::new("x.").is_err());
    }

    #[test]
    fn names_of_the_field_are_accepted() {
        assert!(ResourceName::new("terraform-aws-eks").is_ok());
        assert!(ConfigName::new("Terraform_AWS.eks").is_ok());
        assert!(FileName::new("019726b3-0000-7000-8000-000000000000.tar.gz").is_ok());
    }
}
