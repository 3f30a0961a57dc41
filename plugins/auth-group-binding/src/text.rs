//! Letters in the other case, as Go has them: one character for each.

/// In lower case.
pub(crate) fn lower(text: &str) -> String {
    text.chars()
        .map(|c| {
            let mut letters = c.to_lowercase();
            // The one letter with a lower case of two characters, İ, keeps its first.
            letters.next().unwrap_or(c)
        })
        .collect()
}

/// In upper case.
pub(crate) fn upper(text: &str) -> String {
    text.chars()
        .map(|c| {
            let mut letters = c.to_uppercase();
            match (letters.next(), letters.next()) {
                (Some(letter), None) => letter,
                // `ß` and others that become two letters stay as they are.
                _ => c,
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_character_for_each() {
        for (text, in_lower, in_upper) in [
            ("Team-A", "team-a", "TEAM-A"),
            ("STRAẞE ß ŉ", "straße ß ŉ", "STRAẞE ß ŉ"),
            ("İÖ", "iö", "İÖ"),
            // No final sigma: Go maps each character alone.
            ("ΟΔΟΣ", "οδοσ", "ΟΔΟΣ"),
            ("", "", ""),
        ] {
            assert_eq!(
                (lower(text), upper(text)),
                (in_lower.to_owned(), in_upper.to_owned())
            );
        }
    }
}
