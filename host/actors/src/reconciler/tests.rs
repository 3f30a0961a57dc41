//! Admission through the actor: fairness among namespaces, one fetch for equal sources, panics.

use super::*;
use crate::supervisor::Health;
use crate::testing::{paused, until};
use futures::future::join_all;
use opendepot_domain::seam::{SeamError, StorageDecisions};
use opendepot_domain::{
    Artifact, ArtifactId, ArtifactKind, ArtifactRecord, ConfigName, FileName, Kind, NativePlan,
    Operation, Placement, PluginId, ResourceName, Sha256, Transfer, Version,
};
use opendepot_transfer::{EgressConfig, FetchLimits, Fetcher, Stores, StoresConfig};
use parking_lot::Mutex;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use tempfile::TempDir;
use tokio::sync::Semaphore;

/// Plans under the record's key, each once the gate lets it; notes whose turn it was.
struct Storage {
    gate: Semaphore,
    turns: Mutex<Vec<String>>,
    num_running: AtomicUsize,
    most_running: AtomicUsize,
    panics_for: Mutex<Option<String>>,
}

impl StorageDecisions for Storage {
    fn validate<'a>(
        &'a self,
        _: &'a PluginId,
        _: Option<&'a str>,
    ) -> BoxFuture<'a, Result<(), SeamError>> {
        Box::pin(std::future::ready(Ok(())))
    }

    fn locate<'a>(
        &'a self,
        _: &'a PluginId,
        _: Option<&'a str>,
        artifact: &'a Artifact,
    ) -> BoxFuture<'a, Result<Placement, SeamError>> {
        let key = format!("{}/{}", artifact.config_name, artifact.file_name);
        Box::pin(std::future::ready(Ok(placement(&key))))
    }

    fn plan<'a>(
        &'a self,
        record: &'a ArtifactRecord,
        artifact: &'a Artifact,
        operation: Operation,
        _: u64,
    ) -> BoxFuture<'a, Result<Transfer, SeamError>> {
        Box::pin(async move {
            if operation == Operation::Prepare {
                return Ok(Transfer::Nothing);
            }
            let namespace = artifact.id.namespace.to_string();
            assert_ne!(
                self.panics_for.lock().as_deref(),
                Some(namespace.as_str()),
                "as the test asks"
            );
            self.turns.lock().push(namespace);
            let running = self.num_running.fetch_add(1, Ordering::Relaxed) + 1;
            self.most_running.fetch_max(running, Ordering::Relaxed);
            let _ = self.gate.acquire().await;
            self.num_running.fetch_sub(1, Ordering::Relaxed);
            Ok(Transfer::Native(NativePlan {
                plugin: record.plugin.clone(),
                placement: placement(&record.key),
            }))
        })
    }
}

fn placement(key: &str) -> Placement {
    Placement {
        store: "file:///".to_owned(),
        key: key.to_owned(),
        attributes: Vec::new(),
        options: Vec::new(),
        credentials: None,
    }
}

struct World {
    folder: TempDir,
    storage: Arc<Storage>,
    reconciler: ReconcilerHandle,
}

impl World {
    fn start(num_fetches: usize, num_stores: usize) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let temp_dir = folder.path().join("temp");
        std::fs::create_dir(&temp_dir).unwrap();
        let storage = Arc::new(Storage {
            gate: Semaphore::new(0),
            turns: Mutex::default(),
            num_running: AtomicUsize::new(0),
            most_running: AtomicUsize::new(0),
            panics_for: Mutex::default(),
        });
        let fetcher = Fetcher::new(
            EgressConfig::default().policy().unwrap(),
            FetchLimits::default(),
        )
        .unwrap();
        let sources = Sources::new(SourceOptions {
            fetcher,
            github_api: "https://github.invalid/".parse().unwrap(),
            github_token: None,
            progress: Arc::new(|_, _, _| {}),
        });
        let workshop = Workshop {
            sources: sources.unwrap(),
            storage: Arc::clone(&storage) as Arc<dyn StorageDecisions>,
            stores: Stores::open(StoresConfig::new(folder.path().join("artifacts"))).unwrap(),
            temp_dir,
            module_limits: opendepot_archive::Limits::module(),
            provider_limits: opendepot_archive::Limits::module(),
        };
        let arbiter = actix_rt::System::current().arbiter().clone();
        let options = ReconcilerOptions {
            workshop,
            num_fetches,
            num_stores,
        };
        Self {
            folder,
            storage,
            reconciler: ReconcilerHandle::start(arbiter, options),
        }
    }

    fn num_temp_files(&self) -> usize {
        std::fs::read_dir(self.folder.path().join("temp"))
            .unwrap()
            .count()
    }

    async fn erase(&self, namespace: &str, index: usize) -> Result<(), Arc<JobError>> {
        let artifact = artifact(namespace, index, b"bytes");
        let record = record(&artifact);
        self.reconciler.erase(record, artifact).await
    }
}

