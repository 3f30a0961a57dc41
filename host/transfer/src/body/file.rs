//! A body read from a local file that was verified before.
//!
//! Pages that the kernel has in memory are read where the body is polled: a copy of 256 KiB takes
//! tens of microseconds, a trip to another thread costs more. Pages that are not go to the
//! blocking pool. Files are never mapped: a mapped file that is truncated kills the process.

use super::pool::{BUFFER_BYTES, Buffer, Pool};
use crate::error::{Damage, Error};
use crate::metric;
use crate::store::Checked;
use crate::store::identity::{self, Identity};
use bytes::Bytes;
use opendepot_domain::Sha256;
use sha2::Digest as _;
use std::fs::File;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};
use tokio::task::JoinHandle;

/// Bytes at the end that are kept back until the file is known to be unchanged.
const HOLD_BACK_BYTES: u64 = 64 << 10;

/// What the blocking pool hands back: the buffer, how much is in it, and, at the end of the
/// body, the file's state after the read.
struct Filled {
    buffer: Buffer,
    len: usize,
    after: Option<Identity>,
}

enum State {
    Idle,
    Reading(JoinHandle<io::Result<Filled>>),
    Over,
}

/// The frames of one range of a file.
pub(crate) struct FileBody {
    checked: Checked,
    pool: Pool,
    can_read_inline: Arc<AtomicBool>,
    offset: u64,
    end: u64,
    /// Hashes the whole body when a change might leave no trace in the identity.
    hasher: Option<(sha2::Sha256, Sha256)>,
    state: State,
}

impl FileBody {
    pub(crate) fn new(
        checked: Checked,
        pool: Pool,
        can_read_inline: Arc<AtomicBool>,
        bytes: std::ops::Range<u64>,
    ) -> Self {
        let is_whole = bytes.start == 0 && bytes.end == checked.identity.size;
        let hasher = (!checked.is_settled && is_whole)
            .then(|| (sha2::Sha256::new(), checked.expected.sha256));
        Self {
            checked,
            pool,
            can_read_inline,
            offset: bytes.start,
            end: bytes.end,
            hasher,
            state: State::Idle,
        }
    }

    /// Bytes that are still to come.
    pub(crate) const fn remaining(&self) -> u64 {
        self.end - self.offset
    }

    pub(crate) const fn is_over(&self) -> bool {
        matches!(self.state, State::Over)
    }

    pub(crate) fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Error>>> {
        let filled = loop {
            match &mut self.state {
                State::Over => return Poll::Ready(None),
                State::Idle => {
                    if let Some(outcome) = self.read() {
                        break outcome;
                    }
                }
                State::Reading(task) => {
                    if let Ok(outcome) = ready!(Pin::new(task).poll(cx)) {
                        break outcome;
                    }
                    self.state = State::Over;
                    return Poll::Ready(Some(Err(Error::task(self.attempt()))));
                }
            }
        };
        self.state = State::Idle;
        let outcome = filled
            .map_err(|error| Error::io(self.attempt(), &error))
            .and_then(|filled| self.release(filled));
        if outcome.is_err() || self.remaining() == 0 {
            self.state = State::Over;
        }
        Poll::Ready(Some(outcome))
    }

    fn attempt(&self) -> String {
        format!("read {}", self.checked.what)
    }

    /// How much the next frame carries, and whether it is the last: the rest when it fits one
    /// buffer, else as much as leaves enough to hold back.
    fn next_frame(&self) -> (usize, bool) {
        let remaining = self.remaining();
        let capacity = BUFFER_BYTES as u64;
        if remaining <= capacity {
            (usize::try_from(remaining).unwrap_or(BUFFER_BYTES), true)
        } else {
            let len = capacity.min(remaining - HOLD_BACK_BYTES);
            (usize::try_from(len).unwrap_or(BUFFER_BYTES), false)
        }
    }

    /// Reads the next frame here when its pages are in memory; `None` when the blocking pool
    /// reads it.
    fn read(&mut self) -> Option<io::Result<Filled>> {
        let (want, is_last) = self.next_frame();
        let mut buffer = self.pool.take();
        let mut len = 0;
        if self.can_read_inline.load(Ordering::Relaxed) {
            let target = buffer.as_mut().get_mut(..want).unwrap_or_default();
            match read_in_memory(&self.checked.file, target, self.offset) {
                InMemory::Read(read) => len = read,
                InMemory::Unsupported => self.can_read_inline.store(false, Ordering::Relaxed),
            }
            // A part that is in memory is a frame of its own, unless it is the end.
            if len == want || (len > 0 && !is_last) {
                let after = is_last
                    .then(|| Identity::of(&self.checked.file))
                    .transpose();
                return Some(after.map(|after| Filled { buffer, len, after }));
            }
        }
        let file = Arc::clone(&self.checked.file);
        let offset = self.offset;
        self.state = State::Reading(tokio::task::spawn_blocking(move || {
            let rest = buffer.as_mut().get_mut(len..want).unwrap_or_default();
            let len = len + identity::read_at(&file, rest, offset + len as u64)?;
            let after = is_last.then(|| Identity::of(&file)).transpose()?;
            Ok(Filled { buffer, len, after })
        }));
        None
    }

