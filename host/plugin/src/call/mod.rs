//! One call into a guest: a fresh instance, bounded in time and space, then thrown away.
//!
//! What bounds it: a permit for a pool slot, waited for at most `wait_timeout`; guest time in
//! epochs of 5 ms; a wall-clock deadline that also ends calls stuck in a host function; memory,
//! tables, host calls, resources and bytes across the boundary.
//!
//! What may surprise: a call starts on the thread of its caller, which is cheapest for a decision
//! of microseconds. A call that is still running after one to two epochs, or that waits for a
//! host function, moves to a few threads of low priority, so that loopers cannot hold the
//! threads that serve; the next calls of such a plugin begin there (`pace`).

mod imports;
mod pace;
mod slow_lane;
pub(crate) mod state;

pub(crate) use imports::header;
pub(crate) use pace::{Lane, Pace};
pub(crate) use slow_lane::SlowLane;
pub(crate) use state::{CallState, Meter, Stop};

use crate::breaker::{Breaker, Change};
use crate::compile::Compiler;
use crate::denial::Denials;
use crate::egress::HttpSender;
use crate::engine::TICK;
use crate::error::{Fault, TrapClass};
use crate::grants::Grants;
use crate::limits::Limits;
use crate::metric::{self, Usage};
use opendepot_domain::PluginId;
use opendepot_domain::seam::BoxFuture;
use std::future::poll_fn;
use std::path::PathBuf;
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use wasmtime::{Engine, Store, Trap, UpdateDeadline};

/// The exported functions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Function {
    Validate,
    Prepare,
    Authorize,
    Process,
    Locate,
    Plan,
}

impl Function {
    pub(crate) const ALL: [Self; 6] = [
        Self::Validate,
        Self::Prepare,
        Self::Authorize,
        Self::Process,
        Self::Locate,
        Self::Plan,
    ];

    pub(crate) const fn label(self) -> &'static str {
        match self {
            Self::Validate => "validate",
            Self::Prepare => "prepare",
            Self::Authorize => "authorize",
            Self::Process => "process",
            Self::Locate => "locate",
            Self::Plan => "plan",
        }
    }

    /// Guest time, and what waiting for the host may add to it.
    pub(crate) const fn timeouts(self, limits: &Limits) -> (Duration, Duration) {
        match self {
            Self::Validate | Self::Prepare => (limits.prepare_timeout, Duration::ZERO),
            Self::Authorize => (limits.auth_timeout, Duration::ZERO),
            Self::Process => (limits.scan_timeout, Duration::ZERO),
            Self::Locate | Self::Plan => (limits.storage_timeout, limits.host_io_timeout),
        }
    }

    /// Whether it is called for requests, and not when something was configured.
    const fn is_frequent(self) -> bool {
        !matches!(self, Self::Validate | Self::Prepare)
    }

    pub(crate) const fn hostcall_bytes(self, limits: &Limits) -> usize {
        match self {
            Self::Authorize => limits.auth_hostcall_bytes,
            Self::Validate | Self::Prepare | Self::Process | Self::Locate | Self::Plan => {
                limits.hostcall_bytes
            }
        }
    }
}

/// Who is called: what its host functions and metrics need.
pub(crate) struct Identity {
    pub(crate) id: PluginId,
    /// The name, for metric labels.
    pub(crate) name: Arc<str>,
    /// The component's digest in hex.
    pub(crate) digest: String,
    pub(crate) grants: Grants,
    /// Bounds the calls of this plugin alone.
    pub(crate) permits: Arc<Semaphore>,
    pub(crate) breaker: Breaker,
    pub(crate) usage: Usage,
    pub(crate) denials: Denials,
    pub(crate) pace: Pace,
}

impl Identity {
    /// Notes how a call ended, and says so when that changes whether the plugin is called.
    pub(crate) fn note(&self, fault: Option<&Fault>) {
        let change = match fault {
            None => self.breaker.answered(),
            Some(fault) if fault.is_of_guest() => self.breaker.failed(Instant::now()),
            Some(_) => Change::Nothing,
        };
        let (name, digest) = (&*self.name, self.digest.as_str());
        match (change, fault) {
            (Change::Opened, Some(fault)) => {
                metric::breaker(&self.name, true);
                tracing::error!(
                    plugin.name = name,
                    plugin.digest = digest,
                    "plugin `{name}` failed too often in a row and is not called for a while: {fault}"
                );
            }
            (Change::Closed, _) => {
                metric::breaker(&self.name, false);
                tracing::info!(
                    plugin.name = name,
                    plugin.digest = digest,
                    "plugin `{name}` answers again"
                );
            }
            _ => {}
        }
    }
}

