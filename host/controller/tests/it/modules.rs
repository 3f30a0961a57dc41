//! A Module's life: Versions appear, are published, trimmed, recreated, removed.

use crate::support::{World, is, module, recorded, run, said};
use kube::ResourceExt as _;
use opendepot_crds::{
    ConditionType, FINALIZER, LABEL_MODULE, Module, SYNCED_MODULE, SYNCED_VERSION, Version,
};
use serde_json::json;

#[test]
fn versions_appear_are_published_and_served() {
    run(async |pool| {
        let world = World::start(&pool).await;
        world.write_module("network", "1.0.0", "one");
        world.write_module("network", "1.1.0", "two");
        let owner: Module = world
            .create(module("network", &["1.0.0", "v1.1.0"], json!({})))
            .await;
        for name in ["network-1-0-0", "network-1-1-0"] {
            let version = world.published(name).await;
            assert!(is(&version, ConditionType::Ready) && is(&version, ConditionType::Stored));
            assert_eq!(version.finalizers(), [FINALIZER]);
            assert_eq!(version.labels()[LABEL_MODULE], "network");
            let reference = &version.owner_references()[0];
            assert_eq!(reference.uid, owner.uid().unwrap());
            assert_eq!(reference.controller, Some(true));
            assert_eq!(reference.block_owner_deletion, Some(true));
            let status = version.status.as_ref().unwrap();
            assert!(status.synced && status.seal.is_some() && status.pending.is_none());
            assert_eq!(status.sync_status, SYNCED_VERSION);
            assert_eq!(
                status.checksum.as_deref(),
                Some(recorded(&version).to_base64().as_str())
            );
            let artifact = status.artifact.as_ref().unwrap();
            let stored = std::fs::read(world.stored_path(&artifact.key)).unwrap();
            assert_eq!(
                opendepot_domain::Sha256::of(&stored).to_string(),
                artifact.sha256
            );
            // The chosen name is copied into the spec by the owner.
            let named = world
                .until(name, "its file name", |version: &Version| {
                    version.spec.file_name.is_some()
                })
                .await;
            assert_eq!(named.spec.file_name.as_ref(), Some(&artifact.file_name));
            world
                .until(
                    name,
                    "its conditions to be of its generation",
                    |version: &Version| {
                        let generation = version.metadata.generation;
                        let conditions = &version.status.as_ref().unwrap().conditions;
                        conditions
                            .iter()
                            .all(|condition| condition.observed_generation == generation)
                    },
                )
                .await;
        }
        let ready = |module: &Module| {
            let status = module.status.as_ref();
            status.is_some_and(|status| {
                opendepot_crds::conditions::is_true(&status.conditions, ConditionType::Ready)
            })
        };
        let module: Module = world.until("network", "readiness", ready).await;
        let status = module.status.unwrap();
        assert_eq!(
            (
                status.latest_version.as_deref(),
                status.sync_status.as_str()
            ),
            (Some("v1.1.0"), SYNCED_MODULE)
        );
        assert_eq!(
            status.module_version_refs.keys().collect::<Vec<_>>(),
            ["1.0.0", "v1.1.0"]
        );
        assert_eq!(module.spec, owner.spec, "what users own is never written");
        world
            .wait("both versions to be served", || {
                world.served("network", "1.0.0").is_some()
                    && world.served("network", "1.1.0").is_some()
            })
            .await;
    });
}

#[test]
fn a_deleted_version_is_recreated() {
    run(async |pool| {
        let world = World::start(&pool).await;
        world.write_module("network", "1.0.0", "one");
        world
            .create::<Module>(module("network", &["1.0.0"], json!({})))
            .await;
        let first = world.published("network-1-0-0").await;
        world.delete::<Version>("network-1-0-0").await;
        world.gone(&first).await;
        let again = world
            .until("network-1-0-0", "its successor", |version: &Version| {
                version.uid() != first.uid() && is(version, ConditionType::Published)
            })
            .await;
        assert_eq!(recorded(&again), recorded(&first));
        assert_eq!(world.stored().len(), 1);
    });
}

