//! One byte range (RFC 9110 section 14); anything fancier gets the whole body.

use http::{HeaderMap, header};

/// What a `Range` header asks for, against a body of known size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Asked {
    /// No usable range: the whole body.
    Whole,
    /// One range, both ends inclusive.
    Part { start: u64, end: u64 },
    /// Nothing of it is in the body.
    Unsatisfiable,
}

/// Reads `Range`, heeding `If-Range` against the strong `etag` (with quotes).
pub(crate) fn asked(headers: &HeaderMap, etag: &str, size: u64) -> Asked {
    let mut values = headers.get_all(header::RANGE).iter();
    let (Some(value), None) = (values.next(), values.next()) else {
        return Asked::Whole;
    };
    if let Some(condition) = headers.get(header::IF_RANGE)
        && condition.as_bytes() != etag.as_bytes()
    {
        return Asked::Whole;
    }
    let Some(spec) = value
        .to_str()
        .ok()
        .and_then(|value| value.strip_prefix("bytes="))
    else {
        return Asked::Whole;
    };
    let Some((start, end)) = spec.trim().split_once('-').filter(|_| !spec.contains(',')) else {
        return Asked::Whole;
    };
    let number = |text: &str| -> Option<u64> {
        text.bytes()
            .all(|b| b.is_ascii_digit())
            .then(|| text.parse().ok())
            .flatten()
    };
    match (start.is_empty(), end.is_empty()) {
        (true, true) => Asked::Whole,
        (true, false) => match number(end) {
            None => Asked::Whole,
            Some(0) => Asked::Unsatisfiable,
            Some(_) if size == 0 => Asked::Unsatisfiable,
            Some(suffix) => Asked::Part {
                start: size.saturating_sub(suffix),
                end: size - 1,
            },
        },
        (false, end_is_open) => {
            let Some(start) = number(start) else {
                return Asked::Whole;
            };
            let end = if end_is_open {
                Some(u64::MAX)
            } else {
                number(end)
            };
            let Some(end) = end.filter(|end| *end >= start) else {
                return Asked::Whole;
            };
            if start >= size {
                return Asked::Unsatisfiable;
            }
            Asked::Part {
                start,
                end: end.min(size - 1),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(range: &str) -> Asked {
        let mut headers = HeaderMap::new();
        headers.insert(header::RANGE, range.parse().unwrap());
        asked(&headers, "\"e\"", 100)
    }

    #[test]
    fn ranges() {
        assert_eq!(ask("bytes=0-9"), Asked::Part { start: 0, end: 9 });
        assert_eq!(ask("bytes=90-"), Asked::Part { start: 90, end: 99 });
        assert_eq!(ask("bytes=-10"), Asked::Part { start: 90, end: 99 });
        assert_eq!(ask("bytes=-1000"), Asked::Part { start: 0, end: 99 });
        assert_eq!(ask("bytes=0-1000"), Asked::Part { start: 0, end: 99 });
        assert_eq!(ask("bytes=100-"), Asked::Unsatisfiable);
        assert_eq!(ask("bytes=-0"), Asked::Unsatisfiable);
        for odd in [
            "bytes=9-0",
            "bytes=0-1,2-3",
            "bytes=a-b",
            "items=0-1",
            "bytes=+1-2",
            "bytes=-",
            "bytes=99999999999999999999-",
        ] {
            assert_eq!(ask(odd), Asked::Whole, "{odd}");
        }
    }

    #[test]
    fn another_tag_in_if_range_means_the_whole_body() {
        let mut headers = HeaderMap::new();
        headers.insert(header::RANGE, "bytes=0-1".parse().unwrap());
        headers.insert(header::IF_RANGE, "\"other\"".parse().unwrap());
        assert_eq!(asked(&headers, "\"e\"", 100), Asked::Whole);
        headers.insert(header::IF_RANGE, "\"e\"".parse().unwrap());
        assert_eq!(
            asked(&headers, "\"e\"", 100),
            Asked::Part { start: 0, end: 1 }
        );
    }
}
