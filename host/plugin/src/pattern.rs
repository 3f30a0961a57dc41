//! Grant patterns: parsed once, validated with suggestions, matched without allocation.
//!
//! | form | matches |
//! | --- | --- |
//! | `s3://bucket`, `gs://bucket`, `az://account/container`, `file:///dir` | exactly that store |
//! | the same with a trailing `*` | every valid store that starts so |
//! | `https://host/path` | as a store: what signed requests alone reach; `host:port` covers it |
//! | `host:port` | that host and port over https |
//! | `http://host:port` | that host and port over plain http |

use std::fmt;

/// A grant that cannot be understood.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{value}` is not a valid {what}: {rule}")]
pub struct PatternError {
    what: &'static str,
    value: String,
    rule: String,
}

impl PatternError {
    pub(crate) fn new(what: &'static str, value: &str, rule: impl Into<String>) -> Self {
        Self {
            what,
            value: crate::text::cut(value, 120),
            rule: rule.into(),
        }
    }
}

/// The kinds of store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scheme {
    S3,
    Gs,
    Az,
    File,
}

impl Scheme {
    const ALL: [Self; 4] = [Self::S3, Self::Gs, Self::Az, Self::File];

    pub(crate) const fn prefix(self) -> &'static str {
        match self {
            Self::S3 => "s3://",
            Self::Gs => "gs://",
            Self::Az => "az://",
            Self::File => "file:///",
        }
    }

    fn of(store: &str) -> Option<(Self, &str)> {
        Self::ALL
            .into_iter()
            .find_map(|scheme| Some((scheme, store.strip_prefix(scheme.prefix())?)))
    }
}

/// Checks that a store is written in its one canonical form, and says of which kind it is.
///
/// # Errors
/// [`PatternError`] with the rule that is broken.
pub(crate) fn parse_store(store: &str) -> Result<Scheme, PatternError> {
    let refuse = |rule: &str| Err(PatternError::new("store", store, rule));
    if store.len() > 512 {
        return refuse("at most 512 bytes");
    }
    let Some((scheme, rest)) = Scheme::of(store) else {
        return refuse("`s3://bucket`, `gs://bucket`, `az://account/container` or `file:///dir`");
    };
    match scheme {
        Scheme::S3 | Scheme::Gs if !is_bucket(rest) => {
            refuse("a bucket is 3 to 222 lower-case letters, digits, `.`, `_` and `-`")
        }
        Scheme::Az => match rest.split_once('/') {
            Some((account, container)) if is_account(account) && is_container(container) => {
                Ok(scheme)
            }
            _ => refuse("`az://account/container`"),
        },
        Scheme::File if !rest.is_empty() && !is_clean_path(rest) => {
            refuse("an absolute folder without `.`, `..`, empty segments or control characters")
        }
        Scheme::S3 | Scheme::Gs | Scheme::File => Ok(scheme),
    }
}

/// Whether a store names a server that signed requests alone reach.
pub(crate) fn is_remote_store(store: &str) -> bool {
    store.starts_with("https://") || store.starts_with("http://")
}

/// Checks that such a store is written in its one canonical form: an absolute URL without user
/// information, query, fragment, default port and final slash, as a URL parser writes it.
pub(crate) fn parse_remote_store(store: &str) -> Result<url::Url, PatternError> {
    let refuse = |rule: String| Err(PatternError::new("store", store, rule));
    if store.len() > 512 {
        return refuse("at most 512 bytes".to_owned());
    }
    let Ok(url) = url::Url::parse(store) else {
        return refuse("`https://host/path`".to_owned());
    };
    let mut canonical = url.clone();
    canonical.set_query(None);
    canonical.set_fragment(None);
    // Both fail only for URLs that cannot carry user information.
    let _ = canonical.set_username("");
    let _ = canonical.set_password(None);
    let canonical = canonical.as_str().trim_end_matches('/');
    let is_plain = url.has_host()
        && is_remote_store(store)
        && store.bytes().all(|b| b.is_ascii_graphic())
        && !url.path().trim_end_matches('/').contains("//");
    if !is_plain {
        return refuse("`https://host/path`".to_owned());
    }
    if canonical != store {
        return refuse(format!("did you mean `{canonical}`?"));
    }
    Ok(url)
}

fn is_bucket(name: &str) -> bool {
    (3..=222).contains(&name.len())
        && name.bytes().all(|b| {
            b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'.' | b'_' | b'-')
        })
        && name
            .bytes()
            .next()
            .is_some_and(|b| b.is_ascii_alphanumeric())
        && !name.contains("..")
}

fn is_account(name: &str) -> bool {
    (3..=24).contains(&name.len())
        && name
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit())
}

fn is_container(name: &str) -> bool {
    (1..=63).contains(&name.len())
        && name
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'-' | b'$'))
}

/// Whether a relative path is plain segments: the grammar of keys and of `file://` folders.
pub(crate) fn is_clean_path(path: &str) -> bool {
    !path.chars().any(char::is_control)
        && path
            .split('/')
            .all(|segment| !matches!(segment, "" | "." | ".."))
}

