//! The server under measurement, with what it publishes.

use super::machine::{field, first_number};
use crate::http;
use crate::process::capture;
use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process};
use std::fs;
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Where everything that is measured is published.
pub(super) const NAMESPACE: &str = "bench";
const READY_WITHIN: Duration = Duration::from_secs(60);
const PUBLISHED_WITHIN: Duration = Duration::from_secs(600);
const STOPPED_WITHIN: Duration = Duration::from_secs(60);
const QUIET_WITHIN: Duration = Duration::from_secs(120);
/// Between two looks at something that takes seconds.
const LOOK: Duration = Duration::from_millis(100);
/// Between two looks at something whose duration is a figure.
pub(super) const LOOK_CLOSELY: Duration = Duration::from_millis(5);

/// A running OpenDepot; killed when dropped.
pub(super) struct Subject {
    child: Child,
    port: u16,
    admin: u16,
    log: PathBuf,
    data: PathBuf,
    ready_after: Duration,
}

/// Something with a version list.
#[derive(Clone, Copy, Debug)]
pub(super) enum Listed<'a> {
    /// A module of the system `local`.
    Module(&'a str),
    /// A provider.
    Provider(&'a str),
}

impl Listed<'_> {
    /// The path of its list.
    pub(super) fn path(self) -> String {
        match self {
            Self::Module(name) => {
                format!("/opendepot/modules/v1/{NAMESPACE}/{name}/local/versions")
            }
            Self::Provider(name) => format!("/opendepot/providers/v1/{NAMESPACE}/{name}/versions"),
        }
    }

    fn versions(self, json: &serde_json::Value) -> Option<&Vec<serde_json::Value>> {
        let list = match self {
            Self::Module(_) => json.pointer("/modules/0/versions"),
            Self::Provider(_) => json.pointer("/versions"),
        };
        list.and_then(serde_json::Value::as_array)
    }

    /// Whether an answer's list has this version.
    pub(super) fn has(self, json: &serde_json::Value, version: &str) -> bool {
        let is = |entry: &serde_json::Value| {
            entry.get("version").and_then(serde_json::Value::as_str) == Some(version)
        };
        self.versions(json).is_some_and(|list| list.iter().any(is))
    }
}

impl Subject {
    /// Starts the binary in `dir` on the manifests that are there, over plain HTTP, and waits
    /// until it is ready. With a configuration file, that is passed too.
    pub(super) async fn start(binary: &Path, dir: &Path, config: Option<&Path>) -> Result<Self> {
        let (port, admin) = (free_port()?, free_port()?);
        let (log, data) = (dir.join("opendepot.log"), dir.join("data"));
        let output = fs::File::create(&log)?;
        let client = http::client(None)?;
        let config = config.map(|file| [Path::new("--config"), file]);
        let mut command = Command::new(binary);
        command
            .args(["serve", "--listen", &format!("127.0.0.1:{port}")])
            .args(["--admin-listen", &format!("127.0.0.1:{admin}")])
            .arg("--data-dir")
            .arg(&data)
            .arg("--manifests")
            .arg(dir.join("manifests"))
            .args(config.into_iter().flatten())
            .env_remove("KUBECONFIG")
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output);
        let started = Instant::now();
        let child = command
            .spawn()
            .with_context(|| format!("cannot start `{}`", binary.display()))?;
        let mut subject = Self {
            child,
            port,
            admin,
            log,
            data,
            ready_after: Duration::ZERO,
        };
        let ready = subject.admin_url("/readyz");
        subject
            .poll(READY_WITHIN, LOOK_CLOSELY, async || {
                Ok(client.get(&ready).send().await?.status().is_success())
            })
            .await
            .context("the server did not become ready")?;
        subject.ready_after = started.elapsed();
        Ok(subject)
    }

    /// How long after its start it was ready.
    pub(super) fn ready_after(&self) -> Duration {
        self.ready_after
    }

    /// Waits until a list has this many versions; an empty token stands for none.
    pub(super) async fn wait_listed(
        &mut self,
        what: Listed<'_>,
        count: usize,
        token: &str,
    ) -> Result<()> {
        let client = http::client(None)?;
        let url = self.url(&what.path());
        self.poll(PUBLISHED_WITHIN, LOOK, async || {
            let mut request = client.get(&url);
            if !token.is_empty() {
                request = request.bearer_auth(token);
            }
            let json: serde_json::Value = request.send().await?.json().await?;
            Ok(what.versions(&json).is_some_and(|list| list.len() >= count))
        })
        .await
        .with_context(|| format!("{what:?} was not published"))
    }

    /// Waits until it uses next to no processor time: what it does after the start, such as
    /// looking at every resource once, is over.
    pub(super) async fn wait_quiet(&mut self) -> Result<()> {
        let start = Instant::now();
        let mut before = self.processor_ticks()?;
        loop {
            tokio::time::sleep(Duration::from_secs(1)).await;
            let now = self.processor_ticks()?;
            // 5 of the 100 ticks of a second.
            if now.saturating_sub(before) <= 5 {
                return Ok(());
            }
            if start.elapsed() > QUIET_WITHIN {
                bail!(
                    "the server is still busy after {} s",
                    QUIET_WITHIN.as_secs()
                );
            }
            before = now;
        }
    }

    /// Polls until the probe says yes, the server ends or time is up.
    pub(super) async fn poll(
        &mut self,
        within: Duration,
        every: Duration,
        mut probe: impl AsyncFnMut() -> Result<bool>,
    ) -> Result<()> {
        let start = Instant::now();
        loop {
            let last = match probe().await {
                Ok(true) => return Ok(()),
                Ok(false) => "not yet".to_owned(),
                Err(error) => format!("{error:#}"),
            };
            if self.child.try_wait()?.is_some() || start.elapsed() > within {
                let log = fs::read_to_string(&self.log).unwrap_or_default();
                let lines: Vec<&str> = log.lines().rev().take(20).collect();
                bail!(
                    "{last}; last lines of the server, newest first:\n{}",
                    lines.join("\n")
                );
            }
            tokio::time::sleep(every).await;
        }
    }

    /// Asks it to stop and waits until it has.
    pub(super) async fn stop(mut self) -> Result<()> {
        self.signal(Signal::TERM);
        let start = Instant::now();
        while self.child.try_wait()?.is_none() {
            if start.elapsed() > STOPPED_WITHIN {
                bail!("the server does not stop");
            }
            tokio::time::sleep(LOOK_CLOSELY).await;
        }
        Ok(())
    }

    /// Whether it answers that it lives.
    pub(super) async fn lives(&self) -> Result<bool> {
        let answer = http::client(None)?
            .get(self.admin_url("/livez"))
            .send()
            .await?;
        Ok(answer.status().is_success())
    }

    /// A URL of this server.
    pub(super) fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    /// What an address of the admin server says.
    pub(super) async fn admin(&self, path: &str) -> Result<serde_json::Value> {
        let answer = http::client(None)?.get(self.admin_url(path)).send().await?;
        Ok(answer.error_for_status()?.json().await?)
    }

    /// A URL of its admin server.
    pub(super) fn admin_url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.admin)
    }

    /// The port that it serves on.
    pub(super) fn port(&self) -> u16 {
        self.port
    }

    /// Its data directory.
    pub(super) fn data(&self) -> &Path {
        &self.data
    }

    /// Its process.
    pub(super) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The bytes at a path.
    pub(super) async fn get(&self, path: &str) -> Result<Vec<u8>> {
        let answer = http::client(None)?.get(self.url(path)).send().await?;
        Ok(answer.error_for_status()?.bytes().await?.to_vec())
    }

    /// Its own memory in MiB: resident, without mapped files.
    pub(super) fn memory_mib(&self) -> Result<f64> {
        memory_mib(self.pid(), "RssAnon")
    }

    /// All of its resident memory in MiB, the pages of its program included.
    pub(super) fn resident_mib(&self) -> Result<f64> {
        memory_mib(self.pid(), "VmRSS")
    }

    /// Bytes that it has read by system calls, from files and sockets.
    pub(super) fn bytes_read(&self) -> Result<u64> {
        let io = fs::read_to_string(format!("/proc/{}/io", self.pid()))?;
        Ok(first_number(field(&io, "rchar")))
    }

    /// Hundredths of a second of processor time that it has used.
    pub(super) fn processor_ticks(&self) -> Result<u64> {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.pid()))?;
        // The name in parentheses may hold spaces; user and system time are 12 and 13 after it.
        let (_, rest) = stat.rsplit_once(')').context("no name in /proc/PID/stat")?;
        let ticks = |n| rest.split_whitespace().nth(n).map_or(0, first_number);
        Ok(ticks(11) + ticks(12))
    }

    fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw);
        if let Some(pid) = pid {
            let _sent = kill_process(pid, signal);
        }
    }
}

