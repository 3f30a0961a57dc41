//! Pruning, defaults, validation, rules and ratcheting.

use crate::support::{Fixture, object, refused};
use kube::api::{Patch, PatchParams, PostParams, ValidationDirective};
use serde_json::{Value, json};

#[tokio::test]
async fn unknown_fields_go_and_defaults_come() {
    let fixture = Fixture::new().await;
    let created = fixture
        .create(
            "a",
            json!({
                "type": "module", "unknown": 1, "anything": {"kept": [1], "null": null},
                "options": {"k": "v", "null": null}, "entries": [{"name": "e", "more": true, "value": null}],
                "maybe": null, "size": null, "title": null, "port": null, "tags": null,
            }),
        )
        .await
        .unwrap();
    let expected = json!({
        "type": "module", "size": 3, "anything": {"kept": [1], "null": null}, "options": {"k": "v"},
        "entries": [{"name": "e", "value": "none"}], "maybe": null, "nested": {"level": 1},
    });
    assert_eq!(created.data["spec"], expected);
}

#[tokio::test]
async fn strict_writes_refuse_unknown_fields() {
    let fixture = Fixture::new().await;
    fixture
        .create("a", json!({"type": "module"}))
        .await
        .unwrap();
    let params = PatchParams {
        field_validation: Some(ValidationDirective::Strict),
        ..PatchParams::default()
    };
    for (patch, field) in [
        (json!({"spec": {"unknwon": 1}}), "spec.unknwon"),
        (json!({"metadata": {"unknwon": 1}}), "metadata.unknwon"),
        (json!({"unknwon": 1}), "unknwon"),
    ] {
        let patch = Patch::Merge(patch);
        let status = refused(fixture.widgets().patch("a", &params, &patch).await);
        assert_eq!((status.code, status.reason.as_str()), (422, "Invalid"));
        let words = format!("unknown field \"{field}\"");
        assert!(status.message.contains(&words), "{}", status.message);
    }
    let widgets = format!(
        "/apis/test.opendepot.defdev.io/v1/namespaces/{}/widgets",
        fixture.namespace
    );
    let maps = format!("/api/v1/namespaces/{}/configmaps", fixture.namespace);
    let head = r#""apiVersion": "test.opendepot.defdev.io/v1", "kind": "Widget", "metadata": {"name": "b"}"#;
    for (path, body, field) in [
        (
            &widgets,
            format!(r#"{{{head}, "spec": {{"type": "module", "x": 1}}}}"#),
            "spec.x",
        ),
        (
            &maps,
            r#"{"metadata": {"name": "b"}, "dta": {"a": "b"}}"#.to_owned(),
            "dta",
        ),
        (
            &maps,
            r#"{"metadata": {"name": "b", "x": 1}}"#.to_owned(),
            "metadata.x",
        ),
    ] {
        let path = format!("{path}?fieldValidation=Strict");
        let (code, status) = fixture.send("POST", &path, "application/json", &body).await;
        assert_eq!(
            (code, &status["reason"]),
            (400, &json!("BadRequest")),
            "{status}"
        );
        let words = format!("strict decoding error: unknown field \"{field}\"");
        assert!(
            status["message"].as_str().unwrap().contains(&words),
            "{status}"
        );
    }
}

#[tokio::test]
async fn wrong_values_are_refused_with_their_field() {
    let fixture = Fixture::new().await;
    let long: String = "a".repeat(11);
    for (name, spec, field, words) in [
        ("required", json!({}), "spec.type", "Required value"),
        (
            "enum",
            json!({"type": "x"}),
            "spec.type",
            "supported values: \"module\", \"provider\"",
        ),
        (
            "type",
            json!({"type": "module", "size": "3"}),
            "spec.size",
            "must be of type integer: \"string\"",
        ),
        ("null", json!({"type": null}), "spec.type", "Required value"),
        (
            "null in a list",
            json!({"type": "module", "tags": [null]}),
            "spec.tags[0]",
            "must be of type string: \"null\"",
        ),
        (
            "minimum",
            json!({"type": "module", "size": 0}),
            "spec.size",
            "greater than or equal to 1",
        ),
        (
            "maximum",
            json!({"type": "module", "size": 11}),
            "spec.size",
            "less than or equal to 10",
        ),
        (
            "pattern",
            json!({"type": "module", "title": "A1"}),
            "spec.title",
            "should match '^[a-zé]+$'",
        ),
        (
            "too short",
            json!({"type": "module", "title": "a"}),
            "spec.title",
            "at least 2 chars",
        ),
        (
            "too long",
            json!({"type": "module", "title": long}),
            "spec.title",
            "Too long",
        ),
        (
            "date-time",
            json!({"type": "module", "when": "yesterday"}),
            "spec.when",
            "date-time",
        ),
        (
            "byte",
            json!({"type": "module", "blob": "%"}),
            "spec.blob",
            "byte",
        ),
        (
            "int-or-string",
            json!({"type": "module", "port": true}),
            "spec.port",
            "Invalid value",
        ),
        (
            "set",
            json!({"type": "module", "tags": ["a", "a"]}),
            "spec.tags[1]",
            "Duplicate value: \"a\"",
        ),
        (
            "too many",
            json!({"type": "module", "tags": ["a", "b", "c", "d"]}),
            "spec.tags",
            "must have at most 3 items",
        ),
        (
            "map keys",
            json!({"type": "module", "entries": [{"name": "a"}, {"name": "a"}]}),
            "spec.entries[1]",
            "Duplicate value",
        ),
        (
            "inside a list",
            json!({"type": "module", "entries": [{"value": "a"}]}),
            "spec.entries[0].name",
            "Required value",
        ),
        (
            "rule",
            json!({"type": "module", "title": "forbidden"}),
            "spec.title",
            "this title is taken",
        ),
        (
            "rule with an expression",
            json!({"type": "module", "size": 7}),
            "spec",
            "size must not be 7",
        ),
    ] {
        let status = refused(fixture.create("bad", spec).await);
        assert_eq!(
            (status.code, status.reason.as_str()),
            (422, "Invalid"),
            "{name}"
        );
        assert!(status.message.contains(words), "{name}: {}", status.message);
        assert!(
            status
                .message
                .contains("Widget.test.opendepot.defdev.io \"bad\" is invalid"),
            "{name}: {}",
            status.message
        );
        let causes = status.details.unwrap().causes;
        assert!(
            causes.iter().any(|cause| cause.field == field),
            "{name}: {causes:?}"
        );
    }
    // Length is counted in characters, not bytes.
    fixture
        .create("long", json!({"type": "module", "title": "éééééééééé"}))
        .await
        .unwrap();
    fixture
        .create("port", json!({"type": "module", "port": "http"}))
        .await
        .unwrap();
}

#[tokio::test]
async fn transition_rules_compare_with_the_old_object() {
    let fixture = Fixture::new().await;
    let widgets = fixture.widgets();
    fixture
        .create("a", json!({"type": "module", "entries": [{"name": "x", "value": "1"}, {"name": "y", "value": "2"}]}))
        .await
        .unwrap();
    let merge = |spec: Value| {
        let widgets = widgets.clone();
        async move {
            widgets
                .patch(
                    "a",
                    &PatchParams::default(),
                    &Patch::Merge(json!({"spec": spec})),
                )
                .await
        }
    };
    let status = refused(merge(json!({"type": "provider"})).await);
    assert!(
        status.message.contains("type is immutable"),
        "{}",
        status.message
    );
    // Items are paired by key, so that reordering is no change.
    merge(json!({"entries": [{"name": "y", "value": "2"}, {"name": "x", "value": "1"}]}))
        .await
        .unwrap();
    merge(json!({"entries": [{"name": "z", "value": "3"}, {"name": "x", "value": "1"}]}))
        .await
        .unwrap();
    let status = refused(merge(json!({"entries": [{"name": "x", "value": "9"}]})).await);
    assert!(
        status.message.contains("value is immutable"),
        "{}",
        status.message
    );
    assert!(
        status.message.contains("spec.entries[0].value"),
        "{}",
        status.message
    );
}

#[tokio::test]
async fn metadata_is_validated() {
    let fixture = Fixture::new().await;
    for (name, change) in [
        ("label value", json!({"labels": {"a": "not valid"}})),
        ("label key", json!({"labels": {"a b": "c"}})),
        ("annotation key", json!({"annotations": {"/": "c"}})),
        (
            "owner without a uid",
            json!({"ownerReferences": [{"apiVersion": "v1", "kind": "ConfigMap", "name": "x", "uid": ""}]}),
        ),
        (
            "two kinds of propagation",
            json!({"finalizers": ["foregroundDeletion", "orphan"]}),
        ),
        (
            "an event as owner",
            json!({"ownerReferences": [{"apiVersion": "v1", "kind": "Event", "name": "x", "uid": "1"}]}),
        ),
        (
            "two controllers",
            json!({"ownerReferences": [
            {"apiVersion": "v1", "kind": "ConfigMap", "name": "x", "uid": "1", "controller": true},
            {"apiVersion": "v1", "kind": "ConfigMap", "name": "y", "uid": "2", "controller": true}]}),
        ),
    ] {
        let mut value = serde_json::to_value(object("bad", json!({"type": "module"}))).unwrap();
        json_patch::merge(&mut value["metadata"], &change);
        let object = serde_json::from_value(value).unwrap();
        let status = refused(
            fixture
                .widgets()
                .create(&PostParams::default(), &object)
                .await,
        );
        assert_eq!(status.code, 422, "{name}: {}", status.message);
    }
    let status = refused(
        fixture
            .create("Not-A-Name", json!({"type": "module"}))
            .await,
    );
    assert_eq!(status.code, 422);
}
