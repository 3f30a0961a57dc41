//! What decisions of a plugin cost in the host, and when a plugin that loops is stopped: measured by
//! the crate's own benchmark, read from what it leaves.

use super::super::Run;
use super::super::figure::{Figure, Goal};
use crate::process;
use crate::workspace;
use anyhow::{Context, Result, bail};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

const DECISION_GOAL_US: f64 = 30.0;
const BATCH_GOAL_MS: f64 = 20.0;
const REMEMBERED_GOAL_US: f64 = 1.0;
const LOOP_GOAL_MS: f64 = 65.0;
const BATCH: &str = "fresh instance and authorize, auth-groups, 10000 targets";
const NO_POLICY: &str = "no policy";
const REMEMBERED: &str = "a remembered decision";
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

/// Runs the benchmarks and reads them.
pub(super) fn measure(run: &Run) -> Result<Vec<Figure>> {
    let mut names: Vec<&str> = DECISIONS.iter().map(|(name, _)| *name).collect();
    names.push(BATCH);
    let looping = format!("{LOOP_GROUP}{LOOP}");
    names.push(&looping);
    let results = Results::make(run, "opendepot-plugin", "decision", &names)?;
    let mut figures = Vec::new();
    for (name, case) in DECISIONS {
        let median = results.median(name)?;
        let figure = Figure::new(case, median.us(), "µs", Goal::AtMost(DECISION_GOAL_US));
        figures.push(figure.detail(median.spread()));
    }
    let batch = results.median(BATCH)?;
    figures.push(
        Figure::new(
            "one decision about 10,000 targets, auth-groups: median",
            batch.us() / 1e3,
            "ms",
            Goal::AtMost(BATCH_GOAL_MS),
        )
        .detail(batch.spread()),
    );
    let samples: Samples = results.read(&looping, "sample.json")?;
    let calls = sorted_calls_ms(&samples)?;
    for (name, share) in [("p50", 0.5), ("p99", 0.99), ("longest", 1.0)] {
        let goal = match name {
            "longest" => Goal::None,
            _ => Goal::AtMost(LOOP_GOAL_MS),
        };
        let case = format!("{LOOP} is over: {name}");
        figures.push(
            Figure::new(case, percentile(&calls, share), "ms", goal)
                .detail(format!("after its start, of {} calls", calls.len())),
        );
    }
    figures.push(remembered(run)?);
    Ok(figures)
}

/// What a decision that is remembered adds to a request.
fn remembered(run: &Run) -> Result<Figure> {
    let results = Results::make(run, "opendepot-api", "access", &[NO_POLICY, REMEMBERED])?;
    let (without, with) = (results.median(NO_POLICY)?, results.median(REMEMBERED)?);
    Ok(Figure::new(
        "one auth plugin, its decision remembered: added, median",
        with.us() - without.us(),
        "µs",
        Goal::AtMost(REMEMBERED_GOAL_US),
    )
    .detail(format!(
        "{:.3} µs with it, {:.3} µs without any, for the whole check",
        with.us(),
        without.us()
    )))
}

impl Estimate {
    fn us(&self) -> f64 {
        self.point_estimate / 1e3
    }

    fn spread(&self) -> String {
        let interval = &self.confidence_interval;
        format!(
            "95 % between {:.1} and {:.1} µs",
            interval.lower_bound / 1e3,
            interval.upper_bound / 1e3
        )
    }
}

/// Where the results are, and from when on they are this run's.
struct Results {
    home: PathBuf,
    started: SystemTime,
}

impl Results {
    /// Runs those benchmarks of a crate that have these names.
    fn make(run: &Run, package: &str, bench: &str, names: &[&str]) -> Result<Self> {
        let home = workspace::target(&run.root).join("criterion");
        let mut command = process::cargo();
        command
            .args(["bench", "--package", package, "--bench", bench])
            .args(["--", "--noplot", "--measurement-time"])
            .args([run.seconds.to_string(), format!("^({})$", names.join("|"))])
            .env("CRITERION_HOME", &home)
            .current_dir(&run.root);
        let started = SystemTime::now();
        eprintln!("running {}", process::shown(&command));
        process::run(&mut command)?;
        Ok(Self { home, started })
    }

    fn median(&self, name: &str) -> Result<Estimate> {
        let estimates: Estimates = self.read(name, "estimates.json")?;
        Ok(estimates.median)
    }

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
