//! With nothing to do nothing is written (I8, C27).

use crate::support::{World, module, provider, run};
use opendepot_crds::{Module, Provider};
use serde_json::json;
use std::time::Duration;

const QUIET: Duration = Duration::from_secs(2);

async fn settled(world: &World) -> String {
    for version in ["1.0.0", "1.1.0"] {
        world.write_module("network", version, version);
    }
    world
        .create::<Module>(module("network", &["1.0.0", "1.1.0", "9.9.9"], json!({})))
        .await;
    world
        .create::<Module>(module(
            "refused",
            &["1.0.0"],
            json!({ "source": { "path": "/etc/{version}" } }),
        ))
        .await;
    world
        .create::<Module>(module("empty", &[], json!({})))
        .await;
    for os in ["linux", "darwin"] {
        world.write_package("widget", "1.0.0", os, "one");
    }
    world
        .create::<Provider>(provider("widget", "1.0.0", &["linux", "darwin", "windows"]))
        .await;
    world
        .wait("everything", || {
            world.served("network", "1.1.0").is_some()
                && world.released("widget", "1.0.0").is_some()
        })
        .await;
    world.settled(QUIET).await
}

#[test]
fn a_settled_world_is_not_written_to() {
    run(async |pool| {
        let world = World::start(&pool).await;
        let revision = settled(&world).await;
        assert!(world.is_quiet_after(&revision, QUIET).await);
    });
}

#[test]
fn fresh_controllers_find_nothing_to_write() {
    run(async |pool| {
        let mut world = World::start(&pool).await;
        let revision = settled(&world).await;
        world.restart(&pool, None).await;
        world
            .wait("everything", || {
                world.served("network", "1.1.0").is_some()
                    && world.released("widget", "1.0.0").is_some()
            })
            .await;
        // A source that is missing may be tried again; that it is still missing is no news.
        assert!(world.is_quiet_after(&revision, QUIET * 2).await);
    });
}

#[test]
fn what_others_write_on_our_objects_is_left_alone_and_makes_us_write_nothing() {
    run(async |pool| {
        let world = World::start(&pool).await;
        settled(&world).await;
        let touched: opendepot_crds::Version = world
            .patch("network-1-0-0", json!({ "metadata": { "labels": { "team": "a" }, "annotations": { "note": "b" } } }))
            .await;
        let revision = touched.metadata.resource_version.clone().unwrap();
        assert!(world.is_quiet_after(&revision, QUIET).await);
        let now: opendepot_crds::Version = world.get("network-1-0-0").await;
        assert_eq!(now.metadata.labels, touched.metadata.labels);
    });
}
