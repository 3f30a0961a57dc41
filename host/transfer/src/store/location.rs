//! Stores and keys as plans name them, checked before anything is opened.

use crate::error::Error;
use crate::sweep::{MAX_DEPTH, TEMP_PREFIX};
use std::fmt;
use std::path::{Component, Path, PathBuf};

const MAX_KEY_BYTES: usize = 1024;
const MAX_SEGMENT_BYTES: usize = 255;

/// The kinds of store that a plan may name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scheme {
    File,
    /// A store of a cloud: see [`Remote`].
    Remote,
}

/// A store of a cloud, as a plan names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Remote<'a> {
    S3 {
        bucket: &'a str,
    },
    Gcs {
        bucket: &'a str,
    },
    Azure {
        account: &'a str,
        container: &'a str,
    },
}

impl<'a> Remote<'a> {
    /// Parses `s3://bucket`, `gs://bucket` or `az://account/container`. Names become parts of host
    /// names and paths, so they hold nothing that means something there.
    pub(crate) fn parse(store: &'a str) -> Result<Self, Error> {
        let refuse = || {
            Error::invalid(
                format!("use store `{}`", store.escape_debug()),
                "it is none of `s3://bucket`, `gs://bucket` and `az://account/container`",
            )
        };
        let is_name = |name: &str, others: &[u8]| {
            (1..=222).contains(&name.len())
                && name
                    .bytes()
                    .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || others.contains(&b))
                && name.bytes().any(|b| b.is_ascii_alphanumeric())
                && !name.starts_with(['.', '-'])
                && !name.contains("..")
        };
        let (scheme, rest) = store.split_once("://").ok_or_else(refuse)?;
        match scheme {
            "s3" if is_name(rest, b"-._") => Ok(Self::S3 { bucket: rest }),
            "gs" if is_name(rest, b"-._") => Ok(Self::Gcs { bucket: rest }),
            "az" => match rest.split_once('/') {
                Some((account, container))
                    if is_name(account, b"") && is_name(container, b"-$") =>
                {
                    Ok(Self::Azure { account, container })
                }
                _ => Err(refuse()),
            },
            _ => Err(refuse()),
        }
    }
}

impl Remote<'_> {
    /// The metric label.
    pub(crate) const fn label(&self) -> &'static str {
        match self {
            Self::S3 { .. } => "s3",
            Self::Gcs { .. } => "gcs",
            Self::Azure { .. } => "azure",
        }
    }
}

impl Scheme {
    /// Splits `store` into its scheme and the rest after `://`.
    pub(crate) fn parse(store: &str) -> Result<(Self, &str), Error> {
        let refuse = |reason: String| Error::invalid(format!("use store `{store}`"), reason);
        let Some((scheme, rest)) = store.split_once("://") else {
            return Err(refuse("it has no scheme such as `file://`".to_owned()));
        };
        match scheme {
            "file" => Ok((Self::File, rest)),
            "s3" | "gs" | "az" => Ok((Self::Remote, rest)),
            _ => Err(refuse(format!("the scheme `{scheme}` is unknown"))),
        }
    }
}

/// The absolute directory of a `file://` store; `/` stands for the filesystem root of the
/// configuration. The text is taken literally, never percent-decoded.
pub(crate) fn directory(store: &str, rest: &str) -> Result<PathBuf, Error> {
    let refuse = |reason: &str| Error::invalid(format!("use store `{store}`"), reason);
    if !rest.starts_with('/') {
        return Err(refuse("its directory is not absolute"));
    }
    if rest.bytes().any(|byte| byte.is_ascii_control()) {
        return Err(refuse("its directory holds a control character"));
    }
    if rest != "/" {
        let inner = rest.trim_start_matches('/').trim_end_matches('/');
        if rest.starts_with("//") || inner.split('/').any(|part| matches!(part, "" | "." | "..")) {
            return Err(refuse("its directory holds `..`, `.` or an empty part"));
        }
    }
    Ok(PathBuf::from(rest))
}

/// A configured directory: absolute, without `..`, not `/`.
pub(crate) fn configured(path: &Path) -> Result<PathBuf, String> {
    if path.as_os_str().is_empty() {
        return Err("the directory is empty".to_owned());
    }
    let shown = path.display();
    let absolute = std::path::absolute(path).map_err(|error| format!("`{shown}`: {error}"))?;
    if absolute
        .components()
        .any(|part| part == Component::ParentDir)
    {
        return Err(format!("`{shown}` holds `..`"));
    }
    // Collected again, so that a trailing slash cannot make the kernel follow a final link.
    let absolute: PathBuf = absolute.components().collect();
    if absolute.parent().is_none() {
        return Err(format!("`{shown}` is the root of the file system"));
    }
    Ok(absolute)
}

