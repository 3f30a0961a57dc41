//! What controllers see of the reconciler actor.

use super::ReconcilerActor;
use super::failure::JobError;
use super::job::{Fetched, Origin, Workshop};
use super::messages::{CopyArtifact, EraseArtifact, FetchSource, StoreArtifact};
use crate::mailbox::Mailbox;
use crate::supervisor::{Health, RestartBudget, supervise};
use actix_rt::ArbiterHandle;
use opendepot_domain::{Artifact, ArtifactId, ArtifactRecord, PluginId};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;

/// How to build a [`ReconcilerHandle`].
pub struct ReconcilerOptions {
    /// Does the work.
    pub workshop: Workshop,
    /// Fetches at a time.
    pub num_fetches: usize,
    /// Uploads and deletions at a time.
    pub num_stores: usize,
}

/// Calls that may wait for the actor at once, queued jobs included.
const NUM_PERMITS: usize = 256;
/// The longest fetch (reliability.md section 2), with its inspection.
const FETCH_DEADLINE: Duration = Duration::from_secs(35 * 60);
/// Looks at stored bytes at a time.
const NUM_PROBES: usize = 4;
/// The storage read path's time (reliability.md section 2), and a turn's wait.
const PROBE_DEADLINE: Duration = Duration::from_secs(30);
/// The sync path's time on storage (reliability.md section 2).
const STORE_DEADLINE: Duration = Duration::from_secs(10 * 60);

/// The reconciler: heavy work under permits.
#[derive(Clone)]
pub struct ReconcilerHandle {
    mailbox: Mailbox<ReconcilerActor>,
    workshop: Arc<Workshop>,
    probes: Arc<Semaphore>,
}

impl ReconcilerHandle {
    /// Starts the actor on its arbiter.
    #[must_use]
    pub fn start(arbiter: ArbiterHandle, options: ReconcilerOptions) -> Self {
        let ReconcilerOptions {
            workshop,
            num_fetches,
            num_stores,
        } = options;
        let workshop = Arc::new(workshop);
        let shared = Arc::clone(&workshop);
        let supervised = supervise(
            "reconciler",
            arbiter,
            RestartBudget::default(),
            move |exit| ReconcilerActor::new(Arc::clone(&shared), num_fetches, num_stores, exit),
        );
        Self {
            mailbox: Mailbox::new(supervised, NUM_PERMITS),
            workshop,
            probes: Arc::new(Semaphore::new(NUM_PROBES)),
        }
    }

    /// Fetches and inspects a source; two requests for one source share one fetch.
    ///
    /// # Errors
    /// [`JobError`]; `Busy` means that this namespace has enough queued.
    pub async fn fetch(
        &self,
        id: &ArtifactId,
        origin: Origin,
    ) -> Result<Arc<Fetched>, Arc<JobError>> {
        self.call(
            FetchSource {
                id: id.clone(),
                origin,
            },
            FETCH_DEADLINE,
        )
        .await
    }

    /// Asks the storage plugin, once for a new placement, where the artifact is to live.
    ///
    /// # Errors
    /// [`JobError`] of the plugin or of its plan.
    pub async fn locate(
        &self,
        plugin: &PluginId,
        backend: Option<&str>,
        artifact: &Artifact,
    ) -> Result<ArtifactRecord, Arc<JobError>> {
        self.workshop
            .locate(plugin, backend, artifact)
            .await
            .map_err(Arc::new)
    }

    /// Uploads fetched bytes to `record`'s place, create-only, and verifies them.
    ///
    /// # Errors
    /// [`JobError`]; `Conflict` when other bytes are there.
    pub async fn store(
        &self,
        record: ArtifactRecord,
        artifact: Artifact,
        fetched: Arc<Fetched>,
    ) -> Result<(), Arc<JobError>> {
        self.call(
            StoreArtifact {
                record,
                artifact,
                fetched,
            },
            STORE_DEADLINE,
        )
        .await
    }

    /// Copies the bytes of `from` to the place `to`, create-only, verified on the way.
    ///
    /// # Errors
    /// [`JobError`]; `Conflict` when other bytes are there, `NotFound` and `Corrupt` when `from` is
    /// not what it should be.
    pub async fn copy(
        &self,
        from: ArtifactRecord,
        to: ArtifactRecord,
        artifact: Artifact,
    ) -> Result<(), Arc<JobError>> {
        self.call(CopyArtifact { from, to, artifact }, STORE_DEADLINE)
            .await
    }

    /// Removes what is at `record`'s place; nothing there is success.
    ///
    /// # Errors
    /// [`JobError`]: anything else is "not yet".
    pub async fn erase(
        &self,
        record: ArtifactRecord,
        artifact: Artifact,
    ) -> Result<(), Arc<JobError>> {
        self.call(EraseArtifact { record, artifact }, STORE_DEADLINE)
            .await
    }

    /// Whether the recorded bytes are there with the recorded size.
    ///
    /// # Errors
    /// [`JobError`] when the store does not answer.
    pub async fn probe(
        &self,
        record: ArtifactRecord,
        artifact: Artifact,
    ) -> Result<bool, Arc<JobError>> {
        // A look costs microseconds: it takes no turn of those who move bytes.
        let look = async {
            let _permit = self.probes.acquire().await;
            self.workshop.probe(&record, &artifact).await
        };
        let looked = tokio::time::timeout(PROBE_DEADLINE, look).await;
        looked
            .unwrap_or(Err(JobError::Actor(crate::Error::Unavailable {
                actor: "reconciler",
            })))
            .map_err(Arc::new)
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

    /// Refuses new work and ends the actor; temp files of jobs go with their guards.
    pub fn stop(&self) {
        self.mailbox.close();
        self.mailbox.supervised().stop();
    }

    async fn call<M, T>(&self, message: M, deadline: Duration) -> Result<T, Arc<JobError>>
    where
        M: actix::Message<Result = Result<T, Arc<JobError>>> + Send + 'static,
        T: Send + 'static,
        ReconcilerActor: actix::Handler<M>,
        actix::Context<ReconcilerActor>: actix::dev::ToEnvelope<ReconcilerActor, M>,
    {
        match self.mailbox.call(message, deadline).await {
            Ok(result) => result,
            Err(error) => Err(Arc::new(JobError::Actor(error))),
        }
    }
}