/// Which stores a grant covers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum StorePattern {
    Exact(String),
    Prefix(String),
}

impl StorePattern {
    /// # Errors
    /// [`PatternError`], with what was probably meant.
    pub(crate) fn parse(text: &str) -> Result<Self, PatternError> {
        let refuse = |rule: String| Err(PatternError::new("store pattern", text, rule));
        let Some((scheme, rest)) = Scheme::of(text) else {
            return refuse(suggest_scheme(text));
        };
        match rest.find('*') {
            None => parse_store(text).map(|_| Self::Exact(text.to_owned())),
            Some(at) if at + 1 == rest.len() => {
                let prefix = text.strip_suffix('*').unwrap_or(text);
                let path = rest.strip_suffix('*').unwrap_or(rest);
                let path = path.strip_suffix('/').unwrap_or(path);
                if !path.is_empty() && !is_clean_path(path) {
                    return refuse("no `.`, `..`, empty segments or control characters".into());
                }
                Ok(Self::Prefix(prefix.to_owned()))
            }
            Some(at) => {
                let head = rest.get(..at).unwrap_or_default();
                refuse(format!(
                    "`*` may only be the last character; did you mean `{}{head}*`?",
                    scheme.prefix()
                ))
            }
        }
    }

    /// Whether a store that [`parse_store`] accepted is covered.
    pub(crate) fn matches(&self, store: &str) -> bool {
        match self {
            Self::Exact(exact) => exact == store,
            Self::Prefix(prefix) => store.starts_with(prefix.as_str()),
        }
    }
}

impl fmt::Display for StorePattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact(exact) => f.write_str(exact),
            Self::Prefix(prefix) => write!(f, "{prefix}*"),
        }
    }
}

fn suggest_scheme(text: &str) -> String {
    let (scheme, rest) = text.split_once("://").unwrap_or(("", text));
    let rest = rest.trim_start_matches('/');
    let meant = match scheme {
        "s3a" | "s3n" | "aws" => "s3://",
        "gcs" | "google" => "gs://",
        "azure" | "abfs" | "abfss" | "wasb" => "az://",
        "file" => "file:///",
        _ if text.starts_with('/') => "file:///",
        _ => {
            return "one of `s3://bucket`, `gs://bucket`, `az://account/container`, `file:///dir`, or a prefix ending in `*`".into();
        }
    };
    format!("did you mean `{meant}{rest}`?")
}

/// A host that requests may go to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct HostGrant {
    is_plain: bool,
    host: String,
    port: u16,
}

impl HostGrant {
    /// # Errors
    /// [`PatternError`], with what was probably meant.
    pub(crate) fn parse(text: &str) -> Result<Self, PatternError> {
        let refuse = |rule: String| PatternError::new("host grant", text, rule);
        let (is_plain, rest) = match text.split_once("://") {
            None => (false, text),
            Some(("http", rest)) => (true, rest),
            Some(("https", rest)) => {
                return Err(refuse(format!(
                    "https is what `host:port` means; write `{}`",
                    rest.trim_end_matches('/')
                )));
            }
            Some(_) => return Err(refuse("`host:port` or `http://host:port`".into())),
        };
        if rest.contains('*') {
            return Err(refuse("hosts are exact; list each one".into()));
        }
        let scheme = if is_plain { "http" } else { "https" };
        let url = url::Url::parse(&format!("{scheme}://{rest}"))
            .map_err(|e| refuse(format!("`host:port`: {e}")))?;
        let has_port = rest
            .rsplit_once(':')
            .is_some_and(|(_, port)| port.parse::<u16>().is_ok());
        if !has_port {
            return Err(refuse(format!(
                "the port is missing; did you mean `{rest}:443`?"
            )));
        }
        let is_bare = url.path() == "/"
            && url.query().is_none()
            && url.fragment().is_none()
            && url.username().is_empty()
            && url.password().is_none()
            && !rest.ends_with('/');
        match (url.host_str(), url.port_or_known_default()) {
            (Some(host), Some(port)) if is_bare => Ok(Self {
                is_plain,
                host: host.to_owned(),
                port,
            }),
            _ => Err(refuse("only a host and a port".into())),
        }
    }

    /// Whether the URL goes to this host, by its scheme, host and port.
    pub(crate) fn matches(&self, url: &url::Url) -> bool {
        url.scheme() == if self.is_plain { "http" } else { "https" }
            && url.host_str() == Some(self.host.as_str())
            && url.port_or_known_default() == Some(self.port)
    }
}

