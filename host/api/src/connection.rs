//! One connection's clock: how long a request head may take, how long it may idle, how slowly a
//! client may read. hyper has one timer for the first two and none for the third.
//!
//! The third rule has two places. Over HTTP/1 a slow client lets our writes wait. Over HTTP/2 it
//! lets a stream's window stay closed while the connection is as lively as any, so bodies go out
//! in pieces of one window's bytes, and each has to be taken within one window.

use crate::limits::Limits;
use crate::metric;
use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep};

/// Requests being answered on one connection; shared with its service.
#[derive(Debug)]
pub(crate) struct InFlight {
    opened: Instant,
    /// When the last request ended, in milliseconds since then; nought before there was one.
    ended_ms: AtomicU64,
    num_requests: AtomicUsize,
    /// Requests ever begun: tells a new head from the rest of an old one.
    num_begun: AtomicUsize,
    /// An HTTP/2 connection: its frames are no request heads.
    is_h2: AtomicBool,
    /// It ends because its client did not take what it had asked for.
    is_too_slow: AtomicBool,
    /// Its client ends lines with a lone line feed. The parser takes that for a line's end; who
    /// stands in front of us may not, and see other requests than we do.
    has_lone_feeds: AtomicBool,
    /// Whoever reads an HTTP/2 connection: it has to look at the clock when a frame goes out.
    reader: Mutex<Option<Waker>>,
    /// HTTP/2 frames that their client has not yet made room for, by when it has to. At most
    /// one a stream.
    stalls: Mutex<Vec<(usize, Instant)>>,
}

impl InFlight {
    /// Of a connection that was opened now.
    pub(crate) fn new() -> Self {
        Self {
            opened: Instant::now(),
            ended_ms: AtomicU64::new(0),
            num_requests: AtomicUsize::new(0),
            num_begun: AtomicUsize::new(0),
            is_h2: AtomicBool::new(false),
            is_too_slow: AtomicBool::new(false),
            has_lone_feeds: AtomicBool::new(false),
            reader: Mutex::new(None),
            stalls: Mutex::new(Vec::new()),
        }
    }

    pub(crate) fn enter(self: &Arc<Self>, is_h2: bool) -> InFlightGuard {
        self.num_requests.fetch_add(1, Ordering::Relaxed);
        let number = self.num_begun.fetch_add(1, Ordering::Relaxed);
        self.is_h2.store(is_h2, Ordering::Relaxed);
        InFlightGuard {
            in_flight: Arc::clone(self),
            number,
            is_handed_out: false,
        }
    }

    fn is_idle(&self) -> bool {
        self.num_requests.load(Ordering::Acquire) == 0
    }

    /// Since when nothing is being answered.
    fn idle_since(&self) -> Instant {
        self.opened + Duration::from_millis(self.ended_ms.load(Ordering::Relaxed))
    }

    fn wake_reader(&self) {
        let reader = self.reader().take();
        if let Some(reader) = reader {
            reader.wake();
        }
    }

    fn reader(&self) -> MutexGuard<'_, Option<Waker>> {
        self.reader.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn stalls(&self) -> MutexGuard<'_, Vec<(usize, Instant)>> {
        self.stalls.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether where one request ends may be seen in two ways.
    pub(crate) fn has_lone_feeds(&self) -> bool {
        self.has_lone_feeds.load(Ordering::Relaxed)
    }

    /// Ends the connection; what is being sent over it counts as broken off by the client's pace.
    fn too_slow(&self) -> io::Error {
        self.is_too_slow.store(true, Ordering::Relaxed);
        io::Error::new(io::ErrorKind::TimedOut, "the client reads too slowly")
    }

    fn earliest_stall(&self) -> Option<Instant> {
        self.stalls().iter().map(|(_, deadline)| *deadline).min()
    }
}

/// Ends with the response's body.
#[derive(Debug)]
pub(crate) struct InFlightGuard {
    in_flight: Arc<InFlight>,
    number: usize,
    is_handed_out: bool,
}

impl InFlightGuard {
    /// Whether the connection ends because its client was too slow.
    pub(crate) fn is_too_slow(&self) -> bool {
        self.in_flight.is_too_slow.load(Ordering::Relaxed)
    }

