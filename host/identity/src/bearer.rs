//! The `Authorization` header.

use crate::MAX_AUTHORIZATION_BYTES;
use crate::error::{Error, Refusal};

/// Reads the token of `Authorization: Bearer …` (RFC 6750 section 2.1) from all values of that
/// header in a request; `None` when there is none.
///
/// # Errors
/// [`Error::Unauthenticated`] for a second header, more than [`MAX_AUTHORIZATION_BYTES`], another
/// scheme, or a token with characters that a token cannot have.
pub fn bearer<'a>(values: impl IntoIterator<Item = &'a [u8]>) -> Result<Option<&'a str>, Error> {
    let refuse = |reason| Err(Error::Unauthenticated { reason });
    let mut values = values.into_iter();
    let Some(value) = values.next() else {
        return Ok(None);
    };
    if values.next().is_some() {
        return refuse(Refusal::Several);
    }
    if value.len() > MAX_AUTHORIZATION_BYTES {
        return refuse(Refusal::TooLong);
    }
    let Some((scheme, token)) = std::str::from_utf8(value)
        .ok()
        .and_then(|value| value.split_once(' '))
    else {
        return refuse(Refusal::Malformed);
    };
    if !scheme.eq_ignore_ascii_case("bearer") {
        return refuse(Refusal::Scheme);
    }
    let token = token.trim_start_matches(' ');
    let body = token.trim_end_matches('=');
    let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~+/".contains(&byte);
    if body.is_empty() || !body.bytes().all(is_token) {
        return refuse(Refusal::Malformed);
    }
    Ok(Some(token))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_scheme_has_no_case() {
        for value in ["Bearer abc", "bearer abc", "BEARER   abc"] {
            assert_eq!(
                bearer([value.as_bytes()]).unwrap(),
                Some("abc"),
                "{value:?}"
            );
        }
        assert_eq!(bearer([]).unwrap(), None);
        assert_eq!(
            bearer([&b"Bearer a.b-c_d~e+f/g=="[..]]).unwrap(),
            Some("a.b-c_d~e+f/g==")
        );
    }

    #[test]
    fn anything_malformed_is_refused() {
        let long = format!("Bearer {}", "a".repeat(MAX_AUTHORIZATION_BYTES));
        let cases: &[(&str, &[&[u8]])] = &[
            ("two headers", &[b"Bearer a", b"Bearer a"]),
            ("empty", &[b""]),
            ("scheme alone", &[b"Bearer"]),
            ("scheme and space", &[b"Bearer "]),
            ("no scheme", &[b"abc"]),
            ("basic", &[b"Basic abc"]),
            ("leading space", &[b" Bearer abc"]),
            ("trailing space", &[b"Bearer abc "]),
            ("two tokens", &[b"Bearer abc def"]),
            ("list", &[b"Bearer abc, Bearer def"]),
            ("tab", &[b"Bearer\tabc"]),
            ("control", &[b"Bearer a\nb"]),
            ("nul", &[b"Bearer a\0"]),
            ("padding alone", &[b"Bearer ==="]),
            ("padding inside", &[b"Bearer a=b"]),
            ("not utf-8", &[b"Bearer \xff"]),
            ("not ascii", &["Bearer \u{e4}".as_bytes()]),
            ("too long", &[long.as_bytes()]),
        ];
        for (name, values) in cases {
            let result = bearer(values.iter().copied());
            assert!(
                matches!(result, Err(Error::Unauthenticated { .. })),
                "{name}: {result:?}"
            );
        }
    }
}