impl fmt::Display for HostGrant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.is_plain { "http://" } else { "" };
        write!(f, "{scheme}{}:{}", self.host, self.port)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn store_patterns_match_what_they_say() {
        for (pattern, store, expected) in [
            ("s3://depot-*", "s3://depot-a", true),
            ("s3://depot-*", "s3://depotx", false),
            ("s3://depot", "s3://depot", true),
            ("s3://depot", "s3://depot2", false),
            ("az://account/*", "az://account/modules", true),
            ("az://account/*", "az://account2/modules", false),
            ("file:///", "file:///", true),
            ("file:///", "file:///etc", false),
            ("file:///srv/*", "file:///srv/a/b", true),
            ("file:///srv/*", "file:///srvx", false),
            ("s3://*", "gs://depot", false),
        ] {
            assert!(parse_store(store).is_ok(), "{store}");
            let parsed = StorePattern::parse(pattern).unwrap();
            assert_eq!(parsed.matches(store), expected, "{pattern} {store}");
            assert_eq!(parsed.to_string(), pattern);
        }
    }

    #[test]
    fn bad_store_patterns_come_with_a_suggestion() {
        for (pattern, hint) in [
            ("s3a://depot", "did you mean `s3://depot`?"),
            ("gcs://depot-*", "did you mean `gs://depot-*`?"),
            ("/srv/depot", "did you mean `file:///srv/depot`?"),
            ("file://srv", "did you mean `file:///srv`?"),
            ("s3://de*pot", "did you mean `s3://de*`?"),
            ("*", "one of `s3://bucket`"),
            ("", "one of `s3://bucket`"),
            ("file:///srv/../*", "no `.`, `..`"),
        ] {
            let error = StorePattern::parse(pattern).unwrap_err().to_string();
            assert!(error.contains(hint), "{pattern}: {error}");
        }
    }

    #[test]
    fn stores_outside_their_grammar_are_refused() {
        for store in [
            "s3://",
            "s3://a",
            "s3://depot/key",
            "s3://depot?x",
            "s3://user@depot",
            "s3://depot:9000",
            "s3://DEPOT",
            "s3://de..pot",
            "s3://depot\n",
            "az://account",
            "az://account/a/b",
            "az://acc.blob.example.com/c",
            "file:///etc/../root",
            "file:////etc",
            "file:///etc/",
            "file://etc",
            "http://169.254.169.254",
            "memory:///",
            "",
        ] {
            assert!(parse_store(store).is_err(), "{store}");
        }
    }

    #[test]
    fn remote_stores_have_one_form() {
        for store in [
            "https://depot.example.com",
            "https://depot.example.com/repository/raw",
            "http://depot.example.com:8081/dav",
            "https://[fd00::1]:8443/a",
            "https://depot.example.com/a%20b",
        ] {
            assert!(parse_remote_store(store).is_ok(), "{store}");
        }
        for store in [
            "https://depot.example.com/",
            "https://depot.example.com/raw/",
            "https://depot.example.com//raw",
            "https://DEPOT.example.com/raw",
            "https://depot.example.com:443/raw",
            "http://depot.example.com:80",
            "https://depot.example.com/a/../b",
            "https://depot.example.com/a/%2e%2e/b",
            "https://depot.example.com/a?b",
            "https://depot.example.com/a#b",
            "https://user@depot.example.com/a",
            "https://user:pass@depot.example.com/a",
            "https://depot.example.com\\a",
            "https://depot.example.com/a b",
            "https://depot.example.com/a\r\nHost: evil.test",
            "https://0x7f.1/a",
            "https://2130706433",
            "https://",
            "https:depot.example.com",
            "ftp://depot.example.com",
            "",
        ] {
            assert!(parse_remote_store(store).is_err(), "{store:?}");
        }
        assert!(
            parse_store("https://depot.example.com").is_err(),
            "not the host's own client"
        );
        let error = parse_remote_store("https://Depot.example.com:443/raw/").unwrap_err();
        let hint = "did you mean `https://depot.example.com/raw`?";
        assert!(error.to_string().contains(hint), "{error}");
    }

    #[test]
    fn host_grants_are_exact() {
        let grant = HostGrant::parse("artifactory.example.com:443").unwrap();
        for (url, expected) in [
            ("https://artifactory.example.com/x", true),
            ("https://ARTIFACTORY.example.com:443/x", true),
            ("http://artifactory.example.com/x", false),
            ("http://artifactory.example.com:443/x", false),
            ("https://artifactory.example.com:444/x", false),
            ("https://artifactory.example.com.evil.test/x", false),
            ("https://artifactory.example.com@evil.test/x", false),
            ("https://artifactory.example.com./x", false),
        ] {
            let url = url::Url::parse(url).unwrap();
            assert_eq!(grant.matches(&url), expected, "{url}");
        }
        let plain = HostGrant::parse("http://localhost:80").unwrap();
        assert!(plain.matches(&url::Url::parse("http://localhost/").unwrap()));
        assert_eq!(plain.to_string(), "http://localhost:80");
        // Another spelling of the address is the same address, on both sides.
        let literal = HostGrant::parse("127.0.0.1:8443").unwrap();
        assert!(literal.matches(&url::Url::parse("https://0x7f.1:8443/").unwrap()));
        for (text, hint) in [
            ("example.com", "did you mean `example.com:443`?"),
            ("https://example.com:443", "write `example.com:443`"),
            ("*.example.com:443", "hosts are exact"),
            ("user@example.com:443", "only a host"),
            ("example.com:443/x", "port is missing"),
            ("ftp://example.com:21", "`host:port`"),
            ("", "`host:port`"),
        ] {
            let error = HostGrant::parse(text).unwrap_err().to_string();
            assert!(error.contains(hint), "{text}: {error}");
        }
    }
}
