//! `cargo xtask bench`: figures, each measured side by side with another server in one run.
//!
//! What bounds it: everything is on loopback on this machine, in a temporary folder, and ends
//! with this program. What may surprise: the load generator shares the processors with the
//! servers, so only the ratio means something; each pair is measured alternately and the better
//! of the rounds counts for both.

mod load;
mod nginx;
mod serve;
mod subject;

use crate::workspace;
use anyhow::{Context, Result};
use clap::ValueEnum;
use serde::Serialize;
use std::fmt::Write as _;
use std::fs;

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
    /// Metadata and archives against nginx.
    Serve,
}

/// One line of the table.
#[derive(Debug, Serialize)]
struct Figure {
    /// What is asked for.
    case: String,
    /// Connections.
    connections: u32,
    /// `req/s` or `MB/s`.
    unit: &'static str,
    /// OpenDepot's figure.
    ours: f64,
    /// OpenDepot's 99th percentile, in milliseconds.
    ours_p99_ms: f64,
    /// Each peer with its figure; the best counts.
    peers: Vec<(String, f64)>,
    /// What the ratio to the best peer should be at least.
    goal: f64,
    /// How much the server's own memory (without mapped files) grew, in MiB.
    memory_growth_mib: f64,
}

impl Figure {
    fn ratio(&self) -> f64 {
        let best = self
            .peers
            .iter()
            .map(|(_, figure)| *figure)
            .fold(0.0, f64::max);
        if best > 0.0 { self.ours / best } else { 0.0 }
    }
}

/// Runs the command.
///
/// # Errors
/// When a server or the load generator fails; a missed goal is shown, not an error.
pub(crate) fn run(args: Args) -> Result<()> {
    let root = workspace::root()?;
    let areas = match args.areas.is_empty() {
        true => Area::value_variants().to_vec(),
        false => args.areas,
    };
    let mut figures = Vec::new();
    for area in areas {
        match area {
            Area::Serve => figures.extend(serve::measure(&root, args.seconds, args.rounds)?),
        }
    }
    let dir = workspace::target(&root).join("bench");
    fs::create_dir_all(&dir).context("cannot create target/bench")?;
    fs::write(dir.join("serve.json"), serde_json::to_vec_pretty(&figures)?)?;
    let table = table(&figures);
    println!("\n{table}");
    println!("As JSON: {}", dir.join("serve.json").display());
    if args.report {
        fs::write(dir.join("report.md"), &table)?;
        println!("As Markdown: {}", dir.join("report.md").display());
    }
    Ok(())
}

fn table(figures: &[Figure]) -> String {
    let mut text = String::from(
        "| case | c | OpenDepot | p99 | peers | ratio to the best | goal | own memory |\n\
         |---|---|---|---|---|---|---|---|\n",
    );
    for figure in figures {
        let peers: Vec<String> = figure
            .peers
            .iter()
            .map(|(name, value)| format!("{name} {value:.0}"))
            .collect();
        let met = if figure.ratio() >= figure.goal {
            "met"
        } else {
            "missed"
        };
        // Writing to a String cannot fail.
        let _written = writeln!(
            text,
            "| {} | {} | {:.0} {} | {:.1} ms | {} | {:.2} | {:.2} {met} | {:+.0} MiB |",
            figure.case,
            figure.connections,
            figure.ours,
            figure.unit,
            figure.ours_p99_ms,
            peers.join(", "),
            figure.ratio(),
            figure.goal,
            figure.memory_growth_mib,
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_best_peer_counts() {
        let figure = Figure {
            case: "list".to_owned(),
            connections: 16,
            unit: "req/s",
            ours: 45_000.0,
            ours_p99_ms: 1.5,
            peers: vec![
                ("nginx".to_owned(), 50_000.0),
                ("other".to_owned(), 1_000.0),
            ],
            goal: 0.8,
            memory_growth_mib: 1.0,
        };
        assert!((figure.ratio() - 0.9).abs() < 1e-9);
        assert!(table(&[figure]).contains("| 0.90 | 0.80 met |"));
    }
}
