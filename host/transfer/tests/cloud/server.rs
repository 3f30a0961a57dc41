//! An S3 server on loopback over a folder.

use http::request::Parts;
use http::{Request, Response};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto::Builder;
use s3s::Body;
use s3s::auth::{S3Auth, SimpleAuth};
use s3s::service::S3ServiceBuilder;
use s3s_fs::FileSystem;
use std::path::{Path, PathBuf};
use tokio::net::TcpListener;
use tokio_util::task::AbortOnDropHandle;

pub(crate) struct S3Server {
    pub(crate) endpoint: String,
    pub(crate) root: PathBuf,
    _folder: tempfile::TempDir,
    _task: AbortOnDropHandle<()>,
}

impl S3Server {
    /// Serves the bucket `depot` to whoever has one of these keys.
    pub(crate) async fn start(keys: &[(&str, &str)]) -> Self {
        let mut auth = SimpleAuth::new();
        for (id, secret) in keys {
            auth.register((*id).to_owned(), (*secret).into());
        }
        Self::guarded(auth, |_| None).await
    }

    /// Serves the bucket to whom `auth` knows; what `guard` answers goes before.
    pub(crate) async fn guarded(
        auth: impl S3Auth,
        guard: impl Fn(&Parts) -> Option<Response<Body>> + Clone + Send + 'static,
    ) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().to_owned();
        std::fs::create_dir(root.join("depot")).unwrap();
        let mut builder = S3ServiceBuilder::new(FileSystem::new(&root).unwrap());
        builder.set_auth(auth);
        let service = builder.build();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let task = tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                let (service, guard) = (service.clone(), guard.clone());
                let service = service_fn(move |request: Request<Incoming>| {
                    let (service, guard) = (service.clone(), guard.clone());
                    async move {
                        let (parts, body) = request.into_parts();
                        match guard(&parts) {
                            Some(answer) => Ok(answer),
                            None => service.call(Request::from_parts(parts, body.into())).await,
                        }
                    }
                });
                tokio::spawn(async move {
                    let server = Builder::new(TokioExecutor::new());
                    let _ = server.serve_connection(TokioIo::new(socket), service).await;
                });
            }
        });
        Self {
            endpoint,
            root,
            _folder: folder,
            _task: AbortOnDropHandle::new(task),
        }
    }

    /// The file of an object.
    pub(crate) fn object(&self, key: &str) -> PathBuf {
        self.root.join("depot").join(key)
    }

    /// Names in a folder of the bucket.
    pub(crate) fn names(&self, folder: &str) -> Vec<String> {
        names(&self.object(folder))
    }
}

fn names(folder: &Path) -> Vec<String> {
    let Ok(entries) = std::fs::read_dir(folder) else {
        return Vec::new();
    };
    let mut names: Vec<String> = entries
        .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}