    /// A frame went out that the client has to take within `window`.
    pub(crate) fn hand_out(&mut self, window: Duration) {
        self.is_handed_out = true;
        self.in_flight
            .stalls()
            .push((self.number, Instant::now() + window));
        self.in_flight.wake_reader();
    }

    /// The client took it.
    pub(crate) fn take_back(&mut self) {
        if std::mem::take(&mut self.is_handed_out) {
            self.in_flight
                .stalls()
                .retain(|(number, _)| *number != self.number);
        }
    }
}

impl Drop for InFlightGuard {
    fn drop(&mut self) {
        self.take_back();
        let in_flight = &self.in_flight;
        let open_ms = in_flight.opened.elapsed().as_millis();
        let ended_ms = u64::try_from(open_ms).unwrap_or(u64::MAX);
        in_flight.ended_ms.store(ended_ms, Ordering::Relaxed);
        in_flight.num_requests.fetch_sub(1, Ordering::Release);
    }
}

/// A stream under the connection rules.
pub(crate) struct Clocked<S> {
    stream: S,
    in_flight: Arc<InFlight>,
    rules: Rules,
    /// By when the rest of a head has to come, once there was a wait for it.
    head_by: Option<Instant>,
    reading: Alarm,
    is_in_head: bool,
    /// The last byte read; of interest is whether it returned the carriage.
    last_read: u8,
    num_begun: usize,
    writing: Option<Writing>,
    /// The earliest time by which an HTTP/2 client has to take a frame.
    stalling: Alarm,
}

/// A timer whose end moves. A later end is seen when it fires: at tens of thousands of requests a
/// second, setting it anew with each is what costs.
#[derive(Default)]
struct Alarm(Option<Pin<Box<Sleep>>>);

impl Alarm {
    fn poll_until(&mut self, end: Instant, context: &mut Context<'_>) -> Poll<()> {
        let timer = self
            .0
            .get_or_insert_with(|| Box::pin(tokio::time::sleep_until(end)));
        if timer.deadline() > end {
            timer.as_mut().reset(end);
        }
        while timer.as_mut().poll(context).is_ready() {
            if timer.deadline() >= end {
                return Poll::Ready(());
            }
            timer.as_mut().reset(end);
        }
        Poll::Pending
    }
}

fn no_request() -> io::Error {
    metric::slow().increment(1);
    io::Error::new(io::ErrorKind::TimedOut, "no request in time")
}

/// How the client takes what we write. Its clock runs only while the client keeps us waiting, so
/// that a slow source is not held against it.
struct Writing {
    timer: Pin<Box<Sleep>>,
    waiting_since: Option<Instant>,
    waited: Duration,
    num_written: u64,
}

#[derive(Clone, Copy)]
struct Rules {
    head: Duration,
    idle: Duration,
    window: Duration,
    bytes_per_window: u64,
}

impl<S> Clocked<S> {
    pub(crate) fn new(stream: S, in_flight: Arc<InFlight>, limits: &Limits) -> Self {
        let rules = Rules {
            head: Duration::from_secs(limits.header_read_seconds),
            idle: Duration::from_secs(limits.idle_seconds),
            window: limits.progress_window(),
            bytes_per_window: limits.progress_bytes_per_window(),
        };
        Self {
            stream,
            in_flight,
            rules,
            head_by: None,
            reading: Alarm::default(),
            is_in_head: false,
            last_read: 0,
            num_begun: 0,
            writing: None,
            stalling: Alarm::default(),
        }
    }

    /// Whether the client took too long over a head or over nothing.
    fn poll_reading(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.forget_ended_head();
        let Rules { head, idle, .. } = self.rules;
        let end = if !self.in_flight.is_idle() {
            // Nobody wakes us when the last request ends: its end is seen when the clock fires.
            Instant::now() + idle
        } else if self.is_in_head {
            *self.head_by.get_or_insert_with(|| Instant::now() + head)
        } else {
            self.in_flight.idle_since() + idle
        };
        ready!(self.reading.poll_until(end, context));
        Poll::Ready(Err(no_request()))
    }

