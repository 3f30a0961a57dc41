//! Create, read, replace, patch; locks, generations and revisions.

use crate::support::{Fixture, object, refused, widget};
use kube::api::{Api, DynamicObject, Patch, PatchParams, PostParams};
use kube::{Resource as _, ResourceExt as _};
use serde_json::json;

#[tokio::test]
async fn create_completes_metadata_and_reads_back() {
    let fixture = Fixture::new().await;
    let created = fixture
        .create("a", json!({"type": "module"}))
        .await
        .unwrap();
    assert_eq!(created.metadata.generation, Some(1));
    assert!(created.uid().is_some() && created.resource_version().is_some());
    assert!(created.meta().creation_timestamp.is_some());
    assert_eq!(
        created.namespace().as_deref(),
        Some(fixture.namespace.as_str())
    );
    assert_eq!(fixture.widgets().get("a").await.unwrap(), created);
}

#[tokio::test]
async fn refusals_carry_code_and_reason() {
    let fixture = Fixture::new().await;
    let widgets = fixture.widgets();
    let status = refused(widgets.get("missing").await);
    assert_eq!((status.code, status.reason.as_str()), (404, "NotFound"));
    assert_eq!(
        status.message,
        "widgets.test.opendepot.defdev.io \"missing\" not found"
    );
    fixture
        .create("a", json!({"type": "module"}))
        .await
        .unwrap();
    let status = refused(fixture.create("a", json!({"type": "module"})).await);
    assert_eq!(
        (status.code, status.reason.as_str()),
        (409, "AlreadyExists")
    );
    let mut with_version = object("b", json!({"type": "module"}));
    with_version.metadata.resource_version = Some("1".to_owned());
    let status = refused(widgets.create(&PostParams::default(), &with_version).await);
    // A cluster takes it for a fault of its own.
    let code = if fixture.is_cluster() { 500 } else { 400 };
    assert_eq!(status.code, code);
    assert_eq!(
        status.message,
        "resourceVersion should not be set on objects to be created"
    );
    with_version.metadata.resource_version = Some("0".to_owned());
    let params = PostParams::default();
    widgets.create(&params, &with_version).await.unwrap();
}

#[tokio::test]
async fn a_namespace_must_exist() {
    let fixture = Fixture::new().await;
    let elsewhere: Api<DynamicObject> =
        Api::namespaced_with(fixture.client.clone(), "no-such-namespace", &widget());
    let created = elsewhere
        .create(
            &PostParams::default(),
            &object("a", json!({"type": "module"})),
        )
        .await;
    let status = refused(created);
    assert_eq!(status.code, 404);
    assert!(
        status.message.contains("no-such-namespace"),
        "{}",
        status.message
    );
    // Reading in it is no error.
    assert_eq!(
        elsewhere
            .list(&Default::default())
            .await
            .unwrap()
            .items
            .len(),
        0
    );
}

#[tokio::test]
async fn generated_names_differ() {
    let fixture = Fixture::new().await;
    let mut unnamed = object("", json!({"type": "module"}));
    unnamed.metadata.name = None;
    unnamed.metadata.generate_name = Some("gen-".to_owned());
    let one = fixture
        .widgets()
        .create(&PostParams::default(), &unnamed)
        .await
        .unwrap();
    let two = fixture
        .widgets()
        .create(&PostParams::default(), &unnamed)
        .await
        .unwrap();
    assert!(one.name_any().starts_with("gen-") && one.name_any().len() == 9);
    assert_ne!(one.name_any(), two.name_any());
}

#[tokio::test]
async fn replace_needs_the_current_revision() {
    let fixture = Fixture::new().await;
    let widgets = fixture.widgets();
    let created = fixture
        .create("a", json!({"type": "module"}))
        .await
        .unwrap();
    let mut newer = created.clone();
    newer.data["spec"]["size"] = json!(4);
    let newer = widgets
        .replace("a", &PostParams::default(), &newer)
        .await
        .unwrap();
    assert_ne!(newer.resource_version(), created.resource_version());
    let status = refused(widgets.replace("a", &PostParams::default(), &created).await);
    assert_eq!((status.code, status.reason.as_str()), (409, "Conflict"));
    let mut without = created.clone();
    without.metadata.resource_version = None;
    let status = refused(widgets.replace("a", &PostParams::default(), &without).await);
    assert_eq!(status.code, 422);
    let mut other_uid = newer.clone();
    other_uid.metadata.uid = Some("00000000-0000-0000-0000-000000000000".to_owned());
    let status = refused(
        widgets
            .replace("a", &PostParams::default(), &other_uid)
            .await,
    );
    assert_eq!(status.code, 409);
    let status = refused(
        widgets
            .replace("missing", &PostParams::default(), &{
                let mut missing = newer;
                missing.metadata.name = Some("missing".to_owned());
                missing
            })
            .await,
    );
    assert_eq!(status.code, 404);
}

