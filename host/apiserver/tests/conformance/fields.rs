//! `metadata.managedFields` and selectors.

use crate::support::{Fixture, object};
use kube::ResourceExt as _;
use kube::api::{ListParams, Patch, PatchParams, PostParams};
use serde_json::json;

#[tokio::test]
async fn managers_are_recorded() {
    let fixture = Fixture::new().await;
    let widgets = fixture.widgets();
    let params = PostParams {
        field_manager: Some("first".to_owned()),
        ..PostParams::default()
    };
    widgets
        .create(&params, &object("a", json!({"type": "module"})))
        .await
        .unwrap();
    let params = PatchParams {
        field_manager: Some("second".to_owned()),
        ..PatchParams::default()
    };
    let patched = widgets
        .patch_status(
            "a",
            &params,
            &Patch::Merge(json!({"status": {"phase": "Ready"}})),
        )
        .await
        .unwrap();
    let managed = patched.managed_fields();
    let find = |name: &str| {
        managed
            .iter()
            .find(|entry| entry.manager.as_deref() == Some(name))
            .unwrap()
    };
    assert!(find("first").fields_v1.as_ref().unwrap().0["f:spec"]["f:type"].is_object());
    let second = find("second");
    assert_eq!(second.operation.as_deref(), Some("Update"));
    assert_eq!(second.subresource.as_deref(), Some("status"));
    assert!(second.fields_v1.as_ref().unwrap().0["f:status"]["f:phase"].is_object());
}

#[tokio::test]
async fn the_list_of_managers_can_be_emptied() {
    let fixture = Fixture::new().await;
    let widgets = fixture.widgets();
    let created = fixture
        .create("a", json!({"type": "module"}))
        .await
        .unwrap();
    assert_eq!(created.managed_fields().len(), 1);
    let empty = Patch::Merge(json!({"metadata": {"managedFields": [{}], "generateName": "a-"}}));
    let params = PatchParams::default();
    let emptied = widgets.patch("a", &params, &empty).await.unwrap();
    assert!(emptied.managed_fields().is_empty());
    assert_ne!(emptied.resource_version(), created.resource_version());
    assert_eq!(emptied.metadata.generate_name.as_deref(), Some("a-"));
}

#[tokio::test]
async fn selectors_narrow_lists() {
    let fixture = Fixture::new().await;
    let widgets = fixture.widgets();
    for (name, kind, env) in [
        ("a", "module", "dev"),
        ("b", "provider", "dev"),
        ("c", "module", "prod"),
    ] {
        let mut widget = object(name, json!({"type": kind}));
        widget.labels_mut().insert("env".to_owned(), env.to_owned());
        widgets
            .create(&PostParams::default(), &widget)
            .await
            .unwrap();
    }
    let names = |params: ListParams| {
        let widgets = widgets.clone();
        async move {
            widgets
                .list(&params)
                .await
                .unwrap()
                .items
                .iter()
                .map(|item| item.name_any())
                .collect::<Vec<_>>()
                .join("")
        }
    };
    assert_eq!(names(ListParams::default()).await, "abc");
    assert_eq!(names(ListParams::default().labels("env=dev")).await, "ab");
    assert_eq!(
        names(ListParams::default().labels("env in (prod, test)")).await,
        "c"
    );
    assert_eq!(names(ListParams::default().labels("env!=dev")).await, "c");
    assert_eq!(
        names(ListParams::default().fields("metadata.name=b")).await,
        "b"
    );
    assert_eq!(
        names(ListParams::default().fields("spec.type=module")).await,
        "ac"
    );
    assert_eq!(
        names(
            ListParams::default()
                .fields("spec.type=module")
                .labels("env=prod")
        )
        .await,
        "c"
    );
    let status = crate::support::refused(
        widgets
            .list(&ListParams::default().fields("spec.size=3"))
            .await,
    );
    assert_eq!(status.code, 400);
}

#[tokio::test]
async fn metadata_can_be_had_alone() {
    let fixture = Fixture::new().await;
    fixture
        .create("a", json!({"type": "module"}))
        .await
        .unwrap();
    let one = fixture.widgets().get_metadata("a").await.unwrap();
    assert_eq!(one.name_any(), "a");
    let list = fixture
        .widgets()
        .list_metadata(&ListParams::default())
        .await
        .unwrap();
    assert_eq!(list.items.len(), 1);
}
