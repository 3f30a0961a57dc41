//! `cargo xtask test`: builds what the tests need, runs them by area, and counts.
//!
//! What bounds it: each area is one or two `cargo test` runs, whose result lines are read. What
//! it refuses: to count a run that did not happen as good, or to leave a test out without saying
//! so; the only ones that may be left out are Terraform's, those of a client that is not packaged
//! for this platform, those that need the internet, and those of an area that was not asked for.

mod ahead;
mod cluster;
mod report;

use crate::tools::{self, Lookup, Tool};
use crate::{build, workspace};
use ahead::Ahead;
use anyhow::{Result, bail};
use clap::ValueEnum;
use report::Report;
use std::net::{TcpStream, ToSocketAddrs};
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

/// The command's arguments.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// The areas to run; all when none is given.
    #[arg(long, value_enum, value_delimiter = ',')]
    only: Vec<Area>,
    /// Prints the areas and ends.
    #[arg(long)]
    list: bool,
    /// Repeats what is worth repeating (kills twenty times each).
    #[arg(long)]
    nightly: bool,
}

/// A part of the tests.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Area {
    /// The crates' own tests.
    Unit,
    /// The plugins' own tests, natively.
    Plugins,
    /// What the registry answers over HTTP.
    Protocol,
    /// `opendepot plugin new`, `build`, `check`, `run` and `test` in every language, from an empty
    /// folder; needs cargo, npm and pip and what they fetch.
    Authors,
    /// OpenTofu and Terraform.
    Clients,
    /// Kills, swapped files, a full disk, wrong flags, signals.
    Faults,
    /// kill -9 at each step of a sync, a signing and a deletion, and panics, with a binary made for
    /// it.
    Crash,
    /// Storage plugins, and the client of cloud stores, with real servers behind them.
    Storage,
    /// GitHub and provider registries: a stand-in, and the real ones where there is a network.
    Upstream,
    /// Plugins from a real OCI registry: open, with passwords, with tokens.
    Oci,
    /// The control plane's conformance suite against a real kube-apiserver with etcd.
    Cluster,
}

impl Area {
    const fn name(self) -> &'static str {
        match self {
            Self::Unit => "unit",
            Self::Plugins => "plugins",
            Self::Protocol => "protocol",
            Self::Authors => "authors",
            Self::Clients => "clients",
            Self::Faults => "faults",
            Self::Crash => "crash",
            Self::Storage => "storage",
            Self::Upstream => "upstream",
            Self::Oci => "oci",
            Self::Cluster => "cluster",
        }
    }

    /// What its tests run, in the order in which it is looked for.
    const fn tools(self) -> &'static [Tool] {
        match self {
            Self::Authors => &[Tool::Tofu],
            Self::Clients => &[
                Tool::Tofu,
                Tool::ExampleProvider,
                Tool::TofuOld,
                Tool::Terraform,
            ],
            Self::Storage => &[
                Tool::Nginx,
                Tool::Tofu,
                Tool::ExampleProvider,
                Tool::Terraform,
                Tool::Versitygw,
                Tool::Azurite,
                Tool::FakeGcsServer,
            ],
            Self::Oci => &[Tool::DockerRegistry, Tool::Openssl],
            Self::Cluster => &[Tool::Etcd, Tool::KubeApiserver, Tool::KubeControllerManager],
            Self::Unit
            | Self::Plugins
            | Self::Protocol
            | Self::Faults
            | Self::Crash
            | Self::Upstream => &[],
        }
    }

    const fn is_black_box(self) -> bool {
        !matches!(
            self,
            Self::Unit | Self::Plugins | Self::Crash | Self::Cluster
        )
    }
}

/// The crates of `unit`. Another selection would give some of them other features, and have them
/// compiled again.
const CRATES: [&str; 3] = ["--workspace", "--exclude", "opendepot-tests"];
/// Tests among them that need servers: `storage` runs them.
const REAL_SERVERS: &str = "real_servers::";
/// The program that has them.
const CLOUD: [&str; 2] = ["--test", "cloud"];

