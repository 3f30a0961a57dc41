//! The process that compiles: bytes of a component in, code out, under limits that it sets itself
//! before it reads anything.

use super::{CompileConfig, check_format, precompile};
use crate::engine::Shape;
use crate::error::LoadError;
use rustix::process::{Resource, Rlimit};
use serde::{Deserialize, Serialize};
use std::io::{Read as _, Write as _};
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

/// The first argument of a worker; the second is the text that [`compile_worker`] gets.
pub const WORKER_COMMAND: &str = "compile-plugin";

/// Exit code of a worker whose component was refused; the reason is on standard error.
const EXIT_REFUSED: i32 = 3;
/// The most that is read of a reason, in bytes.
const MAX_REASON_BYTES: u64 = 4 << 10;
/// The most code that is read, in bytes: many times what the largest component compiles to.
const MAX_CODE_BYTES: u64 = 1 << 30;

/// As Linux counts processor time for programs, on every architecture.
const TICKS_PER_SECOND: u64 = 100;

/// What a worker is told.
#[derive(Serialize, Deserialize)]
struct Order {
    shape: Shape,
    memory_bytes: u64,
    cpu_seconds: u64,
    niceness: i32,
}

/// What an executable does when its first argument is [`WORKER_COMMAND`]: compiles the component
/// on standard input, writes the code to standard output, and returns its exit code.
///
/// `order` is the second argument. The process limits itself first, so it is good for nothing
/// else afterwards.
#[must_use]
pub fn compile_worker(order: &str) -> i32 {
    match work(order) {
        Ok(()) => 0,
        Err(reason) => {
            let _ = writeln!(std::io::stderr(), "{reason}");
            EXIT_REFUSED
        }
    }
}

fn work(order: &str) -> Result<(), String> {
    let order: Order = serde_json::from_str(order)
        .map_err(|error| format!("this command is for the host's own use: {error}"))?;
    limit(&order)?;
    let mut bytes = Vec::new();
    std::io::stdin()
        .read_to_end(&mut bytes)
        .map_err(|error| format!("cannot read the component: {error}"))?;
    check_format(&bytes)?;
    let code = precompile(&order.shape.engine()?, &bytes)?;
    std::io::stdout()
        .write_all(&code)
        .map_err(|error| format!("cannot write the code: {error}"))
}

fn limit(order: &Order) -> Result<(), String> {
    let cannot = |what: &str, error: rustix::io::Errno| format!("cannot limit {what}: {error}");
    let set = |resource, limit: u64| {
        let limit = Rlimit {
            current: Some(limit),
            maximum: Some(limit),
        };
        rustix::process::setrlimit(resource, limit)
    };
    set(Resource::As, order.memory_bytes).map_err(|e| cannot("memory", e))?;
    set(Resource::Cpu, order.cpu_seconds).map_err(|e| cannot("time", e))?;
    // It opens nothing and writes nothing but its answer.
    set(Resource::Fsize, 0).map_err(|e| cannot("files", e))?;
    set(Resource::Core, 0).map_err(|e| cannot("core files", e))?;
    rustix::process::nice(order.niceness).map_err(|e| cannot("priority", e))?;
    Ok(())
}

