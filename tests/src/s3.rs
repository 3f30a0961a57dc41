//! An S3 server in this process, over a folder: what it does right is `s3s-fs`'s doing, and it can
//! be told to do wrong.

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Either, Full, combinators::UnsyncBoxBody};
use hyper::body::{Frame, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto::Builder;
use s3s::auth::SimpleAuth;
use s3s::service::{S3Service, S3ServiceBuilder};
use s3s_fs::FileSystem;
use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

/// The bucket that is there from the start.
pub const BUCKET: &str = "depot";
/// The credentials that it takes until they are revoked, as `id` and `secret`.
pub const KEYS: [(&str, &str); 2] = [
    ("AKIAFIRSTKEY", "f1rst-5ecret-0f-the-bucket"),
    ("AKIASECONDKEY", "5econd-5ecret-0f-the-bucket"),
];

/// How the server behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// As S3 does.
    Right,
    /// Every request is answered 503 `SlowDown`.
    SlowDown,
    /// Requests are taken and never answered.
    Stall,
    /// The connection ends in the middle of the body.
    Half,
    /// The connection ends without an answer.
    Reset,
}

/// A running server; it ends when this is dropped.
pub struct S3 {
    address: SocketAddr,
    folder: tempfile::TempDir,
    shared: Arc<Shared>,
    task: JoinHandle<()>,
}

struct Shared {
    mode: Mutex<Mode>,
    revoked: Mutex<Vec<String>>,
    seen: Mutex<BTreeMap<String, usize>>,
}

type Answer = Response<Either<UnsyncBoxBody<Bytes, io::Error>, Full<Bytes>>>;

impl S3 {
    /// Starts one on a free port of loopback.
    pub async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join(BUCKET)).unwrap();
        let mut builder = S3ServiceBuilder::new(FileSystem::new(folder.path()).unwrap());
        let mut auth = SimpleAuth::new();
        for (id, secret) in KEYS {
            auth.register(id.to_owned(), secret.into());
        }
        builder.set_auth(auth);
        let service = builder.build();
        let shared = Arc::new(Shared {
            mode: Mutex::new(Mode::Right),
            revoked: Mutex::default(),
            seen: Mutex::default(),
        });
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let task = tokio::spawn(accept(listener, service, Arc::clone(&shared)));
        Self {
            address,
            folder,
            shared,
            task,
        }
    }

    /// `http://127.0.0.1:port`.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Behaves so from now on.
    pub fn set_mode(&self, mode: Mode) {
        *self.shared.mode.lock().unwrap() = mode;
    }

    /// Refuses what is signed with this key from now on.
    pub fn revoke(&self, id: &str) {
        self.shared.revoked.lock().unwrap().push(id.to_owned());
    }

    /// Requests since the last call, by what they do: `GET`, `HEAD`, `PUT`, `LIST`, ….
    pub fn take_seen(&self) -> BTreeMap<String, usize> {
        std::mem::take(&mut self.shared.seen.lock().unwrap())
    }

    /// The file of an object.
    pub fn object(&self, key: &str) -> PathBuf {
        self.folder.path().join(BUCKET).join(key)
    }

    /// The keys of the bucket's objects, sorted.
    pub fn keys(&self) -> Vec<String> {
        let root = self.folder.path().join(BUCKET);
        let mut keys = Vec::new();
        collect(&root, &root, &mut keys);
        keys.sort();
        keys
    }

    /// Uploads that were begun and neither completed nor given up.
    pub fn num_unfinished(&self) -> usize {
        let entries = fs::read_dir(self.folder.path()).unwrap();
        let names = entries.map(|entry| entry.unwrap().file_name());
        names
            .filter(|name| {
                let name = name.to_string_lossy();
                name.starts_with(".upload") && name.ends_with(".json") && !name.contains("part")
            })
            .count()
    }
}

impl Drop for S3 {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn collect(root: &Path, folder: &Path, keys: &mut Vec<String>) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            collect(root, &path, keys);
        } else {
            let key = path.strip_prefix(root).unwrap();
            keys.push(key.to_string_lossy().into_owned());
        }
    }
}