#[tokio::test]
async fn generation_follows_spec_alone() {
    let fixture = Fixture::new().await;
    let widgets = fixture.widgets();
    fixture
        .create("a", json!({"type": "module"}))
        .await
        .unwrap();
    let params = PatchParams::default();
    let labelled = widgets
        .patch(
            "a",
            &params,
            &Patch::Merge(json!({"metadata": {"labels": {"x": "y"}}})),
        )
        .await
        .unwrap();
    assert_eq!(labelled.metadata.generation, Some(1));
    let changed = widgets
        .patch("a", &params, &Patch::Merge(json!({"spec": {"size": 5}})))
        .await
        .unwrap();
    assert_eq!(changed.metadata.generation, Some(2));
    let status = widgets
        .patch_status(
            "a",
            &params,
            &Patch::Merge(json!({"status": {"phase": "Ready"}})),
        )
        .await
        .unwrap();
    assert_eq!(status.metadata.generation, Some(2));
}

#[tokio::test]
async fn writes_that_change_nothing_are_not_writes() {
    let fixture = Fixture::new().await;
    let widgets = fixture.widgets();
    let created = fixture
        .create("a", json!({"type": "module", "size": 3}))
        .await
        .unwrap();
    let patched = widgets
        .patch(
            "a",
            &PatchParams::default(),
            &Patch::Merge(json!({"spec": {"size": 3}})),
        )
        .await
        .unwrap();
    assert_eq!(patched.resource_version(), created.resource_version());
    let replaced = widgets
        .replace("a", &PostParams::default(), &created)
        .await
        .unwrap();
    assert_eq!(replaced.resource_version(), created.resource_version());
}

#[tokio::test]
async fn each_door_changes_its_own_part() {
    let fixture = Fixture::new().await;
    let widgets = fixture.widgets();
    let mut with_status = object("a", json!({"type": "module"}));
    with_status.data["status"] = json!({"phase": "Early"});
    let created = widgets
        .create(&PostParams::default(), &with_status)
        .await
        .unwrap();
    assert!(created.data.get("status").is_none());
    let both = json!({"spec": {"size": 9}, "status": {"phase": "Ready"}, "metadata": {"labels": {"x": "y"}}});
    let through_status = widgets
        .patch_status("a", &PatchParams::default(), &Patch::Merge(&both))
        .await
        .unwrap();
    assert_eq!(through_status.data["status"]["phase"], "Ready");
    assert_eq!(through_status.data["spec"]["size"], 3);
    assert!(through_status.labels().is_empty());
    let both = json!({"spec": {"size": 9}, "status": {"phase": "Lost"}});
    let through_main = widgets
        .patch("a", &PatchParams::default(), &Patch::Merge(&both))
        .await
        .unwrap();
    assert_eq!(through_main.data["spec"]["size"], 9);
    assert_eq!(through_main.data["status"]["phase"], "Ready");
    let mut replacement = through_main.clone();
    replacement.data["status"] = json!({"phase": "Replaced", "count": 2});
    let replaced = widgets
        .replace_status("a", &PostParams::default(), &replacement)
        .await
        .unwrap();
    assert_eq!(
        replaced.data["status"],
        json!({"phase": "Replaced", "count": 2})
    );
}

#[tokio::test]
async fn patches_honour_a_revision_that_they_carry() {
    let fixture = Fixture::new().await;
    let widgets = fixture.widgets();
    let created = fixture
        .create("a", json!({"type": "module"}))
        .await
        .unwrap();
    let params = PatchParams::default();
    let at = |version: Option<String>, size: u32| {
        Patch::Merge(json!({"metadata": {"resourceVersion": version}, "spec": {"size": size}}))
    };
    widgets
        .patch("a", &params, &at(created.resource_version(), 4))
        .await
        .unwrap();
    let status = refused(
        widgets
            .patch("a", &params, &at(created.resource_version(), 5))
            .await,
    );
    assert_eq!((status.code, status.reason.as_str()), (409, "Conflict"));
}

