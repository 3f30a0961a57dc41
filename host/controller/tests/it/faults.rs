//! Stores that are down, bytes that are gone.

use crate::support::{ALL, DEADLINE, World, is, module, recorded, run, said};
use opendepot_crds::{ConditionType, Module, Version};
use serde_json::json;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

const NAME: &str = "network-1-0-0";

#[test]
fn a_store_that_is_down_takes_no_good_version_down() {
    run(async |pool| {
        let mut world = World::start(&pool).await;
        world.write_module("network", "1.0.0", "one");
        world
            .create::<Module>(module("network", &["1.0.0"], json!({})))
            .await;
        let version = world.published(NAME).await;
        world.storage.is_down.store(true, Ordering::Relaxed);
        world.restart(&pool, None).await;
        world
            .wait("it to be served", || {
                world.served("network", "1.0.0") == Some(recorded(&version))
            })
            .await;
        let now: Version = world.get(NAME).await;
        assert!(is(&now, ConditionType::Published) && is(&now, ConditionType::Ready));
    });
}

#[test]
fn a_version_that_cannot_be_stored_says_so_and_is_stored_once_it_can() {
    run(async |pool| {
        let world = World::start(&pool).await;
        world.storage.is_down.store(true, Ordering::Relaxed);
        world.write_module("network", "1.0.0", "one");
        world
            .create::<Module>(module("network", &["1.0.0"], json!({})))
            .await;
        let failed =
            |version: &Version| said(version, ConditionType::Stored).0 == "StorageUnavailable";
        let version = world.until(NAME, "its failure", failed).await;
        assert!(!is(&version, ConditionType::Published));
        world.storage.is_down.store(false, Ordering::Relaxed);
        world.published(NAME).await;
        assert_eq!(world.stored().len(), 1);
    });
}

#[test]
fn bytes_that_went_missing_are_fetched_again() {
    run(async |pool| {
        let world = World::start(&pool).await;
        world.write_module("network", "1.0.0", "one");
        world
            .create::<Module>(module("network", &["1.0.0"], json!({})))
            .await;
        let version = world.published(NAME).await;
        world.settled(Duration::from_secs(1)).await;
        let [key] = world.stored().try_into().unwrap();
        std::fs::remove_file(world.stored_path(&key)).unwrap();
        opendepot_controller::damage::mark(&world.context, "default", NAME, true)
            .await
            .unwrap();
        world
            .wait("its bytes", || world.stored() == [key.clone()])
            .await;
        let healed = |version: &Version| {
            !is(version, ConditionType::ArtifactMissing) && is(version, ConditionType::Published)
        };
        let healed = world.until(NAME, "healing", healed).await;
        assert_eq!(recorded(&healed), recorded(&version));
    });
}

#[test]
fn other_bytes_than_recorded_stay_for_an_administrator() {
    run(async |pool| {
        let world = World::start(&pool).await;
        world.write_module("network", "1.0.0", "one");
        world
            .create::<Module>(module("network", &["1.0.0"], json!({})))
            .await;
        world.published(NAME).await;
        world.settled(Duration::from_secs(1)).await;
        opendepot_controller::damage::mark(&world.context, "default", NAME, false)
            .await
            .unwrap();
        world.settled(Duration::from_secs(1)).await;
        let version: Version = world.get(NAME).await;
        assert!(is(&version, ConditionType::ArtifactCorrupt));
    });
}

#[test]
fn somebody_elses_bytes_at_the_place_are_a_conflict_and_stay() {
    run(async |pool| {
        let world = World::start(&pool).await;
        world.write_module("network", "1.0.0", "one");
        std::fs::create_dir_all(world.stored_path("network")).unwrap();
        std::fs::write(world.stored_path("network/named.zip"), "somebody else's").unwrap();
        world
            .create::<Version>(json!({
                "apiVersion": "opendepot.defdev.io/v1alpha1",
                "kind": "Version",
                "metadata": { "name": "alone" },
                "spec": {
                    "type": "Module",
                    "version": "1.0.0",
                    "fileName": "named.zip",
                    "moduleConfigRef": { "name": "network", "source": { "path": "network/{version}" } },
                },
            }))
            .await;
        let claimed =
            |version: &Version| said(version, ConditionType::Stored).0 == "AlreadyClaimed";
        let version = world.until("alone", "its conflict", claimed).await;
        assert_eq!(
            std::fs::read(world.stored_path("network/named.zip")).unwrap(),
            b"somebody else's"
        );
        world.delete::<Version>("alone").await;
        world.gone(&version).await;
        assert_eq!(
            world.stored(),
            ["network/named.zip"],
            "what others put is never deleted"
        );
    });
}

#[test]
fn two_versions_for_one_place_are_a_conflict_and_the_first_keeps_its_bytes() {
    run(async |pool| {
        let world = World::start(&pool).await;
        world.write_module("network", "1.0.0", "one");
        world
            .create::<Module>(module("network", &["1.0.0"], json!({})))
            .await;
        let first = world.published(NAME).await;
        world.settled(Duration::from_secs(1)).await;
        // The same artifact once more: the same bytes, and so the same place.
        let twin = json!({
            "apiVersion": "opendepot.defdev.io/v1alpha1",
            "kind": "Version",
            "metadata": { "name": "twin" },
            "spec": {
                "type": "Module",
                "version": "1.0.0",
                "moduleConfigRef": { "name": "network", "source": { "path": "network/{version}" } },
            },
        });
        world.create::<Version>(twin).await;
        let claimed =
            |version: &Version| said(version, ConditionType::Stored).0 == "AlreadyClaimed";
        let twin = world.until("twin", "its conflict", claimed).await;
        assert!(said(&twin, ConditionType::Stored).1.contains(NAME));
        world.delete::<Version>("twin").await;
        world.gone(&twin).await;
        assert_eq!(
            world.stored().len(),
            1,
            "the end of one removes nothing of the other"
        );
        assert_eq!(world.served("network", "1.0.0"), Some(recorded(&first)));
    });
}

#[test]
fn controllers_that_are_stopped_before_their_first_list_end_at_once() {
    run(async |pool| {
        let world = World::start(&pool).await;
        let (_stop, stopped) = tokio::sync::watch::channel(true);
        let others = opendepot_controller::run(Arc::clone(&world.context), ALL, stopped);
        tokio::time::timeout(DEADLINE, others)
            .await
            .expect("they do not end");
    });
}
