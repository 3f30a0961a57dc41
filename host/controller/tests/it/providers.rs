//! Providers: one signed release over all platforms, and how it changes.

use crate::support::{World, is, provider, recorded, run, said};
use kube::ResourceExt as _;
use opendepot_crds::{ConditionType, Provider, Version};
use serde_json::json;
use std::time::Duration;

const LINUX: &str = "widget-1-0-0-linux-amd64";
const DARWIN: &str = "widget-1-0-0-darwin-amd64";

fn releases(version: &Version) -> Vec<String> {
    version
        .status
        .as_ref()
        .map(|status| {
            status
                .releases
                .iter()
                .map(|release| release.id.clone())
                .collect()
        })
        .unwrap_or_default()
}

async fn two_platforms(world: &World) {
    for os in ["linux", "darwin"] {
        world.write_package("widget", "1.0.0", os, "one");
    }
    world
        .create::<Provider>(provider("widget", "1.0.0", &["linux", "darwin"]))
        .await;
    world.published(LINUX).await;
    world.published(DARWIN).await;
    world
        .wait("it to be served", || {
            world.released("widget", "1.0.0").is_some()
        })
        .await;
}

fn platforms(world: &World) -> Vec<String> {
    world
        .released("widget", "1.0.0")
        .map(|(_, platforms)| platforms)
        .unwrap_or_default()
}

#[test]
fn two_platforms_get_one_signed_release_that_both_carry() {
    run(async |pool| {
        let world = World::start(&pool).await;
        two_platforms(&world).await;
        let (linux, darwin): (Version, Version) = (world.get(LINUX).await, world.get(DARWIN).await);
        assert_eq!(releases(&linux).len(), 1);
        assert_eq!(
            linux.status.as_ref().unwrap().releases,
            darwin.status.as_ref().unwrap().releases
        );
        let (ids, served) = world.released("widget", "1.0.0").unwrap();
        assert_eq!(
            (ids, served),
            (
                releases(&linux),
                vec!["darwin_amd64".to_owned(), "linux_amd64".to_owned()]
            )
        );
        let catalog = world.registry.catalog_full();
        let (sums, signature) = catalog.any_release().unwrap();
        world.signer.public_key().verify(&sums, &signature).unwrap();
        let has_release = |provider: &Provider| {
            provider
                .status
                .as_ref()
                .is_some_and(|status| status.releases.get("1.0.0") == Some(&releases(&linux)))
        };
        world
            .until("widget", "its release in status", has_release)
            .await;
        assert!(is(&linux, ConditionType::Signed) && is(&linux, ConditionType::Ready));
    });
}

#[test]
fn many_platforms_are_signed_together_and_never_in_part() {
    run(async |pool| {
        let world = World::start(&pool).await;
        let systems = [
            "linux", "darwin", "windows", "freebsd", "openbsd", "solaris",
        ];
        for os in systems {
            world.write_package("widget", "1.0.0", os, "one");
        }
        world
            .create::<Provider>(provider("widget", "1.0.0", &systems))
            .await;
        world
            .wait("it to be served", || {
                world.released("widget", "1.0.0").is_some()
            })
            .await;
        assert_eq!(platforms(&world).len(), systems.len());
        for os in systems {
            let version = world.published(&format!("widget-1-0-0-{os}-amd64")).await;
            assert_eq!(
                releases(&version).len(),
                1,
                "{os} carried another release before"
            );
        }
    });
}

#[test]
fn an_added_platform_makes_a_new_release_and_the_old_one_still_answers() {
    run(async |pool| {
        let world = World::start(&pool).await;
        two_platforms(&world).await;
        let (before, _) = world.released("widget", "1.0.0").unwrap();
        world.write_package("widget", "1.0.0", "windows", "one");
        let more = json!({ "spec": { "providerConfig": { "operatingSystems": ["linux", "darwin", "windows"] } } });
        world.patch::<Provider>("widget", more).await;
        world.published("widget-1-0-0-windows-amd64").await;
        world
            .wait("three platforms", || platforms(&world).len() == 3)
            .await;
        let (ids, _) = world.released("widget", "1.0.0").unwrap();
        assert_eq!(ids.len(), 2);
        assert_eq!(ids[1], before[0]);
        let linux: Version = world.get(LINUX).await;
        assert_eq!(releases(&linux), ids);
        world.settled(Duration::from_secs(1)).await;
    });
}