    /// Nothing to read: the clocks decide.
    fn poll_waiting(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.in_flight.is_h2.load(Ordering::Relaxed) {
            *self.in_flight.reader() = Some(context.waker().clone());
            if let Poll::Ready(error) = self.poll_stalls(context) {
                return Poll::Ready(error);
            }
        }
        self.poll_reading(context)
    }

    /// Whether an HTTP/2 client left a frame untaken for too long.
    fn poll_stalls(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Some(deadline) = self.in_flight.earliest_stall() else {
            return Poll::Pending;
        };
        ready!(self.stalling.poll_until(deadline, context));
        Poll::Ready(Err(self.in_flight.too_slow()))
    }

    /// A request that began since the last look ended its head.
    fn forget_ended_head(&mut self) {
        let num_begun = self.in_flight.num_begun.load(Ordering::Relaxed);
        if num_begun != self.num_begun {
            self.num_begun = num_begun;
            self.head_by = None;
            self.is_in_head = false;
        }
    }

    fn note_read(&mut self, read: &[u8]) {
        self.forget_ended_head();
        // Only a request ends the idle time of an HTTP/2 connection: its pings are no work.
        if read.is_empty() || self.in_flight.is_h2.load(Ordering::Relaxed) {
            return;
        }
        for at in memchr::memchr_iter(b'\n', read) {
            let before = at.checked_sub(1).and_then(|at| read.get(at));
            if *before.unwrap_or(&self.last_read) != b'\r' {
                self.in_flight.has_lone_feeds.store(true, Ordering::Relaxed);
            }
        }
        self.last_read = read.last().copied().unwrap_or(self.last_read);
        if self.in_flight.is_idle() && !self.is_in_head {
            self.is_in_head = true;
            self.head_by = None;
        }
    }

    /// Whether the client reads slower than the progress rule allows.
    fn poll_progress(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Rules {
            window,
            bytes_per_window,
            ..
        } = self.rules;
        let writing = self.writing.get_or_insert_with(|| Writing {
            timer: Box::pin(tokio::time::sleep(window)),
            waiting_since: None,
            waited: Duration::ZERO,
            num_written: 0,
        });
        if writing.waiting_since.is_none() {
            let now = Instant::now();
            writing.waiting_since = Some(now);
            writing
                .timer
                .as_mut()
                .reset(now + window.saturating_sub(writing.waited));
        }
        while writing.timer.as_mut().poll(context).is_ready() {
            if writing.num_written < bytes_per_window {
                return Poll::Ready(Err(self.in_flight.too_slow()));
            }
            let now = Instant::now();
            writing.num_written = 0;
            writing.waited = Duration::ZERO;
            writing.waiting_since = Some(now);
            writing.timer.as_mut().reset(now + window);
        }
        Poll::Pending
    }

    fn note_written(&mut self, num_bytes: usize) {
        if self.in_flight.is_idle() {
            self.writing = None;
            return;
        }
        if let Some(writing) = &mut self.writing {
            writing.num_written += num_bytes as u64;
            if let Some(since) = writing.waiting_since.take() {
                writing.waited += since.elapsed();
            }
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Clocked<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let this = &mut *self;
        match Pin::new(&mut this.stream).poll_read(context, buffer) {
            Poll::Ready(result) => {
                this.note_read(buffer.filled().get(before..).unwrap_or_default());
                // A head that trickles in is ready now and then; its clock counts all the same.
                // It began to run when there was first a wait for the rest.
                if this.is_in_head && this.head_by.is_some_and(|end| Instant::now() >= end) {
                    return Poll::Ready(Err(no_request()));
                }
                Poll::Ready(result)
            }
            Poll::Pending => this.poll_waiting(context),
        }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Clocked<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        data: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = &mut *self;
        let polled = Pin::new(&mut this.stream).poll_write(context, data);
        this.after_write(context, polled)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        data: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = &mut *self;
        let polled = Pin::new(&mut this.stream).poll_write_vectored(context, data);
        this.after_write(context, polled)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

impl<S> Clocked<S> {
    fn after_write(
        &mut self,
        context: &mut Context<'_>,
        polled: Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        match polled {
            Poll::Ready(Ok(num_bytes)) => {
                self.note_written(num_bytes);
                Poll::Ready(Ok(num_bytes))
            }
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Pending => match self.poll_progress(context) {
                Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
                _ => Poll::Pending,
            },
        }
    }
}
