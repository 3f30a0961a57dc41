//! `cargo xtask tools`: finds, fetches or builds the pinned programs that the tests and the demo
//! run.
//!
//! For each tool, in this order: on PATH in the right version, in the cache, fetched or built.
//! What bounds it: everything made is in one cache folder outside the clone, `${XDG_CACHE_HOME:-
//! ~/.cache}/opendepot/tools/<set>/<tool>-<version>/`, so that a fresh clone reuses it; only the
//! Debian packages `wrk`, `nginx-light`, `docker-registry` and `openssl` are installed elsewhere, and only by
//! root. What it refuses: a download whose digest is not the pinned one. Terraform is used when it
//! is on PATH and never fetched; without it its checks are skipped by name.

mod azurite;
mod cache;
mod client;
mod debian;
mod deny;
mod example;
mod go;

use anyhow::{Result, bail};
use cache::Cache;
use clap::ValueEnum;
use std::fmt;
use std::path::PathBuf;

/// The command's arguments.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// The tools to find or make; all when none is named.
    #[arg(value_enum)]
    names: Vec<Tool>,
    /// Ends with everything that was started, once nobody holds the other end of standard input.
    #[arg(long, hide = true)]
    while_stdin_is_open: bool,
}

/// What the tests, the demo and the figures run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Tool {
    /// OpenTofu, the current client.
    Tofu,
    /// OpenTofu 1.6.2, the oldest client that is tried.
    #[value(name = "tofu-1.6")]
    TofuOld,
    /// Terraform, where it is installed.
    Terraform,
    /// The example provider's release folders, for this platform and one other.
    ExampleProvider,
    /// Checks licences, sources and which crate may use which.
    CargoDeny,
    /// The store of a Kubernetes control plane.
    Etcd,
    /// A Kubernetes API server, which the embedded one is compared with.
    KubeApiserver,
    /// What collects dependents and ends namespaces beside it.
    KubeControllerManager,
    /// Makes as much HTTP load as there can be.
    Wrk,
    /// Makes HTTP load at a rate.
    Vegeta,
    /// The server that figures are compared with.
    Nginx,
    /// An OCI registry, which plugins are pulled from.
    DockerRegistry,
    /// Makes keys and signatures as operators do.
    Openssl,
    /// An S3 server, which the client of such stores is tried against.
    Versitygw,
    /// Likewise for Azure Blob Storage.
    Azurite,
    /// Likewise for Google Cloud Storage.
    FakeGcsServer,
}

impl Tool {
    /// Whether the system's package manager installs it, which the cache has no part in.
    const fn is_installed(self) -> bool {
        matches!(
            self,
            Self::Wrk | Self::Nginx | Self::DockerRegistry | Self::Openssl
        )
    }
}

impl fmt::Display for Tool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Tofu => "tofu",
            Self::TofuOld => "tofu-1.6",
            Self::Terraform => "terraform",
            Self::ExampleProvider => "example-provider",
            Self::CargoDeny => "cargo-deny",
            Self::Etcd => "etcd",
            Self::KubeApiserver => "kube-apiserver",
            Self::KubeControllerManager => "kube-controller-manager",
            Self::Wrk => "wrk",
            Self::Vegeta => "vegeta",
            Self::Nginx => "nginx",
            Self::DockerRegistry => "docker-registry",
            Self::Openssl => "openssl",
            Self::Versitygw => "versitygw",
            Self::Azurite => "azurite",
            Self::FakeGcsServer => "fake-gcs-server",
        })
    }
}

/// A tool that can be run.
#[derive(Clone, Debug)]
pub(crate) struct Found {
    /// Its version, as it says itself.
    pub(crate) version: String,
    /// The program; for the example provider the folder that holds a release folder a version.
    pub(crate) path: PathBuf,
    /// How it came to be there.
    pub(crate) how: How,
}

/// Where a tool came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum How {
    /// It was installed already.
    OnPath,
    /// An earlier run had made it.
    Cached,
    /// Downloaded in this run.
    Fetched,
    /// Compiled in this run.
    Built,
    /// Installed in this run by the system's package manager.
    Installed,
}

