//! A registry that answers as it is told, and records what it was asked.

use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto::Builder;
use opendepot_domain::Sha256;
use opendepot_oci::{OciConfig, OciError, OciPuller, Reference};
use opendepot_transfer::EgressConfig;
use parking_lot::Mutex;
use serde_json::{Value, json};
use std::collections::HashMap;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tempfile::TempDir;
use tokio::net::TcpListener;

pub(crate) const MANIFEST_TYPE: &str = "application/vnd.oci.image.manifest.v1+json";
pub(crate) const YAML: &str = "application/vnd.opendepot.plugin.manifest.v1+yaml";
pub(crate) const WASM: &str = "application/wasm";
pub(crate) const SIGNATURE: &str = "application/vnd.opendepot.plugin.signature.v1";

pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(&'static str, String)>,
    pub(crate) body: Bytes,
}

impl Answer {
    pub(crate) fn new(status: u16, body: impl Into<Bytes>) -> Self {
        Self {
            status,
            headers: Vec::new(),
            body: body.into(),
        }
    }

    pub(crate) fn header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    pub(crate) fn redirect(to: impl Into<String>) -> Self {
        Self::new(307, "").header("location", to)
    }
}

/// What was asked: path with query, and headers.
pub(crate) type Seen = Vec<(String, HeaderMap)>;
type Handler = dyn Fn(&str, &HeaderMap) -> Answer + Send + Sync;

pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    seen: Arc<Mutex<Seen>>,
    accepting: tokio::task::JoinHandle<()>,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

impl Server {
    pub(crate) async fn start(
        handler: impl Fn(&str, &HeaderMap) -> Answer + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let seen = Arc::new(Mutex::new(Seen::new()));
        let (log, handler): (_, Arc<Handler>) = (Arc::clone(&seen), Arc::new(handler));
        let accepting = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (log, handler) = (Arc::clone(&log), Arc::clone(&handler));
                let service = service_fn(move |request: Request<Incoming>| {
                    let target = request.uri().to_string();
                    let answer = handler(&target, request.headers());
                    log.lock().push((target, request.headers().clone()));
                    let mut response = Response::builder().status(answer.status);
                    for (name, value) in answer.headers {
                        response = response.header(name, value);
                    }
                    let body = Full::new(answer.body).boxed();
                    std::future::ready(Ok::<_, Infallible>(response.body(body).unwrap()))
                });
                tokio::spawn(async move {
                    let builder = Builder::new(TokioExecutor::new());
                    // Errors of a connection are what the tests provoke.
                    let _ = builder
                        .serve_connection(TokioIo::new(stream), service)
                        .await;
                });
            }
        });
        Self {
            address,
            seen,
            accepting,
        }
    }

    pub(crate) fn seen(&self) -> Seen {
        self.seen.lock().clone()
    }

    /// What was sent as `authorization`, in order.
    pub(crate) fn authorizations(&self) -> Vec<Option<String>> {
        let of = |headers: &HeaderMap| {
            let value = headers.get("authorization")?;
            Some(value.to_str().unwrap().to_owned())
        };
        self.seen().iter().map(|(_, headers)| of(headers)).collect()
    }
}

/// A plugin as a registry has it; each field may be made wrong.
#[derive(Clone)]
pub(crate) struct Artifact {
    pub(crate) manifest: Value,
    pub(crate) content_type: String,
    pub(crate) blobs: HashMap<String, Bytes>,
}

