//! What may be reached: names by an allow-list, addresses by what they are (T25, Z16).
//!
//! An [`EgressPolicy`] serves one purpose (sources, storage, plugins, identity). A URL passes
//! when its scheme, its host and, at connect time, the resolved address pass. An empty allow-list
//! allows nothing.

mod address;
mod config;
mod pattern;

pub use config::EgressConfig;
pub use pattern::{HostPattern, InvalidPattern};

use crate::error::Error;
use ipnet::IpNet;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use url::{Host, Url};

/// What one purpose may reach.
#[derive(Clone, Debug, Default)]
pub struct EgressPolicy {
    allow: Vec<HostPattern>,
    allow_private: Vec<IpNet>,
    allow_http: Vec<HostPattern>,
    ca_file: Option<PathBuf>,
    /// More of the same, as PEM.
    authorities: Option<Arc<[u8]>>,
    endpoints: Vec<(Host<String>, u16)>,
    allows_any_host: bool,
}

/// Why a host is allowed, which decides what addresses it may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Grant {
    /// By the allow-list: public addresses, and those that the operator lists.
    Listed,
    /// As a configured endpoint: private addresses as well.
    Endpoint,
}

impl EgressPolicy {
    /// Allows the host and port of a URL that the operator configured for this purpose, also
    /// when its address is private. `http` still needs the host in `allowHttp`.
    ///
    /// # Errors
    /// [`Error::Settings`] when the URL has no host or is neither `https` nor `http`.
    pub fn endpoint(mut self, url: &Url) -> Result<Self, Error> {
        let target = match (url.scheme(), url.host(), url.port_or_known_default()) {
            ("http" | "https", Some(host), Some(port)) => (host.to_owned(), port),
            _ => {
                return Err(Error::Settings {
                    problems: vec![format!(
                        "the endpoint `{}` is not an http or https URL",
                        redacted(url)
                    )],
                });
            }
        };
        if !self.endpoints.contains(&target) {
            self.endpoints.push(target);
        }
        Ok(self)
    }

    /// Without an allow-list, allows every host: for requests whose hosts were granted one by one
    /// before they come here, as those of plugins are. Addresses and `http` are judged as ever.
    #[must_use]
    pub const fn of_granted_hosts(mut self) -> Self {
        self.allows_any_host = self.allow.is_empty();
        self
    }

    /// The addresses at which clouds give credentials to what runs there, and nothing else: for
    /// credentials of which the operator says that they come from there.
    ///
    /// # Errors
    /// None with addresses that are these.
    pub(crate) fn metadata_services() -> Result<Self, Error> {
        const HOSTS: &[&str] = &[
            "169.254.169.254",
            "169.254.170.2",
            "169.254.170.23",
            "[fd00:ec2::254]",
            "[fd00:ec2::23]",
            "metadata.google.internal",
        ];
        let hosts: Vec<String> = HOSTS.iter().map(|host| format!("{host}:80")).collect();
        EgressConfig {
            allow: hosts.clone(),
            allow_http: hosts,
            allow_private: vec![
                "169.254.169.254/32".to_owned(),
                "169.254.170.2/32".to_owned(),
                "169.254.170.23/32".to_owned(),
                "fd00:ec2::254/128".to_owned(),
                "fd00:ec2::23/128".to_owned(),
            ],
            ca_file: None,
        }
        .policy()
    }

    /// Certificates that are trusted besides the system's.
    #[must_use]
    pub fn ca_file(&self) -> Option<&Path> {
        self.ca_file.as_deref()
    }

    /// Trusts these certificates too, which are PEM.
    #[must_use]
    pub(crate) fn trusting(mut self, authorities: Vec<u8>) -> Self {
        self.authorities = Some(authorities.into());
        self
    }

    /// What [`Self::trusting`] was given.
    pub(crate) fn authorities(&self) -> Option<&[u8]> {
        self.authorities.as_deref()
    }

    /// Checks everything about a URL that can be checked before its name is resolved. An address
    /// in place of a name is checked in full.
    ///
    /// # Errors
    /// [`Error::Refused`] with the rule.
    pub fn check(&self, url: &Url) -> Result<(), Error> {
        self.grant(url).map(|_| ())
    }

