//! A body that comes from a server which is not trusted: hashed as it streams, its end held back
//! until the digest is the recorded one.

use crate::error::{Damage, Error};
use crate::metric;
use crate::store::Keeper;
use bytes::Bytes;
use futures::stream::BoxStream;
use http_body::{Body as _, Frame, SizeHint};
use opendepot_domain::Sha256;
use sha2::Digest as _;
use std::collections::VecDeque;
use std::ops::Range;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::time::{Instant, Sleep};

/// Bytes at the end that are kept back until all bytes are known to be right.
const HOLD_BACK_BYTES: usize = 64 << 10;

/// How the bytes are judged.
pub(crate) enum Check {
    /// The whole object comes, whatever part of it is handed out.
    Whole {
        hasher: Box<sha2::Sha256>,
        expected: Sha256,
        keeper: Keeper,
    },
    /// Only the part comes, of an object that was found right under the same tag.
    Part,
}

impl Check {
    pub(crate) fn whole(expected: Sha256, keeper: Keeper) -> Self {
        Self::Whole {
            hasher: Box::new(sha2::Sha256::new()),
            expected,
            keeper,
        }
    }
}

/// Bytes as they come from a server.
pub(crate) enum Incoming {
    Http(reqwest::Body),
    Objects(BoxStream<'static, object_store::Result<Bytes>>),
}

impl Incoming {
    /// The next bytes; an error says only that they broke off.
    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, ()>>> {
        match self {
            Self::Objects(stream) => stream.as_mut().poll_next(cx).map_err(drop),
            Self::Http(body) => loop {
                return match ready!(Pin::new(&mut *body).poll_frame(cx)) {
                    None => Poll::Ready(None),
                    Some(Err(_)) => Poll::Ready(Some(Err(()))),
                    Some(Ok(frame)) => match frame.into_data() {
                        Ok(bytes) => Poll::Ready(Some(Ok(bytes))),
                        // Trailers say nothing that is relied on.
                        Err(_) => continue,
                    },
                };
            },
        }
    }
}

/// What a body is made of.
pub(crate) struct Remote {
    pub(crate) body: Incoming,
    /// The metric label of where it comes from.
    pub(crate) backend: &'static str,
    pub(crate) what: String,
    /// Of the whole object.
    pub(crate) size: u64,
    /// What is handed out.
    pub(crate) bytes: Range<u64>,
    pub(crate) check: Check,
    pub(crate) idle_timeout: Duration,
}

/// The frames of one range of a remote object.
pub(crate) struct RemoteBody {
    remote: Remote,
    idle: Pin<Box<Sleep>>,
    /// Where in the object the next bytes come from, and where they must end.
    offset: u64,
    end: u64,
    held: VecDeque<Bytes>,
    num_held: usize,
    remaining: u64,
    is_right: bool,
    is_over: bool,
}

impl RemoteBody {
    pub(crate) fn new(remote: Remote) -> Self {
        let (offset, end) = match remote.check {
            Check::Whole { .. } => (0, remote.size),
            Check::Part => (remote.bytes.start, remote.bytes.end),
        };
        Self {
            idle: Box::pin(tokio::time::sleep(remote.idle_timeout)),
            offset,
            end,
            held: VecDeque::new(),
            num_held: 0,
            remaining: remote.bytes.end - remote.bytes.start,
            is_right: false,
            is_over: false,
            remote,
        }
    }

    /// Bytes that are still to come.
    pub(crate) const fn remaining(&self) -> u64 {
        self.remaining
    }

    pub(crate) const fn is_over(&self) -> bool {
        self.is_over
    }

    pub(crate) fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Error>>> {
        loop {
            if self.is_over {
                return Poll::Ready(None);
            }
            if let Some(bytes) = self.release() {
                return Poll::Ready(Some(Ok(bytes)));
            }
            let received = match self.remote.body.poll_next(cx) {
                Poll::Pending => {
                    if self.idle.as_mut().poll(cx).is_pending() {
                        return Poll::Pending;
                    }
                    Err(self.unavailable("its bytes stalled"))
                }
                Poll::Ready(None) => self.finish(),
                Poll::Ready(Some(Ok(bytes))) => self.receive(bytes),
                Poll::Ready(Some(Err(()))) => Err(self.unavailable("its bytes broke off")),
            };
            if let Err(error) = received {
                self.is_over = true;
                self.held.clear();
                return Poll::Ready(Some(Err(error)));
            }
        }
    }

    /// What may be handed out now.
    fn release(&mut self) -> Option<Bytes> {
        let kept = if self.is_right { 0 } else { HOLD_BACK_BYTES };
        let free = self.num_held.checked_sub(kept).filter(|free| *free > 0)?;
        let mut bytes = self.held.pop_front()?;
        if bytes.len() > free {
            self.held.push_front(bytes.split_off(free));
        }
        self.num_held -= bytes.len();
        self.remaining = self.remaining.saturating_sub(bytes.len() as u64);
        if self.is_right && self.num_held == 0 {
            self.is_over = true;
        }
        Some(bytes)
    }

    /// Takes in what came: hashes it and keeps what belongs to the range.
    fn receive(&mut self, bytes: Bytes) -> Result<(), Error> {
        let deadline = Instant::now() + self.remote.idle_timeout;
        self.idle.as_mut().reset(deadline);
        let from = self.offset;
        self.offset = from.saturating_add(bytes.len() as u64);
        if self.offset > self.end {
            return Err(self.corrupt(Damage::Size));
        }
        if let Check::Whole { hasher, .. } = &mut self.remote.check {
            hasher.update(&bytes);
        }
        let wanted = &self.remote.bytes;
        let start = wanted.start.clamp(from, self.offset) - from;
        let end = wanted.end.clamp(from, self.offset) - from;
        let inside = |at: u64| usize::try_from(at).unwrap_or(bytes.len()).min(bytes.len());
        let (start, end) = (inside(start), inside(end));
        if start < end {
            self.num_held += end - start;
            self.held.push_back(bytes.slice(start..end));
        }
        Ok(())
    }

    /// The server said that this is all.
    fn finish(&mut self) -> Result<(), Error> {
        if self.offset != self.end {
            return Err(self.corrupt(Damage::Size));
        }
        if let Check::Whole {
            hasher,
            expected,
            keeper,
        } = &mut self.remote.check
        {
            if Sha256::finish(std::mem::take(&mut **hasher)) != *expected {
                return Err(self.corrupt(Damage::Digest));
            }
            keeper.remember();
        }
        self.is_right = true;
        if self.num_held == 0 {
            self.is_over = true;
        }
        Ok(())
    }

    fn corrupt(&self, damage: Damage) -> Error {
        if let Check::Whole { keeper, .. } = &self.remote.check {
            keeper.forget();
        }
        metric::corrupt(self.remote.backend, self.remote.what.clone(), damage)
    }

    fn unavailable(&self, reason: &str) -> Error {
        Error::unavailable(format!("read {}", self.remote.what), reason)
    }
}

impl http_body::Body for RemoteBody {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        self.get_mut().poll_next(cx).map_ok(Frame::data)
    }

    fn is_end_stream(&self) -> bool {
        self.is_over
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.remaining)
    }
}
