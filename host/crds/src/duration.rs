//! Durations as Go writes them: `15m`, `1h2m3s`, `1.5s`, `250ms`.

use opendepot_domain::error::InvalidValue;
use std::time::Duration;

const RULE: &str = "numbers with a unit of ns, us, ms, s, m or h, such as `15m` or `1h30m`";

/// Parses a non-negative Go duration. A bare `0` is accepted, as Go does.
///
/// # Errors
/// [`InvalidValue`] for an empty text, a sign, an unknown unit, or more than 100 years.
pub fn parse_go_duration(text: &str) -> Result<Duration, InvalidValue> {
    let refuse = || InvalidValue::new("duration", text, RULE);
    if text == "0" {
        return Ok(Duration::ZERO);
    }
    if text.is_empty() || text.len() > 64 {
        return Err(refuse());
    }
    let mut rest = text;
    let mut total: u128 = 0;
    while !rest.is_empty() {
        let number_end = rest
            .find(|c: char| !c.is_ascii_digit() && c != '.')
            .ok_or_else(refuse)?;
        let (number, tail) = rest.split_at(number_end);
        let unit_end = tail
            .find(|c: char| c.is_ascii_digit() || c == '.')
            .unwrap_or(tail.len());
        let (unit, next) = tail.split_at(unit_end);
        let nanos: u128 = match unit {
            "ns" => 1,
            "us" | "\u{b5}s" | "\u{3bc}s" => 1_000,
            "ms" => 1_000_000,
            "s" => 1_000_000_000,
            "m" => 60_000_000_000,
            "h" => 3_600_000_000_000,
            _ => return Err(refuse()),
        };
        total = total
            .checked_add(scaled(number, nanos).ok_or_else(refuse)?)
            .ok_or_else(refuse)?;
        rest = next;
    }
    const CENTURY: u128 = 100 * 366 * 86_400 * 1_000_000_000;
    if total > CENTURY {
        return Err(refuse());
    }
    let seconds = u64::try_from(total / 1_000_000_000).map_err(|_| refuse())?;
    let nanos = u32::try_from(total % 1_000_000_000).map_err(|_| refuse())?;
    Ok(Duration::new(seconds, nanos))
}

/// `number` times `nanos`, digits below one nanosecond cut off.
fn scaled(number: &str, nanos: u128) -> Option<u128> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if whole.is_empty() && fraction.is_empty() {
        return None;
    }
    let parse = |digits: &str| -> Option<u128> {
        if digits.is_empty() {
            return Some(0);
        }
        if !digits.bytes().all(|b| b.is_ascii_digit()) || digits.len() > 18 {
            return None;
        }
        digits.parse().ok()
    };
    let whole = parse(whole)?.checked_mul(nanos)?;
    let places = u32::try_from(fraction.len()).ok()?;
    let fraction = parse(fraction)?.checked_mul(nanos)? / 10u128.checked_pow(places)?;
    whole.checked_add(fraction)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_as_go_reads_them() {
        for (text, millis) in [
            ("15m", 900_000),
            ("15m0s", 900_000),
            ("1h2m3s", 3_723_000),
            ("1h", 3_600_000),
            ("250ms", 250),
            ("1.5s", 1_500),
            (".5s", 500),
            ("1.s", 1_000),
            ("0", 0),
            ("0s", 0),
            ("1500us", 1),
        ] {
            let parsed = parse_go_duration(text).unwrap();
            assert_eq!(parsed.as_millis(), millis, "{text}");
        }
    }

    #[test]
    fn what_go_refuses_is_refused() {
        for text in [
            "",
            "15",
            "m",
            "-1s",
            "+1s",
            "1 s",
            "1d",
            "1.2.3s",
            "s1",
            ".s",
            "15m ",
            "1e3s",
            "99999999999999999999s",
            "9999999999h",
            "\u{661}s",
        ] {
            assert!(parse_go_duration(text).is_err(), "{text}");
        }
    }
}
