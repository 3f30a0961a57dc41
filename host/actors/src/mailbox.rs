//! The bound that actix's mailbox does not give: permits that cover queued *and* running calls
//! (actors.md, *Our bound*).

use crate::Error;
use crate::supervisor::Supervised;
use actix::dev::ToEnvelope;
use actix::{Actor, Handler, Message};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::Semaphore;

/// Calls one supervised actor, at most so many at a time.
pub(crate) struct Mailbox<A: Actor> {
    supervised: Supervised<A>,
    permits: Arc<Semaphore>,
    num_permits: usize,
    handled: metrics::Histogram,
}

impl<A: Actor> Clone for Mailbox<A> {
    fn clone(&self) -> Self {
        Self {
            supervised: self.supervised.clone(),
            permits: Arc::clone(&self.permits),
            num_permits: self.num_permits,
            handled: self.handled.clone(),
        }
    }
}

impl<A: Actor> Mailbox<A> {
    pub(crate) fn new(supervised: Supervised<A>, num_permits: usize) -> Self {
        let actor = supervised.name();
        Self {
            permits: Arc::new(Semaphore::new(num_permits)),
            num_permits,
            handled: metrics::histogram!("opendepot_actor_handle_duration_seconds", "actor" => actor),
            supervised,
        }
    }

    pub(crate) const fn supervised(&self) -> &Supervised<A> {
        &self.supervised
    }

    /// Calls in flight or queued.
    pub(crate) fn depth(&self) -> usize {
        self.num_permits
            .saturating_sub(self.permits.available_permits())
    }

    /// Sends and waits for the reply: [`Error::Busy`] at once when no permit is free,
    /// [`Error::Unavailable`] when the actor is down or dropped the reply, or at the deadline.
    pub(crate) async fn call<M>(&self, message: M, deadline: Duration) -> Result<M::Result, Error>
    where
        M: Message + Send + 'static,
        M::Result: Send,
        A: Handler<M>,
        A::Context: ToEnvelope<A, M>,
    {
        let actor = self.supervised.name();
        let Ok(permit) = Arc::clone(&self.permits).try_acquire_owned() else {
            metrics::counter!("opendepot_actor_mailbox_dropped_total", "actor" => actor)
                .increment(1);
            return Err(Error::Busy { actor });
        };
        let address = self
            .supervised
            .address
            .load_full()
            .ok_or(Error::Unavailable { actor })?;
        let started = Instant::now();
        let reply = tokio::time::timeout(deadline, address.send(message)).await;
        self.handled.record(started.elapsed().as_secs_f64());
        drop(permit);
        match reply {
            Ok(Ok(reply)) => Ok(reply),
            Ok(Err(_)) | Err(_) => Err(Error::Unavailable { actor }),
        }
    }

    /// Refuses every later call; those in flight end on their own.
    pub(crate) fn close(&self) {
        self.permits.close();
    }
}

#[cfg(test)]
#[path = "mailbox_tests.rs"]
mod tests;
