//! The actor around the catalog: bursts, panics, single-flight. Time is paused.

use super::{context, module, platform, signed, snapshot, version};
use crate::Error;
use crate::registry::{CatalogSource, ProviderVersion, RegistryHandle, RegistryOptions, Snapshot};
use crate::supervisor::Health;
use crate::testing::{paused, settle, until};
use futures::future::join_all;
use opendepot_domain::seam::{BoxFuture, SeamError, StorageDecisions};
use opendepot_domain::{
    Artifact, ArtifactRecord, Kind, NativePlan, Operation, Placement, PluginId, Transfer,
    placement::SignedRequest,
};
use parking_lot::Mutex;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;
use tokio::sync::Semaphore;

#[derive(Default)]
struct Source {
    facts: Mutex<Option<Snapshot>>,
    num_asked: AtomicUsize,
    panics: AtomicBool,
}

impl CatalogSource for Source {
    fn snapshot(&self) -> Option<Snapshot> {
        self.num_asked.fetch_add(1, Ordering::Relaxed);
        assert!(
            !self.panics.load(Ordering::Relaxed),
            "the source panics, as the test asks"
        );
        self.facts.lock().clone()
    }
}

struct Storage {
    num_plans: AtomicUsize,
    gate: Semaphore,
    answer: Mutex<Answer>,
}

#[derive(Clone, Copy)]
enum Answer {
    Native,
    Signed,
    Fail,
    Panic,
}

impl StorageDecisions for Storage {
    fn validate<'a>(
        &'a self,
        _: &'a PluginId,
        _: Option<&'a str>,
    ) -> BoxFuture<'a, Result<(), SeamError>> {
        unreachable!("the registry validates nothing")
    }

    fn locate<'a>(
        &'a self,
        _: &'a PluginId,
        _: Option<&'a str>,
        _: &'a Artifact,
    ) -> BoxFuture<'a, Result<Placement, SeamError>> {
        unreachable!("the registry places nothing")
    }

    fn plan<'a>(
        &'a self,
        record: &'a ArtifactRecord,
        _: &'a Artifact,
        operation: Operation,
        _: u64,
    ) -> BoxFuture<'a, Result<Transfer, SeamError>> {
        assert_eq!(operation, Operation::Get);
        self.num_plans.fetch_add(1, Ordering::Relaxed);
        let answer = *self.answer.lock();
        Box::pin(async move {
            let _ = self.gate.acquire().await;
            match answer {
                Answer::Native => Ok(Transfer::Native(NativePlan {
                    plugin: record.plugin.clone(),
                    placement: Placement {
                        store: record.store.clone(),
                        key: record.key.clone(),
                        attributes: Vec::new(),
                        options: Vec::new(),
                        credentials: None,
                    },
                })),
                Answer::Signed => Ok(Transfer::Signed(SignedRequest {
                    plugin: record.plugin.clone(),
                    method: "GET".to_owned(),
                    url: "https://bucket.example/key".to_owned(),
                    headers: Vec::new(),
                    expires_at: 1,
                    success: vec![200],
                    exists: Vec::new(),
                    missing: vec![404],
                })),
                Answer::Fail => Err(SeamError {
                    kind: Kind::Unavailable,
                    message: "no".to_owned(),
                }),
                Answer::Panic => panic!("the plugin panics, as the test asks"),
            }
        })
    }
}

struct World {
    source: Arc<Source>,
    storage: Arc<Storage>,
    registry: RegistryHandle,
}

impl World {
    fn start(facts: Option<Snapshot>) -> Self {
        let source = Arc::new(Source {
            facts: Mutex::new(facts),
            ..Source::default()
        });
        let storage = Arc::new(Storage {
            num_plans: AtomicUsize::new(0),
            gate: Semaphore::new(1_000),
            answer: Mutex::new(Answer::Native),
        });
        let registry = RegistryHandle::start(
            actix_rt::System::current().arbiter().clone(),
            RegistryOptions {
                source: Arc::clone(&source) as Arc<dyn CatalogSource>,
                storage: Arc::clone(&storage) as Arc<dyn StorageDecisions>,
                context: context(),
                num_cached_plans: 10,
            },
        );
        Self {
            source,
            storage,
            registry,
        }
    }

    fn num_rebuilds(&self) -> usize {
        self.source.num_asked.load(Ordering::Relaxed)
    }

    fn num_plans(&self) -> usize {
        self.storage.num_plans.load(Ordering::Relaxed)
    }
}

fn facts() -> Snapshot {
    snapshot(
        &[module("network")],
        &[],
        vec![
            version("network", "1.0.0", "a"),
            version("network", "2.0.0", "b"),
        ],
    )
}

