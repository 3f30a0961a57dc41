//! The token file's content: its format, its rules and the look-up.

use crate::error::Error;
use crate::{MAX_GROUP_BYTES, MAX_GROUPS, MAX_NAME_BYTES, MAX_TOKENS, RESERVED_GROUP_PREFIX};
use arc_swap::ArcSwapOption;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::Timestamp;
use opendepot_domain::{Authentication, Sha256, Subject};
use rand::TryRngCore as _;
use serde::{Deserialize, Serialize};
use std::collections::{HashMap, HashSet};
use std::path::Path;
use std::sync::Arc;
use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

/// What every token starts with, so that people and secret scanners know it.
const PREFIX: &str = "odp_";
const SECRET_BYTES: usize = 32;
/// 256 bits in base64url without padding.
const SECRET_CHARS: usize = 43;
/// The only version of the format.
const VERSION: u32 = 1;

/// The file.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Document {
    /// The format's version.
    version: u32,
    /// The tokens.
    pub(crate) tokens: Vec<TokenInfo>,
}

/// One token as the file holds it; the token itself is not in it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct TokenInfo {
    /// Its name, and its subject's.
    pub name: String,
    /// SHA-256 of the token's text.
    pub sha256: Sha256,
    /// Its subject's groups.
    #[serde(default)]
    pub groups: Vec<String>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it ends; absent for never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Timestamp>,
}

/// Whom a token stands for.
#[derive(Debug)]
pub struct TokenSubject {
    /// The token's name.
    pub name: String,
    /// Its groups.
    pub groups: Vec<String>,
    /// The caller that it last stood for: a client asks often, from one address.
    last: ArcSwapOption<Subject>,
}

impl TokenSubject {
    const fn new(name: String, groups: Vec<String>) -> Self {
        let last = ArcSwapOption::const_empty();
        Self { name, groups, last }
    }

    /// The caller with this token at `client_address`.
    pub(crate) fn caller(&self, client_address: &str) -> Arc<Subject> {
        let last = self.last.load_full();
        if let Some(subject) = last.filter(|last| last.client_address == client_address) {
            return subject;
        }
        let subject = Arc::new(Subject {
            authentication: Authentication::TokenFile,
            issuer: String::new(),
            name: self.name.clone(),
            groups: self.groups.clone(),
            claims: "{}".to_owned(),
            client_address: client_address.to_owned(),
        });
        self.last.store(Some(Arc::clone(&subject)));
        subject
    }
}

impl Document {
    pub(crate) const fn empty() -> Self {
        Self {
            version: VERSION,
            tokens: Vec::new(),
        }
    }

    /// Parses and checks a file.
    pub(crate) fn parse(path: &Path, bytes: &[u8]) -> Result<Self, Error> {
        let text =
            std::str::from_utf8(bytes).map_err(|_| Error::malformed(path, "it is not text"))?;
        // No snippet: the message goes to the log. No alias: a short file must stay small.
        let options = serde_saphyr::options! {
            with_snippet: false,
            alias_limits: serde_saphyr::alias_limits! { max_alias_expansions_per_anchor: 0 },
        };
        let document: Self = serde_saphyr::from_str_with_options(text, options)
            .map_err(|error| Error::malformed(path, shorten(&error.to_string())))?;
        document.check().map_err(|error| match error {
            Error::Invalid { what, reason } => Error::malformed(path, format!("{what}: {reason}")),
            other => other,
        })?;
        Ok(document)
    }

    /// Writes a file.
    pub(crate) fn render(&self) -> Result<String, Error> {
        serde_saphyr::to_string(self).map_err(|error| Error::Internal {
            what: "write the token file",
            reason: shorten(&error.to_string()),
        })
    }

    fn check(&self) -> Result<(), Error> {
        if self.version != VERSION {
            return Err(Error::invalid(
                "version",
                format!("it is `{}`, and only `{VERSION}` is known", self.version),
            ));
        }
        if self.tokens.len() > MAX_TOKENS {
            return Err(Error::invalid(
                "tokens",
                format!("there are more than {MAX_TOKENS}"),
            ));
        }
        let (mut names, mut digests) = (HashSet::new(), HashSet::new());
        for token in &self.tokens {
            check_name(&token.name)?;
            check_groups(&token.groups)?;
            if !names.insert(token.name.as_str()) {
                return Err(Error::invalid(
                    "name",
                    format!("`{}` is given twice", token.name),
                ));
            }
            if !digests.insert(token.sha256) {
                return Err(Error::invalid(
                    "sha256",
                    format!("`{}` has another token's", token.name),
                ));
            }
        }
        Ok(())
    }
}

