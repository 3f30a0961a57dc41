//! Host patterns: `host`, `host:port` or `*.suffix` (contract.md 3).

use std::fmt;
use std::str::FromStr;
use url::Host;

/// A parsed pattern. Hosts are normalised as in URLs: lower case, punycode, plain addresses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HostPattern {
    /// `host` or `host:port`; without a port every port.
    Exact {
        /// The name or address; IPv6 addresses are written in brackets.
        host: Host<String>,
        /// The only port.
        port: Option<u16>,
    },
    /// `*.suffix`: every name below the suffix, at any depth, on every port; not the suffix.
    Below {
        /// The suffix with its leading dot.
        dotted_suffix: String,
    },
}

impl HostPattern {
    /// Whether the pattern covers a host and port.
    #[must_use]
    pub fn matches(&self, host: &Host<&str>, port: u16) -> bool {
        match self {
            Self::Exact {
                host: expected,
                port: only,
            } => only.is_none_or(|only| only == port) && same(expected, host),
            Self::Below { dotted_suffix } => match host {
                Host::Domain(name) => {
                    name.len() > dotted_suffix.len() && name.ends_with(dotted_suffix.as_str())
                }
                Host::Ipv4(_) | Host::Ipv6(_) => false,
            },
        }
    }
}

fn same(expected: &Host<String>, host: &Host<&str>) -> bool {
    match (expected, host) {
        (Host::Domain(a), Host::Domain(b)) => a == b,
        (Host::Ipv4(a), Host::Ipv4(b)) => a == b,
        (Host::Ipv6(a), Host::Ipv6(b)) => a == b,
        _ => false,
    }
}

/// Text that is not a host pattern.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not `host`, `host:port` or `*.suffix`")]
pub struct InvalidPattern(String);

impl FromStr for HostPattern {
    type Err = InvalidPattern;

    fn from_str(text: &str) -> Result<Self, InvalidPattern> {
        let refuse = || InvalidPattern(text.escape_debug().take(120).collect());
        if let Some(suffix) = text.strip_prefix("*.") {
            return match Host::parse(suffix) {
                Ok(Host::Domain(name)) if is_plain(&name) => Ok(Self::Below {
                    dotted_suffix: format!(".{name}"),
                }),
                _ => Err(refuse()),
            };
        }
        let (host, port) = match text.rsplit_once(':') {
            // A colon within brackets belongs to the address.
            Some((host, port)) if !port.ends_with(']') => {
                let is_number = !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit());
                let port = port.parse().ok().filter(|port| is_number && *port != 0);
                (host, Some(port.ok_or_else(refuse)?))
            }
            _ => (text, None),
        };
        match Host::parse(host) {
            Ok(Host::Domain(name)) if !is_plain(&name) => Err(refuse()),
            Ok(host) => Ok(Self::Exact { host, port }),
            Err(_) => Err(refuse()),
        }
    }
}

fn is_plain(name: &str) -> bool {
    !name.is_empty()
        && name
            .split('.')
            .all(|label| !label.is_empty() && label.len() <= 63)
        && name
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_'))
}

impl fmt::Display for HostPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact {
                host,
                port: Some(port),
            } => write!(f, "{host}:{port}"),
            Self::Exact { host, port: None } => write!(f, "{host}"),
            Self::Below { dotted_suffix } => write!(f, "*{dotted_suffix}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_round_trip_and_are_normalised() {
        for (text, shown) in [
            ("api.example.com", "api.example.com"),
            ("API.Example.com:8443", "api.example.com:8443"),
            ("*.example.com", "*.example.com"),
            ("bücher.example", "xn--bcher-kva.example"),
            ("127.0.0.1:8080", "127.0.0.1:8080"),
            ("0x7f.1", "127.0.0.1"),
            ("[::1]", "[::1]"),
            ("[::1]:443", "[::1]:443"),
            ("localhost", "localhost"),
        ] {
            assert_eq!(HostPattern::from_str(text).unwrap().to_string(), shown);
        }
    }

    #[test]
    fn anything_else_is_refused() {
        for text in [
            "",
            "*",
            "*.",
            "a.*.b",
            "*a.example",
            "https://a.example",
            "a.example/x",
            "a.example:",
            "a.example:0",
            "a.example:99999",
            "a.example:+1",
            "a b",
            "user@a.example",
            "a.example.",
            "::1",
            "*.127.0.0.1",
            "[::1",
        ] {
            assert!(HostPattern::from_str(text).is_err(), "{text:?}");
        }
    }
}
