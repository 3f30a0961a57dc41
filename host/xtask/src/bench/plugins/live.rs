//! What happens to requests while plugins change, compile for long, or loop.

use super::super::Run;
use super::super::figure::{Figure, Goal};
use super::super::rate::{self, Attack, Plan, Report};
use super::super::subject::{LOOK_CLOSELY, Listed, Subject};
use super::site::{self, Copy, Site, put};
use super::{bomb, faults};
use anyhow::{Result, ensure};
use std::path::Path;
use std::time::Duration;

/// Requests a second of those who are watched.
const RATE: u32 = 500;
/// Requests a second that loop, for 50 ms each: more than all instances can take.
const LOOP_RATE: u32 = 800;
const NUM_LOOPERS: u32 = 4;
const BOMB_GOAL: f64 = 1.2;
const LOOP_GOAL: f64 = 1.5;
const POLICY: &str = "auth-time-window";
const IN_FORCE_WITHIN: Duration = Duration::from_secs(10);
/// Between two swaps.
const SWAP_EVERY: Duration = Duration::from_millis(500);

pub(super) async fn measure(run: &Run, vegeta: &Path) -> Result<Vec<Figure>> {
    let mut figures = vec![swaps(run, vegeta).await?];
    figures.push(beside_bomb(run, vegeta).await?);
    figures.push(beside_loopers(run, vegeta).await?);
    Ok(figures)
}

/// A policy's folder is replaced under load.
async fn swaps(run: &Run, vegeta: &Path) -> Result<Figure> {
    eprintln!("swapping a policy under {RATE} req/s");
    let site = Site::new()?;
    Copy::write(run, POLICY, &site.plugins(), "swapped", 0)?;
    let mut subject = site.serve(run, None).await?;
    let urls = [site::list_url(&subject)];
    let attack = Attack::start(vegeta, &plan(run, &urls))?;
    let end = tokio::time::Instant::now() + Duration::from_secs(run.seconds.into());
    let mut number = 0_u8;
    while tokio::time::Instant::now() + SWAP_EVERY < end {
        number = number.wrapping_add(1);
        let copy = Copy::write(run, POLICY, &site.plugins(), "swapped", number)?;
        in_force(&mut subject, &copy.digest).await?;
        tokio::time::sleep(SWAP_EVERY).await;
    }
    let report = attack.finish()?;
    Ok(Figure::new(
        format!("hot swap under {RATE} req/s: failed requests"),
        report.num_other(200) as f64,
        "",
        Goal::AtMost(0.0),
    )
    .detail(format!(
        "of {}, during {number} swaps; p99 {:.1} ms, longest {:.1} ms",
        report.requests,
        report.p99_us() / 1e3,
        report.max_us() / 1e3
    )))
}

async fn in_force(subject: &mut Subject, digest: &str) -> Result<()> {
    let url = subject.admin_url("/version");
    let client = crate::http::client(None)?;
    subject
        .poll(IN_FORCE_WITHIN, LOOK_CLOSELY, async || {
            Ok(client
                .get(&url)
                .send()
                .await?
                .text()
                .await?
                .contains(digest))
        })
        .await
}

/// A component that compiles until it is stopped is dropped beside a registry that serves.
async fn beside_bomb(run: &Run, vegeta: &Path) -> Result<Figure> {
    let site = Site::new()?;
    Copy::write(run, POLICY, &site.plugins(), "policy", 0)?;
    let subject = site.serve(run, None).await?;
    let urls = [site::list_url(&subject)];
    let (mut before, mut during) = (f64::INFINITY, f64::INFINITY);
    // The compiler dies of its memory limit after some seconds.
    let short = Plan {
        urls: &urls,
        rate: RATE,
        seconds: run.seconds.min(5),
    };
    for round in 1..=run.rounds.max(1) {
        eprintln!("serving beside a compilation without an end, round {round}");
        before = before.min(watched(vegeta, &short)?.p99_us());
        let name = format!("bomb-{round}");
        let folder = site.plugins().join(&name);
        put(&folder, "plugin.wasm", &bomb::component())?;
        // Of another world: a policy that cannot be loaded denies.
        let manifest = format!(
            "apiVersion: opendepot.defdev.io/v1alpha1\nkind: Plugin\n\
             metadata: {{ name: {name}, version: 1.0.0 }}\nspec: {{ world: scan }}\n"
        );
        put(&folder, "plugin.yaml", manifest.as_bytes())?;
        bomb::started(subject.pid()).await?;
        during = during.min(watched(vegeta, &short)?.p99_us());
        ensure!(
            site::told(&subject, &name).await?.is_none(),
            "the compilation was over before the measurement was"
        );
        std::fs::remove_dir_all(folder)?;
        bomb::ended(subject.pid()).await?;
    }
    subject.stop().await?;
    Ok(Figure::new(
        format!("compile bomb of {} MiB: p99 beside it", bomb::BYTES >> 20),
        during / before,
        "",
        Goal::AtMost(BOMB_GOAL),
    )
    .detail(format!(
        "to that before, {RATE} req/s: {during:.0} µs beside it, {before:.0} µs before"
    )))
}

/// Policies that loop take every instance; others read what no policy is asked about.
async fn beside_loopers(run: &Run, vegeta: &Path) -> Result<Figure> {
    eprintln!("reading beside plugins that loop");
    let site = Site::new()?;
    faults::write_loopers(run, &site.plugins())?;
    let subject = site.serve(run, None).await?;
    let urls = [
        subject.url("/.well-known/terraform.json"),
        site::archive_url(&subject).await?,
    ];
    let looping: Vec<String> = (0..LOOP_RATE * run.seconds)
        .map(|n| {
            let name = format!("loop-{}-{n}", n % NUM_LOOPERS);
            subject.url(&Listed::Module(&name).path())
        })
        .collect();
    let looping = Plan {
        urls: &looping,
        rate: LOOP_RATE,
        seconds: run.seconds,
    };
    let (mut before, mut beside) = (f64::INFINITY, f64::INFINITY);
    let mut looped = 0;
    for _ in 0..run.rounds.max(1) {
        before = before.min(watched(vegeta, &plan(run, &urls))?.p99_us());
        let attack = Attack::start(vegeta, &looping)?;
        beside = beside.min(watched(vegeta, &plan(run, &urls))?.p99_us());
        looped += attack.finish()?.expect(403)?.requests;
    }
    subject.stop().await?;
    Ok(Figure::new(
        "plugins that loop in every instance: p99 of reads without plugins",
        beside / before,
        "",
        Goal::AtMost(LOOP_GOAL),
    )
    .detail(format!(
        "to that before, {RATE} req/s: {beside:.0} µs beside {looped} calls that loop, {before:.0} µs before"
    )))
}

fn watched(vegeta: &Path, plan: &Plan<'_>) -> Result<Report> {
    rate::run(vegeta, plan)?.expect(200)
}

fn plan<'a>(run: &Run, urls: &'a [String]) -> Plan<'a> {
    Plan {
        urls,
        rate: RATE,
        seconds: run.seconds,
    }
}