fn id(namespace: &str, version: &str) -> ArtifactId {
    ArtifactId {
        namespace: Namespace::new(namespace).unwrap(),
        kind: ArtifactKind::Module,
        name: ResourceName::new("network").unwrap(),
        version: Version::parse(version).unwrap(),
        platform: None,
    }
}

fn artifact(namespace: &str, index: usize, bytes: &[u8]) -> Artifact {
    Artifact {
        id: id(namespace, &format!("1.0.{index}")),
        config_name: ConfigName::new("network").unwrap(),
        file_name: FileName::new(format!("{namespace}-{index}.zip")).unwrap(),
        media_type: "application/zip".to_owned(),
        size: bytes.len() as u64,
        sha256: Sha256::of(bytes),
    }
}

fn record(artifact: &Artifact) -> ArtifactRecord {
    ArtifactRecord {
        plugin: PluginId::new("storage-fs").unwrap(),
        store: "file:///".to_owned(),
        key: format!("{}/{}", artifact.config_name, artifact.file_name),
        file_name: artifact.file_name.clone(),
        media_type: artifact.media_type.clone(),
        size: artifact.size,
        sha256: artifact.sha256,
    }
}

fn folder_origin(root: &Path, path: &str) -> Origin {
    std::fs::create_dir_all(root.join(path)).unwrap();
    std::fs::write(root.join(path).join("main.tf"), "variable \"x\" {}\n").unwrap();
    Origin::Module {
        source: ModuleOrigin::Folder {
            root: root.to_owned(),
            path: path.to_owned(),
        },
        is_tar: false,
    }
}

#[test]
fn one_tenants_crowd_does_not_starve_another_and_has_an_end() {
    paused(async || {
        let world = World::start(1, 1);
        let crowd = join_all((0..60).map(|index| world.erase("many", index)));
        let one = async {
            until(|| world.storage.num_running.load(Ordering::Relaxed) == 1).await;
            world.erase("one", 0).await
        };
        let open = async {
            until(|| world.reconciler.depth() == 26).await;
            world.storage.gate.add_permits(1_000);
        };
        let (crowd, one, ()) = futures::join!(crowd, one, open);
        one.unwrap();
        let num_done = crowd.iter().filter(|result| result.is_ok()).count();
        assert_eq!(num_done, 1 + NUM_WAITING, "one ran, so many waited");
        for refused in crowd.iter().filter_map(|result| result.as_ref().err()) {
            assert_eq!(refused.kind(), Kind::Busy);
        }
        let turn = world
            .storage
            .turns
            .lock()
            .iter()
            .position(|namespace| namespace == "one")
            .unwrap();
        assert!(turn <= 2, "its turn came at {turn}");
        assert_eq!(world.storage.most_running.load(Ordering::Relaxed), 1);
    });
}

#[test]
fn as_many_run_as_there_are_permits() {
    paused(async || {
        let world = World::start(1, 3);
        let jobs = join_all((0..10).map(|index| world.erase("team", index)));
        let open = async {
            until(|| world.storage.num_running.load(Ordering::Relaxed) == 3).await;
            world.storage.gate.add_permits(1_000);
        };
        let (jobs, ()) = futures::join!(jobs, open);
        assert!(jobs.iter().all(Result::is_ok));
        assert_eq!(world.storage.most_running.load(Ordering::Relaxed), 3);
    });
}

#[test]
fn a_job_that_panics_costs_itself_and_its_permit_comes_back() {
    paused(async || {
        let world = World::start(1, 1);
        world.storage.gate.add_permits(1_000);
        *world.storage.panics_for.lock() = Some("bad".to_owned());
        for index in 0..3 {
            let error = world.erase("bad", index).await.unwrap_err();
            assert!(matches!(*error, JobError::Panicked));
            world.erase("good", index).await.unwrap();
        }
        assert_eq!(world.reconciler.health(), Health::Running(0));
        assert_eq!(world.reconciler.depth(), 0);
    });
}

