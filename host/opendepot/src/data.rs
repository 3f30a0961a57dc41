//! The data directory: folders, keys, and the lock that the embedded store holds.

use anyhow::{Context as _, bail};
use opendepot_api::tls::{Certificate, development};
use opendepot_apiserver::{Embedded, Options};
use opendepot_domain::Kind;
use opendepot_identity::ArtifactKeys;
use opendepot_signing::{PublicKey, Signer};
use std::fs;
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::panic;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use crate::config::{Config, TlsMode};

/// Paths under the data directory.
#[derive(Clone, Debug)]
pub(crate) struct DataDir {
    root: PathBuf,
}

impl DataDir {
    /// Creates the directory (0700) and what belongs in it.
    pub(crate) fn create(root: &Path) -> anyhow::Result<Self> {
        private_folder(root)?;
        let root =
            fs::canonicalize(root).with_context(|| format!("cannot use `{}`", root.display()))?;
        let data = Self { root };
        for folder in [data.temp(), data.root.join("signing")] {
            private_folder(&folder)?;
        }
        Ok(data)
    }

    /// Opens the store. Its lock makes this process the directory's only user.
    ///
    /// # Errors
    /// When another process has it open, or it is damaged: then with the remedy.
    pub(crate) fn open_store(&self, watch_history: usize) -> anyhow::Result<Embedded> {
        let path = self.store();
        let options = Options {
            path: Some(path.clone()),
            crds: opendepot_crds::all(),
            watch_history,
        };
        let reason = match without_panic(|| Embedded::open(options)) {
            Some(Ok(embedded)) => return Ok(embedded),
            Some(Err(error)) if error.kind() == Kind::Conflict || error.kind() == Kind::Invalid => {
                return Err(error.into());
            }
            Some(Err(error)) => error.to_string(),
            None => format!(
                "cannot open the embedded store `{}`: its pages do not fit each other",
                path.display()
            ),
        };
        bail!(
            "{reason}; if the file is damaged, restore it from a backup, or move it away and start again: \
             the manifests folder is then applied anew, and stored artifacts are found again by their digests"
        )
    }

    /// Removes the temporary files that a crash left. The caller has the store open, so none of
    /// them is another process's.
    pub(crate) fn sweep(&self) -> anyhow::Result<()> {
        let temp = self.temp();
        let attempt = || format!("cannot sweep `{}`", temp.display());
        let mut num_swept = 0_usize;
        for entry in fs::read_dir(&temp).with_context(attempt)? {
            let entry = entry.with_context(attempt)?;
            if !entry.file_type().with_context(attempt)?.is_dir() {
                fs::remove_file(entry.path()).with_context(attempt)?;
                num_swept += 1;
            }
        }
        if num_swept > 0 {
            tracing::info!(num_swept, "removed temporary files that a crash left");
        }
        Ok(())
    }

    /// Names the directory without touching it.
    pub(crate) fn at(root: &Path) -> Self {
        Self {
            root: root.to_owned(),
        }
    }

    pub(crate) fn store(&self) -> PathBuf {
        self.root.join("control.redb")
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.root.join("control.sock")
    }

    pub(crate) fn temp(&self) -> PathBuf {
        self.root.join("tmp")
    }

    fn tls(&self) -> PathBuf {
        self.root.join("tls")
    }

    /// The keys of capabilities and seals.
    pub(crate) fn artifact_keys(&self, config: &Config) -> anyhow::Result<Arc<ArtifactKeys>> {
        let keys = match &config.file.artifacts.key_file {
            Some(path) => ArtifactKeys::load(path)?,
            None => ArtifactKeys::load_or_generate(&self.root.join("artifacts.key"))?,
        };
        Ok(Arc::new(keys))
    }

    /// The certificate of the public listener.
    pub(crate) fn certificate(&self, config: &Config) -> anyhow::Result<Option<Arc<Certificate>>> {
        Ok(match &config.tls {
            TlsMode::Off => None,
            TlsMode::Files { certificate, key } => {
                Some(Certificate::load(certificate.clone(), key.clone())?)
            }
            TlsMode::Development => {
                let files = development(&self.tls())?;
                tracing::info!(tls.ca = %files.ca.display(), "clients trust the development CA `{}`", files.ca.display());
                Some(Certificate::load(files.certificate, files.key)?)
            }
        })
    }
}

/// The signing key, the public keys to advertise, and where users read about them.
pub(crate) struct SigningKeys {
    /// Signs; else the reason why nothing can be signed. Signed releases are served either way.
    pub(crate) signer: Result<Arc<Signer>, String>,
    /// The current public key first, then the retired.
    pub(crate) public: Vec<PublicKey>,
    /// Shown in package documents.
    pub(crate) source_url: Option<String>,
}

