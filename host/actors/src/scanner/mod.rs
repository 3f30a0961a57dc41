//! The scanner actor: the single scan slot. The scanner itself comes later (roadmap 5); until
//! then every request is answered with an error, which nobody may read as clean.

use crate::Error;
use crate::mailbox::Mailbox;
use crate::supervisor::{ExitGuard, Health, RestartBudget, supervise};
use actix::{Actor, Context, Handler, Message, ResponseFuture};
use actix_rt::ArbiterHandle;
use opendepot_domain::scan::Report;
use opendepot_scanning::{ScanRequest, Scanner};
use std::time::Duration;

/// One scan at a time runs; a few may wait (a scan needs about 2 GiB).
const NUM_PERMITS: usize = 8;

/// What a scan came to.
pub type ScanOutcome = Result<Report, opendepot_scanning::Error>;

/// Look at a file; its guard is held by the caller until the reply.
struct ScanArtifact(ScanRequest);

impl Message for ScanArtifact {
    type Result = ScanOutcome;
}

struct ScannerActor {
    scanner: Scanner,
    _exit: ExitGuard,
}

impl Actor for ScannerActor {
    type Context = Context<Self>;
}

impl Handler<ScanArtifact> for ScannerActor {
    type Result = ResponseFuture<ScanOutcome>;

    fn handle(&mut self, message: ScanArtifact, _: &mut Self::Context) -> Self::Result {
        let scanner = self.scanner.clone();
        Box::pin(async move { scanner.scan(message.0).await })
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
        let supervised = supervise("scanner", arbiter, RestartBudget::default(), |exit| {
            ScannerActor {
                scanner: Scanner::disabled(),
                _exit: exit,
            }
        });
        Self {
            mailbox: Mailbox::new(supervised, NUM_PERMITS),
        }
    }

    /// Scans a file.
    ///
    /// # Errors
    /// [`Error::Busy`] when enough is waiting for the slot.
    pub async fn scan(&self, request: ScanRequest) -> Result<ScanOutcome, Error> {
        self.mailbox
            .call(ScanArtifact(request), Duration::from_secs(15 * 60))
            .await
    }

    /// Calls queued or running.
    #[must_use]
    pub fn depth(&self) -> usize {
        self.mailbox.depth()
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