async fn accept(listener: TcpListener, service: S3Service, shared: Arc<Shared>) {
    // Connections end with the server.
    let mut connections = tokio::task::JoinSet::new();
    while let Ok((socket, _)) = listener.accept().await {
        let (service, shared) = (service.clone(), Arc::clone(&shared));
        connections.spawn(async move {
            let answer =
                service_fn(move |request| answer(service.clone(), Arc::clone(&shared), request));
            // A client that left, or the fault that was asked for.
            let _ended = Builder::new(TokioExecutor::new())
                .serve_connection(TokioIo::new(socket), answer)
                .await;
        });
    }
}

async fn answer(
    service: S3Service,
    shared: Arc<Shared>,
    request: Request<Incoming>,
) -> Result<Answer, io::Error> {
    let done = does(&request);
    *shared.seen.lock().unwrap().entry(done).or_default() += 1;
    let mode = *shared.mode.lock().unwrap();
    match mode {
        Mode::SlowDown => return Ok(refused(StatusCode::SERVICE_UNAVAILABLE, "SlowDown")),
        Mode::Stall => std::future::pending().await,
        Mode::Reset => return Err(io::ErrorKind::ConnectionReset.into()),
        Mode::Right | Mode::Half => {}
    }
    let signer = signer(&request);
    if shared
        .revoked
        .lock()
        .unwrap()
        .iter()
        .any(|id| signer.contains(id.as_str()))
    {
        return Ok(refused(StatusCode::FORBIDDEN, "InvalidAccessKeyId"));
    }
    let answered = service.call(request.map(s3s::Body::from)).await;
    let answered = answered.map_err(|error| io::Error::other(format!("{error:?}")))?;
    let half = answered
        .headers()
        .get("content-length")
        .and_then(|length| length.to_str().ok()?.parse::<usize>().ok())
        .filter(|_| mode == Mode::Half)
        .map(|length| length / 2);
    Ok(answered.map(|body| {
        let body = body.map_err(|error| io::Error::other(error.to_string()));
        let body = Cut {
            body: body.boxed_unsync(),
            left: half,
        };
        Either::Left(body.boxed_unsync())
    }))
}

/// What a request does, in a word.
fn does(request: &Request<Incoming>) -> String {
    let query = request.uri().query().unwrap_or_default();
    let word = match *request.method() {
        Method::GET if query.contains("uploads") => "LIST-UPLOADS",
        Method::GET if query.contains("list-type") => "LIST",
        ref method => method.as_str(),
    };
    word.to_owned()
}

/// Where the id of the signing key is.
fn signer(request: &Request<Incoming>) -> String {
    let header = request.headers().get("authorization");
    let header = header
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    format!("{header} {}", request.uri().query().unwrap_or_default())
}

fn refused(status: StatusCode, code: &str) -> Answer {
    let body = format!("<?xml version=\"1.0\"?><Error><Code>{code}</Code></Error>");
    let mut response = Response::new(Either::Right(Full::from(body)));
    *response.status_mut() = status;
    response
}

/// A body that ends with an error after some bytes.
struct Cut {
    body: UnsyncBoxBody<Bytes, io::Error>,
    left: Option<usize>,
}

impl http_body::Body for Cut {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        if self.left == Some(0) {
            return Poll::Ready(Some(Err(io::ErrorKind::ConnectionReset.into())));
        }
        let polled = Pin::new(&mut self.body).poll_frame(context);
        let Poll::Ready(Some(Ok(frame))) = polled else {
            return polled;
        };
        let Some(left) = self.left else {
            return Poll::Ready(Some(Ok(frame)));
        };
        let data = frame.into_data().unwrap_or_default();
        let data = data.slice(..data.len().min(left));
        self.left = Some(left - data.len());
        Poll::Ready(Some(Ok(Frame::data(data))))
    }

    fn size_hint(&self) -> http_body::SizeHint {
        self.body.size_hint()
    }
}
