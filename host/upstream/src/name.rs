//! Names that become parts of a source's URL (Z24). Everything is checked before it gets there.

use opendepot_domain::error::InvalidValue;
use opendepot_domain::{ConfigName, Version};
use std::fmt;

/// A GitHub repository.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Repository {
    owner: String,
    name: String,
}

impl Repository {
    /// Validates both parts.
    ///
    /// # Errors
    /// [`InvalidValue`] when a part could be more than one path segment.
    pub fn new(owner: &str, name: &str) -> Result<Self, InvalidValue> {
        if !is_account(owner) {
            return Err(InvalidValue::new("repository owner", owner, ACCOUNT_RULE));
        }
        let is_name = (1..=100).contains(&name.len())
            && !name.starts_with('-')
            && name.bytes().any(|b| b != b'.')
            && name
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'));
        if !is_name {
            return Err(InvalidValue::new(
                "repository name",
                name,
                "letters, digits, `.`, `_` and `-`, not dots alone, at most 100",
            ));
        }
        Ok(Self {
            owner: owner.to_owned(),
            name: name.to_owned(),
        })
    }

    /// The account.
    #[must_use]
    pub fn owner(&self) -> &str {
        &self.owner
    }

    /// The repository's own name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }
}

impl fmt::Display for Repository {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.owner, self.name)
    }
}

/// A provider at a registry. Registries write both parts in lower case, and so does this.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ProviderAddress {
    namespace: String,
    name: String,
}

impl ProviderAddress {
    /// Validates both parts.
    ///
    /// # Errors
    /// [`InvalidValue`] when a part could be more than one path segment.
    pub fn new(namespace: &str, name: &str) -> Result<Self, InvalidValue> {
        if !is_account(namespace) {
            return Err(InvalidValue::new(
                "provider namespace",
                namespace,
                ACCOUNT_RULE,
            ));
        }
        let name = ConfigName::new(name)?;
        Ok(Self {
            namespace: namespace.to_ascii_lowercase(),
            name: name.as_str().to_ascii_lowercase(),
        })
    }

    /// The organisation, in lower case.
    #[must_use]
    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    /// The provider's name, in lower case.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }
}

impl fmt::Display for ProviderAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

const ACCOUNT_RULE: &str =
    "letters, digits, `_` and `-`, starting with a letter or digit, at most 64";

fn is_account(text: &str) -> bool {
    (1..=64).contains(&text.len())
        && text
            .bytes()
            .next()
            .is_some_and(|b| b.is_ascii_alphanumeric())
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-'))
}

/// The tags that may stand for a version, in the order in which they are tried (OD-3.5).
///
/// # Errors
/// [`InvalidValue`] when `prefix` makes them something else than a tag's name.
pub(crate) fn tags(prefix: &str, version: &Version) -> Result<[String; 2], InvalidValue> {
    let tags = [format!("{prefix}v{version}"), format!("{prefix}{version}")];
    for tag in &tags {
        if !is_ref_name(tag) {
            return Err(InvalidValue::new(
                "tag",
                tag,
                "a git ref: letters, digits and `._@+/-`, no `..`, `//`, `@{`, `.lock`, no segment that starts with `.` or `-`, at most 256",
            ));
        }
    }
    Ok(tags)
}

/// Stricter than git: only what tags of releases are made of, so nothing can be an option, a
/// revision expression, a query or a climb.
fn is_ref_name(text: &str) -> bool {
    (1..=256).contains(&text.len())
        && text.bytes().all(|b| {
            b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'@' | b'+' | b'/' | b'-')
        })
        && !text.contains("..")
        && text.split('/').all(|segment| {
            !segment.is_empty()
                && !segment.starts_with(['.', '-'])
                && !segment.ends_with('.')
                && !segment.ends_with(".lock")
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hostile_names_are_refused() {
        for hostile in [
            "", ".", "..", "a/b", "a%2fb", "a?b", "a#b", "-a", "a b", "ä", "a\n", "a\\b",
        ] {
            assert!(Repository::new(hostile, "r").is_err(), "{hostile:?}");
            assert!(Repository::new("o", hostile).is_err(), "{hostile:?}");
            assert!(ProviderAddress::new(hostile, "n").is_err(), "{hostile:?}");
            assert!(ProviderAddress::new("n", hostile).is_err(), "{hostile:?}");
        }
        assert!(Repository::new("o", ".github").is_ok());
        let address = ProviderAddress::new("DataDog", "DataDog").unwrap();
        assert_eq!(address.to_string(), "datadog/datadog");
    }

    #[test]
    fn tags_with_and_without_v() {
        let version = Version::parse("v1.2.3-rc.1+build").unwrap();
        assert_eq!(
            tags("vpc/", &version).unwrap(),
            ["vpc/v1.2.3-rc.1+build", "vpc/1.2.3-rc.1+build"]
        );
    }

    #[test]
    fn refs_that_are_more_than_a_tag_are_refused() {
        let version = Version::parse("1.0.0").unwrap();
        for prefix in [
            "--upload-pack=x",
            "../../",
            "HEAD~1",
            "refs/?x=",
            "a//",
            "/",
            "a..b",
            ".x/",
            "a@{1}",
            "a b",
            "a:b",
            "a\\",
            "a^",
            "a*",
            "a[",
            "-",
            "x.lock/",
            "a\0",
            &"a".repeat(256),
        ] {
            assert!(tags(prefix, &version).is_err(), "{prefix:?}");
        }
    }
}
