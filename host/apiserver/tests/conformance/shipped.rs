//! The definitions that OpenDepot ships are served as they are.

use crate::support::{Fixture, refused};
use kube::api::{Api, ListParams, Patch, PatchParams, PostParams};
use opendepot_crds::{Module, Version};
use serde_json::{Value, json};

#[tokio::test]
async fn typed_objects_make_the_round_trip() {
    let fixture = Fixture::new().await;
    let modules: Api<Module> = Api::namespaced(fixture.client.clone(), &fixture.namespace);
    let module: Module = serde_json::from_value(json!({
        "apiVersion": "opendepot.defdev.io/v1alpha1", "kind": "Module", "metadata": {"name": "hello"},
        "spec": {
            "moduleConfig": {"name": "hello", "provider": "null", "repoOwner": "o", "repoUrl": "https://github.com/o/hello"},
            "versions": [{"version": "1.0.0"}],
        },
    }))
    .unwrap();
    let created = modules
        .create(&PostParams::default(), &module)
        .await
        .unwrap();
    assert_eq!(created.metadata.generation, Some(1));
    let twice: Value = json!({"spec": {"versions": [{"version": "1.0.0"}, {"version": "v1.0.0"}]}});
    let status = refused(
        modules
            .patch("hello", &PatchParams::default(), &Patch::Merge(twice))
            .await,
    );
    assert_eq!(status.code, 422, "{}", status.message);
    let patch = json!({"metadata": {"resourceVersion": created.metadata.resource_version}, "status": {"synced": true, "syncStatus": "ok"}});
    let patched = modules
        .patch_status("hello", &PatchParams::default(), &Patch::Merge(patch))
        .await
        .unwrap();
    assert_eq!(patched.metadata.generation, Some(1));
    assert!(patched.status.is_some());
}

#[tokio::test]
async fn versions_are_selected_by_type() {
    let fixture = Fixture::new().await;
    let versions: Api<Version> = Api::namespaced(fixture.client.clone(), &fixture.namespace);
    let found = versions
        .list(&ListParams::default().fields("spec.type=module"))
        .await
        .unwrap();
    assert!(found.items.is_empty());
}
