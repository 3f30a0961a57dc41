//! What the rest of the host sees of the registry actor.

use super::RegistryActor;
use super::catalog::{Catalog, ModuleVersion, Package};
use super::messages::{CatalogChanged, PlanRead};
use super::render::RenderContext;
use super::resource::CatalogSource;
use crate::Error;
use crate::mailbox::Mailbox;
use crate::supervisor::{Health, RestartBudget, supervise};
use actix_rt::ArbiterHandle;
use arc_swap::{ArcSwap, Guard};
use moka::sync::Cache;
use opendepot_domain::seam::StorageDecisions;
use opendepot_domain::{
    Artifact, ArtifactId, ArtifactRecord, ConfigName, Operation, Sha256, Transfer,
};
use std::sync::Arc;
use std::time::Duration;

/// Calls that may wait for the actor at once.
const NUM_PERMITS: usize = 256;
/// The storage deadline of reliability.md section 2: a client gives up after 10 s.
const PLAN_DEADLINE: Duration = Duration::from_secs(8);

/// How to build a [`RegistryHandle`].
pub struct RegistryOptions {
    /// Where facts come from.
    pub source: Arc<dyn CatalogSource>,
    /// Where plans come from.
    pub storage: Arc<dyn StorageDecisions>,
    /// How documents are rendered.
    pub context: RenderContext,
    /// Plans kept; one a placement and operation.
    pub num_cached_plans: u64,
}

/// The registry: snapshot reads, and the calls that need its actor.
#[derive(Clone)]
pub struct RegistryHandle {
    catalog: Arc<ArcSwap<Catalog>>,
    context: Arc<RenderContext>,
    plans: Cache<Sha256, Arc<Transfer>>,
    mailbox: Mailbox<RegistryActor>,
    /// Change notices have permits of their own, so that a crowd of plans cannot hold them up.
    changes: Mailbox<RegistryActor>,
}

impl RegistryHandle {
    /// Starts the actor on its arbiter.
    #[must_use]
    pub fn start(arbiter: ArbiterHandle, options: RegistryOptions) -> Self {
        let catalog = Arc::new(ArcSwap::from_pointee(Catalog::default()));
        let RegistryOptions {
            source,
            storage,
            context,
            num_cached_plans,
        } = options;
        let shared = Arc::clone(&catalog);
        let supervised = supervise("registry", arbiter, RestartBudget::default(), move |exit| {
            RegistryActor::new(
                Arc::clone(&shared),
                Arc::clone(&source),
                Arc::clone(&storage),
                exit,
            )
        });
        Self {
            catalog,
            context: Arc::new(context),
            plans: Cache::builder()
                .max_capacity(num_cached_plans)
                .time_to_live(Duration::from_secs(300))
                .build(),
            changes: Mailbox::new(supervised.clone(), 4),
            mailbox: Mailbox::new(supervised, NUM_PERMITS),
        }
    }

    /// The catalog of this moment: about ten nanoseconds, no message.
    #[must_use]
    pub fn catalog(&self) -> Guard<Arc<Catalog>> {
        self.catalog.load()
    }

    /// The catalog of this moment, to be held across an await.
    #[must_use]
    pub fn catalog_full(&self) -> Arc<Catalog> {
        self.catalog.load_full()
    }

    /// How documents are rendered.
    #[must_use]
    pub fn render_context(&self) -> &RenderContext {
        &self.context
    }

    /// Whether a first catalog has been built.
    #[must_use]
    pub fn is_built(&self) -> bool {
        self.catalog.load().generation > 0
    }

    /// Changes of how the actor fares.
    #[must_use]
    pub fn watch_health(&self) -> tokio::sync::watch::Receiver<Health> {
        self.mailbox.supervised().watch_health()
    }

    /// How the actor fares.
    #[must_use]
    pub fn health(&self) -> Health {
        self.mailbox.supervised().health()
    }

    /// Calls queued or running.
    #[must_use]
    pub fn depth(&self) -> usize {
        self.mailbox.depth()
    }

    /// Tells the actor that facts changed, again until it has heard it. A restarted actor
    /// rebuilds from a fresh list anyway.
    pub async fn catalog_changed(&self) {
        while self
            .changes
            .call(CatalogChanged, Duration::from_secs(5))
            .await
            .is_err()
        {
            if matches!(self.health(), Health::GivenUp | Health::Stopped) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// The plan to read a module version's bytes, or to make a link to them.
    ///
    /// # Errors
    /// [`Error`] of the storage plugin, or of the actor.
    pub async fn plan_module(
        &self,
        version: &ModuleVersion,
        operation: Operation,
        now: u64,
    ) -> Result<Arc<Transfer>, Arc<Error>> {
        let (name, record) = (&version.config_name, &version.record);
        self.plan(&version.id, name, record, operation, now).await
    }

    /// The plan to read a provider package's bytes, or to make a link to them.
    ///
    /// # Errors
    /// [`Error`] of the storage plugin, or of the actor.
    pub async fn plan_package(
        &self,
        package: &Package,
        operation: Operation,
        now: u64,
    ) -> Result<Arc<Transfer>, Arc<Error>> {
        let (name, record) = (&package.config_name, &package.record);
        self.plan(&package.id, name, record, operation, now).await
    }

    async fn plan(
        &self,
        id: &ArtifactId,
        config_name: &ConfigName,
        record: &ArtifactRecord,
        operation: Operation,
        now: u64,
    ) -> Result<Arc<Transfer>, Arc<Error>> {
        // A plan belongs to a placement, not to bytes: two versions may have the same digest.
        let key = plan_key(record, operation);
        if let Some(plan) = self.plans.get(&key) {
            return Ok(plan);
        }
        let artifact = Artifact {
            id: id.clone(),
            config_name: config_name.clone(),
            file_name: record.file_name.clone(),
            media_type: record.media_type.clone(),
            size: record.size,
            sha256: record.sha256,
        };
        let message = PlanRead {
            key,
            record: record.clone(),
            artifact,
            operation,
            now,
        };
        let plan = self
            .mailbox
            .call(message, PLAN_DEADLINE)
            .await
            .map_err(Arc::new)??;
        if !matches!(*plan, Transfer::Signed(_)) {
            self.plans.insert(key, Arc::clone(&plan));
        }
        Ok(plan)
    }

    /// Forgets every plan: the storage plugins changed.
    pub fn forget_plans(&self) {
        self.plans.invalidate_all();
    }

    /// Refuses later calls and ends the actor. Reads of the catalog go on.
    pub fn stop(&self) {
        self.mailbox.close();
        self.mailbox.supervised().stop();
    }
}

/// What tells one operation on one placement from all others.
#[must_use]
pub fn plan_key(record: &ArtifactRecord, operation: Operation) -> Sha256 {
    let mut input = opendepot_domain::canonical::Canonical::new("plan");
    input
        .field(record.plugin.as_str())
        .field(&record.store)
        .field(&record.key)
        .field(&record.sha256.to_string())
        .field(&format!("{operation:?}"));
    Sha256::of(input.as_bytes())
}
