//! Requests that no Kubernetes client would send.

use crate::support::options;
use http::{Method, Request, StatusCode, header};
use http_body_util::{BodyExt as _, Full};
use opendepot_apiserver::Embedded;
use serde_json::{Value, json};
use tower::ServiceExt as _;

async fn send(
    embedded: &Embedded,
    method: Method,
    uri: &str,
    media: &str,
    body: Vec<u8>,
) -> (StatusCode, Value) {
    let request = Request::builder()
        .method(method)
        .uri(uri)
        .header(header::CONTENT_TYPE, media)
        .body(Full::new(bytes::Bytes::from(body)))
        .unwrap();
    let response = embedded.service().oneshot(request).await.unwrap();
    let code = response.status();
    let bytes = response.into_body().collect().await.unwrap().to_bytes();
    (code, serde_json::from_slice(&bytes).unwrap())
}

const MAPS: &str = "/api/v1/namespaces/default/configmaps";

#[tokio::test]
async fn every_refusal_is_a_status() {
    let embedded = Embedded::open(options()).unwrap();
    let json = "application/json";
    let big = format!("{{\"data\":{{\"a\":\"{}\"}}}}", "x".repeat(4 << 20));
    let deep = "[".repeat(10_000);
    for (name, method, path, media, body, code) in [
        (
            "dots",
            Method::GET,
            format!("{MAPS}/.."),
            json,
            String::new(),
            400,
        ),
        (
            "escaped dots",
            Method::GET,
            format!("{MAPS}/%2e%2e"),
            json,
            String::new(),
            400,
        ),
        (
            "escaped slash",
            Method::GET,
            format!("{MAPS}/a%2fb"),
            json,
            String::new(),
            400,
        ),
        (
            "escaped query",
            Method::GET,
            format!("{MAPS}/a%3fwatch=true"),
            json,
            String::new(),
            400,
        ),
        (
            "smuggled query",
            Method::GET,
            format!("{MAPS}/a?watch=true"),
            json,
            String::new(),
            400,
        ),
        (
            "smuggled into a delete",
            Method::DELETE,
            format!("{MAPS}/a?labelSelector=x"),
            json,
            String::new(),
            400,
        ),
        (
            "NUL",
            Method::GET,
            format!("{MAPS}/a%00"),
            json,
            String::new(),
            400,
        ),
        (
            "empty segment",
            Method::GET,
            "/api/v1/namespaces//configmaps".to_owned(),
            json,
            String::new(),
            400,
        ),
        (
            "twice",
            Method::GET,
            format!("{MAPS}?limit=1&limit=2"),
            json,
            String::new(),
            400,
        ),
        (
            "a limit of words",
            Method::GET,
            format!("{MAPS}?limit=many"),
            json,
            String::new(),
            400,
        ),
        (
            "a foreign continue token",
            Method::GET,
            format!("{MAPS}?limit=1&continue=eyJyZXZpc2lvbiI6MSwiYWZ0ZXIiOiIvc2VjcmV0c1x1MDAwMCJ9"),
            json,
            String::new(),
            400,
        ),
        (
            "unknown kind",
            Method::GET,
            "/api/v1/pods".to_owned(),
            json,
            String::new(),
            404,
        ),
        (
            "unknown subresource",
            Method::GET,
            format!("{MAPS}/a/scale"),
            json,
            String::new(),
            404,
        ),
        (
            "method of a collection",
            Method::PUT,
            MAPS.to_owned(),
            json,
            "{}".to_owned(),
            405,
        ),
        (
            "method of an object",
            Method::POST,
            format!("{MAPS}/a"),
            json,
            "{}".to_owned(),
            405,
        ),
        (
            "create without a namespace",
            Method::POST,
            "/api/v1/configmaps".to_owned(),
            json,
            "{\"metadata\":{\"name\":\"a\"}}".to_owned(),
            405,
        ),
        (
            "writing definitions",
            Method::POST,
            "/apis/apiextensions.k8s.io/v1/customresourcedefinitions".to_owned(),
            json,
            "{}".to_owned(),
            405,
        ),
        (
            "no JSON",
            Method::POST,
            MAPS.to_owned(),
            json,
            "{".to_owned(),
            400,
        ),
        (
            "no object",
            Method::POST,
            MAPS.to_owned(),
            json,
            "[]".to_owned(),
            400,
        ),
        ("too deep", Method::POST, MAPS.to_owned(), json, deep, 400),
        (
            "YAML",
            Method::POST,
            MAPS.to_owned(),
            "application/yaml",
            "a: b".to_owned(),
            415,
        ),
        (
            "protobuf",
            Method::POST,
            MAPS.to_owned(),
            "application/vnd.kubernetes.protobuf",
            "x".to_owned(),
            415,
        ),
        (
            "strategic merge",
            Method::PATCH,
            format!("{MAPS}/a"),
            "application/strategic-merge-patch+json",
            "{}".to_owned(),
            415,
        ),
        ("too large", Method::POST, MAPS.to_owned(), json, big, 413),
        (
            "another kind",
            Method::POST,
            MAPS.to_owned(),
            json,
            "{\"kind\":\"Secret\",\"metadata\":{\"name\":\"a\"}}".to_owned(),
            400,
        ),
        (
            "another namespace",
            Method::POST,
            MAPS.to_owned(),
            json,
            "{\"metadata\":{\"name\":\"a\",\"namespace\":\"b\"}}".to_owned(),
            400,
        ),
        (
            "wrong types",
            Method::POST,
            MAPS.to_owned(),
            json,
            "{\"metadata\":{\"name\":\"a\"},\"data\":{\"a\":1}}".to_owned(),
            400,
        ),
        (
            "metadata of wrong types",
            Method::POST,
            MAPS.to_owned(),
            json,
            "{\"metadata\":{\"name\":1}}".to_owned(),
            400,
        ),
        (
            "no name",
            Method::POST,
            MAPS.to_owned(),
            json,
            "{\"metadata\":{}}".to_owned(),
            422,
        ),
        (
            "no name patch",
            Method::PATCH,
            format!("{MAPS}/missing"),
            "application/merge-patch+json",
            "{}".to_owned(),
            404,
        ),
        (
            "delete options",
            Method::DELETE,
            format!("{MAPS}/a"),
            json,
            "{\"propagationPolicy\":\"Later\"}".to_owned(),
            400,
        ),
    ] {
        let (found, status) = send(&embedded, method, &path, media, body.into_bytes()).await;
        assert_eq!(found.as_u16(), code, "{name}: {status}");
        assert_eq!(status["kind"], "Status", "{name}");
        assert_eq!(status["status"], "Failure", "{name}");
        assert_eq!(status["code"], code, "{name}");
        assert!(!status["reason"].as_str().unwrap().is_empty(), "{name}");
    }
}

