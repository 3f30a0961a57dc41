//! Every point once: killed there, started again, it must come to what an undisturbed run comes
//! to, and on the way never show anything that is not whole (I1), other than it was (I2), or
//! less than it had shown (I3).

use crate::fixture;
use crate::observe::{Facts, Names, Trouble, look};
use crate::server::{BUILD, Server, verify};
use crate::state::{Objects, files};
use opendepot_tests::Setup;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

/// Convergence after a crash.
const CONVERGED: Duration = Duration::from_secs(60);
const POLL: Duration = Duration::from_millis(50);
/// A state that nothing was written to for so long is final.
const QUIET: Duration = Duration::from_secs(1);
/// A process that was killed has ended within this.
const SILENT: Duration = Duration::from_secs(2);
/// Runs at a time, of all tests together.
static RUNS: Semaphore = Semaphore::const_new(4);
/// Further tries to hit a name that no run died at, because points of parallel work change places.
const NUM_RETRIES: usize = 8;

/// What happens, and what clients may see meanwhile.
struct Scenario {
    /// Where each run starts from.
    start: Start,
    names: Names,
    /// What is published before.
    before: Facts,
    /// The kinds of points after which `opendepot verify` was run.
    verified: Mutex<BTreeSet<String>>,
}

enum Start {
    /// An empty data dir and these resources.
    Fresh(fn(&Setup)),
    /// A folder with a data dir and resources, and what changes while it is down.
    Existing(PathBuf, fn(&Setup)),
}

/// Where an undisturbed run ends.
struct Outcome {
    facts: Facts,
    objects: Objects,
    files: BTreeMap<String, String>,
    points: Vec<String>,
}

impl Scenario {
    fn setup(&self) -> Setup {
        let setup = Setup::plain();
        match &self.start {
            Start::Fresh(write) => write(&setup),
            Start::Existing(dir, change) => {
                for folder in ["data", "manifests"] {
                    fixture::copy(&dir.join(folder), &setup.dir().join(folder));
                }
                change(&setup);
            }
        }
        setup
    }

    /// Runs without a kill until nothing changes any more.
    async fn undisturbed(&self, num_facts: usize) -> (Outcome, Setup) {
        let setup = self.setup();
        let trace = setup.dir().join("trace");
        let mut server = spawn(&setup, &trace, None);
        let start = Instant::now();
        let mut since = Instant::now();
        let mut last = (Facts::new(), String::new());
        let (facts, objects) = loop {
            let shown = look(&server, &self.names).await;
            let kept = Objects::read(&setup).await;
            if let (Ok(facts), Some((objects, revision))) = (shown, kept) {
                let now = (facts, revision);
                if now != last {
                    (since, last) = (Instant::now(), now);
                } else if last.0.len() == num_facts && since.elapsed() > QUIET {
                    break (last.0, objects);
                }
            }
            assert!(
                start.elapsed() < CONVERGED && server.exited().is_none(),
                "an undisturbed run shows {:?}:\n{}",
                last.0,
                setup.log()
            );
            tokio::time::sleep(POLL).await;
        };
        let points = read_trace(&trace);
        assert!(
            !points.is_empty(),
            "`{}` has no fault points; build it with `{BUILD}`",
            crate::server::binary().display()
        );
        assert!(server.stop().await.is_some_and(|status| status.success()));
        let files = files(&setup);
        let outcome = Outcome {
            facts,
            objects,
            files,
            points,
        };
        (outcome, setup)
    }
}

fn spawn(setup: &Setup, trace: &Path, kill_at: Option<usize>) -> Server {
    let mut environment = vec![("OPENDEPOT_FAULT_TRACE", trace.display().to_string())];
    if let Some(kill_at) = kill_at {
        environment.push(("OPENDEPOT_KILL_AT", kill_at.to_string()));
    }
    Server::spawn(setup, &environment)
}

fn read_trace(path: &Path) -> Vec<String> {
    let text = fs::read_to_string(path).unwrap_or_default();
    text.lines().map(str::to_owned).collect()
}

/// What has to hold while anything runs.
struct Watch<'a> {
    scenario: &'a Scenario,
    after: &'a Facts,
    /// What was shown and must stay.
    shown: BTreeSet<String>,
}

impl<'a> Watch<'a> {
    fn new(scenario: &'a Scenario, after: &'a Facts) -> Self {
        let stays = |name: &&String| after.contains_key(*name);
        let shown = scenario.before.keys().filter(stays).cloned().collect();
        Self {
            scenario,
            after,
            shown,
        }
    }

