//! Regular expressions of the operator `matches`.

use regex_lite::{Regex, RegexBuilder};

/// The longest pattern, in bytes.
const MAX_BYTES: usize = 256;
/// The largest compiled pattern, in bytes: a few hundred states, each of which a character of the
/// text may cost.
const MAX_COMPILED_BYTES: usize = 8 << 10;

/// Why the pattern cannot be used, if so.
pub(crate) fn check(pattern: &str) -> Result<(), String> {
    if pattern.len() > MAX_BYTES {
        return Err(format!("the pattern has more than {MAX_BYTES} bytes"));
    }
    // The original's engine has neither: verbose patterns and other line ends.
    let flags = pattern.split("(?").skip(1);
    if flags
        .filter_map(|rest| rest.split([':', ')', '<', '=', '!']).next())
        .any(|flags| flags.contains(['x', 'R']))
    {
        return Err("the pattern uses an unknown flag: `i`, `m`, `s` and `U` are known".to_owned());
    }
    compile(pattern)
        .map(drop)
        .map_err(|error| format!("the pattern is wrong: {error}"))
}

/// The compiled pattern.
pub(crate) fn compile(pattern: &str) -> Result<Regex, regex_lite::Error> {
    RegexBuilder::new(pattern)
        .size_limit(MAX_COMPILED_BYTES)
        .build()
}

/// What a match costs for each byte of the text, in steps: states that may be looked at.
pub(crate) fn weight(pattern: &str) -> usize {
    // A counted repetition is unrolled, so its states are not seen in its length.
    if pattern.contains('{') {
        64
    } else {
        1 + pattern.len() / 2
    }
}
