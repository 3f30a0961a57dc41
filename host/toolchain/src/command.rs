//! Runs programs with a clean environment, a deadline and bounded output.

use crate::error::Error;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

/// How much of a program's output is kept; the rest is read and dropped.
const MAX_OUTPUT_BYTES: u64 = 64 << 20;

/// How much of it an error quotes, in characters.
const QUOTED_CHARS: usize = 800;

/// How often a running program is looked at.
const POLL: Duration = Duration::from_millis(20);

/// How long a program that was told to end may take, and its output to arrive after its end.
const GRACE: Duration = Duration::from_secs(10);

/// Variables that cargo or rustup set for the programs they run, or people for their own builds.
const FOREIGN: [&str; 16] = [
    "CARGO",
    "RUSTC",
    "RUSTC_WRAPPER",
    "RUSTC_WORKSPACE_WRAPPER",
    "RUSTC_LINKER",
    "RUSTC_BOOTSTRAP",
    "RUSTDOC",
    "RUSTFLAGS",
    "RUSTDOCFLAGS",
    "RUSTUP_TOOLCHAIN",
    "RUST_RECURSION_COUNT",
    "OUT_DIR",
    "LD_LIBRARY_PATH",
    "DYLD_LIBRARY_PATH",
    "DYLD_FALLBACK_LIBRARY_PATH",
    "MAKEFLAGS",
];

/// Variables of cargo that say how to reach the network and where its home is.
const KEPT_CARGO: [&str; 6] = [
    "CARGO_HOME",
    "CARGO_HTTP_",
    "CARGO_NET_",
    "CARGO_REGISTRY_",
    "CARGO_REGISTRIES_",
    "CARGO_TERM_",
];

/// A command without what an outer cargo or a person's own build left in the environment.
pub(crate) fn clean(program: &Path) -> Command {
    let mut command = Command::new(program);
    for (name, _) in std::env::vars_os() {
        if name.to_str().is_some_and(is_foreign) {
            command.env_remove(&name);
        }
    }
    command
}

fn is_foreign(name: &str) -> bool {
    FOREIGN.contains(&name)
        || name.starts_with("CARGO_") && !KEPT_CARGO.iter().any(|kept| name.starts_with(kept))
}

/// The file on the PATH that a program of this name is.
pub(crate) fn on_path(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    let mut files = std::env::split_paths(&path).map(|folder| folder.join(program));
    files.find(|file| file.is_file())
}

/// What becomes of a program's standard error.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stderr {
    /// The person at the terminal sees it as it comes.
    Shown,
    /// It is kept, and quoted when the program fails.
    Kept,
}

/// Runs a command to its end and returns what it wrote to standard output.
pub(crate) fn run(
    command: &mut Command,
    timeout: Duration,
    stderr: Stderr,
) -> Result<Vec<u8>, Error> {
    let line = command_line(command);
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(match stderr {
            Stderr::Shown => Stdio::inherit(),
            Stderr::Kept => Stdio::piped(),
        })
        .spawn()
        .map_err(|source| Error::Start {
            command: line.clone(),
            source,
        })?;
    let out = child.stdout.take().map(collect);
    let err = child.stderr.take().map(collect);
    let Some(status) = wait(&mut child, timeout) else {
        end(&mut child);
        return Err(Error::Timeout {
            command: line,
            seconds: timeout.as_secs(),
        });
    };
    // A grandchild may hold the pipe open longer than the program lives.
    let receive =
        |pipe: Option<Receiver<Vec<u8>>>| pipe.and_then(|pipe| pipe.recv_timeout(GRACE).ok());
    let (out, err) = (receive(out).unwrap_or_default(), receive(err));
    if status.success() {
        return Ok(out);
    }
    Err(Error::Failed {
        command: line,
        status,
        output: err.map(|err| last_words(&err)).unwrap_or_default(),
    })
}

