//! `registry[:port]/repository@sha256:…`: where an artifact is, and which one.

use opendepot_domain::Sha256;
use std::fmt;
use std::str::FromStr;
use url::{Host, Url};

const MAX_BYTES: usize = 512;
/// Of a repository's name (distribution specification).
const MAX_REPOSITORY_BYTES: usize = 255;
const FORM: &str = "`registry[:port]/repository@sha256:DIGEST`";

/// An artifact by digest. `Display` gives the text back.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Reference {
    registry: String,
    repository: String,
    digest: Sha256,
}

/// A text that is no reference, and what to write instead.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is no reference to a plugin: {reason}")]
pub struct ReferenceError {
    text: String,
    reason: String,
}

impl Reference {
    /// The registry's host, with its port when one was written.
    #[must_use]
    pub fn registry(&self) -> &str {
        &self.registry
    }

    /// The repository's name.
    #[must_use]
    pub fn repository(&self) -> &str {
        &self.repository
    }

    /// The digest of the manifest.
    #[must_use]
    pub const fn digest(&self) -> Sha256 {
        self.digest
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            registry,
            repository,
            digest,
        } = self;
        write!(f, "{registry}/{repository}@sha256:{digest}")
    }
}

impl FromStr for Reference {
    type Err = ReferenceError;

    fn from_str(text: &str) -> Result<Self, ReferenceError> {
        parse(text).map_err(|reason| ReferenceError {
            text: text.escape_debug().take(200).collect(),
            reason,
        })
    }
}

fn parse(text: &str) -> Result<Reference, String> {
    if text.len() > MAX_BYTES {
        return Err(format!("it is longer than {MAX_BYTES} bytes"));
    }
    if text.contains("://") {
        return Err(format!("write it without a scheme, as {FORM}"));
    }
    let (name, digest) = match text.split_once('@') {
        Some((name, digest)) => (name, Some(digest)),
        None => (text, None),
    };
    let (registry, repository) = name
        .split_once('/')
        .ok_or_else(|| format!("expected {FORM}"))?;
    let (repository, tag) = match repository.split_once(':') {
        Some((repository, tag)) => (repository, Some(tag)),
        None => (repository, None),
    };
    let Some(digest) = digest else {
        let why = match tag {
            Some(_) => "a tag can be moved to other bytes",
            None => "it has no digest",
        };
        return Err(format!(
            "{why}; write {FORM}, with the digest that the push printed"
        ));
    };
    if tag.is_some() {
        return Err(
            "a tag beside the digest says nothing, and may mislead; leave it out".to_owned(),
        );
    }
    let digest = parse_digest(digest)
        .ok_or("its digest is not `sha256:` and 64 lower-case hexadecimal digits")?;
    check_registry(registry)?;
    check_repository(repository)?;
    Ok(Reference {
        registry: registry.to_owned(),
        repository: repository.to_owned(),
        digest,
    })
}

/// A digest as descriptors and references have it.
pub(crate) fn parse_digest(text: &str) -> Option<Sha256> {
    let hex = text.strip_prefix("sha256:")?;
    let is_lower = hex
        .bytes()
        .all(|b| b.is_ascii_digit() || matches!(b, b'a'..=b'f'));
    is_lower.then(|| Sha256::from_hex(hex).ok())?
}

fn check_registry(registry: &str) -> Result<(), String> {
    let refused = || format!("`{registry}` is no registry's `host` or `host:port`");
    let is_plain = registry
        .bytes()
        .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b':' | b'[' | b']'));
    let url = Url::parse(&format!("https://{registry}/")).map_err(|_| refused())?;
    // What is written is what is asked: no other spelling of an address or name.
    let host = match url.host() {
        Some(Host::Domain(name)) => name.to_owned(),
        Some(Host::Ipv4(address)) => address.to_string(),
        Some(Host::Ipv6(address)) => format!("[{address}]"),
        None => return Err(refused()),
    };
    let port = registry.strip_prefix(&host).ok_or_else(refused)?;
    let is_port = match port
        .strip_prefix(':')
        .map(|text| (text, text.parse::<u16>()))
    {
        Some((text, Ok(number))) => number > 0 && number.to_string() == text,
        Some((_, Err(_))) => false,
        None => port.is_empty(),
    };
    if !is_plain || !is_port || host.ends_with('.') {
        return Err(refused());
    }
    match host.as_str() {
        "docker.io" | "index.docker.io" => {
            Err("Docker Hub's registry is `registry-1.docker.io`; write that".to_owned())
        }
        "localhost" => Ok(()),
        name if name.contains(['.', ':']) || !port.is_empty() => Ok(()),
        _ => Err(format!(
            "`{registry}` is no registry's host (it has neither a dot nor a port); expected {FORM}"
        )),
    }
}

