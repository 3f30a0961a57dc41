//! Every point of a scenario once.

use crate::run::{Done, Outcome, Scenario, is_nightly, one};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Instant;
use tokio::task::JoinSet;

/// Further rounds for names that no run died at, because points of parallel work change places,
/// and runs a round.
const NUM_ROUNDS: usize = 5;
const NUM_TRIES: usize = 4;

/// What the runs of a scenario came to.
pub(crate) struct Report {
    /// Names of points, and how many runs died there.
    pub(crate) hits: BTreeMap<String, usize>,
    /// One text a failed run.
    pub(crate) failures: Vec<String>,
}

/// Kills at each point and prints what came of it.
pub(crate) async fn run(scenario: Scenario, expected: Outcome) -> Report {
    let start = Instant::now();
    let (scenario, expected) = (Arc::new(scenario), Arc::new(expected));
    let num_points = expected.points.len();
    let only = only();
    let is_wanted = |at: &usize| only.is_empty() || only.contains(at);
    let num_repeats = if is_nightly() { 20 } else { 1 };
    let all = (1..=num_points).filter(is_wanted);
    let all = std::iter::repeat_n(all, num_repeats).flatten();
    let mut done = spread(&scenario, &expected, all).await;
    let names: BTreeSet<String> = expected.points.iter().cloned().collect();
    for round in 0..NUM_ROUNDS {
        let missed = names.iter().filter(|name| hits(&done, name) == 0);
        let tries = missed.flat_map(|name| likely(&expected, &done, name, round));
        let tries: Vec<usize> = tries.filter(|_| only.is_empty()).collect();
        done.extend(spread(&scenario, &expected, tries).await);
    }
    let report = Report {
        hits: names
            .into_iter()
            .map(|name| {
                let num = hits(&done, &name);
                (name, num)
            })
            .collect(),
        failures: done.iter().filter_map(|run| run.failure.clone()).collect(),
    };
    let recoveries = done.iter().map(|run| run.recovery);
    println!(
        "{}: {num_points} points, {} kinds; {} runs in {:.0} s, {} of them ended before their \
         point; slowest recovery {:.1} s",
        scenario.title,
        report.hits.len(),
        done.len(),
        start.elapsed().as_secs_f32(),
        done.iter().filter(|run| run.died_at.is_none()).count(),
        recoveries.max().unwrap_or_default().as_secs_f32()
    );
    for (name, num) in &report.hits {
        println!("  {num:>3} x {name}");
    }
    report
}

async fn spread(
    scenario: &Arc<Scenario>,
    expected: &Arc<Outcome>,
    points: impl IntoIterator<Item = usize>,
) -> Vec<Done> {
    let mut runs = JoinSet::new();
    for kill_at in points {
        runs.spawn(one(Arc::clone(scenario), Arc::clone(expected), kill_at));
    }
    runs.join_all().await
}

/// The points that `OPENDEPOT_CRASH_POINTS=7,31` asks for; all when it is not set.
pub(crate) fn only() -> Vec<usize> {
    let text = std::env::var("OPENDEPOT_CRASH_POINTS").unwrap_or_default();
    let numbers = text
        .split(',')
        .filter_map(|number| number.trim().parse().ok());
    numbers.collect()
}

fn hits(done: &[Done], name: &str) -> usize {
    let died = done
        .iter()
        .filter(|run| run.died_at.as_deref() == Some(name));
    died.count()
}

/// Where a name was in the runs so far, most often first.
fn likely(expected: &Outcome, done: &[Done], name: &str, round: usize) -> Vec<usize> {
    let mut seen: BTreeMap<usize, usize> = BTreeMap::new();
    let traces = done.iter().map(|run| &run.points);
    for points in traces.chain([&expected.points]) {
        for (index, point) in points.iter().enumerate() {
            if point == name {
                *seen.entry(index + 1).or_default() += 1;
            }
        }
    }
    let mut places: Vec<(usize, usize)> = seen.into_iter().collect();
    places.sort_by_key(|(place, num)| (std::cmp::Reverse(*num), *place));
    let places = places.into_iter().map(|(place, _)| place).cycle();
    places.skip(round * NUM_TRIES).take(NUM_TRIES).collect()
}
