//! Names of buckets, and the stores that they make.

/// What a store of this plugin begins with.
pub(crate) const SCHEME: &str = "gs://";

/// Checks a name by the rules of Cloud Storage.
pub(crate) fn check(name: &str) -> Result<(), &'static str> {
    let is_plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let is_end = |b: Option<u8>| b.is_some_and(is_plain);
    if !(3..=222).contains(&name.len()) || name.split('.').any(|part| part.len() > 63) {
        return Err("it must have 3 to 63 characters, or 3 to 222 with dots, 63 between two");
    }
    if !name
        .bytes()
        .all(|b| is_plain(b) || matches!(b, b'.' | b'_' | b'-'))
    {
        return Err("it must be lower-case letters, digits, `.`, `_` and `-`");
    }
    if !is_end(name.bytes().next()) || !is_end(name.bytes().next_back()) {
        return Err("it must begin and end with a letter or digit");
    }
    if name.contains("..") {
        return Err("it must not hold `..`");
    }
    let is_number = |part: &str| part.bytes().all(|b| b.is_ascii_digit());
    if name.split('.').count() == 4 && name.split('.').all(is_number) {
        return Err("it must not look like an IP address");
    }
    if name.starts_with("goog") {
        return Err("it must not begin with `goog`");
    }
    Ok(())
}
