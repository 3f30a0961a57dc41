//! Which states of local files were hashed, and with what result (I5, R-26).
//!
//! Bounds: a bounded number of digests is kept; a bounded number of files is hashed at a time
//! and a bounded number waits. A hash goes on when its caller leaves, so that the next caller of
//! a large file on a slow disk finds it done.

use super::identity::{self, Identity};
use crate::error::{Damage, Error};
use crate::metric;
use opendepot_domain::Sha256;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use tokio::sync::{Semaphore, watch};

const MAX_REMEMBERED: u64 = 100_000;
/// Files that are hashed or wait for it; each holds a descriptor.
const MAX_PENDING: usize = 64;

/// The outcome of hashing; `None` while it runs.
type Outcome = Option<Result<Sha256, Failure>>;

#[derive(Clone, Debug)]
enum Failure {
    Changed,
    Io(Option<i32>, String),
}

/// Digests of file states.
#[derive(Clone)]
pub(crate) struct Verified(Arc<Inner>);

struct Inner {
    digests: moka::sync::Cache<Identity, Sha256>,
    pending: Mutex<HashMap<Identity, watch::Receiver<Outcome>>>,
    slots: Semaphore,
    wait_timeout: Duration,
}

impl Verified {
    pub(crate) fn new(concurrent_hashes: usize, wait_timeout: Duration) -> Self {
        Self(Arc::new(Inner {
            digests: moka::sync::Cache::new(MAX_REMEMBERED),
            pending: Mutex::new(HashMap::new()),
            slots: Semaphore::new(concurrent_hashes),
            wait_timeout,
        }))
    }

    /// Records what a file was found to be.
    pub(crate) fn remember(&self, identity: Identity, digest: Sha256) {
        if identity.is_settled(SystemTime::now()) {
            self.0.digests.insert(identity, digest);
        }
    }

    /// The digest of `file`, whose state is `identity`: remembered, or hashed now.
    ///
    /// # Errors
    /// [`Error::Corrupt`] when the file changes meanwhile, [`Error::Busy`] when too many files
    /// wait, [`Error::Unavailable`] when it takes too long or cannot be read.
    pub(crate) async fn digest(
        &self,
        file: &Arc<File>,
        identity: Identity,
        what: &str,
    ) -> Result<Sha256, Error> {
        if let Some(digest) = self.0.digests.get(&identity) {
            return Ok(digest);
        }
        let attempt = || format!("verify {what}");
        let mut outcome = self
            .join(file, identity)
            .ok_or_else(|| Error::Busy { attempt: attempt() })?;
        let waited = tokio::time::timeout(self.0.wait_timeout, outcome.wait_for(Option::is_some))
            .await
            .map_err(|_| Error::unavailable(attempt(), "hashing it takes longer than the limit"))?
            .map_err(|_| Error::task(attempt()))?;
        match waited.clone() {
            Some(Ok(digest)) => Ok(digest),
            Some(Err(Failure::Changed)) => Err(metric::corrupt(
                super::filesystem::BACKEND,
                what.to_owned(),
                Damage::Changed,
            )),
            Some(Err(Failure::Io(code, text))) => {
                let error =
                    code.map_or_else(|| io::Error::other(text), io::Error::from_raw_os_error);
                Err(Error::io(attempt(), &error))
            }
            None => Err(Error::task(attempt())),
        }
    }

    /// Joins the hash of this state or starts it; `None` when too many are pending.
    fn join(&self, file: &Arc<File>, identity: Identity) -> Option<watch::Receiver<Outcome>> {
        let mut pending = self.0.pending.lock();
        if let Some(running) = pending.get(&identity) {
            return Some(running.clone());
        }
        if pending.len() >= MAX_PENDING {
            return None;
        }
        let (sender, receiver) = watch::channel(None);
        pending.insert(identity, receiver.clone());
        let entry = Pending {
            verified: self.clone(),
            identity,
        };
        tokio::spawn(run(entry, Arc::clone(file), sender));
        Some(receiver)
    }
}

/// Removes the entry however the task ends.
struct Pending {
    verified: Verified,
    identity: Identity,
}

impl Drop for Pending {
    fn drop(&mut self) {
        self.verified.0.pending.lock().remove(&self.identity);
    }
}

async fn run(entry: Pending, file: Arc<File>, sender: watch::Sender<Outcome>) {
    let inner = Arc::clone(&entry.verified.0);
    let Ok(_slot) = inner.slots.acquire().await else {
        return;
    };
    let identity = entry.identity;
    let hashed = tokio::task::spawn_blocking(move || {
        // Taken before the first byte is read: a later change must show.
        let was_settled = identity.is_settled(SystemTime::now());
        let outcome = identity::hash(&file)
            .and_then(|(digest, _)| Identity::of(&file).map(|after| (digest, after)));
        (was_settled, outcome)
    });
    let outcome = match hashed.await {
        Ok((was_settled, Ok((digest, after)))) if after == identity => {
            if was_settled {
                inner.digests.insert(identity, digest);
            }
            Ok(digest)
        }
        Ok((_, Ok(_))) => Err(Failure::Changed),
        Ok((_, Err(error))) => Err(Failure::Io(error.raw_os_error(), error.to_string())),
        Err(_) => return,
    };
    // The entry goes first: whoever comes later starts anew or finds the digest remembered.
    drop(entry);
    sender.send_replace(Some(outcome));
}
