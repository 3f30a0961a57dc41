//! Requests as text: what is refused, with which code and reason.

use crate::support::Fixture;
use serde_json::{Value, json};

const JSON: &str = "application/json";
const MERGE: &str = "application/merge-patch+json";
const JSON_PATCH: &str = "application/json-patch+json";
const WIDGET: &str = r#""apiVersion": "test.opendepot.defdev.io/v1", "kind": "Widget""#;

/// The collections of the fixture's namespace.
fn paths(fixture: &Fixture) -> (String, String) {
    let namespace = &fixture.namespace;
    (
        format!("/api/v1/namespaces/{namespace}/configmaps"),
        format!("/apis/test.opendepot.defdev.io/v1/namespaces/{namespace}/widgets"),
    )
}

fn assert_refused(name: &str, answer: &(u16, Value), code: u16, reason: &str) {
    let (found, status) = answer;
    assert_eq!(*found, code, "{name}: {status}");
    assert_eq!(status["kind"], "Status", "{name}");
    assert_eq!(status["status"], "Failure", "{name}");
    assert_eq!(status["code"], code, "{name}");
    assert_eq!(status["reason"], reason, "{name}: {status}");
}

#[tokio::test]
async fn every_refusal_is_a_status() {
    let fixture = Fixture::new().await;
    let (maps, widgets) = paths(&fixture);
    let deep = "[".repeat(10_000);
    let (bad, missing, invalid) = ((400, "BadRequest"), (404, "NotFound"), (422, "Invalid"));
    let (method, media) = ((405, "MethodNotAllowed"), (415, "UnsupportedMediaType"));
    for (name, verb, path, body, (code, reason)) in [
        ("dots", "GET", format!("{maps}/.."), "", bad),
        ("escaped dots", "GET", format!("{maps}/%2e%2e"), "", bad),
        (
            "unknown kind",
            "GET",
            "/api/v1/gadgets".to_owned(),
            "",
            missing,
        ),
        (
            "unknown subresource",
            "GET",
            format!("{maps}/a/scale"),
            "",
            missing,
        ),
        ("method of a collection", "PUT", maps.clone(), "{}", method),
        (
            "method of an object",
            "POST",
            format!("{maps}/a"),
            "{}",
            method,
        ),
        (
            "no namespace",
            "POST",
            "/api/v1/configmaps".to_owned(),
            r#"{"metadata": {"name": "a"}}"#,
            method,
        ),
        ("no JSON", "POST", maps.clone(), "{", bad),
        ("no object", "POST", maps.clone(), "[]", bad),
        ("too deep", "POST", maps.clone(), &deep, bad),
        (
            "another kind",
            "POST",
            maps.clone(),
            r#"{"kind": "Secret", "metadata": {"name": "a"}}"#,
            bad,
        ),
        (
            "another namespace",
            "POST",
            maps.clone(),
            r#"{"metadata": {"name": "a", "namespace": "b"}}"#,
            bad,
        ),
        (
            "wrong types",
            "POST",
            maps.clone(),
            r#"{"metadata": {"name": "a"}, "data": {"a": 1}}"#,
            bad,
        ),
        (
            "metadata of wrong types",
            "POST",
            maps.clone(),
            r#"{"metadata": {"name": 1}}"#,
            bad,
        ),
        (
            "no name",
            "POST",
            maps.clone(),
            r#"{"metadata": {}}"#,
            invalid,
        ),
        (
            "no kind",
            "POST",
            widgets.clone(),
            r#"{"apiVersion": "test.opendepot.defdev.io/v1", "metadata": {"name": "a"}}"#,
            bad,
        ),
        (
            "no version",
            "POST",
            widgets.clone(),
            r#"{"kind": "Widget", "metadata": {"name": "a"}}"#,
            bad,
        ),
        (
            "another version",
            "POST",
            widgets.clone(),
            r#"{"apiVersion": "test.opendepot.defdev.io/v2", "kind": "Widget", "metadata": {"name": "a"}}"#,
            bad,
        ),
        (
            "another custom kind",
            "POST",
            widgets.clone(),
            r#"{"apiVersion": "test.opendepot.defdev.io/v1", "kind": "Gadget", "metadata": {"name": "a"}}"#,
            invalid,
        ),
        ("limit", "GET", format!("{maps}?limit=many"), "", bad),
        (
            "token",
            "GET",
            format!("{maps}?limit=1&continue=eyJyZXZpc2lvbiI6MSwiYWZ0ZXIiOiIvc2VjcmV0c1x1MDAwMCJ9"),
            "",
            bad,
        ),
        (
            "token and revision",
            "GET",
            format!("{maps}?limit=1&continue=x&resourceVersion=3"),
            "",
            bad,
        ),
        (
            "labels",
            "GET",
            format!("{maps}?labelSelector=a%20b%20c"),
            "",
            bad,
        ),
        ("fields", "GET", format!("{maps}?fieldSelector=a"), "", bad),
        (
            "unknown field",
            "GET",
            format!("{widgets}?fieldSelector=spec.size%3D3"),
            "",
            bad,
        ),
        (
            "revision",
            "GET",
            format!("{widgets}?resourceVersion=x"),
            "",
            bad,
        ),
        (
            "match without a revision",
            "GET",
            format!("{widgets}?resourceVersionMatch=Exact"),
            "",
            invalid,
        ),
        (
            "unknown match",
            "GET",
            format!("{widgets}?resourceVersion=1&resourceVersionMatch=Near"),
            "",
            invalid,
        ),
        (
            "exactly any",
            "GET",
            format!("{widgets}?resourceVersion=0&resourceVersionMatch=Exact"),
            "",
            invalid,
        ),
        (
            "initial events of any revision",
            "GET",
            format!("{widgets}?watch=true&sendInitialEvents=true"),
            "",
            invalid,
        ),
        (
            "match of a watch",
            "GET",
            format!("{widgets}?watch=true&resourceVersion=1&resourceVersionMatch=NotOlderThan"),
            "",
            invalid,
        ),
        (
            "page of a watch",
            "GET",
            format!("{widgets}?watch=true&continue=x"),
            "",
            invalid,
        ),
        (
            "future list",
            "GET",
            format!("{widgets}?resourceVersion=99999999"),
            "",
            (504, "Timeout"),
        ),
        (
            "future object",
            "GET",
            format!("{widgets}/a?resourceVersion=99999999"),
            "",
            (504, "Timeout"),
        ),
        (
            "dry run",
            "POST",
            format!("{widgets}?dryRun=Some"),
            "{}",
            invalid,
        ),
        (
            "validation",
            "POST",
            format!("{widgets}?fieldValidation=Some"),
            "{}",
            invalid,
        ),
        (
            "manager",
            "POST",
            format!("{widgets}?fieldManager={}", "x".repeat(129)),
            "{}",
            invalid,
        ),
        (
            "policy",
            "DELETE",
            format!("{maps}/a"),
            r#"{"propagationPolicy": "Later"}"#,
            invalid,
        ),
        (
            "policy in the query",
            "DELETE",
            format!("{maps}/a?propagationPolicy=Later"),
            "",
            invalid,
        ),
        (
            "two policies",
            "DELETE",
            format!("{maps}/a"),
            r#"{"propagationPolicy": "Orphan", "orphanDependents": true}"#,
            invalid,
        ),
        ("broken options", "DELETE", format!("{maps}/a"), "{", bad),
        (
            "deletion of a status",
            "DELETE",
            format!("{widgets}/a/status"),
            "",
            method,
        ),
        (
            "deletion of all namespaces",
            "DELETE",
            "/api/v1/namespaces".to_owned(),
            "",
            method,
        ),
    ] {
        let answer = fixture.send(verb, &path, JSON, body).await;
        assert_refused(name, &answer, code, reason);
    }
    for (name, verb, path, kind) in [
        ("a format", "POST", &maps, "application/toml"),
        (
            "a patch without a type",
            "PATCH",
            &format!("{maps}/a"),
            JSON,
        ),
        (
            "strategic merge of a custom kind",
            "PATCH",
            &format!("{widgets}/a"),
            "application/strategic-merge-patch+json",
        ),
    ] {
        let answer = fixture.send(verb, path, kind, "{}").await;
        assert_refused(name, &answer, media.0, media.1);
    }
    let answer = fixture
        .send("PATCH", &format!("{maps}/missing"), MERGE, "{}")
        .await;
    assert_refused("a patch of nothing", &answer, missing.0, missing.1);
}

