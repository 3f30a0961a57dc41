//! Object stores that others wrote, each a process of its own on loopback: `versitygw` speaks S3 and
//! checks every signature, Azurite speaks Azure Blob Storage.

use crate::client::tool;
use crate::server::free_port;
use crate::wait::{SOON, wait_until};
use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use tempfile::TempDir;
use tokio::net::TcpStream;

/// The access key of `versitygw`.
pub const ACCESS_KEY: &str = "AKIAVERSITYKEY";
/// Its secret.
pub const SECRET_KEY: &str = "the-5ecret-0f-the-gateway";
/// The account of Azurite.
pub const ACCOUNT: &str = "depotaccount";
/// The account's two keys, as an account of Azure has them.
pub const ACCOUNT_KEYS: [&str; 2] = [
    "Zmlyc3Qta2V5LW9mLXRoZS1hY2NvdW50LW9mLWF6dXJpdGU=",
    "c2Vjb25kLWtleS1vZi10aGUtYWNjb3VudC1vZi1henVyaXRl",
];

/// A running server; killed when dropped, with all that it keeps.
pub struct ObjectServer {
    child: Child,
    address: SocketAddr,
    dir: TempDir,
}

impl ObjectServer {
    /// `versitygw` over a folder, with the empty bucket `depot`.
    pub async fn versitygw() -> Self {
        let program = tool("OPENDEPOT_VERSITYGW", "versitygw-1.8.0/versitygw");
        let server = Self::start(&program, |command, address, dir| {
            fs::create_dir_all(dir.join("buckets/depot")).unwrap();
            command
                .env("ROOT_ACCESS_KEY_ID", ACCESS_KEY)
                .env("ROOT_SECRET_ACCESS_KEY", SECRET_KEY)
                .args(["--port", &address.to_string(), "--region", "eu-central-1"])
                .args(["--quiet", "posix"])
                .arg(dir.join("buckets"));
        });
        server.await
    }

    /// Azurite, whose account has two keys and no container.
    pub async fn azurite() -> Self {
        let program = tool(
            "OPENDEPOT_AZURITE",
            "azurite-3.37.0/node_modules/.bin/azurite-blob",
        );
        let server = Self::start(&program, |command, address, _| {
            let [first, second] = ACCOUNT_KEYS;
            command
                .env("AZURITE_ACCOUNTS", format!("{ACCOUNT}:{first}:{second}"))
                .args(["--blobHost", &address.ip().to_string()])
                .args(["--blobPort", &address.port().to_string()])
                // It refuses versions of the service that are newer than itself.
                .args(["--inMemoryPersistence", "--skipApiVersionCheck"])
                .args(["--disableTelemetry", "--silent"]);
        });
        server.await
    }

    async fn start(program: &Path, arrange: impl Fn(&mut Command, SocketAddr, &Path)) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()));
        let log = fs::File::create(dir.path().join("log.txt")).unwrap();
        let mut command = Command::new(program);
        arrange(&mut command, address, dir.path());
        command
            .current_dir(dir.path())
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log);
        let child = command
            .spawn()
            .unwrap_or_else(|error| panic!("cannot start {command:?}: {error}"));
        let server = Self {
            child,
            address,
            dir,
        };
        let what = format!("{} to listen", program.display());
        wait_until(&what, SOON, || async {
            let connected = TcpStream::connect(address).await;
            connected.map(drop).map_err(|error| {
                let log = fs::read_to_string(server.dir.path().join("log.txt"));
                format!("{error}; {}", log.unwrap_or_default())
            })
        })
        .await;
        server
    }

    /// `http://127.0.0.1:port`.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Its folder; below `buckets/depot` are the objects of `versitygw`.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }
}

impl Drop for ObjectServer {
    fn drop(&mut self) {
        // An error means that it has ended already.
        let _ended = self.child.kill();
        let _reaped = self.child.wait();
    }
}
