//! The control socket: the other commands reach the embedded control plane of a running process
//! through it, and only its owner can open it (0600).

use anyhow::Context as _;
use bytes::Bytes;
use futures::FutureExt as _;
use futures::future::BoxFuture;
use http::{Request, Response};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use kube::client::Body;
use opendepot_apiserver::Embedded;
use opendepot_apiserver::manifests::Problem;
use std::future::Future;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::task::{Context, Poll};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::watch;
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

/// Where the other commands read what of the manifests folder cannot be applied.
const MANIFESTS_PATH: &str = "/opendepot/manifest-problems";

/// What of the manifests folder cannot be applied, kept by its watcher.
pub(crate) type ManifestProblems = watch::Receiver<Vec<Problem>>;

/// Answers until `shutdown`.
pub(crate) async fn serve(
    listener: UnixListener,
    embedded: Embedded,
    problems: ManifestProblems,
    shutdown: impl Future<Output = ()>,
) {
    tokio::pin!(shutdown);
    loop {
        let accepted = tokio::select! {
            () = &mut shutdown => return,
            accepted = listener.accept() => accepted,
        };
        let Ok((stream, _)) = accepted else { continue };
        let (embedded, problems) = (embedded.clone(), problems.clone());
        tokio::spawn(async move {
            let service = hyper::service::service_fn(move |request: Request<Incoming>| {
                let service = embedded.service();
                let listed = (request.uri().path() == MANIFESTS_PATH).then(|| listed(&problems));
                async move {
                    if let Some(listed) = listed {
                        return Ok(Response::new(Full::new(listed).boxed_unsync()));
                    }
                    let (parts, body) = request.into_parts();
                    let body = Limited::new(body, MAX_BODY_BYTES)
                        .collect()
                        .await
                        .map_err(std::io::Error::other)?;
                    let request = Request::from_parts(parts, Body::from(body.to_bytes()));
                    let response = service
                        .oneshot(request)
                        .await
                        .map_err(std::io::Error::other)?;
                    Ok::<_, std::io::Error>(response.map(BodyExt::boxed_unsync))
                }
            });
            let builder = auto::Builder::new(TokioExecutor::new());
            let _ = builder
                .serve_connection(TokioIo::new(stream), service)
                .await;
        });
    }
}

fn listed(problems: &ManifestProblems) -> Bytes {
    let lines: Vec<String> = problems.borrow().iter().map(ToString::to_string).collect();
    serde_json::to_vec(&lines).unwrap_or_default().into()
}

/// What the running process could not apply; nothing when none runs.
pub(crate) async fn manifest_problems(path: &Path) -> Vec<String> {
    let Some(client) = client(path).await else {
        return Vec::new();
    };
    let Ok(request) = Request::get(MANIFESTS_PATH).body(Vec::new()) else {
        return Vec::new();
    };
    client.request(request).await.unwrap_or_default()
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
