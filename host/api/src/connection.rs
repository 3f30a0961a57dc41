//! One connection's clock: how long a request head may take, how long it may idle, how slowly a
//! client may read. hyper has one timer for the first two and none for the third.

use crate::limits::Limits;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep};

/// Requests being answered on one connection; shared with its service.
#[derive(Debug, Default)]
pub(crate) struct InFlight {
    num_requests: AtomicUsize,
    /// Requests ever begun: tells a new head from the rest of an old one.
    num_begun: AtomicUsize,
    /// An HTTP/2 connection: its frames are no request heads.
    is_h2: AtomicBool,
}

impl InFlight {
    pub(crate) fn enter(self: &Arc<Self>, is_h2: bool) -> InFlightGuard {
        self.num_requests.fetch_add(1, Ordering::Relaxed);
        self.num_begun.fetch_add(1, Ordering::Relaxed);
        self.is_h2.store(is_h2, Ordering::Relaxed);
        InFlightGuard(Arc::clone(self))
    }

    fn is_idle(&self) -> bool {
        self.num_requests.load(Ordering::Relaxed) == 0
    }
}

/// Ends with the response's body.
#[derive(Debug)]
pub(crate) struct InFlightGuard(Arc<InFlight>);

impl Drop for InFlightGuard {
    fn drop(&mut self) {
        self.0.num_requests.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A stream under the connection rules.
pub(crate) struct Clocked<S> {
    stream: S,
    in_flight: Arc<InFlight>,
    rules: Rules,
    /// Runs while nothing is being answered: to the end of the idle time, or of the head.
    reading: Option<Pin<Box<Sleep>>>,
    is_in_head: bool,
    num_begun: usize,
    /// Runs while the client does not take what we write.
    writing: Option<Pin<Box<Sleep>>>,
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
            window: Duration::from_secs(limits.progress_window_seconds),
            bytes_per_window: limits.progress_bytes_per_second * limits.progress_window_seconds,
        };
        Self {
            stream,
            in_flight,
            rules,
            reading: None,
            is_in_head: false,
            num_begun: 0,
            writing: None,
            num_written: 0,
        }
    }

    /// Whether the client took too long over a head or over nothing.
    fn poll_reading(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.forget_ended_head();
        if !self.in_flight.is_idle() {
            return Poll::Pending;
        }
        let after = if self.is_in_head {
            self.rules.head
        } else {
            self.rules.idle
        };
        let timer = self
            .reading
            .get_or_insert_with(|| Box::pin(tokio::time::sleep(after)));
        ready!(timer.as_mut().poll(context));
        metrics::counter!("opendepot_http_server_rejected_total", "reason" => "slow").increment(1);
        Poll::Ready(Err(io::Error::new(
            io::ErrorKind::TimedOut,
            "no request in time",
        )))
    }

    /// A request that began since the last look ended its head.
    fn forget_ended_head(&mut self) {
        let num_begun = self.in_flight.num_begun.load(Ordering::Relaxed);
        if num_begun != self.num_begun {
            self.num_begun = num_begun;
            self.reading = None;
            self.is_in_head = false;
        }
    }

    fn note_read(&mut self, num_bytes: usize) {
        self.forget_ended_head();
        let is_h2 = self.in_flight.is_h2.load(Ordering::Relaxed);
        if num_bytes > 0 && self.in_flight.is_idle() && !self.is_in_head {
            self.is_in_head = !is_h2;
            self.reading = None;
        }
    }

    /// Whether the client reads slower than the progress rule allows.
    fn poll_progress(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let window = self.rules.window;
        let timer = self
            .writing
            .get_or_insert_with(|| Box::pin(tokio::time::sleep(window)));
        while timer.as_mut().poll(context).is_ready() {
            if self.num_written < self.rules.bytes_per_window {
                metrics::counter!("opendepot_download_aborted_total", "cause" => "slow")
                    .increment(1);
                return Poll::Ready(Err(io::Error::new(
                    io::ErrorKind::TimedOut,
                    "the client reads too slowly",
                )));
            }
            self.num_written = 0;
            timer.as_mut().reset(Instant::now() + window);
        }
        Poll::Pending
    }

    fn note_written(&mut self, num_bytes: usize) {
        if self.writing.is_some() {
            self.num_written += num_bytes as u64;
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
                this.note_read(buffer.filled().len() - before);
                // A head that trickles in is ready now and then; its clock counts all the same.
                if this.is_in_head
                    && let Poll::Ready(Err(error)) = this.poll_reading(context)
                {
                    return Poll::Ready(Err(error));
                }
                Poll::Ready(result)
            }
            Poll::Pending => this.poll_reading(context),
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
                if self.in_flight.is_idle() {
                    self.writing = None;
                    self.num_written = 0;
                }
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
