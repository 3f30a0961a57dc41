//! What a client sees: every version that is listed, downloaded and compared (I1, I5).

use crate::server::{Answer, Server};
use opendepot_signing::PublicKey;
use opendepot_tests::fixture::NAMESPACE;
use opendepot_tests::server::{MODULES, PROVIDERS};
use opendepot_tests::sha256;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// What is published: `module pair 1.0.0`, `provider note 1.0.0 linux_amd64` to a digest and
/// `provider note 1.0.0` to the text of SHA256SUMS.
pub(crate) type Facts = BTreeMap<String, String>;

/// Why there is nothing to see.
#[derive(Debug)]
pub(crate) enum Trouble {
    /// Nobody answers: it starts, or it was killed.
    Down(String),
    /// An answer that must not be given.
    Wrong(String),
}

/// What to look at.
#[derive(Clone, Debug)]
pub(crate) struct Names {
    pub(crate) modules: Vec<&'static str>,
    pub(crate) providers: Vec<&'static str>,
    /// Facts that are on their way out: a refusal right after they were listed is right.
    pub(crate) going: BTreeSet<String>,
}

/// The digest of the signature of each text of SHA256SUMS: a text is signed once (contract.md 3).
pub(crate) type Signatures = BTreeMap<String, String>;

/// Lists everything and downloads everything that is listed.
pub(crate) async fn look(server: &Server, names: &Names) -> Result<Facts, Trouble> {
    look_again(server, names, &mut Signatures::new()).await
}

/// The same; a signature must be the one that was seen before.
pub(crate) async fn look_again(
    server: &Server,
    names: &Names,
    signatures: &mut Signatures,
) -> Result<Facts, Trouble> {
    let mut look = Look {
        server,
        going: &names.going,
        facts: Facts::new(),
        signatures,
    };
    for name in &names.modules {
        look.module(name).await?;
    }
    for name in &names.providers {
        look.provider(name).await?;
    }
    Ok(look.facts)
}

struct Look<'a> {
    server: &'a Server,
    going: &'a BTreeSet<String>,
    facts: Facts,
    signatures: &'a mut Signatures,
}

