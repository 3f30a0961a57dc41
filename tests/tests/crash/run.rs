//! One run: killed at a point and started again, it must come to what an undisturbed run comes to,
//! and on the way never show anything that is not whole (I1), other than it was (I2), or less than
//! it had shown (I3).

use crate::fixture;
use crate::observe::{Facts, Names, Signatures, Trouble, look, look_again};
use crate::server::{BUILD, Server, verify};
use crate::state::{Objects, files};
use opendepot_tests::Setup;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::symlink;
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tempfile::TempDir;
use tokio::sync::Semaphore;

/// Convergence after a crash.
const CONVERGED: Duration = Duration::from_secs(60);
const POLL: Duration = Duration::from_millis(50);
/// A state that nothing was written to for so long is final.
const QUIET: Duration = Duration::from_secs(1);
/// A process that was killed has ended within this.
const SILENT: Duration = Duration::from_secs(10);
/// Runs at a time, of all tests together.
static RUNS: Semaphore = Semaphore::const_new(4);

/// What happens, and what clients may see meanwhile.
pub(crate) struct Scenario {
    pub(crate) title: &'static str,
    /// Where each run starts from.
    pub(crate) start: Start,
    pub(crate) names: Names,
    /// What is published before.
    pub(crate) before: Facts,
    /// The kinds of points after which `opendepot verify` was run.
    pub(crate) verified: Mutex<BTreeSet<String>>,
    /// A folder on another disk, where what is fetched goes: it is stored by copying then.
    pub(crate) other_disk: Option<TempDir>,
    /// A configuration file.
    pub(crate) config: Option<&'static str>,
}

pub(crate) enum Start {
    /// An empty data dir and these resources.
    Fresh(fn(&Setup)),
    /// A folder with a data dir and resources, and what changes while it is down.
    Existing(Setup, fn(&Setup)),
}

/// Where an undisturbed run ends.
pub(crate) struct Outcome {
    pub(crate) facts: Facts,
    pub(crate) objects: Objects,
    pub(crate) files: BTreeMap<String, String>,
    pub(crate) points: Vec<String>,
}

impl Scenario {
    /// One that starts from nothing, with nothing published before.
    pub(crate) fn fresh(title: &'static str, write: fn(&Setup), names: Names) -> Self {
        Self::new(title, Start::Fresh(write), names)
    }

    pub(crate) fn new(title: &'static str, start: Start, names: Names) -> Self {
        Self {
            title,
            start,
            names,
            before: Facts::new(),
            verified: Mutex::default(),
            other_disk: None,
            config: None,
        }
    }

    fn setup(&self) -> Setup {
        let mut setup = Setup::plain();
        if let Some(config) = self.config {
            setup = setup.config(config);
        }
        match &self.start {
            Start::Fresh(write) => write(&setup),
            Start::Existing(existing, change) => {
                for folder in ["data", "manifests"] {
                    fixture::copy(&existing.dir().join(folder), &setup.dir().join(folder));
                }
                change(&setup);
            }
        }
        if let Some(disk) = &self.other_disk {
            let folder = disk.path().join(setup.dir().file_name().unwrap());
            fs::create_dir(&folder).unwrap();
            fs::create_dir_all(setup.data_dir()).unwrap();
            symlink(folder, setup.data_dir().join("tmp")).unwrap();
        }
        setup
    }

    /// Runs without a kill until nothing changes any more.
    pub(crate) async fn undisturbed(&self, is_final: impl Fn(&Facts) -> bool) -> (Outcome, Setup) {
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
                } else if is_final(&last.0) && since.elapsed() > QUIET {
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

/// Starts a server that writes the names of the points to a file, and dies at one of them.
pub(crate) fn spawn(setup: &Setup, trace: &Path, kill_at: Option<usize>) -> Server {
    let mut environment = vec![("OPENDEPOT_FAULT_TRACE", trace.display().to_string())];
    if let Some(kill_at) = kill_at {
        environment.push(("OPENDEPOT_KILL_AT", kill_at.to_string()));
    }
    Server::spawn(setup, &environment)
}

pub(crate) fn read_trace(path: &Path) -> Vec<String> {
    let text = fs::read_to_string(path).unwrap_or_default();
    text.lines().map(str::to_owned).collect()
}

/// What has to hold while anything runs.
struct Watch<'a> {
    scenario: &'a Scenario,
    after: &'a Facts,
    /// What was shown and must stay.
    shown: BTreeSet<String>,
    /// What it was signed with.
    signatures: Signatures,
}

impl<'a> Watch<'a> {
    fn new(scenario: &'a Scenario, after: &'a Facts) -> Self {
        let stays = |name: &&String| after.contains_key(*name);
        let shown = scenario.before.keys().filter(stays).cloned().collect();
        Self {
            scenario,
            after,
            shown,
            signatures: Signatures::new(),
        }
    }

    /// One look at a server; what it shows.
    async fn look(&mut self, server: &mut Server) -> Result<Option<Facts>, String> {
        self.look_at(server, false).await
    }

    async fn look_at(
        &mut self,
        server: &mut Server,
        is_again: bool,
    ) -> Result<Option<Facts>, String> {
        let is_ready = server.is_ready().await;
        let seen = look_again(server, &self.scenario.names, &mut self.signatures).await;
        let facts = match seen {
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
        // A change between two requests of one look is no loss.
        let is_less = self.shown.iter().any(|name| !facts.contains_key(name));
        if is_ready && is_less && !is_again {
            return Box::pin(self.look_at(server, true)).await;
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
        let num_whole = self.expected.objects.num_stored();
        let said = String::from_utf8_lossy(&verified.stdout);
        if !verified.status.success() || said != format!("{num_whole} whole, 0 not\n") {
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
pub(crate) struct Done {
    /// The point that it died at; nothing when it came to its end before.
    pub(crate) died_at: Option<String>,
    /// The points that it reached before.
    pub(crate) points: Vec<String>,
    /// From the second start to the final state.
    pub(crate) recovery: Duration,
    /// What was wrong.
    pub(crate) failure: Option<String>,
}

/// One run, when it is its turn.
pub(crate) async fn one(scenario: Arc<Scenario>, expected: Arc<Outcome>, kill_at: usize) -> Done {
    let _permit = RUNS.acquire().await.unwrap();
    let mut run = Run::new(&scenario, &expected, kill_at);
    let failure = run.run().await.err().map(|failure| {
        let name = run.died_at.as_deref().unwrap_or("no point");
        let failure = format!(
            "{}: killed at {kill_at} ({name}): {failure}",
            scenario.title
        );
        println!("{failure}");
        if std::env::var_os("OPENDEPOT_CRASH_LOGS").is_some() {
            println!("{}", run.setup.log());
        }
        failure
    });
    Done {
        points: read_trace(&run.setup.dir().join("trace")),
        died_at: run.died_at,
        recovery: run.recovery,
        failure,
    }
}

/// Whether there is time to repeat everything.
pub(crate) fn is_nightly() -> bool {
    std::env::var_os("OPENDEPOT_NIGHTLY").is_some()
}
