//! Sources that change, requests to look again, statuses that somebody else wrote.

use crate::support::{World, is, module, recorded, run, said};
use kube::ResourceExt as _;
use opendepot_crds::{ConditionType, Module, Version};
use serde_json::json;
use std::time::Duration;

const NAME: &str = "network-1-0-0";
const REQUESTED_AT: &str = "opendepot.defdev.io/requested-at";
const ACCEPT: &str = "opendepot.defdev.io/accept-digest";

async fn published(world: &World, config: serde_json::Value) -> Version {
    world.write_module("network", "1.0.0", "one");
    world
        .create::<Module>(module("network", &["1.0.0"], config))
        .await;
    let version = world.published(NAME).await;
    world
        .wait("it to be served", || {
            world.served("network", "1.0.0").is_some()
        })
        .await;
    version
}

fn has_drifted(version: &Version) -> bool {
    is(version, ConditionType::ContentDrift)
}

/// The digest that the message tells to accept.
fn offered(version: &Version) -> String {
    let (_, message) = said(version, ConditionType::ContentDrift);
    let at = message
        .find("sha256:")
        .unwrap_or_else(|| panic!("{message}"));
    message[at..].split_whitespace().next().unwrap().to_owned()
}

#[test]
fn a_source_is_read_again_only_when_asked_and_a_change_keeps_the_old_bytes() {
    run(async |pool| {
        let world = World::start(&pool).await;
        let first = published(&world, json!({})).await;
        world.write_module("network", "1.0.0", "changed");
        let revision = world.settled(Duration::from_secs(1)).await;
        assert!(
            world
                .is_quiet_after(&revision, Duration::from_secs(1))
                .await,
            "nobody asked"
        );
        world.annotate::<Module>("network", REQUESTED_AT, "1").await;
        let version = world.until(NAME, "its drift", has_drifted).await;
        assert_eq!(
            said(&version, ConditionType::ContentDrift).0,
            "ContentChanged"
        );
        assert_eq!(recorded(&version), recorded(&first));
        assert!(
            is(&version, ConditionType::Ready),
            "good bytes are not taken down"
        );
        assert_eq!(world.served("network", "1.0.0"), Some(recorded(&first)));
        // Who looks at what is ready sees it as well.
        let says = |text: String| text.contains("ContentDrift");
        world
            .until(NAME, "its summary", |version: &Version| {
                says(said(version, ConditionType::Ready).1)
            })
            .await;
        world
            .until("network", "its summary", |module: &Module| {
                let list = &module.status.as_ref().unwrap().conditions;
                let ready = opendepot_crds::conditions::find(list, ConditionType::Ready).unwrap();
                ready.status == "True" && says(ready.message.clone())
            })
            .await;
        // The change is taken back: no drift any more.
        world.write_module("network", "1.0.0", "one");
        world.annotate::<Module>("network", REQUESTED_AT, "2").await;
        world
            .until(NAME, "its return", |version: &Version| {
                !has_drifted(version)
            })
            .await;
    });
}

#[test]
fn an_approved_change_replaces_the_bytes_and_keeps_the_old_ones_until_deletion() {
    run(async |pool| {
        let world = World::start(&pool).await;
        let first = published(&world, json!({})).await;
        world.write_module("network", "1.0.0", "changed");
        world.annotate::<Module>("network", REQUESTED_AT, "1").await;
        let drifted = world.until(NAME, "its drift", has_drifted).await;
        // Another digest approves nothing.
        let other = format!("sha256:{}", "0".repeat(64));
        world.annotate::<Version>(NAME, ACCEPT, &other).await;
        world.settled(Duration::from_secs(1)).await;
        assert_eq!(world.served("network", "1.0.0"), Some(recorded(&first)));
        let digest = offered(&drifted);
        world.annotate::<Version>(NAME, ACCEPT, &digest).await;
        let accepted = |version: &Version| format!("sha256:{}", recorded(version)) == digest;
        let second = world.until(NAME, "its new bytes", accepted).await;
        assert!(!has_drifted(&second));
        let status = second.status.as_ref().unwrap();
        assert_eq!(
            status.previous.as_ref().unwrap().sha256,
            recorded(&first).to_string()
        );
        assert_ne!(
            status.artifact.as_ref().unwrap().key,
            status.previous.as_ref().unwrap().key
        );
        world
            .wait("it to be served", || {
                world.served("network", "1.0.0") == Some(recorded(&second))
            })
            .await;
        // The owner's copy of the file name follows what is stored.
        let name = status.artifact.as_ref().unwrap().file_name.clone();
        world
            .until(NAME, "its file name", |version: &Version| {
                version.spec.file_name.as_ref() == Some(&name)
            })
            .await;
        assert_eq!(world.stored().len(), 2);
        world.settled(Duration::from_secs(1)).await;
        world.delete::<Module>("network").await;
        world.gone(&second).await;
        assert!(world.stored().is_empty(), "what was put is removed");
    });
}

