//! Tests whose subject reads the environment, as the clouds set it: each in a process of its own.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::process::Command;

/// Where the services of such a test listen: it is set in that process alone.
const AT: &str = "OPENDEPOT_TEST_ALONE_AT";

/// Runs `work` in a process of its own, where the variables are as `environment` has them for an
/// address at which nobody listens; `test` is the name of the test that calls this.
pub(crate) fn alone<F: Future<Output = ()>>(
    test: &str,
    environment: impl Fn(SocketAddr) -> Vec<(&'static str, String)>,
    work: impl FnOnce(SocketAddr) -> F,
) {
    if let Ok(address) = std::env::var(AT) {
        let mut builder = tokio::runtime::Builder::new_current_thread();
        let runtime = builder.enable_all().build().unwrap();
        return runtime.block_on(work(address.parse().unwrap()));
    }
    let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = free.local_addr().unwrap();
    drop(free);
    let mut command = Command::new(std::env::current_exe().unwrap());
    let output = command
        .args(["--exact", test, "--nocapture"])
        .env(AT, address.to_string())
        .envs(environment(address))
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success() && said.contains("1 passed"),
        "{said}{}",
        String::from_utf8_lossy(&output.stderr)
    );
}