fn collect(pipe: impl Read + Send + 'static) -> Receiver<Vec<u8>> {
    let (sender, receiver) = channel();
    thread::spawn(move || {
        let mut kept = Vec::new();
        let mut pipe = pipe;
        // What was read before a failure is still worth quoting.
        let _ = pipe.by_ref().take(MAX_OUTPUT_BYTES).read_to_end(&mut kept);
        let _ = std::io::copy(&mut pipe, &mut std::io::sink());
        let _ = sender.send(kept);
    });
    receiver
}

/// Waits until the program ends; `None` at the deadline.
fn wait(child: &mut Child, timeout: Duration) -> Option<ExitStatus> {
    let deadline = Instant::now() + timeout;
    loop {
        match child.try_wait() {
            Ok(Some(status)) => return Some(status),
            Ok(None) if Instant::now() < deadline => thread::sleep(POLL),
            Ok(None) | Err(_) => return None,
        }
    }
}

/// Asks the program to end, so that a package manager can leave its database whole, then ends it.
fn end(child: &mut Child) {
    let pid = i32::try_from(child.id())
        .ok()
        .and_then(rustix::process::Pid::from_raw);
    if let Some(pid) = pid {
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
    }
    if wait(child, GRACE).is_none() {
        let _ = child.kill();
        let _ = child.wait();
    }
}

fn command_line(command: &Command) -> String {
    std::iter::once(command.get_program())
        .chain(command.get_args())
        .map(|part| part.to_string_lossy())
        .collect::<Vec<_>>()
        .join(" ")
}

fn last_words(output: &[u8]) -> String {
    let text = String::from_utf8_lossy(output);
    let text = text.trim();
    let skipped = text.chars().count().saturating_sub(QUOTED_CHARS);
    text.chars().skip(skipped).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Command {
        let mut command = clean(Path::new("sh"));
        command.args(["-c", script]);
        command
    }

    #[test]
    fn output_is_returned_and_failures_quote_standard_error() {
        let second = Duration::from_secs(30);
        let out = run(&mut shell("echo out; echo err >&2"), second, Stderr::Kept);
        assert_eq!(out.unwrap(), b"out\n");
        let error = run(&mut shell("echo why >&2; exit 3"), second, Stderr::Kept).unwrap_err();
        assert!(
            error.to_string().ends_with("exit status: 3: why"),
            "{error}"
        );
    }

    #[test]
    fn a_program_that_hangs_is_ended() {
        let started = Instant::now();
        let result = run(
            &mut shell("exec sleep 600"),
            Duration::from_millis(50),
            Stderr::Kept,
        );
        assert!(matches!(result, Err(Error::Timeout { .. })), "{result:?}");
        assert!(started.elapsed() < Duration::from_secs(60));
    }

    #[test]
    fn a_missing_program_is_named() {
        let result = run(
            &mut clean(Path::new("/nonexistent/program")),
            Duration::from_secs(1),
            Stderr::Kept,
        );
        let error = result.unwrap_err().to_string();
        assert!(
            error.starts_with("cannot start `/nonexistent/program`"),
            "{error}"
        );
    }

    #[test]
    fn an_outer_cargo_leaves_no_trace_but_the_network_settings() {
        for name in [
            "CARGO",
            "CARGO_ENCODED_RUSTFLAGS",
            "CARGO_TARGET_DIR",
            "CARGO_BUILD_TARGET",
            "CARGO_MANIFEST_DIR",
            "CARGO_PROFILE_RELEASE_LTO",
            "RUSTFLAGS",
            "RUSTUP_TOOLCHAIN",
            "RUSTC_WRAPPER",
        ] {
            assert!(is_foreign(name), "{name}");
        }
        for name in [
            "CARGO_HOME",
            "CARGO_HTTP_PROXY",
            "CARGO_NET_OFFLINE",
            "CARGO_REGISTRIES_X_TOKEN",
            "PATH",
            "HOME",
            "RUSTUP_HOME",
        ] {
            assert!(!is_foreign(name), "{name}");
        }
    }
}
