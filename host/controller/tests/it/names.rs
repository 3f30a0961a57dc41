//! Names that collide stand for different things (T02, H06).

use crate::support::{World, is, module, recorded, run};
use kube::ResourceExt as _;
use opendepot_crds::{ConditionType, Module, Version};
use serde_json::json;

#[test]
fn two_modules_whose_version_names_collide_are_both_served_with_their_own_bytes() {
    run(async |pool| {
        let world = World::start(&pool).await;
        world.write_module("foo", "1.2.3-4", "of foo");
        world.write_module("foo-1", "2.3.4", "of foo-1");
        world
            .create::<Module>(module("foo", &["1.2.3-4"], json!({})))
            .await;
        world.published("foo-1-2-3-4").await;
        world
            .create::<Module>(module("foo-1", &["2.3.4"], json!({})))
            .await;
        world
            .wait("both", || {
                world.served("foo", "1.2.3-4").is_some() && world.served("foo-1", "2.3.4").is_some()
            })
            .await;
        assert_ne!(
            world.served("foo", "1.2.3-4"),
            world.served("foo-1", "2.3.4")
        );
        let versions = world
            .api::<Version>()
            .list(&Default::default())
            .await
            .unwrap()
            .items;
        assert_eq!(versions.len(), 2);
        for version in &versions {
            let (owner, digest) = (&version.owner_references()[0].name, recorded(version));
            let number = if owner == "foo" { "1.2.3-4" } else { "2.3.4" };
            assert_eq!(world.served(owner, number), Some(digest));
        }
        world.settled(std::time::Duration::from_secs(1)).await;
    });
}

#[test]
fn two_versions_of_one_module_whose_names_collide_are_both_served() {
    run(async |pool| {
        let world = World::start(&pool).await;
        world.write_module("network", "1.0.0-rc.1", "with a dot");
        world.write_module("network", "1.0.0-rc-1", "with a hyphen");
        world
            .create::<Module>(module("network", &["1.0.0-rc.1", "1.0.0-rc-1"], json!({})))
            .await;
        world
            .wait("both", || {
                world.served("network", "1.0.0-rc.1").is_some()
                    && world.served("network", "1.0.0-rc-1").is_some()
            })
            .await;
        assert_ne!(
            world.served("network", "1.0.0-rc.1"),
            world.served("network", "1.0.0-rc-1")
        );
        world.settled(std::time::Duration::from_secs(1)).await;
        // One of them goes; the other stays what it is.
        let before = world.served("network", "1.0.0-rc-1");
        world
            .patch::<Module>(
                "network",
                json!({ "spec": { "versions": [{ "version": "1.0.0-rc-1" }] } }),
            )
            .await;
        world
            .wait("one to go", || {
                world.served("network", "1.0.0-rc.1").is_none()
            })
            .await;
        world.settled(std::time::Duration::from_secs(1)).await;
        assert_eq!(world.served("network", "1.0.0-rc-1"), before);
    });
}

#[test]
fn writing_a_version_with_or_without_v_is_no_change() {
    run(async |pool| {
        let world = World::start(&pool).await;
        world.write_module("network", "1.0.0", "one");
        world
            .create::<Module>(module("network", &["1.0.0"], json!({})))
            .await;
        let version = world.published("network-1-0-0").await;
        world.settled(std::time::Duration::from_secs(1)).await;
        world
            .patch::<Module>(
                "network",
                json!({ "spec": { "versions": [{ "version": "v1.0.0" }] } }),
            )
            .await;
        world.settled(std::time::Duration::from_secs(1)).await;
        let after: Version = world.get("network-1-0-0").await;
        assert_eq!(after.uid(), version.uid());
        assert!(is(&after, ConditionType::Published));
        assert!(world.served("network", "1.0.0").is_some());
    });
}
