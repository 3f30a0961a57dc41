//! The fetcher against servers in this process: the servers.

mod body;
mod counted;
mod policy;
mod tls;

use super::*;
use crate::egress::EgressConfig;
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt as _, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto::Builder;
use opendepot_domain::Kind;
use parking_lot::Mutex;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use std::convert::Infallible;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::net::TcpListener;

type Answer = Response<BoxBody<Bytes, io::Error>>;

fn answer(status: u16, headers: &[(&str, &str)], body: impl Into<Bytes>) -> Answer {
    let mut builder = Response::builder().status(status);
    for (name, value) in headers {
        builder = builder.header(*name, *value);
    }
    let body = Full::new(body.into()).map_err(|error| match error {});
    builder.body(BoxBody::new(body)).unwrap()
}

/// Chunks, then what `end` says: an error, or nothing ever.
fn broken(chunks: usize, end: Option<io::Error>, announced: Option<usize>) -> Answer {
    use futures::StreamExt as _;
    let data = (0..chunks).map(|_| Ok(Frame::data(Bytes::from_static(&[7; 1000]))));
    let sent = futures::stream::iter(data.collect::<Vec<_>>());
    let body = match end {
        Some(error) => {
            let error = futures::stream::once(std::future::ready(Err(error)));
            BoxBody::new(StreamBody::new(Box::pin(sent.chain(error))))
        }
        None => BoxBody::new(StreamBody::new(Box::pin(
            sent.chain(futures::stream::pending()),
        ))),
    };
    let mut builder = Response::builder();
    if let Some(len) = announced {
        builder = builder.header("content-length", len);
    }
    builder.body(body).unwrap()
}

/// A server that records what it was asked.
struct Server {
    address: SocketAddr,
    seen: Arc<Mutex<Vec<Request<()>>>>,
    num_connections: Arc<AtomicUsize>,
    accepting: tokio::task::JoinHandle<()>,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

impl Server {
    async fn start(handler: impl Fn(&Request<()>) -> Answer + Send + Sync + 'static) -> Self {
        Self::start_with(None, handler).await
    }

    async fn start_with(
        tls: Option<tokio_rustls::TlsAcceptor>,
        handler: impl Fn(&Request<()>) -> Answer + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let num_connections = Arc::new(AtomicUsize::new(0));
        let handler = Arc::new(handler);
        let (log, connections) = (Arc::clone(&seen), Arc::clone(&num_connections));
        let accepting = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                connections.fetch_add(1, Ordering::SeqCst);
                let (handler, log, tls) = (Arc::clone(&handler), Arc::clone(&log), tls.clone());
                let service = service_fn(move |request: Request<Incoming>| {
                    let request = request.map(|_| ());
                    let answer = handler(&request);
                    log.lock().push(request);
                    std::future::ready(Ok::<_, Infallible>(answer))
                });
                tokio::spawn(async move {
                    let builder = Builder::new(TokioExecutor::new());
                    // Errors of a connection are what the tests provoke.
                    let _ = match tls {
                        None => {
                            builder
                                .serve_connection(TokioIo::new(stream), service)
                                .await
                        }
                        Some(tls) => match tls.accept(stream).await {
                            Ok(stream) => {
                                builder
                                    .serve_connection(TokioIo::new(stream), service)
                                    .await
                            }
                            Err(_) => Ok(()),
                        },
                    };
                });
            }
        });
        Self {
            address,
            seen,
            num_connections,
            accepting,
        }
    }

    fn url(&self, host: &str, path: &str) -> Url {
        Url::parse(&format!("http://{host}:{}{path}", self.address.port())).unwrap()
    }
}

/// Gives each name's answers in turn, the last one for ever.
struct Names(Mutex<Vec<(&'static str, Vec<IpAddr>)>>);

impl Lookup for Names {
    fn lookup(&self, name: &str) -> LookupFuture {
        let mut answers = self.0.lock();
        let position = answers.iter().position(|(known, _)| *known == name);
        let outcome = match position {
            None => Err(io::Error::other("no such name")),
            Some(at) => {
                let is_last = answers.iter().filter(|(known, _)| *known == name).count() == 1;
                let addresses = answers[at].1.clone();
                if !is_last {
                    answers.remove(at);
                }
                Ok(addresses)
            }
        };
        Box::pin(std::future::ready(outcome))
    }
}

fn names(answers: &[(&'static str, &str)]) -> Arc<dyn Lookup> {
    let answers = answers.iter().map(|(name, addresses)| {
        let addresses = addresses.split(' ').map(|text| text.parse().unwrap());
        (*name, addresses.collect())
    });
    Arc::new(Names(Mutex::new(answers.collect())))
}

fn policy(config: serde_json::Value) -> EgressPolicy {
    let config: EgressConfig = serde_json::from_value(config).unwrap();
    config.policy().unwrap()
}

/// Everything on loopback is open, as tests with fakes configure it.
fn open_policy() -> EgressPolicy {
    policy(serde_json::json!({
        "allow": ["127.0.0.1", "*.test"],
        "allowHttp": ["127.0.0.1", "*.test"],
        "allowPrivate": ["127.0.0.1/32"],
    }))
}

fn short_limits() -> FetchLimits {
    FetchLimits {
        idle_timeout: Duration::from_millis(200),
        ..FetchLimits::default()
    }
}

fn fetcher(policy: EgressPolicy) -> Fetcher {
    let lookup = names(&[("a.test", "127.0.0.1"), ("b.test", "127.0.0.1")]);
    Fetcher::with_lookup(policy, short_limits(), lookup).unwrap()
}

async fn download(
    fetcher: &Fetcher,
    url: Url,
    max_bytes: u64,
) -> (Result<Downloaded, Error>, usize) {
    let directory = tempfile::tempdir().unwrap();
    let request = FetchRequest::new(url);
    let outcome = fetcher
        .download(&request, directory.path(), max_bytes, &|_, _| {})
        .await;
    let num_files = std::fs::read_dir(directory.path()).unwrap().count();
    (outcome, num_files)
}