#[test]
fn the_first_catalog_comes_without_being_asked_for() {
    paused(async || {
        let world = World::start(Some(facts()));
        assert!(!world.registry.is_built());
        until(|| world.registry.is_built()).await;
        assert!(world.registry.catalog().module("team", "network").is_some());
        settle().await;
        assert_eq!(
            world.num_rebuilds(),
            1,
            "and nothing is rebuilt while nothing changes"
        );
    });
}

#[test]
fn nothing_is_served_before_the_first_lists_are_complete() {
    paused(async || {
        let world = World::start(None);
        settle().await;
        assert!(!world.registry.is_built());
        *world.source.facts.lock() = Some(facts());
        world.registry.catalog_changed().await;
        until(|| world.registry.is_built()).await;
    });
}

#[test]
fn a_burst_of_changes_is_one_rebuild_and_the_last_change_is_in_it() {
    paused(async || {
        let world = World::start(Some(facts()));
        until(|| world.registry.is_built()).await;
        settle().await;
        let before = world.num_rebuilds();
        let notices = join_all((0..200).map(|index| {
            let world = &world;
            async move {
                if index == 199 {
                    *world.source.facts.lock() = Some(Snapshot::default());
                }
                world.registry.catalog_changed().await;
            }
        }));
        notices.await;
        settle().await;
        let rebuilds = world.num_rebuilds() - before;
        // Notices take turns through few permits, so a burst may last some pauses.
        assert!((1..=20).contains(&rebuilds), "{rebuilds}");
        assert!(world.registry.catalog().module("team", "network").is_none());
    });
}

#[test]
fn changes_in_one_pause_are_one_rebuild() {
    paused(async || {
        let world = World::start(Some(facts()));
        until(|| world.registry.is_built()).await;
        settle().await;
        for _ in 0..100 {
            world.registry.catalog_changed().await;
        }
        settle().await;
        assert_eq!(world.num_rebuilds(), 2);
    });
}

#[test]
fn a_source_that_panics_costs_no_reader_and_the_actor_comes_back() {
    paused(async || {
        let world = World::start(Some(facts()));
        until(|| world.registry.is_built()).await;
        world.source.panics.store(true, Ordering::Relaxed);
        world.registry.catalog_changed().await;
        until(|| matches!(world.registry.health(), Health::BackingOff(_))).await;
        assert!(
            world.registry.catalog().module("team", "network").is_some(),
            "the last good catalog is read"
        );
        assert_eq!(world.registry.catalog().generation, 1);
        *world.source.facts.lock() = Some(Snapshot::default());
        world.source.panics.store(false, Ordering::Relaxed);
        // It rebuilds from a fresh list by itself.
        until(|| world.registry.catalog().generation == 2).await;
        assert!(world.registry.catalog().module("team", "network").is_none());
        assert!(matches!(world.registry.health(), Health::Running(restarts) if restarts >= 1));
    });
}

#[test]
fn a_source_that_never_stops_panicking_is_given_up_and_waiters_are_let_go() {
    paused(async || {
        let world = World::start(Some(facts()));
        until(|| world.registry.is_built()).await;
        world.source.panics.store(true, Ordering::Relaxed);
        world.registry.catalog_changed().await;
        until(|| world.registry.health() == Health::GivenUp).await;
        world.registry.catalog_changed().await;
        assert!(world.registry.catalog().module("team", "network").is_some());
    });
}

#[test]
fn fifty_plans_at_once_are_one_plugin_call() {
    paused(async || {
        let world = World::start(Some(facts()));
        until(|| world.registry.is_built()).await;
        let held = world.storage.gate.acquire_many(1_000).await.unwrap();
        let catalog = world.registry.catalog_full();
        let module = catalog.module("team", "network").unwrap();
        let one = module.version(&"1.0.0".parse().unwrap()).unwrap();
        let two = module.version(&"2.0.0".parse().unwrap()).unwrap();
        let plans = join_all((0..50).map(|_| world.registry.plan_module(one, Operation::Get, 1)));
        let other = world.registry.plan_module(two, Operation::Get, 1);
        let release = async {
            until(|| world.num_plans() == 2 && world.registry.depth() == 51).await;
            drop(held);
        };
        let (plans, other, ()) = futures::join!(plans, other, release);
        let first = plans[0].as_ref().unwrap();
        assert!(
            plans
                .iter()
                .all(|plan| Arc::ptr_eq(plan.as_ref().unwrap(), first))
        );
        assert_ne!(
            **other.as_ref().unwrap(),
            **first,
            "another placement is another plan"
        );
        assert_eq!(world.num_plans(), 2);
        // And remembered.
        world
            .registry
            .plan_module(one, Operation::Get, 1)
            .await
            .unwrap();
        assert_eq!(world.num_plans(), 2);
        world.registry.forget_plans();
        world
            .registry
            .plan_module(one, Operation::Get, 1)
            .await
            .unwrap();
        assert_eq!(world.num_plans(), 3);
        assert_eq!(world.registry.depth(), 0);
    });
}

