//! What a registry wants when it answers 401.

use http::HeaderMap;
use http::header::WWW_AUTHENTICATE;
use url::Url;

const MAX_HEADER_BYTES: usize = 8 << 10;

/// A way in that we speak.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Challenge {
    /// Name and password with every request.
    Basic,
    /// A token of the server at `realm`, for `service`.
    Bearer { realm: Url, service: Option<String> },
}

/// The challenge to answer: a token is preferred, since it says less than a password.
pub(crate) fn of(headers: &HeaderMap) -> Option<Challenge> {
    let mut basic = None;
    for value in headers.get_all(WWW_AUTHENTICATE) {
        let Some(text) = value.to_str().ok().filter(|t| t.len() <= MAX_HEADER_BYTES) else {
            continue;
        };
        for challenge in http_auth::ChallengeParser::new(text) {
            let Ok(challenge) = challenge else { break };
            let param = |name: &str| {
                let mut named = challenge
                    .params
                    .iter()
                    .filter(|(key, _)| key.eq_ignore_ascii_case(name));
                named.next().map(|(_, value)| value.to_unescaped())
            };
            if challenge.scheme.eq_ignore_ascii_case("basic") {
                basic = Some(Challenge::Basic);
            } else if challenge.scheme.eq_ignore_ascii_case("bearer")
                && let Some(realm) = param("realm").and_then(|realm| Url::parse(&realm).ok())
                && realm.host().is_some()
            {
                let service = param("service");
                return Some(Challenge::Bearer { realm, service });
            }
        }
    }
    basic
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(values: &[&str]) -> Option<Challenge> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(WWW_AUTHENTICATE, value.parse().unwrap());
        }
        of(&headers)
    }

    fn bearer(realm: &str, service: Option<&str>) -> Option<Challenge> {
        Some(Challenge::Bearer {
            realm: Url::parse(realm).unwrap(),
            service: service.map(str::to_owned),
        })
    }

    #[test]
    fn challenges_are_read_as_registries_write_them() {
        for (values, expected) in [
            (
                &["Basic realm=\"Registry Realm\""][..],
                Some(Challenge::Basic),
            ),
            (&["basic"], Some(Challenge::Basic)),
            (
                &[
                    "Bearer realm=\"https://auth.example/token\",service=\"r.example\",scope=\"repository:x:pull\"",
                ],
                bearer("https://auth.example/token", Some("r.example")),
            ),
            (
                &["BEARER Realm=\"https://auth.example/t?a=b\", error=\"invalid_token\""],
                bearer("https://auth.example/t?a=b", None),
            ),
            (
                &["Basic realm=\"x\", Bearer realm=\"https://auth.example/\""],
                bearer("https://auth.example/", None),
            ),
            (
                &[
                    "Basic realm=\"x\"",
                    "Bearer realm=\"https://auth.example/\"",
                ],
                bearer("https://auth.example/", None),
            ),
            (&["Bearer realm=\"not a url\""], None),
            (&["Bearer realm=\"data:text/plain,x\""], None),
            (&["Bearer service=\"x\""], None),
            (&["Negotiate", "Digest realm=\"x\", nonce=\"y\""], None),
            (&["Bearer realm=\"https://unfinished"], None),
            (&[""], None),
            (&[], None),
        ] {
            assert_eq!(read(values), expected, "{values:?}");
        }
        let long = format!("Basic realm=\"{}\"", "x".repeat(MAX_HEADER_BYTES));
        assert_eq!(read(&[&long]), None);
    }
}
