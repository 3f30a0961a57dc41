//! Load at a rate that does not give way: vegeta, and what it reports.

use crate::process::{capture, shown};
use anyhow::{Context, Result, bail};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// Requests in flight at most, so that a slow server is not met with ever more connections.
const MAX_WORKERS: u32 = 256;

/// What to ask, in turn, and how often.
pub(super) struct Plan<'a> {
    pub(super) urls: &'a [String],
    /// Requests a second.
    pub(super) rate: u32,
    pub(super) seconds: u32,
}

/// A load that is under way; ended when dropped.
pub(super) struct Attack {
    vegeta: PathBuf,
    child: Child,
    results: PathBuf,
    /// Removed with the results when this is dropped.
    _dir: tempfile::TempDir,
}

/// What came of it. Times are from sending to the last byte of the answer.
#[derive(Debug, Deserialize)]
pub(super) struct Report {
    latencies: Latencies,
    pub(super) requests: u64,
    status_codes: BTreeMap<String, u64>,
    errors: Vec<String>,
}

/// Nanoseconds.
#[derive(Debug, Deserialize)]
struct Latencies {
    #[serde(rename = "99th")]
    p99: f64,
    max: f64,
}

impl Attack {
    pub(super) fn start(vegeta: &Path, plan: &Plan<'_>) -> Result<Self> {
        let dir = tempfile::Builder::new()
            .prefix("opendepot-bench-")
            .tempdir()?;
        let (targets, results) = (dir.path().join("targets"), dir.path().join("results"));
        let lines: Vec<String> = plan.urls.iter().map(|url| format!("GET {url}")).collect();
        fs::write(&targets, lines.join("\n"))?;
        let mut command = Command::new(vegeta);
        command
            .args(["attack", "-redirects=-1", "-timeout=10s"])
            .args([
                format!("-rate={}/s", plan.rate),
                format!("-duration={}s", plan.seconds),
                format!("-max-workers={MAX_WORKERS}"),
                format!("-targets={}", targets.display()),
                format!("-output={}", results.display()),
            ])
            .stdin(Stdio::null());
        let child = command
            .spawn()
            .with_context(|| format!("cannot run {}", shown(&command)))?;
        Ok(Self {
            vegeta: vegeta.to_owned(),
            child,
            results,
            _dir: dir,
        })
    }

    /// Waits for its end.
    pub(super) fn finish(mut self) -> Result<Report> {
        let status = self.child.wait()?;
        if !status.success() {
            bail!("vegeta failed: {status}");
        }
        let report = capture(
            Command::new(&self.vegeta)
                .args(["report", "-type=json"])
                .arg(&self.results),
        )?;
        Report::parse(&report)
    }
}

impl Drop for Attack {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            let _killed = self.child.kill();
            let _reaped = self.child.wait();
        }
    }
}

/// Starts a load and waits for its end.
pub(super) fn run(vegeta: &Path, plan: &Plan<'_>) -> Result<Report> {
    Attack::start(vegeta, plan)?.finish()
}

impl Report {
    fn parse(json: &str) -> Result<Self> {
        serde_json::from_str(json).with_context(|| format!("vegeta said: {json}"))
    }

    pub(super) fn p99_us(&self) -> f64 {
        self.latencies.p99 / 1e3
    }

    pub(super) fn max_us(&self) -> f64 {
        self.latencies.max / 1e3
    }

    /// Answers of another status than `status`, connections that failed included.
    pub(super) fn num_other(&self, status: u16) -> u64 {
        let as_asked = self.status_codes.get(&status.to_string());
        self.requests - as_asked.copied().unwrap_or(0)
    }

    /// Ends with what went wrong unless every answer has this status.
    pub(super) fn expect(self, status: u16) -> Result<Self> {
        match self.num_other(status) {
            0 => Ok(self),
            num => bail!(
                "{num} of {} answers were no {status}: {:?}, {:?}",
                self.requests,
                self.status_codes,
                self.errors.first()
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SAID: &str = r#"{"latencies":{"total":1,"mean":1,"50th":241000,"90th":3,"95th":4,
        "99th":1093000,"max":2000000,"min":1},"requests":500,"rate":100.1,"throughput":99,
        "success":0.99,"status_codes":{"200":498,"0":1,"403":1},"errors":["403 Forbidden"]}"#;

    #[test]
    fn reports_are_read() {
        let report = Report::parse(SAID).unwrap();
        assert_eq!((report.p99_us(), report.max_us()), (1093.0, 2000.0));
        assert_eq!((report.num_other(200), report.num_other(404)), (2, 500));
        let error = report.expect(200).unwrap_err().to_string();
        assert!(
            error.contains("2 of 500") && error.contains("403 Forbidden"),
            "{error}"
        );
        assert!(Report::parse("").is_err());
    }
}
