//! The scanner actor: the single scan slot. The scanner itself comes later (roadmap 5); until
//! then every request is answered [`ScanOutcome::NotConfigured`], which policy must not read as
//! clean.

use crate::Error;
use crate::mailbox::Mailbox;
use crate::supervisor::{ExitGuard, Health, RestartBudget, supervise};
use actix::{Actor, Context, Handler, Message};
use actix_rt::ArbiterHandle;
use std::path::PathBuf;
use std::time::Duration;

/// One scan at a time runs; a few may wait (a scan needs about 2 GiB).
const NUM_PERMITS: usize = 8;

/// What a scan came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ScanOutcome {
    /// No scanner is configured: nothing was looked at.
    NotConfigured,
}

struct ScanArtifact {
    /// The file to look at; its guard is held by the caller until the reply.
    file: PathBuf,
}

impl Message for ScanArtifact {
    type Result = ScanOutcome;
}

struct ScannerActor {
    _exit: ExitGuard,
}

impl Actor for ScannerActor {
    type Context = Context<Self>;
}

impl Handler<ScanArtifact> for ScannerActor {
    type Result = actix::MessageResult<ScanArtifact>;

    fn handle(&mut self, message: ScanArtifact, _: &mut Self::Context) -> Self::Result {
        tracing::debug!(file = %message.file.display(), "no scanner is configured");
        actix::MessageResult(ScanOutcome::NotConfigured)
    }
}

/// The scanner: one slot.
#[derive(Clone)]
pub struct ScannerHandle {
    mailbox: Mailbox<ScannerActor>,
}

impl ScannerHandle {
    /// Starts the actor on its arbiter.
    #[must_use]
    pub fn start(arbiter: ArbiterHandle) -> Self {
        let supervised = supervise("scanner", arbiter, RestartBudget::default(), |exit| ScannerActor { _exit: exit });
        Self { mailbox: Mailbox::new(supervised, NUM_PERMITS) }
    }

    /// Scans a file.
    ///
    /// # Errors
    /// [`Error::Busy`] when enough is waiting for the slot.
    pub async fn scan(&self, file: PathBuf) -> Result<ScanOutcome, Error> {
        self.mailbox.call(ScanArtifact { file }, Duration::from_secs(15 * 60)).await
    }

    /// How the actor fares.
    #[must_use]
    pub fn health(&self) -> Health {
        self.mailbox.supervised().health()
    }

    /// Ends the actor.
    pub fn stop(&self) {
        self.mailbox.close();
        self.mailbox.supervised().stop();
    }
}
