//! The reconciler actor: permits for fetches and uploads, and jobs in flight by source.
//!
//! Jobs run on the pool and outlive the reconcile that asked; their temp files are deleted by
//! guards. The order of steps, and every write of status, is the controller's.

mod failure;
mod handle;
mod job;
mod messages;
mod metric;
mod source;
mod state;
#[cfg(test)]
mod tests;
mod upload;

pub use failure::JobError;
pub use handle::{ReconcilerHandle, ReconcilerOptions};
pub use job::{Fetched, ModuleOrigin, Origin, ProviderOrigin, SourceIdentity, Workshop};
pub use source::{Progress, SourceOptions, Sources};

use crate::supervisor::ExitGuard;
use actix::{
    Actor, ActorFutureExt as _, AsyncContext as _, Context, Handler, ResponseFuture,
    WrapFuture as _,
};
use futures::FutureExt as _;
use futures::future::{Shared, WeakShared};
use messages::{CopyArtifact, EraseArtifact, FetchSource, StoreArtifact};
use opendepot_domain::Namespace;
use opendepot_domain::seam::BoxFuture;
use state::{Admission, Admitted};
use std::collections::HashMap;
use std::sync::Arc;
use tokio::sync::oneshot;

type FetchResult = Result<Arc<Fetched>, Arc<JobError>>;
type Job = BoxFuture<'static, ()>;

/// Jobs of one namespace that may wait in one lane; more come back later.
const NUM_WAITING: usize = 24;

/// Which permits a job needs.
#[derive(Clone, Copy)]
enum Lane {
    Fetch,
    Store,
}

pub(crate) struct ReconcilerActor {
    workshop: Arc<Workshop>,
    fetches: Admission<Job>,
    stores: Admission<Job>,
    running: HashMap<String, WeakShared<BoxFuture<'static, FetchResult>>>,
    _exit: ExitGuard,
}

impl ReconcilerActor {
    fn new(
        workshop: Arc<Workshop>,
        num_fetches: usize,
        num_stores: usize,
        exit: ExitGuard,
    ) -> Self {
        Self {
            workshop,
            fetches: Admission::new(num_fetches, NUM_WAITING),
            stores: Admission::new(num_stores, NUM_WAITING),
            running: HashMap::new(),
            _exit: exit,
        }
    }

    const fn lane(&mut self, lane: Lane) -> &mut Admission<Job> {
        match lane {
            Lane::Fetch => &mut self.fetches,
            Lane::Store => &mut self.stores,
        }
    }

    /// Admits `work`; the reply comes when it has run, or at once when it cannot even queue.
    fn admit<T, F>(
        &mut self,
        ctx: &mut Context<Self>,
        lane: Lane,
        namespace: &Namespace,
        work: F,
    ) -> Reply<T>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, Arc<JobError>>> + Send + 'static,
    {
        let (sender, receiver) = oneshot::channel();
        let job: Job = async move {
            // A caller that went away does not stop the job: its outcome is idempotent.
            let _ = sender.send(work.await);
        }
        .boxed();
        match self.lane(lane).request(namespace, job) {
            Admitted::Now(job) => self.start(ctx, lane, job),
            Admitted::Queued => {}
            Admitted::Busy => return Reply::Busy,
        }
        Reply::Later(receiver)
    }

    fn start(&mut self, ctx: &mut Context<Self>, lane: Lane, job: Job) {
        let task = tokio::spawn(job);
        let done = task.into_actor(self).map(move |_, actor, ctx| {
            if let Some(next) = actor.lane(lane).release() {
                actor.start(ctx, lane, next);
            }
        });
        ctx.spawn(done);
    }
}

enum Reply<T> {
    Later(oneshot::Receiver<Result<T, Arc<JobError>>>),
    Busy,
}

impl<T: Send + 'static> Reply<T> {
    fn into_future(self) -> BoxFuture<'static, Result<T, Arc<JobError>>> {
        match self {
            Self::Busy => std::future::ready(Err(Arc::new(JobError::Busy))).boxed(),
            // A job that panicked dropped its sender.
            Self::Later(receiver) => async {
                receiver
                    .await
                    .unwrap_or_else(|_| Err(Arc::new(JobError::Panicked)))
            }
            .boxed(),
        }
    }
}

impl Actor for ReconcilerActor {
    type Context = Context<Self>;
}

impl Handler<FetchSource> for ReconcilerActor {
    type Result = ResponseFuture<FetchResult>;

    fn handle(&mut self, message: FetchSource, ctx: &mut Self::Context) -> Self::Result {
        opendepot_transfer::fault::panic_point("reconciler.fetch");
        self.running.retain(|_, fetch| fetch.upgrade().is_some());
        let key = message.origin.source_key(&message.id);
        if let Some(running) = self.running.get(&key).and_then(WeakShared::upgrade) {
            return running.boxed();
        }
        let workshop = Arc::clone(&self.workshop);
        let namespace = message.namespace().clone();
        let work = async move {
            workshop
                .fetch(&message.id, &message.origin)
                .await
                .map(Arc::new)
                .map_err(Arc::new)
        };
        let reply = self.admit(ctx, Lane::Fetch, &namespace, work);
        let is_busy = matches!(reply, Reply::Busy);
        let shared: Shared<_> = reply.into_future().shared();
        if let (false, Some(weak)) = (is_busy, shared.downgrade()) {
            self.running.insert(key, weak);
        }
        shared.boxed()
    }
}

impl Handler<StoreArtifact> for ReconcilerActor {
    type Result = ResponseFuture<Result<(), Arc<JobError>>>;

    fn handle(&mut self, message: StoreArtifact, ctx: &mut Self::Context) -> Self::Result {
        let workshop = Arc::clone(&self.workshop);
        let namespace = message.artifact.id.namespace.clone();
        let work = async move {
            let StoreArtifact {
                record,
                artifact,
                fetched,
            } = message;
            workshop
                .store(&record, &artifact, &fetched)
                .await
                .map_err(Arc::new)
        };
        self.admit(ctx, Lane::Store, &namespace, work).into_future()
    }
}

impl Handler<CopyArtifact> for ReconcilerActor {
    type Result = ResponseFuture<Result<(), Arc<JobError>>>;

    fn handle(&mut self, message: CopyArtifact, ctx: &mut Self::Context) -> Self::Result {
        let workshop = Arc::clone(&self.workshop);
        let namespace = message.artifact.id.namespace.clone();
        let work = async move {
            workshop
                .copy(&message.from, &message.to, &message.artifact)
                .await
                .map_err(Arc::new)
        };
        self.admit(ctx, Lane::Store, &namespace, work).into_future()
    }
}

impl Handler<EraseArtifact> for ReconcilerActor {
    type Result = ResponseFuture<Result<(), Arc<JobError>>>;

    fn handle(&mut self, message: EraseArtifact, ctx: &mut Self::Context) -> Self::Result {
        let workshop = Arc::clone(&self.workshop);
        let namespace = message.artifact.id.namespace.clone();
        let work = async move {
            workshop
                .erase(&message.record, &message.artifact)
                .await
                .map_err(Arc::new)
        };
        self.admit(ctx, Lane::Store, &namespace, work).into_future()
    }
}
