//! How much of everything an archive may have, and when to stop.

use crate::error::Error;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;

/// Bytes read, hashed or written between two looks at the deadline.
pub(crate) const CHUNK_BYTES: usize = 64 << 10;
/// What all names of one archive may take, counting [`NODE_BYTES`] for each: it bounds our own
/// memory, which neither the number of entries nor the length of one name does.
pub(crate) const NAMES_BYTES: usize = 24 << 20;
/// What one name costs besides its bytes.
pub(crate) const NODE_BYTES: usize = 128;

/// Limits on one archive (reliability.md 2, *Archives*).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The archive itself, in and out, in bytes.
    pub packed_bytes: u64,
    /// All content together, and the whole unpacked stream of a tar, in bytes.
    pub unpacked_bytes: u64,
    /// Entries, folders and headers that are not files included.
    pub entries: usize,
    /// One name, in bytes.
    pub name_bytes: usize,
    /// Segments of one name.
    pub depth: usize,
    /// Unpacked bytes for one packed byte.
    pub ratio: u64,
    /// Unpacked bytes below which the ratio does not matter.
    pub ratio_floor_bytes: u64,
    /// One call.
    pub inspect_time: Duration,
    /// The README text; what is longer is cut.
    pub readme_bytes: usize,
}

impl Limits {
    /// The defaults for modules: 256 MiB packed, 1 GiB unpacked.
    #[must_use]
    pub const fn module() -> Self {
        Self {
            packed_bytes: 256 * MIB,
            unpacked_bytes: GIB,
            entries: 50_000,
            name_bytes: 4096,
            depth: 64,
            ratio: 100,
            ratio_floor_bytes: 64 * MIB,
            inspect_time: Duration::from_secs(60),
            readme_bytes: 256 << 10,
        }
    }

    /// The defaults for provider packages: 2 GiB packed, 6 GiB unpacked.
    #[must_use]
    pub const fn provider() -> Self {
        Self {
            packed_bytes: 2 * GIB,
            unpacked_bytes: 6 * GIB,
            ..Self::module()
        }
    }

    /// Refuses `unpacked` bytes out of `packed` ones.
    pub(crate) const fn check_ratio(&self, unpacked: u64, packed: u64) -> Result<(), Error> {
        if unpacked > self.ratio_floor_bytes && unpacked > packed.saturating_mul(self.ratio) {
            return Err(Error::TooLarge {
                what: "the compression ratio",
                limit: self.ratio,
            });
        }
        Ok(())
    }
}

/// A flag that stops a running call from another thread, within one chunk of work.
#[derive(Clone, Debug, Default)]
pub struct Cancel(Arc<AtomicBool>);

impl Cancel {
    /// Asks every call that holds a clone to stop.
    pub fn cancel(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Whether [`Cancel::cancel`] was called.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// The deadline and the flag of one call.
pub(crate) struct Watch {
    deadline: Option<Instant>,
    allowed: Duration,
    cancel: Cancel,
}

impl Watch {
    pub(crate) fn start(limits: &Limits, cancel: &Cancel) -> Self {
        Self {
            deadline: Instant::now().checked_add(limits.inspect_time),
            allowed: limits.inspect_time,
            cancel: cancel.clone(),
        }
    }

    pub(crate) fn check(&self) -> Result<(), Error> {
        if self.cancel.is_cancelled() {
            return Err(Error::Cancelled);
        }
        if self.deadline.is_some_and(|at| Instant::now() > at) {
            return Err(Error::TimedOut {
                seconds: self.allowed.as_secs(),
            });
        }
        Ok(())
    }
}

/// The memory that names may take.
#[derive(Default)]
pub(crate) struct NameBudget {
    used: usize,
}

impl NameBudget {
    pub(crate) const fn spend(&mut self, name: &str) -> Result<(), Error> {
        self.used = self
            .used
            .saturating_add(NODE_BYTES)
            .saturating_add(name.len());
        if self.used > NAMES_BYTES {
            return Err(Error::TooLarge {
                what: "the total length of names",
                limit: NAMES_BYTES as u64,
            });
        }
        Ok(())
    }
}
