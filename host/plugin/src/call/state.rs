//! What one call has used of its budgets.

use super::{HostFunctions, Identity};
use crate::engine::{MAX_MEMORIES, MAX_TABLES};
use crate::limits::Limits;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
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
}

/// What the caller learns about a call after its store is gone.
#[derive(Debug, Default)]
pub(crate) struct Meter {
    is_memory_refused: AtomicBool,
}

impl Meter {
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
    meter: Arc<Meter>,
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
