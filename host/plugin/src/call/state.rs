//! What one call has used of its budgets.

use super::{HostFunctions, Identity};
use crate::engine::{MAX_MEMORIES, MAX_TABLES};
use crate::limits::Limits;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;
use tokio::sync::OwnedSemaphorePermit;
use wasmtime::ResourceLimiter;
use wasmtime::component::ResourceTable;

/// Why the host ended a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Stop {
    #[error("the deadline has passed")]
    Deadline,
    #[error("too many host calls")]
    HostCalls,
    #[error("too many resources")]
    Resources,
    #[error("unknown resource handle")]
    Handle,
    #[error("the answer is larger than {0} bytes")]
    Answer(usize),
}

/// What the caller learns about a call after its store is gone.
#[derive(Debug, Default)]
pub(crate) struct Meter {
    is_memory_refused: AtomicBool,
    memory_bytes: AtomicUsize,
    num_host_calls: AtomicU32,
    /// What the guest logs, for an author who calls one function.
    log: Option<Mutex<Vec<(&'static str, String)>>>,
}

impl Meter {
    /// One that keeps what the guest logs, too.
    pub(crate) fn with_log() -> Self {
        Self {
            log: Some(Mutex::default()),
            ..Self::default()
        }
    }

    pub(super) fn note_line(&self, level: &'static str, line: &str) {
        if let Some(log) = &self.log {
            let mut log = log.lock().unwrap_or_else(PoisonError::into_inner);
            log.push((level, line.to_owned()));
        }
    }

    /// Lines with their levels, taken out.
    pub(crate) fn take_log(&self) -> Vec<(&'static str, String)> {
        let taken = self.log.as_ref().map(|log| {
            let mut log = log.lock().unwrap_or_else(PoisonError::into_inner);
            std::mem::take(&mut *log)
        });
        taken.unwrap_or_default()
    }

    /// Linear memory that the call came to hold, in bytes; known when it is over.
    pub(crate) fn memory_bytes(&self) -> usize {
        self.memory_bytes.load(Ordering::Relaxed)
    }

    /// Host functions that the call called; known when it is over.
    pub(crate) fn num_host_calls(&self) -> u32 {
        self.num_host_calls.load(Ordering::Relaxed)
    }

    pub(crate) fn is_memory_refused(&self) -> bool {
        self.is_memory_refused.load(Ordering::Relaxed)
    }

    fn refuse_memory(&self) {
        self.is_memory_refused.store(true, Ordering::Relaxed);
    }
}

/// The data of a call's store.
pub(crate) struct CallState {
    pub(super) plugin: Arc<Identity>,
    pub(super) host: Arc<HostFunctions>,
    pub(super) resources: ResourceTable,
    pub(super) num_host_calls_left: u32,
    pub(super) log_bytes_left: usize,
    pub(super) deadline: Instant,
    ticks_left: u64,
    memory_bytes_left: usize,
    memory_bytes: usize,
    num_table_elements: usize,
    num_core_instances: u32,
    num_host_calls: u32,
    pub(super) meter: Arc<Meter>,
    /// Held as long as the instance lives.
    _permits: (OwnedSemaphorePermit, OwnedSemaphorePermit),
}

impl CallState {
    pub(super) fn new(
        plugin: Arc<Identity>,
        host: Arc<HostFunctions>,
        limits: &Limits,
        meter: Arc<Meter>,
        (deadline, ticks_left): (Instant, u64),
        permits: (OwnedSemaphorePermit, OwnedSemaphorePermit),
    ) -> Self {
        let mut resources = ResourceTable::new();
        resources.set_max_capacity(limits.num_resources);
        plugin.usage.instances.increment(1.0);
        Self {
            plugin,
            host,
            resources,
            num_host_calls_left: limits.num_host_calls,
            log_bytes_left: limits.log_bytes,
            deadline,
            ticks_left,
            memory_bytes_left: limits.memory_bytes,
            memory_bytes: 0,
            num_table_elements: limits.num_table_elements,
            num_core_instances: limits.num_core_instances,
            num_host_calls: limits.num_host_calls,
            meter,
            _permits: permits,
        }
    }

    /// Every host function spends one call, also when it then refuses.
    pub(super) fn spend_host_call(&mut self) -> Result<(), Stop> {
        self.num_host_calls_left = self
            .num_host_calls_left
            .checked_sub(1)
            .ok_or(Stop::HostCalls)?;
        Ok(())
    }

    /// Whether the guest's time is used up after these ticks.
    pub(super) fn spend_ticks(&mut self, ticks: u64) -> bool {
        self.ticks_left = self.ticks_left.saturating_sub(ticks);
        self.ticks_left == 0 || Instant::now() >= self.deadline
    }
}

impl Drop for CallState {
    fn drop(&mut self) {
        self.plugin.usage.instances.decrement(1.0);
        self.plugin
            .usage
            .memory_bytes
            .decrement(self.memory_bytes as f64);
        let (meter, bytes) = (&self.meter, self.memory_bytes);
        let used = self.num_host_calls - self.num_host_calls_left;
        meter.memory_bytes.store(bytes, Ordering::Relaxed);
        meter.num_host_calls.store(used, Ordering::Relaxed);
    }
}

impl ResourceLimiter for CallState {
    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let more = desired.saturating_sub(current);
        let Some(left) = self.memory_bytes_left.checked_sub(more) else {
            self.meter.refuse_memory();
            return Ok(false);
        };
        self.memory_bytes_left = left;
        self.memory_bytes += more;
        self.plugin.usage.memory_bytes.increment(more as f64);
        Ok(true)
    }

    fn table_growing(
        &mut self,
        _current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        if desired > self.num_table_elements {
            self.meter.refuse_memory();
            return Ok(false);
        }
        Ok(true)
    }

    fn instances(&self) -> usize {
        self.num_core_instances as usize
    }

    fn tables(&self) -> usize {
        MAX_TABLES as usize
    }

    fn memories(&self) -> usize {
        MAX_MEMORIES as usize
    }
}
