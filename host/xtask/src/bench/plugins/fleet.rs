//! Sixty-four plugins in one registry: memory, and the time to start.

use super::super::Run;
use super::super::figure::{Figure, Goal};
use super::super::subject::Subject;
use super::site::{self, Copy, Site};
use anyhow::{Result, ensure};
use std::time::Duration;

const NUM: u8 = 64;
const GROWTH_GOAL_MIB: f64 = 150.0;
const START_GOAL_S: f64 = 0.5;
const SETTLED: Duration = Duration::from_secs(2);
/// Each is there nine or ten times.
const KINDS: [&str; 7] = [
    "auth-groups",
    "auth-labels",
    "auth-time-window",
    "auth-group-binding",
    "scan-threshold",
    "scan-allowlist",
    "scan-fixable-only",
];

pub(super) async fn measure(run: &Run) -> Result<Vec<Figure>> {
    let site = Site::new()?;
    let folders = site.path().join("fleet");
    let mut entries = Vec::new();
    for (number, kind) in (0..NUM).zip(KINDS.iter().cycle()) {
        let name = format!("{kind}-{number}");
        let Copy { folder, digest } = Copy::write(run, kind, &folders, &name, number)?;
        let grants = match *kind {
            "scan-allowlist" | "scan-fixable-only" => "    grants: { judge-findings: true }\n",
            _ => "",
        };
        entries.push(format!(
            "  - name: {name}\n    source: {{ folder: {} }}\n    sha256: {digest}\n{grants}",
            folder.display()
        ));
    }
    let (none, all) = (
        site.config("none.yaml", &[])?,
        site.config("all.yaml", &entries)?,
    );
    eprintln!("starting with no plugin and with {NUM}");
    let mut empty = f64::INFINITY;
    let (mut full, mut warm, mut cold) = (0.0_f64, 0.0_f64, None);
    for _ in 0..run.rounds.max(1) {
        let subject = Subject::start(&run.binary, site.path(), Some(&none)).await?;
        tokio::time::sleep(SETTLED).await;
        empty = empty.min(subject.resident_mib()?);
        subject.stop().await?;
    }
    for _ in 0..=run.rounds.max(1) {
        let subject = Subject::start(&run.binary, site.path(), Some(&all)).await?;
        let ready = subject.ready_after().as_secs_f64();
        // The first start compiles; the others find what it left.
        let is_cold = cold.is_none();
        let _first = cold.get_or_insert(ready);
        tokio::time::sleep(SETTLED).await;
        let plugins = site::plugins(&subject).await?;
        let serving = plugins.iter().filter(|plugin| plugin["state"] == "serving");
        // The built-in storage plugin is there always.
        ensure!(serving.count() > NUM.into(), "not all serve: {plugins:?}");
        if !is_cold {
            warm = warm.max(ready);
            full = full.max(subject.resident_mib()?);
        }
        subject.stop().await?;
    }
    Ok(vec![
        Figure::new(
            format!("{NUM} plugins: memory over the empty host"),
            full - empty,
            "MiB",
            Goal::AtMost(GROWTH_GOAL_MIB),
        )
        .detail(format!(
            "VmRSS {full:.0} MiB, {} s after it was ready",
            SETTLED.as_secs()
        )),
        Figure::new(
            format!("{NUM} plugins: ready, with a warm compile cache"),
            warm,
            "s",
            Goal::AtMost(START_GOAL_S),
        )
        .detail("the worst round"),
        Figure::new(
            format!("{NUM} plugins: ready, with a cold one"),
            cold.unwrap_or(f64::NAN),
            "s",
            Goal::None,
        )
        .detail("once"),
    ])
}