#[test]
fn more_plans_than_permits_are_refused_at_once() {
    paused(async || {
        let versions = (0..300)
            .map(|patch| version("network", &format!("1.0.{patch}"), &patch.to_string()))
            .collect();
        let world = World::start(Some(snapshot(&[module("network")], &[], versions)));
        until(|| world.registry.is_built()).await;
        let held = world.storage.gate.acquire_many(1_000).await.unwrap();
        let catalog = world.registry.catalog_full();
        let module = catalog.module("team", "network").unwrap();
        let all: Vec<_> = (0..300)
            .map(|patch| {
                module
                    .version(&format!("1.0.{patch}").parse().unwrap())
                    .unwrap()
            })
            .collect();
        let plans = join_all(
            all.iter()
                .map(|version| world.registry.plan_module(version, Operation::Get, 1)),
        );
        let release = async {
            until(|| world.num_plans() == 256).await;
            drop(held);
        };
        let (plans, ()) = futures::join!(plans, release);
        let busy = plans.iter().filter(|plan| {
            matches!(
                plan.as_ref().map_err(|error| &**error),
                Err(Error::Busy { .. })
            )
        });
        assert_eq!(busy.count(), 44);
    });
}

#[test]
fn what_expires_or_failed_is_not_remembered() {
    paused(async || {
        let world = World::start(Some(facts()));
        until(|| world.registry.is_built()).await;
        let catalog = world.registry.catalog_full();
        let one = catalog
            .module("team", "network")
            .unwrap()
            .version(&"1.0.0".parse().unwrap())
            .unwrap();
        *world.storage.answer.lock() = Answer::Signed;
        for expected in 1..=2 {
            assert!(matches!(
                *world
                    .registry
                    .plan_module(one, Operation::Get, 1)
                    .await
                    .unwrap(),
                Transfer::Signed(_)
            ));
            assert_eq!(world.num_plans(), expected);
        }
        *world.storage.answer.lock() = Answer::Fail;
        let error = world
            .registry
            .plan_module(one, Operation::Get, 1)
            .await
            .unwrap_err();
        assert_eq!(error.kind(), Kind::Unavailable);
        *world.storage.answer.lock() = Answer::Native;
        world
            .registry
            .plan_module(one, Operation::Get, 1)
            .await
            .unwrap();
        assert_eq!(world.num_plans(), 4);
    });
}

#[test]
fn a_plugin_that_panics_or_hangs_costs_its_callers_and_nobody_else() {
    paused(async || {
        let world = World::start(Some(facts()));
        until(|| world.registry.is_built()).await;
        let catalog = world.registry.catalog_full();
        let module = catalog.module("team", "network").unwrap();
        let one = module.version(&"1.0.0".parse().unwrap()).unwrap();
        let two = module.version(&"2.0.0".parse().unwrap()).unwrap();
        *world.storage.answer.lock() = Answer::Panic;
        let error = world
            .registry
            .plan_module(one, Operation::Get, 1)
            .await
            .unwrap_err();
        assert_eq!(error.kind(), Kind::Unavailable);
        assert_eq!(
            world.registry.health(),
            Health::Running(0),
            "the actor lives"
        );

        *world.storage.answer.lock() = Answer::Native;
        let held = world.storage.gate.acquire_many(1_000).await.unwrap();
        let started = tokio::time::Instant::now();
        let error = world
            .registry
            .plan_module(one, Operation::Get, 1)
            .await
            .unwrap_err();
        assert_eq!(error.kind(), Kind::Unavailable);
        assert!(
            started.elapsed() < Duration::from_secs(10),
            "before the client gives up"
        );
        drop(held);
        world
            .registry
            .plan_module(two, Operation::Get, 1)
            .await
            .unwrap();
        assert_eq!(world.registry.depth(), 0);
    });
}

#[test]
fn a_stopped_registry_refuses_plans_and_is_read_on() {
    paused(async || {
        let package = platform("widget", "1.0.0", "linux", "l");
        let mut carried = package.clone();
        carried.releases = vec![signed(&[&package], 10)];
        let facts = snapshot(&[], &[super::provider("widget")], vec![carried]);
        let world = World::start(Some(facts));
        until(|| world.registry.is_built()).await;
        world.registry.stop();
        until(|| world.registry.health() == Health::Stopped).await;
        let catalog = world.registry.catalog_full();
        let version: &ProviderVersion = catalog
            .provider("team", "widget")
            .unwrap()
            .version(&"1.0.0".parse().unwrap())
            .unwrap();
        let package = version.releases[0].package("linux", "amd64").unwrap();
        assert!(
            world
                .registry
                .plan_package(package, Operation::Get, 1)
                .await
                .is_err()
        );
        world.registry.catalog_changed().await;
    });
}
