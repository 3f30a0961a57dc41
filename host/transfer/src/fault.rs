//! Numbered places at which a test kills the process (reliability.md R-01, C01).
//!
//! Without the cargo feature `fault-injection` a point is nothing. With it, points are counted
//! process-wide from 1; the environment variable `OPENDEPOT_FAULT_TRACE` names a file to which
//! each point's name is appended, and `OPENDEPOT_KILL_AT` the number of the point at which the
//! process kills itself with SIGKILL, so that no destructor and no flush runs.
//!
//! `OPENDEPOT_PANIC_DIR` names a folder in which a test asks for panics (C11): a point that finds
//! a file of its name there removes it and panics. [`panic_point`] is such a place without a
//! number, for steps that happen as often as they like.

/// Marks a step whose completion a crash test may be the last thing to see.
#[cfg(not(feature = "fault-injection"))]
#[inline(always)]
pub const fn point(_name: &'static str) {}

/// Marks a step whose completion a crash test may be the last thing to see.
#[cfg(feature = "fault-injection")]
pub fn point(name: &'static str) {
    injected::point(name);
    injected::panic_point(name);
}

/// Marks a place at which a test may ask for a panic.
#[cfg(not(feature = "fault-injection"))]
#[inline(always)]
pub const fn panic_point(_name: &'static str) {}

/// Marks a place at which a test may ask for a panic.
#[cfg(feature = "fault-injection")]
pub fn panic_point(name: &'static str) {
    injected::panic_point(name);
}

/// A pause that is too long to be waited for at every point of a crash matrix.
#[cfg(not(feature = "fault-injection"))]
#[must_use]
pub const fn pause(pause: std::time::Duration) -> std::time::Duration {
    pause
}

/// A pause that is too long to be waited for at every point of a crash matrix.
#[cfg(feature = "fault-injection")]
#[must_use]
pub fn pause(pause: std::time::Duration) -> std::time::Duration {
    pause.min(std::time::Duration::from_millis(300))
}

#[cfg(feature = "fault-injection")]
mod injected {
    use std::fs::OpenOptions;
    use std::io::Write as _;
    use std::path::PathBuf;
    use std::sync::OnceLock;
    use std::sync::atomic::{AtomicU64, Ordering};

    struct Plan {
        kill_at: Option<u64>,
        trace: Option<PathBuf>,
        panics: Option<PathBuf>,
    }

    static PLAN: OnceLock<Plan> = OnceLock::new();
    static COUNT: AtomicU64 = AtomicU64::new(0);

    fn plan() -> &'static Plan {
        PLAN.get_or_init(|| Plan {
            kill_at: std::env::var("OPENDEPOT_KILL_AT").ok().and_then(|text| {
                text.parse()
                    .inspect_err(|_| {
                        tracing::error!("cannot use OPENDEPOT_KILL_AT `{text}`: not a number");
                    })
                    .ok()
            }),
            trace: std::env::var_os("OPENDEPOT_FAULT_TRACE").map(PathBuf::from),
            panics: std::env::var_os("OPENDEPOT_PANIC_DIR").map(PathBuf::from),
        })
    }

    pub(super) fn point(name: &'static str) {
        let plan = plan();
        let number = COUNT.fetch_add(1, Ordering::SeqCst) + 1;
        if let Some(path) = &plan.trace {
            // One write each, so that concurrent lines do not mix.
            let written = OpenOptions::new()
                .create(true)
                .append(true)
                .open(path)
                .and_then(|mut file| file.write_all(format!("{name}\n").as_bytes()));
            if let Err(error) = written {
                tracing::error!("cannot write the fault trace: {error}");
            }
        }
        if plan.kill_at == Some(number) {
            let killed = rustix::process::kill_process(
                rustix::process::getpid(),
                rustix::process::Signal::KILL,
            );
            if let Err(error) = killed {
                tracing::error!("cannot kill this process at `{name}`: {error}");
            }
        }
    }

    #[expect(clippy::panic, reason = "what a test asks for")]
    pub(super) fn panic_point(name: &'static str) {
        let Some(folder) = &plan().panics else {
            return;
        };
        if std::fs::remove_file(folder.join(name)).is_ok() {
            panic!("a test asked for a panic at `{name}`");
        }
    }
}
