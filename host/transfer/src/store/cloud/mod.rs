//! Stores of the clouds, and servers that speak as they do: `s3://`, `gs://`, `az://`.
//!
//! `object_store` makes and signs the requests; they leave through the process's one HTTP client
//! under an egress policy ([`wire`]). How a store is reached (endpoint, region, credential) is the
//! operator's word ([`NativeAccess`]), asked anew every half minute, so that a rotated credential is
//! in use soon; where and what is the plan's.
//!
//! The server is not trusted: a whole body is hashed as it streams and its end held back until the
//! digest matches; a part is asked for only of an object that was read whole and found right under
//! the same strong tag. A put never overwrites; for servers that ignore the condition, which one try
//! finds out, it looks first.
//!
//! What bounds it: [`RemoteLimits`]; one frame and 64 KiB a body; three parts of 8 MiB an upload; 64
//! clients. What may surprise: on Google Cloud Storage an upload in parts goes to a staging key
//! beside the object, and is copied when it is whole; what a crash leaves of an upload is removed by
//! the next one, or the deletion, of that object.

mod access;
mod azure;
mod client;
mod condition;
mod gcs;
mod granted;
mod kept;
mod s3;
mod seen;
mod session;
mod unfinished;
mod upload;
mod wire;

pub use access::{CloudCredential, CloudCredentialKind, NativeAccess, StoreAccess};

use super::location::Remote;
use super::tag::{Tags, Version};
use super::{Expected, Put, RemoteLimits, Sibling, Source};
use crate::body::{ArtifactBody, Check, Incoming, Remote as RemoteSource, RemoteBody};
use crate::egress::EgressPolicy;
use crate::error::{Damage, Error};
use crate::fetch::FetchLimits;
use crate::metric;
use backon::{ExponentialBuilder, Retryable as _};
use client::{Backend, Client};
use condition::Conditions;
use granted::Granted;
use http_body_util::BodyExt as _;
use moka::future::Cache;
use object_store::path::Path;
use object_store::{GetOptions, GetRange, GetResult, GetResultPayload, ObjectMeta};
use opendepot_domain::placement::{NativePlan, OptionValue};
use opendepot_domain::{Kind, Sha256};
use seen::{Failure, Trouble, watched};
use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};
use url::Url;

const MAX_CLIENTS: u64 = 64;
const CLIENT_IDLE_FOR: Duration = Duration::from_secs(600);

/// Performs native plans on remote stores.
pub(super) struct CloudStore {
    policy: EgressPolicy,
    fetch_limits: FetchLimits,
    access: Arc<dyn NativeAccess>,
    limits: RemoteLimits,
    granted: Cache<Sha256, Arc<Granted>>,
    /// As stores told them.
    regions: Cache<Sha256, String>,
    clients: Cache<Sha256, Arc<Client>>,
    conditions: Conditions,
    tags: Tags,
}

/// One object, and the client that reaches it.
struct Object {
    client: Arc<Client>,
    path: Path,
}

impl CloudStore {
    pub(super) fn new(
        policy: EgressPolicy,
        fetch_limits: FetchLimits,
        access: Arc<dyn NativeAccess>,
        limits: RemoteLimits,
    ) -> Self {
        let granted = Cache::builder()
            .max_capacity(1_000)
            .time_to_live(limits.access_for)
            .build();
        let clients = Cache::builder()
            .max_capacity(MAX_CLIENTS)
            .time_to_idle(CLIENT_IDLE_FOR)
            .build();
        Self {
            policy,
            fetch_limits,
            access,
            limits,
            granted,
            regions: Cache::new(1_000),
            clients,
            conditions: Conditions::default(),
            tags: Tags::default(),
        }
    }

    /// Creates the container of a plan, where the kind of store has such and it is missing.
    pub(super) async fn prepare(&self, plan: &NativePlan) -> Result<(), Error> {
        let work = |object: Object| async move {
            match &object.client.writer {
                Backend::Azure(azure) => Ok(azure.create_container().await?),
                Backend::S3(_) | Backend::Gcs(_) => Err(Trouble::Other(Error::invalid(
                    "perform a plan",
                    "this kind of store has no containers to be created",
                ))),
            }
        };
        self.sync(plan, &attempt("create the container of", plan), work)
            .await
    }

