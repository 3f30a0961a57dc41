//! Restarts actors: the panics that `actix::Supervisor` does not survive, with fresh state.
//!
//! What bounds it: [`RestartBudget`]: so many restarts, refilled after a healthy spell, a
//! back-off that grows and is capped. What may surprise: the address is published *before* the
//! child has run `started`, so calls queue rather than fail; between death and restart there is
//! no address and calls answer [`crate::Error::Unavailable`] at once.

use actix::{Actor, Addr, Context};
use actix_rt::ArbiterHandle;
use arc_swap::ArcSwapOption;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{oneshot, watch};
use tokio::time::Instant;

/// Held by the running actor; its drop, by stop, panic or a dead arbiter, tells the supervisor.
#[derive(Debug)]
pub struct ExitGuard {
    _exited: oneshot::Sender<()>,
}

/// How often an actor may be restarted.
#[derive(Clone, Copy, Debug)]
pub struct RestartBudget {
    /// Restarts in a row before the budget is spent.
    pub num_restarts: u32,
    /// The n-th restart waits n times this long.
    pub backoff: Duration,
    /// The longest wait.
    pub max_backoff: Duration,
    /// A child that lived this long refills the budget.
    pub healthy_after: Duration,
}

impl Default for RestartBudget {
    fn default() -> Self {
        Self {
            num_restarts: 10,
            backoff: Duration::from_millis(200),
            max_backoff: Duration::from_secs(10),
            healthy_after: Duration::from_secs(600),
        }
    }
}

/// What the supervisor knows of its child.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Health {
    /// Running; the number of restarts so far.
    Running(u32),
    /// Waiting to be restarted.
    BackingOff(u32),
    /// The budget is spent: an essential actor's process must end, another is degraded.
    GivenUp,
    /// Stopped on purpose.
    Stopped,
}

/// A supervised actor: where to reach it and how it fares.
pub struct Supervised<A: Actor> {
    pub(crate) address: Arc<ArcSwapOption<Addr<A>>>,
    health: watch::Receiver<Health>,
    stop: Arc<watch::Sender<bool>>,
    name: &'static str,
}

impl<A: Actor> Clone for Supervised<A> {
    fn clone(&self) -> Self {
        Self {
            address: Arc::clone(&self.address),
            health: self.health.clone(),
            stop: Arc::clone(&self.stop),
            name: self.name,
        }
    }
}

impl<A: Actor> Supervised<A> {
    /// The actor's name in logs and metrics.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        self.name
    }

    /// The latest health.
    #[must_use]
    pub fn health(&self) -> Health {
        *self.health.borrow()
    }

    /// A receiver of health changes.
    #[must_use]
    pub fn watch_health(&self) -> watch::Receiver<Health> {
        self.health.clone()
    }

    /// Ends the actor for good: its address is withdrawn and it is not restarted.
    pub fn stop(&self) {
        self.stop.send_replace(true);
    }
}

/// Starts an actor on `arbiter` and keeps it running.
///
/// `factory` makes a fresh actor each time; state that survives a restart lives outside it.
/// Must be called within a tokio runtime.
pub fn supervise<A, F>(
    name: &'static str,
    arbiter: ArbiterHandle,
    budget: RestartBudget,
    factory: F,
) -> Supervised<A>
where
    A: Actor<Context = Context<A>>,
    F: Fn(ExitGuard) -> A + Send + Sync + 'static,
{
    let address = Arc::new(ArcSwapOption::empty());
    let (health_sender, health) = watch::channel(Health::Running(0));
    let (stop_sender, mut stop) = watch::channel(false);
    let supervised = Supervised {
        address: Arc::clone(&address),
        health,
        stop: Arc::new(stop_sender),
        name,
    };

    let factory = Arc::new(factory);
    let start = move |address: &ArcSwapOption<Addr<A>>| {
        let (exit_sender, exited) = oneshot::channel();
        let guard = ExitGuard {
            _exited: exit_sender,
        };
        let factory = Arc::clone(&factory);
        let child = A::start_in_arbiter(&arbiter, move |_| factory(guard));
        address.store(Some(Arc::new(child)));
        exited
    };
    let mut exited = start(&address);
    let num_restarts = metrics::counter!("opendepot_actor_restarts_total", "actor" => name);

    tokio::spawn(async move {
        let mut restarts = 0_u32;
        let mut started_at = Instant::now();
        loop {
            tokio::select! {
                _ = &mut exited => {}
                _ = stop.wait_for(|stop| *stop) => {
                    address.store(None);
                    health_sender.send_replace(Health::Stopped);
                    return;
                }
            }
            address.store(None);
            if started_at.elapsed() >= budget.healthy_after {
                restarts = 0;
            }
            restarts += 1;
            if restarts > budget.num_restarts {
                tracing::error!(
                    actor = name,
                    restarts,
                    "actor `{name}` spent its restart budget"
                );
                health_sender.send_replace(Health::GivenUp);
                return;
            }
            num_restarts.increment(1);
            tracing::warn!(actor = name, restarts, "actor `{name}` ended, restarting");
            health_sender.send_replace(Health::BackingOff(restarts));
            let pause = budget
                .backoff
                .saturating_mul(restarts)
                .min(budget.max_backoff);
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                _ = stop.wait_for(|stop| *stop) => {
                    health_sender.send_replace(Health::Stopped);
                    return;
                }
            }
            exited = start(&address);
            started_at = Instant::now();
            health_sender.send_replace(Health::Running(restarts));
        }
    });
    supervised
}

#[cfg(test)]
#[path = "supervisor_tests.rs"]
mod tests;
