//! The server of a demo: started, waited for, stopped.

use super::stage::Stage;
use crate::http;
use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process};
use std::fs;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const READY_WITHIN: Duration = Duration::from_secs(60);
const PUBLISHED_WITHIN: Duration = Duration::from_secs(180);
const STOPPED_WITHIN: Duration = Duration::from_secs(60);
const POLL: Duration = Duration::from_millis(100);

/// A running server; killed when dropped.
pub(super) struct Server {
    child: Child,
    log: PathBuf,
}

impl Server {
    /// Starts the binary on a stage. It gets a process group of its own, so that Ctrl-C reaches
    /// this program alone, which then ends it properly.
    pub(super) fn start(binary: &Path, stage: &Stage) -> Result<Self> {
        let log = fs::File::create(stage.log())?;
        let child = Command::new(binary)
            .args(["serve", "--dev-tls"])
            .args(["--listen", &stage.address().to_string()])
            .args(["--admin-listen", &stage.admin_address().to_string()])
            .arg("--data-dir")
            .arg(stage.data())
            .arg("--manifests")
            .arg(stage.manifests())
            .env_remove("KUBECONFIG")
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .process_group(0)
            .spawn()
            .with_context(|| format!("cannot start `{}`", binary.display()))?;
        Ok(Self {
            child,
            log: stage.log(),
        })
    }

    /// Waits until it is ready and everything on the stage is published.
    pub(super) async fn wait_published(&mut self, stage: &Stage) -> Result<()> {
        let plain = http::client(None)?;
        let ready = format!("http://{}/readyz?verbose", stage.admin_address());
        self.poll(READY_WITHIN, "ready", async || {
            let answer = plain.get(&ready).send().await?;
            let status = answer.status();
            if !status.is_success() {
                bail!("{status}: {}", answer.text().await?);
            }
            Ok(())
        })
        .await?;
        let client = http::client(Some(&stage.ca()))?;
        for (path, pointer, count) in stage.lists() {
            let url = format!("https://{}{path}", stage.address());
            self.poll(PUBLISHED_WITHIN, path, async || {
                let text = client.get(&url).send().await?.text().await?;
                let json: serde_json::Value =
                    serde_json::from_str(&text).with_context(|| text.clone())?;
                match json.pointer(pointer).and_then(|list| list.as_array()) {
                    Some(list) if list.len() >= count => Ok(()),
                    _ => bail!("{text}"),
                }
            })
            .await?;
        }
        Ok(())
    }

    async fn poll(
        &mut self,
        within: Duration,
        what: &str,
        mut probe: impl AsyncFnMut() -> Result<()>,
    ) -> Result<()> {
        let start = Instant::now();
        loop {
            let Err(last) = probe().await else {
                return Ok(());
            };
            self.expect_running()?;
            if start.elapsed() > within {
                return Err(last.context(format!("waited {within:?} for {what}; last answer")));
            }
            tokio::time::sleep(POLL).await;
        }
    }

    fn expect_running(&mut self) -> Result<()> {
        match self.child.try_wait()? {
            Some(status) => bail!("the server ended: {status}"),
            None => Ok(()),
        }
    }

    /// Waits for its end, which is an error.
    pub(super) async fn wait_ended(&mut self) -> Result<()> {
        loop {
            self.expect_running()?;
            tokio::time::sleep(POLL).await;
        }
    }

    /// SIGTERM, then waits; an exit code other than 0 is an error.
    pub(super) async fn stop(&mut self) -> Result<()> {
        if self.child.try_wait()?.is_none() {
            let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw);
            kill_process(pid.context("the server has no process id")?, Signal::TERM)?;
        }
        let start = Instant::now();
        loop {
            match self.child.try_wait()? {
                Some(status) if status.success() => return Ok(()),
                Some(status) => bail!("the server ended with {status}"),
                None if start.elapsed() > STOPPED_WITHIN => {
                    bail!("the server still ran {STOPPED_WITHIN:?} after SIGTERM")
                }
                None => tokio::time::sleep(POLL).await,
            }
        }
    }

    /// Prints the last lines that it wrote.
    pub(super) fn print_log(&self) {
        let text = fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        let from = lines.len().saturating_sub(40);
        eprintln!(
            "last lines of the server:\n{}",
            lines.get(from..).unwrap_or_default().join("\n")
        );
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // An error means that it has ended already.
        let _ended = self.child.kill();
        let _reaped = self.child.wait();
    }
}
