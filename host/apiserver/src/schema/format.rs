//! The string formats that are checked. Others are notes, as in a cluster.

use base64::Engine as _;

/// Whether `text` is of `format`; unknown formats accept everything.
pub(super) fn matches(format: &str, text: &str) -> bool {
    match format {
        "date-time" => text.parse::<jiff::Timestamp>().is_ok(),
        "date" => text.len() == 10 && text.parse::<jiff::civil::Date>().is_ok(),
        "byte" => base64::engine::general_purpose::STANDARD
            .decode(text)
            .is_ok(),
        "uuid" => uuid::Uuid::try_parse(text).is_ok(),
        "uri" => url::Url::parse(text).is_ok(),
        "ipv4" => text.parse::<std::net::Ipv4Addr>().is_ok(),
        "ipv6" => text.parse::<std::net::Ipv6Addr>().is_ok(),
        "hostname" => crate::names::is_subdomain(&text.to_ascii_lowercase()),
        "duration" => is_duration(text),
        _ => true,
    }
}

/// A duration as Go writes it, such as `1h30m` or `-1.5s`.
fn is_duration(text: &str) -> bool {
    let mut rest = text.strip_prefix(['-', '+']).unwrap_or(text);
    if rest == "0" {
        return true;
    }
    let mut parts = 0;
    while !rest.is_empty() {
        let number = rest
            .bytes()
            .take_while(|byte| byte.is_ascii_digit() || *byte == b'.')
            .count();
        let (digits, after) = rest.split_at(number);
        if !digits.bytes().any(|byte| byte.is_ascii_digit()) || digits.matches('.').count() > 1 {
            return false;
        }
        let Some(after) = ["ns", "us", "µs", "ms", "s", "m", "h"]
            .iter()
            .filter_map(|unit| after.strip_prefix(unit))
            .min_by_key(|left| left.len())
        else {
            return false;
        };
        rest = after;
        parts += 1;
    }
    parts > 0
}

#[cfg(test)]
mod tests {
    use super::matches;

    #[test]
    fn formats() {
        for (format, text, expected) in [
            ("date-time", "2026-01-02T03:04:05Z", true),
            ("date-time", "2026-01-02", false),
            ("byte", "aGk=", true),
            ("byte", "a", false),
            ("duration", "1h30m", true),
            ("duration", "1.5ms", true),
            ("duration", "0", true),
            ("duration", "", false),
            ("duration", "5", false),
            ("duration", "5x", false),
            ("duration", "..s", false),
            ("ipv4", "127.0.0.1", true),
            ("ipv4", "127.1", false),
            ("no-such-format", "anything", true),
        ] {
            assert_eq!(matches(format, text), expected, "{format} {text}");
        }
    }
}
