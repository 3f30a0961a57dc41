//! A real control plane for the tests: etcd, kube-apiserver and the two controllers that complete
//! a deletion.
//!
//! What bounds it: loopback ports, one temporary folder, a deadline for each program to be ready.
//! All are killed and the folder is removed when the value goes, also after a failure.

use crate::tools::{self, Tool};
use crate::{http, process};
use anyhow::{Context, Result, anyhow, bail};
use std::fs;
use std::io::Read;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

const READY_WITHIN: Duration = Duration::from_secs(120);
const POLL: Duration = Duration::from_millis(200);

/// A running control plane; ended when dropped, the last started first.
pub(super) struct Cluster {
    programs: Vec<Program>,
    dir: TempDir,
}

impl Cluster {
    /// Starts it and waits until it is ready.
    pub(super) fn start() -> Result<Self> {
        let etcd = tools::require(Tool::Etcd)?;
        let apiserver = tools::require(Tool::KubeApiserver)?;
        let controllers = tools::require(Tool::KubeControllerManager)?;
        let dir = tempfile::Builder::new()
            .prefix("opendepot-cluster-")
            .tempdir()?;
        let mut cluster = Self {
            programs: Vec::new(),
            dir,
        };
        println!(
            "starting etcd {} and Kubernetes {} in {}",
            etcd.version,
            apiserver.version,
            cluster.dir.path().display()
        );
        let [clients, peers, server, health] = free_addresses()?;
        let store = cluster.start_etcd(&etcd.path, clients, peers)?;
        cluster.start_apiserver(&apiserver.path, server, &store)?;
        cluster.start_controllers(&controllers.path, health)?;
        Ok(cluster)
    }

