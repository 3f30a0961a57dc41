//! The accept loop: our own, over hyper-util's auto builder, because `axum::serve` sets no
//! header timeout, no size limits and no h2 limits (architecture.md 3).

use crate::connection::{Clocked, InFlight, InFlightGuard};
use crate::limits::Limits;
use crate::metric::{self, Held};
use crate::routes::Peer;
use axum::Router;
use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use http::{HeaderValue, Request, StatusCode, Version, header};
use http_body::{Body as _, Frame, SizeHint};
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::GracefulShutdown;
use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_rustls::TlsAcceptor;
use tower::ServiceExt as _;

/// How long a TLS handshake may take.
const HANDSHAKE: Duration = Duration::from_secs(10);

/// What answers the requests of a listener.
pub trait Answer: Clone + Send + Sync + 'static {
    /// Answers one request of `peer`.
    fn answer(
        &self,
        peer: Peer,
        request: Request<Incoming>,
    ) -> impl Future<Output = Response> + Send;
}

impl Answer for Router {
    async fn answer(&self, _: Peer, request: Request<Incoming>) -> Response {
        let answered = self.clone().oneshot(request.map(Body::new)).await;
        let mut response = answered.unwrap_or_else(|never: Infallible| match never {});
        if matches!(
            response.status(),
            StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED
        ) {
            // The router says of every body how long it is, and these are none.
            response.headers_mut().remove(header::CONTENT_LENGTH);
        }
        response
    }
}

/// One listener and how its connections are treated.
pub struct Server<A> {
    /// Bound already, so that a taken port is a start-up error.
    pub listener: TcpListener,
    /// What answers.
    pub answers: A,
    /// TLS, when this listener speaks it.
    pub tls: Option<Arc<rustls::ServerConfig>>,
    /// Limits of the edge.
    pub limits: Limits,
    /// How long requests in flight get to end after shutdown has begun.
    pub grace: Duration,
}

impl<A: Answer> Server<A> {
    /// Serves until `shutdown` resolves, then stops accepting and lets what is in flight end
    /// within the grace.
    ///
    /// Returns whether everything ended by itself.
    pub async fn run(self, shutdown: impl Future<Output = ()>) -> bool {
        let Self {
            listener,
            answers,
            tls,
            limits,
            grace,
        } = self;
        let connections = Arc::new(Semaphore::new(limits.num_connections));
        let builder = Arc::new(builder(&limits));
        let graceful = GracefulShutdown::new();
        let acceptor = tls.map(TlsAcceptor::from);
        let limits = Arc::new(limits);
        tokio::pin!(shutdown);
        loop {
            let accepted = tokio::select! {
                biased;
                () = &mut shutdown => break,
                accepted = accept(&listener, &connections) => accepted,
            };
            let Some((stream, peer, permit)) = accepted else {
                continue;
            };
            let (answers, builder, limits) =
                (answers.clone(), Arc::clone(&builder), Arc::clone(&limits));
            let (acceptor, watcher) = (acceptor.clone(), graceful.watcher());
            tokio::spawn(async move {
                let _permit = permit;
                match acceptor {
                    None => serve(stream, peer, answers, &builder, &limits, watcher).await,
                    Some(acceptor) => {
                        let shaking = Held::connection("handshake");
                        let accepted =
                            tokio::time::timeout(HANDSHAKE, acceptor.accept(stream)).await;
                        drop(shaking);
                        if let Ok(Ok(stream)) = accepted {
                            serve(stream, peer, answers, &builder, &limits, watcher).await;
                        }
                    }
                }
            });
        }
        drop(listener);
        tokio::time::timeout(grace, graceful.shutdown())
            .await
            .is_ok()
    }
}