    pub(crate) fn grant(&self, url: &Url) -> Result<Grant, Error> {
        let refuse = |reason: &str| Error::Refused {
            url: redacted(url),
            reason: reason.to_owned(),
        };
        if !matches!(url.scheme(), "https" | "http") {
            return Err(refuse("only https, and http where allowed, is fetched"));
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(refuse("it holds user information"));
        }
        let (Some(host), Some(port)) = (url.host(), url.port_or_known_default()) else {
            return Err(refuse("it has no host"));
        };
        if matches!(host, Host::Domain(name) if name.ends_with('.')) {
            return Err(refuse("its host ends with a dot"));
        }
        if url.scheme() == "http" && !matches_any(&self.allow_http, &host, port) {
            return Err(refuse(
                "it is not https, and `allowHttp` of the `egress` settings does not list its host",
            ));
        }
        let is_endpoint = self
            .endpoints
            .iter()
            .any(|(name, at)| *at == port && host == borrowed(name));
        let grant = if is_endpoint {
            Grant::Endpoint
        } else if self.allows_any_host || matches_any(&self.allow, &host, port) {
            Grant::Listed
        } else {
            return Err(refuse(
                "`allow` of the `egress` settings does not list its host",
            ));
        };
        let literal = match host {
            Host::Domain(_) => None,
            Host::Ipv4(address) => Some(IpAddr::V4(address)),
            Host::Ipv6(address) => Some(IpAddr::V6(address)),
        };
        match literal.map(|address| self.check_address(address, grant, true)) {
            Some(Err(reason)) => Err(refuse(reason)),
            Some(Ok(())) | None => Ok(grant),
        }
    }

    /// Checks an address that is about to be connected to; `is_literal`: the operator or the
    /// source wrote the address itself.
    pub(crate) fn check_address(
        &self,
        address: IpAddr,
        grant: Grant,
        is_literal: bool,
    ) -> Result<(), &'static str> {
        use address::Class;
        let address = address::canonical(address);
        let listed = |min_prefix: Option<u8>| {
            self.allow_private.iter().any(|net| {
                net.contains(&address) && min_prefix.is_none_or(|prefix| net.prefix_len() >= prefix)
            })
        };
        match address::classify(address) {
            Class::Public => Ok(()),
            Class::Never => Err("its address cannot be a destination"),
            // A range that holds the metadata address by chance does not open it.
            Class::Metadata => {
                let whole = if address.is_ipv4() { 32 } else { 128 };
                if listed(Some(whole)) || (grant == Grant::Endpoint && is_literal) {
                    Ok(())
                } else {
                    Err(
                        "its address is a metadata service, which `allowPrivate` of the `egress` settings does not list",
                    )
                }
            }
            Class::LinkLocal => {
                if listed(None) || (grant == Grant::Endpoint && is_literal) {
                    Ok(())
                } else {
                    Err(
                        "its address is link-local, and `allowPrivate` of the `egress` settings does not list it",
                    )
                }
            }
            Class::Private => {
                if listed(None) || grant == Grant::Endpoint {
                    Ok(())
                } else {
                    Err(
                        "its address is private, local or reserved, and `allowPrivate` of the `egress` settings does not list it",
                    )
                }
            }
        }
    }
}

fn borrowed(host: &Host<String>) -> Host<&str> {
    match host {
        Host::Domain(name) => Host::Domain(name),
        Host::Ipv4(address) => Host::Ipv4(*address),
        Host::Ipv6(address) => Host::Ipv6(*address),
    }
}

fn matches_any(patterns: &[HostPattern], host: &Host<&str>, port: u16) -> bool {
    patterns.iter().any(|pattern| pattern.matches(host, port))
}

