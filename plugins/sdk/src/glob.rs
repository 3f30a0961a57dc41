//! Patterns of names: `*` is any run of characters, `?` is one.
//!
//! What bounds it: a match takes at most the name's length times the pattern's steps, whatever the
//! pattern. What it refuses: patterns that no Kubernetes name can match.

/// The longest name there is: a DNS label.
const MAX_NAME_BYTES: usize = 63;

/// Why no name could match `pattern`, if so. Names are DNS labels: lower-case letters, digits and
/// hyphens.
///
/// # Errors
/// The reason, to be put behind the pattern in a problem.
pub fn check(pattern: &str) -> Result<(), &'static str> {
    if pattern.is_empty() {
        return Err("an empty pattern matches nothing");
    }
    if pattern.contains('/') {
        return Err("a pattern holds `/`: namespaces and names are separate lists");
    }
    let allowed = |byte: u8| {
        byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'*' | b'?')
    };
    if !pattern.bytes().all(allowed) {
        return Err("only lower-case letters, digits, `-`, `*` and `?` can match a name");
    }
    if pattern.bytes().filter(|byte| *byte != b'*').count() > MAX_NAME_BYTES {
        return Err("longer than any name, 63 characters");
    }
    Ok(())
}

/// `pattern` with runs of `*` made one: the same meaning, and no longer than twice a name.
#[must_use]
pub fn normalised(pattern: &str) -> String {
    let mut text = String::with_capacity(pattern.len());
    for character in pattern.chars() {
        if character != '*' || !text.ends_with('*') {
            text.push(character);
        }
    }
    text
}

/// Whether the whole of `name` matches.
///
/// On a mismatch only the last `*` takes one more character: an earlier one never has to, because
/// what followed it matched as early as possible. So there is no recursion and no more than
/// name × pattern steps.
#[must_use]
pub fn matches(pattern: &str, name: &str) -> bool {
    let (mut pattern, mut name) = (pattern.as_bytes(), name.as_bytes());
    let mut retry: Option<(&[u8], &[u8])> = None;
    loop {
        match (pattern, name) {
            ([b'*'], _) => return true,
            ([b'*', rest @ ..], _) => {
                retry = Some((rest, name));
                pattern = rest;
            }
            ([wanted, rest @ ..], [byte, tail @ ..]) if *wanted == b'?' || wanted == byte => {
                (pattern, name) = (rest, tail);
            }
            ([], []) => return true,
            _ => match retry {
                Some((after_star, [_, tail @ ..])) => {
                    retry = Some((after_star, tail));
                    (pattern, name) = (after_star, tail);
                }
                _ => return false,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn stars_and_question_marks() {
        for (pattern, name, expected) in [
            ("*", "", true),
            ("*", "anything", true),
            ("a", "a", true),
            ("a", "ab", false),
            ("a", "", false),
            ("", "", true),
            ("", "a", false),
            ("?", "", false),
            ("?", "a", true),
            ("a*", "a", true),
            ("a*", "ba", false),
            ("*a", "ba", true),
            ("*a", "ab", false),
            ("a*c", "abbbc", true),
            ("a*c", "abbb", false),
            ("*ab*", "aab", true),
            ("*a?c*", "xxabcxx", true),
            ("a*b*c", "a-c-b-c", true),
            ("team-?", "team-a", true),
            ("team-?", "team-ab", false),
        ] {
            assert_eq!(matches(pattern, name), expected, "{pattern} on {name}");
        }
    }

    #[test]
    fn patterns_that_match_no_name_are_refused() {
        for pattern in [
            "",
            "Team",
            "team/*",
            "team_a",
            "tëam",
            "a b",
            "[a]",
            "{a,b}",
            "a\0",
            &"?".repeat(64),
        ] {
            assert!(check(pattern).is_err(), "{pattern:?}");
        }
        assert!(check(&"*".repeat(5000)).is_ok());
        assert_eq!(normalised(&"*".repeat(5000)), "*");
        assert_eq!(normalised("**a**?**"), "*a*?*");
    }

    #[test]
    fn the_classic_bomb_is_cheap() {
        // Exponential where each star is tried again: 30 of them would not end.
        let pattern = format!("{}b", "a*".repeat(30));
        let name = "a".repeat(63);
        for _ in 0..1000 {
            assert!(!matches(&pattern, &name));
        }
    }

    /// What the glob means, written as naively as possible.
    fn naive(pattern: &[u8], name: &[u8]) -> bool {
        match (pattern, name) {
            ([], []) => true,
            ([b'*', rest @ ..], _) => {
                naive(rest, name)
                    || name
                        .split_first()
                        .is_some_and(|(_, tail)| naive(pattern, tail))
            }
            ([b'?', rest @ ..], [_, tail @ ..]) => naive(rest, tail),
            ([a, rest @ ..], [b, tail @ ..]) => a == b && naive(rest, tail),
            _ => false,
        }
    }

    proptest! {
        #[test]
        fn agrees_with_the_definition(pattern in "[ab*?]{0,8}", name in "[ab]{0,10}") {
            let expected = naive(pattern.as_bytes(), name.as_bytes());
            prop_assert_eq!(matches(&pattern, &name), expected);
            prop_assert_eq!(matches(&normalised(&pattern), &name), expected);
        }
    }
}
