//! `cargo xtask bench`: the figures that this project keeps to, one area a module.
//!
//! What bounds it: everything is on loopback on this machine, in temporary folders and under
//! `target/bench/`, and ends with this program. What may surprise: a missed goal is shown and is
//! no failure. The load generator shares the processors with the servers, so only the ratio means
//! something; each pair is measured alternately and the better of the rounds counts for both.
//! What takes long to make, a store with 10,000 Versions and a large package, stays under
//! `target/bench/` for the next run.

mod content;
mod figure;
mod ingest;
mod load;
mod machine;
mod nginx;
mod paced;
mod plugins;
mod rate;
mod sampler;
mod seed;
mod serve;
mod start;
mod storage;
mod subject;
mod torn;

use crate::build;
use crate::workspace;
use anyhow::{Context, Result};
use clap::ValueEnum;
use figure::Outcome;
use machine::Machine;
use std::fs;
use std::path::{Path, PathBuf};

/// The command's arguments.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// What to measure; everything when none is given.
    #[arg(value_enum)]
    areas: Vec<Area>,
    /// Also writes the table as Markdown to `target/bench/report.md`.
    #[arg(long)]
    report: bool,
    /// Seconds of each measurement.
    #[arg(long, default_value_t = 10)]
    seconds: u32,
    /// Rounds of each pair.
    #[arg(long, default_value_t = 2)]
    rounds: u32,
}

/// A group of figures.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Area {
    /// Metadata and archives against nginx, with 10,000 Versions loaded.
    Serve,
    /// Starting with 10,000 Versions, and publishing one more.
    Start,
    /// A provider package of 150 MB on its way into the store.
    Ingest,
    /// Decisions of plugins, many plugins at once, and plugins that misbehave, change or compile for
    /// long beside requests.
    Plugins,
    /// A bucket behind the registry: proxied, linked to, and down.
    Storage,
}

/// What every area is told.
struct Run {
    /// The clone.
    root: PathBuf,
    /// The product's release build.
    binary: PathBuf,
    /// Of each measurement.
    seconds: u32,
    rounds: u32,
}

/// Runs the command.
///
/// # Errors
/// When a server or the load generator fails; a missed goal is shown, not an error.
pub(crate) fn run(args: Args) -> Result<()> {
    let root = workspace::root()?;
    let machine = Machine::now();
    if let Some(noise) = machine.noise() {
        eprintln!("warning: {noise}");
    }
    let areas = match args.areas.is_empty() {
        true => Area::value_variants().to_vec(),
        false => args.areas,
    };
    let run = Run {
        binary: build::release(&root)?,
        root,
        seconds: args.seconds.max(1),
        rounds: args.rounds.max(1),
    };
    let dir = workspace::target(&run.root).join("bench");
    fs::create_dir_all(&dir).context("cannot create target/bench")?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let mut report = format!("{}\n", machine.shown());
    for area in areas {
        let name = area
            .to_possible_value()
            .map_or_else(String::new, |value| value.get_name().to_owned());
        let figures = match area {
            Area::Serve => runtime.block_on(serve::measure(&run)),
            Area::Start => runtime.block_on(start::measure(&run)),
            Area::Ingest => runtime.block_on(ingest::measure(&run)),
            Area::Plugins => runtime.block_on(plugins::measure(&run)),
            Area::Storage => runtime.block_on(storage::measure(&run)),
        };
        let outcome = Outcome {
            command: format!(
                "cargo xtask bench {name} --seconds {} --rounds {}",
                run.seconds, run.rounds
            ),
            figures: figures.with_context(|| format!("measuring {name}"))?,
            machine: machine.clone(),
            area: name,
        };
        let table = outcome.table();
        println!("\n{table}");
        write(
            &dir.join(format!("{}.json", outcome.area)),
            &serde_json::to_vec_pretty(&outcome)?,
        )?;
        report.push('\n');
        report.push_str(&table);
    }
    if args.report {
        write(&dir.join("report.md"), report.as_bytes())?;
    }
    Ok(())
}

fn write(file: &Path, bytes: &[u8]) -> Result<()> {
    fs::write(file, bytes).with_context(|| format!("cannot write `{}`", file.display()))?;
    println!("Written: {}", file.display());
    Ok(())
}
