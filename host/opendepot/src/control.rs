//! The control socket: the other commands reach the embedded control plane of a running process
//! through it, and only its owner can open it (0600).

use anyhow::Context as _;
use futures::FutureExt as _;
use futures::future::BoxFuture;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Limited};
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use kube::client::Body;
use opendepot_apiserver::Embedded;
use std::future::Future;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::task::{Context, Poll};
use tokio::net::{UnixListener, UnixStream};
use tower::{Service, ServiceExt as _};

/// A request of ours is a small patch.
const MAX_BODY_BYTES: usize = 4 << 20;

/// Listens for the other commands.
pub(crate) fn listen(path: &Path) -> anyhow::Result<UnixListener> {
    // The store's lock says that no other process owns this socket.
    match std::fs::remove_file(path) {
        Ok(()) => {}
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        Err(error) => {
            return Err(error).with_context(|| format!("cannot replace `{}`", path.display()));
        }
    }
    let listener = UnixListener::bind(path)
        .with_context(|| format!("cannot listen on `{}`", path.display()))?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))?;
    Ok(listener)
}

/// Answers until `shutdown`.
pub(crate) async fn serve(
    listener: UnixListener,
    embedded: Embedded,
    shutdown: impl Future<Output = ()>,
) {
    tokio::pin!(shutdown);
    loop {
        let accepted = tokio::select! {
            () = &mut shutdown => return,
            accepted = listener.accept() => accepted,
        };
        let Ok((stream, _)) = accepted else { continue };
        let embedded = embedded.clone();
        tokio::spawn(async move {
            let service = hyper::service::service_fn(move |request: Request<Incoming>| {
                let service = embedded.service();
                async move {
                    let (parts, body) = request.into_parts();
                    let body = Limited::new(body, MAX_BODY_BYTES)
                        .collect()
                        .await
                        .map_err(std::io::Error::other)?;
                    let request = Request::from_parts(parts, Body::from(body.to_bytes()));
                    service
                        .oneshot(request)
                        .await
                        .map_err(std::io::Error::other)
                }
            });
            let builder = auto::Builder::new(TokioExecutor::new());
            let _ = builder
                .serve_connection(TokioIo::new(stream), service)
                .await;
        });
    }
}

/// A client of the running process; nothing when none runs.
pub(crate) async fn client(path: &Path) -> Option<kube::Client> {
    UnixStream::connect(path).await.ok()?;
    Some(kube::Client::new(
        Dialer {
            path: path.to_owned(),
        },
        "default",
    ))
}

/// One connection a request: these commands make few.
#[derive(Clone)]
struct Dialer {
    path: PathBuf,
}

impl Service<Request<Body>> for Dialer {
    type Response = Response<Incoming>;
    type Error = Box<dyn std::error::Error + Send + Sync>;
    type Future = BoxFuture<'static, Result<Self::Response, Self::Error>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let path = self.path.clone();
        async move {
            let stream = UnixStream::connect(&path).await?;
            let (mut sender, connection) =
                hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
            tokio::spawn(connection);
            let (mut parts, body) = request.into_parts();
            parts.headers.insert(
                http::header::HOST,
                http::HeaderValue::from_static("localhost"),
            );
            let target = parts
                .uri
                .path_and_query()
                .map_or("/", |target| target.as_str())
                .parse()?;
            parts.uri = target;
            Ok(sender
                .send_request(Request::from_parts(parts, body))
                .await?)
        }
        .boxed()
    }
}
