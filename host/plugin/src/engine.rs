//! The wasm engine: pooled where the address space allows it, interrupted by epochs.

use crate::error::Error;
use crate::limits::Limits;
use crate::metric;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use wasmtime::{Config, Enabled, Engine, InstanceAllocationStrategy, PoolingAllocationConfig};

/// The time between two epochs.
pub(crate) const TICK: Duration = Duration::from_millis(5);
/// Memories in one component; toolchains of today make one.
pub(crate) const MAX_MEMORIES: u32 = 2;
/// Tables in one component; Python's linker makes three.
pub(crate) const MAX_TABLES: u32 = 8;
/// Slots above the number of permits, for instances that are being torn down.
const SLACK: u32 = 4;
/// Host functions run on the guest's stack, above the wasm limit.
const HOST_STACK_BYTES: usize = 512 << 10;
/// Bytes of a used memory that are zeroed in place rather than given back to the kernel.
const KEEP_RESIDENT_BYTES: usize = 128 << 10;

/// What compiled code depends on: two engines of one shape, version and CPU run each other's code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Shape {
    reservation: Reservation,
    memory_bytes: usize,
    wasm_stack_bytes: usize,
}

/// Address space of one memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Reservation {
    /// Pooled, four GiB a memory: no bounds checks in guest code.
    Guarded,
    /// Pooled, only what a memory may grow to: guest code checks bounds.
    Tight,
    /// Mapped by each call.
    Mapped,
}

/// Builds the engine. The pooling allocator reserves address space up front; where that fails
/// (a low `ulimit -v`, a small machine) first a smaller reservation is tried, then none.
pub(crate) fn build(limits: &Limits) -> Result<(Engine, Shape), Error> {
    let shape = |reservation| Shape {
        reservation,
        memory_bytes: limits.memory_bytes,
        wasm_stack_bytes: limits.wasm_stack_bytes,
    };
    let mut reasons = Vec::new();
    for reservation in [Reservation::Guarded, Reservation::Tight] {
        let shape = shape(reservation);
        let mut config = shape.config();
        config.allocation_strategy(InstanceAllocationStrategy::Pooling(pool(limits)));
        match Engine::new(&config) {
            Ok(engine) => return Ok((engine, shape)),
            Err(error) => reasons.push(format!("{reservation:?}: {error:#}")),
        }
    }
    tracing::warn!(
        "cannot reserve address space for pooled plugin instances, each call maps its own: {}",
        reasons.join("; ")
    );
    let shape = shape(Reservation::Mapped);
    let engine = shape.engine().map_err(Error::Engine)?;
    Ok((engine, shape))
}

impl Shape {
    /// An engine that reserves nothing: for compiling, and where nothing can be reserved.
    pub(crate) fn engine(&self) -> Result<Engine, String> {
        Engine::new(&self.config()).map_err(|error| format!("{error:#}"))
    }

    fn config(&self) -> Config {
        let mut config = Config::new();
        config
            .epoch_interruption(true)
            .max_wasm_stack(self.wasm_stack_bytes)
            .async_stack_size(self.wasm_stack_bytes + HOST_STACK_BYTES)
            .wasm_component_model(true)
            .memory_init_cow(true);
        // A trap is classed, not shown: frames would only make it cost more. Replicas answer alike.
        config
            .wasm_backtrace_max_frames(None)
            .cranelift_nan_canonicalization(true)
            .relaxed_simd_deterministic(true);
        // What no guest of ours needs is attack surface only.
        config
            .wasm_memory64(false)
            .wasm_relaxed_simd(false)
            .wasm_tail_call(false)
            .wasm_wide_arithmetic(false);
        match self.reservation {
            Reservation::Guarded => {}
            Reservation::Tight => {
                config
                    .memory_reservation(self.memory_bytes as u64)
                    .memory_guard_size(64 << 10);
            }
            Reservation::Mapped => {
                config.memory_reservation(self.memory_bytes as u64);
            }
        }
        config
    }
}

fn pool(limits: &Limits) -> PoolingAllocationConfig {
    let slots = limits.num_instances.saturating_add(SLACK);
    let mut pool = PoolingAllocationConfig::new();
    pool.total_component_instances(slots)
        .total_core_instances(slots.saturating_mul(limits.num_core_instances))
        .total_memories(slots.saturating_mul(MAX_MEMORIES))
        .total_tables(slots.saturating_mul(MAX_TABLES))
        .total_stacks(slots)
        .max_core_instances_per_component(limits.num_core_instances)
        .max_memories_per_component(MAX_MEMORIES)
        .max_tables_per_component(MAX_TABLES)
        .max_memories_per_module(MAX_MEMORIES)
        .max_tables_per_module(MAX_TABLES)
        .max_memory_size(limits.memory_bytes)
        .table_elements(limits.num_table_elements)
        .linear_memory_keep_resident(KEEP_RESIDENT_BYTES)
        .table_keep_resident(KEEP_RESIDENT_BYTES)
        .async_stack_keep_resident(KEEP_RESIDENT_BYTES)
        // The kernel says which pages a call wrote: the others are neither zeroed nor given back, and
        // no page has to come in again for the next call.
        .pagemap_scan(Enabled::Auto);
    pool
}

/// When the epoch last advanced, for the liveness check.
#[derive(Clone, Debug)]
pub(crate) struct Ticker {
    started: Instant,
    last_tick_ms: Arc<AtomicU64>,
}

impl Ticker {
    /// Starts the thread that advances the epoch. It holds the engine weakly, so it ends with it.
    pub(crate) fn start(engine: &Engine) -> Result<Self, Error> {
        let ticker = Self {
            started: Instant::now(),
            last_tick_ms: Arc::new(AtomicU64::new(0)),
        };
        let (weak, own) = (engine.weak(), ticker.clone());
        let lag = metric::epoch_ticker_lag();
        std::thread::Builder::new()
            .name("epoch".to_owned())
            .spawn(move || {
                let mut previous = Instant::now();
                loop {
                    std::thread::sleep(TICK);
                    let Some(engine) = weak.upgrade() else { return };
                    engine.increment_epoch();
                    let now = Instant::now();
                    lag.set(
                        now.duration_since(previous)
                            .saturating_sub(TICK)
                            .as_secs_f64(),
                    );
                    own.last_tick_ms
                        .store(millis(now.duration_since(own.started)), Ordering::Relaxed);
                    previous = now;
                }
            })
            .map_err(|error| Error::Engine(format!("cannot start the epoch thread: {error}")))?;
        Ok(ticker)
    }

    pub(crate) fn age(&self) -> Duration {
        let last = Duration::from_millis(self.last_tick_ms.load(Ordering::Relaxed));
        self.started.elapsed().saturating_sub(last)
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
