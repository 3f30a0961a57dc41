//! When a neighbour asks to wait (Z19).

use http::HeaderMap;
use http::header::RETRY_AFTER;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

const DEFAULT_SECONDS: u64 = 60;
const MAX_SECONDS: u64 = 86_400;

/// Seconds to wait, 1 to 86 400, when the answer is a rate limit: any 429, and a 403 that says
/// when to come back. GitHub sends `x-ratelimit-reset` with every answer, so a 403 counts only
/// when nothing remains.
pub(crate) fn retry_after_seconds(
    status: u16,
    headers: &HeaderMap,
    now: SystemTime,
) -> Option<u64> {
    if !matches!(status, 403 | 429) {
        return None;
    }
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let number = |name: &str| text(name).and_then(|text| text.trim().parse::<u64>().ok());
    let until = |at: SystemTime| at.duration_since(now).unwrap_or_default().as_secs();
    let retry_after = text(RETRY_AFTER.as_str()).map(|text| {
        let seconds = text.trim().parse().ok();
        let date = || httpdate::parse_http_date(text.trim()).ok().map(until);
        seconds.or_else(date).unwrap_or(DEFAULT_SECONDS)
    });
    let has_remaining = number("x-ratelimit-remaining").is_some_and(|remaining| remaining > 0);
    let reset = number("x-ratelimit-reset")
        .filter(|_| !has_remaining)
        .map(|at| {
            UNIX_EPOCH
                .checked_add(Duration::from_secs(at))
                .map_or(MAX_SECONDS, until)
        });
    let seconds = match (retry_after, reset, status) {
        (Some(seconds), _, _) | (None, Some(seconds), _) => seconds,
        (None, None, 429) => DEFAULT_SECONDS,
        (None, None, _) => return None,
    };
    Some(seconds.clamp(1, MAX_SECONDS))
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::{HeaderName, HeaderValue};

    /// Name, status, headers, seconds.
    type Case<'a> = (&'a str, u16, &'a [(&'a str, &'a str)], Option<u64>);

    #[test]
    fn every_way_to_say_wait() {
        let now = UNIX_EPOCH + Duration::from_secs(1_700_000_000);
        let soon = httpdate::fmt_http_date(now + Duration::from_secs(90));
        let cases: [Case; 13] = [
            ("seconds", 429, &[("retry-after", "17")], Some(17)),
            ("date", 429, &[("retry-after", &soon)], Some(90)),
            ("garbage", 429, &[("retry-after", "soon")], Some(60)),
            ("negative", 429, &[("retry-after", "-5")], Some(60)),
            ("zero", 429, &[("retry-after", "0")], Some(1)),
            ("huge", 429, &[("retry-after", "99999999999")], Some(86_400)),
            ("bare 429", 429, &[], Some(60)),
            ("secondary limit", 403, &[("retry-after", "30")], Some(30)),
            (
                "exhausted",
                403,
                &[
                    ("x-ratelimit-remaining", "0"),
                    ("x-ratelimit-reset", "1700000120"),
                ],
                Some(120),
            ),
            (
                "a plain 403 of GitHub",
                403,
                &[
                    ("x-ratelimit-remaining", "42"),
                    ("x-ratelimit-reset", "1700000120"),
                ],
                None,
            ),
            (
                "reset alone",
                403,
                &[("x-ratelimit-reset", "1700000120")],
                Some(120),
            ),
            (
                "reset at the end of time",
                429,
                &[("x-ratelimit-reset", "18446744073709551615")],
                Some(86_400),
            ),
            ("404", 404, &[("retry-after", "30")], None),
        ];
        for (name, status, headers, expected) in cases {
            let headers: HeaderMap = headers
                .iter()
                .map(|(name, value)| {
                    (
                        name.parse::<HeaderName>().unwrap(),
                        value.parse::<HeaderValue>().unwrap(),
                    )
                })
                .collect();
            assert_eq!(
                retry_after_seconds(status, &headers, now),
                expected,
                "{name}"
            );
        }
    }
}