impl DataDir {
    /// Loads the signing key: from the configuration, from the original's environment, or a
    /// generated one in the data directory.
    pub(crate) fn signing_keys(&self, config: &Config) -> anyhow::Result<SigningKeys> {
        let signing = &config.file.signing;
        let variable = |name: &str| {
            std::env::var(format!("OPENDEPOT_PROVIDER_GPG_{name}"))
                .ok()
                .filter(|value| !value.trim().is_empty())
        };
        let signer = match &signing.private_key_file {
            Some(path) => Self::key_of_file(path, signing.passphrase_file.as_deref()),
            None => match variable("PRIVATE_KEY_BASE64") {
                Some(private) => {
                    let (id, armor) = (
                        variable("KEY_ID").unwrap_or_default(),
                        variable("ASCII_ARMOR").unwrap_or_default(),
                    );
                    Signer::from_original(&id, &armor, &private).map_err(|error| error.to_string())
                }
                None => self.generated().map_err(|error| format!("{error:#}")),
            },
        };
        if let Err(reason) = &signer {
            tracing::error!("no usable signing key, new provider releases wait: {reason}");
        }
        let mut public = Vec::new();
        if let Ok(signer) = &signer {
            public.push(signer.public_key().clone());
        }
        let seen = self.root.join("signing");
        for path in &signing.retired_public_key_files {
            let bytes =
                fs::read(path).with_context(|| format!("cannot read `{}`", path.display()))?;
            let key = PublicKey::parse(&bytes)
                .with_context(|| format!("cannot use `{}`", path.display()))?;
            public.push(key);
        }
        remember(&seen, &mut public)?;
        let source_url = signing
            .source_url
            .clone()
            .or_else(|| variable("SOURCE_URL"));
        Ok(SigningKeys {
            signer: signer.map(Arc::new),
            public,
            source_url,
        })
    }

    fn key_of_file(path: &Path, passphrase: Option<&Path>) -> Result<Signer, String> {
        let read = |path: &Path| {
            fs::read(path).map_err(|error| format!("cannot read `{}`: {error}", path.display()))
        };
        let passphrase = passphrase
            .map(read)
            .transpose()?
            .map(|bytes| String::from_utf8_lossy(&bytes).trim_end().to_owned());
        Signer::load(&read(path)?, passphrase.as_deref()).map_err(|error| error.to_string())
    }

    fn generated(&self) -> anyhow::Result<Signer> {
        let path = self.root.join("signing").join("private.asc");
        if path.is_file() {
            return Ok(Signer::load(&fs::read(&path)?, None)?);
        }
        let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
        let (signer, private) = Signer::generate_ed25519("OpenDepot", now)?;
        write_private(&path, &private)?;
        tracing::info!(key_id = %signer.public_key().key_id, "generated a signing key in `{}`", path.display());
        Ok(signer)
    }
}

/// Keeps every public key that was ever current, so that releases signed by it stay verifiable
/// after the key was replaced.
fn remember(folder: &Path, public: &mut Vec<PublicKey>) -> anyhow::Result<()> {
    for key in public.iter() {
        let path = folder.join(format!("{}.pub.asc", key.key_id));
        if !path.exists() {
            write_private(&path, key.ascii_armor.as_bytes())?;
        }
    }
    let mut known: Vec<PathBuf> = fs::read_dir(folder)?
        .filter_map(|entry| entry.ok().map(|entry| entry.path()))
        .filter(|path| path.to_string_lossy().ends_with(".pub.asc"))
        .collect();
    known.sort();
    for path in known {
        match PublicKey::parse(&fs::read(&path)?) {
            Ok(key)
                if public
                    .iter()
                    .all(|other| other.fingerprint != key.fingerprint) =>
            {
                public.push(key)
            }
            Ok(_) => {}
            Err(error) => tracing::warn!("ignoring `{}`: {error}", path.display()),
        }
    }
    Ok(())
}

/// Runs `work`; nothing when it panicked, and then nothing is printed either: the storage library
/// panics on pages that make no sense.
fn without_panic<T>(work: impl FnOnce() -> T) -> Option<T> {
    let hook = panic::take_hook();
    panic::set_hook(Box::new(|_| {}));
    let outcome = panic::catch_unwind(panic::AssertUnwindSafe(work));
    panic::set_hook(hook);
    outcome.ok()
}

/// Makes a folder, and those above it, that only their owner can enter.
pub(crate) fn private_folder(path: &Path) -> anyhow::Result<()> {
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .with_context(|| format!("cannot create `{}`", path.display()))
}

/// Writes a file of 0600 whole: by a temporary name, then a rename.
fn write_private(path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    let temporary = path.with_extension("new");
    let mut file = fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&temporary)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&temporary, path)?;
    Ok(())
}
