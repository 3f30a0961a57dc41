//! What an auth plugin adds to a request whose decision is not remembered, seen by a client.

use super::super::Run;
use super::super::figure::{Figure, Goal};
use super::super::paced;
use super::super::subject::{Listed, Subject};
use super::site::Site;
use anyhow::Result;

/// Requests a second.
const RATE: u32 = 5_000;
const P50_GOAL_US: f64 = 40.0;
const P99_GOAL_US: f64 = 1_000.0;
const ENTRY: &str = "  - name: auth-groups\n    source: { builtin: auth-groups }\n    settings:\n      \
    rules:\n        - groups: [readers]\n          actions: [list-versions]\n          \
    namespaces: [\"*\"]\n          modules: [\"*\"]\n";

/// The better of the rounds, in microseconds.
#[derive(Clone, Copy)]
struct Best {
    p50: f64,
    p99: f64,
}

pub(super) async fn measure(run: &Run) -> Result<Vec<Figure>> {
    let site = Site::new()?;
    let with = site.config("with.yaml", &[ENTRY.to_owned()])?;
    let unknown = Best {
        p50: f64::INFINITY,
        p99: f64::INFINITY,
    };
    let (mut bare, mut asked) = (unknown, unknown);
    for round in 1..=run.rounds.max(1) {
        eprintln!("{RATE} decisions a second, round {round}");
        bare = round_of(run, &site.serve(run, None).await?, bare)?;
        asked = round_of(run, &site.serve(run, Some(&with)).await?, asked)?;
    }
    let figure = |which: &str, with: f64, without: f64, goal| {
        Figure::new(
            format!("one auth plugin, {RATE} req/s, nothing remembered: added {which}"),
            with - without,
            "µs",
            Goal::AtMost(goal),
        )
        .detail(format!("{with:.0} µs with it, {without:.0} µs without"))
    };
    Ok(vec![
        figure("p50", asked.p50, bare.p50, P50_GOAL_US),
        figure("p99", asked.p99, bare.p99, P99_GOAL_US),
    ])
}

fn round_of(run: &Run, subject: &Subject, best: Best) -> Result<Best> {
    // No name comes twice, so no decision is remembered; that no such module is there costs the
    // same with and without a plugin.
    let paths: Vec<String> = (0..RATE * run.seconds)
        .map(|n| Listed::Module(&format!("unknown-{n}")).path())
        .collect();
    let times = paced::run(subject.port(), &paths, RATE, 404)?;
    Ok(Best {
        p50: best.p50.min(times.percentile_us(0.5)),
        p99: best.p99.min(times.percentile_us(0.99)),
    })
}