    /// One look at a server; what it shows.
    async fn look(&mut self, server: &mut Server) -> Result<Option<Facts>, String> {
        let is_ready = server.is_ready().await;
        let facts = match look(server, &self.scenario.names).await {
            Ok(facts) => facts,
            Err(Trouble::Down(why)) => {
                // Starting, or killed in the middle of it; else it has to answer.
                return match is_ready && server.wait_exit(SILENT).await.is_none() {
                    true => Err(format!("ready, but silent: {why}")),
                    false => Ok(None),
                };
            }
            Err(Trouble::Wrong(what)) => return Err(format!("I1: {what}")),
        };
        for (name, value) in &facts {
            let allowed = [self.scenario.before.get(name), self.after.get(name)];
            if !allowed.contains(&Some(value)) {
                return Err(format!("I2: {name} is {value}, not one of {allowed:?}"));
            }
        }
        if is_ready {
            let missing: Vec<&String> = self
                .shown
                .iter()
                .filter(|name| !facts.contains_key(*name))
                .collect();
            if !missing.is_empty() {
                return Err(format!("I3: shown before, not any more: {missing:?}"));
            }
        }
        let stays = facts.keys().filter(|name| self.after.contains_key(*name));
        self.shown.extend(stays.cloned());
        Ok(Some(facts))
    }
}

/// One run that is killed at a point.
struct Run<'a> {
    expected: &'a Outcome,
    setup: Setup,
    watch: Watch<'a>,
    verified: &'a Mutex<BTreeSet<String>>,
    kill_at: usize,
    /// The point that it died at; nothing when it came to its end before.
    died_at: Option<String>,
    recovery: Duration,
}

impl<'a> Run<'a> {
    fn new(scenario: &'a Scenario, expected: &'a Outcome, kill_at: usize) -> Self {
        Self {
            expected,
            setup: scenario.setup(),
            watch: Watch::new(scenario, &expected.facts),
            verified: &scenario.verified,
            kill_at,
            died_at: None,
            recovery: Duration::ZERO,
        }
    }

    async fn run(&mut self) -> Result<(), String> {
        self.until_killed().await?;
        self.until_converged().await?;
        self.compare_files()?;
        // The files are compared already; hashing them as users do, once for each kind of point.
        let kind = self.died_at.clone().unwrap_or_default();
        if self.verified.lock().unwrap().insert(kind) || is_nightly() {
            self.verify().await?;
        }
        Ok(())
    }

    async fn verify(&self) -> Result<(), String> {
        let verified = verify(&self.setup).await;
        let num_whole = self
            .expected
            .files
            .keys()
            .filter(|name| name.starts_with("artifacts/"));
        let said = String::from_utf8_lossy(&verified.stdout);
        if !verified.status.success() || said != format!("{} whole, 0 not\n", num_whole.count()) {
            let why = String::from_utf8_lossy(&verified.stderr);
            return Err(format!("`opendepot verify` says {said} {why}"));
        }
        Ok(())
    }

    async fn until_killed(&mut self) -> Result<(), String> {
        let trace = self.setup.dir().join("trace");
        let mut server = spawn(&self.setup, &trace, Some(self.kill_at));
        let start = Instant::now();
        let mut quiet = (Instant::now(), String::new());
        loop {
            if let Some(status) = server.exited() {
                if status.signal() != Some(9) {
                    return Err(format!("it was not killed, it ended with {status}"));
                }
                self.died_at = read_trace(&trace).pop();
                return Ok(());
            }
            let facts = self.watch.look(&mut server).await?;
            if facts.as_ref() == Some(&self.expected.facts)
                && let Some((_, revision)) = Objects::read(&self.setup).await
            {
                if revision != quiet.1 {
                    quiet = (Instant::now(), revision);
                } else if quiet.0.elapsed() > QUIET {
                    // This time there were fewer points: nothing is left to die at.
                    return Ok(());
                }
            }
            if start.elapsed() > CONVERGED {
                return Err(format!("neither killed nor done after {CONVERGED:?}"));
            }
            tokio::time::sleep(POLL).await;
        }
    }

