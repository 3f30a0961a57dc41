//! Credentials of a docker configuration file: `auths` only, nothing is executed.

use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use opendepot_transfer::{Credential, Secret};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::fmt;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use url::Url;
use zeroize::Zeroizing;

const MAX_FILE_BYTES: u64 = 1 << 20;
const MAX_LOGIN_BYTES: usize = 16 << 10;
/// Others write base64 with and without padding.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// A docker configuration file that cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("cannot use the docker configuration file `{path}`: {reason}")]
pub struct DockerError {
    path: PathBuf,
    reason: String,
}

/// The file's credentials, as it has them.
pub(crate) struct DockerConfig {
    path: PathBuf,
    auths: BTreeMap<String, Entry>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Raw {
    #[serde(default)]
    auths: BTreeMap<String, Entry>,
    creds_store: Option<String>,
    #[serde(default)]
    cred_helpers: BTreeMap<String, serde::de::IgnoredAny>,
}

#[derive(Deserialize)]
struct Entry {
    auth: Option<Hidden>,
    username: Option<String>,
    password: Option<Hidden>,
    identitytoken: Option<Hidden>,
    registrytoken: Option<Hidden>,
}

/// A text that is wiped when it is dropped.
#[derive(Deserialize)]
#[serde(from = "String")]
struct Hidden(Zeroizing<String>);

impl From<String> for Hidden {
    fn from(text: String) -> Self {
        Self(Zeroizing::new(text))
    }
}

/// A name and password for one host. Never printed.
pub(crate) struct Login {
    basic: Secret,
}

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Login([redacted])")
    }
}

impl Login {
    /// The header for the origin of `url`, and no other.
    pub(crate) fn credential(&self, url: &Url) -> Credential {
        Credential {
            origin: url.origin(),
            header: http::header::AUTHORIZATION,
            value: self.basic.clone(),
        }
    }
}

impl DockerConfig {
    /// Reads the file anew. Blocking.
    pub(crate) fn read(path: &Path) -> Result<Self, DockerError> {
        let refuse = |reason: String| DockerError {
            path: path.to_owned(),
            reason,
        };
        let text = read(path).map_err(|error| refuse(error.to_string()))?;
        // The parser's own text may show a value.
        let raw: Raw = serde_json::from_slice(&text).map_err(|error| {
            refuse(format!(
                "it does not parse at line {}, column {}",
                error.line(),
                error.column()
            ))
        })?;
        const REMEDY: &str = "put a name and password under `auths` instead";
        if raw.creds_store.is_some_and(|name| !name.is_empty()) {
            return Err(refuse(format!(
                "`credsStore` names a program, and none is run; {REMEDY}"
            )));
        }
        if !raw.cred_helpers.is_empty() {
            return Err(refuse(format!(
                "`credHelpers` names programs, and none is run; {REMEDY}"
            )));
        }
        Ok(Self {
            path: path.to_owned(),
            auths: raw.auths,
        })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The login for the host and port of `url`.
    pub(crate) fn login(&self, url: &Url) -> Result<Option<Login>, DockerError> {
        let wanted = (url.host(), url.port_or_known_default());
        let mut found: Option<Login> = None;
        for (key, entry) in &self.auths {
            let Some(of) = host_of(key) else { continue };
            if (of.host(), of.port_or_known_default()) != wanted {
                // Without a port, the default one of the scheme that is spoken.
                let is_same =
                    of.host() == url.host() && of.port().is_none() && url.port().is_none();
                if !is_same {
                    continue;
                }
            }
            let login = entry.login().map_err(|reason| DockerError {
                path: self.path.clone(),
                reason: format!("the entry `{}` under `auths` {reason}", shown(key)),
            })?;
            match &found {
                Some(other) if other.basic != login.basic => {
                    return Err(DockerError {
                        path: self.path.clone(),
                        reason: format!(
                            "two entries under `auths` are for the host of `{}` and differ; keep one",
                            shown(key)
                        ),
                    });
                }
                Some(_) => {}
                None => found = Some(login),
            }
        }
        Ok(found)
    }
}

impl Entry {
    fn login(&self) -> Result<Login, &'static str> {
        let is_set = |token: &Option<Hidden>| token.as_ref().is_some_and(|t| !t.0.is_empty());
        if is_set(&self.identitytoken) || is_set(&self.registrytoken) {
            return Err(
                "has an `identitytoken` or `registrytoken`, which is not supported; \
                        use a name and a password, or a token as password",
            );
        }
        let pair = match (&self.auth, &self.username, &self.password) {
            (Some(Hidden(auth)), ..) if !auth.is_empty() => {
                let bytes = BASE64
                    .decode(auth.trim().as_bytes())
                    .map(Zeroizing::new)
                    .map_err(|_| "has an `auth` that is not base64")?;
                let text =
                    std::str::from_utf8(&bytes).map_err(|_| "has an `auth` that is not UTF-8")?;
                // Some versions of docker pad with zeros.
                Zeroizing::new(text.trim_end_matches('\0').to_owned())
            }
            (_, Some(name), Some(Hidden(password))) => {
                if name.contains(':') {
                    return Err("has a `username` with a colon");
                }
                Zeroizing::new(format!("{name}:{}", password.as_str()))
            }
            _ => return Err("has neither `auth` nor `username` and `password`"),
        };
        if !pair.contains(':') {
            return Err("has an `auth` that is not `name:password`");
        }
        if pair.len() > MAX_LOGIN_BYTES {
            return Err("is too long");
        }
        let encoded = Zeroizing::new(BASE64.encode(pair.as_bytes()));
        Ok(Login {
            basic: Secret::new(format!("Basic {}", encoded.as_str())),
        })
    }
}