/// What all calls share.
pub(crate) struct Caller {
    pub(crate) engine: Engine,
    pub(crate) compiler: Arc<Compiler>,
    pub(crate) limits: Arc<Limits>,
    pub(crate) permits: Arc<Semaphore>,
    pub(crate) slow_lane: SlowLane,
    pub(crate) host: Arc<HostFunctions>,
}

/// What host functions need and guests never see.
pub(crate) struct HostFunctions {
    pub(crate) http: Option<Arc<dyn HttpSender>>,
    pub(crate) secrets_dir: Option<PathBuf>,
    /// Where host functions do their I/O: the runtime that serves, not the slow lane.
    pub(crate) io: tokio::runtime::Handle,
}

impl Caller {
    /// Runs one call. `run` instantiates and calls; it owns all that it needs, so that the call
    /// can move to another thread.
    pub(crate) async fn call<T, F>(
        &self,
        plugin: &Arc<Identity>,
        function: Function,
        run: F,
    ) -> Result<T, Fault>
    where
        T: Send + 'static,
        F: FnOnce(Store<CallState>) -> BoxFuture<'static, wasmtime::Result<T>> + Send,
    {
        let started = Instant::now();
        // Loading and new bindings are tried always: they are how a plugin gets well.
        let is_guarded = !matches!(function, Function::Validate | Function::Prepare);
        let admitted = match is_guarded {
            true => plugin.breaker.admit(started).map_err(Fault::Open),
            false => Ok(()),
        };
        let outcome = match admitted {
            Ok(()) => {
                let meter = Arc::new(Meter::default());
                self.attempt(plugin, function, meter, run).await
            }
            Err(open) => Err(open),
        };
        if is_guarded {
            plugin.note(outcome.as_ref().err());
        }
        metric::called(
            &plugin.name,
            &plugin.usage,
            function,
            started.elapsed(),
            outcome.as_ref().err(),
        );
        outcome
    }

    /// As [`Self::call`], whatever the breaker says and without telling it.
    pub(crate) async fn attempt<T, F>(
        &self,
        plugin: &Arc<Identity>,
        function: Function,
        meter: Arc<Meter>,
        run: F,
    ) -> Result<T, Fault>
    where
        T: Send + 'static,
        F: FnOnce(Store<CallState>) -> BoxFuture<'static, wasmtime::Result<T>> + Send,
    {
        let permits = self.admit(plugin).await?;
        let (guest_time, host_time) = function.timeouts(&self.limits);
        let deadline = Instant::now() + guest_time + host_time;
        let store = self.store(plugin, function, deadline, guest_time, &meter, permits);
        let mut future = run(store);
        let lane = plugin.pace.lane(Instant::now());
        let first = match lane {
            // The first epochs run here, without a timer or a change of thread.
            Lane::Quick | Lane::Trial => {
                poll_fn(|context| Poll::Ready(future.as_mut().poll(context))).await
            }
            Lane::Slow | Lane::Last => Poll::Pending,
        };
        let result = match first {
            Poll::Ready(result) => {
                if lane == Lane::Trial {
                    plugin.pace.is_quick_again();
                }
                result
            }
            Poll::Pending => {
                let is_first_slice = matches!(lane, Lane::Quick | Lane::Trial);
                if is_first_slice && function.is_frequent() {
                    plugin.pace.was_slow(Instant::now());
                }
                self.slow_lane.finish(lane, future, deadline).await?
            }
        };
        result.map_err(|error| {
            let fault = self.classify(&error, &meter);
            let is_late = matches!(
                fault,
                Fault::Trap {
                    class: TrapClass::Deadline,
                    ..
                }
            );
            if is_late && function.is_frequent() {
                plugin.pace.ran_out(Instant::now());
            }
            fault
        })
    }