    pub(super) async fn put(
        &self,
        plan: &NativePlan,
        source: Source<'_>,
        expected: Expected,
    ) -> Result<Put, Error> {
        let work = |object: Object| async move {
            let (client, path) = (&object.client, &object.path);
            let hold = self.conditions.hold(client, path).await?;
            upload::put(client, path, plan, source, expected, hold).await
        };
        self.sync(plan, &attempt("write", plan), work).await
    }

    pub(super) async fn open_body(
        &self,
        plan: &NativePlan,
        expected: Expected,
        bytes: Range<u64>,
    ) -> Result<ArtifactBody, Error> {
        let attempt = attempt("read", plan);
        let bytes = &bytes;
        let work = |object: Object| async move {
            let backend = &object.client.reader;
            self.open(&object.path, backend, plan, expected, bytes.clone())
                .await
        };
        let opened = self.fresh(plan, &attempt, work);
        let body = tokio::time::timeout(self.limits.read_timeout, opened)
            .await
            .unwrap_or_else(|_| Err(Error::unavailable(&attempt, "no answer came in time")))?;
        Ok(ArtifactBody::remote(body))
    }

    async fn open(
        &self,
        path: &Path,
        backend: &Backend,
        plan: &NativePlan,
        expected: Expected,
        bytes: Range<u64>,
    ) -> Result<RemoteBody, Trouble> {
        let (store, name) = (&plan.placement.store, &plan.placement.key);
        let key = Tags::key(&plan.plugin, store, name, expected.sha256);
        let body = |result: GetResult, check, bytes| {
            let GetResultPayload::Stream(stream) = result.payload;
            RemoteBody::new(RemoteSource {
                body: Incoming::Objects(stream),
                backend: backend.label(),
                what: what(plan),
                size: expected.size,
                bytes,
                check,
                idle_timeout: self.limits.idle_timeout,
            })
        };
        let is_whole = bytes == (0..expected.size);
        let version = |meta: &ObjectMeta| {
            let modified = Some(meta.last_modified.to_rfc3339());
            Version::new(meta.e_tag.as_deref(), modified)
        };
        if !is_whole && let Some(known) = self.tags.get(&key) {
            let options = GetOptions {
                range: Some(GetRange::Bounded(bytes.clone())),
                if_match: known.tag.to_str().ok().map(str::to_owned),
                ..GetOptions::default()
            };
            match watched(backend.objects().get_opts(path, options)).await {
                Ok(part)
                    if part.range == bytes
                        && part.meta.size == expected.size
                        && version(&part.meta) == Some(known) =>
                {
                    return Ok(body(part, Check::Part, bytes));
                }
                Ok(_) => {}
                Err(failure) if failure.is_condition() || failure.is_beyond_end() => {}
                Err(failure) => return Err(unread(failure, plan)),
            }
            // The bytes are others, or the server does not keep to the tag: all of it, then.
            self.tags.forget(&key);
        }
        let whole = backend.objects().get_opts(path, GetOptions::default());
        let whole = watched(whole).await;
        let whole = whole.map_err(|failure| unread(failure, plan))?;
        if whole.meta.size != expected.size {
            self.tags.forget(&key);
            return Err(metric::corrupt(backend.label(), what(plan), Damage::Size).into());
        }
        let keeper = self.tags.keeper(key, version(&whole.meta));
        Ok(body(whole, Check::whole(expected.sha256, keeper), bytes))
    }

    /// The size that the store says; `None` when there is no object.
    pub(super) async fn head(&self, plan: &NativePlan) -> Result<Option<u64>, Error> {
        let work = |object: Object| async move {
            Ok(upload::size(&object.client.writer, &object.path).await?)
        };
        self.sync(plan, &attempt("look at", plan), work).await
    }

    /// What lies in the object's folder.
    pub(super) async fn siblings(&self, plan: &NativePlan) -> Result<Vec<Sibling>, Error> {
        let work = |object: Object| async move {
            let parent = object.path.as_ref().rsplit_once('/');
            let parent = parent.and_then(|(parent, _)| Path::parse(parent).ok());
            let objects = object.client.writer.objects();
            let listed = watched(objects.list_with_delimiter(parent.as_ref())).await?;
            let sibling = |object: object_store::ObjectMeta| {
                Some(Sibling {
                    name: object.location.filename()?.to_owned(),
                    size: object.size,
                    modified: object.last_modified.into(),
                })
            };
            Ok(listed.objects.into_iter().filter_map(sibling).collect())
        };
        self.sync(plan, &attempt("list the folder of", plan), work)
            .await
    }