impl Artifact {
    pub(crate) fn new(layers: &[(&str, &[u8])]) -> Self {
        let mut blobs = HashMap::new();
        let mut descriptors = Vec::new();
        for (media_type, bytes) in layers {
            let digest = format!("sha256:{}", Sha256::of(bytes));
            descriptors
                .push(json!({"mediaType": media_type, "digest": digest, "size": bytes.len()}));
            blobs.insert(digest, Bytes::copy_from_slice(bytes));
        }
        let config = format!("sha256:{}", Sha256::of(b"{}"));
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": MANIFEST_TYPE,
            "artifactType": "application/vnd.opendepot.plugin.v1",
            "config": {"mediaType": "application/vnd.oci.empty.v1+json", "digest": config, "size": 2},
            "layers": descriptors,
        });
        Self {
            manifest,
            content_type: MANIFEST_TYPE.to_owned(),
            blobs,
        }
    }

    pub(crate) fn plugin() -> Self {
        Self::new(&[(YAML, b"kind: Plugin\n"), (WASM, b"\0asm of a plugin")])
    }

    pub(crate) fn digest(&self) -> Sha256 {
        Sha256::of(self.manifest.to_string().as_bytes())
    }

    pub(crate) fn reference(&self, server: &Server) -> Reference {
        let text = format!("{}/plugins/x@sha256:{}", server.address, self.digest());
        text.parse().unwrap()
    }

    /// As an honest registry answers.
    pub(crate) fn answer(&self, target: &str) -> Answer {
        let name = target.strip_prefix("/v2/plugins/x/").unwrap_or_default();
        if name == format!("manifests/sha256:{}", self.digest()) {
            return Answer::new(200, self.manifest.to_string())
                .header("content-type", self.content_type.clone());
        }
        match name.strip_prefix("blobs/").and_then(|d| self.blobs.get(d)) {
            Some(bytes) => {
                Answer::new(200, bytes.clone()).header("content-type", "application/octet-stream")
            }
            None => Answer::new(404, r#"{"errors":[{"code":"BLOB_UNKNOWN"}]}"#),
        }
    }

    pub(crate) async fn serve(&self) -> Server {
        let artifact = self.clone();
        Server::start(move |target, _| artifact.answer(target)).await
    }

    /// Serves, and answers `to` for targets that contain `part`.
    pub(crate) async fn serve_but(
        &self,
        part: &'static str,
        to: impl Fn() -> Answer + Send + Sync + 'static,
    ) -> Server {
        let artifact = self.clone();
        Server::start(move |target, _| match target.contains(part) {
            true => to(),
            false => artifact.answer(target),
        })
        .await
    }
}

/// A puller that may reach this machine by plain HTTP, with a folder of its own.
pub(crate) struct Bench {
    pub(crate) dir: TempDir,
    pub(crate) puller: OciPuller,
    pub(crate) docker_config: Mutex<Option<PathBuf>>,
}

impl Bench {
    pub(crate) fn new() -> Self {
        Self::with(EgressConfig {
            // Redirects to forbidden addresses are to be refused by what these are.
            allow: ["127.0.0.1", "169.254.169.254", "10.0.0.1"]
                .map(str::to_owned)
                .to_vec(),
            allow_private: vec!["127.0.0.0/8".to_owned()],
            allow_http: ["127.0.0.1", "169.254.169.254", "10.0.0.1"]
                .map(str::to_owned)
                .to_vec(),
            ..EgressConfig::default()
        })
    }

    pub(crate) fn with(egress: EgressConfig) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let puller = OciPuller::new(OciConfig {
            egress,
            cache: dir.path().join("cache"),
            read_only_cache: None,
            component_bytes: 1 << 20,
        })
        .unwrap();
        Self {
            dir,
            puller,
            docker_config: Mutex::default(),
        }
    }

    /// Writes a docker configuration file with name `user` and this password for each key.
    pub(crate) fn logins(&self, logins: &[(String, &str)]) {
        let auths: HashMap<_, _> = logins
            .iter()
            .map(|(key, password)| (key, json!({"username": "user", "password": password})))
            .collect();
        let path = self.dir.path().join("docker.json");
        std::fs::write(&path, json!({ "auths": auths }).to_string()).unwrap();
        *self.docker_config.lock() = Some(path);
    }

    pub(crate) async fn pull(&self, reference: &Reference) -> Result<PathBuf, OciError> {
        let deadline = Instant::now() + Duration::from_secs(60);
        let docker_config = self.docker_config.lock().clone();
        let pulling = self
            .puller
            .pull(reference, docker_config.as_deref(), deadline);
        pulling.await
    }

    /// Why the pull is refused; nothing may be left of it.
    pub(crate) async fn refused(&self, reference: &Reference) -> OciError {
        let error = self.pull(reference).await.unwrap_err();
        let left = std::fs::read_dir(self.dir.path().join("cache"));
        assert_eq!(left.map_or(0, Iterator::count), 0, "{error}");
        error
    }
}
