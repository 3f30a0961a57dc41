//! Service discovery: the most fragile request of every flow.

use crate::with_module;
use opendepot_tests::{Setup, raw};

#[tokio::test]
async fn names_both_services_with_a_final_slash() {
    let registry = Setup::plain().start().await;
    let answer = registry
        .get("/.well-known/terraform.json")
        .send()
        .await
        .unwrap();
    assert_eq!(answer.status(), 200);
    assert!(
        answer.headers()["content-type"]
            .to_str()
            .unwrap()
            .starts_with("application/json")
    );
    let json: serde_json::Value = answer.json().await.unwrap();
    assert_eq!(json["modules.v1"], "/opendepot/modules/v1/");
    assert_eq!(json["providers.v1"], "/opendepot/providers/v1/");
    assert!(json.get("login.v1").is_none(), "{json}");
}

#[tokio::test]
async fn is_answered_before_any_check_of_the_caller() {
    let registry = with_module().await;
    let address = registry.setup().address();
    for head in [
        format!("Host: {address}\r\nAuthorization: Bearer nonsense"),
        format!("Host: {address}\r\nAuthorization: Basic %%%"),
        format!("Host: {address}\r\nX-Forwarded-For: 203.0.113.7"),
        "Host: registry.example.com".to_owned(),
    ] {
        let request = format!(
            "GET /.well-known/terraform.json HTTP/1.1\r\n{head}\r\nConnection: close\r\n\r\n"
        );
        let answer = raw::exchange(
            address,
            request.as_bytes(),
            std::time::Duration::from_secs(5),
        );
        assert_eq!(answer.status(), 200, "{head}: {}", answer.text());
    }
}

#[tokio::test]
async fn default_anonymity_serves_this_machine_only() {
    // H07: what came through a proxy or for another host is refused, with the remedy.
    let registry = with_module().await;
    let address = registry.setup().address();
    let path = "/opendepot/modules/v1/team/hello/local/versions";
    for head in [
        format!("Host: {address}\r\nX-Forwarded-For: 203.0.113.7"),
        format!("Host: {address}\r\nX-Forwarded-Host: registry.example.com"),
        format!("Host: {address}\r\nForwarded: for=203.0.113.7"),
        "Host: registry.example.com".to_owned(),
    ] {
        let request = format!("GET {path} HTTP/1.1\r\n{head}\r\nConnection: close\r\n\r\n");
        let answer = raw::exchange(
            address,
            request.as_bytes(),
            std::time::Duration::from_secs(5),
        );
        assert!(
            matches!(answer.status(), 403 | 421),
            "{head}: {}",
            answer.text()
        );
        assert!(
            !answer.body().contains("1.0.0"),
            "{head}: {}",
            answer.text()
        );
    }
}

#[tokio::test]
async fn forwarded_headers_change_no_emitted_url() {
    let registry = with_module().await;
    let address = registry.setup().address();
    let request = format!(
        "GET /opendepot/modules/v1/team/hello/local/1.0.0/download HTTP/1.1\r\nHost: {address}\r\n\
         X-Forwarded-Prefix: /evil\r\nX-Forwarded-Proto: gopher\r\nX-Forwarded-Port: 1\r\n\
         User-Agent: Terraform/1.11.4\r\nConnection: close\r\n\r\n"
    );
    let answer = raw::exchange(
        address,
        request.as_bytes(),
        std::time::Duration::from_secs(5),
    );
    let text = answer.text();
    assert!(
        !text.contains("/evil") && !text.contains("gopher"),
        "{text}"
    );
}