#[tokio::test]
async fn what_a_write_may_not_do() {
    let fixture = Fixture::new().await;
    let (maps, widgets) = paths(&fixture);
    let body =
        format!(r#"{{{WIDGET}, "metadata": {{"name": "a"}}, "spec": {{"type": "module"}}}}"#);
    let (code, created) = fixture.send("POST", &widgets, JSON, &body).await;
    assert_eq!(code, 201, "{created}");
    let body = r#"{"metadata": {"name": "a"}, "data": {"k": "v"}}"#;
    let (code, map) = fixture.send("POST", &maps, JSON, body).await;
    assert_eq!(code, 201, "{map}");
    for (name, patch, code) in [
        ("rename", json!({"metadata": {"name": "b"}}), 400),
        ("move", json!({"metadata": {"namespace": "b"}}), 400),
        ("drop metadata", json!({"metadata": null}), 400),
        ("another kind", json!({"kind": "Secret"}), 422),
        ("another version", json!({"apiVersion": "x/v1"}), 422),
        ("another uid", json!({"metadata": {"uid": "x"}}), 422),
        (
            "deletion",
            json!({"metadata": {"deletionTimestamp": "2000-01-01T00:00:00Z"}}),
            422,
        ),
        (
            "grace",
            json!({"metadata": {"deletionGracePeriodSeconds": 3}}),
            422,
        ),
        (
            "metadata of wrong types",
            json!({"metadata": {"labels": 3}}),
            422,
        ),
    ] {
        for path in [&widgets, &maps] {
            let path = format!("{path}/a");
            let (found, status) = fixture
                .send("PATCH", &path, MERGE, &patch.to_string())
                .await;
            assert_eq!(found, code, "{name}: {status}");
        }
    }
    // A built-in kind may leave its name out.
    let path = format!("{widgets}/a");
    let (code, status) = fixture
        .send("PATCH", &path, MERGE, r#"{"kind": null}"#)
        .await;
    assert_eq!(code, 422, "{status}");
    for (name, patch, code) in [
        ("no list", json!({}), 400),
        (
            "unknown operation",
            json!([{"op": "swap", "path": "/spec"}]),
            422,
        ),
        (
            "nothing there",
            json!([{"op": "remove", "path": "/spec/nothing"}]),
            422,
        ),
    ] {
        let path = format!("{widgets}/a");
        let (found, status) = fixture
            .send("PATCH", &path, JSON_PATCH, &patch.to_string())
            .await;
        assert_eq!(found, code, "{name}: {status}");
    }
    let version = &created["metadata"]["resourceVersion"];
    let uid = &created["metadata"]["uid"];
    for (name, metadata, code) in [
        (
            "another name",
            json!({"name": "b", "resourceVersion": version}),
            400,
        ),
        (
            "another namespace",
            json!({"name": "a", "namespace": "b", "resourceVersion": version}),
            400,
        ),
        (
            "another uid",
            json!({"name": "a", "uid": "x", "resourceVersion": version}),
            409,
        ),
        ("no revision", json!({"name": "a", "uid": uid}), 422),
        (
            "deletion",
            json!({"name": "a", "resourceVersion": version, "deletionTimestamp": "2000-01-01T00:00:00Z"}),
            422,
        ),
    ] {
        let mut object = created.clone();
        object["metadata"] = metadata;
        let path = format!("{widgets}/a");
        let (found, status) = fixture.send("PUT", &path, JSON, &object.to_string()).await;
        assert_eq!(found, code, "{name}: {status}");
    }
    // What belongs to the server is kept, whatever a caller says; for status that is all metadata.
    let metadata = json!({"creationTimestamp": "2000-01-01T00:00:00Z", "generation": 99, "selfLink": "/x", "unknown": 1});
    let (code, kept) = fixture
        .send(
            "PATCH",
            &format!("{widgets}/a"),
            MERGE,
            &json!({"metadata": metadata}).to_string(),
        )
        .await;
    assert_eq!((code, &kept), (200, &created));
    let metadata = json!({"uid": "x", "labels": {"a": "b"}, "finalizers": ["a/b"], "deletionTimestamp": "2000-01-01T00:00:00Z"});
    let (code, kept) = fixture
        .send(
            "PATCH",
            &format!("{widgets}/a/status"),
            MERGE,
            &json!({"metadata": metadata}).to_string(),
        )
        .await;
    assert_eq!((code, &kept), (200, &created));
}

#[tokio::test]
async fn a_negative_limit_is_none() {
    let fixture = Fixture::new().await;
    let (maps, _) = paths(&fixture);
    let (code, list) = fixture
        .send("GET", &format!("{maps}?limit=-1"), JSON, "")
        .await;
    assert_eq!((code, &list["kind"]), (200, &json!("ConfigMapList")));
}
