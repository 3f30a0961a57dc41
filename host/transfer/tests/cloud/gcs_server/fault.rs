//! What the server can be told to do wrong.

use super::protocol::Body;
use bytes::Bytes;
use futures::StreamExt as _;
use futures::stream;
use http_body_util::{BodyExt as _, Full, StreamBody};
use hyper::body::Frame;
use parking_lot::Mutex;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// The server's faults; none at first.
#[derive(Default)]
pub(crate) struct Faults {
    ignores_conditions: AtomicBool,
    is_silent: AtomicBool,
    num_unavailable: AtomicUsize,
    lost: Mutex<Option<&'static str>>,
    body: Mutex<BodyFault>,
}

/// What is wrong with the bytes of objects.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum BodyFault {
    #[default]
    None,
    /// As many, but others.
    Wrong,
    /// The first half, then the connection breaks.
    Half,
    /// The first half, then nothing.
    Stalled,
    /// All of them, a few at a time.
    Slow,
}

impl Faults {
    /// Performs every request as if it had no condition.
    pub(crate) fn ignore_conditions(&self) {
        self.ignores_conditions.store(true, Ordering::SeqCst);
    }

    /// Takes requests and never answers.
    pub(crate) fn be_silent(&self) {
        self.is_silent.store(true, Ordering::SeqCst);
    }

    /// Answers the next requests with 503 instead of performing them.
    pub(crate) fn be_unavailable(&self, times: usize) {
        self.num_unavailable.store(times, Ordering::SeqCst);
    }

    /// Performs the next request of a kind, and answers it with 503.
    pub(crate) fn lose_answer_to(&self, kind: &'static str) {
        *self.lost.lock() = Some(kind);
    }

    pub(crate) fn set_body(&self, fault: BodyFault) {
        *self.body.lock() = fault;
    }

    pub(super) fn conditions_count(&self) -> bool {
        !self.ignores_conditions.load(Ordering::SeqCst)
    }

    pub(super) async fn silence(&self) {
        if self.is_silent.load(Ordering::SeqCst) {
            std::future::pending::<()>().await;
        }
    }

    pub(super) fn take_unavailable(&self) -> bool {
        let fewer = |left: usize| left.checked_sub(1);
        let taken = self
            .num_unavailable
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, fewer);
        taken.is_ok()
    }

    pub(super) fn take_lost(&self, kind: &str) -> bool {
        self.lost.lock().take_if(|lost| *lost == kind).is_some()
    }

    /// The body that is sent in place of the right one.
    pub(super) fn body(&self, right: Bytes) -> Body {
        let half = right.slice(..right.len() / 2);
        let frames = |parts: Vec<Bytes>| stream::iter(parts).map(|part| Ok(Frame::data(part)));
        match *self.body.lock() {
            BodyFault::None => whole(right),
            BodyFault::Wrong => whole(right.iter().map(|byte| byte ^ 1).collect()),
            BodyFault::Half => {
                let end = stream::iter([Err(io::Error::other("told to break"))]);
                Body::new(StreamBody::new(frames(vec![half]).chain(end)))
            }
            BodyFault::Stalled => {
                let end = stream::pending();
                Body::new(StreamBody::new(frames(vec![half]).chain(end)))
            }
            BodyFault::Slow => {
                let parts = right.chunks(700).map(Bytes::copy_from_slice).collect();
                let slow = frames(parts).then(|frame| async {
                    tokio::task::yield_now().await;
                    frame
                });
                Body::new(StreamBody::new(slow))
            }
        }
    }
}

pub(super) fn whole(bytes: Bytes) -> Body {
    Body::new(Full::new(bytes).map_err(|error| match error {}))
}
