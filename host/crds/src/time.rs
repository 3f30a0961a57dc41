//! Times on the wire: RFC 3339 texts in UTC.

use opendepot_domain::error::InvalidValue;

/// Writes Unix seconds as RFC 3339 in UTC, whole seconds, such as `2026-08-21T10:00:00Z`.
///
/// Seconds beyond what a date can say are clamped to its end.
#[must_use]
pub fn rfc3339(seconds: u64) -> String {
    i64::try_from(seconds)
        .ok()
        .and_then(|seconds| jiff::Timestamp::from_second(seconds).ok())
        .unwrap_or(jiff::Timestamp::MAX)
        .strftime("%Y-%m-%dT%H:%M:%SZ")
        .to_string()
}

/// Reads an RFC 3339 text; a time before 1970 is 0.
///
/// # Errors
/// [`InvalidValue`] for any other text.
pub fn unix_seconds(text: &str) -> Result<u64, InvalidValue> {
    let time: jiff::Timestamp = text
        .parse()
        .map_err(|_| InvalidValue::new("time", text, "RFC 3339 such as `2026-08-21T10:00:00Z`"))?;
    Ok(u64::try_from(time.as_second()).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_and_back() {
        for seconds in [0, 1, 1_790_000_123] {
            assert_eq!(unix_seconds(&rfc3339(seconds)).unwrap(), seconds);
        }
        assert_eq!(rfc3339(0), "1970-01-01T00:00:00Z");
        assert!(rfc3339(u64::MAX).starts_with("9999-"));
        assert!(unix_seconds("yesterday").is_err());
        assert_eq!(
            unix_seconds("2026-08-21T12:00:00+02:00").unwrap(),
            unix_seconds("2026-08-21T10:00:00Z").unwrap()
        );
    }
}