impl fmt::Display for How {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::OnPath => "on PATH",
            Self::Cached => "cached",
            Self::Fetched => "fetched",
            Self::Built => "built",
            Self::Installed => "installed",
        })
    }
}

/// What looking for a tool ended with.
pub(crate) enum Lookup {
    /// It can be run.
    Found(Found),
    /// It is not here and nothing may fetch it; the text says why. Its checks are skipped by name.
    Absent(String),
}

/// Runs the command.
///
/// # Errors
/// When a tool that must be there can be neither found nor made; the others are tried first.
pub(crate) fn run(args: Args) -> Result<()> {
    if args.while_stdin_is_open {
        std::thread::spawn(end_with_stdin);
    }
    let names = if args.names.is_empty() {
        Tool::value_variants().to_vec()
    } else {
        args.names
    };
    let mut failed = Vec::new();
    for tool in names {
        match find(tool) {
            Ok(Lookup::Found(found)) => {
                let (version, path) = (&found.version, found.path.display());
                println!("{tool:<23} {version:<12} {path}  ({})", found.how);
            }
            Ok(Lookup::Absent(reason)) => println!("{tool:<23} {:<12} {reason}", "absent"),
            Err(error) => {
                eprintln!("error: {tool}: {error:#}");
                failed.push(tool.to_string());
            }
        }
    }
    if !failed.is_empty() {
        bail!("no {}", failed.join(", no "));
    }
    Ok(())
}

/// Finds a tool, or makes it.
///
/// # Errors
/// When it can be neither found nor made; the message names the remedy.
pub(crate) fn find(tool: Tool) -> Result<Lookup> {
    find_in(&Cache::open()?, tool)
}

fn find_in(cache: &Cache, tool: Tool) -> Result<Lookup> {
    let found = match tool {
        Tool::TofuOld => return client::tofu_old(cache),
        Tool::Terraform => return client::terraform(),
        Tool::Tofu => go::TOFU.program(cache, tool),
        Tool::Etcd | Tool::KubeApiserver | Tool::KubeControllerManager => {
            go::KUBERNETES.program(cache, tool)
        }
        Tool::Vegeta => go::VEGETA.program(cache, tool),
        Tool::Versitygw => go::VERSITYGW.program(cache, tool),
        Tool::FakeGcsServer => go::FAKE_GCS_SERVER.program(cache, tool),
        Tool::Azurite => azurite::azurite(cache),
        Tool::ExampleProvider => example::provider(cache),
        Tool::CargoDeny => deny::cargo_deny(cache),
        Tool::Wrk => debian::package("wrk", "wrk", "-v"),
        Tool::Nginx => debian::package("nginx", "nginx-light", "-v"),
        Tool::Openssl => debian::package("openssl", "openssl", "version"),
        Tool::DockerRegistry => debian::package("docker-registry", "docker-registry", "--version"),
    };
    found.map(Lookup::Found)
}

/// Those of `tools` that would have to be built or fetched into the cache.
///
/// # Errors
/// When the cache cannot be opened.
pub(crate) fn unmade(tools: impl IntoIterator<Item = Tool>) -> Result<Vec<Tool>> {
    let cache = Cache::as_it_is()?;
    let is_unmade = |tool: &Tool| !tool.is_installed() && find_in(&cache, *tool).is_err();
    Ok(tools.into_iter().filter(is_unmade).collect())
}

/// Finds a tool that must be there.
///
/// # Errors
/// As [`find`], and when the tool is absent.
pub(crate) fn require(tool: Tool) -> Result<Found> {
    match find(tool)? {
        Lookup::Found(found) => Ok(found),
        Lookup::Absent(reason) => bail!("{tool}: {reason}"),
    }
}

/// Ends this process and those it started, which is what its group consists of.
fn end_with_stdin() {
    let _ended = std::io::copy(&mut std::io::stdin(), &mut std::io::sink());
    let _never = rustix::process::kill_current_process_group(rustix::process::Signal::KILL);
}