// The grammar of the distribution specification: lower-case words, joined by `.`, `_`, `__` or
// dashes, in components joined by `/`.
fn check_repository(repository: &str) -> Result<(), String> {
    let is_good =
        repository.len() <= MAX_REPOSITORY_BYTES && repository.split('/').all(is_component);
    if is_good {
        Ok(())
    } else {
        let shown: String = repository.escape_debug().take(120).collect();
        Err(format!("`{shown}` is no repository's name"))
    }
}

fn is_component(text: &str) -> bool {
    let is_word = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let is_separator = |run: &str| {
        matches!(run, "." | "_" | "__") || (!run.is_empty() && run.bytes().all(|b| b == b'-'))
    };
    let starts_and_ends =
        text.bytes().next().is_some_and(is_word) && text.bytes().next_back().is_some_and(is_word);
    starts_and_ends
        && text
            .split(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit())
            .all(|run| run.is_empty() || is_separator(run))
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEX: &str = "0f1e2d3c4b5a69788796a5b4c3d2e1f00f1e2d3c4b5a69788796a5b4c3d2e1f0";

    #[test]
    fn what_is_written_comes_back() {
        for name in [
            "registry.example/plugins/x",
            "registry.example:5000/x",
            "localhost/x",
            "localhost:5000/a/b/c",
            "registry:5000/x",
            "127.0.0.1:5000/x",
            "[::1]:5000/x",
            "r.example/a.b/c_d/e__f/g--h---i/0",
        ] {
            let text = format!("{name}@sha256:{HEX}");
            let reference: Reference = text.parse().unwrap();
            assert_eq!(reference.to_string(), text);
            assert_eq!(reference.digest().to_string(), HEX);
        }
    }

    #[test]
    fn without_a_digest_the_remedy_is_named() {
        for (text, part) in [
            ("registry.example/x", "no digest"),
            ("registry.example/x:1.2", "a tag can be moved"),
            ("registry.example:5000/x:latest", "a tag can be moved"),
        ] {
            let error = text.parse::<Reference>().unwrap_err().to_string();
            assert!(error.contains(part), "{text}: {error}");
            assert!(error.contains("@sha256:"), "{text}: {error}");
        }
        let both = format!("registry.example/x:1.2@sha256:{HEX}");
        let error = both.parse::<Reference>().unwrap_err().to_string();
        assert!(error.contains("leave it out"), "{error}");
    }

    #[test]
    fn all_else_is_refused() {
        let upper = HEX.to_uppercase();
        for text in [
            String::new(),
            "x".to_owned(),
            format!("x@sha256:{HEX}"),
            format!("/x@sha256:{HEX}"),
            format!("registry.example/@sha256:{HEX}"),
            format!("library/x@sha256:{HEX}"),
            format!("docker.io/library/x@sha256:{HEX}"),
            format!("https://registry.example/x@sha256:{HEX}"),
            format!("oci://registry.example/x@sha256:{HEX}"),
            format!("user@registry.example/x@sha256:{HEX}"),
            format!("user:pass@registry.example/x@sha256:{HEX}"),
            format!("registry.example:/x@sha256:{HEX}"),
            format!("registry.example:0x50/x@sha256:{HEX}"),
            format!("registry.example:99999/x@sha256:{HEX}"),
            format!("registry.example:0/x@sha256:{HEX}"),
            format!("registry.example:05000/x@sha256:{HEX}"),
            format!("REGISTRY.example/x@sha256:{HEX}"),
            format!("127.1/x@sha256:{HEX}"),
            format!("0x7f.0.0.1/x@sha256:{HEX}"),
            format!("registry.example./x@sha256:{HEX}"),
            format!("registry.example/X@sha256:{HEX}"),
            format!("registry.example/a//b@sha256:{HEX}"),
            format!("registry.example/../b@sha256:{HEX}"),
            format!("registry.example/a/..@sha256:{HEX}"),
            format!("registry.example/a..b@sha256:{HEX}"),
            format!("registry.example/a___b@sha256:{HEX}"),
            format!("registry.example/-a@sha256:{HEX}"),
            format!("registry.example/a%2fb@sha256:{HEX}"),
            format!("registry.example/a?b@sha256:{HEX}"),
            format!("registry.example/a b@sha256:{HEX}"),
            format!("registry.example/é@sha256:{HEX}"),
            format!("registry.example/x@sha256:{upper}"),
            format!("registry.example/x@sha256:{HEX}0"),
            format!("registry.example/x@sha256:{}", &HEX[1..]),
            format!("registry.example/x@sha512:{HEX}"),
            format!("registry.example/x@{HEX}"),
            format!("registry.example/x@sha256:{HEX}@sha256:{HEX}"),
            format!("registry.example/{}@sha256:{HEX}", "a".repeat(256)),
            format!("registry.example/{}@sha256:{HEX}", "a/".repeat(400)),
        ] {
            assert!(text.parse::<Reference>().is_err(), "{text:?}");
        }
    }
}