#[test]
fn the_history_limit_trims_versions_and_bytes_and_not_the_spec() {
    run(async |pool| {
        let world = World::start(&pool).await;
        for version in ["1.0.0", "1.1.0", "1.2.0"] {
            world.write_module("network", version, version);
        }
        let versions = ["1.0.0", "1.2.0", "1.1.0"];
        world
            .create::<Module>(module("network", &versions, json!({})))
            .await;
        let oldest = world.published("network-1-0-0").await;
        world.published("network-1-1-0").await;
        world.published("network-1-2-0").await;
        let limit = json!({ "spec": { "moduleConfig": { "versionHistoryLimit": 2 } } });
        let limited: Module = world.patch("network", limit).await;
        world.gone(&oldest).await;
        assert_eq!(world.stored().len(), 2);
        world
            .wait("it not to be served", || {
                world.served("network", "1.0.0").is_none()
            })
            .await;
        let module: Module = world.get("network").await;
        assert_eq!(module.spec, limited.spec);
        assert_eq!(module.spec.versions.len(), 3);
        // A higher limit brings it back.
        world
            .patch::<Module>(
                "network",
                json!({ "spec": { "moduleConfig": { "versionHistoryLimit": 3 } } }),
            )
            .await;
        world.published("network-1-0-0").await;
        assert_eq!(world.stored().len(), 3);
    });
}

#[test]
fn a_version_taken_out_of_the_spec_goes_with_its_bytes_unless_they_are_retained() {
    run(async |pool| {
        let world = World::start(&pool).await;
        for version in ["1.0.0", "1.1.0", "1.2.0"] {
            world.write_module("network", version, version);
        }
        world
            .create::<Module>(module("network", &["1.0.0", "1.1.0", "1.2.0"], json!({})))
            .await;
        let removed = world.published("network-1-0-0").await;
        let retained = world.published("network-1-1-0").await;
        world.published("network-1-2-0").await;
        world
            .annotate::<Version>(
                "network-1-1-0",
                "opendepot.defdev.io/deletion-policy",
                "Retain",
            )
            .await;
        let rest = json!({ "spec": { "versions": [{ "version": "1.2.0" }] } });
        world.patch::<Module>("network", rest).await;
        world.gone(&removed).await;
        world.gone(&retained).await;
        let key = |version: &Version| {
            version
                .status
                .as_ref()
                .unwrap()
                .artifact
                .as_ref()
                .unwrap()
                .key
                .clone()
        };
        let stored = world.stored();
        assert!(!stored.contains(&key(&removed)), "{stored:?}");
        assert!(stored.contains(&key(&retained)), "{stored:?}");
        assert!(world.served("network", "1.2.0").is_some());
    });
}

#[test]
fn what_a_module_retains_stays_when_versions_and_it_go() {
    run(async |pool| {
        let world = World::start(&pool).await;
        for version in ["1.0.0", "1.1.0"] {
            world.write_module("network", version, version);
        }
        world
            .create::<Module>(module("network", &["1.0.0", "1.1.0"], json!({})))
            .await;
        let removed = world.published("network-1-0-0").await;
        let last = world.published("network-1-1-0").await;
        // In one write, as a file would be edited.
        let change = json!({
            "metadata": { "annotations": { "opendepot.defdev.io/deletion-policy": "Retain" } },
            "spec": { "versions": [{ "version": "1.1.0" }] },
        });
        world.patch::<Module>("network", change).await;
        world.gone(&removed).await;
        assert_eq!(world.stored().len(), 2);
        world
            .until("network-1-1-0", "the policy", |version: &Version| {
                version
                    .annotations()
                    .contains_key("opendepot.defdev.io/deletion-policy")
            })
            .await;
        world.delete::<Module>("network").await;
        world.gone(&last).await;
        assert_eq!(world.stored().len(), 2);
    });
}

#[test]
fn a_deleted_module_takes_everything_along() {
    run(async |pool| {
        let world = World::start(&pool).await;
        world.write_module("network", "1.0.0", "one");
        world
            .create::<Module>(module("network", &["1.0.0"], json!({})))
            .await;
        let version = world.published("network-1-0-0").await;
        world
            .wait("it to be served", || {
                world.served("network", "1.0.0").is_some()
            })
            .await;
        world.delete::<Module>("network").await;
        world.gone(&version).await;
        assert!(world.stored().is_empty());
        world
            .wait("it not to be served", || {
                world
                    .registry
                    .catalog()
                    .module("default", "network")
                    .is_none()
            })
            .await;
    });
}

#[test]
fn a_module_deleted_in_the_foreground_waits_for_its_versions() {
    run(async |pool| {
        let world = World::start(&pool).await;
        world.write_module("network", "1.0.0", "one");
        let owner: Module = world.create(module("network", &["1.0.0"], json!({}))).await;
        world.published("network-1-0-0").await;
        let params = kube::api::DeleteParams::foreground();
        let modules = world.api::<Module>();
        modules.delete("network", &params).await.unwrap();
        world.gone(&owner).await;
        let versions = world.api::<Version>();
        assert!(
            versions
                .list(&Default::default())
                .await
                .unwrap()
                .items
                .is_empty()
        );
        assert!(world.stored().is_empty());
    });
}

