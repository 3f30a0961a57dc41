//! Starts the controllers and ends them gracefully.

use crate::context::Context;
use crate::error::Error;
use crate::feed::Owner;
use crate::metric::{Meter, is_no_failure};
use crate::watched::Watched;
use crate::{bindings, module, provider, unbuilt, version};
use futures::future::BoxFuture;
use futures::{FutureExt as _, Stream, StreamExt as _};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::runtime::Controller;
use kube::runtime::controller::{Action, Config};
use kube::runtime::reflector::ObjectRef;
use kube::runtime::watcher;
use kube::{Api, Resource, ResourceExt as _};
use opendepot_crds::{Depot, Module, Provider, Version};
use opendepot_domain::ArtifactKind;
use serde::de::DeserializeOwned;
use std::fmt::Debug;
use std::future::Future;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Instant;
use tokio::sync::{mpsc, watch};

/// Which controllers run here.
#[derive(Clone, Copy, Debug)]
pub struct Controllers {
    /// The Module controller.
    pub module: bool,
    /// The Provider controller.
    pub provider: bool,
    /// The Version controller.
    pub version: bool,
}

/// Reconciles of one kind at a time. Heavy work has permits of its own.
const CONCURRENCY: u16 = 64;

/// Runs until `shutdown` turns true, then lets running reconciles end.
pub async fn run(context: Arc<Context>, which: Controllers, shutdown: watch::Receiver<bool>) {
    let mut running: Vec<BoxFuture<'static, ()>> = Vec::new();
    let client = context.client();
    let namespace = context.options.watch_namespace.clone();
    let namespace = namespace.as_deref();
    let (modules, providers) = owners(&context);
    if which.module {
        let controller = controller::<Module>(&client, namespace).reconcile_on(modules);
        running.push(drive(
            controller,
            "module",
            module::reconcile,
            Arc::clone(&context),
            shutdown.clone(),
        ));
    }
    if which.provider {
        let controller = controller::<Provider>(&client, namespace).reconcile_on(providers);
        running.push(drive(
            controller,
            "provider",
            provider::reconcile,
            Arc::clone(&context),
            shutdown.clone(),
        ));
    }
    if which.version {
        let nudges = nudges(context.feed.take_nudges());
        let controller = controller::<Version>(&client, namespace).reconcile_on(nudges);
        running.push(drive(
            controller,
            "version",
            version::reconcile,
            Arc::clone(&context),
            shutdown.clone(),
        ));
    } else {
        // Nobody listens: the feed must not wait for room.
        drop(context.feed.take_nudges());
    }
    if which.module || which.provider || which.version {
        running.push(drive(
            controller::<Depot>(&client, namespace),
            "depot",
            unbuilt::depot,
            Arc::clone(&context),
            shutdown.clone(),
        ));
    }
    // Whatever runs here: this process has the auth plugins.
    running.push(Box::pin(bindings::run(Arc::clone(&context), shutdown)));
    futures::future::join_all(running).await;
}

/// Splits the feed's owners by kind. A full queue drops nothing: the feed waits.
fn owners(
    context: &Context,
) -> (
    impl Stream<Item = ObjectRef<Watched<Module>>> + use<>,
    impl Stream<Item = ObjectRef<Watched<Provider>>> + use<>,
) {
    let (modules, module_receiver) = mpsc::channel::<Owner>(256);
    let (providers, provider_receiver) = mpsc::channel::<Owner>(256);
    if let Some(mut owners) = context.feed.take_owners() {
        tokio::spawn(async move {
            while let Some(owner) = owners.recv().await {
                let to = match owner.kind {
                    ArtifactKind::Module => &modules,
                    ArtifactKind::Provider => &providers,
                };
                // A controller that does not run here has no receiver.
                let _ = to.send(owner).await;
            }
        });
    }
    (references(module_receiver), references(provider_receiver))
}

/// Versions by `namespace/name`, as the controller takes them.
fn nudges(
    receiver: Option<mpsc::Receiver<String>>,
) -> impl Stream<Item = ObjectRef<Watched<Version>>> {
    futures::stream::unfold(receiver, |receiver| async move {
        let mut receiver = receiver?;
        let key = receiver.recv().await?;
        let (namespace, name) = key.split_once('/')?;
        Some((ObjectRef::new(name).within(namespace), Some(receiver)))
    })
}

fn references<K>(owners: mpsc::Receiver<Owner>) -> impl Stream<Item = ObjectRef<Watched<K>>>
where
    K: Resource<DynamicType = ()>,
{
    futures::stream::unfold(owners, |mut owners| async move {
        let owner = owners.recv().await?;
        Some((ObjectRef::new(&owner.name).within(&owner.namespace), owners))
    })
}

fn controller<K>(client: &kube::Client, namespace: Option<&str>) -> Controller<Watched<K>>
where
    K: Resource<Scope = k8s_openapi::NamespaceResourceScope, DynamicType = ()> + 'static,
{
    let api: Api<Watched<K>> = match namespace {
        Some(namespace) => Api::namespaced(client.clone(), namespace),
        None => Api::all(client.clone()),
    };
    Controller::new(api, watcher::Config::default().page_size(crate::PAGE_SIZE))
        .with_config(Config::default().concurrency(CONCURRENCY))
}