#[test]
fn a_removed_platform_leaves_the_others_served_without_a_gap() {
    run(async |pool| {
        let world = World::start(&pool).await;
        two_platforms(&world).await;
        let darwin: Version = world.get(DARWIN).await;
        let gap = async {
            loop {
                assert!(
                    platforms(&world).contains(&"linux_amd64".to_owned()),
                    "linux was not served for a moment"
                );
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        };
        let remove = async {
            world
                .patch::<Provider>(
                    "widget",
                    json!({ "spec": { "providerConfig": { "operatingSystems": ["linux"] } } }),
                )
                .await;
            world.gone(&darwin).await;
            world
                .wait("linux alone", || platforms(&world) == ["linux_amd64"])
                .await;
        };
        tokio::select! {
            () = gap => unreachable!(),
            () = remove => {}
        }
        assert_eq!(world.stored().len(), 1);
        world.settled(Duration::from_secs(1)).await;
    });
}

#[test]
fn a_platform_deleted_by_hand_comes_back_and_the_others_are_served_meanwhile() {
    run(async |pool| {
        let world = World::start(&pool).await;
        two_platforms(&world).await;
        let darwin: Version = world.get(DARWIN).await;
        world.delete::<Version>(DARWIN).await;
        world.gone(&darwin).await;
        assert!(platforms(&world).contains(&"linux_amd64".to_owned()));
        world
            .until(DARWIN, "its successor", |version: &Version| {
                version.uid() != darwin.uid() && is(version, ConditionType::Published)
            })
            .await;
        world.wait("both", || platforms(&world).len() == 2).await;
        world.settled(Duration::from_secs(1)).await;
    });
}

#[test]
fn a_platform_that_the_source_does_not_have_is_left_out() {
    run(async |pool| {
        let world = World::start(&pool).await;
        world.write_package("widget", "1.0.0", "linux", "one");
        world
            .create::<Provider>(provider("widget", "1.0.0", &["linux", "darwin"]))
            .await;
        world.published(LINUX).await;
        let unavailable =
            |version: &Version| said(version, ConditionType::Stalled).0 == "PlatformUnavailable";
        world.until(DARWIN, "its absence", unavailable).await;
        world
            .wait("it to be served", || platforms(&world) == ["linux_amd64"])
            .await;
        world.settled(Duration::from_secs(1)).await;
    });
}

#[test]
fn a_platform_that_fails_otherwise_holds_a_new_release_back() {
    run(async |pool| {
        let world = World::start(&pool).await;
        world.write_package("widget", "1.0.0", "linux", "one");
        let broken = world
            .manifests()
            .join("widget/1.0.0/terraform-provider-widget_1.0.0_darwin_amd64.zip");
        std::fs::write(&broken, "no archive").unwrap();
        world
            .create::<Provider>(provider("widget", "1.0.0", &["linux", "darwin"]))
            .await;
        world
            .until(LINUX, "its bytes", |version: &Version| {
                is(version, ConditionType::Stored)
            })
            .await;
        world
            .until(DARWIN, "its failure", |version: &Version| {
                said(version, ConditionType::Ready).0 == "InvalidArchive"
            })
            .await;
        world.settled(Duration::from_secs(1)).await;
        assert!(world.released("widget", "1.0.0").is_none());
        let linux: Version = world.get(LINUX).await;
        assert_eq!(
            said(&linux, ConditionType::Published).0,
            "ReleaseIncomplete"
        );
        // Repaired and asked for again, both are released.
        world.write_package("widget", "1.0.0", "darwin", "one");
        world
            .annotate::<Provider>("widget", "opendepot.defdev.io/requested-at", "1")
            .await;
        world.wait("both", || platforms(&world).len() == 2).await;
    });
}

#[test]
fn an_approved_change_and_its_taking_back_are_each_served_at_once() {
    run(async |pool| {
        let world = World::start(&pool).await;
        two_platforms(&world).await;
        let (first_ids, _) = world.released("widget", "1.0.0").unwrap();
        let first: Version = world.get(LINUX).await;
        let serves = |digest| {
            let catalog = world.registry.catalog();
            let version = catalog
                .provider("default", "widget")
                .unwrap()
                .version(&"1.0.0".parse().unwrap())
                .unwrap();
            version.releases[0]
                .package("linux", "amd64")
                .unwrap()
                .record
                .sha256
                == digest
        };
        let change = async |text: &str, request: &str| {
            world.write_package("widget", "1.0.0", "linux", text);
            world
                .annotate::<Provider>("widget", "opendepot.defdev.io/requested-at", request)
                .await;
            let drifted = world
                .until(LINUX, "its drift", |version: &Version| {
                    is(version, ConditionType::ContentDrift)
                })
                .await;
            let (_, message) = said(&drifted, ConditionType::ContentDrift);
            let digest = message
                .split("accept-digest=")
                .nth(1)
                .unwrap()
                .split_whitespace()
                .next()
                .unwrap()
                .to_owned();
            world
                .annotate::<Version>(LINUX, "opendepot.defdev.io/accept-digest", &digest)
                .await;
            let accepted = |version: &Version| format!("sha256:{}", recorded(version)) == digest;
            let changed = world.until(LINUX, "its new bytes", accepted).await;
            world
                .wait("the change to be served", || serves(recorded(&changed)))
                .await;
            world.settled(Duration::from_secs(1)).await;
            assert!(serves(recorded(&changed)), "and it stays so");
        };
        change("two", "1").await;
        let (second_ids, _) = world.released("widget", "1.0.0").unwrap();
        assert_eq!(second_ids[1], first_ids[0], "links to the first still open");
        change("one", "2").await;
        assert!(serves(recorded(&first)));
        let (third_ids, _) = world.released("widget", "1.0.0").unwrap();
        assert_eq!(
            third_ids,
            [first_ids[0].clone(), second_ids[0].clone()],
            "signed once, and the other still opens"
        );
    });
}

#[test]
fn without_a_usable_key_nothing_new_is_released_and_the_reason_is_said() {
    run(async |pool| {
        let world = World::with_signing(&pool, false).await;
        world.write_package("widget", "1.0.0", "linux", "one");
        world
            .create::<Provider>(provider("widget", "1.0.0", &["linux"]))
            .await;
        let says = |provider: &Provider| {
            let conditions = provider
                .status
                .as_ref()
                .map(|status| status.conditions.as_slice())
                .unwrap_or_default();
            opendepot_crds::conditions::find(conditions, ConditionType::Signed).is_some_and(
                |signed| {
                    signed.reason == "SigningKeyUnusable" && signed.message.contains("expired")
                },
            )
        };
        world.until("widget", "the reason", says).await;
        assert!(world.released("widget", "1.0.0").is_none());
        world.settled(Duration::from_secs(1)).await;
    });
}
