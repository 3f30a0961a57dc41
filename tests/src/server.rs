//! The binary under test: prepared, started, stopped, killed and started again.

use crate::fixture::NAMESPACE;
use crate::wait::{SOON, wait_until};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// The base of the module protocol.
pub const MODULES: &str = "/opendepot/modules/v1";
/// The base of the provider protocol.
pub const PROVIDERS: &str = "/opendepot/providers/v1";

/// A folder with manifests and data, and how to start a server on it.
pub struct Setup {
    dir: TempDir,
    port: u16,
    admin_port: u16,
    is_tls: bool,
    arguments: Vec<String>,
    environment: Vec<(String, String)>,
    launcher: Vec<String>,
}

impl Setup {
    /// Plain HTTP on loopback.
    pub fn plain() -> Self {
        crate::install_crypto();
        let dir = tempfile::Builder::new()
            .prefix("opendepot-")
            .tempdir()
            .unwrap();
        fs::create_dir(dir.path().join("manifests")).unwrap();
        Self {
            dir,
            port: free_port(),
            admin_port: free_port(),
            is_tls: false,
            arguments: Vec::new(),
            environment: Vec::new(),
            launcher: Vec::new(),
        }
    }

    /// TLS from a local development CA, which real clients need.
    pub fn tls() -> Self {
        let mut setup = Self::plain();
        setup.is_tls = true;
        setup
    }

    /// Adds command line arguments.
    #[must_use]
    pub fn args(mut self, arguments: &[&str]) -> Self {
        self.arguments
            .extend(arguments.iter().map(|a| (*a).to_owned()));
        self
    }

    /// Adds an environment variable.
    #[must_use]
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Starts the server by these words and its own command line behind them. What they start has
    /// to become the server (`exec`): signals go to it.
    #[must_use]
    pub fn launcher(mut self, words: &[&str]) -> Self {
        self.launcher = words.iter().map(|word| (*word).to_owned()).collect();
        self
    }

    /// Writes a configuration file and passes it.
    #[must_use]
    pub fn config(self, yaml: &str) -> Self {
        let path = self.dir.path().join("config.yaml");
        fs::write(&path, yaml).unwrap();
        self.args(&["--config", path.to_str().unwrap()])
    }

    /// The folder of this setup.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// The manifests folder.
    pub fn manifests(&self) -> PathBuf {
        self.dir.path().join("manifests")
    }

    /// The data dir; it exists once a server ran.
    pub fn data_dir(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    /// What the server printed so far, in every run of this setup.
    pub fn log(&self) -> String {
        fs::read_to_string(self.dir.path().join("log.txt")).unwrap_or_default()
    }

    /// The registry's address.
    pub fn address(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.port).into()
    }

    /// The admin address.
    pub fn admin_address(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.admin_port).into()
    }

    /// The command that `start` runs.
    pub fn command(&self) -> Command {
        let log = fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.dir.path().join("log.txt"))
            .unwrap();
        let mut command = match self.launcher.split_first() {
            None => Command::new(binary()),
            Some((first, rest)) => {
                let mut command = Command::new(first);
                command.args(rest).arg(binary());
                command
            }
        };
        command
            .arg("serve")
            .args(["--listen", &self.address().to_string()])
            .args(["--admin-listen", &self.admin_address().to_string()])
            .arg("--data-dir")
            .arg(self.data_dir())
            .arg("--manifests")
            .arg(self.manifests())
            .args(self.is_tls.then_some("--dev-tls"))
            .args(&self.arguments)
            .envs(self.environment.iter().cloned())
            .env("NO_COLOR", "1")
            .env_remove("KUBECONFIG")
            .env_remove("OPENDEPOT_BIN")
            .current_dir(self.dir.path())
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log);
        command
    }

    /// Starts the server and waits until it says that it is ready.
    pub async fn start(self) -> Registry {
        let registry = self.spawn();
        registry.wait_ready().await;
        registry
    }

    /// Starts the server without waiting for anything.
    pub fn spawn(self) -> Registry {
        let child = self.command().spawn().unwrap_or_else(|error| {
            panic!(
                "cannot start `{}`: {error}; run `cargo xtask test`",
                binary().display()
            )
        });
        Registry {
            child,
            http: std::sync::OnceLock::new(),
            setup: Some(self),
        }
    }
}

/// A running server; killed when dropped.
pub struct Registry {
    child: Child,
    http: std::sync::OnceLock<reqwest::Client>,
    setup: Option<Setup>,
}

impl Registry {
    /// What it was started from.
    pub fn setup(&self) -> &Setup {
        self.setup.as_ref().unwrap()
    }

    /// The process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// `http://127.0.0.1:port` or the same with https.
    pub fn base(&self) -> String {
        let scheme = if self.setup().is_tls { "https" } else { "http" };
        format!("{scheme}://{}", self.setup().address())
    }

    /// The development CA's certificate, which clients trust.
    pub fn ca(&self) -> PathBuf {
        self.setup().data_dir().join("tls/ca.pem")
    }

    /// Waits for 200 from `/readyz`.
    pub async fn wait_ready(&self) {
        let url = format!("http://{}/readyz?verbose", self.setup().admin_address());
        let http = reqwest::Client::builder().no_proxy().build().unwrap();
        wait_until("the server to be ready", SOON, || async {
            if let Some(status) = exited(self.child.id()) {
                panic!(
                    "the server ended while starting ({status}):\n{}",
                    self.setup().log()
                );
            }
            let answer = http.get(&url).send().await.map_err(|e| e.to_string())?;
            match answer.status().as_u16() {
                200 => Ok(()),
                code => Err(format!(
                    "{code} {}",
                    answer.text().await.unwrap_or_default()
                )),
            }
        })
        .await;
    }

