//! Which entry names are safe on every system that may unpack them.

use crate::error::{Error, shown};
use crate::limits::Limits;

/// Checks an entry's name and returns it without the trailing slash of a folder.
pub(crate) fn checked<'a>(raw: &'a [u8], limits: &Limits) -> Result<&'a str, Error> {
    let refuse = |rule| Error::UnsafePath {
        path: shown(raw),
        rule,
    };
    let name = bounded(raw, limits).map_err(refuse)?;
    portable(name).map_err(refuse)?;
    let name = name.strip_suffix('/').unwrap_or(name);
    if name.starts_with('~') {
        return Err(refuse("a shell takes a leading `~` for a home folder"));
    }
    let mut depth = 0;
    for segment in name.split('/') {
        depth += 1;
        match segment {
            "" => return Err(refuse("it has an empty segment")),
            "." | ".." => return Err(refuse("`.` and `..` are not names")),
            _ if segment.ends_with(['.', ' ']) => {
                return Err(refuse("a segment ends with a dot or a space"));
            }
            _ => {}
        }
    }
    if depth > limits.depth {
        return Err(refuse("it is nested too deeply"));
    }
    Ok(name)
}

/// Checks a link's target as far as memory goes. Only a link that is packaged must lead
/// somewhere, so the rest is checked when it is followed: see [`portable`].
pub(crate) fn checked_target<'a>(
    link: &str,
    raw: &'a [u8],
    limits: &Limits,
) -> Result<&'a str, Error> {
    bounded(raw, limits).map_err(|_| Error::UnsafePath {
        path: shown(link.as_bytes()),
        rule: "the link's target is too long or not UTF-8",
    })
}

fn bounded<'a>(raw: &'a [u8], limits: &Limits) -> Result<&'a str, &'static str> {
    if raw.len() > limits.name_bytes {
        return Err("it is too long");
    }
    std::str::from_utf8(raw).map_err(|_| "it is not UTF-8")
}

/// What names and targets have in common: relative, and of characters that mean the same
/// everywhere.
pub(crate) fn portable(name: &str) -> Result<(), &'static str> {
    if name.is_empty() {
        return Err("it is empty");
    }
    if name.starts_with('/') {
        return Err("it is absolute");
    }
    if name.contains('\\') {
        return Err("it has a backslash");
    }
    if name.chars().any(char::is_control) {
        return Err("it has a control character");
    }
    if let [drive, b':', ..] = name.as_bytes()
        && drive.is_ascii_alphabetic()
    {
        return Err("it starts with a drive");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hostile_names_are_refused() {
        let long = "a".repeat(4097);
        let deep = ["d"; 65].join("/");
        for (case, name) in [
            ("empty", ""),
            ("parent", "../../x"),
            ("parent inside", "a/../../x"),
            ("parent at the end", "a/.."),
            ("absolute", "/abs"),
            ("drive", "C:\\x"),
            ("drive with slash", "c:/x"),
            ("drive relative", "C:x"),
            ("backslash parent", "..\\x"),
            ("nul", "a\0b"),
            ("newline", "a\nb"),
            ("carriage return", "a\rb"),
            ("delete", "a\x7fb"),
            ("c1 control", "a\u{85}b"),
            ("home", "~"),
            ("home of root", "~root/x"),
            ("here", "./a"),
            ("here inside", "a/./b"),
            ("empty segment", "a//b"),
            ("two trailing slashes", "a//"),
            ("slash only", "/"),
            ("trailing dot", "a./b"),
            ("trailing space", "a /b"),
            ("three dots", "..."),
            ("too long", long.as_str()),
            ("too deep", deep.as_str()),
        ] {
            let error = checked(name.as_bytes(), &Limits::module()).expect_err(case);
            assert_eq!(error.reason(), "UnsafePath", "{case}");
        }
        assert!(checked(b"a\xff", &Limits::module()).is_err());
    }

    #[test]
    fn ordinary_names_are_accepted() {
        for (name, kept) in [
            ("main.tf", "main.tf"),
            ("modules/a b/x", "modules/a b/x"),
            (".github/", ".github"),
            ("ä/~x/a:b", "ä/~x/a:b"),
            ("..a/b..c", "..a/b..c"),
        ] {
            assert_eq!(checked(name.as_bytes(), &Limits::module()).unwrap(), kept);
        }
    }
}
