//! The scenarios, and what all of them together have to cover.

use crate::fixture;
use crate::matrix::{Matrix, only};
use crate::run::{Scenario, Start, read_trace, spawn};
use crate::server::Server;
use crate::state::annotate;
use opendepot_tests::{Setup, sha256};
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::time::Duration;

/// Every point of the host but those of `cloud`; each has to be the last thing that some run did.
const POINTS: [&str; 43] = [
    "api.add-finalizer",
    "api.add-finalizer.done",
    "api.create-event",
    "api.create-event.done",
    "api.create-readme",
    "api.create-readme.done",
    "api.create-version",
    "api.create-version.done",
    "api.delete-version",
    "api.delete-version.done",
    "api.patch-readme",
    "api.patch-readme.done",
    "api.patch-status",
    "api.patch-status.done",
    "api.patch-version",
    "api.patch-version.done",
    "api.remove-finalizer",
    "api.remove-finalizer.done",
    "cleanup.erase",
    "cleanup.erase.done",
    "migrate.copy",
    "migrate.copy.done",
    "migrate.erase",
    "migrate.erase.done",
    "release.sign",
    "release.sign.done",
    "storage.delete.begin",
    "storage.delete.done",
    "storage.delete.removed",
    "storage.delete.synced",
    "storage.put.begin",
    "storage.put.directory-created",
    "storage.put.done",
    "storage.put.published",
    "storage.put.synced",
    "storage.put.temp-created",
    "storage.put.written",
    "sync.erase",
    "sync.erase.done",
    "sync.fetch",
    "sync.fetch.done",
    "sync.store",
    "sync.store.done",
];

/// Rounds of tries for points that no run died at.
const NUM_ROUNDS: usize = 5;
const TOOL: &str = "module tool 1.0.0";
const SOON: Duration = Duration::from_secs(60);

/// A module and a provider, from nothing to published.
async fn sync() -> Matrix {
    let scenario = Scenario::fresh("sync", fixture::write_new, fixture::names_new());
    // A module, two platforms, SHA256SUMS.
    let (expected, _setup) = scenario.undisturbed(|facts| facts.len() == 4).await;
    for (os, arch) in [("linux", "amd64"), ("darwin", "amd64")] {
        let archive = fixture::note(&["1.0.0"]).archive("1.0.0", os, arch);
        let name = format!("provider note 1.0.0 {os}_{arch}");
        assert_eq!(expected.facts.get(&name), Some(&sha256(&archive)), "{name}");
    }
    Matrix::run(scenario, expected).await
}

/// A module, a version of another and of a provider are taken away, and a platform, so that the
/// provider version that stays is signed anew.
async fn deletion() -> Matrix {
    let full = Scenario::fresh("deletion", fixture::write_full, fixture::names_full());
    // Three module versions; two provider versions of two platforms and SHA256SUMS each.
    let (full, setup) = full.undisturbed(|facts| facts.len() == 9).await;
    let start = Start::Existing(setup, fixture::take_away);
    let mut scenario = Scenario::new("deletion", start, fixture::names_full());
    scenario.before = full.facts;
    scenario.names.going = fixture::going();
    let num_left = scenario.before.len() - scenario.names.going.len();
    let (expected, _) = scenario.undisturbed(|facts| facts.len() == num_left).await;
    // The folder was moved, and none of what stays was read again (contract.md 3).
    assert!(!expected.points.contains(&"sync.fetch".to_owned()));
    Matrix::run(scenario, expected).await
}

/// Killed between upload and record, then the source has other content: the first upload goes.
async fn changed_source() -> Matrix {
    let first = Scenario::fresh("changed source", fixture::write_tool, fixture::names_tool());
    let (old, _) = first.undisturbed(|facts| facts.len() == 1).await;
    let setup = killed_at("storage.put.published", &old.points).await;
    fixture::write_other_source(&setup.manifests());
    let start = Start::Existing(setup, |_| {});
    let scenario = Scenario::new("changed source", start, fixture::names_tool());
    let (expected, _) = scenario.undisturbed(|facts| facts.len() == 1).await;
    assert_ne!(expected.facts, old.facts, "the old content is served");
    let num_artifacts = |names: &mut dyn Iterator<Item = &String>| {
        names.filter(|name| name.starts_with("artifacts/")).count()
    };
    assert_eq!(
        num_artifacts(&mut expected.files.keys()),
        1,
        "an orphan is left"
    );
    Matrix::run(scenario, expected).await
}

/// A module alone, killed at a point of that name.
async fn killed_at(name: &str, points: &[String]) -> Setup {
    let place = points.iter().position(|point| point == name).unwrap() + 1;
    for kill_at in [0, 1, 2, 3, 4, 5]
        .into_iter()
        .flat_map(|by| [place + by, place.saturating_sub(by)])
    {
        let setup = Setup::plain();
        fixture::write_tool(&setup);
        let trace = setup.dir().join("trace");
        let mut server = spawn(&setup, &trace, Some(kill_at));
        if server.wait_exit(SOON).await.is_some()
            && read_trace(&trace).last().is_some_and(|last| last == name)
        {
            return setup;
        }
    }
    panic!("no run could be killed at `{name}`");
}

