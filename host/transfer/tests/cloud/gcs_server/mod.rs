//! A server on loopback that speaks the XML API of Google Cloud Storage as it is documented, for one
//! bucket in memory. Emulators take any credential and no condition; this one checks both.
//!
//! What it refuses: whatever our client has no business to send, rather than to guess what is meant.
//! What it does not know: access control lists, versions, resumable uploads, encryption keys.

mod account;
mod bucket;
mod condition;
mod door;
mod fault;
mod listing;
mod multipart;
mod protocol;

pub(crate) use account::{Account, FIRST, SECOND};
pub(crate) use bucket::Object;
pub(crate) use fault::{BodyFault, Faults};

use bucket::Bucket;
use bytes::Bytes;
use door::Door;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto::Builder;
use jiff::{SignedDuration, Timestamp};
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::Arc;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_util::task::AbortOnDropHandle;

/// The only bucket there is.
pub(crate) const BUCKET: &str = "depot";

/// The server; it and its connections end with this.
pub(crate) struct GcsServer {
    pub(crate) endpoint: String,
    state: Arc<State>,
    _task: AbortOnDropHandle<()>,
}

struct State {
    door: Door,
    bucket: Mutex<Bucket>,
    faults: Faults,
    counts: Mutex<BTreeMap<&'static str, usize>>,
}

/// Why a request is not performed.
#[derive(Debug)]
struct Refusal {
    status: u16,
    code: &'static str,
    details: String,
}

fn refuse(status: u16, code: &'static str, details: impl Into<String>) -> Refusal {
    Refusal {
        status,
        code,
        details: details.into(),
    }
}

impl GcsServer {
    /// Serves the bucket to these accounts.
    pub(crate) async fn start(accounts: &[Account]) -> Self {
        let state = Arc::new(State {
            door: Door::new(accounts),
            bucket: Mutex::default(),
            faults: Faults::default(),
            counts: Mutex::default(),
        });
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let task = tokio::spawn(serve(listener, Arc::clone(&state)));
        Self {
            endpoint,
            state,
            _task: AbortOnDropHandle::new(task),
        }
    }

    /// From now on these accounts alone have access.
    pub(crate) fn set_accounts(&self, accounts: &[Account]) {
        self.state.door.set_accounts(accounts);
    }

    /// From now on these tokens open the bucket, besides those that accounts sign, until they end.
    pub(crate) fn set_tokens(&self, tokens: BTreeMap<String, Timestamp>) {
        self.state.door.set_tokens(tokens);
    }

    /// Lets everybody in who sends no credential.
    pub(crate) fn open_to_all(&self) {
        self.state.door.open_to_all();
    }

    /// How far the server's clock is ahead of ours.
    pub(crate) fn set_clock(&self, ahead: SignedDuration) {
        self.state.door.set_clock(ahead);
    }

    pub(crate) fn faults(&self) -> &Faults {
        &self.state.faults
    }

    /// The requests since this was asked last, by method and kind.
    pub(crate) fn counted(&self) -> Vec<(&'static str, usize)> {
        std::mem::take(&mut *self.state.counts.lock())
            .into_iter()
            .collect()
    }

    /// How many entries a page of a list has.
    pub(crate) fn set_page(&self, entries: usize) {
        self.state.bucket.lock().page = entries;
    }

    pub(crate) fn object(&self, key: &str) -> Option<Object> {
        self.state.bucket.lock().objects.get(key).cloned()
    }

    /// The keys of all objects, then of all uploads that nobody finished.
    pub(crate) fn names(&self) -> (Vec<String>, Vec<String>) {
        let bucket = self.state.bucket.lock();
        let objects = bucket.objects.keys().cloned().collect();
        let uploads = bucket.uploads.iter().map(|upload| upload.key.clone());
        (objects, uploads.collect())
    }

    /// Puts an object there as if somebody else had: with a tag of its own.
    pub(crate) fn place(&self, key: &str, content: impl Into<Bytes>) {
        let now = self.state.door.now();
        let mut bucket = self.state.bucket.lock();
        let object = bucket.object(content.into(), Default::default(), now);
        bucket.objects.insert(key.to_owned(), object);
    }

    /// Changes an object's content as a disk does: its tag stays.
    pub(crate) fn damage(&self, key: &str, content: impl Into<Bytes>) {
        let mut bucket = self.state.bucket.lock();
        bucket.objects.get_mut(key).unwrap().content = content.into();
    }

    /// Begins an upload that nobody finishes.
    pub(crate) fn begin_upload(&self, key: &str) {
        let now = self.state.door.now();
        let mut bucket = self.state.bucket.lock();
        bucket.begin(key, Default::default(), now);
    }
}

async fn serve(listener: TcpListener, state: Arc<State>) {
    let mut connections = JoinSet::new();
    while let Ok((socket, _)) = listener.accept().await {
        let state = Arc::clone(&state);
        connections.spawn(async move {
            let service = service_fn(|request| {
                let state = Arc::clone(&state);
                async move { Ok::<_, Infallible>(protocol::answer(&state, request).await) }
            });
            let server = Builder::new(TokioExecutor::new());
            let _ = server.serve_connection(TokioIo::new(socket), service).await;
        });
    }
}
