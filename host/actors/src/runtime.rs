//! The arbiters: one thread an actor, all on the one shared tokio runtime (actors.md).

use actix_rt::{Arbiter, ArbiterHandle, System};
use std::future::Future;
use std::sync::Arc;
use tokio::runtime::Runtime;

/// Runs `main` on this thread, where [`Arbiters`] can be started; what it spawns lives on `runtime`.
///
/// For programs that do not name actix, such as the tests of crates that use handles.
pub fn block_on<T>(runtime: &Arc<Runtime>, main: impl Future<Output = T>) -> T {
    let runtime = Arc::clone(runtime);
    System::with_tokio_rt(move || runtime).block_on(main)
}

/// One arbiter an actor, so that a handler which blocks stalls no other.
pub struct Arbiters {
    registry: Arbiter,
    reconciler: Arbiter,
    scanner: Arbiter,
}

impl Arbiters {
    /// Starts the three threads. Must be called where an `actix` System runs.
    #[must_use]
    pub fn start(runtime: &Arc<Runtime>) -> Self {
        let arbiter = || {
            let runtime = Arc::clone(runtime);
            Arbiter::with_tokio_rt(move || runtime)
        };
        Self {
            registry: arbiter(),
            reconciler: arbiter(),
            scanner: arbiter(),
        }
    }

    /// Where the registry actor lives.
    #[must_use]
    pub fn registry(&self) -> ArbiterHandle {
        self.registry.handle()
    }

    /// Where the reconciler actor lives.
    #[must_use]
    pub fn reconciler(&self) -> ArbiterHandle {
        self.reconciler.handle()
    }

    /// Where the scanner actor lives.
    #[must_use]
    pub fn scanner(&self) -> ArbiterHandle {
        self.scanner.handle()
    }

    /// Stops the three threads.
    pub fn stop(&self) {
        self.registry.stop();
        self.reconciler.stop();
        self.scanner.stop();
    }
}
