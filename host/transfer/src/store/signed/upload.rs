//! The body of a put: a file in bounded memory, hashed as it goes. The last bytes leave only when
//! the digest is the expected one, so that a source that changed never becomes a whole object.

use super::answer::Failed;
use crate::body::{BUFFER_BYTES, Buffer, Pool};
use crate::error::{Damage, Error};
use crate::metric;
use crate::store::Expected;
use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use opendepot_domain::Sha256;
use parking_lot::Mutex;
use sha2::Digest as _;
use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use tokio::task::JoinHandle;

/// What was wrong with the source, if anything.
#[derive(Clone, Default)]
pub(super) struct Verdict(Arc<Mutex<Option<Error>>>);

impl Verdict {
    pub(super) fn take(&self) -> Option<Error> {
        self.0.lock().take()
    }
}

/// What the blocking pool hands back.
struct Filled {
    file: File,
    hasher: sha2::Sha256,
    buffer: Buffer,
    len: usize,
}

enum State {
    Idle(File, sha2::Sha256),
    Reading(JoinHandle<io::Result<Filled>>),
    Over,
}

/// The frames of a source file.
pub(super) struct Upload {
    state: State,
    pool: Pool,
    what: String,
    expected: Expected,
    remaining: u64,
    verdict: Verdict,
}

impl Upload {
    pub(super) async fn open(
        path: &Path,
        expected: Expected,
        pool: &Pool,
    ) -> Result<(Self, Verdict), Failed> {
        let what = format!("source `{}`", path.display());
        let (attempt, path) = (format!("read {what}"), path.to_owned());
        let opened = tokio::task::spawn_blocking(move || {
            let file = File::open(path)?;
            let len = file.metadata()?.len();
            Ok((file, len))
        });
        let (file, len) = opened
            .await
            .map_err(|_| Failed::lasting(Error::task(attempt.clone())))?
            .map_err(|error: io::Error| Failed::lasting(Error::io(attempt, &error)))?;
        // One that ends early shows while it is read; what is too much never would.
        if len > expected.size {
            let damaged = metric::corrupt(super::BACKEND, what, Damage::Size);
            return Err(Failed::lasting(damaged));
        }
        let verdict = Verdict::default();
        let upload = Self {
            state: State::Idle(file, sha2::Sha256::new()),
            pool: pool.clone(),
            what,
            expected,
            remaining: expected.size,
            verdict: verdict.clone(),
        };
        Ok((upload, verdict))
    }

    /// Judges what was read; the last bytes with the digest of all.
    fn release(&mut self, filled: io::Result<Filled>) -> Result<Bytes, Error> {
        let Filled {
            file,
            hasher,
            buffer,
            len,
        } = filled.map_err(|error| Error::io(format!("read {}", self.what), &error))?;
        let damaged = |damage| metric::corrupt(super::BACKEND, self.what.clone(), damage);
        if len == 0 {
            return Err(damaged(Damage::Size));
        }
        let remaining = self.remaining - len as u64;
        if remaining == 0 {
            if Sha256::finish(hasher) != self.expected.sha256 {
                return Err(damaged(Damage::Digest));
            }
        } else {
            self.state = State::Idle(file, hasher);
        }
        self.remaining = remaining;
        Ok(buffer.freeze(len))
    }
}

impl Body for Upload {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        let this = self.get_mut();
        let filled = loop {
            match std::mem::replace(&mut this.state, State::Over) {
                State::Over => return Poll::Ready(None),
                State::Idle(mut file, mut hasher) => {
                    let want = usize::try_from(this.remaining).unwrap_or(BUFFER_BYTES);
                    let want = want.min(BUFFER_BYTES);
                    let mut buffer = this.pool.take();
                    this.state = State::Reading(tokio::task::spawn_blocking(move || {
                        let mut len = 0;
                        while len < want {
                            let room = buffer.as_mut().get_mut(len..want).unwrap_or_default();
                            match file.read(room) {
                                Ok(0) => break,
                                Ok(read) => len += read,
                                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                                Err(error) => return Err(error),
                            }
                        }
                        hasher.update(buffer.filled(len));
                        Ok(Filled {
                            file,
                            hasher,
                            buffer,
                            len,
                        })
                    }));
                }
                State::Reading(mut task) => match Pin::new(&mut task).poll(cx) {
                    Poll::Pending => {
                        this.state = State::Reading(task);
                        return Poll::Pending;
                    }
                    Poll::Ready(Ok(filled)) => break filled,
                    Poll::Ready(Err(_)) => break Err(io::Error::other("its task ended early")),
                },
            }
        };
        Poll::Ready(Some(match this.release(filled) {
            Ok(bytes) => Ok(Frame::data(bytes)),
            Err(error) => {
                let text = error.to_string();
                *this.verdict.0.lock() = Some(error);
                Err(io::Error::other(text))
            }
        }))
    }

    fn is_end_stream(&self) -> bool {
        self.remaining == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.remaining)
    }
}
