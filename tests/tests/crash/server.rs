//! The binary with fault injection: started on a folder, asked, stopped.

use opendepot_tests::Setup;
use reqwest::StatusCode;
use reqwest::header::HeaderMap;
use rustix::process::{Pid, Signal, kill_process};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::time::{Duration, Instant};

/// The command that builds the binary, and runs these tests.
pub(crate) const BUILD: &str = "cargo xtask test --only crash";

const POLL: Duration = Duration::from_millis(10);
/// A registry that cannot be heard for so long, hangs.
const REQUEST: Duration = Duration::from_secs(10);

/// The binary under test.
pub(crate) fn binary() -> PathBuf {
    let path = match std::env::var_os("OPENDEPOT_FAULT_BIN") {
        Some(path) => PathBuf::from(path),
        None => Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/fault-injection/opendepot"),
    };
    assert!(
        path.is_file(),
        "there is no `{}`; build it with `{BUILD}`",
        path.display()
    );
    path
}

/// A running server; killed when dropped.
pub(crate) struct Server {
    child: Child,
    http: reqwest::Client,
    base: String,
    admin: String,
}

/// An answer, whole.
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
}

/// What the harness would start, but with this binary.
fn command(setup: &Setup) -> Command {
    let template = setup.command();
    let log = fs::OpenOptions::new()
        .create(true)
        .append(true)
        .open(setup.dir().join("log.txt"))
        .unwrap();
    let mut command = Command::new(binary());
    command
        .args(template.get_args())
        .arg("--manifests-prune")
        .current_dir(setup.dir())
        .stdin(Stdio::null())
        .stdout(log.try_clone().unwrap())
        .stderr(log);
    for (name, value) in template.get_envs() {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    command
}

impl Server {
    /// Starts it without waiting for anything.
    pub(crate) fn spawn(setup: &Setup, environment: &[(&str, String)]) -> Self {
        let child = command(setup)
            .envs(environment.iter().map(|(name, value)| (name, value)))
            .spawn()
            .unwrap();
        Self {
            child,
            http: opendepot_tests::server::client_builder(None)
                .timeout(REQUEST)
                .build()
                .unwrap(),
            base: format!("http://{}", setup.address()),
            admin: format!("http://{}", setup.admin_address()),
        }
    }

    /// How it ended, when it has.
    pub(crate) fn exited(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().unwrap()
    }

    /// Whether `/readyz` says 200.
    pub(crate) async fn is_ready(&self) -> bool {
        let answer = self.http.get(format!("{}/readyz", self.admin)).send().await;
        answer.is_ok_and(|answer| answer.status() == 200)
    }

    /// One GET of a path or a URL of this server.
    pub(crate) async fn get(&self, path: &str) -> Result<Answer, reqwest::Error> {
        let path = path.strip_prefix(&self.base).unwrap_or(path);
        let answer = self.http.get(format!("{}{path}", self.base)).send().await?;
        Ok(Answer {
            status: answer.status(),
            headers: answer.headers().clone(),
            body: answer.bytes().await?.to_vec(),
        })
    }

    /// The sum of a metric over its labels, or of those that begin with a name and labels.
    pub(crate) async fn metric(&self, name: &str) -> Option<f64> {
        let url = format!("{}/metrics", self.admin);
        let text = self
            .http
            .get(url)
            .send()
            .await
            .unwrap()
            .text()
            .await
            .unwrap();
        let values = text.lines().filter(|line| line.starts_with(name));
        let values = values.filter_map(|line| line.rsplit_once(' ')?.1.parse().ok());
        values.reduce(|sum: f64, value| sum + value)
    }

    /// Waits for its end; nothing when it still runs after `within`.
    pub(crate) async fn wait_exit(&mut self, within: Duration) -> Option<ExitStatus> {
        let start = Instant::now();
        loop {
            let status = self.exited();
            if status.is_some() || start.elapsed() > within {
                return status;
            }
            tokio::time::sleep(POLL).await;
        }
    }

    /// SIGTERM; how it ended.
    pub(crate) async fn stop(mut self) -> Option<ExitStatus> {
        let pid = Pid::from_raw(i32::try_from(self.child.id()).unwrap()).unwrap();
        kill_process(pid, Signal::TERM).unwrap();
        self.wait_exit(Duration::from_secs(60)).await
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // An error means that it has ended already.
        let _ended = self.child.kill();
        let _reaped = self.child.wait();
    }
}

/// `opendepot verify` on the data dir of a setup.
pub(crate) async fn verify(setup: &Setup) -> Output {
    let config = setup.dir().join("config.yaml");
    let config = config.to_str().filter(|_| config.is_file());
    let mut arguments = vec!["verify"];
    arguments.extend(config.iter().flat_map(|config| ["--config", config]));
    run(setup, &arguments).await
}

/// Runs a command of the binary on the data dir of a setup to its end.
pub(crate) async fn run(setup: &Setup, arguments: &[&str]) -> Output {
    let mut command = Command::new(binary());
    command
        .args(arguments)
        .arg("--data-dir")
        .arg(setup.data_dir())
        .stdin(Stdio::null());
    tokio::task::spawn_blocking(move || command.output().unwrap())
        .await
        .unwrap()
}