/// A path relative to a store's root: non-empty segments, none of them `.` or `..`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Key(String);

impl Key {
    /// Checks `key` under `prefix`, the part of the store's directory below the root.
    pub(crate) fn new(prefix: &Path, key: &str) -> Result<Self, Error> {
        let refuse = |reason: &str| {
            let shown: String = key.escape_debug().take(200).collect();
            Error::invalid(format!("use key `{shown}`"), reason)
        };
        let mut whole = String::new();
        for part in prefix.components() {
            let text = part.as_os_str().to_str();
            whole.push_str(text.ok_or_else(|| refuse("its store is not UTF-8"))?);
            whole.push('/');
        }
        whole.push_str(key);
        if whole.len() > MAX_KEY_BYTES {
            return Err(refuse("it is longer than 1024 bytes"));
        }
        if whole.chars().any(char::is_control) {
            return Err(refuse("it holds a control character"));
        }
        if whole.contains('\\') {
            return Err(refuse("it holds a backslash"));
        }
        if whole.split('/').count() > MAX_DEPTH {
            return Err(refuse("it has more than 16 segments"));
        }
        for segment in whole.split('/') {
            if segment.is_empty() {
                return Err(refuse("it has an empty segment"));
            }
            if segment == "." || segment == ".." {
                return Err(refuse("a segment is `.` or `..`"));
            }
            if segment.len() > MAX_SEGMENT_BYTES {
                return Err(refuse("a segment is longer than 255 bytes"));
            }
            if segment.starts_with(TEMP_PREFIX) {
                return Err(refuse("a segment has the name of a temporary file"));
            }
        }
        Ok(Self(whole))
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    /// The directories above the object, outermost first.
    pub(crate) fn parents(&self) -> impl DoubleEndedIterator<Item = &str> {
        let parents = self.0.rsplit_once('/').map(|(parents, _)| parents);
        parents.into_iter().flat_map(|parents| parents.split('/'))
    }

    /// The last segment.
    pub(crate) fn file_name(&self) -> &str {
        self.0.rsplit_once('/').map_or(&self.0, |(_, name)| name)
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hostile_keys_are_refused() {
        for (name, key) in [
            ("empty", ""),
            ("parent", "../x"),
            ("parent inside", "a/../../x"),
            ("dot", "a/./x"),
            ("absolute", "/etc/passwd"),
            ("double slash", "a//x"),
            ("trailing slash", "a/"),
            ("NUL", "a\0b"),
            ("newline", "a\nb"),
            ("backslash", "..\\x"),
            ("temporary file", "a/.opendepot-tmp-1"),
            ("too long", &"a/".repeat(700)),
            ("long segment", &"a".repeat(256)),
            ("too deep", &["a"; 17].join("/")),
        ] {
            assert!(Key::new(Path::new(""), key).is_err(), "{name}");
        }
        let key = Key::new(Path::new("team"), "aws/x.zip").unwrap();
        assert_eq!(key.as_str(), "team/aws/x.zip");
        assert_eq!(key.parents().collect::<Vec<_>>(), ["team", "aws"]);
        assert_eq!(key.file_name(), "x.zip");
        let flat = Key::new(Path::new(""), "x.zip").unwrap();
        assert_eq!(flat.parents().count(), 0);
    }

    #[test]
    fn hostile_stores_are_refused() {
        for store in [
            "file://relative",
            "file:///a/../b",
            "file:///a//b",
            "file:////a",
            "file:///a/.",
            "file:///a\nb",
        ] {
            let (_, rest) = Scheme::parse(store).unwrap();
            assert!(directory(store, rest).is_err(), "{store}");
        }
        for store in ["ftp://x", "/data", ""] {
            assert!(Scheme::parse(store).is_err(), "{store}");
        }
        for store in [
            "s3://",
            "s3://b/k",
            "s3://a@b",
            "s3://b?x",
            "s3://b:80",
            "s3://B",
            "s3://..",
            "s3://-b",
            "gs://a%2fb",
            "az://a",
            "az://a/b/c",
            "az://a.example/c",
            "file:///b",
        ] {
            assert!(Remote::parse(store).is_err(), "{store}");
        }
        for store in ["s3://b.c-1", "gs://b_c", "az://account/container-1"] {
            assert!(Remote::parse(store).is_ok(), "{store}");
        }
        for path in ["/", "a/../b", "", "//"] {
            assert!(configured(Path::new(path)).is_err(), "{path}");
        }
    }
}
