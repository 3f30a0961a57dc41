//! What the embedded control plane refuses and a cluster does not: names and parameters that look
//! like something smuggled, formats that it does not read, bodies that are too large (a cluster's
//! connection may break before the answer), definitions.

use crate::support::{object, options, refused, widget};
use http::{Method, Request, StatusCode, header};
use http_body_util::{BodyExt as _, Full};
use kube::api::{Api, DynamicObject, PostParams};
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
    for (name, method, path, media, body, code) in [
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
            "writing definitions",
            Method::POST,
            "/apis/apiextensions.k8s.io/v1/customresourcedefinitions".to_owned(),
            json,
            "{}".to_owned(),
            405,
        ),
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
async fn a_name_that_smuggles_a_parameter_is_refused() {
    let embedded = Embedded::open(options()).unwrap();
    let widgets: Api<DynamicObject> =
        Api::namespaced_with(embedded.client("default"), "default", &widget());
    let x = object("x", json!({"type": "module"}));
    widgets.create(&PostParams::default(), &x).await.unwrap();
    let status = refused(widgets.get("x?watch=true").await);
    assert_eq!(status.code, 400);
}
