//! When to read a file again: by identity first, by content second.

use crate::MAX_TOKEN_FILE_BYTES;
use crate::error::Error;
use crate::file::{self, Identity};
use opendepot_domain::Sha256;
use std::path::Path;
use std::time::Duration;
use zeroize::Zeroizing;

/// How often the file is looked at.
pub(crate) const POLL_AFTER: Duration = Duration::from_secs(1);

/// What is known of a file that is followed.
#[derive(Debug, Default)]
pub(crate) struct Watch {
    identity: Option<Identity>,
    digest: Option<Sha256>,
    in_force: Option<Sha256>,
    failure: Option<String>,
}

impl Watch {
    /// Reads the file and remembers what it was.
    pub(crate) fn read(&mut self, path: &Path) -> Result<Zeroizing<Vec<u8>>, Error> {
        // Before the content: a change in between is then seen as one.
        let identity = Identity::of(path)?;
        let bytes = file::read(path, MAX_TOKEN_FILE_BYTES)?;
        self.identity = Some(identity);
        self.digest = Some(Sha256::of(&bytes));
        Ok(bytes)
    }

    /// The content, if it is another than last time; `now` in Unix seconds.
    pub(crate) fn changed(
        &mut self,
        path: &Path,
        now: u64,
    ) -> Result<Option<Zeroizing<Vec<u8>>>, Error> {
        let identity = Identity::of(path)?;
        let before = self.digest;
        if self.identity != Some(identity) || !identity.is_settled(now) {
            let bytes = self.read(path)?;
            if self.digest != before {
                return Ok(Some(bytes));
            }
        }
        // The file was gone or closed to us, and is back as it was.
        if self.digest == self.in_force {
            self.failure = None;
        }
        Ok(None)
    }

    /// Notes that the content is in force.
    pub(crate) fn succeeded(&mut self) {
        self.in_force = self.digest;
        self.failure = None;
    }

    /// Notes why the content is not in force; says whether that is news.
    pub(crate) fn failed(&mut self, reason: String) -> bool {
        let is_news = self.failure.as_ref() != Some(&reason);
        self.failure = Some(reason);
        is_news
    }

    /// Why the content is not in force.
    pub(crate) fn failure(&self) -> Option<&str> {
        self.failure.as_deref()
    }
}
