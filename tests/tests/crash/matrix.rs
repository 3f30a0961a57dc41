//! Every point of a scenario once.

use crate::run::{Done, Outcome, Scenario, is_nightly, one};
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::task::JoinSet;

/// Runs for a name in one round of tries.
const NUM_TRIES: usize = 4;

/// A scenario and what its runs came to.
pub(crate) struct Matrix {
    scenario: Arc<Scenario>,
    expected: Arc<Outcome>,
    done: Vec<Done>,
    took: Duration,
}

impl Matrix {
    /// Kills at each point.
    pub(crate) async fn run(scenario: Scenario, expected: Outcome) -> Self {
        let start = Instant::now();
        let num_points = expected.points.len();
        let mut matrix = Self {
            scenario: Arc::new(scenario),
            expected: Arc::new(expected),
            done: Vec::new(),
            took: Duration::ZERO,
        };
        let only = only();
        let num_repeats = if is_nightly() { 20 } else { 1 };
        let all = (1..=num_points).filter(|at| only.is_empty() || only.contains(at));
        matrix
            .add(std::iter::repeat_n(all, num_repeats).flatten())
            .await;
        matrix.took = start.elapsed();
        matrix
    }

    /// Tries to die at a name that was missed, because points of parallel work change places:
    /// where it was in the runs so far, most often first. Nothing when it is not of this scenario.
    pub(crate) async fn retry(&mut self, name: &str, round: usize) {
        let mut seen: BTreeMap<usize, usize> = BTreeMap::new();
        let traces = self.done.iter().map(|run| &run.points);
        for points in traces.chain([&self.expected.points]) {
            for (index, _) in points
                .iter()
                .enumerate()
                .filter(|(_, point)| *point == name)
            {
                *seen.entry(index + 1).or_default() += 1;
            }
        }
        let mut places: Vec<(usize, usize)> = seen.into_iter().collect();
        places.sort_by_key(|(place, num)| (Reverse(*num), *place));
        let places = places.into_iter().map(|(place, _)| place).cycle();
        let tries: Vec<usize> = places.skip(round * NUM_TRIES).take(NUM_TRIES).collect();
        self.add(tries).await;
    }

    async fn add(&mut self, points: impl IntoIterator<Item = usize>) {
        let mut runs = JoinSet::new();
        for kill_at in points {
            let (scenario, expected) = (Arc::clone(&self.scenario), Arc::clone(&self.expected));
            runs.spawn(one(scenario, expected, kill_at));
        }
        self.done.extend(runs.join_all().await);
    }

    /// The names of the points that some run died at.
    pub(crate) fn hits(&self) -> impl Iterator<Item = &str> {
        self.done.iter().filter_map(|run| run.died_at.as_deref())
    }

    /// One text a failed run.
    pub(crate) fn failures(&self) -> impl Iterator<Item = &str> {
        self.done.iter().filter_map(|run| run.failure.as_deref())
    }

    /// Prints how often each point was the last.
    pub(crate) fn print(&self) {
        let names: BTreeSet<&str> = self.expected.points.iter().map(String::as_str).collect();
        let recoveries = self.done.iter().map(|run| run.recovery);
        println!(
            "{}: {} points of {} names; {} runs in {:.0} s, {} of them ended before their point; \
             slowest recovery {:.1} s",
            self.scenario.title,
            self.expected.points.len(),
            names.len(),
            self.done.len(),
            self.took.as_secs_f32(),
            self.done.iter().filter(|run| run.died_at.is_none()).count(),
            recoveries.max().unwrap_or_default().as_secs_f32()
        );
        for name in names {
            println!(
                "  {:>3} x {name}",
                self.hits().filter(|hit| *hit == name).count()
            );
        }
    }
}

/// The points that `OPENDEPOT_CRASH_POINTS=7,31` asks for; all when it is not set.
pub(crate) fn only() -> Vec<usize> {
    let text = std::env::var("OPENDEPOT_CRASH_POINTS").unwrap_or_default();
    let numbers = text
        .split(',')
        .filter_map(|number| number.trim().parse().ok());
    numbers.collect()
}