/// Compiles in a process of its own. Blocks until it ended, at most the timeout.
pub(super) fn run(
    executable: &Path,
    config: &CompileConfig,
    shape: Shape,
    bytes: &[u8],
) -> Result<Vec<u8>, LoadError> {
    let failed = LoadError::Compile;
    let order = Order {
        shape,
        memory_bytes: config.memory_bytes,
        // Of all its threads together; the wall clock is ours.
        cpu_seconds: config.timeout.as_secs().saturating_mul(2).max(1),
        niceness: config.niceness,
    };
    let order = serde_json::to_string(&order).map_err(|error| failed(error.to_string()))?;
    let mut child = Command::new(executable)
        .args([WORKER_COMMAND, &order])
        .env_clear()
        // One heap: its address space is what is limited.
        .env("MALLOC_ARENA_MAX", "1")
        .current_dir("/")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| failed(format!("cannot start the compiler: {error}")))?;
    let pipes = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    let (Some(mut stdin), Some(stdout), Some(stderr)) = pipes else {
        return Err(failed(
            "cannot start the compiler: it has no pipes".to_owned(),
        ));
    };
    let (sender, code) = mpsc::channel();
    let (outcome, status) = std::thread::scope(|scope| {
        scope.spawn(move || {
            // A worker that ended early says why by itself.
            let _ = stdin.write_all(bytes);
        });
        scope.spawn(move || {
            let mut code = Vec::new();
            let read = stdout.take(MAX_CODE_BYTES).read_to_end(&mut code);
            let mut reason = String::new();
            let _ = stderr.take(MAX_REASON_BYTES).read_to_string(&mut reason);
            let _ = sender.send((read.map(|_| code), reason));
        });
        let outcome = code.recv_timeout(config.timeout);
        let mut processor_time = None;
        if outcome.is_err() {
            processor_time = spent(child.id());
            // Ends the pipes, and with them the threads.
            let _ = child.kill();
        }
        (outcome.map_err(|_| processor_time), child.wait())
    });
    let (code, reason) = match outcome {
        Ok(ended) => ended,
        // It gives way to everything else, so a busy machine may not let it compile at all.
        Err(Some(spent)) if spent < config.timeout / 2 => {
            return Err(LoadError::Starved {
                timeout: config.timeout,
                spent,
            });
        }
        Err(_) => return Err(failed(too_long(config.timeout))),
    };
    let status = status.map_err(|error| failed(format!("cannot await the compiler: {error}")))?;
    let died = |how: String| {
        failed(format!(
            "the compiler died ({how}): the component needs more than the {} MiB that compiling may take, or broke it",
            config.memory_bytes >> 20
        ))
    };
    match (status.code(), status.signal()) {
        (Some(0), _) => {
            code.map_err(|error| failed(format!("cannot read the compiler's answer: {error}")))
        }
        (Some(EXIT_REFUSED), _) => Err(failed(crate::text::shown(reason.trim_end()))),
        (_, Some(signal)) if signal == libc_sigxcpu() => Err(failed(too_long(config.timeout))),
        (Some(code), _) => Err(died(format!("exit code {code}"))),
        (None, signal) => Err(died(format!("signal {}", signal.unwrap_or_default()))),
    }
}

/// The processor time of all threads of a process that still is there; Linux only.
fn spent(process: u32) -> Option<Duration> {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    // The name in parentheses may hold spaces; user and system time are 12 and 13 after it.
    let (_, rest) = stat.rsplit_once(')')?;
    let ticks = |n| rest.split_whitespace().nth(n)?.parse::<u64>().ok();
    let ticks = ticks(11)? + ticks(12)?;
    Some(Duration::from_millis(ticks * 1_000 / TICKS_PER_SECOND))
}

fn too_long(timeout: Duration) -> String {
    format!(
        "compiling it took longer than {} s and was stopped",
        timeout.as_secs()
    )
}

fn libc_sigxcpu() -> i32 {
    rustix::process::Signal::XCPU.as_raw()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn a_compiler_that_was_not_let_run_is_told_from_one_that_runs_on() {
        let dir = tempfile::tempdir().unwrap();
        let program = dir.path().join("compiler");
        std::fs::write(&program, "#!/bin/sh\nexec sleep 60\n").unwrap();
        std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
        let config = CompileConfig {
            timeout: Duration::from_secs(1),
            ..CompileConfig::default()
        };
        let (_, shape) = crate::engine::build(&crate::limits::Limits::default()).unwrap();
        let starved = run(&program, &config, shape, b"component").unwrap_err();
        assert!(matches!(starved, LoadError::Starved { .. }), "{starved}");
        assert!(starved.may_pass());

        let before = spent(std::process::id()).unwrap();
        let deadline = std::time::Instant::now() + Duration::from_secs(60);
        while spent(std::process::id()).unwrap() < before + Duration::from_millis(50) {
            assert!(std::time::Instant::now() < deadline);
        }
    }
}
