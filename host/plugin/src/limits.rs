//! What one guest and all guests together may use.

use std::time::Duration;

/// The limits of reliability.md 2, row *Plugins*. `Default` gives the documented figures.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Largest component file, in bytes.
    pub component_bytes: u64,
    /// Linear memory of one call, all memories together, in bytes.
    pub memory_bytes: usize,
    /// Elements of one table.
    pub num_table_elements: usize,
    /// Core instances in one component.
    pub num_core_instances: u32,
    /// Stack of the wasm code, in bytes.
    pub wasm_stack_bytes: usize,
    /// Host functions that one call may call.
    pub num_host_calls: u32,
    /// Host resources that one call may hold.
    pub num_resources: usize,
    /// Log text of one call, in bytes; the rest is dropped.
    pub log_bytes: usize,
    /// Bytes that one auth call may hand to the host.
    pub auth_hostcall_bytes: usize,
    /// Bytes that one call of another world may hand to the host.
    pub hostcall_bytes: usize,
    /// Wall-clock limit of `authorize`.
    pub auth_timeout: Duration,
    /// Wall-clock limit of `process`.
    pub scan_timeout: Duration,
    /// Guest time of one storage call.
    pub storage_timeout: Duration,
    /// What host functions may add to a storage call.
    pub host_io_timeout: Duration,
    /// Wall-clock limit of `prepare` and of `validate` while loading.
    pub prepare_timeout: Duration,
    /// Calls in flight over all plugins; one plugin gets a quarter of it.
    pub num_instances: u32,
    /// How long a call waits for a free instance before it is `Busy`.
    pub wait_timeout: Duration,
    /// Faults in a row after which a plugin is not called for a while.
    pub breaker_faults: u32,
    /// How long that is.
    pub breaker_pause: Duration,
    /// Targets in one `authorize` call; a longer list is several calls.
    pub num_targets: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            component_bytes: 32 << 20,
            memory_bytes: 64 << 20,
            num_table_elements: 60_000,
            num_core_instances: 64,
            wasm_stack_bytes: 512 << 10,
            num_host_calls: 1_000,
            num_resources: 256,
            log_bytes: 16 << 10,
            auth_hostcall_bytes: 1 << 20,
            hostcall_bytes: 8 << 20,
            auth_timeout: Duration::from_millis(50),
            scan_timeout: Duration::from_secs(2),
            storage_timeout: Duration::from_secs(30),
            host_io_timeout: Duration::from_secs(30),
            prepare_timeout: Duration::from_secs(2),
            num_instances: 32,
            wait_timeout: Duration::from_millis(50),
            breaker_faults: 10,
            breaker_pause: Duration::from_secs(5),
            num_targets: 10_000,
        }
    }
}

impl Limits {
    /// Calls in flight of one plugin: a stuck one must not starve the others (I7).
    pub(crate) const fn num_instances_of_one(&self) -> usize {
        let quarter = self.num_instances as usize / 4;
        if quarter == 0 { 1 } else { quarter }
    }
}