impl Look<'_> {
    async fn get(&self, path: &str) -> Result<Answer, Trouble> {
        let answer = self.server.get(path).await;
        answer.map_err(|error| Trouble::Down(format!("GET {path}: {error:?}")))
    }

    /// The body of an answer that must be `status`; nothing when it may be refused.
    async fn expect(&self, path: &str, status: u16, what: &str) -> Result<Option<Answer>, Trouble> {
        let answer = self.get(path).await?;
        if answer.status.as_u16() == status {
            return Ok(Some(answer));
        }
        if self.going.contains(what) && !answer.status.is_success() {
            return Ok(None);
        }
        let text = String::from_utf8_lossy(&answer.body).into_owned();
        let code = answer.status;
        Err(Trouble::Wrong(format!(
            "{what} is listed, but GET {path} answers {code}: {text}"
        )))
    }

    /// The listed versions; none when the resource is not there.
    async fn listed(&self, path: &str, pointer: &str) -> Result<Vec<Value>, Trouble> {
        let answer = self.get(path).await?;
        match answer.status.as_u16() {
            200 => {}
            404 => return Ok(Vec::new()),
            // The initial lists are not complete.
            503 => return Err(Trouble::Down(format!("GET {path}: 503"))),
            other => return Err(Trouble::Wrong(format!("GET {path}: {other}"))),
        }
        let json = json(path, &answer)?;
        let list = json.pointer(pointer).and_then(Value::as_array).cloned();
        list.ok_or_else(|| Trouble::Wrong(format!("GET {path}: {json}")))
    }

    async fn module(&mut self, name: &str) -> Result<(), Trouble> {
        let base = format!("{MODULES}/{NAMESPACE}/{name}/local");
        for item in self
            .listed(&format!("{base}/versions"), "/modules/0/versions")
            .await?
        {
            let version = text(&item, "version")?;
            let what = format!("module {name} {version}");
            let path = format!("{base}/{version}/download");
            let Some(answer) = self.expect(&path, 204, &what).await? else {
                continue;
            };
            let location = answer.headers.get("x-terraform-get");
            let location = location
                .and_then(|value| value.to_str().ok())
                .ok_or_else(|| Trouble::Wrong(format!("GET {path}: no location")))?;
            let Some(bytes) = self.expect(location, 200, &what).await? else {
                continue;
            };
            let digest = sha256(&bytes.body);
            if !location.contains(&format!("checksum=sha256:{digest}"))
                && !location.contains(&format!("checksum=sha256%3A{digest}"))
            {
                return Err(Trouble::Wrong(format!(
                    "{what}: the bytes are {digest}, announced is {location}"
                )));
            }
            self.facts.insert(what, digest);
        }
        Ok(())
    }

    async fn provider(&mut self, name: &str) -> Result<(), Trouble> {
        let base = format!("{PROVIDERS}/{NAMESPACE}/{name}");
        for item in self
            .listed(&format!("{base}/versions"), "/versions")
            .await?
        {
            let version = text(&item, "version")?;
            let platforms = item.get("platforms").and_then(Value::as_array);
            for platform in platforms.into_iter().flatten() {
                let (os, arch) = (text(platform, "os")?, text(platform, "arch")?);
                self.package(
                    &base,
                    &format!("provider {name} {version}"),
                    version,
                    os,
                    arch,
                )
                .await?;
            }
        }
        Ok(())
    }

    /// One platform: archive, SHA256SUMS and signature fit each other.
    async fn package(
        &mut self,
        base: &str,
        release: &str,
        version: &str,
        os: &str,
        arch: &str,
    ) -> Result<(), Trouble> {
        let what = format!("{release} {os}_{arch}");
        let path = format!("{base}/{version}/download/{os}/{arch}");
        let Some(answer) = self.expect(&path, 200, &what).await? else {
            return Ok(());
        };
        let document = json(&path, &answer)?;
        let mut bodies = Vec::new();
        for member in ["download_url", "shasums_url", "shasums_signature_url"] {
            let url = text(&document, member)?;
            match self.expect(url, 200, &what).await? {
                Some(answer) => bodies.push(answer.body),
                None => return Ok(()),
            }
        }
        let [archive, sums, signature] = <[Vec<u8>; 3]>::try_from(bodies).unwrap();
        let digest = sha256(&archive);
        let wrong = |message: &str| Trouble::Wrong(format!("{what}: {message}"));
        if text(&document, "shasum")? != digest {
            return Err(wrong("the archive is not what the document says"));
        }
        let sums = String::from_utf8(sums).map_err(|_| wrong("SHA256SUMS is no text"))?;
        let line = format!("{digest}  {}\n", text(&document, "filename")?);
        if !sums.contains(&line) {
            return Err(wrong("SHA256SUMS does not list the archive"));
        }
        let armor = document.pointer("/signing_keys/gpg_public_keys/0/ascii_armor");
        let armor = armor.and_then(Value::as_str).unwrap_or_default();
        let key = PublicKey::parse(armor.as_bytes()).map_err(|error| wrong(&error.to_string()))?;
        key.verify(sums.as_bytes(), &signature)
            .map_err(|error| wrong(&error.to_string()))?;
        let signature = sha256(&signature);
        let first = self.signatures.entry(sums.clone());
        if *first.or_insert_with(|| signature.clone()) != signature {
            return Err(wrong("SHA256SUMS was signed anew"));
        }
        self.facts.insert(what, digest);
        self.facts.insert(release.to_owned(), sums);
        Ok(())
    }
}

fn json(path: &str, answer: &Answer) -> Result<Value, Trouble> {
    serde_json::from_slice(&answer.body)
        .map_err(|error| Trouble::Wrong(format!("GET {path}: {error}")))
}

fn text<'a>(json: &'a Value, member: &str) -> Result<&'a str, Trouble> {
    let found = json.get(member).and_then(Value::as_str);
    found.ok_or_else(|| Trouble::Wrong(format!("no `{member}` in {json}")))
}
