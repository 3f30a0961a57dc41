//! What one decision of a plugin costs, and when a plugin that loops is stopped: measured by the
//! crate's own benchmark, read from what it leaves.

use super::Run;
use super::figure::{Figure, Goal};
use crate::process;
use crate::workspace;
use anyhow::{Context, Result, bail};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

const DECISION_GOAL_US: f64 = 30.0;
const LOOP_GOAL_MS: f64 = 65.0;
/// What is run, as its names begin, with a name for the table.
const DECISIONS: [(&str, &str); 2] = [
    (
        "fresh instance and authorize, auth-groups",
        "one decision of auth-groups, in a fresh instance: median",
    ),
    (
        "fresh instance and authorize, 1 targets",
        "one decision of the smallest guest, in a fresh instance: median",
    ),
];
/// A call that loops, with a deadline of 50 ms.
const LOOP: &str = "a looping call with a deadline of 50 ms";
/// Its group: before the name, and a folder.
const LOOP_GROUP: &str = "loop/";

#[derive(Deserialize)]
struct Estimates {
    median: Estimate,
}

#[derive(Deserialize)]
struct Estimate {
    /// Nanoseconds.
    point_estimate: f64,
    confidence_interval: Interval,
}

#[derive(Deserialize)]
struct Interval {
    lower_bound: f64,
    upper_bound: f64,
}

/// One entry for each sample: how many calls, and their nanoseconds.
#[derive(Deserialize)]
struct Samples {
    iters: Vec<f64>,
    times: Vec<f64>,
}

/// Runs the benchmark and reads it.
pub(super) fn measure(run: &Run) -> Result<Vec<Figure>> {
    let home = workspace::target(&run.root).join("criterion");
    let filter = format!(
        "^({}|{}|{LOOP_GROUP}{LOOP})$",
        DECISIONS[0].0, DECISIONS[1].0
    );
    let mut command = process::cargo();
    command
        .args([
            "bench",
            "--package",
            "opendepot-plugin",
            "--bench",
            "decision",
        ])
        .args(["--", "--noplot", "--measurement-time"])
        .args([run.seconds.max(1).to_string(), filter])
        .env("CRITERION_HOME", &home)
        .current_dir(&run.root);
    let started = SystemTime::now();
    eprintln!("running {}", process::shown(&command));
    process::run(&mut command)?;
    let results = Results { home, started };

    let mut figures = Vec::new();
    for (name, case) in DECISIONS {
        let found: Result<Estimates> = results.read(name, "estimates.json");
        let median = found?.median;
        let interval = &median.confidence_interval;
        figures.push(
            Figure::new(
                case,
                median.point_estimate / 1e3,
                "µs",
                Goal::AtMost(DECISION_GOAL_US),
            )
            .detail(format!(
                "95 % between {:.1} and {:.1} µs",
                interval.lower_bound / 1e3,
                interval.upper_bound / 1e3
            )),
        );
    }
    let samples: Samples = results.read(&format!("{LOOP_GROUP}{LOOP}"), "sample.json")?;
    let calls = sorted_calls_ms(&samples)?;
    for (name, share) in [("p50", 0.5), ("p99", 0.99), ("longest", 1.0)] {
        figures.push(
            Figure::new(
                format!("{LOOP} is over: {name}"),
                percentile(&calls, share),
                "ms",
                Goal::AtMost(LOOP_GOAL_MS),
            )
            .detail(format!("after its start, of {} calls", calls.len())),
        );
    }
    Ok(figures)
}

/// Where the results are, and from when on they are this run's.
struct Results {
    home: PathBuf,
    started: SystemTime,
}

impl Results {
    fn read<T: DeserializeOwned>(&self, name: &str, file: &str) -> Result<T> {
        let path = self.home.join(name).join("new").join(file);
        self.read_file(&path)
            .with_context(|| format!("no result of `{name}`; are the plugins built?"))
    }

    fn read_file<T: DeserializeOwned>(&self, path: &Path) -> Result<T> {
        let shown = || format!("cannot read `{}`", path.display());
        if fs::metadata(path).with_context(shown)?.modified()? < self.started {
            bail!("`{}` is of an earlier run", path.display());
        }
        Ok(serde_json::from_slice(
            &fs::read(path).with_context(shown)?,
        )?)
    }
}

/// The time of each call in milliseconds, shortest first.
fn sorted_calls_ms(samples: &Samples) -> Result<Vec<f64>> {
    // With several calls in a sample there would only be averages.
    if samples.times.is_empty() || samples.iters.iter().any(|calls| *calls != 1.0) {
        bail!("the samples of `{LOOP}` are not single calls");
    }
    let mut calls: Vec<f64> = samples.times.iter().map(|nanos| nanos / 1e6).collect();
    calls.sort_by(f64::total_cmp);
    Ok(calls)
}

/// The nearest rank; NaN for nothing.
fn percentile(sorted: &[f64], share: f64) -> f64 {
    let rank = (sorted.len() as f64 * share).ceil() as usize;
    sorted
        .get(rank.saturating_sub(1))
        .copied()
        .unwrap_or(f64::NAN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_of_single_calls() {
        let samples = |iters, times| Samples { iters, times };
        let calls = sorted_calls_ms(&samples(vec![1.0; 3], vec![3e6, 1e6, 2e6])).unwrap();
        assert_eq!(calls, [1.0, 2.0, 3.0]);
        assert_eq!(percentile(&calls, 0.5), 2.0);
        assert_eq!(percentile(&calls, 1.0), 3.0);
        assert!(percentile(&[], 1.0).is_nan());
        assert!(sorted_calls_ms(&samples(vec![2.0], vec![1e6])).is_err());
        assert!(sorted_calls_ms(&samples(vec![], vec![])).is_err());
    }
}
