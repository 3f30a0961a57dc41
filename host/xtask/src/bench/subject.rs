//! The server under measurement, with what it publishes.

use crate::http;
use crate::process::capture;
use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process};
use sha2::{Digest, Sha256};
use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use zip::write::SimpleFileOptions;

const NAMESPACE: &str = "bench";
const READY_WITHIN: Duration = Duration::from_secs(60);
const PUBLISHED_WITHIN: Duration = Duration::from_secs(600);

/// A running OpenDepot; killed when dropped.
pub(super) struct Subject {
    child: Child,
    port: u16,
    log: PathBuf,
}

impl Subject {
    /// Starts the binary in `dir` on the manifests that are there, over plain HTTP, and waits
    /// until it is ready. With a configuration file, that is passed too.
    pub(super) async fn start(binary: &Path, dir: &Path, config: Option<&Path>) -> Result<Self> {
        let (port, admin) = (free_port()?, free_port()?);
        let log = dir.join("opendepot.log");
        let output = fs::File::create(&log)?;
        let config = config.map(|file| [Path::new("--config"), file]);
        let child = Command::new(binary)
            .args(["serve", "--listen", &format!("127.0.0.1:{port}")])
            .args(["--admin-listen", &format!("127.0.0.1:{admin}")])
            .arg("--data-dir")
            .arg(dir.join("data"))
            .arg("--manifests")
            .arg(dir.join("manifests"))
            .args(config.into_iter().flatten())
            .env_remove("KUBECONFIG")
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output)
            .spawn()
            .with_context(|| format!("cannot start `{}`", binary.display()))?;
        let mut subject = Self { child, port, log };
        let ready = format!("http://127.0.0.1:{admin}/readyz");
        let client = http::client(None)?;
        subject
            .poll(READY_WITHIN, async || {
                Ok(client.get(&ready).send().await?.status().is_success())
            })
            .await
            .context("the server did not become ready")?;
        Ok(subject)
    }

    /// Waits until a provider has this many versions; an empty token stands for none.
    pub(super) async fn wait_provider(
        &mut self,
        name: &str,
        count: usize,
        token: &str,
    ) -> Result<()> {
        let client = http::client(None)?;
        let url = self.url(&versions_path(name));
        self.poll(PUBLISHED_WITHIN, async || {
            let mut request = client.get(&url);
            if !token.is_empty() {
                request = request.bearer_auth(token);
            }
            let json: serde_json::Value = request.send().await?.json().await?;
            let list = json.get("versions").and_then(|list| list.as_array());
            Ok(list.is_some_and(|list| list.len() >= count))
        })
        .await
        .with_context(|| format!("`{name}` was not published"))
    }

    async fn poll(
        &mut self,
        within: Duration,
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
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// A URL of this server.
    pub(super) fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    /// The bytes at a path.
    pub(super) async fn get(&self, path: &str) -> Result<Vec<u8>> {
        let answer = http::client(None)?.get(self.url(path)).send().await?;
        Ok(answer.error_for_status()?.bytes().await?.to_vec())
    }

    /// Its own memory in MiB: resident, without mapped files.
    pub(super) fn memory_mib(&self) -> Result<f64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id()))
            .context("cannot read /proc; memory is measured on Linux only")?;
        let line = status
            .lines()
            .find_map(|line| line.strip_prefix("RssAnon:"));
        let kib = line
            .and_then(|rest| rest.split_whitespace().next())
            .context("no RssAnon")?;
        Ok(kib.parse::<f64>()? / 1024.0)
    }
}

impl Drop for Subject {
    fn drop(&mut self) {
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw);
        if let Some(pid) = pid {
            let _ended = kill_process(pid, Signal::KILL);
        }
        let _reaped = self.child.wait();
    }
}

/// Makes a token whose holder may read everything, and the configuration file that says so.
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

/// The path of a provider's version list.
pub(super) fn versions_path(name: &str) -> String {
    format!("/opendepot/providers/v1/{NAMESPACE}/{name}/versions")
}

/// The path of a package document.
pub(super) fn package_path(name: &str, version: &str) -> String {
    format!("/opendepot/providers/v1/{NAMESPACE}/{name}/{version}/download/linux/amd64")
}

/// The path of a provider's bytes, which an anonymous reader may ask for.
pub(super) fn archive_path(name: &str, version: &str) -> String {
    format!("/opendepot/providers/v1/download/{NAMESPACE}/{name}/{version}?os=linux&arch=amd64")
}

/// Writes a provider with one platform: release folders whose program has `size` bytes that do
/// not compress, and the resource.
pub(super) fn write_provider(
    manifests: &Path,
    name: &str,
    versions: &[String],
    size: usize,
) -> Result<()> {
    let mut yaml = format!(
        "apiVersion: opendepot.defdev.io/v1alpha1\nkind: Provider\nmetadata:\n  name: {name}\n  \
         namespace: {NAMESPACE}\nspec:\n  providerConfig:\n    name: {name}\n    \
         operatingSystems: [linux]\n    architectures: [amd64]\n    source:\n      \
         path: \"dist/{name}/{{version}}\"\n  versions:\n"
    );
    for (seed, version) in versions.iter().enumerate() {
        let _written = writeln!(yaml, "    - version: {version}");
        let dir = manifests.join("dist").join(name).join(version);
        fs::create_dir_all(&dir)?;
        let file = format!("terraform-provider-{name}_{version}_linux_amd64.zip");
        let options = SimpleFileOptions::default()
            .compression_method(zip::CompressionMethod::Stored)
            .unix_permissions(0o755);
        let mut zip = zip::ZipWriter::new(fs::File::create(dir.join(&file))?);
        zip.start_file(format!("terraform-provider-{name}_v{version}"), options)?;
        zip.write_all(&noise(size, seed as u64))?;
        zip.finish()?;
        let digest = hex::encode(Sha256::digest(fs::read(dir.join(&file))?));
        let sums = format!("terraform-provider-{name}_{version}_SHA256SUMS");
        fs::write(dir.join(sums), format!("{digest}  {file}\n"))?;
    }
    Ok(fs::write(manifests.join(format!("{name}.yaml")), yaml)?)
}

fn noise(len: usize, seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(2).wrapping_add(1);
    let mut bytes = Vec::with_capacity(len + 8);
    while bytes.len() < len {
        state ^= state >> 12;
        state ^= state << 25;
        state ^= state >> 27;
        bytes.extend_from_slice(&state.wrapping_mul(0x2545_F491_4F6C_DD1D).to_le_bytes());
    }
    bytes.truncate(len);
    bytes
}

/// A free port on loopback.
pub(super) fn free_port() -> Result<u16> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?
        .local_addr()?
        .port())
}