#[test]
fn a_version_deleted_while_it_is_fetched_does_not_wait_for_its_source() {
    run(async |pool| {
        let world = World::start(&pool).await;
        let slow = json!({ "source": { "github": { "owner": "acme", "repository": "slow" } } });
        let owner: Module = world.create(module("network", &["1.0.0"], slow)).await;
        let is_worked_on = |version: &Version| version.finalizers() == [FINALIZER];
        let version = world.until("network-1-0-0", "its turn", is_worked_on).await;
        world.wait("the fetch", || world.is_source_asked()).await;
        world.delete::<Module>("network").await;
        let gone = async {
            world.gone(&owner).await;
            world.gone(&version).await;
        };
        // The source would be waited for half a minute.
        tokio::time::timeout(std::time::Duration::from_secs(15), gone)
            .await
            .expect("the removal waits for the source");
    });
}

#[test]
fn a_source_that_is_not_there_fails_its_version_alone_and_heals() {
    run(async |pool| {
        let world = World::start(&pool).await;
        world.write_module("network", "1.0.0", "one");
        world
            .create::<Module>(module("network", &["1.0.0", "2.0.0"], json!({})))
            .await;
        world.published("network-1-0-0").await;
        let failed =
            |version: &Version| said(version, ConditionType::Ready).0.starts_with("Source");
        let version = world.until("network-2-0-0", "its failure", failed).await;
        assert!(!is(&version, ConditionType::Published));
        assert!(world.stored().len() == 1);
        let module: Module = world.get("network").await;
        let ready = opendepot_crds::conditions::find(
            &module.status.unwrap().conditions,
            ConditionType::Ready,
        )
        .cloned();
        assert!(ready.is_none_or(|ready| ready.status == "False"));
        world.write_module("network", "2.0.0", "two");
        world
            .annotate::<Module>("network", "opendepot.defdev.io/requested-at", "now")
            .await;
        world.published("network-2-0-0").await;
    });
}

#[test]
fn refusals_are_said_and_nothing_is_touched() {
    run(async |pool| {
        let world = World::start(&pool).await;
        // What climbs is refused by the schema already; a link by the source.
        let forbidden = json!({ "source": { "path": "/etc/{version}" } });
        world
            .create::<Module>(module("absolute", &["1.0.0"], forbidden))
            .await;
        std::fs::create_dir_all(world.manifests().join("linked")).unwrap();
        std::os::unix::fs::symlink("/etc", world.manifests().join("linked/1.0.0")).unwrap();
        world
            .create::<Module>(module("linked", &["1.0.0"], json!({})))
            .await;
        let stalled = |version: &Version| is(version, ConditionType::Stalled);
        let version = world.until("absolute-1-0-0", "its refusal", stalled).await;
        assert_eq!(said(&version, ConditionType::Stalled).0, "SourceForbidden");
        assert!(!is(&version, ConditionType::Published));
        let failed = |version: &Version| said(version, ConditionType::Ready).0 == "UnsafePath";
        let version = world.until("linked-1-0-0", "its failure", failed).await;
        assert!(!is(&version, ConditionType::Published));
        assert!(world.stored().is_empty());
    });
}

#[test]
fn a_version_that_stands_alone_waits_for_its_module_and_is_then_served() {
    run(async |pool| {
        let world = World::start(&pool).await;
        world.write_module("network", "1.0.0", "one");
        world
            .create::<Version>(json!({
                "apiVersion": "opendepot.defdev.io/v1alpha1",
                "kind": "Version",
                "metadata": { "name": "alone" },
                "spec": {
                    "type": "Module",
                    "version": "1.0.0",
                    "moduleConfigRef": { "name": "network", "source": { "path": "network/{version}" } },
                },
            }))
            .await;
        let stored = |version: &Version| is(version, ConditionType::Stored);
        let version = world.until("alone", "its bytes", stored).await;
        assert_eq!(said(&version, ConditionType::Published).0, "NoModule");
        assert!(world.served("network", "1.0.0").is_none());
        world
            .create::<Module>(module("network", &[], json!({})))
            .await;
        world
            .wait("it to be served", || {
                world.served("network", "1.0.0") == Some(recorded(&version))
            })
            .await;
    });
}