async fn accept(
    listener: &TcpListener,
    connections: &Arc<Semaphore>,
) -> Option<(TcpStream, SocketAddr, tokio::sync::OwnedSemaphorePermit)> {
    let permit = Arc::clone(connections).acquire_owned().await.ok()?;
    match listener.accept().await {
        Ok((stream, peer)) => {
            // Small answers must not wait for an acknowledgement.
            let _ = stream.set_nodelay(true);
            Some((stream, peer, permit))
        }
        Err(error) => {
            if !matches!(
                error.kind(),
                io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset
            ) {
                // Out of descriptors, most likely: let some connections end first.
                warn_once_a_minute(&error);
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
            None
        }
    }
}

/// It fails ten times a second as long as the cause lasts.
fn warn_once_a_minute(error: &io::Error) {
    const PAUSE: Duration = Duration::from_secs(60);
    static LAST: Mutex<Option<Instant>> = Mutex::new(None);
    let Ok(mut last) = LAST.lock() else { return };
    if last.is_none_or(|last| last.elapsed() > PAUSE) {
        *last = Some(Instant::now());
        tracing::warn!("cannot accept a connection: {error}");
    }
}

fn builder(limits: &Limits) -> auto::Builder<TokioExecutor> {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(None)
        .max_buf_size(limits.header_bytes.max(8 * 1024))
        .max_headers(limits.num_headers)
        .keep_alive(true);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(limits.num_h2_streams)
        .max_header_list_size(u32::try_from(limits.header_bytes).unwrap_or(32 * 1024))
        .keep_alive_interval(Some(Duration::from_secs(20)))
        .keep_alive_timeout(Duration::from_secs(10));
    builder
}

async fn serve<S, A: Answer>(
    stream: S,
    peer: SocketAddr,
    answers: A,
    builder: &auto::Builder<TokioExecutor>,
    limits: &Limits,
    watcher: hyper_util::server::graceful::Watcher,
) where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let _open = Held::connection("open");
    let in_flight = Arc::new(InFlight::new());
    let io = TokioIo::new(Clocked::new(stream, Arc::clone(&in_flight), limits));
    let peer = Peer(peer.ip().to_canonical());
    let pace = Pace {
        window: limits.progress_window(),
        num_bytes: usize::try_from(limits.progress_bytes_per_window())
            .unwrap_or(usize::MAX)
            .max(SMALLEST_PIECE),
    };
    // The connection's own: a count that all connections share would travel between processors.
    let answers = Arc::new(answers);
    let service = hyper::service::service_fn(move |request: Request<Incoming>| {
        let is_h2 = request.version() == Version::HTTP_2;
        let guard = in_flight.enter(is_h2);
        let pace = is_h2.then_some(pace);
        let answers = Arc::clone(&answers);
        // Nothing here takes a body, so that none is worth the doubt where the next request begins.
        let is_last = !is_h2 && (in_flight.has_lone_feeds() || !request.body().is_end_stream());
        async move {
            let mut response = answers.answer(peer, request).await;
            if is_last {
                response
                    .headers_mut()
                    .insert(header::CONNECTION, HeaderValue::from_static("close"));
            }
            let is_download = response.extensions().get::<IsDownload>().is_some();
            Ok::<_, Infallible>(response.map(|body| Guarded {
                body,
                pace,
                rest: Bytes::new(),
                is_download,
                is_over: false,
                guard,
            }))
        }
    });
    // What the parser refuses is answered by hyper, bodiless; the connection then ends.
    let connection = builder.serve_connection(io, service).into_owned();
    if let Err(error) = watcher.watch(connection).await {
        if let Some(error) = error.downcast_ref::<hyper::Error>() {
            metric::unparsed(error);
        }
        tracing::debug!("connection ended: {error}");
    }
}

/// The smallest piece of a paced body: one HTTP/2 frame.
const SMALLEST_PIECE: usize = 16 * 1024;

/// How fast an HTTP/2 client has to take a body.
#[derive(Clone, Copy)]
struct Pace {
    window: Duration,
    num_bytes: usize,
}

/// A response body that tells its connection when it is over and, over HTTP/2, goes out in
/// pieces, so that its connection can tell whether the client takes them.
struct Guarded {
    body: Body,
    pace: Option<Pace>,
    /// What is left of a frame that was cut into pieces.
    rest: Bytes,
    is_download: bool,
    /// Whether it said its last, or why it breaks off.
    is_over: bool,
    guard: InFlightGuard,
}

/// Marks a response whose body is an artifact's bytes.
#[derive(Clone, Copy)]
pub(crate) struct IsDownload;

impl Drop for Guarded {
    /// Counts what the client did not take to its end.
    fn drop(&mut self) {
        if self.is_over || http_body::Body::size_hint(self).exact() == Some(0) {
            return;
        }
        match (self.is_download, self.guard.is_too_slow()) {
            (true, true) => metric::aborted("slow").increment(1),
            (true, false) => metric::aborted("client").increment(1),
            (false, true) => metric::slow().increment(1),
            (false, false) => {}
        }
    }
}

impl Guarded {
    fn piece(&mut self, mut data: Bytes, pace: Pace) -> Frame<Bytes> {
        let piece = data.split_to(pace.num_bytes.min(data.len()));
        self.rest = data;
        self.guard.hand_out(pace.window);
        Frame::data(piece)
    }
}

impl http_body::Body for Guarded {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let Some(pace) = self.pace else {
            let polled = Pin::new(&mut self.body).poll_frame(context);
            self.is_over = matches!(polled, Poll::Ready(None | Some(Err(_))));
            return polled;
        };
        self.guard.take_back();
        if !self.rest.is_empty() {
            let rest = std::mem::take(&mut self.rest);
            return Poll::Ready(Some(Ok(self.piece(rest, pace))));
        }
        let polled = Pin::new(&mut self.body).poll_frame(context);
        self.is_over = matches!(polled, Poll::Ready(None | Some(Err(_))));
        polled.map(|next| {
            next.map(|frame| match frame.map(Frame::into_data) {
                Ok(Ok(data)) => Ok(self.piece(data, pace)),
                Ok(Err(other)) => Ok(other),
                Err(error) => Err(error),
            })
        })
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let mut hint = self.body.size_hint();
        let rest = self.rest.len() as u64;
        if let Some(upper) = hint.upper() {
            hint.set_upper(upper + rest);
        }
        hint.set_lower(hint.lower() + rest);
        hint
    }
}