    /// The file with which clients find it, as an administrator.
    pub(super) fn kubeconfig(&self) -> PathBuf {
        self.path("kubeconfig")
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Returns the address of the store.
    fn start_etcd(
        &mut self,
        program: &Path,
        clients: SocketAddr,
        peers: SocketAddr,
    ) -> Result<String> {
        let (clients, peers) = (format!("http://{clients}"), format!("http://{peers}"));
        let mut command = Command::new(program);
        command
            .args(["--name", "only", "--data-dir"])
            .arg(self.path("etcd"))
            .args(["--listen-client-urls", &clients])
            .args(["--advertise-client-urls", &clients])
            .args(["--listen-peer-urls", &peers])
            .args(["--initial-advertise-peer-urls", &peers])
            .args(["--initial-cluster", &format!("only={peers}")])
            // It is thrown away, so it need not reach the disk.
            .arg("--unsafe-no-fsync");
        self.run("etcd", &mut command, &format!("{clients}/health"), None)?;
        Ok(clients)
    }

    fn start_apiserver(&mut self, program: &Path, address: SocketAddr, store: &str) -> Result<()> {
        let key = rcgen::KeyPair::generate()?;
        fs::write(self.path("service-accounts.key"), key.serialize_pem())?;
        fs::write(self.path("service-accounts.pub"), key.public_key_pem())?;
        let token = token()?;
        fs::write(
            self.path("tokens.csv"),
            format!("{token},tester,tester,system:masters\n"),
        )?;
        let certificates = self.path("certificates");
        let mut command = Command::new(program);
        command
            .args(["--etcd-servers", store])
            .args(["--bind-address", &address.ip().to_string()])
            .args(["--secure-port", &address.port().to_string()])
            .arg("--cert-dir")
            .arg(&certificates)
            .arg("--token-auth-file")
            .arg(self.path("tokens.csv"))
            .args(["--authorization-mode", "Node,RBAC"])
            .args(["--service-cluster-ip-range", "10.96.0.0/16"])
            .args(["--service-account-issuer", "https://cluster.test"])
            .arg("--service-account-key-file")
            .arg(self.path("service-accounts.pub"))
            .arg("--service-account-signing-key-file")
            .arg(self.path("service-accounts.key"));
        // It makes the certificate itself, with the CA behind it, before it listens.
        let ca = certificates.join("apiserver.crt");
        let ready = format!("https://{address}/readyz");
        self.run("kube-apiserver", &mut command, &ready, Some(&ca))?;
        let config = serde_json::json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "test",
            "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test"}}],
            "clusters": [{"name": "test", "cluster": {
                "server": format!("https://{address}"), "certificate-authority": ca,
            }}],
            "users": [{"name": "test", "user": {"token": token}}],
        });
        Ok(fs::write(self.kubeconfig(), config.to_string())?)
    }

    fn start_controllers(&mut self, program: &Path, address: SocketAddr) -> Result<()> {
        let certificates = self.path("controllers");
        let mut command = Command::new(program);
        command
            .arg("--kubeconfig")
            .arg(self.kubeconfig())
            .args([
                "--controllers",
                "garbage-collector-controller,namespace-controller",
            ])
            .arg("--leader-elect=false")
            .args(["--bind-address", &address.ip().to_string()])
            .args(["--secure-port", &address.port().to_string()])
            .arg("--cert-dir")
            .arg(&certificates);
        let ca = certificates.join("kube-controller-manager.crt");
        let ready = format!("https://{address}/healthz");
        self.run("kube-controller-manager", &mut command, &ready, Some(&ca))
    }

    /// Starts a program, with its output in a file, and waits until `url` answers well.
    fn run(
        &mut self,
        name: &'static str,
        command: &mut Command,
        url: &str,
        ca: Option<&Path>,
    ) -> Result<()> {
        let log = self.path(&format!("{name}.log"));
        let file = fs::File::create(&log)?;
        let child = command
            .current_dir(self.dir.path())
            .env_remove("KUBECONFIG")
            .stdin(Stdio::null())
            .stdout(file.try_clone()?)
            .stderr(file)
            .spawn()
            .with_context(|| format!("cannot start {}", process::shown(command)))?;
        let mut program = Program { child };
        let ready = program.wait_ready(url, ca);
        self.programs.push(program);
        ready.map_err(|error| {
            let text = fs::read_to_string(&log).unwrap_or_default();
            let lines: Vec<&str> = text.lines().collect();
            let from = lines.len().saturating_sub(20);
            let last = lines.get(from..).unwrap_or_default().join("\n");
            anyhow!("{name} does not start: {error:#}; its last lines:\n{last}")
        })
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        // The folder goes after this, when nobody writes to it any more.
        while let Some(program) = self.programs.pop() {
            drop(program);
        }
    }
}

struct Program {
    child: Child,
}

impl Program {
    fn wait_ready(&mut self, url: &str, ca: Option<&Path>) -> Result<()> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let start = Instant::now();
        loop {
            let probe = async {
                // The certificate is there only once the program has made it.
                let answer = http::client(ca)?.get(url).send().await?;
                anyhow::Ok(answer.error_for_status()?)
            };
            let Err(last) = runtime.block_on(probe) else {
                return Ok(());
            };
            if let Some(status) = self.child.try_wait()? {
                bail!("it ended: {status}");
            }
            if start.elapsed() > READY_WITHIN {
                return Err(last.context(format!("not ready after {READY_WITHIN:?}")));
            }
            std::thread::sleep(POLL);
        }
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // An error means that it has ended already.
        let _ended = self.child.kill();
        let _reaped = self.child.wait();
    }
}

/// Ports that were free a moment ago; held together, so that they differ.
fn free_addresses<const N: usize>() -> Result<[SocketAddr; N]> {
    let mut held = Vec::new();
    let mut addresses = [SocketAddr::from((Ipv4Addr::LOCALHOST, 0)); N];
    for address in &mut addresses {
        let listener = TcpListener::bind(*address)?;
        *address = listener.local_addr()?;
        held.push(listener);
    }
    Ok(addresses)
}

/// Nobody else on this machine shall be an administrator of it.
fn token() -> Result<String> {
    let mut bytes = [0; 16];
    fs::File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(hex::encode(bytes))
}