impl Drop for Subject {
    fn drop(&mut self) {
        // Once it was waited for, its number may be another process's.
        if matches!(self.child.try_wait(), Ok(None)) {
            self.signal(Signal::KILL);
            let _reaped = self.child.wait();
        }
    }
}

/// One line of `/proc/PID/status`, in MiB.
pub(super) fn memory_mib(pid: u32, name: &str) -> Result<f64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))
        .context("cannot read /proc; memory is measured on Linux only")?;
    match first_number(field(&status, name)) {
        0 => bail!("no {name} in /proc/{pid}/status"),
        kib => Ok(kib as f64 / 1024.0),
    }
}

/// Makes a token whose holder may read everything, and the configuration file that says so, in
/// `dir`.
pub(super) fn write_token(binary: &Path, dir: &Path) -> Result<(String, PathBuf)> {
    let mut command = Command::new(binary);
    command
        .args([
            "token",
            "create",
            "--name",
            "bench",
            "--group",
            "readers",
            "--data-dir",
        ])
        .arg(dir.join("data"));
    let token = capture(&mut command)?.trim().to_owned();
    let file = dir.join("config.yaml");
    let tokens = dir.join("data/tokens.yaml");
    fs::write(
        &file,
        format!(
            "auth:\n  tokensFile: {}\nplugins:\n  - name: auth-groups\n    \
             source: {{ builtin: auth-groups }}\n    settings:\n      rules:\n        \
             - groups: [readers]\n          actions: [list-versions, read-package, download]\n          \
             namespaces: [\"*\"]\n          modules: [\"*\"]\n          providers: [\"*\"]\n",
            tokens.display()
        ),
    )?;
    Ok((token, file))
}

/// The path of a package document.
pub(super) fn package_path(name: &str, version: &str) -> String {
    format!("/opendepot/providers/v1/{NAMESPACE}/{name}/{version}/download/linux/amd64")
}

/// The path of a provider's bytes, which an anonymous reader may ask for.
pub(super) fn archive_path(name: &str, version: &str) -> String {
    format!("/opendepot/providers/v1/download/{NAMESPACE}/{name}/{version}?os=linux&arch=amd64")
}

/// A free port on loopback.
pub(super) fn free_port() -> Result<u16> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?
        .local_addr()?
        .port())
}
