//! Keys below a store, made of names.
//!
//! One grammar for all stores, the narrowest: that of the host's file store. What bounds a key:
//! [`MAX_BYTES`], and [`MAX_SEGMENTS`] of at most [`MAX_SEGMENT_BYTES`]. What it refuses: segments
//! that are empty, `.` or `..`, and slashes, backslashes and control characters in them.

use crate::artifact::Artifact;
use crate::settings::{Object, shown};
use crate::storage::Error;

/// The longest key, in bytes.
pub const MAX_BYTES: usize = 1024;

/// The longest segment, in bytes.
pub const MAX_SEGMENT_BYTES: usize = 255;

/// The most segments of a key.
pub const MAX_SEGMENTS: usize = 16;

/// Joins segments with `/`, when they make a key. A segment with a slash in it is refused, so that
/// a name cannot climb or branch.
///
/// # Errors
/// The reason, with the segment concerned.
///
/// ```
/// use opendepot_plugin_sdk::key;
///
/// assert_eq!(key::join(["modules", "vpc", "1.0.0.zip"]).unwrap(), "modules/vpc/1.0.0.zip");
/// assert!(key::join(["modules", ".."]).is_err());
/// ```
pub fn join<'a>(segments: impl IntoIterator<Item = &'a str>) -> Result<String, String> {
    let segments: Vec<&str> = segments.into_iter().collect();
    for segment in &segments {
        check_segment(segment)
            .map_err(|reason| format!("`{}` cannot be part of a key: {reason}", shown(segment)))?;
    }
    let key = segments.join("/");
    check(&key)?;
    Ok(key)
}

/// Checks a whole key.
///
/// # Errors
/// What is wrong with it.
pub fn check(key: &str) -> Result<(), &'static str> {
    if key.len() > MAX_BYTES {
        return Err("longer than 1024 bytes");
    }
    if key.split('/').count() > MAX_SEGMENTS {
        return Err("more than 16 segments");
    }
    key.split('/').try_for_each(check_segment)
}

/// Checks one segment.
///
/// # Errors
/// What is wrong with it.
pub fn check_segment(segment: &str) -> Result<(), &'static str> {
    if segment.is_empty() {
        return Err("an empty segment");
    }
    if segment == "." || segment == ".." {
        return Err("a segment is `.` or `..`");
    }
    if segment.len() > MAX_SEGMENT_BYTES {
        return Err("a segment is longer than 255 bytes");
    }
    if segment.chars().any(char::is_control) {
        return Err("a control character");
    }
    if segment.contains('\\') {
        return Err("a backslash");
    }
    if segment.contains('/') {
        return Err("a slash");
    }
    Ok(())
}

/// The segments of a path as people write it: slashes at its ends and empty parts are dropped. How
/// many there may be is for whoever makes a key of them.
///
/// # Errors
/// What is wrong with one of the rest.
pub fn segments(path: &str) -> Result<Vec<&str>, &'static str> {
    let segments: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
    segments.iter().copied().try_for_each(check_segment)?;
    Ok(segments)
}

/// The [`segments`] of the folder that a setting names; a problem when no key can begin with them.
/// `""` is a folder without segments, not an absent one.
#[must_use]
pub fn folder(object: &Object<'_>, setting: &str) -> Option<Vec<String>> {
    let text = object.text(setting)?;
    let folder = segments(text).and_then(|segments| {
        if !segments.is_empty() {
            check(&segments.join("/"))?;
        }
        Ok(segments.into_iter().map(str::to_owned).collect())
    });
    if let Err(reason) = &folder {
        object.problem(
            setting,
            format!("`{}` cannot be used: {reason}", shown(text)),
        );
    }
    folder.ok()
}

/// The key of an artifact below a folder, as the original has it: `{folder}/{config name}/{file}`.
///
/// # Errors
/// [`Error::Other`] with the reason why it makes no key.
pub fn of_artifact(folder: &[String], artifact: &Artifact) -> Result<String, Error> {
    let (name, file) = (artifact.config_name(), artifact.file_name.as_str());
    let folder = folder.iter().map(String::as_str);
    join(folder.chain([name, file])).map_err(|reason| {
        Error::Other(format!(
            "cannot place `{}`: {reason}",
            shown(&format!("{name}/{file}"))
        ))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn only_plain_segments_make_a_key() {
        assert_eq!(join(["a", "b-1.zip"]).as_deref(), Ok("a/b-1.zip"));
        for bad in ["", ".", "..", "a/b", "a\\b", "a\nb", "\0", "a\u{85}"] {
            assert!(join(["a", bad]).is_err(), "{bad:?}");
            assert!(join([bad]).is_err(), "{bad:?}");
        }
        assert!(join([]).is_err());
    }

    #[test]
    fn a_key_has_bounds() {
        let long = "x".repeat(MAX_SEGMENT_BYTES);
        assert!(join([long.as_str(); 4]).is_ok());
        assert!(join([long.as_str(); 5]).is_err(), "bytes");
        assert!(join([format!("{long}x").as_str()]).is_err(), "a segment");
        assert!(join(["x"; MAX_SEGMENTS]).is_ok());
        assert!(join(["x"; MAX_SEGMENTS + 1]).is_err(), "segments");
    }

    #[test]
    fn a_path_is_read_as_people_write_it() {
        for (path, expected) in [
            ("", Ok(vec![])),
            ("/", Ok(vec![])),
            ("a", Ok(vec!["a"])),
            ("/a//b/", Ok(vec!["a", "b"])),
            ("a/../b", Err("a segment is `.` or `..`")),
            ("a\\b", Err("a backslash")),
        ] {
            assert_eq!(segments(path), expected, "{path}");
        }
    }

    proptest! {
        #[test]
        fn what_is_joined_passes_the_check(
            segments in prop::collection::vec("[a-z./\\\\\\n]{0,3}", 0..18),
        ) {
            if let Ok(key) = join(segments.iter().map(String::as_str)) {
                prop_assert_eq!(check(&key), Ok(()));
                prop_assert_eq!(key.split('/').count(), segments.len());
            }
        }
    }
}
