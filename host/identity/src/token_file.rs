//! `auth.tokensFile`: tokens by name, kept as digests, followed while we run.

use crate::MAX_TOKEN_FILE_BYTES;
use crate::error::Error;
use crate::file::{self, Lock};
use crate::reload::Watch;
use crate::token::{self, Document, TokenInfo, TokenSubject, Tokens};
use arc_swap::ArcSwap;
use jiff::Timestamp;
use opendepot_domain::Sha256;
use std::fmt;
use std::future::Future;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

/// The token file, as it was last read whole and found good.
pub struct TokenFile {
    path: PathBuf,
    tokens: ArcSwap<Tokens>,
    watch: Mutex<Watch>,
}

impl fmt::Debug for TokenFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenFile")
            .field("path", &self.path)
            .field("num_tokens", &self.tokens.load().len())
            .finish_non_exhaustive()
    }
}

impl TokenFile {
    /// Reads the file.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::Io`], [`Error::Malformed`].
    pub fn open(path: &Path) -> Result<Self, Error> {
        let mut watch = Watch::default();
        let bytes = watch.read(path)?;
        file::warn_if_exposed(path, false);
        let tokens = Tokens::new(Document::parse(path, &bytes)?);
        watch.succeeded();
        Ok(Self {
            path: path.to_owned(),
            tokens: ArcSwap::from_pointee(tokens),
            watch: Mutex::new(watch),
        })
    }

    /// Whom `token` stands for at `now`, Unix seconds; `None` for an unknown or expired one.
    #[must_use]
    pub fn authenticate(&self, token: &str, now: u64) -> Option<Arc<TokenSubject>> {
        self.tokens.load().find(token, now)
    }

    /// How many tokens are in force, expired ones included.
    #[must_use]
    pub fn num_tokens(&self) -> usize {
        self.tokens.load().len()
    }

    /// Why the file as it is now is not in force, for `/readyz?verbose`.
    #[must_use]
    pub fn failure(&self) -> Option<String> {
        self.lock_watch().failure().map(str::to_owned)
    }

    /// Reads the file again if it has changed; says whether new tokens are in force. A file that
    /// cannot be read or is wrong changes nothing and is logged once.
    ///
    /// Blocks on the file system.
    pub fn reload(&self) -> bool {
        let mut watch = self.lock_watch();
        let outcome = match watch.changed(&self.path, now()) {
            Ok(None) => return false,
            Ok(Some(bytes)) => Document::parse(&self.path, &bytes),
            Err(error) => Err(error),
        };
        match outcome {
            Ok(document) => {
                let tokens = Tokens::new(document);
                tracing::info!(
                    tokens.num = tokens.len(),
                    "read tokens again from `{}`",
                    self.path.display()
                );
                self.tokens.store(Arc::new(tokens));
                watch.succeeded();
                true
            }
            Err(error) => {
                if watch.failed(error.to_string()) {
                    tracing::error!("keeping the tokens read before: {error}");
                }
                false
            }
        }
    }

    /// Follows the file until `shutdown` is ready: a change is in force within two seconds.
    pub async fn watch(self: Arc<Self>, shutdown: impl Future<Output = ()> + Send) {
        let mut shutdown = std::pin::pin!(shutdown);
        let mut ticks = tokio::time::interval(crate::reload::POLL_AFTER);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = &mut shutdown => return,
                _ = ticks.tick() => {}
            }
            let file = Arc::clone(&self);
            if let Err(error) = tokio::task::spawn_blocking(move || file.reload()).await {
                tracing::error!("cannot look at the token file: {error}");
            }
        }
    }

    fn lock_watch(&self) -> std::sync::MutexGuard<'_, Watch> {
        // The watch is only bookkeeping: after a panic it at worst reads once more.
        self.watch.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a token, making the file when there is none, and returns the token: it is shown this
    /// once and cannot be had again. `expires_at` in Unix seconds.
    ///
    /// Blocks on the file system and its lock.
    ///
    /// # Errors
    /// [`Error::NameTaken`], [`Error::Invalid`] for a name, groups or an expiry that are refused,
    /// [`Error::Malformed`] when the file is, [`Error::Locked`], [`Error::Io`].
    pub fn create(
        path: &Path,
        name: &str,
        groups: &[String],
        expires_at: Option<u64>,
    ) -> Result<String, Error> {
        token::check_name(name)?;
        token::check_groups(groups)?;
        let created_at = timestamp(now())?;
        let expires_at = expires_at.map(timestamp).transpose()?;
        if expires_at.is_some_and(|at| at <= created_at) {
            return Err(Error::invalid("expiry", "it is in the past"));
        }
        let secret = token::generate()?;
        update(path, |document| {
            if document.tokens.iter().any(|token| token.name == name) {
                return Err(Error::NameTaken {
                    name: name.to_owned(),
                });
            }
            document.tokens.push(TokenInfo {
                name: name.to_owned(),
                sha256: Sha256::of(secret.as_bytes()),
                groups: groups.to_vec(),
                created_at,
                expires_at,
            });
            Ok(())
        })?;
        Ok(secret.to_string())
    }

    /// The tokens of a file, in its order.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn list(path: &Path) -> Result<Vec<TokenInfo>, Error> {
        read(path).map(|document| document.tokens)
    }

    /// Takes a token out of the file; servers that follow it refuse the token within two seconds.
    ///
    /// Blocks on the file system and its lock.
    ///
    /// # Errors
    /// [`Error::NoSuchToken`]; else as [`Self::create`].
    pub fn revoke(path: &Path, name: &str) -> Result<(), Error> {
        if !path.exists() {
            return Err(Error::NotFound {
                path: path.to_owned(),
            });
        }
        update(path, |document| {
            let before = document.tokens.len();
            document.tokens.retain(|token| token.name != name);
            if document.tokens.len() == before {
                return Err(Error::NoSuchToken {
                    name: name.to_owned(),
                });
            }
            Ok(())
        })
    }
}

fn read(path: &Path) -> Result<Document, Error> {
    Document::parse(path, &file::read(path, MAX_TOKEN_FILE_BYTES)?)
}

/// Reads, changes and replaces the file under its lock.
fn update(
    path: &Path,
    change: impl FnOnce(&mut Document) -> Result<(), Error>,
) -> Result<(), Error> {
    let _lock = Lock::take(path)?;
    let mut document = match read(path) {
        Err(Error::NotFound { .. }) => Document::empty(),
        other => other?,
    };
    change(&mut document)?;
    let text = document.render()?;
    // What we write must be what we read, whatever the text of names and groups.
    Document::parse(path, text.as_bytes())?;
    file::replace(path, text.as_bytes())
}

fn timestamp(seconds: u64) -> Result<Timestamp, Error> {
    i64::try_from(seconds)
        .ok()
        .and_then(|seconds| Timestamp::from_second(seconds).ok())
        .ok_or_else(|| Error::invalid("expiry", "it is after the year 9999"))
}

/// The wall clock in Unix seconds.
fn now() -> u64 {
    u64::try_from(Timestamp::now().as_second()).unwrap_or(0)
}

#[cfg(test)]
#[path = "token_file_tests.rs"]
mod tests;