fn drive<K, R, F>(
    controller: Controller<Watched<K>>,
    name: &'static str,
    reconcile: R,
    context: Arc<Context>,
    shutdown: watch::Receiver<bool>,
) -> BoxFuture<'static, ()>
where
    K: Resource<Scope = k8s_openapi::NamespaceResourceScope, DynamicType = ()>
        + Clone
        + DeserializeOwned
        + Debug
        + Send
        + Sync
        + 'static,
    R: Fn(Arc<K>, Arc<Context>) -> F + Send + Sync + 'static,
    F: Future<Output = Result<Action, Error>> + Send + 'static,
{
    let reconcile = Arc::new(reconcile);
    let meter = Meter::of(name);
    let errors = meter.clone();
    let running = Running::default();
    let turns = running.clone();
    let guarded = move |watched: Arc<Watched<K>>, context: Arc<Context>| {
        let (reconcile, meter) = (Arc::clone(&reconcile), meter.clone());
        let turn = turns.begin();
        async move {
            let _turn = turn;
            let started = Instant::now();
            let _working = meter.begin();
            let key = object_key(name, watched.as_ref());
            let turn = async {
                let api: Api<K> = context.api(&watched.namespace().unwrap_or_default());
                let object = api
                    .get_opt(&watched.name_any())
                    .await
                    .map_err(Error::api("read the object"))?;
                let Some(object) = object else {
                    return Ok(Action::await_change());
                };
                let fingerprint = fingerprint(object.meta());
                if let Some(left) = context.backoff.remaining(&key, fingerprint, started) {
                    return Ok(Action::requeue(left));
                }
                let outcome = reconcile(Arc::new(object), Arc::clone(&context)).await;
                match &outcome {
                    Ok(_) => context.backoff.succeeded(&key),
                    Err(_) => context.backoff.note(&key, fingerprint),
                }
                outcome
            };
            // A panic in one reconcile must cost that object its turn, not the kind (C11).
            let outcome = AssertUnwindSafe(turn).catch_unwind().await;
            let outcome = outcome.unwrap_or_else(|_| {
                meter.panicked();
                Err(Error::Panicked)
            });
            meter.ended(&outcome, started);
            outcome
        }
    };
    let on_error = move |object: Arc<Watched<K>>, error: &Error, context: Arc<Context>| {
        errors.retried();
        let key = object_key(name, object.as_ref());
        let wait = context
            .backoff
            .failed(&key, error.kind(), error.retry_after_seconds());
        let (namespace, object_name) = (object.namespace().unwrap_or_default(), object.name_any());
        if is_no_failure(error.kind()) {
            tracing::debug!(
                controller = name,
                "{name} `{namespace}/{object_name}` will be looked at again: {error}"
            );
        } else {
            tracing::warn!(
                controller = name,
                k8s.namespace = %namespace,
                k8s.name = %object_name,
                error.kind = error.kind().label(),
                retry_after_seconds = wait.as_secs(),
                "cannot reconcile {name} `{namespace}/{object_name}`: {error}"
            );
        }
        Action::requeue(wait)
    };
    let (mut stop, mut stopped) = (shutdown.clone(), shutdown);
    let ended = async move {
        let _ = stop.wait_for(|stop| *stop).await;
    };
    let turns = controller
        .graceful_shutdown_on(ended)
        .run(guarded, on_error, context)
        .for_each(|_| std::future::ready(()));
    // `kube` holds turns back until its first list is there, and waits for it even when it is told
    // to end: then nothing runs, and nothing will.
    let idle = async move {
        let _ = stopped.wait_for(|stop| *stop).await;
        running.none().await;
    };
    async move {
        tokio::select! {
            () = turns => {}
            () = idle => {}
        }
    }
    .boxed()
}

/// How many turns run now.
#[derive(Clone, Debug)]
struct Running(Arc<watch::Sender<usize>>);

impl Default for Running {
    fn default() -> Self {
        Self(Arc::new(watch::Sender::new(0)))
    }
}

impl Running {
    fn begin(&self) -> RunningTurn {
        self.0.send_modify(|num| *num += 1);
        RunningTurn(self.clone())
    }

    async fn none(&self) {
        let _ = self.0.subscribe().wait_for(|num| *num == 0).await;
    }
}

/// One turn, while it runs.
#[derive(Debug)]
struct RunningTurn(Running);

impl Drop for RunningTurn {
    fn drop(&mut self) {
        self.0.0.send_modify(|num| *num = num.saturating_sub(1));
    }
}

/// Changes with what a user or an owner asks of the object, not with its status.
fn fingerprint(meta: &ObjectMeta) -> u64 {
    let mut hasher = DefaultHasher::new();
    (
        meta.generation,
        &meta.annotations,
        meta.deletion_timestamp.is_some(),
    )
        .hash(&mut hasher);
    hasher.finish()
}

fn object_key<K: Resource>(kind: &str, object: &K) -> String {
    format!(
        "{kind}/{}/{}",
        object.namespace().unwrap_or_default(),
        object.name_any()
    )
}