#[tokio::test]
async fn json_patches() {
    let fixture = Fixture::new().await;
    let widgets = fixture.widgets();
    fixture
        .create("a", json!({"type": "module", "tags": ["x"]}))
        .await
        .unwrap();
    let patch = |value: serde_json::Value| -> Patch<()> {
        Patch::Json(serde_json::from_value(value).unwrap())
    };
    let patched = widgets
        .patch(
            "a",
            &PatchParams::default(),
            &patch(json!([
                {"op": "test", "path": "/spec/tags/0", "value": "x"},
                {"op": "add", "path": "/spec/tags/-", "value": "y"},
            ])),
        )
        .await
        .unwrap();
    assert_eq!(patched.data["spec"]["tags"], json!(["x", "y"]));
    let failed = widgets
        .patch(
            "a",
            &PatchParams::default(),
            &patch(json!([{"op": "test", "path": "/spec/tags/0", "value": "z"}])),
        )
        .await;
    assert_eq!(refused(failed).code, 422);
}

#[tokio::test]
async fn dry_runs_change_nothing() {
    let fixture = Fixture::new().await;
    let widgets = fixture.widgets();
    let dry = PostParams {
        dry_run: true,
        ..PostParams::default()
    };
    widgets
        .create(&dry, &object("a", json!({"type": "module"})))
        .await
        .unwrap();
    assert_eq!(widgets.get_opt("a").await.unwrap(), None);
    let created = fixture
        .create("a", json!({"type": "module"}))
        .await
        .unwrap();
    let patched = widgets
        .patch(
            "a",
            &PatchParams::default().dry_run(),
            &Patch::Merge(json!({"spec": {"size": 8}})),
        )
        .await
        .unwrap();
    assert_eq!(patched.data["spec"]["size"], 8);
    widgets
        .delete("a", &kube::api::DeleteParams::default().dry_run())
        .await
        .unwrap();
    assert_eq!(widgets.get("a").await.unwrap(), created);
}

#[tokio::test]
async fn built_in_kinds_round_trip() {
    use k8s_openapi::api::coordination::v1::Lease;
    use k8s_openapi::api::core::v1::{ConfigMap, Secret};
    let fixture = Fixture::new().await;
    let secrets: Api<Secret> = Api::namespaced(fixture.client.clone(), &fixture.namespace);
    let secret: Secret = serde_json::from_value(json!({
        "metadata": {"name": "s"}, "stringData": {"a": "b"}, "data": {"c": "ZA=="},
    }))
    .unwrap();
    let secret = secrets
        .create(&PostParams::default(), &secret)
        .await
        .unwrap();
    assert_eq!(secret.type_.as_deref(), Some("Opaque"));
    assert!(secret.string_data.is_none());
    let data = secret.data.unwrap();
    assert_eq!(
        (data["a"].0.as_slice(), data["c"].0.as_slice()),
        (&b"b"[..], &b"d"[..])
    );
    let leases: Api<Lease> = Api::namespaced(fixture.client.clone(), &fixture.namespace);
    let lease: Lease = serde_json::from_value(json!({
        "metadata": {"name": "l"},
        "spec": {"holderIdentity": "me", "leaseDurationSeconds": 15, "renewTime": "2026-01-02T03:04:05.678901Z"},
    }))
    .unwrap();
    let created = leases.create(&PostParams::default(), &lease).await.unwrap();
    assert_eq!(created.spec, lease.spec);
    let maps: Api<ConfigMap> = Api::namespaced(fixture.client.clone(), &fixture.namespace);
    let map: ConfigMap =
        serde_json::from_value(json!({"metadata": {"name": "m"}, "data": {"a": "1"}})).unwrap();
    maps.create(&PostParams::default(), &map).await.unwrap();
    // A replacement of a ConfigMap needs no revision.
    let map: ConfigMap =
        serde_json::from_value(json!({"metadata": {"name": "m"}, "data": {"a": "2"}})).unwrap();
    let replaced = maps
        .replace("m", &PostParams::default(), &map)
        .await
        .unwrap();
    assert_eq!(replaced.data.unwrap()["a"], "2");
}
