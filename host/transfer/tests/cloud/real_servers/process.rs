//! A server in a process of its own.

use std::fs::File;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use tokio::net::TcpStream;

const READY_WITHIN: Duration = Duration::from_secs(60);
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// A port that was free may be somebody else's a moment later.
const NUM_PORTS: usize = 5;
const LOG: &str = "server.log";

/// Killed when dropped, with its folder.
pub(super) struct Server {
    child: Child,
    pub(super) folder: tempfile::TempDir,
    pub(super) address: SocketAddr,
}

impl Server {
    /// Starts the program that the variable names, with the arguments that `arrange` gives it for an
    /// address and an empty folder, and waits until it listens.
    pub(super) async fn start(
        variable: &str,
        arrange: impl Fn(&mut Command, SocketAddr, &Path),
    ) -> Self {
        let program = std::env::var_os(variable).unwrap_or_else(|| {
            panic!("`{variable}` is not set; run `cargo xtask test --only storage`")
        });
        let mut said = String::new();
        for _ in 0..NUM_PORTS {
            let mut command = Command::new(&program);
            let mut server = Self::spawn(&mut command, &arrange);
            if server.listens().await {
                return server;
            }
            said = server.said();
        }
        panic!("{} does not start: {said}", program.display())
    }

    fn spawn(command: &mut Command, arrange: impl Fn(&mut Command, SocketAddr, &Path)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = free.local_addr().unwrap();
        drop(free);
        // Nothing of whoever runs the tests, but what finds the interpreter of a script.
        command.env_clear().env("HOME", folder.path());
        command.envs(std::env::var_os("PATH").map(|path| ("PATH", path)));
        arrange(command, address, folder.path());
        let log = File::create(folder.path().join(LOG)).unwrap();
        let child = command
            .current_dir(folder.path())
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        Self {
            child,
            folder,
            address,
        }
    }

    /// Whether it came to listen; else it has ended.
    async fn listens(&mut self) -> bool {
        let began = tokio::time::Instant::now();
        let mut ticks = tokio::time::interval(LOOK_EVERY);
        while self.child.try_wait().unwrap().is_none() {
            if TcpStream::connect(self.address).await.is_ok() {
                return true;
            }
            assert!(began.elapsed() < READY_WITHIN, "not ready: {}", self.said());
            ticks.tick().await;
        }
        false
    }

    fn said(&self) -> String {
        std::fs::read_to_string(self.folder.path().join(LOG)).unwrap_or_default()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // An error means that it has ended already.
        let _ended = self.child.kill();
        let _reaped = self.child.wait();
    }
}
