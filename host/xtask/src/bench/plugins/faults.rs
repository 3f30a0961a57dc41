//! Memory hogs and traps, in the crate's own benchmark program.

use super::super::Run;
use super::super::figure::{Figure, Goal};
use crate::process::{capture, cargo, shown};
use anyhow::{Context, Result};
use serde::Deserialize;
use std::path::Path;
use std::process::Command;

/// Above its limit, what one live instance may add to the process.
const HOG_MARGIN_MIB: f64 = 8.0;
/// What may differ without being a leak: one byte a call would be a tenth of it.
const LEAK_GOAL_MIB: f64 = 1.0;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Measured {
    limit: f64,
    hogs: u32,
    hog_growth: f64,
    traps: u32,
    traps_growth: f64,
    traps_seconds: f64,
}

pub(super) fn measure(run: &Run) -> Result<Vec<Figure>> {
    let mut command = program(run);
    eprintln!("running {}", shown(&command));
    let said = capture(&mut command)?;
    let measured: Measured =
        serde_json::from_str(said.trim()).with_context(|| format!("it said: {said}"))?;
    Ok(vec![
        Figure::new(
            "memory hog: growth of the process",
            measured.hog_growth,
            "MiB",
            Goal::AtMost(measured.limit + HOG_MARGIN_MIB),
        )
        .detail(format!(
            "the peak of VmRSS over {} calls that take and write the {:.0} MiB they may have",
            measured.hogs, measured.limit
        )),
        Figure::new(
            format!("{} trapping calls: growth of the process", measured.traps),
            measured.traps_growth,
            "MiB",
            Goal::AtMost(LEAK_GOAL_MIB),
        )
        .detail(format!(
            "VmRSS before and after, {:.1} s, no exit",
            measured.traps_seconds
        )),
    ])
}

/// Writes plugins that loop into a plugin directory.
pub(super) fn write_loopers(run: &Run, folder: &Path) -> Result<()> {
    capture(program(run).arg("guests").arg(folder))?;
    Ok(())
}

fn program(run: &Run) -> Command {
    let mut command = cargo();
    command
        .args(["bench", "--quiet", "--package", "opendepot-plugin"])
        .args(["--bench", "faults", "--"])
        .current_dir(&run.root);
    command
}