#[test]
fn an_approval_on_the_module_counts_and_only_the_last_replaced_bytes_are_kept() {
    run(async |pool| {
        let world = World::start(&pool).await;
        published(&world, json!({})).await;
        for text in ["two", "three"] {
            world.write_module("network", "1.0.0", text);
            world
                .annotate::<Module>("network", REQUESTED_AT, text)
                .await;
            let drifted = world.until(NAME, "its drift", has_drifted).await;
            let digest = offered(&drifted);
            world.annotate::<Module>("network", ACCEPT, &digest).await;
            let accepted = |version: &Version| format!("sha256:{}", recorded(version)) == digest;
            let version = world.until(NAME, "its new bytes", accepted).await;
            assert!(!has_drifted(&version));
            assert!(
                version
                    .metadata
                    .annotations
                    .is_none_or(|all| !all.contains_key(ACCEPT))
            );
            world
                .wait("it to be served", || {
                    world
                        .served("network", "1.0.0")
                        .is_some_and(|served| format!("sha256:{served}") == digest)
                })
                .await;
        }
        world.settled(Duration::from_secs(1)).await;
        assert_eq!(world.stored().len(), 2, "the first content is left behind");
    });
}

#[test]
fn a_version_that_is_not_immutable_any_more_takes_an_approval() {
    run(async |pool| {
        let world = World::start(&pool).await;
        published(&world, json!({ "immutable": true })).await;
        world.write_module("network", "1.0.0", "changed");
        world.annotate::<Module>("network", REQUESTED_AT, "1").await;
        let version = world.until(NAME, "its drift", has_drifted).await;
        let text = version.status.unwrap().sync_status;
        let base64 = text.rsplit('\'').nth(1).unwrap();
        let digest = opendepot_domain::Sha256::from_base64(base64).unwrap();
        let accept = format!("sha256:{digest}");
        world.annotate::<Module>("network", ACCEPT, &accept).await;
        world.settled(Duration::from_secs(1)).await;
        assert!(has_drifted(&world.get(NAME).await), "it is immutable still");
        let mutable = json!({ "spec": { "moduleConfig": { "immutable": false } } });
        world.patch::<Module>("network", mutable).await;
        world
            .until(NAME, "its new bytes", |version: &Version| {
                recorded(version) == digest
            })
            .await;
    });
}

#[test]
fn a_change_of_an_immutable_version_is_refused_and_no_approval_helps() {
    run(async |pool| {
        let world = World::start(&pool).await;
        let first = published(&world, json!({ "immutable": true })).await;
        world.write_module("network", "1.0.0", "changed");
        world.annotate::<Module>("network", REQUESTED_AT, "1").await;
        let version = world.until(NAME, "its drift", has_drifted).await;
        assert_eq!(said(&version, ConditionType::ContentDrift).0, "Immutable");
        assert!(
            version
                .status
                .as_ref()
                .unwrap()
                .sync_status
                .starts_with(opendepot_crds::SYNC_IMMUTABLE)
        );
        // The digest is in base64 there; approve what the source has all the same.
        let text = &version.status.as_ref().unwrap().sync_status;
        let base64 = text.rsplit('\'').nth(1).unwrap();
        let digest = opendepot_domain::Sha256::from_base64(base64).unwrap();
        world
            .annotate::<Version>(NAME, ACCEPT, &format!("sha256:{digest}"))
            .await;
        world.annotate::<Module>("network", REQUESTED_AT, "2").await;
        world.settled(Duration::from_secs(1)).await;
        let version: Version = world.get(NAME).await;
        assert_eq!(recorded(&version), recorded(&first));
        assert!(has_drifted(&version));
        assert!(
            version
                .status
                .unwrap()
                .sync_status
                .starts_with(opendepot_crds::SYNC_IMMUTABLE),
            "it stays said"
        );
        assert_eq!(world.served("network", "1.0.0"), Some(recorded(&first)));
    });
}

#[test]
fn force_sync_acts_once_a_generation_and_its_withdrawal_asks_for_nothing() {
    run(async |pool| {
        let world = World::start(&pool).await;
        published(&world, json!({})).await;
        world.settled(Duration::from_secs(1)).await;
        let handled = async || {
            let version: Version = world.get(NAME).await;
            version.status.unwrap().last_handled_sync.unwrap()
        };
        let before = handled().await;
        world
            .patch::<Module>("network", json!({ "spec": { "forceSync": true } }))
            .await;
        let is_new = |version: &Version| {
            version.status.as_ref().unwrap().last_handled_sync.as_ref() != Some(&before)
        };
        world.until(NAME, "the sync", is_new).await;
        world.settled(Duration::from_secs(1)).await;
        let module: Module = world.get("network").await;
        assert_eq!(
            module.spec.force_sync,
            Some(true),
            "the field is the user's"
        );
        // Once: the changed source is not read again.
        world.write_module("network", "1.0.0", "changed");
        let once = handled().await;
        world
            .annotate::<Module>("network", "example.org/touched", "1")
            .await;
        world.settled(Duration::from_secs(1)).await;
        assert_eq!(handled().await, once);
        world
            .patch::<Module>("network", json!({ "spec": { "forceSync": false } }))
            .await;
        world.settled(Duration::from_secs(1)).await;
        let version: Version = world.get(NAME).await;
        assert!(
            !has_drifted(&version),
            "withdrawing the request is no request"
        );
        // Asked anew it acts again.
        world
            .patch::<Module>("network", json!({ "spec": { "forceSync": true } }))
            .await;
        world.until(NAME, "its drift", has_drifted).await;
    });
}

