//! Finalizers, preconditions, propagation, collections, namespaces and dependents.

use crate::support::{Fixture, becomes, gone, object, refused, within};
use k8s_openapi::api::core::v1::Namespace;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::ResourceExt as _;
use kube::api::{
    Api, DeleteParams, DynamicObject, ListParams, Patch, PatchParams, PostParams, Preconditions,
};
use kube::runtime::wait::{await_condition, conditions};
use serde_json::json;

const FINALIZER: &str = "test.opendepot.defdev.io/hold";

fn held(name: &str) -> DynamicObject {
    let mut object = object(name, json!({"type": "module"}));
    object.metadata.finalizers = Some(vec![FINALIZER.to_owned()]);
    object
}

fn owned(name: &str, owners: &[&DynamicObject]) -> DynamicObject {
    let mut object = object(name, json!({"type": "module"}));
    object.metadata.owner_references = Some(
        owners
            .iter()
            .map(|owner| OwnerReference {
                api_version: "test.opendepot.defdev.io/v1".to_owned(),
                kind: "Widget".to_owned(),
                name: owner.name_any(),
                uid: owner.uid().unwrap(),
                block_owner_deletion: Some(true),
                controller: None,
            })
            .collect(),
    );
    object
}

async fn release(api: &Api<DynamicObject>, name: &str) -> DynamicObject {
    api.patch(
        name,
        &PatchParams::default(),
        &Patch::Merge(json!({"metadata": {"finalizers": null}})),
    )
    .await
    .unwrap()
}

#[tokio::test]
async fn deletion_answers_a_status_and_is_final() {
    let fixture = Fixture::new().await;
    let created = fixture
        .create("a", json!({"type": "module"}))
        .await
        .unwrap();
    let status = fixture
        .widgets()
        .delete("a", &DeleteParams::default())
        .await
        .unwrap()
        .right()
        .unwrap();
    assert!(status.is_success());
    assert_eq!(status.details.unwrap().uid, created.uid().unwrap());
    assert_eq!(fixture.widgets().get_opt("a").await.unwrap(), None);
    assert_eq!(
        refused(
            fixture
                .widgets()
                .delete("a", &DeleteParams::default())
                .await
        )
        .code,
        404
    );
}

#[tokio::test]
async fn finalizers_hold_an_object() {
    let fixture = Fixture::new().await;
    let widgets = fixture.widgets();
    widgets
        .create(&PostParams::default(), &held("a"))
        .await
        .unwrap();
    let marked = widgets
        .delete("a", &DeleteParams::default())
        .await
        .unwrap()
        .left()
        .unwrap();
    assert!(marked.metadata.deletion_timestamp.is_some());
    assert_eq!(marked.metadata.generation, Some(2));
    // Again changes nothing; the mark cannot be taken back; it can still be written to.
    let again = widgets
        .delete("a", &DeleteParams::default())
        .await
        .unwrap()
        .left()
        .unwrap();
    assert_eq!(again.resource_version(), marked.resource_version());
    let patched = widgets
        .patch(
            "a",
            &PatchParams::default(),
            &Patch::Merge(json!({"metadata": {"deletionTimestamp": null, "labels": {"a": "b"}}})),
        )
        .await
        .unwrap();
    assert_eq!(
        patched.metadata.deletion_timestamp,
        marked.metadata.deletion_timestamp
    );
    let late = Patch::Merge(
        json!({"metadata": {"finalizers": [FINALIZER, "test.opendepot.defdev.io/late"]}}),
    );
    let status = refused(widgets.patch("a", &PatchParams::default(), &late).await);
    assert_eq!(status.code, 422);
    assert!(
        status.message.contains("no new finalizers can be added"),
        "{}",
        status.message
    );
    release(&widgets, "a").await;
    assert_eq!(widgets.get_opt("a").await.unwrap(), None);
}

#[tokio::test]
async fn preconditions_protect() {
    let fixture = Fixture::new().await;
    let widgets = fixture.widgets();
    let created = fixture
        .create("a", json!({"type": "module"}))
        .await
        .unwrap();
    let with = |uid: Option<String>, resource_version: Option<String>| {
        DeleteParams::default().preconditions(Preconditions {
            uid,
            resource_version,
        })
    };
    let status = refused(
        widgets
            .delete("a", &with(Some("other".to_owned()), None))
            .await,
    );
    assert_eq!((status.code, status.reason.as_str()), (409, "Conflict"));
    let status = refused(
        widgets
            .delete("a", &with(created.uid(), Some("1".to_owned())))
            .await,
    );
    assert_eq!(status.code, 409);
    widgets
        .delete("a", &with(created.uid(), created.resource_version()))
        .await
        .unwrap();
}

#[tokio::test]
async fn collections_are_deleted_by_selector() {
    let fixture = Fixture::new().await;
    let widgets = fixture.widgets();
    for (name, label) in [("a", "x"), ("b", "x"), ("c", "y")] {
        let mut object = object(name, json!({"type": "module"}));
        object.labels_mut().insert("l".to_owned(), label.to_owned());
        widgets
            .create(&PostParams::default(), &object)
            .await
            .unwrap();
    }
    widgets
        .delete_collection(
            &DeleteParams::default(),
            &ListParams::default().labels("l=x"),
        )
        .await
        .unwrap();
    let left: Vec<_> = widgets
        .list(&ListParams::default())
        .await
        .unwrap()
        .items
        .iter()
        .map(|o| o.name_any())
        .collect();
    assert_eq!(left, ["c"]);
}

