//! The most memory that a process has while something is measured.

use super::subject::memory_mib;
use anyhow::{Result, anyhow};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

/// Between two looks.
pub(super) const SAMPLE: Duration = Duration::from_millis(20);

/// Looks at a process's own memory until told to stop.
pub(super) struct Sampler {
    ends: Arc<AtomicBool>,
    thread: thread::JoinHandle<f64>,
}

impl Sampler {
    pub(super) fn start(pid: u32) -> Self {
        let ends = Arc::new(AtomicBool::new(false));
        let told = Arc::clone(&ends);
        let thread = thread::spawn(move || {
            let mut peak = f64::NAN;
            while !told.load(Ordering::Relaxed) {
                // A process that has ended is noticed by whoever waits for it.
                peak = peak.max(memory_mib(pid, "RssAnon").unwrap_or(f64::NAN));
                thread::sleep(SAMPLE);
            }
            peak
        });
        Self { ends, thread }
    }

    /// The peak in MiB.
    pub(super) fn stop(self) -> Result<f64> {
        self.ends.store(true, Ordering::Relaxed);
        self.thread
            .join()
            .map_err(|_| anyhow!("the memory sampler failed"))
    }
}