    /// Removes an object, and what an upload of it left behind; one that is gone is removed.
    pub(super) async fn delete(&self, plan: &NativePlan) -> Result<(), Error> {
        let work = |object: Object| async move {
            upload::collect(&object.client, &object.path, Duration::ZERO).await;
            Ok(upload::remove(&object.client.writer, &object.path).await?)
        };
        self.sync(plan, &attempt("remove", plan), work).await
    }

    /// Reads an object from its first to its last byte and compares the digest.
    pub(super) async fn verify(
        &self,
        plan: &NativePlan,
        expected: Expected,
        progress: &(dyn Fn(u64) + Send + Sync),
    ) -> Result<(), Error> {
        let work = |object: Object| async move {
            let (path, backend) = (&object.path, &object.client.writer);
            let opened = self.open(path, backend, plan, expected, 0..expected.size);
            let (mut body, mut done) = (opened.await?, 0);
            while let Some(frame) = body.frame().await {
                done += frame?.data_ref().map_or(0, |bytes| bytes.len() as u64);
                progress(done);
            }
            Ok(())
        };
        let attempt = &attempt("read", plan);
        let read = || self.sync(plan, attempt, work);
        let again = ExponentialBuilder::default()
            .with_max_times(self.limits.num_sync_retries)
            .with_jitter();
        read.retry(again)
            .when(|error: &Error| error.kind() == Kind::Unavailable)
            .await
    }

    /// A link for a client: one key, reading alone, no longer than `ttl` and than the credential's
    /// own life.
    pub(super) async fn presign(&self, plan: &NativePlan, ttl: Duration) -> Result<Url, Error> {
        let attempt = &attempt("sign a link to", plan);
        let work = |object: Object| async move {
            let store = &plan.placement.store;
            let backend = &object.client.reader;
            backend.sign(&object.path, ttl, attempt, store).await
        };
        tokio::time::timeout(self.limits.read_timeout, self.fresh(plan, attempt, work))
            .await
            .unwrap_or_else(|_| Err(Error::unavailable(attempt, "no answer came in time")))
    }

    /// Runs an operation within the time that background work may take.
    async fn sync<T, F>(
        &self,
        plan: &NativePlan,
        attempt: &str,
        work: impl Fn(Object) -> F,
    ) -> Result<T, Error>
    where
        F: Future<Output = Result<T, Trouble>>,
    {
        tokio::time::timeout(self.limits.sync_timeout, self.fresh(plan, attempt, work))
            .await
            .unwrap_or_else(|_| Err(Error::unavailable(attempt, "it takes too long")))
    }

    /// Runs an operation; once more when its credential was refused and there is another one now.
    async fn fresh<T, F>(
        &self,
        plan: &NativePlan,
        attempt: &str,
        work: impl Fn(Object) -> F,
    ) -> Result<T, Error>
    where
        F: Future<Output = Result<T, Trouble>>,
    {
        let began = Instant::now();
        let object = self.object(plan).await?;
        let client = Arc::clone(&object.client);
        let told = |trouble| match trouble {
            Trouble::Store(failure) => failure.into_error(attempt, &plan.placement.store),
            Trouble::Other(error) => error,
        };
        match work(object).await {
            Err(Trouble::Store(failure)) => {
                let is_other_now = if failure.is_stale() {
                    self.renew(plan, &client, began).await?
                } else {
                    self.learn_region(plan, &failure).await
                };
                if is_other_now {
                    return work(self.object(plan).await?).await.map_err(told);
                }
                Err(told(Trouble::Store(failure)))
            }
            done => done.map_err(told),
        }
    }

    /// Takes the store's word for its region, which a record does not have; whether it is news. The
    /// operator's word stands.
    async fn learn_region(&self, plan: &NativePlan, failure: &Failure) -> bool {
        let Some(region) = failure.other_region() else {
            return false;
        };
        let key = access_key(plan);
        if self.regions.get(&key).await.as_deref() == Some(region) {
            return false;
        }
        self.regions.insert(key, region.to_owned()).await;
        true
    }

