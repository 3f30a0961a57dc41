//! Threads of low priority for calls that are not over at once.

use super::state::Stop;
use crate::error::{Error, Fault};
use opendepot_domain::seam::BoxFuture;
use std::future::poll_fn;
use std::task::Poll;
use std::time::Instant;
use tokio::runtime::{Builder, Runtime};
use tokio_util::task::AbortOnDropHandle;

/// As many as there are cores in the smallest supported machine.
const NUM_THREADS: usize = 2;
/// Below what serves requests, above background work of the machine.
const NICENESS: i32 = 5;

pub(crate) struct SlowLane {
    /// `None` only while being dropped.
    runtime: Option<Runtime>,
}

impl SlowLane {
    pub(crate) fn start() -> Result<Self, Error> {
        let runtime = Builder::new_multi_thread()
            .worker_threads(NUM_THREADS)
            .thread_name("guest")
            .enable_time()
            .on_thread_start(|| {
                // On Linux this is the thread's own priority. Without it, calls are only less
                // well kept apart.
                let _ = rustix::process::setpriority_process(None, NICENESS);
            })
            .build()
            .map_err(|error| Error::Engine(format!("cannot start the guest threads: {error}")))?;
        Ok(Self {
            runtime: Some(runtime),
        })
    }

    /// Runs a started call to its end or its deadline. Dropping the returned future drops the
    /// call at its next yield.
    pub(crate) async fn finish<T: Send + 'static>(
        &self,
        mut call: BoxFuture<'static, wasmtime::Result<T>>,
        deadline: Instant,
    ) -> Result<wasmtime::Result<T>, Fault> {
        let runtime = self.runtime.as_ref().ok_or(Fault::Abandoned)?;
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
        task.await.map_err(|_| Fault::Abandoned)
    }
}

impl Drop for SlowLane {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}