#[test]
fn force_sync_acts_beside_an_old_annotation() {
    run(async |pool| {
        let world = World::start(&pool).await;
        published(&world, json!({})).await;
        world
            .annotate::<Module>("network", REQUESTED_AT, "long ago")
            .await;
        world.settled(Duration::from_secs(1)).await;
        world.write_module("network", "1.0.0", "changed");
        world
            .patch::<Module>("network", json!({ "spec": { "forceSync": true } }))
            .await;
        world.until(NAME, "its drift", has_drifted).await;
    });
}

#[test]
fn a_status_that_somebody_else_wrote_is_synced_again_and_never_served() {
    run(async |pool| {
        let world = World::start(&pool).await;
        let honest = published(&world, json!({})).await;
        world.settled(Duration::from_secs(1)).await;
        let digest = recorded(&honest);
        let forged = opendepot_domain::Sha256::of(b"forged");
        let forgeries = [
            json!({ "artifact": { "sha256": forged.to_string() }, "sha256": forged.to_string() }),
            json!({ "artifact": { "key": "network/other.zip" } }),
            json!({ "verdict": { "result": "NotScanned", "reason": "forged" } }),
            json!({ "seal": { "mac": "0".repeat(64) } }),
            json!({ "seal": null }),
            json!({ "publishedAt": "2001-01-01T00:00:00Z" }),
        ];
        for forgery in forgeries {
            let watch = async {
                // Until it is ours again, clients get the honest bytes or nothing.
                loop {
                    let served = world.served("network", "1.0.0");
                    assert!(served.is_none_or(|served| served == digest), "{forgery}");
                    tokio::time::sleep(Duration::from_millis(2)).await;
                }
            };
            let heal = async {
                let tampered = world.patch_status(NAME, forgery.clone()).await;
                let seal = tampered.status.as_ref().unwrap().seal.clone();
                let healed = |version: &Version| {
                    opendepot_controller::seal::check(world.keys(), version)
                        == opendepot_identity::SealState::Current
                        && version.resource_version() != tampered.resource_version()
                };
                let healed = world
                    .until(NAME, &format!("healing of {forgery}"), healed)
                    .await;
                drop(seal);
                healed
            };
            tokio::select! {
                () = watch => unreachable!(),
                _ = heal => {}
            }
            world
                .until(NAME, "publication", |version: &Version| {
                    is(version, ConditionType::Published)
                        && version.status.as_ref().unwrap().artifact.is_some()
                        && recorded(version) == digest
                })
                .await;
            world
                .wait("it to be served", || {
                    world.served("network", "1.0.0") == Some(digest)
                })
                .await;
            world.settled(Duration::from_millis(500)).await;
        }
        assert_eq!(world.stored().len(), 1);
    });
}

#[test]
fn a_forged_status_after_an_approved_change_heals_too() {
    run(async |pool| {
        let world = World::start(&pool).await;
        published(&world, json!({})).await;
        world.write_module("network", "1.0.0", "changed");
        world.annotate::<Module>("network", REQUESTED_AT, "1").await;
        let drifted = world.until(NAME, "its drift", has_drifted).await;
        let digest = offered(&drifted);
        world.annotate::<Version>(NAME, ACCEPT, &digest).await;
        let accepted = |version: &Version| format!("sha256:{}", recorded(version)) == digest;
        let second = world.until(NAME, "its new bytes", accepted).await;
        world.settled(Duration::from_secs(1)).await;
        world
            .patch_status(NAME, json!({ "seal": { "mac": "0".repeat(64) } }))
            .await;
        let healed = |version: &Version| {
            opendepot_controller::seal::check(world.keys(), version)
                == opendepot_identity::SealState::Current
                && is(version, ConditionType::Published)
                && version.status.as_ref().unwrap().artifact.is_some()
        };
        let healed = world.until(NAME, "healing", healed).await;
        assert_eq!(recorded(&healed), recorded(&second));
    });
}

#[test]
fn statuses_sealed_by_an_older_key_are_served_and_sealed_anew() {
    run(async |pool| {
        let mut world = World::start(&pool).await;
        let first = published(&world, json!({})).await;
        let rotated = world.rotated_keys();
        let new_id = rotated.key_id().to_owned();
        world.restart(&pool, Some(rotated)).await;
        let sealed_anew = |version: &Version| {
            version
                .status
                .as_ref()
                .unwrap()
                .seal
                .as_ref()
                .unwrap()
                .key_id
                == new_id
        };
        let version = world.until(NAME, "its new seal", sealed_anew).await;
        assert_eq!(recorded(&version), recorded(&first));
        world
            .wait("it to be served", || {
                world.served("network", "1.0.0") == Some(recorded(&first))
            })
            .await;
    });
}