/// Where tests look for a tool, when it is not this program that starts it.
const fn variable(tool: Tool) -> Option<&'static str> {
    Some(match tool {
        Tool::Tofu => "OPENDEPOT_TOFU",
        Tool::TofuOld => "OPENDEPOT_TOFU_OLD",
        Tool::Terraform => "OPENDEPOT_TERRAFORM",
        Tool::ExampleProvider => "OPENDEPOT_EXAMPLE_PROVIDER",
        Tool::Nginx => "OPENDEPOT_NGINX",
        Tool::DockerRegistry => "OPENDEPOT_DOCKER_REGISTRY",
        Tool::Openssl => "OPENDEPOT_OPENSSL",
        Tool::Versitygw => "OPENDEPOT_VERSITYGW",
        Tool::Azurite => "OPENDEPOT_AZURITE",
        Tool::FakeGcsServer => "OPENDEPOT_FAKE_GCS",
        _ => return None,
    })
}

/// The tests that are left out where a tool cannot be had.
const fn tests_of(tool: Tool) -> Option<&'static str> {
    match tool {
        Tool::TofuOld => Some("tofu_old::"),
        Tool::Terraform => Some("terraform::"),
        _ => None,
    }
}

/// Runs the command.
///
/// # Errors
/// When a test failed, could not be built or a tool is missing.
pub(crate) fn run(args: Args) -> Result<()> {
    if args.list {
        for area in Area::value_variants() {
            let help = area
                .to_possible_value()
                .and_then(|v| v.get_help().map(ToString::to_string));
            println!("{:<10}{}", area.name(), help.unwrap_or_default());
        }
        return Ok(());
    }
    let areas = match args.only.is_empty() {
        true => Area::value_variants().to_vec(),
        false => args.only.clone(),
    };
    let root = workspace::root()?;
    let mut runner = Runner {
        areas: areas.clone(),
        environment: Vec::new(),
        report: Report::default(),
        root,
    };
    if args.nightly {
        runner.set("OPENDEPOT_NIGHTLY", "1");
    }
    let _ahead = Ahead::start(&areas, &runner.root);
    // The plugin crate's tests read the built components too.
    if areas.iter().any(|area| area.is_black_box()) {
        let binary = build::release(&runner.root)?;
        runner.set("OPENDEPOT_BIN", binary);
    } else if areas
        .iter()
        .any(|area| matches!(area, Area::Unit | Area::Crash))
    {
        build::plugins()?;
    }
    for area in areas {
        let start = Instant::now();
        println!("\n== {} ==", area.name());
        if let Err(error) = runner.area(area) {
            runner.report.fail(area.name(), &error);
        }
        println!(
            "== {} took {:.0} s ==",
            area.name(),
            start.elapsed().as_secs_f32()
        );
    }
    runner.report.print();
    if runner.report.is_failed() {
        bail!("tests failed");
    }
    Ok(())
}

struct Runner {
    areas: Vec<Area>,
    environment: Vec<(&'static str, PathBuf)>,
    report: Report,
    root: PathBuf,
}

impl Runner {
    fn set(&mut self, name: &'static str, value: impl Into<PathBuf>) {
        self.environment.push((name, value.into()));
    }