    /// A client that trusts the development CA, follows no redirect and changes nothing.
    pub fn http(&self) -> reqwest::Client {
        let ca = || self.setup().is_tls.then(|| self.ca());
        self.http
            .get_or_init(|| client_builder(ca().as_deref()).build().unwrap())
            .clone()
    }

    /// A GET request to a path of this server.
    pub fn get(&self, path: &str) -> reqwest::RequestBuilder {
        self.request(reqwest::Method::GET, path)
    }

    /// A request to a path of this server.
    pub fn request(&self, method: reqwest::Method, path: &str) -> reqwest::RequestBuilder {
        self.http()
            .request(method, format!("{}{path}", self.base()))
    }

    /// The JSON that a path answers with 200.
    pub async fn json(&self, path: &str) -> Value {
        let answer = self.get(path).send().await.unwrap();
        let status = answer.status();
        let text = answer.text().await.unwrap();
        assert_eq!(status, 200, "GET {path}: {text}");
        serde_json::from_str(&text).unwrap_or_else(|e| panic!("GET {path}: {e}: {text}"))
    }

    /// The status of a GET.
    pub async fn status(&self, path: &str) -> u16 {
        self.get(path).send().await.unwrap().status().as_u16()
    }

    /// Waits until a module lists exactly these versions, in this order.
    pub async fn wait_module(&self, name: &str, versions: &[&str]) {
        let path = format!("{MODULES}/{NAMESPACE}/{name}/local/versions");
        self.wait_versions(&path, "/modules/0/versions", versions)
            .await;
    }

    /// Waits until a provider lists exactly these versions, in this order.
    pub async fn wait_provider(&self, name: &str, versions: &[&str]) {
        let path = format!("{PROVIDERS}/{NAMESPACE}/{name}/versions");
        self.wait_versions(&path, "/versions", versions).await;
    }

    async fn wait_versions(&self, path: &str, pointer: &str, expected: &[&str]) {
        let what = format!("{path} to list {expected:?}");
        wait_until(&what, SOON, || async {
            let answer = self.get(path).send().await.map_err(|e| e.to_string())?;
            let text = answer.text().await.map_err(|e| e.to_string())?;
            let json: Value = serde_json::from_str(&text).map_err(|_| text.clone())?;
            let listed: Option<Vec<&str>> = json.pointer(pointer).and_then(|list| {
                list.as_array()?
                    .iter()
                    .map(|v| v.get("version")?.as_str())
                    .collect()
            });
            if listed.as_deref() == Some(expected) {
                Ok(())
            } else {
                Err(text)
            }
        })
        .await;
    }

    /// Sends a signal.
    pub fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(i32::try_from(self.child.id()).unwrap()).unwrap();
        kill_process(pid, signal).unwrap();
    }

    /// Waits for the end of the process.
    pub async fn wait_exit(&mut self, within: Duration) -> ExitStatus {
        let start = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(
                start.elapsed() < within,
                "the server still runs after {within:?}"
            );
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// SIGTERM; returns how it ended and the setup, to be started again.
    pub async fn stop(mut self) -> (ExitStatus, Setup) {
        self.signal(Signal::TERM);
        let status = self.wait_exit(Duration::from_secs(60)).await;
        (status, self.setup.take().unwrap())
    }

    /// SIGKILL unless it has ended already; returns the setup, to be started again.
    pub async fn kill(mut self) -> Setup {
        // An error means that it has ended already.
        let _ended = self.child.kill();
        self.wait_exit(SOON).await;
        self.setup.take().unwrap()
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        // An error means that it has ended already.
        let _ended = self.child.kill();
        let _reaped = self.child.wait();
        if std::thread::panicking()
            && let Some(setup) = &self.setup
        {
            let log = setup.log();
            // The harness asks for version lists until they are as expected: not worth showing.
            let lines: Vec<&str> = log
                .lines()
                .filter(|line| !line.contains("/versions 200\""))
                .collect();
            let from = lines.len().saturating_sub(60);
            println!(
                "--- last lines of the server ---\n{}",
                lines[from..].join("\n")
            );
        }
    }
}

/// A builder for clients that trust `ca` only and use no proxy.
pub fn client_builder(ca: Option<&Path>) -> reqwest::ClientBuilder {
    crate::install_crypto();
    let mut builder = reqwest::Client::builder()
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .timeout(Duration::from_secs(60));
    if let Some(ca) = ca {
        let pem = fs::read(ca).unwrap_or_else(|e| panic!("cannot read `{}`: {e}", ca.display()));
        builder = builder.tls_certs_only([reqwest::Certificate::from_pem(&pem).unwrap()]);
    }
    builder
}

/// The binary under test: `OPENDEPOT_BIN`, else the release build of this workspace.
pub fn binary() -> PathBuf {
    match std::env::var_os("OPENDEPOT_BIN") {
        Some(path) => PathBuf::from(path),
        None => Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/release/opendepot"),
    }
}

/// How a process ended, when it has; `None` while it runs. Reads `/proc` so that the `Child`
/// need not be borrowed mutably; elsewhere it is found out by the deadline.
fn exited(pid: u32) -> Option<String> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let state = stat.rsplit_once(") ")?.1.chars().next()?;
    (state == 'Z').then(|| "see its output".to_owned())
}

/// A port below the range that outgoing connections use, so that none takes it before we do.
pub fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let start = u16::try_from(std::process::id() % 9_000).unwrap();
    for _ in 0..10_000 {
        let offset = start.wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed)) % 10_000;
        let port = 20_000 + offset;
        if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return port;
        }
    }
    panic!("no free port between 20000 and 30000");
}
