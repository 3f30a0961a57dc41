//! Text that a guest wrote, made safe for a log line or a status field.

/// The most characters of guest text that one message carries.
pub(crate) const MAX_CHARS: usize = 400;

/// Escapes control characters, quotes and invisible characters, and cuts.
pub(crate) fn shown(text: &str) -> String {
    cut(text, MAX_CHARS)
}

/// As [`shown`], with another bound.
pub(crate) fn cut(text: &str, max_chars: usize) -> String {
    let mut escaped = text.escape_debug();
    let mut out: String = escaped.by_ref().take(max_chars).collect();
    if escaped.next().is_some() {
        out.push('…');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hostile_text_stays_on_one_line() {
        let text = shown("\u{1b}[31mred\r\n{\"level\":\"error\"}\u{202e}");
        assert!(!text.contains(['\u{1b}', '\n', '\r', '\u{202e}']), "{text}");
        assert_eq!(shown(&"a".repeat(10_000)).chars().count(), MAX_CHARS + 1);
    }
}
