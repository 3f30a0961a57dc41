//! The grammar of keys: what the host's file store accepts.

const MAX_KEY_BYTES: usize = 1024;
const MAX_SEGMENT_BYTES: usize = 255;
const MAX_SEGMENTS: usize = 16;

/// Joins checked segments. A segment with a slash in it is refused, so that a name cannot climb
/// or branch.
pub(crate) fn join(segments: &[&str]) -> Result<String, &'static str> {
    if segments.iter().any(|segment| segment.contains('/')) {
        return Err("a name holds `/`");
    }
    let key = segments.join("/");
    check(&key).map(|()| key)
}

/// Checks a whole key.
pub(crate) fn check(key: &str) -> Result<(), &'static str> {
    if key.len() > MAX_KEY_BYTES {
        return Err("longer than 1024 bytes");
    }
    if key.split('/').count() > MAX_SEGMENTS {
        return Err("more than 16 segments");
    }
    key.split('/').try_for_each(check_segment)
}

/// Checks one segment.
pub(crate) fn check_segment(segment: &str) -> Result<(), &'static str> {
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
    Ok(())
}