    /// Looks for another credential than those that were there when the operation began; whether
    /// there is one.
    async fn renew(
        &self,
        plan: &NativePlan,
        client: &Client,
        began: Instant,
    ) -> Result<bool, Error> {
        let before = self.granted(plan).await?.digest;
        self.granted.invalidate(&access_key(plan)).await;
        let is_session = match &client.writer {
            Backend::S3(s3) => {
                if let Some(session) = &s3.session {
                    session.forget(began);
                }
                s3.session.is_some()
            }
            Backend::Gcs(gcs) => gcs.forget_credential(began),
            Backend::Azure(azure) => azure.forget_credential(began),
        };
        Ok(is_session || self.granted(plan).await?.digest != before)
    }

    async fn object(&self, plan: &NativePlan) -> Result<Object, Error> {
        let placement = &plan.placement;
        let store = &placement.store;
        let remote = Remote::parse(store)?;
        let path = Path::parse(&placement.key)
            .ok()
            .filter(|path| is_plain(&placement.key) && path.as_ref() == placement.key)
            .ok_or_else(|| {
                let shown: String = placement.key.escape_debug().take(200).collect();
                Error::invalid(format!("use key `{shown}`"), "it is not plain segments")
            })?;
        let granted = self.granted(plan).await?;
        let mut options = placement.options.clone();
        if granted.access.region.is_none()
            && let Some(region) = self.regions.get(&access_key(plan)).await
        {
            options.retain(|(name, _)| name != "region");
            options.push(("region".to_owned(), OptionValue::Plain(region)));
        }
        let mut input = opendepot_domain::canonical::Canonical::new("store-client");
        input
            .field(store)
            .field(&granted.digest.to_string())
            .field(&format!("{options:?}"));
        let digest = Sha256::of(input.as_bytes());
        let opened = self.clients.try_get_with(digest, async {
            let wire = granted.wire(self.policy.clone(), self.fetch_limits, &self.limits)?;
            Client::open(&remote, store, &granted, &options, wire, &self.limits)
                .await
                .map(Arc::new)
        });
        let client = opened.await.map_err(|error: Arc<Error>| shared(&error))?;
        Ok(Object { client, path })
    }

    /// What the operator grants, asked anew after a while.
    async fn granted(&self, plan: &NativePlan) -> Result<Arc<Granted>, Error> {
        let placement = &plan.placement;
        let asked = self.granted.try_get_with(access_key(plan), async {
            let access = self.access.access(plan).await.map_err(|error| {
                let attempt = format!("reach store `{}`", placement.store);
                match error.kind {
                    Kind::Denied | Kind::Invalid => Error::invalid(attempt, error.message),
                    _ => Error::unavailable(attempt, error.message),
                }
            })?;
            Granted::new(access).await.map(Arc::new)
        });
        asked.await.map_err(|error: Arc<Error>| shared(&error))
    }
}

/// What a key may be besides plain segments: stores take backslashes and control characters, which
/// others then read as something else.
fn is_plain(key: &str) -> bool {
    const MAX_BYTES: usize = 1024;
    let is_hostile = |c: char| c == '\\' || c.is_control();
    (1..=MAX_BYTES).contains(&key.len()) && !key.contains(is_hostile)
}

/// What grants go by.
fn access_key(plan: &NativePlan) -> Sha256 {
    let placement = &plan.placement;
    let mut input = opendepot_domain::canonical::Canonical::new("store-access");
    input
        .field(plan.plugin.as_str())
        .field(&placement.store)
        .field(placement.credentials.as_deref().unwrap_or_default());
    Sha256::of(input.as_bytes())
}

/// The error that several waited for.
fn shared(error: &Error) -> Error {
    match error {
        Error::Invalid { attempt, reason } => Error::invalid(attempt, reason),
        Error::Denied { attempt } => Error::Denied {
            attempt: attempt.clone(),
        },
        Error::Refused { url, reason } => Error::Refused {
            url: url.clone(),
            reason: reason.clone(),
        },
        other => Error::unavailable("reach the store", other.to_string()),
    }
}

fn unread(failure: Failure, plan: &NativePlan) -> Trouble {
    if failure.is_missing() {
        return Trouble::Other(Error::NotFound { what: what(plan) });
    }
    Trouble::Store(failure)
}

fn what(plan: &NativePlan) -> String {
    format!(
        "object `{}` in `{}`",
        plan.placement.key, plan.placement.store
    )
}

fn attempt(verb: &str, plan: &NativePlan) -> String {
    format!("{verb} {}", what(plan))
}