    async fn until_converged(&mut self) -> Result<(), String> {
        let trace = self.setup.dir().join("trace-after");
        let start = Instant::now();
        let mut server = spawn(&self.setup, &trace, None);
        loop {
            if let Some(status) = server.exited() {
                return Err(format!("started again, it ended with {status}"));
            }
            let facts = self.watch.look(&mut server).await?;
            let kept = Objects::read(&self.setup).await;
            let objects = kept.map(|(objects, _)| objects);
            if facts.as_ref() == Some(&self.expected.facts)
                && objects.as_ref() == Some(&self.expected.objects)
            {
                break;
            }
            if start.elapsed() > CONVERGED {
                let differences =
                    objects.map(|objects| objects.differences(&self.expected.objects));
                return Err(format!(
                    "not converged after {CONVERGED:?}: shows {facts:?}; {}",
                    differences.unwrap_or_default().join("\n")
                ));
            }
            tokio::time::sleep(POLL).await;
        }
        self.recovery = start.elapsed();
        match server.stop().await {
            Some(status) if status.success() => Ok(()),
            other => Err(format!("SIGTERM ended it with {other:?}")),
        }
    }

    /// Nothing missing, nothing too much, no temporary file.
    fn compare_files(&self) -> Result<(), String> {
        let found = files(&self.setup);
        let expected = &self.expected.files;
        let extra: Vec<_> = found
            .iter()
            .filter(|(name, _)| !expected.contains_key(*name))
            .collect();
        let differing: Vec<_> = expected
            .iter()
            .filter(|(name, digest)| found.get(*name) != Some(*digest))
            .collect();
        if extra.is_empty() && differing.is_empty() {
            return Ok(());
        }
        Err(format!(
            "left over: {extra:?}; missing or changed: {differing:?}"
        ))
    }
}

/// What a run came to.
struct Done {
    kill_at: usize,
    died_at: Option<String>,
    recovery: Duration,
    failure: Option<String>,
}

async fn one(scenario: Arc<Scenario>, expected: Arc<Outcome>, kill_at: usize) -> Done {
    let _permit = RUNS.acquire().await.unwrap();
    let mut run = Run::new(&scenario, &expected, kill_at);
    let failure = run.run().await.err();
    if let Some(failure) = &failure {
        println!("killed at {kill_at} ({:?}): {failure}", run.died_at);
        if std::env::var_os("OPENDEPOT_CRASH_LOGS").is_some() {
            println!("{}", run.setup.log());
        }
    }
    Done {
        kill_at,
        died_at: run.died_at,
        recovery: run.recovery,
        failure,
    }
}

/// Kills at each point, reports by name, panics when anything was wrong.
async fn matrix(title: &str, scenario: Scenario, expected: Outcome) {
    let start = Instant::now();
    let (scenario, expected) = (Arc::new(scenario), Arc::new(expected));
    let rounds = if is_nightly() { 20 } else { 1 };
    let num_points = expected.points.len();
    let only = only();
    let mut runs = JoinSet::new();
    for _ in 0..rounds {
        for kill_at in (1..=num_points).filter(|at| only.is_empty() || only.contains(at)) {
            runs.spawn(one(Arc::clone(&scenario), Arc::clone(&expected), kill_at));
        }
    }
    let mut done = runs.join_all().await;
    let names: BTreeSet<&String> = expected.points.iter().collect();
    // Parallel work reaches its points in another order each time, so a name that comes once may
    // have been missed: it is tried again where it was and around.
    for name in &names {
        let mut tries = near(&expected.points, name);
        while only.is_empty() && !done.iter().any(|run| run.died_at.as_ref() == Some(*name)) {
            let Some(kill_at) = tries.pop() else { break };
            done.push(one(Arc::clone(&scenario), Arc::clone(&expected), kill_at).await);
        }
    }
    report(title, &done, &names, num_points, start.elapsed());
}

fn is_nightly() -> bool {
    std::env::var_os("OPENDEPOT_NIGHTLY").is_some()
}

/// The points that `OPENDEPOT_CRASH_POINTS=7,31` asks for; all when it is not set.
fn only() -> Vec<usize> {
    let text = std::env::var("OPENDEPOT_CRASH_POINTS").unwrap_or_default();
    text.split(',')
        .filter_map(|number| number.trim().parse().ok())
        .collect()
}

