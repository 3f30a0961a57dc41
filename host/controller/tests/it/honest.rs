//! Statuses say what is so, also after somebody else wrote them and after the reason went away.

use crate::support::{World, is, module, provider, recorded, run, said};
use k8s_openapi::api::core::v1::ConfigMap;
use k8s_openapi::api::events::v1::Event;
use opendepot_crds::{ConditionType, Module, Provider, Version, conditions};
use serde_json::json;
use std::time::Duration;

const NAME: &str = "network-1-0-0";
const REQUESTED_AT: &str = "opendepot.defdev.io/requested-at";
const QUIET: Duration = Duration::from_secs(1);

async fn published(world: &World) -> Version {
    world.write_module("network", "1.0.0", "one");
    world
        .create::<Module>(module("network", &["1.0.0"], json!({})))
        .await;
    let version = world.published(NAME).await;
    world.settled(QUIET).await;
    version
}

fn remove_source(world: &World) {
    std::fs::remove_dir_all(world.manifests().join("network/1.0.0")).unwrap();
}

fn provider_says(provider: &Provider, type_: ConditionType) -> (String, String, String) {
    let list = provider
        .status
        .as_ref()
        .map(|status| status.conditions.as_slice())
        .unwrap_or_default();
    conditions::find(list, type_)
        .map(|condition| {
            (
                condition.status.clone(),
                condition.reason.clone(),
                condition.message.clone(),
            )
        })
        .unwrap_or_default()
}

#[test]
fn what_readers_of_the_original_look_at_is_put_right() {
    run(async |pool| {
        let world = World::start(&pool).await;
        let honest = published(&world).await;
        let digest = recorded(&honest);
        let size = honest.status.as_ref().unwrap().archive_size_bytes;
        let other = opendepot_domain::Sha256::of(b"other").to_base64();
        let fakes = [
            json!({ "checksum": other }),
            json!({ "checksum": null, "archiveSizeBytes": 1 }),
            json!({ "synced": false, "syncStatus": "Failed" }),
            json!({ "conditions": [] }),
            json!({ "observedGeneration": 0 }),
        ];
        for fake in fakes {
            let tampered = world.patch_status(NAME, fake.clone()).await;
            let right = |version: &Version| {
                let status = version.status.as_ref().unwrap();
                status.checksum == Some(digest.to_base64())
                    && status.archive_size_bytes == size
                    && status.synced
                    && status.sync_status == opendepot_crds::SYNCED_VERSION
                    && status.observed_generation == tampered.metadata.generation
                    && is(version, ConditionType::Ready)
                    && is(version, ConditionType::Published)
            };
            world
                .until(NAME, &format!("correction of {fake}"), right)
                .await;
            world.settled(Duration::from_millis(500)).await;
        }
        let forged =
            json!({ "status": { "synced": false, "latestVersion": "v9.9.9", "conditions": [] } });
        let params = kube::api::PatchParams::default();
        world
            .api::<Module>()
            .patch_status("network", &params, &kube::api::Patch::Merge(forged))
            .await
            .unwrap();
        let right = |module: &Module| {
            let status = module.status.as_ref().unwrap();
            status.synced
                && status.latest_version.as_deref() == Some("v1.0.0")
                && conditions::is_true(&status.conditions, ConditionType::Ready)
        };
        world.until("network", "correction", right).await;
    });
}

#[test]
fn a_forged_status_whose_source_is_gone_says_that_nothing_is_published() {
    run(async |pool| {
        let world = World::start(&pool).await;
        published(&world).await;
        remove_source(&world);
        world
            .patch_status(NAME, json!({ "seal": { "mac": "0".repeat(64) } }))
            .await;
        let honest = |version: &Version| {
            said(version, ConditionType::Ready).0.starts_with("Source")
                && !is(version, ConditionType::Ready)
                && !is(version, ConditionType::Published)
                && !is(version, ConditionType::Stored)
                && !version.status.as_ref().unwrap().synced
        };
        world.until(NAME, "honesty", honest).await;
        world
            .wait("it not to be served", || {
                world.served("network", "1.0.0").is_none()
            })
            .await;
    });
}

#[test]
fn a_request_that_failed_and_was_withdrawn_leaves_nothing_stale() {
    run(async |pool| {
        let world = World::start(&pool).await;
        let version = published(&world).await;
        remove_source(&world);
        world.annotate::<Version>(NAME, REQUESTED_AT, "1").await;
        let is_stale = |version: &Version| is(version, ConditionType::Stale);
        let stale = world.until(NAME, "its failure", is_stale).await;
        assert!(
            is(&stale, ConditionType::Ready),
            "good bytes are not taken down"
        );
        let withdrawn = json!({ "metadata": { "annotations": { REQUESTED_AT: null } } });
        world.patch::<Version>(NAME, withdrawn).await;
        let fresh = |version: &Version| !is(version, ConditionType::Stale);
        let fresh = world.until(NAME, "its rest", fresh).await;
        assert_eq!(
            fresh.status.as_ref().unwrap().sync_status,
            opendepot_crds::SYNCED_VERSION
        );
        assert_eq!(world.served("network", "1.0.0"), Some(recorded(&version)));
    });
}

