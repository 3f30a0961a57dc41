//! What tells one state of a local file from another, and hashing it.

use std::fs::{File, Metadata};
use std::io;
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use opendepot_domain::Sha256;
use sha2::Digest as _;

const HASH_BUFFER_BYTES: usize = 1 << 20;
/// Coarsest clock tick of a kernel that stamps files: a change within it may leave no trace.
const TICK: Duration = Duration::from_millis(20);
/// The same for file systems that store whole seconds.
const COARSE_TICK: Duration = Duration::from_secs(2);

/// A file's state: any write, truncation, replacement or forged mtime gives another one, except
/// within one clock tick (see [`Identity::is_settled`]).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Identity {
    device: u64,
    inode: u64,
    pub(crate) size: u64,
    mtime: (i64, i64),
    ctime: (i64, i64),
}

impl Identity {
    pub(crate) fn of(file: &File) -> io::Result<Self> {
        file.metadata().map(|metadata| Self::from(&metadata))
    }

    /// How long ago a change must lie to be visible for sure.
    pub(crate) const fn tick(&self) -> Duration {
        if self.mtime.1 == 0 && self.ctime.1 == 0 {
            COARSE_TICK
        } else {
            TICK
        }
    }

    /// Whether every change from `now` on gives another identity: the last one is more than a
    /// clock tick old.
    pub(crate) fn is_settled(&self, now: SystemTime) -> bool {
        let changed = |(seconds, nanoseconds): (i64, i64)| {
            let since = Duration::new(
                u64::try_from(seconds).unwrap_or(0),
                u32::try_from(nanoseconds).unwrap_or(0),
            );
            UNIX_EPOCH.checked_add(since).unwrap_or(now)
        };
        let last = changed(self.mtime).max(changed(self.ctime));
        // A time in the future (a clock that was set back) is never settled.
        now.duration_since(last).is_ok_and(|age| age > self.tick())
    }
}

impl From<&Metadata> for Identity {
    fn from(metadata: &Metadata) -> Self {
        Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            size: metadata.size(),
            mtime: (metadata.mtime(), metadata.mtime_nsec()),
            ctime: (metadata.ctime(), metadata.ctime_nsec()),
        }
    }
}

/// The state that a file was in when its bytes were hashed. A source that is still in it when it is
/// put need not be hashed again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HashedState(Identity);

impl HashedState {
    /// The state of a file whose last byte was just hashed, by its only writer.
    ///
    /// # Errors
    /// When the file's metadata cannot be read.
    pub fn of(file: &File) -> io::Result<Self> {
        Identity::of(file).map(Self)
    }

    /// Whether `file` is the same file, unchanged.
    pub(super) fn is_of(&self, file: &File) -> io::Result<bool> {
        Identity::of(file).map(|now| now == self.0)
    }
}

/// Hashes a whole file from its start and returns the digest and the number of bytes. Blocks.
pub(crate) fn hash(file: &File) -> io::Result<(Sha256, u64)> {
    let mut buffer = vec![0; HASH_BUFFER_BYTES];
    let mut hasher = sha2::Sha256::new();
    let mut offset = 0;
    loop {
        let read = read_at(file, &mut buffer, offset)?;
        if read == 0 {
            return Ok((Sha256::finish(hasher), offset));
        }
        hasher.update(buffer.get(..read).unwrap_or_default());
        offset += read as u64;
    }
}

/// Reads at `offset` until `buffer` is full or the file ends. Blocks.
pub(crate) fn read_at(file: &File, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
    let mut filled = 0;
    while let Some(rest) = buffer.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        match file.read_at(rest, offset + filled as u64) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fresh_change_is_not_settled_and_an_old_one_is() {
        let file = tempfile::tempfile().unwrap();
        let identity = Identity::of(&file).unwrap();
        let at = file.metadata().unwrap().modified().unwrap();
        assert!(!identity.is_settled(at));
        assert!(!identity.is_settled(at - Duration::from_secs(60)));
        assert!(identity.is_settled(at + COARSE_TICK * 2));
    }
}