#[tokio::test]
async fn what_a_patch_may_not_do() {
    let embedded = Embedded::open(options()).unwrap();
    let body = json!({"metadata": {"name": "a"}, "data": {"k": "v"}}).to_string();
    let (code, created) = send(
        &embedded,
        Method::POST,
        MAPS,
        "application/json",
        body.into_bytes(),
    )
    .await;
    assert_eq!(code, StatusCode::CREATED);
    let path = format!("{MAPS}/a");
    for (name, patch, code) in [
        ("rename", json!({"metadata": {"name": "b"}}), 400),
        ("move", json!({"metadata": {"namespace": "b"}}), 400),
        ("another kind", json!({"kind": "Secret"}), 400),
        ("another uid", json!({"metadata": {"uid": "x"}}), 409),
        ("drop metadata", json!({"metadata": null}), 400),
    ] {
        let media = "application/merge-patch+json";
        let (found, status) = send(
            &embedded,
            Method::PATCH,
            &path,
            media,
            patch.to_string().into_bytes(),
        )
        .await;
        assert_eq!(found.as_u16(), code, "{name}: {status}");
    }
    // What belongs to the server is kept, whatever a caller says.
    let patch = json!({"metadata": {"creationTimestamp": "2000-01-01T00:00:00Z", "generation": 99, "managedFields": [],
        "deletionTimestamp": "2000-01-01T00:00:00Z", "selfLink": "/x"}});
    let media = "application/merge-patch+json";
    let (code, patched) = send(
        &embedded,
        Method::PATCH,
        &path,
        media,
        patch.to_string().into_bytes(),
    )
    .await;
    assert_eq!(code, StatusCode::OK);
    assert_eq!(patched, created);
}