#[test]
fn damaged_bytes_are_not_said_to_be_published_until_they_were_looked_at_again() {
    run(async |pool| {
        let world = World::start(&pool).await;
        published(&world).await;
        opendepot_controller::damage::mark(&world.context, "default", NAME, false)
            .await
            .unwrap();
        let damaged =
            |version: &Version| said(version, ConditionType::Ready).0 == "ArtifactCorrupt";
        let version = world.until(NAME, "its damage", damaged).await;
        assert!(
            !is(&version, ConditionType::Published) && is(&version, ConditionType::ArtifactCorrupt)
        );
        let not_ready = |module: &Module| {
            let list = &module.status.as_ref().unwrap().conditions;
            !conditions::is_true(list, ConditionType::Ready)
        };
        world.until("network", "its trouble", not_ready).await;
        world.annotate::<Module>("network", REQUESTED_AT, "1").await;
        world.published(NAME).await;
    });
}

#[test]
fn a_version_that_stands_alone_says_when_its_module_comes_and_goes() {
    run(async |pool| {
        let world = World::start(&pool).await;
        world.write_module("network", "1.0.0", "one");
        let alone = |name: &str, version: &str, config: serde_json::Value| {
            json!({
                "apiVersion": "opendepot.defdev.io/v1alpha1",
                "kind": "Version",
                "metadata": { "name": name },
                "spec": { "type": "Module", "version": version, "moduleConfigRef": config },
            })
        };
        let source = json!({ "path": "network/{version}" });
        let config = json!({ "name": "network", "source": source });
        world
            .create::<Version>(alone("alone", "1.0.0", config))
            .await;
        let waits = |version: &Version| said(version, ConditionType::Published).0 == "NoModule";
        world.until("alone", "its wait", waits).await;
        // Without a source of its own it takes the Module's.
        world.write_module("network", "1.1.0", "two");
        world
            .create::<Version>(alone("bare", "1.1.0", json!({ "name": "network" })))
            .await;
        let refused = |version: &Version| is(version, ConditionType::Stalled);
        world.until("bare", "its refusal", refused).await;
        world.settled(QUIET).await;
        let parent: Module = world.create(module("network", &[], json!({}))).await;
        world.published("alone").await;
        world.published("bare").await;
        world.settled(QUIET).await;
        world.delete::<Module>("network").await;
        world.gone(&parent).await;
        let version = world.until("alone", "its wait", waits).await;
        assert!(!is(&version, ConditionType::Ready));
    });
}

#[test]
fn a_provider_counts_what_is_published_and_not_what_its_source_lacks() {
    run(async |pool| {
        let world = World::start(&pool).await;
        world.write_package("widget", "1.0.0", "linux", "one");
        world
            .create::<Provider>(provider("widget", "1.0.0", &["linux", "darwin"]))
            .await;
        world.published("widget-1-0-0-linux-amd64").await;
        world.settled(QUIET).await;
        let part: Provider = world.get("widget").await;
        let (status, _, message) = provider_says(&part, ConditionType::Ready);
        assert_eq!(
            (status.as_str(), message.as_str()),
            ("True", "packages published: 1, 1 not at the source")
        );
        assert_eq!(provider_says(&part, ConditionType::Reconciling).0, "");
        // Nothing of it is there.
        world.write_package("gadget", "1.0.0", "linux", "one");
        world
            .create::<Provider>(provider("gadget", "1.0.0", &["darwin", "windows"]))
            .await;
        let says = |provider: &Provider| {
            provider_says(provider, ConditionType::Ready)
                .2
                .contains("none of the platforms")
        };
        let nothing = world.until("gadget", "its lack", says).await;
        assert_eq!(provider_says(&nothing, ConditionType::Ready).0, "False");
        assert_eq!(provider_says(&nothing, ConditionType::Signed).0, "False");
        assert!(world.released("gadget", "1.0.0").is_none());
    });
}

#[test]
fn a_version_that_the_api_refuses_is_named_and_holds_up_no_other() {
    run(async |pool| {
        let world = World::start(&pool).await;
        // Names of Versions end at 253 characters.
        let (long, os) = ("n".repeat(128), "o".repeat(32));
        let pre = format!("1.0.0-{}", "p".repeat(58));
        world.write_package("widget", "1.0.0", &os, "one");
        let mut object = provider("widget", "1.0.0", &[os.as_str()]);
        object["spec"]["providerConfig"]["name"] = json!(long);
        object["spec"]["providerConfig"]["architectures"] = json!(["amd64", "a".repeat(32)]);
        object["spec"]["versions"] = json!([{ "version": "1.0.0" }, { "version": pre }]);
        world.create::<Provider>(object).await;
        world
            .wait("the short one to be served", || {
                world.released("widget", "1.0.0").is_some()
            })
            .await;
        let says =
            |provider: &Provider| provider_says(provider, ConditionType::Ready).1 == "WriteRefused";
        let told = world.until("widget", "the refusal", says).await;
        assert!(!told.status.unwrap().synced);
        world.settled(QUIET).await;
    });
}

