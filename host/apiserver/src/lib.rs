//! The embedded control plane: a Kubernetes-compatible API server inside this process.
//!
//! It is a tower service behind [`kube::Client`], so that controllers have one code path, whether
//! they talk to a cluster or to one machine. Objects live in one `redb` file. Kinds come from
//! resource definitions; Namespace, ConfigMap, Secret, Lease and Event are built in.
//!
//! **What bounds it.** One writer thread; at most 256 writes queue, further callers wait. A write
//! is answered after it is synced to disk; writes that wait together share one sync. A body or an
//! object has at most 3 MiB. Watches read a ring of recent writes (bounded by
//! [`Options::watch_history`] and 32 MiB) and have no queue of their own: a slow one is answered
//! 410. A paged list keeps its snapshot for 60 seconds, at most 16 at a time. The page cache is
//! 16 MiB; objects are not kept decoded.
//!
//! **What it refuses.** Server-side apply and strategic merge patches (415), unknown query
//! parameters and anything in a path that is not a plain name (400), definitions with more than
//! one served version, a second process on the same file. Definitions are read-only.
//!
//! **What may surprise.** The namespace of an object must exist; `default` always does. Watches do
//! not outlive the process: after a restart, an older revision is answered 410 and clients list.
//! An unchanged part of an object is not validated again, so a tighter definition does not lock
//! existing objects. `v1` and `events.k8s.io/v1` Events are stored apart; both go after an hour.
//! A cluster answers 500 where a creation carries a revision or a watch one that is no number (400
//! here), lists at old revisions too, waits for one that is to come, reads YAML and protobuf, and
//! refuses a key that a strict write gives twice.
//! When the disk fails or is full, writes are answered 503 and the file is opened anew, until they
//! succeed. A `#` in a path never arrives here: the HTTP types drop it. There is no authorisation:
//! who has the service has everything.

mod builtin;
mod builtin_rules;
mod create;
mod delete;
mod error;
mod gc;
mod history;
mod managed_fields;
pub mod manifests;
mod names;
mod object;
mod patch;
mod resource;
mod routes;
mod schema;
mod selector;
mod status_error;
mod store;
mod txn;
mod update;
mod writer;

pub use error::Error;
pub use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;

use bytes::Bytes;
use futures::FutureExt as _;
use futures::future::BoxFuture;
use http::{Request, Response};
use http_body_util::combinators::UnsyncBoxBody;
use std::convert::Infallible;
use std::path::PathBuf;
use std::sync::Arc;
use std::task::{Context, Poll};
use store::Store;

/// How to open the embedded control plane.
#[derive(Clone, Debug)]
pub struct Options {
    /// The file; `None` keeps everything in memory and loses it at the end.
    pub path: Option<PathBuf>,
    /// The kinds to serve besides the built-in ones.
    pub crds: Vec<CustomResourceDefinition>,
    /// How many recent writes a watch can resume over; 10 000 is plenty for one machine.
    pub watch_history: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            path: None,
            crds: Vec::new(),
            watch_history: 10_000,
        }
    }
}

/// The embedded control plane. Clones share it; the file closes with the last one.
#[derive(Clone, Debug)]
pub struct Embedded {
    store: Arc<Store>,
}

impl Embedded {
    /// Opens or creates the store and starts its writer. Reads every object once.
    ///
    /// # Errors
    /// [`Error::Locked`] when another process has the file, [`Error::Definition`] for a
    /// definition that cannot be served, and others when the file cannot be used.
    pub fn open(options: Options) -> Result<Self, Error> {
        let registry = resource::Registry::new(&options.crds)?;
        let store = Store::open(options.path.as_deref(), registry, options.watch_history)?;
        Ok(Self {
            store: Arc::new(store),
        })
    }

    /// A client of this control plane.
    ///
    /// # Panics
    /// Outside a tokio runtime: `kube` starts a task for each client.
    #[must_use]
    pub fn client(&self, default_namespace: &str) -> kube::Client {
        kube::Client::new(self.service(), default_namespace)
    }

    /// The service itself, for a listener or a test. Needs a tokio runtime when called.
    #[must_use]
    pub fn service(&self) -> EmbeddedService {
        EmbeddedService {
            store: Arc::clone(&self.store),
        }
    }

    /// Ends watches, finishes queued writes and closes the file; later requests get 503. Blocks
    /// for the commits that are under way, a few milliseconds as a rule. Repeating it does nothing.
    pub fn shutdown(&self) {
        self.store.shutdown();
    }
}

/// Answers Kubernetes API requests. Never fails: refusals are `Status` answers.
#[derive(Clone, Debug)]
pub struct EmbeddedService {
    store: Arc<Store>,
}

impl<B> tower::Service<Request<B>> for EmbeddedService
where
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    type Response = Response<UnsyncBoxBody<Bytes, Infallible>>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let store = Arc::clone(&self.store);
        routes::handle(store, request).map(Ok).boxed()
    }
}
