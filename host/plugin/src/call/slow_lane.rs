//! Threads of low priority for calls that are not over at once.

use super::pace::Lane;
use super::state::Stop;
use crate::engine::TICK;
use crate::error::{Error, Fault};
use opendepot_domain::seam::BoxFuture;
use std::future::poll_fn;
use std::task::Poll;
use std::time::Instant;
use thread_priority::{
    NormalThreadSchedulePolicy, ThreadPriority, ThreadSchedulePolicy,
    set_thread_priority_and_policy, thread_native_id,
};
use tokio::runtime::{Builder, Runtime};
use tokio_util::task::AbortOnDropHandle;

/// As many as there are cores in the smallest supported machine.
const NUM_SLOW: usize = 2;
/// One fewer: with a core that is idle at times, the kernel has one to wake requests on.
const NUM_LAST: usize = 1;
/// Below what serves requests, above background work of the machine.
const NICENESS: i32 = 5;

pub(crate) struct SlowLane {
    /// For calls that may still be over in time.
    slow: Threads,
    /// For those of plugins that let deadlines pass. They run when nothing else does: a thread of
    /// any higher class would keep a request that arrives waiting for milliseconds.
    last: Threads,
}

impl SlowLane {
    pub(crate) fn start() -> Result<Self, Error> {
        // On Linux both are the thread's own. Without them, calls are only less well kept apart.
        Ok(Self {
            slow: Threads::start("guest", NUM_SLOW, || {
                let _ = rustix::process::setpriority_process(None, NICENESS);
            })?,
            last: Threads::start("guest-last", NUM_LAST, || {
                let _ = set_thread_priority_and_policy(
                    thread_native_id(),
                    ThreadPriority::Min,
                    ThreadSchedulePolicy::Normal(NormalThreadSchedulePolicy::Idle),
                );
            })?,
        })
    }

    /// Runs a started call to its end or its deadline. Dropping the returned future drops the
    /// call at its next yield.
    pub(crate) async fn finish<T: Send + 'static>(
        &self,
        lane: Lane,
        mut call: BoxFuture<'static, wasmtime::Result<T>>,
        deadline: Instant,
    ) -> Result<wasmtime::Result<T>, Fault> {
        let threads = match lane {
            Lane::Last => &self.last,
            Lane::Quick | Lane::Trial | Lane::Slow => &self.slow,
        };
        let runtime = threads.0.as_ref().ok_or(Fault::Abandoned)?;
        let bounded = async move {
            let mut sleep = std::pin::pin!(tokio::time::sleep_until(deadline.into()));
            poll_fn(|context| {
                // The clock first: a looper must not get another slice after its deadline, and
                // timers fire late on a thread full of loopers.
                if Instant::now() >= deadline || sleep.as_mut().poll(context).is_ready() {
                    return Poll::Ready(Err(Stop::Deadline.into()));
                }
                call.as_mut().poll(context)
            })
            .await
        };
        let task = AbortOnDropHandle::new(runtime.spawn(bounded));
        // Whoever waits has a clock of its own: those threads may get no time at all.
        match tokio::time::timeout_at((deadline + TICK).into(), task).await {
            Ok(ended) => ended.map_err(|_| Fault::Abandoned),
            Err(_) => Ok(Err(Stop::Deadline.into())),
        }
    }
}

/// `None` only while being dropped.
struct Threads(Option<Runtime>);

impl Threads {
    fn start(
        name: &str,
        num_threads: usize,
        lower: impl Fn() + Send + Sync + 'static,
    ) -> Result<Self, Error> {
        Builder::new_multi_thread()
            .worker_threads(num_threads)
            .thread_name(name)
            .enable_time()
            .on_thread_start(lower)
            .build()
            .map(|runtime| Self(Some(runtime)))
            .map_err(|error| Error::Engine(format!("cannot start the guest threads: {error}")))
    }
}

impl Drop for Threads {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}
