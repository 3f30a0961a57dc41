//! The registry actor: the one writer of the catalog, and single-flight of transfer plans.

mod catalog;
mod handle;
mod messages;
mod render;
mod resource;
mod state;
#[cfg(test)]
mod tests;

pub use catalog::{
    Catalog, Document, Gone, ModuleEntry, ModuleVersion, Package, ProviderEntry, ProviderVersion,
    ServedRelease, package_key,
};
pub use handle::{RegistryHandle, RegistryOptions, plan_key};
pub use render::{RenderContext, SigningKeyDocument};
pub use resource::{CatalogSource, ModuleResource, ProviderResource, Snapshot, VersionResource};

use crate::Error;
use crate::supervisor::ExitGuard;
use actix::{
    Actor, ActorFutureExt as _, AsyncContext as _, Context, Handler, ResponseFuture,
    WrapFuture as _,
};
use arc_swap::ArcSwap;
use futures::FutureExt as _;
use futures::future::{Shared, WeakShared};
use messages::{CatalogChanged, PlanRead, Rebuild, Rebuilt};
use opendepot_domain::seam::{BoxFuture, StorageDecisions};
use opendepot_domain::{Sha256, Transfer};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// How long events gather before one rebuild answers them all.
const COALESCE: Duration = Duration::from_millis(200);

type PlanResult = Result<Arc<Transfer>, Arc<Error>>;

/// Owns the writer side of the catalog.
pub(crate) struct RegistryActor {
    catalog: Arc<ArcSwap<Catalog>>,
    source: Arc<dyn CatalogSource>,
    storage: Arc<dyn StorageDecisions>,
    phase: Phase,
    plans: HashMap<Sha256, WeakShared<BoxFuture<'static, PlanResult>>>,
    _exit: ExitGuard,
}

/// Where a rebuild stands.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    Idle,
    /// A timer runs; later events need nothing more.
    Gathering,
    /// A rebuild runs on the pool.
    Building,
    /// A rebuild runs, and facts changed since it began.
    BuildingStale,
}

impl RegistryActor {
    fn new(
        catalog: Arc<ArcSwap<Catalog>>,
        source: Arc<dyn CatalogSource>,
        storage: Arc<dyn StorageDecisions>,
        exit: ExitGuard,
    ) -> Self {
        Self {
            catalog,
            source,
            storage,
            phase: Phase::Idle,
            plans: HashMap::new(),
            _exit: exit,
        }
    }

    fn gather(&mut self, ctx: &mut Context<Self>, pause: Duration) {
        self.phase = Phase::Gathering;
        ctx.notify_later(Rebuild, pause);
    }
}

impl Actor for RegistryActor {
    type Context = Context<Self>;

    /// A restarted actor rebuilds from a fresh list; readers keep the last good catalog.
    fn started(&mut self, ctx: &mut Self::Context) {
        self.gather(ctx, Duration::ZERO);
    }
}

impl Handler<CatalogChanged> for RegistryActor {
    type Result = ();

    fn handle(&mut self, _: CatalogChanged, ctx: &mut Self::Context) {
        match self.phase {
            Phase::Idle => self.gather(ctx, COALESCE),
            Phase::Building => self.phase = Phase::BuildingStale,
            Phase::Gathering | Phase::BuildingStale => {}
        }
    }
}

impl Handler<Rebuild> for RegistryActor {
    type Result = ();

    fn handle(&mut self, _: Rebuild, ctx: &mut Self::Context) {
        opendepot_transfer::fault::panic_point("registry.rebuild");
        self.phase = Phase::Building;
        let (catalog, source) = (Arc::clone(&self.catalog), Arc::clone(&self.source));
        let work = tokio::task::spawn_blocking(move || {
            let Some(snapshot) = source.snapshot() else {
                return;
            };
            let next = state::build(&catalog.load(), snapshot, unix_now());
            let (modules, providers, versions) = next.counts();
            metrics::gauge!("opendepot_index_objects", "kind" => "module").set(modules as f64);
            metrics::gauge!("opendepot_index_objects", "kind" => "provider").set(providers as f64);
            metrics::gauge!("opendepot_index_objects", "kind" => "version").set(versions as f64);
            catalog.store(Arc::new(next));
        });
        let done = work.into_actor(self).map(|result, _, ctx| {
            if result.is_err() {
                // The memory of a rebuild that panicked cannot be trusted: start afresh.
                actix::ActorContext::stop(ctx);
            } else {
                ctx.notify(Rebuilt);
            }
        });
        ctx.spawn(done);
    }
}

impl Handler<Rebuilt> for RegistryActor {
    type Result = ();

    fn handle(&mut self, _: Rebuilt, ctx: &mut Self::Context) {
        if self.phase == Phase::BuildingStale {
            self.gather(ctx, COALESCE);
        } else {
            self.phase = Phase::Idle;
        }
    }
}

impl Handler<PlanRead> for RegistryActor {
    type Result = ResponseFuture<PlanResult>;

    fn handle(&mut self, message: PlanRead, _: &mut Self::Context) -> Self::Result {
        self.plans.retain(|_, plan| plan.upgrade().is_some());
        let key = message.key;
        if let Some(running) = self.plans.get(&key).and_then(WeakShared::upgrade) {
            return running.boxed();
        }
        let storage = Arc::clone(&self.storage);
        let work = tokio::spawn(async move {
            storage
                .plan(
                    &message.record,
                    &message.artifact,
                    message.operation,
                    message.now,
                )
                .await
                .map(Arc::new)
                .map_err(|error| Arc::new(Error::Storage(error)))
        });
        let plan: BoxFuture<'static, PlanResult> = async {
            work.await
                .unwrap_or_else(|_| Err(Arc::new(Error::Unavailable { actor: "registry" })))
        }
        .boxed();
        let plan: Shared<_> = plan.shared();
        if let Some(weak) = plan.downgrade() {
            self.plans.insert(key, weak);
        }
        plan.boxed()
    }
}

fn unix_now() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |elapsed| elapsed.as_secs())
}