/// Where to look for a name: where it was, then ever further away; the best comes last.
fn near(points: &[String], name: &str) -> Vec<usize> {
    let found = points
        .iter()
        .position(|point| point == name)
        .unwrap_or_default()
        + 1;
    let mut tries = vec![found];
    for distance in 1..=NUM_RETRIES / 2 {
        tries.extend([found + distance, found.saturating_sub(distance)]);
    }
    tries.retain(|at| (1..=points.len()).contains(at));
    tries.reverse();
    tries
}

fn report(
    title: &str,
    done: &[Done],
    names: &BTreeSet<&String>,
    num_points: usize,
    took: Duration,
) {
    let died = |name: &String| {
        done.iter()
            .filter(|run| run.died_at.as_ref() == Some(name))
            .count()
    };
    println!(
        "{title}: {num_points} points, {} kinds; {} runs in {:.0} s, slowest recovery {:.1} s",
        names.len(),
        done.len(),
        took.as_secs_f32(),
        done.iter()
            .map(|run| run.recovery)
            .max()
            .unwrap_or_default()
            .as_secs_f32()
    );
    for name in names {
        println!("  {:>3} x {name}", died(name));
    }
    let mut missed: Vec<_> = names.iter().filter(|name| died(name) == 0).collect();
    if !only().is_empty() {
        missed.clear();
    }
    let num_survived = done.iter().filter(|run| run.died_at.is_none()).count();
    println!("  {num_survived} runs had fewer points than that");
    let mut failures = Vec::new();
    for run in done {
        if let Some(failure) = &run.failure {
            let name = run.died_at.as_deref().unwrap_or("no point");
            failures.push(format!("killed at {} ({name}): {failure}", run.kill_at));
        }
    }
    assert!(
        failures.is_empty() && missed.is_empty(),
        "{title}: {} of {} runs failed; points never hit: {missed:?}\n{}",
        failures.len(),
        done.len(),
        failures.join("\n")
    );
}

fn archives_are_those_of_the_source(facts: &Facts, versions: &[&str]) {
    let release = fixture::note(versions);
    for (name, digest) in facts {
        if let Some(("provider note", rest)) = name.split_once(" 1.").map(|(a, b)| (a, b))
            && let Some((version, platform)) = rest.split_once(' ')
        {
            let (os, arch) = platform.split_once('_').unwrap();
            let archive = release.archive(&format!("1.{version}"), os, arch);
            assert_eq!(*digest, opendepot_tests::sha256(&archive), "{name}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sync_that_is_killed_at_any_point_converges() {
    let scenario = Scenario {
        start: Start::Fresh(fixture::write_new),
        names: fixture::names_new(),
        before: Facts::new(),
        verified: Mutex::default(),
    };
    // A module, two platforms, SHA256SUMS.
    let (expected, _setup) = scenario.undisturbed(4).await;
    archives_are_those_of_the_source(&expected.facts, &["1.0.0"]);
    for needed in [
        "storage.put.published",
        "api.create-version",
        "release.sign",
        "api.create-readme",
    ] {
        assert!(
            expected.points.iter().any(|point| point == needed),
            "no `{needed}`"
        );
    }
    matrix("sync", scenario, expected).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deletion_that_is_killed_at_any_point_converges() {
    let full = Scenario {
        start: Start::Fresh(fixture::write_full),
        names: fixture::names_full(),
        before: Facts::new(),
        verified: Mutex::default(),
    };
    // Three module versions; two provider versions of two platforms and SHA256SUMS each.
    let (full, setup) = full.undisturbed(9).await;
    let mut scenario = Scenario {
        start: Start::Existing(setup.dir().to_owned(), fixture::take_away),
        names: fixture::names_full(),
        before: full.facts.clone(),
        verified: Mutex::default(),
    };
    let num_going = [
        "module tool 1.0.0",
        "module pair 1.0.0",
        "provider note 1.0.0",
    ]
    .into_iter()
    .chain([
        "provider note 1.0.0 linux_amd64",
        "provider note 1.0.0 darwin_amd64",
    ])
    .chain(["provider note 1.1.0 darwin_amd64"])
    .map(|name| scenario.names.going.insert(name.to_owned()))
    .count();
    let (expected, _) = scenario.undisturbed(full.facts.len() - num_going).await;
    for needed in [
        "storage.delete.removed",
        "api.delete-version",
        "api.remove-finalizer",
        "release.sign",
    ] {
        assert!(
            expected.points.iter().any(|point| point == needed),
            "no `{needed}`"
        );
    }
    matrix("deletion", scenario, expected).await;
}