    /// Checks what was read and hands it out.
    fn release(&mut self, filled: Filled) -> Result<Bytes, Error> {
        let Filled { buffer, len, after } = filled;
        let (want, is_last) = self.next_frame();
        if len == 0 || (is_last && len < want) {
            return Err(self.corrupt(Damage::Size));
        }
        if after.is_some_and(|after| after != self.checked.identity) {
            return Err(self.corrupt(Damage::Changed));
        }
        if let Some((hasher, _)) = &mut self.hasher {
            hasher.update(buffer.filled(len));
        }
        if is_last
            && let Some((hasher, expected)) = self.hasher.take()
            && Sha256::finish(hasher) != expected
        {
            return Err(self.corrupt(Damage::Digest));
        }
        self.offset += len as u64;
        Ok(buffer.freeze(len))
    }

    fn corrupt(&self, damage: Damage) -> Error {
        metric::corrupt(
            crate::store::BACKEND_FILESYSTEM,
            self.checked.what.clone(),
            damage,
        )
    }
}

enum InMemory {
    /// This many bytes were in memory, none included.
    Read(usize),
    /// The file system cannot tell.
    Unsupported,
}

#[cfg(target_os = "linux")]
fn read_in_memory(file: &File, target: &mut [u8], offset: u64) -> InMemory {
    use rustix::io::{Errno, ReadWriteFlags};
    let mut slices = [io::IoSliceMut::new(target)];
    match rustix::io::preadv2(file, &mut slices, offset, ReadWriteFlags::NOWAIT) {
        Ok(read) => InMemory::Read(read),
        Err(Errno::OPNOTSUPP | Errno::NOSYS | Errno::INVAL) => InMemory::Unsupported,
        // Not in memory, or an error that the blocking read will meet and report.
        Err(_) => InMemory::Read(0),
    }
}

#[cfg(not(target_os = "linux"))]
fn read_in_memory(_file: &File, _target: &mut [u8], _offset: u64) -> InMemory {
    InMemory::Unsupported
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::body::ArtifactBody;
    use crate::store::Expected;
    use http_body_util::BodyExt as _;
    use std::io::Write as _;

    fn body(bytes: &[u8], can_read_inline: bool) -> (FileBody, File) {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(bytes).unwrap();
        let checked = Checked {
            identity: Identity::of(&file).unwrap(),
            file: Arc::new(file.try_clone().unwrap()),
            is_settled: true,
            expected: Expected {
                size: bytes.len() as u64,
                sha256: Sha256::of(bytes),
            },
            what: "object `x`".to_owned(),
        };
        let end = checked.identity.size;
        let inline = Arc::new(AtomicBool::new(can_read_inline));
        (
            FileBody::new(checked, Pool::default(), inline, 0..end),
            file,
        )
    }

    #[tokio::test]
    async fn both_ways_of_reading_give_the_same_frames() {
        let bytes: Vec<u8> = (0..600_000_u32).map(|n| (n % 251) as u8).collect();
        for can_read_inline in [true, false] {
            let (body, _file) = body(&bytes, can_read_inline);
            let read = ArtifactBody::file(body).collect().await.unwrap();
            assert!(read.to_bytes() == bytes, "{can_read_inline}");
        }
    }

    #[tokio::test]
    async fn both_ways_of_reading_keep_the_end_back_from_a_changed_file() {
        for can_read_inline in [true, false] {
            let (body, file) = body(&vec![1; 600_000], can_read_inline);
            let mut body = ArtifactBody::file(body);
            body.frame().await.unwrap().unwrap();
            file.set_len(599_999).unwrap();
            let error = loop {
                match body.frame().await {
                    Some(Ok(_)) => assert!(body.remaining() >= HOLD_BACK_BYTES),
                    Some(Err(error)) => break error,
                    None => panic!("the body ended normally"),
                }
            };
            assert_eq!(error.kind(), opendepot_domain::Kind::Corrupt);
            assert!(body.frame().await.is_none());
        }
    }
}