/// A URL without what may be secret: user information, query and fragment.
pub(crate) fn redacted(url: &Url) -> String {
    let mut shown = url.clone();
    shown.set_query(None);
    shown.set_fragment(None);
    // Both fail only for URLs that cannot carry user information.
    let _ = shown.set_username("");
    let _ = shown.set_password(None);
    shown.as_str().chars().take(300).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(config: serde_json::Value) -> EgressPolicy {
        let config: EgressConfig = serde_json::from_value(config).unwrap();
        config.policy().unwrap()
    }

    fn refused(policy: &EgressPolicy, url: &str) -> bool {
        Url::parse(url).is_ok_and(|url| policy.check(&url).is_err())
    }

    #[test]
    fn addresses_that_are_not_public_are_refused_in_every_spelling() {
        // Every host is allowed by name here: only the address can refuse.
        for (name, url) in [
            ("loopback", "https://127.0.0.1/"),
            ("loopback, short", "https://127.1/"),
            ("loopback, decimal", "https://2130706433/"),
            ("loopback, octal", "https://0177.0.0.1/"),
            ("loopback, hex", "https://0x7f000001/"),
            ("loopback, full width", "https://１２７.0.0.1/"),
            ("loopback, v6", "https://[::1]/"),
            ("loopback, mapped", "https://[::ffff:7f00:1]/"),
            ("loopback, mapped, dotted", "https://[::ffff:127.0.0.1]/"),
            ("loopback, compatible", "https://[::127.0.0.1]/"),
            ("loopback, NAT64", "https://[64:ff9b::7f00:1]/"),
            ("loopback, 6to4", "https://[2002:7f00:1::]/"),
            ("unspecified", "https://0.0.0.0/"),
            ("unspecified, v6", "https://[::]/"),
            ("metadata", "https://169.254.169.254/"),
            ("metadata, v6", "https://[fd00:ec2::254]/"),
            ("metadata, Azure", "https://168.63.129.16/"),
            ("link-local, v6", "https://[fe80::1]/"),
            ("10/8", "https://10.1.2.3/"),
            ("172.16/12", "https://172.31.255.255/"),
            ("192.168/16", "https://192.168.0.1/"),
            ("carrier NAT", "https://100.64.0.1/"),
            ("ULA", "https://[fd12::1]/"),
            ("documentation", "https://192.0.2.1/"),
            ("documentation, v6", "https://[2001:db8::1]/"),
            ("benchmark", "https://198.18.0.1/"),
            ("multicast", "https://224.0.0.1/"),
            ("multicast, v6", "https://[ff02::1]/"),
            ("broadcast", "https://255.255.255.255/"),
        ] {
            let parsed = Url::parse(url).unwrap();
            let host = parsed.host_str().unwrap().to_owned();
            let policy = policy(serde_json::json!({ "allow": [host] }));
            assert!(refused(&policy, url), "{name}");
        }
        let public = policy(serde_json::json!({"allow": ["93.184.215.14", "[2606:2800::1]"]}));
        assert!(!refused(&public, "https://93.184.215.14/"));
        assert!(!refused(&public, "https://[2606:2800::1]/"));
    }

    #[test]
    fn urls_that_are_not_plain_https_to_an_allowed_host_are_refused() {
        let policy = policy(serde_json::json!({
            "allow": ["api.example.com", "ports.example.com:8443", "*.cdn.example.com"],
            "allowHttp": ["plain.example.com"],
        }));
        for url in [
            "https://api.example.com/x?y#z",
            "https://api.example.com:444/",
            "https://API.EXAMPLE.COM/",
            "https://ports.example.com:8443/",
            "https://a.b.cdn.example.com/",
        ] {
            assert!(!refused(&policy, url), "{url}");
        }
        for url in [
            "http://api.example.com/",
            "http://plain.example.com/",
            "https://plain.example.com/",
            "https://ports.example.com/",
            "https://cdn.example.com/",
            "https://evilcdn.example.com/",
            "https://api.example.com.evil.com/",
            "https://evil.com/api.example.com",
            "https://user@api.example.com/",
            "https://api.example.com:x@evil.com/",
            "https://api.example.com@evil.com/",
            "https://api.example.com./",
            "file:///etc/passwd",
            "gopher://api.example.com/",
            "git://api.example.com/",
            "ftp://api.example.com/",
            "data:text/plain,x",
        ] {
            assert!(Url::parse(url).is_err() || refused(&policy, url), "{url}");
        }
        assert!(refused(
            &EgressPolicy::default(),
            "https://api.example.com/"
        ));
    }

    #[test]
    fn an_endpoint_may_be_private_on_its_own_port_and_http_needs_its_own_word() {
        let endpoint = Url::parse("https://10.0.0.5:8443/api/v3").unwrap();
        let strict = EgressPolicy::default().endpoint(&endpoint).unwrap();
        assert!(!refused(&strict, "https://10.0.0.5:8443/other"));
        assert!(refused(&strict, "https://10.0.0.5/"));
        assert!(refused(&strict, "http://10.0.0.5:8443/"));
        let name = Url::parse("https://git.corp.example/").unwrap();
        let strict = EgressPolicy::default().endpoint(&name).unwrap();
        let private = "10.0.0.5".parse().unwrap();
        let metadata = "169.254.169.254".parse().unwrap();
        assert!(
            strict
                .check_address(private, Grant::Endpoint, false)
                .is_ok()
        );
        assert!(strict.check_address(private, Grant::Listed, false).is_err());
        assert!(
            strict
                .check_address(metadata, Grant::Endpoint, false)
                .is_err()
        );
        assert!(
            EgressPolicy::default()
                .endpoint(&Url::parse("file:///x").unwrap())
                .is_err()
        );
    }

    #[test]
    fn listed_ranges_open_private_addresses_but_not_metadata_by_chance() {
        let wide = policy(serde_json::json!({"allow": [], "allowPrivate": ["0.0.0.0/0", "::/0"]}));
        for (address, is_allowed) in [
            ("127.0.0.1", true),
            ("10.0.0.1", true),
            ("::ffff:10.0.0.1", true),
            ("fd00::1", true),
            ("169.254.1.1", true),
            ("169.254.169.254", false),
            ("fd00:ec2::254", false),
            ("224.0.0.1", false),
            ("0.0.0.0", false),
        ] {
            let address = address.parse().unwrap();
            assert_eq!(
                wide.check_address(address, Grant::Listed, false).is_ok(),
                is_allowed,
                "{address}"
            );
        }
        let exact =
            policy(serde_json::json!({"allow": [], "allowPrivate": ["169.254.169.254/32"]}));
        let metadata = "169.254.169.254".parse().unwrap();
        assert!(exact.check_address(metadata, Grant::Listed, false).is_ok());
    }

    #[test]
    fn nothing_secret_is_shown() {
        let url = Url::parse("https://user:pass@h.example/p?token=s3cret#frag").unwrap();
        assert_eq!(redacted(&url), "https://h.example/p");
    }
}
