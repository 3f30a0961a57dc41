//! A panic costs only its own: an actor comes back while reads go on, a reconcile loses its turn
//! and nothing else (C11).

use crate::fixture;
use crate::observe::{Facts, look};
use crate::run::Scenario;
use crate::server::Server;
use crate::state::{Objects, files};
use opendepot_tests::server::MODULES;
use opendepot_tests::{Module, Setup, fixture::NAMESPACE, wait_until};
use std::fs;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

/// One after another: a point of each layer that a sync goes through.
const PLACES: [&str; 5] = [
    "api.create-version.done",
    "sync.fetch.done",
    "storage.put.published",
    "api.patch-status.done",
    "release.sign.done",
];

/// An object's turns are put off for seconds, twice as many after each panic.
const SOON: Duration = Duration::from_secs(60);
/// A reader leaves the processors to others meanwhile.
const READ_EVERY: Duration = Duration::from_millis(20);
/// Panics in a row; the pauses between them are 200 ms, 400 ms and so on.
const NUM_PANICS: usize = 3;

/// Where a running server finds out at which places it should panic.
struct Panics(PathBuf);

impl Panics {
    fn new(setup: &Setup) -> Self {
        let folder = setup.dir().join("panics");
        fs::create_dir(&folder).unwrap();
        Self(folder)
    }

    fn environment(&self) -> (&'static str, String) {
        ("OPENDEPOT_PANIC_DIR", self.0.display().to_string())
    }

    fn ask(&self, name: &str) {
        fs::write(self.0.join(name), b"").unwrap();
    }

    /// Those that did not happen yet.
    fn open(&self) -> Vec<String> {
        let entries = fs::read_dir(&self.0).unwrap();
        entries
            .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
            .collect()
    }

    async fn wait_for_all(&self, what: &str) {
        wait_until(what, SOON, || async {
            match self.open() {
                open if open.is_empty() => Ok(()),
                open => Err(open),
            }
        })
        .await;
    }
}

async fn shown(server: &Server, num: usize) -> Facts {
    let names = fixture::names_new();
    wait_until("everything to be published", SOON, || async {
        match look(server, &names).await {
            Ok(facts) if facts.len() == num => Ok(facts),
            other => Err(other),
        }
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_actor_that_panics_comes_back_while_reads_go_on() {
    let setup = Setup::plain();
    let panics = Panics::new(&setup);
    fixture::write_new(&setup);
    let mut server = Server::spawn(&setup, &[panics.environment()]);
    let facts = shown(&server, 4).await;

    for (actor, place) in [
        ("registry", "registry.rebuild"),
        ("reconciler", "reconciler.fetch"),
    ] {
        let (is_over, num_reads) = (AtomicBool::new(false), AtomicUsize::new(0));
        let names = fixture::names_new();
        let read = async {
            while !is_over.load(Ordering::Relaxed) {
                let now = look(&server, &names).await;
                let now = now.unwrap_or_else(|why| panic!("{actor}: a read failed: {why:?}"));
                assert_eq!(now, facts, "{actor}: a read changed");
                num_reads.fetch_add(1, Ordering::Relaxed);
                tokio::time::sleep(READ_EVERY).await;
            }
        };
        let module = format!("after-{actor}");
        let write = async {
            for round in 0..NUM_PANICS {
                panics.ask(place);
                if round == 0 {
                    Module::new(&module).write(&setup.manifests());
                }
                panics
                    .wait_for_all(&format!("the panic of the actor {actor}"))
                    .await;
            }
            let during = num_reads.load(Ordering::Relaxed);
            let path = format!("{MODULES}/{NAMESPACE}/{module}/local/1.0.0/download");
            wait_until(&format!("{module} to be published"), SOON, || async {
                match server.get(&path).await.unwrap().status.as_u16() {
                    204 => Ok(()),
                    other => Err(other),
                }
            })
            .await;
            is_over.store(true, Ordering::Relaxed);
            during
        };
        let (during, ()) = tokio::join!(write, read);
        assert!(
            during > 0,
            "nothing was read while the actor {actor} was down"
        );
        let restarts = format!("opendepot_actor_restarts_total{{actor=\"{actor}\"}}");
        assert_eq!(server.metric(&restarts).await, Some(NUM_PANICS as f64));
        assert!(server.is_ready().await, "{actor}");
    }
    assert_eq!(server.exited(), None);
    assert!(server.stop().await.is_some_and(|status| status.success()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_panic_in_a_sync_costs_a_turn_and_nothing_else() {
    let scenario = Scenario::fresh("panics", fixture::write_new, fixture::names_new());
    let (expected, _) = scenario.undisturbed(|facts| facts.len() == 4).await;

    let setup = Setup::plain();
    let panics = Panics::new(&setup);
    fixture::write_new(&setup);
    for place in PLACES {
        panics.ask(place);
    }
    let mut server = Server::spawn(&setup, &[panics.environment()]);
    panics.wait_for_all("a panic at each place").await;
    assert_eq!(shown(&server, 4).await, expected.facts);
    wait_until("the objects of an undisturbed run", SOON, || async {
        match Objects::read(&setup).await {
            Some((objects, _)) if objects == expected.objects => Ok(()),
            Some((objects, _)) => Err(objects.differences(&expected.objects)),
            None => Err(Vec::new()),
        }
    })
    .await;
    // The one in the store is in a blocking task: an error of the turn that waited for it.
    let panicked = "opendepot_controller_reconcile_panics_total";
    let expected_panics = (PLACES.len() - 1) as f64;
    assert_eq!(server.metric(panicked).await, Some(expected_panics));
    assert_eq!(server.exited(), None);
    assert!(server.stop().await.is_some_and(|status| status.success()));
    assert_eq!(files(&setup), expected.files, "something is left over");
}
