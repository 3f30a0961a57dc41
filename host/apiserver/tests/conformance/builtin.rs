//! What the built-in kinds ask of their content.

use crate::support::{Fixture, refused};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::ResourceExt as _;
use kube::api::{Api, Patch, PatchParams};
use serde_json::json;

#[tokio::test]
async fn content_is_checked() {
    let fixture = Fixture::new().await;
    let large = "x".repeat(1024 * 1024 + 1);
    for (name, group, plural, body) in [
        ("key", "api/v1", "configmaps", json!({"data": {"a b": "c"}})),
        (
            "dots as key",
            "api/v1",
            "configmaps",
            json!({"data": {"..": "c"}}),
        ),
        (
            "key in both",
            "api/v1",
            "configmaps",
            json!({"data": {"a": "b"}, "binaryData": {"a": "Yg=="}}),
        ),
        (
            "size",
            "api/v1",
            "configmaps",
            json!({"data": {"a": large}}),
        ),
        (
            "secret key",
            "api/v1",
            "secrets",
            json!({"stringData": {"a/b": "c"}}),
        ),
        (
            "half a pair",
            "api/v1",
            "secrets",
            json!({"type": "kubernetes.io/tls", "stringData": {"tls.crt": "x"}}),
        ),
        (
            "duration",
            "apis/coordination.k8s.io/v1",
            "leases",
            json!({"spec": {"leaseDurationSeconds": 0}}),
        ),
        (
            "transitions",
            "apis/coordination.k8s.io/v1",
            "leases",
            json!({"spec": {"leaseTransitions": -1}}),
        ),
        (
            "event elsewhere",
            "api/v1",
            "events",
            json!({"involvedObject": {"namespace": "elsewhere"}}),
        ),
        (
            "event of nowhere",
            "api/v1",
            "events",
            json!({"involvedObject": {}}),
        ),
    ] {
        let mut object = body;
        object["metadata"] = json!({"name": "bad"});
        let path = format!("/{group}/namespaces/{}/{plural}", fixture.namespace);
        let (code, status) = fixture
            .send("POST", &path, "application/json", &object.to_string())
            .await;
        assert_eq!(
            (code, &status["reason"]),
            (422, &json!("Invalid")),
            "{name}: {status}"
        );
    }
}

#[tokio::test]
async fn what_is_immutable_stays() {
    let fixture = Fixture::new().await;
    let maps: Api<ConfigMap> = Api::namespaced(fixture.client.clone(), &fixture.namespace);
    let map = json!({"metadata": {"name": "a"}, "data": {"k": "v"}, "immutable": true});
    let map = serde_json::from_value(map).unwrap();
    let created = maps.create(&Default::default(), &map).await.unwrap();
    let params = PatchParams::default();
    for patch in [
        json!({"data": {"k": "w"}}),
        json!({"binaryData": {"b": "Yg=="}}),
        json!({"immutable": false}),
        json!({"immutable": null}),
    ] {
        let status = refused(maps.patch("a", &params, &Patch::Merge(&patch)).await);
        assert_eq!(status.code, 422, "{patch}: {}", status.message);
    }
    let labels = Patch::Merge(json!({"metadata": {"labels": {"a": "b"}}}));
    let labelled = maps.patch("a", &params, &labels).await.unwrap();
    assert_eq!((labelled.labels().len(), labelled.data), (1, created.data));
}

#[tokio::test]
async fn the_type_of_a_secret_stays() {
    use k8s_openapi::api::core::v1::Secret;
    let fixture = Fixture::new().await;
    let secrets: Api<Secret> = Api::namespaced(fixture.client.clone(), &fixture.namespace);
    let secret = json!({"metadata": {"name": "a"}, "stringData": {"k": "v"}});
    let secret = serde_json::from_value(secret).unwrap();
    secrets.create(&Default::default(), &secret).await.unwrap();
    let patch = Patch::Merge(json!({"type": "example.org/other"}));
    let status = refused(secrets.patch("a", &PatchParams::default(), &patch).await);
    assert_eq!(status.code, 422, "{}", status.message);
}

#[tokio::test]
async fn they_are_selected_by_their_fields() {
    let fixture = Fixture::new().await;
    let path = |plural: &str| format!("/api/v1/namespaces/{}/{plural}", fixture.namespace);
    for (plural, name, content) in [
        ("secrets", "a", json!({"type": "example.org/a"})),
        ("secrets", "b", json!({"type": "example.org/b"})),
        (
            "events",
            "a",
            json!({"type": "Warning", "reason": "Broken", "involvedObject": {"kind": "Widget", "name": "w"}}),
        ),
        (
            "events",
            "b",
            json!({"type": "Normal", "reason": "Mended", "involvedObject": {"kind": "Gadget", "name": "g"}}),
        ),
    ] {
        let mut object = content;
        object["metadata"] = json!({"name": name});
        if plural == "events" {
            object["involvedObject"]["namespace"] = json!(fixture.namespace);
        }
        let body = object.to_string();
        let (code, answer) = fixture
            .send("POST", &path(plural), "application/json", &body)
            .await;
        assert_eq!(code, 201, "{answer}");
    }
    for (plural, selector) in [
        ("secrets", "type%3Dexample.org/b"),
        ("events", "type%3DNormal"),
        ("events", "reason%3DMended"),
        ("events", "involvedObject.kind%3DGadget"),
        ("events", "involvedObject.name%3Dg"),
        ("events", "involvedObject.name%21%3Dw"),
    ] {
        let path = format!("{}?fieldSelector={selector}", path(plural));
        let (_, list) = fixture.send("GET", &path, "", "").await;
        let items = list["items"].as_array().unwrap();
        let names: Vec<_> = items.iter().map(|item| &item["metadata"]["name"]).collect();
        assert_eq!(names, [&json!("b")], "{selector}: {list}");
    }
    let (_, list) = fixture
        .send(
            "GET",
            "/api/v1/namespaces?fieldSelector=status.phase%3DLost",
            "",
            "",
        )
        .await;
    assert_eq!(list["items"], json!([]));
}