    /// Waits for a slot: first one of the plugin's share, then one of all.
    async fn admit(
        &self,
        plugin: &Identity,
    ) -> Result<(OwnedSemaphorePermit, OwnedSemaphorePermit), Fault> {
        let (own, all) = (&plugin.permits, &self.permits);
        if let Ok(own) = Arc::clone(own).try_acquire_owned()
            && let Ok(all) = Arc::clone(all).try_acquire_owned()
        {
            return Ok((own, all));
        }
        let busy = Fault::Busy(self.limits.wait_timeout);
        let wait = async {
            let own = Arc::clone(own).acquire_owned().await.ok()?;
            let all = Arc::clone(all).acquire_owned().await.ok()?;
            Some((own, all))
        };
        match tokio::time::timeout(self.limits.wait_timeout, wait).await {
            Ok(Some(permits)) => Ok(permits),
            Ok(None) | Err(_) => Err(busy),
        }
    }

    fn store(
        &self,
        plugin: &Arc<Identity>,
        function: Function,
        deadline: Instant,
        guest_time: Duration,
        meter: &Arc<Meter>,
        permits: (OwnedSemaphorePermit, OwnedSemaphorePermit),
    ) -> Store<CallState> {
        // One more, because the epoch in progress has partly passed.
        let ticks = u64::try_from(guest_time.as_millis() / TICK.as_millis())
            .unwrap_or(u64::MAX)
            .saturating_add(1);
        let state = CallState::new(
            Arc::clone(plugin),
            Arc::clone(&self.host),
            &self.limits,
            Arc::clone(meter),
            (deadline, ticks),
            permits,
        );
        let mut store = Store::new(&self.engine, state);
        store.limiter(|state| state);
        store.set_hostcall_fuel(function.hostcall_bytes(&self.limits));
        // Two epochs for the first slice, so that a short call that meets a tick is not moved.
        const FIRST_SLICE: u64 = 2;
        store.set_epoch_deadline(FIRST_SLICE);
        let mut slice = FIRST_SLICE;
        store.epoch_deadline_callback(move |mut context| {
            let state = context.data_mut();
            let is_over = state.spend_ticks(slice);
            slice = 1;
            if is_over {
                return Err(Stop::Deadline.into());
            }
            Ok(UpdateDeadline::YieldCustom(
                slice,
                Box::pin(tokio::task::yield_now()),
            ))
        });
        store
    }

    fn classify(&self, error: &wasmtime::Error, meter: &Meter) -> Fault {
        if error.is::<wasmtime::PoolConcurrencyLimitError>() {
            return Fault::Busy(self.limits.wait_timeout);
        }
        Fault::Trap {
            class: class_of(error, meter),
            message: crate::text::shown(&error.root_cause().to_string()),
        }
    }
}

fn class_of(error: &wasmtime::Error, meter: &Meter) -> TrapClass {
    if let Some(stop) = error.downcast_ref::<Stop>() {
        return match stop {
            Stop::Deadline => TrapClass::Deadline,
            Stop::HostCalls | Stop::Resources | Stop::Answer(_) => TrapClass::Fuel,
            Stop::Handle => TrapClass::Abi,
        };
    }
    if let Some(trap) = error.downcast_ref::<Trap>() {
        return match trap {
            Trap::Interrupt => TrapClass::Deadline,
            Trap::StackOverflow => TrapClass::Stack,
            Trap::AllocationTooLarge => TrapClass::Memory,
            Trap::OutOfFuel => TrapClass::Fuel,
            Trap::InvalidChar
            | Trap::StringOutOfBounds
            | Trap::ListOutOfBounds
            | Trap::InvalidDiscriminant
            | Trap::UnalignedPointer
            | Trap::CannotEnterComponent
            | Trap::CannotLeaveComponent => TrapClass::Abi,
            // A guest that was refused memory usually ends in its own `unreachable`.
            _ if meter.is_memory_refused() => TrapClass::Memory,
            _ => TrapClass::Guest,
        };
    }
    if meter.is_memory_refused() {
        return TrapClass::Memory;
    }
    // The engine's type for this is private.
    if error
        .root_cause()
        .to_string()
        .contains("fuel allocated for hostcalls")
    {
        return TrapClass::Fuel;
    }
    TrapClass::Abi
}
