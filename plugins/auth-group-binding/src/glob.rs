//! Patterns of names as Go's `path.Match` has them: `*`, `?`, `[a-z]`, `[^a-z]`, and `\` before a
//! character that is meant itself. Neither `*` nor `?` nor a class matches `/`.

/// Whether the pattern can be used.
pub(crate) fn is_valid(pattern: &str) -> bool {
    let mut rest = pattern;
    while !rest.is_empty() {
        match rest.strip_prefix('*') {
            Some(after) => rest = after,
            None => match item(rest, None) {
                Some((_, after)) => rest = after,
                None => return false,
            },
        }
    }
    true
}

/// Whether the whole of `name` matches; never, where the pattern is wrong.
///
/// As with the globs of the SDK only the last `*` takes one more character on a mismatch.
pub(crate) fn matches(pattern: &str, name: &str) -> bool {
    let (mut pattern, mut name) = (pattern, name);
    let mut retry: Option<(&str, &str)> = None;
    loop {
        if let Some(after) = pattern.strip_prefix('*') {
            retry = Some((after, name));
            pattern = after;
            continue;
        }
        let mut characters = name.chars();
        match characters.next() {
            Some(c) => {
                if let Some((true, after)) = item(pattern, Some(c)) {
                    (pattern, name) = (after, characters.as_str());
                    continue;
                }
            }
            None if pattern.is_empty() => return true,
            None => {}
        }
        let Some((after_star, tried)) = retry else {
            return false;
        };
        let mut characters = tried.chars();
        match characters.next() {
            Some(c) if c != '/' => {
                retry = Some((after_star, characters.as_str()));
                (pattern, name) = (after_star, characters.as_str());
            }
            _ => return false,
        }
    }
}

/// Reads the pattern's next item, which is no `*`: whether `found` is what it means, and what is
/// behind it. Nothing where there is none, or a wrong one.
fn item(pattern: &str, found: Option<char>) -> Option<(bool, &str)> {
    let mut rest = pattern.chars();
    let is_met = match rest.next()? {
        '?' => found.is_some_and(|c| c != '/'),
        '[' => return class(rest.as_str(), found),
        '\\' => found == Some(rest.next()?),
        c => found == Some(c),
    };
    Some((is_met, rest.as_str()))
}

/// Reads a class behind its `[`.
fn class(text: &str, found: Option<char>) -> Option<(bool, &str)> {
    let (negated, mut rest) = match text.strip_prefix('^') {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let (mut is_met, mut is_first) = (false, true);
    loop {
        match rest.strip_prefix(']') {
            Some(after) if !is_first => {
                let is_met = is_met != negated && found.is_some_and(|c| c != '/');
                return Some((is_met, after));
            }
            _ => {}
        }
        let (low, after) = bound(rest)?;
        let (high, after) = match after.strip_prefix('-') {
            Some(after) => bound(after)?,
            None => (low, after),
        };
        is_met |= found.is_some_and(|c| (low..=high).contains(&c));
        (rest, is_first) = (after, false);
    }
}

/// Reads one end of a range: `-` and `]` only behind a `\`.
fn bound(text: &str) -> Option<(char, &str)> {
    let mut rest = text.chars();
    let c = match rest.next()? {
        '-' | ']' => return None,
        '\\' => rest.next()?,
        c => c,
    };
    // What is behind it must at least close the class.
    (!rest.as_str().is_empty()).then_some((c, rest.as_str()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use opendepot_plugin_sdk::glob;
    use proptest::prelude::*;

    /// Cases of Go's own test of `path.Match`.
    #[test]
    fn as_path_match() {
        for (pattern, name, expected) in [
            ("abc", "abc", true),
            ("*", "abc", true),
            ("*c", "abc", true),
            ("a*", "a", true),
            ("a*", "abc", true),
            ("a*", "ab/c", false),
            ("a*/b", "abc/b", true),
            ("a*/b", "a/c/b", false),
            ("a*b*c*d*e*/f", "axbxcxdxe/f", true),
            ("a*b*c*d*e*/f", "axbxcxdxexxx/f", true),
            ("a*b*c*d*e*/f", "axbxcxdxe/xxx/f", false),
            ("a*b*c*d*e*/f", "axbxcxdxexxx/fff", false),
            ("a*b?c*x", "abxbbxdbxebxczzx", true),
            ("a*b?c*x", "abxbbxdbxebxczzy", false),
            ("ab[c]", "abc", true),
            ("ab[b-d]", "abc", true),
            ("ab[e-g]", "abc", false),
            ("ab[^c]", "abc", false),
            ("ab[^b-d]", "abc", false),
            ("ab[^e-g]", "abc", true),
            ("a\\*b", "a*b", true),
            ("a\\*b", "ab", false),
            ("a?b", "a☺b", true),
            ("a[^a]b", "a☺b", true),
            ("a???b", "a☺b", false),
            ("a[^a][^a][^a]b", "a☺b", false),
            ("[a-ζ]*", "α", true),
            ("*[a-ζ]", "A", false),
            ("a?b", "a/b", false),
            ("a*b", "a/b", false),
            ("[\\]a]", "]", true),
            ("[\\-]", "-", true),
            ("[x\\-]", "x", true),
            ("[x\\-]", "z", false),
            ("*x", "xxx", true),
        ] {
            assert!(is_valid(pattern), "{pattern}");
            assert_eq!(matches(pattern, name), expected, "{pattern} on {name}");
        }
        for pattern in [
            "[]a]", "[-]", "[x-]", "[-x]", "\\", "[a-b-c]", "[", "[^", "[^bc", "a[", "[a", "[]",
            "[a-", "[\\",
        ] {
            assert!(!is_valid(pattern), "{pattern}");
            assert!(!matches(pattern, "a"), "{pattern}");
        }
    }

    #[test]
    fn the_classic_bomb_is_cheap() {
        let pattern = format!("{}b", "a*".repeat(126));
        let name = "a".repeat(253);
        for _ in 0..100 {
            assert!(!matches(&pattern, &name));
        }
    }

    proptest! {
        /// Without classes and escapes these are the globs of the SDK.
        #[test]
        fn agrees_with_the_other_globs(pattern in "[ab*?]{0,8}", name in "[ab]{0,10}") {
            prop_assert_eq!(matches(&pattern, &name), glob::matches(&pattern, &name));
        }

        #[test]
        fn no_pattern_panics(pattern in "[ab*?\\[\\]^\\-\\\\/ä]{0,12}", name in "[ab/ä]{0,8}") {
            let matched = matches(&pattern, &name);
            prop_assert!(!matched || is_valid(&pattern));
        }
    }
}
