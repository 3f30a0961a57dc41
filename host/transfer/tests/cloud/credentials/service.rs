//! A small service on loopback that answers by a function, and can be down.

use bytes::Bytes;
use http::request::Parts;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto::Builder;
use parking_lot::Mutex;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_util::task::AbortOnDropHandle;

pub(super) type Answer = Response<Full<Bytes>>;
type Answering = dyn Fn(&Parts, &[u8]) -> Answer + Send + Sync;

/// How a service fares.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Mode {
    Up,
    /// It answers after a while.
    Slow,
    /// It answers that it cannot.
    Failing,
    /// It answers with what is no document.
    Babbling,
    /// It never answers.
    Silent,
}

/// The service; it ends with this.
pub(super) struct Service {
    pub(super) url: String,
    mode: Arc<Mutex<Mode>>,
    asked: Arc<Mutex<Vec<String>>>,
    _task: AbortOnDropHandle<()>,
}

impl Service {
    pub(super) async fn start(
        answer: impl Fn(&Parts, &[u8]) -> Answer + Send + Sync + 'static,
    ) -> Self {
        Self::at(([127, 0, 0, 1], 0).into(), answer).await
    }

    pub(super) async fn at(
        address: SocketAddr,
        answer: impl Fn(&Parts, &[u8]) -> Answer + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind(address).await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (mode, asked) = (Arc::new(Mutex::new(Mode::Up)), Arc::default());
        let state = Arc::new(State {
            answer: Box::new(answer),
            mode: Arc::clone(&mode),
            asked: Arc::clone(&asked),
        });
        Self {
            url,
            mode,
            asked,
            _task: AbortOnDropHandle::new(tokio::spawn(serve(listener, state))),
        }
    }

    pub(super) fn set(&self, mode: Mode) {
        *self.mode.lock() = mode;
    }

    /// The requests since this was asked last, by method and path.
    pub(super) fn asked(&self) -> Vec<String> {
        std::mem::take(&mut *self.asked.lock())
    }
}

struct State {
    answer: Box<Answering>,
    mode: Arc<Mutex<Mode>>,
    asked: Arc<Mutex<Vec<String>>>,
}

impl State {
    async fn answer(&self, request: Request<Incoming>) -> Answer {
        let (parts, body) = request.into_parts();
        let asked = format!("{} {}", parts.method, parts.uri.path());
        self.asked.lock().push(asked);
        let mode = *self.mode.lock();
        match mode {
            Mode::Up => {}
            Mode::Slow => tokio::time::sleep(Duration::from_millis(300)).await,
            Mode::Failing => return said(503, "later"),
            Mode::Babbling => return said(200, "<html>hunter2</html>"),
            Mode::Silent => std::future::pending().await,
        }
        let body = body.collect().await.unwrap().to_bytes();
        (self.answer)(&parts, &body)
    }
}

async fn serve(listener: TcpListener, state: Arc<State>) {
    let mut connections = JoinSet::new();
    while let Ok((socket, _)) = listener.accept().await {
        let state = Arc::clone(&state);
        connections.spawn(async move {
            let service = service_fn(|request| {
                let state = Arc::clone(&state);
                async move { Ok::<_, Infallible>(state.answer(request).await) }
            });
            let server = Builder::new(TokioExecutor::new());
            let _ = server.serve_connection(TokioIo::new(socket), service).await;
        });
    }
}

pub(super) fn said(status: u16, body: impl Into<Bytes>) -> Answer {
    let answer = Response::builder().status(status);
    answer.body(Full::new(body.into())).unwrap()
}

/// A header's text.
pub(super) fn header<'a>(parts: &'a Parts, name: &str) -> Option<&'a str> {
    let value = parts.headers.get(name)?;
    Some(value.to_str().unwrap())
}

/// The fields of a form or of a query, decoded.
pub(super) fn fields(text: &[u8]) -> std::collections::BTreeMap<String, String> {
    url::form_urlencoded::parse(text).into_owned().collect()
}