    fn area(&mut self, area: Area) -> Result<()> {
        let mut left_out = Vec::new();
        for tool in area.tools().iter().copied() {
            match (tools::find(tool)?, variable(tool), tests_of(tool)) {
                (Lookup::Found(found), Some(variable), _) => self.set(variable, found.path),
                (Lookup::Found(_), None, _) => {}
                (Lookup::Absent(reason), _, Some(tests)) => left_out.push((tests, reason)),
                (Lookup::Absent(reason), _, None) => bail!("{tool}: {reason}"),
            }
        }
        match area {
            Area::Unit => {
                let mut command = self.cargo(&CRATES);
                command.args(["--no-fail-fast", "--", "--skip", REAL_SERVERS]);
                self.report.run(area.name(), &mut command)?;
                if !self.areas.contains(&Area::Storage) {
                    let cloud = [CRATES.as_slice(), &CLOUD].concat();
                    let reason = "part of `storage`";
                    self.skip(area.name(), &cloud, REAL_SERVERS, reason)?;
                }
                let harness = ["--package", "opendepot-tests", "--lib"];
                return self.cargo_test(area.name(), &harness, &[]);
            }
            Area::Plugins => {
                let manifest = self.root.join("plugins/Cargo.toml");
                let manifest = manifest.to_string_lossy();
                return self.cargo_test(
                    area.name(),
                    &["--workspace", "--manifest-path", &manifest],
                    &[],
                );
            }
            Area::Cluster => {
                let cluster = cluster::Cluster::start()?;
                let suite = ["--package", "opendepot-apiserver", "--test", "conformance"];
                let mut command = self.cargo(&suite);
                command.env("OPENDEPOT_CONFORMANCE_KUBECONFIG", cluster.kubeconfig());
                // What only an embedded control plane can be asked is part of `unit`.
                command.args(["--no-fail-fast", "--", "--skip", "embedded_"]);
                return self.report.run(area.name(), &mut command);
            }
            Area::Crash => {
                let binary = build::fault_injecting(&self.root)?;
                self.set("OPENDEPOT_FAULT_BIN", binary);
                // The store alone, and what it copies rather than links.
                let store = ["--package", "opendepot-transfer", "--test", "crash"];
                let store = [store.as_slice(), &["--features", "fault-injection"]].concat();
                self.cargo_test(area.name(), &store, &[])?;
            }
            Area::Storage => {
                let suite = [CRATES.as_slice(), &CLOUD, &[REAL_SERVERS]].concat();
                self.cargo_test(area.name(), &suite, &[])?;
            }
            Area::Upstream if !is_online() => {
                left_out.push((
                    "live::",
                    "no network: api.github.com cannot be reached".to_owned(),
                ));
            }
            Area::Protocol
            | Area::Authors
            | Area::Clients
            | Area::Faults
            | Area::Upstream
            | Area::Oci => {}
        }
        // `plugins` is the plugins' own tests already.
        let binary = match area {
            Area::Authors => "plugins",
            _ => area.name(),
        };
        let target = ["--package", "opendepot-tests", "--test", binary];
        self.cargo_test(area.name(), &target, &left_out)
    }

    /// One `cargo test`; tests whose path contains a member of `left_out` are not run but named.
    fn cargo_test(
        &mut self,
        area: &str,
        target: &[&str],
        left_out: &[(&str, String)],
    ) -> Result<()> {
        for (module, reason) in left_out {
            self.skip(area, target, module, reason)?;
        }
        let mut command = self.cargo(target);
        command.arg("--no-fail-fast").arg("--");
        for (module, _) in left_out {
            command.args(["--skip", module]);
        }
        self.report.run(area, &mut command)
    }

    /// Names tests that are not run.
    fn skip(&mut self, area: &str, target: &[&str], module: &str, reason: &str) -> Result<()> {
        let mut list = self.cargo(target);
        list.args(["--", "--list", "--format", "terse", module]);
        let num = report::count_listed(&crate::process::capture(&mut list)?);
        let what = format!("{area}::{}", module.trim_end_matches(':'));
        self.report.skip(num, &what, reason);
        Ok(())
    }

    fn cargo(&self, target: &[&str]) -> Command {
        let mut command = crate::process::cargo();
        command.arg("test").args(target).current_dir(&self.root);
        for (name, value) in &self.environment {
            command.env(name, value);
        }
        command
    }
}

/// Whether the live services can be tried.
fn is_online() -> bool {
    let addresses = ("api.github.com", 443).to_socket_addrs();
    addresses.is_ok_and(|mut found| {
        found.any(|address| TcpStream::connect_timeout(&address, Duration::from_secs(3)).is_ok())
    })
}