#[test]
fn a_readme_that_was_deleted_comes_back_when_asked() {
    run(async |pool| {
        let world = World::start(&pool).await;
        world.write_module("network", "1.0.0", "one");
        let readme = world.manifests().join("network/1.0.0/README.md");
        std::fs::write(readme, "# How to use it\n").unwrap();
        world
            .create::<Module>(module("network", &["1.0.0"], json!({})))
            .await;
        let version = world.published(NAME).await;
        let reference = version.status.unwrap().readme_config_map_ref.unwrap();
        let maps = world.api::<ConfigMap>();
        let before = maps.get(&reference.name).await.unwrap();
        world.delete::<ConfigMap>(&reference.name).await;
        world.annotate::<Module>("network", REQUESTED_AT, "1").await;
        let again = world
            .until(&reference.name, "its return", |map: &ConfigMap| {
                map.metadata.uid != before.metadata.uid
            })
            .await;
        assert_eq!(again.data, before.data);
    });
}

#[test]
fn a_request_is_passed_on_once_and_what_is_new_is_fetched_once() {
    run(async |pool| {
        let world = World::start(&pool).await;
        published(&world).await;
        world.annotate::<Module>("network", REQUESTED_AT, "1").await;
        let passed_on = |version: &Version| {
            let at = version.metadata.annotations.as_ref();
            at.is_some_and(|at| at.contains_key(REQUESTED_AT))
        };
        world.until(NAME, "the request", passed_on).await;
        world.settled(QUIET).await;
        // Somebody asks of the Version itself.
        world.annotate::<Version>(NAME, REQUESTED_AT, "mine").await;
        world.settled(QUIET).await;
        let version: Version = world.get(NAME).await;
        assert_eq!(version.metadata.annotations.unwrap()[REQUESTED_AT], "mine");
        // A version that is listed later was never fetched before: no second look is due.
        world.write_module("network", "1.1.0", "two");
        let more =
            json!({ "spec": { "versions": [{ "version": "1.0.0" }, { "version": "1.1.0" }] } });
        world.patch::<Module>("network", more).await;
        world.published("network-1-1-0").await;
        std::fs::remove_dir_all(world.manifests().join("network/1.1.0")).unwrap();
        world.settled(QUIET).await;
        let version: Version = world.get("network-1-1-0").await;
        assert!(!is(&version, ConditionType::Stale), "it was fetched twice");
    });
}

#[test]
fn events_tell_of_what_went_well_and_wrong_and_not_twice() {
    run(async |pool| {
        let mut world = World::start(&pool).await;
        published(&world).await;
        let forbidden = json!({ "source": { "path": "/etc/{version}" } });
        world
            .create::<Module>(module("forbidden", &["1.0.0"], forbidden))
            .await;
        let refused = |version: &Version| is(version, ConditionType::Stalled);
        world.until("forbidden-1-0-0", "its refusal", refused).await;
        remove_source(&world);
        world.annotate::<Version>(NAME, REQUESTED_AT, "1").await;
        let stale = |version: &Version| is(version, ConditionType::Stale);
        world.until(NAME, "its failure", stale).await;
        world.settled(QUIET).await;
        let told = async || {
            let events = world
                .api::<Event>()
                .list(&Default::default())
                .await
                .unwrap();
            let mut told: Vec<_> = events
                .items
                .into_iter()
                .map(|event| {
                    let regarding = event.regarding.unwrap();
                    assert_eq!(regarding.kind.as_deref(), Some("Version"));
                    assert!(regarding.uid.is_some() && event.note.unwrap().len() <= 1_024);
                    let (name, kind) = (regarding.name.unwrap(), event.type_.unwrap());
                    (name, kind, event.reason.unwrap())
                })
                .collect();
            told.sort();
            told
        };
        let expected = [
            ("forbidden-1-0-0", "Warning", "SourceForbidden"),
            (NAME, "Normal", "Succeeded"),
            (NAME, "Warning", "SourceNotFound"),
        ];
        let expected = expected
            .map(|(name, kind, reason)| (name.to_owned(), kind.to_owned(), reason.to_owned()));
        assert_eq!(told().await, expected);
        world.restart(&pool, None).await;
        world.settled(QUIET * 2).await;
        let events = world
            .api::<Event>()
            .list(&Default::default())
            .await
            .unwrap();
        assert_eq!(
            events.items.len(),
            expected.len(),
            "a settled world says nothing"
        );
    });
}
