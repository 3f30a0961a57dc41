//! Keys below a store, made of names.

use crate::settings::shown;

/// The longest key that the host accepts, in bytes.
pub const MAX_BYTES: usize = 1024;

/// Joins segments with `/`, when they make a key that the host accepts: none is empty, `.` or `..`
/// or holds a slash, a backslash or a control character, and all are at most [`MAX_BYTES`].
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
    let mut key = String::new();
    for segment in segments {
        let is_bad = |c: char| c == '/' || c == '\\' || c.is_control();
        if matches!(segment, "" | "." | "..") || segment.contains(is_bad) {
            return Err(format!("`{}` cannot be part of a key", shown(segment)));
        }
        if !key.is_empty() {
            key.push('/');
        }
        key.push_str(segment);
        if key.len() > MAX_BYTES {
            return Err(format!("the key is longer than {MAX_BYTES} bytes"));
        }
    }
    if key.is_empty() {
        return Err("a key without segments".to_owned());
    }
    Ok(key)
}

#[cfg(test)]
mod tests {
    use super::*;

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
    fn a_key_has_a_length() {
        let long = "x".repeat(MAX_BYTES);
        assert!(join([long.as_str()]).is_ok());
        assert!(join([long.as_str(), "y"]).is_err());
    }
}