fn shorten(text: &str) -> String {
    text.escape_debug().take(200).collect()
}

/// Checks a token's name: it ends up in logs and in policies.
pub(crate) fn check_name(name: &str) -> Result<(), Error> {
    if name.is_empty() || name.len() > MAX_NAME_BYTES {
        return Err(Error::invalid(
            "name",
            format!("it must have 1 to {MAX_NAME_BYTES} bytes"),
        ));
    }
    if name.trim() != name || name.chars().any(char::is_control) {
        return Err(Error::invalid(
            "name",
            "it has a control character or space around it",
        ));
    }
    Ok(())
}

/// Checks a token's groups; they are compared as data, so almost any text will do.
pub(crate) fn check_groups(groups: &[String]) -> Result<(), Error> {
    if groups.len() > MAX_GROUPS {
        return Err(Error::invalid(
            "groups",
            format!("there are more than {MAX_GROUPS}"),
        ));
    }
    for group in groups {
        if group.is_empty() || group.len() > MAX_GROUP_BYTES {
            return Err(Error::invalid(
                "groups",
                format!("each must have 1 to {MAX_GROUP_BYTES} bytes"),
            ));
        }
        if group.chars().any(char::is_control) {
            return Err(Error::invalid("groups", "one has a control character"));
        }
        if group.starts_with(RESERVED_GROUP_PREFIX) {
            return Err(Error::invalid(
                "groups",
                format!("`{RESERVED_GROUP_PREFIX}` is reserved for machine clients"),
            ));
        }
    }
    Ok(())
}

/// Makes a token: `odp_` and 256 random bits.
pub(crate) fn generate() -> Result<Zeroizing<String>, Error> {
    let mut secret = Zeroizing::new([0; SECRET_BYTES]);
    rand::rngs::OsRng
        .try_fill_bytes(&mut *secret)
        .map_err(|error| Error::Internal {
            what: "generate a token",
            reason: error.to_string(),
        })?;
    let encoded = Zeroizing::new(URL_SAFE_NO_PAD.encode(secret.as_slice()));
    Ok(Zeroizing::new(format!("{PREFIX}{}", *encoded)))
}

/// Whether `token` has the shape of ours; nothing else is worth a hash.
fn is_well_formed(token: &str) -> bool {
    token.strip_prefix(PREFIX).is_some_and(|secret| {
        secret.len() == SECRET_CHARS
            && secret
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
    })
}

/// The tokens of one state of the file, ready to be looked up.
#[derive(Debug)]
pub(crate) struct Tokens {
    /// By the first eight bytes of the digest; the whole is then compared in constant time.
    by_digest: HashMap<[u8; 8], Vec<Entry>>,
    len: usize,
}

#[derive(Debug)]
struct Entry {
    digest: Sha256,
    /// Unix seconds.
    expires_at: Option<i64>,
    subject: Arc<TokenSubject>,
}

impl Tokens {
    pub(crate) fn new(document: Document) -> Self {
        let len = document.tokens.len();
        let mut by_digest: HashMap<[u8; 8], Vec<Entry>> = HashMap::with_capacity(len);
        for token in document.tokens {
            let entry = Entry {
                digest: token.sha256,
                expires_at: token.expires_at.map(Timestamp::as_second),
                subject: Arc::new(TokenSubject::new(token.name, token.groups)),
            };
            by_digest
                .entry(bucket(&token.sha256))
                .or_default()
                .push(entry);
        }
        Self { by_digest, len }
    }

    pub(crate) const fn len(&self) -> usize {
        self.len
    }

    /// Whom `token` stands for at `now`, Unix seconds.
    pub(crate) fn find(&self, token: &str, now: u64) -> Option<Arc<TokenSubject>> {
        if !is_well_formed(token) {
            return None;
        }
        let digest = Sha256::of(token.as_bytes());
        let now = i64::try_from(now).unwrap_or(i64::MAX);
        self.by_digest
            .get(&bucket(&digest))?
            .iter()
            .find(|entry| entry.digest.as_bytes().ct_eq(digest.as_bytes()).into())
            .filter(|entry| entry.expires_at.is_none_or(|at| now < at))
            .map(|entry| Arc::clone(&entry.subject))
    }
}

fn bucket(digest: &Sha256) -> [u8; 8] {
    digest.as_bytes().first_chunk().copied().unwrap_or_default()
}