/// What is fetched is on another disk than what is stored, so that it is copied, not linked.
async fn other_disk() -> Matrix {
    let mut scenario = Scenario::fresh("other disk", fixture::write_tool, fixture::names_tool());
    scenario.other_disk = Some(fixture::other_disk());
    let (expected, _) = scenario.undisturbed(|facts| facts.len() == 1).await;
    assert!(
        expected.points.contains(&"storage.put.written".to_owned()),
        "nothing was copied: {:?}",
        expected.points
    );
    Matrix::run(scenario, expected).await
}

/// Published content is replaced by other content that an administrator approved.
async fn approved_change() -> Matrix {
    let title = "approved change";
    let other = Scenario::fresh(title, fixture::write_other_tool, fixture::names_tool());
    let (new, _) = other.undisturbed(|facts| facts.len() == 1).await;
    let first = Scenario::fresh(title, fixture::write_tool, fixture::names_tool());
    let (old, setup) = first.undisturbed(|facts| facts.len() == 1).await;
    assert_ne!(old.facts, new.facts);
    approve(&setup, new.facts.get(TOOL).unwrap()).await;
    fixture::write_other_source(&setup.manifests());

    let start = Start::Existing(setup, |_| {});
    let mut scenario = Scenario::new(title, start, fixture::names_tool());
    scenario.before = old.facts;
    let (expected, _) = scenario.undisturbed(|facts| *facts == new.facts).await;
    Matrix::run(scenario, expected).await
}

/// A published module is to be kept elsewhere: copied, recorded there, and then removed here.
async fn migration() -> Matrix {
    let title = "migration";
    let first = Scenario::fresh(title, fixture::write_tool, fixture::names_tool());
    let (old, setup) = first.undisturbed(|facts| facts.len() == 1).await;
    let start = Start::Existing(setup, fixture::move_tool);
    let mut scenario = Scenario::new(title, start, fixture::names_tool());
    scenario.config = Some(fixture::ELSEWHERE);
    scenario.before = old.facts.clone();
    let (expected, _) = scenario.undisturbed(|facts| *facts == old.facts).await;
    let kept = expected.files.keys();
    let kept: Vec<_> = kept.filter(|name| name.starts_with("artifacts/")).collect();
    assert!(
        kept.len() == 1 && kept[0].starts_with("artifacts/moved/tool/"),
        "{kept:?}"
    );
    Matrix::run(scenario, expected).await
}

/// Annotates the Version while no controller runs, so that the change is made by the runs.
async fn approve(setup: &Setup, digest: &str) {
    let environment = [("OPENDEPOT_CONTROLLERS", String::new())];
    let server = Server::spawn(setup, &environment);
    opendepot_tests::wait_until("the server to be ready", SOON, || async {
        if server.is_ready().await {
            Ok(())
        } else {
            Err(setup.log())
        }
    })
    .await;
    for (name, value) in [
        ("accept-digest", format!("sha256:{digest}")),
        ("requested-at", "2026-01-01T00:00:00Z".to_owned()),
    ] {
        let name = format!("opendepot.defdev.io/{name}");
        annotate(setup, "tool-1-0-0", &name, &value).await;
    }
    assert!(server.stop().await.is_some_and(|status| status.success()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kill_at_any_point_converges() {
    let mut matrices: [Matrix; 6] = tokio::join!(
        sync(),
        deletion(),
        changed_source(),
        approved_change(),
        other_disk(),
        migration()
    )
    .into();
    for round in 0..NUM_ROUNDS {
        for name in missed(&matrices) {
            for matrix in &mut matrices {
                matrix.retry(name, round).await;
            }
        }
    }
    matrices.iter().for_each(Matrix::print);
    let failures: Vec<&str> = matrices.iter().flat_map(Matrix::failures).collect();
    let num = failures.len();
    assert_eq!(num, 0, "{num} runs failed:\n{}", failures.join("\n"));
    let missed = missed(&matrices);
    assert!(missed.is_empty(), "never the last of a run: {missed:?}");
}

/// The points that no run died at.
fn missed(matrices: &[Matrix]) -> Vec<&'static str> {
    let hit: BTreeSet<&str> = matrices.iter().flat_map(Matrix::hits).collect();
    let missed = POINTS
        .iter()
        .filter(|name| only().is_empty() && !hit.contains(**name));
    missed.copied().collect()
}

#[test]
fn every_point_of_the_sources_is_known() {
    let mut found = BTreeSet::new();
    for folder in ["controller/src", "transfer/src", "actors/src"] {
        collect(
            &Path::new(env!("CARGO_MANIFEST_DIR"))
                .join("../host")
                .join(folder),
            &mut found,
        );
    }
    let known = POINTS.iter().chain(&crate::cloud::POINTS);
    let known: BTreeSet<String> = known.map(|name| (*name).to_owned()).collect();
    assert_eq!(found, known);
}

fn collect(folder: &Path, found: &mut BTreeSet<String>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, found);
            continue;
        }
        let text = fs::read_to_string(&path).unwrap();
        for rest in text.split("fault::point(\"").skip(1) {
            found.extend(rest.split('"').next().map(str::to_owned));
        }
    }
}