#[tokio::test]
async fn dependents_follow_their_owner() {
    let fixture = Fixture::new().await;
    let widgets = fixture.widgets();
    let owner = fixture
        .create("owner", json!({"type": "module"}))
        .await
        .unwrap();
    let other = fixture
        .create("other", json!({"type": "module"}))
        .await
        .unwrap();
    let params = PostParams::default();
    let only = widgets
        .create(&params, &owned("only", &[&owner]))
        .await
        .unwrap();
    let below = widgets
        .create(&params, &owned("below", &[&only]))
        .await
        .unwrap();
    widgets
        .create(&params, &owned("shared", &[&owner, &other]))
        .await
        .unwrap();
    let mut finalized = owned("finalized", &[&owner]);
    finalized.metadata.finalizers = Some(vec![FINALIZER.to_owned()]);
    let finalized = widgets.create(&params, &finalized).await.unwrap();
    widgets
        .delete("owner", &DeleteParams::background())
        .await
        .unwrap();
    gone(&widgets, &only).await;
    gone(&widgets, &below).await;
    let shared = becomes(&widgets, "shared", |object| {
        object.owner_references().len() == 1
    })
    .await;
    assert_eq!(shared.owner_references()[0].name, "other");
    becomes(&widgets, "finalized", |object| {
        object.metadata.deletion_timestamp.is_some()
    })
    .await;
    release(&widgets, "finalized").await;
    gone(&widgets, &finalized).await;
}

#[tokio::test]
async fn an_owner_that_never_was_takes_its_dependent_along() {
    let fixture = Fixture::new().await;
    let widgets = fixture.widgets();
    let mut ghost = object("ghost", json!({"type": "module"}));
    ghost.metadata.uid = Some("00000000-0000-0000-0000-000000000001".to_owned());
    let orphan = widgets
        .create(&PostParams::default(), &owned("orphan", &[&ghost]))
        .await
        .unwrap();
    gone(&widgets, &orphan).await;
    // The right name with another uid is another object.
    let namesake = fixture
        .create("ghost", json!({"type": "module"}))
        .await
        .unwrap();
    let orphan = widgets
        .create(&PostParams::default(), &owned("orphan", &[&ghost]))
        .await
        .unwrap();
    gone(&widgets, &orphan).await;
    assert_eq!(widgets.get("ghost").await.unwrap().uid(), namesake.uid());
}

#[tokio::test]
async fn foreground_deletion_waits_for_dependents() {
    let fixture = Fixture::new().await;
    let widgets = fixture.widgets();
    let owner = fixture
        .create("owner", json!({"type": "module"}))
        .await
        .unwrap();
    let mut dependent = owned("dependent", &[&owner]);
    dependent.metadata.finalizers = Some(vec![FINALIZER.to_owned()]);
    widgets
        .create(&PostParams::default(), &dependent)
        .await
        .unwrap();
    widgets
        .delete("owner", &DeleteParams::foreground())
        .await
        .unwrap()
        .left()
        .unwrap();
    becomes(&widgets, "dependent", |object| {
        object.metadata.deletion_timestamp.is_some()
    })
    .await;
    let waiting = widgets.get("owner").await.unwrap();
    assert_eq!(waiting.finalizers(), ["foregroundDeletion"]);
    release(&widgets, "dependent").await;
    gone(&widgets, &owner).await;
}

#[tokio::test]
async fn orphaned_dependents_live_on() {
    let fixture = Fixture::new().await;
    let widgets = fixture.widgets();
    let owner = fixture
        .create("owner", json!({"type": "module"}))
        .await
        .unwrap();
    widgets
        .create(&PostParams::default(), &owned("dependent", &[&owner]))
        .await
        .unwrap();
    widgets
        .delete("owner", &DeleteParams::orphan())
        .await
        .unwrap();
    gone(&widgets, &owner).await;
    let left = widgets.get("dependent").await.unwrap();
    assert!(left.owner_references().is_empty() && left.metadata.deletion_timestamp.is_none());
}

#[tokio::test]
async fn a_namespace_takes_its_content_along() {
    let fixture = Fixture::new().await;
    let widgets = fixture.widgets();
    let namespaces: Api<Namespace> = Api::all(fixture.client.clone());
    let namespace = namespaces.get(&fixture.namespace).await.unwrap();
    assert_eq!(
        namespace.labels()["kubernetes.io/metadata.name"],
        fixture.namespace
    );
    let plain = fixture
        .create("plain", json!({"type": "module"}))
        .await
        .unwrap();
    widgets
        .create(&PostParams::default(), &held("held"))
        .await
        .unwrap();
    let params = DeleteParams::default();
    namespaces
        .delete(&fixture.namespace, &params)
        .await
        .unwrap()
        .left()
        .unwrap();
    gone(&widgets, &plain).await;
    becomes(&widgets, "held", |object| {
        object.metadata.deletion_timestamp.is_some()
    })
    .await;
    let going = namespaces.get(&fixture.namespace).await.unwrap();
    assert_eq!(going.status.unwrap().phase.as_deref(), Some("Terminating"));
    let status = refused(fixture.create("late", json!({"type": "module"})).await);
    assert_eq!((status.code, status.reason.as_str()), (403, "Forbidden"));
    release(&widgets, "held").await;
    let uid = namespace.uid().unwrap();
    within(await_condition(
        namespaces,
        &fixture.namespace,
        conditions::is_deleted(&uid),
    ))
    .await
    .unwrap();
}

#[tokio::test]
async fn the_default_namespace_stays() {
    let fixture = Fixture::new().await;
    let namespaces: Api<Namespace> = Api::all(fixture.client.clone());
    namespaces.get("default").await.unwrap();
    assert_eq!(
        refused(namespaces.delete("default", &DeleteParams::default()).await).code,
        403
    );
}