#[test]
fn a_caller_that_goes_away_does_not_stop_its_job_nor_keep_its_permit() {
    paused(async || {
        let world = World::start(1, 1);
        let gone =
            tokio::time::timeout(std::time::Duration::from_secs(1), world.erase("team", 0)).await;
        assert!(gone.is_err());
        world.storage.gate.add_permits(1_000);
        world.erase("team", 1).await.unwrap();
        assert_eq!(world.storage.turns.lock().len(), 2);
    });
}

#[test]
fn equal_sources_share_one_fetch_and_its_file_goes_with_the_last_holder() {
    paused(async || {
        let world = World::start(1, 1);
        let origin = folder_origin(world.folder.path(), "source/1.0.0");
        let (first, second) = (id("team", "1.0.0"), id("team", "2.0.0"));
        let same = join_all((0..10).map(|_| world.reconciler.fetch(&first, origin.clone())));
        // The same folder for another version is another fetch.
        let other = world.reconciler.fetch(&second, origin.clone());
        let (same, other) = futures::join!(same, other);
        let fetched: Vec<_> = same.into_iter().map(Result::unwrap).collect();
        assert!(fetched.iter().all(|one| Arc::ptr_eq(one, &fetched[0])));
        let other = other.unwrap();
        assert!(!Arc::ptr_eq(&other, &fetched[0]));
        assert_eq!(other.sha256, fetched[0].sha256, "packing is reproducible");
        until(|| world.num_temp_files() == 2).await;
        drop((fetched, other));
        until(|| world.num_temp_files() == 0).await;
        // What has ended is not joined: the folder may be another by now.
        std::fs::write(world.folder.path().join("source/1.0.0/more.tf"), "# more\n").unwrap();
        let again = world.reconciler.fetch(&first, origin).await.unwrap();
        until(|| world.num_temp_files() == 1).await;
        assert!(again.size > 0);
    });
}

#[test]
fn fetched_bytes_are_stored_probed_and_erased() {
    paused(async || {
        let world = World::start(1, 1);
        world.storage.gate.add_permits(1_000);
        let origin = folder_origin(world.folder.path(), "source/1.0.0");
        let fetched = world
            .reconciler
            .fetch(&id("team", "1.0.0"), origin)
            .await
            .unwrap();
        let artifact = Artifact {
            size: fetched.size,
            sha256: fetched.sha256,
            ..artifact("team", 0, b"")
        };
        let plugin = PluginId::new("storage-fs").unwrap();
        let record = world
            .reconciler
            .locate(&plugin, None, &artifact)
            .await
            .unwrap();
        assert!(
            !world
                .reconciler
                .probe(record.clone(), artifact.clone())
                .await
                .unwrap()
        );
        for _ in 0..2 {
            // Storing the same again is success.
            world
                .reconciler
                .store(record.clone(), artifact.clone(), Arc::clone(&fetched))
                .await
                .unwrap();
        }
        assert!(
            world
                .reconciler
                .probe(record.clone(), artifact.clone())
                .await
                .unwrap()
        );
        for _ in 0..2 {
            world
                .reconciler
                .erase(record.clone(), artifact.clone())
                .await
                .unwrap();
        }
        assert!(!world.reconciler.probe(record, artifact).await.unwrap());
    });
}

#[test]
fn other_bytes_at_the_place_are_a_conflict_and_stay() {
    paused(async || {
        let world = World::start(1, 1);
        world.storage.gate.add_permits(1_000);
        let origin = folder_origin(world.folder.path(), "source/1.0.0");
        let fetched = world
            .reconciler
            .fetch(&id("team", "1.0.0"), origin)
            .await
            .unwrap();
        let artifact = Artifact {
            size: fetched.size,
            sha256: fetched.sha256,
            ..artifact("team", 0, b"")
        };
        let record = record(&artifact);
        let place = world.folder.path().join("artifacts/network");
        std::fs::create_dir_all(&place).unwrap();
        std::fs::write(place.join("team-0.zip"), "somebody else's").unwrap();
        let error = world
            .reconciler
            .store(record, artifact, fetched)
            .await
            .unwrap_err();
        assert_eq!(
            (error.kind(), error.reason()),
            (Kind::Conflict, "AlreadyClaimed")
        );
        assert_eq!(
            std::fs::read(place.join("team-0.zip")).unwrap(),
            b"somebody else's"
        );
    });
}

#[test]
fn a_stopped_reconciler_refuses_work() {
    paused(async || {
        let world = World::start(1, 1);
        world.reconciler.stop();
        until(|| world.reconciler.health() == Health::Stopped).await;
        let error = world.erase("team", 0).await.unwrap_err();
        assert!(matches!(error.kind(), Kind::Busy | Kind::Unavailable));
    });
}