/// The host of a key of `auths`: `host`, `host:port` or a URL; with the paths that docker writes,
/// not with those by which others tell repositories apart.
fn host_of(key: &str) -> Option<Url> {
    let text = if key.contains("://") {
        key.to_owned()
    } else {
        format!("https://{key}")
    };
    let url = Url::parse(&text).ok()?;
    let is_whole = matches!(url.path(), "" | "/" | "/v1" | "/v1/" | "/v2" | "/v2/");
    (is_whole && url.host().is_some()).then_some(url)
}

fn read(path: &Path) -> std::io::Result<Zeroizing<Vec<u8>>> {
    use rustix::fs::{Mode, OFlags};
    // Non-blocking, so that a FIFO cannot hold us.
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = std::fs::File::from(rustix::fs::open(path, flags, Mode::empty())?);
    if !file.metadata()?.is_file() {
        return Err(std::io::Error::other("not a regular file"));
    }
    let mut bytes = Zeroizing::new(Vec::new());
    file.take(MAX_FILE_BYTES + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > MAX_FILE_BYTES {
        return Err(std::io::Error::other("larger than 1 MiB"));
    }
    Ok(bytes)
}

fn shown(text: &str) -> String {
    text.escape_debug().take(120).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(json: &str) -> Result<DockerConfig, DockerError> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("config.json");
        std::fs::write(&path, json).unwrap();
        DockerConfig::read(&path)
    }

    /// What would be sent to `url`: `name:password`.
    fn sent(json: &str, url: &str) -> Option<String> {
        let login = config(json)
            .unwrap()
            .login(&Url::parse(url).unwrap())
            .unwrap()?;
        let basic = login
            .basic
            .reveal()
            .strip_prefix("Basic ")
            .unwrap()
            .to_owned();
        Some(String::from_utf8(BASE64.decode(basic).unwrap()).unwrap())
    }

    fn refused(json: &str) -> String {
        let url = Url::parse("https://r.example/").unwrap();
        match config(json).and_then(|config| config.login(&url)) {
            Ok(_) => panic!("accepted: {json}"),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn an_entry_is_for_its_host_and_port() {
        // `bmFtZTpwYTpzcw==` is `name:pa:ss`.
        let auth = r#"{"auth": "bmFtZTpwYTpzcw=="}"#;
        let hit = Some("name:pa:ss".to_owned());
        for (key, url, expected) in [
            ("r.example", "https://r.example/", &hit),
            ("r.example", "http://r.example/", &hit),
            ("r.example:443", "https://r.example/", &hit),
            ("R.example", "https://r.example/", &hit),
            ("https://r.example", "https://r.example/", &hit),
            ("https://r.example/v1/", "https://r.example/", &hit),
            ("https://r.example/v2/", "https://r.example/", &hit),
            ("r.example:5000", "http://r.example:5000/", &hit),
            ("r.example", "https://r.example:5000/", &None),
            ("r.example:5000", "https://r.example/", &None),
            ("r.example/team", "https://r.example/", &None),
            ("other.example", "https://r.example/", &None),
            ("example", "https://r.example/", &None),
            ("*.example", "https://r.example/", &None),
            ("", "https://r.example/", &None),
        ] {
            let json = format!(r#"{{"auths": {{"{key}": {auth}}}, "psFormat": "x"}}"#);
            assert_eq!(&sent(&json, url), expected, "{key} for {url}");
        }
    }

    #[test]
    fn both_forms_of_a_login() {
        let url = "https://r.example/";
        for entry in [
            r#"{"username": "u", "password": "p"}"#,
            r#"{"auth": "dTpw"}"#,
            r#"{"auth": "dTpwAAA", "email": "x"}"#,
            r#"{"auth": "dTpw", "username": "other", "password": "other", "identitytoken": ""}"#,
        ] {
            let json = format!(r#"{{"auths": {{"r.example": {entry}}}, "credsStore": ""}}"#);
            assert_eq!(sent(&json, url), Some("u:p".to_owned()), "{entry}");
        }
        let same = r#"{"auths": {"r.example": {"auth": "dTpw"}, "https://r.example": {"username": "u", "password": "p"}}}"#;
        assert_eq!(sent(same, url), Some("u:p".to_owned()));
        assert_eq!(sent("{}", url), None);
    }

    #[test]
    fn what_cannot_be_used_is_named_and_no_secret_shown() {
        for (json, part) in [
            (r#"{"credsStore": "desktop"}"#, "credsStore"),
            (
                r#"{"credHelpers": {"r.example": "ecr-login"}}"#,
                "credHelpers",
            ),
            (
                r#"{"auths": {"r.example": {"auth": "dTpw", "identitytoken": "s3cret"}}}"#,
                "identitytoken",
            ),
            (
                r#"{"auths": {"r.example": {"registrytoken": "s3cret"}}}"#,
                "registrytoken",
            ),
            (r#"{"auths": {"r.example": {}}}"#, "neither"),
            (
                r#"{"auths": {"r.example": {"username": "s3cret"}}}"#,
                "neither",
            ),
            (
                r#"{"auths": {"r.example": {"username": "a:b", "password": "s3cret"}}}"#,
                "colon",
            ),
            (
                r#"{"auths": {"r.example": {"auth": "s3cret!"}}}"#,
                "not base64",
            ),
            (
                r#"{"auths": {"r.example": {"auth": "c2VjcmV0"}}}"#,
                "not `name:password`",
            ),
            (
                r#"{"auths": {"r.example": {"auth": "dTpw"}, "https://r.example/": {"auth": "dTpx"}}}"#,
                "differ",
            ),
            (r#"{"auths": {"r.example": "s3cret"}}"#, "line 1"),
            (r#"{"auths": ["s3cret"]}"#, "line 1"),
            ("s3cret", "line 1"),
        ] {
            let said = refused(json);
            assert!(said.contains(part), "{json}: {said}");
            assert!(!said.contains("s3cret"), "{said}");
        }
        let nowhere = DockerConfig::read(Path::new("/nowhere/config.json"));
        assert!(nowhere.is_err_and(|error| error.to_string().contains("/nowhere/config.json")));
    }

    #[test]
    fn a_broken_entry_of_another_host_does_no_harm() {
        let json = r#"{"auths": {"r.example": {"auth": "dTpw"}, "other.example": {"auth": "!"}}}"#;
        assert_eq!(sent(json, "https://r.example/"), Some("u:p".to_owned()));
    }
}
