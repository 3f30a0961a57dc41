//! HTTP itself: methods, framing that smugglers use, bodies nobody asked for (H09, H10, H11, H12).

use crate::{expect_error, module_download, package, with_module, with_provider};
use opendepot_tests::raw;
use reqwest::Method;
use std::time::Duration;

const WITHIN: Duration = Duration::from_secs(5);

#[tokio::test]
async fn only_get_and_head_exist() {
    let (registry, _) = with_provider().await;
    for path in [
        "/.well-known/terraform.json".to_owned(),
        "/opendepot/providers/v1/team/note/versions".to_owned(),
        package("note", "1.0.0", "linux/amd64"),
        module_download("hello", "1.0.0"),
        "/opendepot/providers/v1/download/team/note/1.0.0".to_owned(),
    ] {
        for method in [
            Method::POST,
            Method::PUT,
            Method::PATCH,
            Method::DELETE,
            Method::TRACE,
        ] {
            let answer = registry
                .request(method.clone(), &path)
                .send()
                .await
                .unwrap();
            let allow = answer
                .headers()
                .get("allow")
                .map(|v| v.to_str().unwrap().to_owned());
            assert!(
                allow.is_some_and(|allow| allow.contains("GET")),
                "{method} {path}"
            );
            expect_error(answer, 405).await;
        }
        let answer = registry
            .request(Method::OPTIONS, &path)
            .header("origin", "https://evil.example")
            .header("access-control-request-method", "GET")
            .send()
            .await
            .unwrap();
        assert!(
            answer
                .headers()
                .get("access-control-allow-origin")
                .is_none(),
            "{path}"
        );
    }
    let address = registry.setup().address();
    let request =
        format!("CONNECT {address} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    let answer = raw::exchange(address, request.as_bytes(), WITHIN);
    // 403: to default anonymity its target is another host.
    assert!(
        matches!(answer.status(), 400 | 403 | 404 | 405),
        "{}",
        answer.text()
    );
}

#[tokio::test]
async fn ambiguous_framing_never_reaches_a_second_request() {
    // H09. The second request would be visible as a second answer.
    let registry = with_module().await;
    let address = registry.setup().address();
    let host = format!("Host: {address}");
    let second =
        format!("GET /opendepot/modules/v1/team/hello/local/versions HTTP/1.1\r\n{host}\r\n\r\n");
    let path = "/.well-known/terraform.json";
    let both = [
        (
            "content length and chunked",
            format!(
                "GET {path} HTTP/1.1\r\n{host}\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n{second}"
            ),
        ),
        (
            "bare line feeds",
            format!("GET {path} HTTP/1.1\n{host}\nContent-Length: 0\n\n{second}"),
        ),
    ];
    for (what, request) in both {
        let answer = raw::exchange(address, request.as_bytes(), WITHIN);
        assert!(
            answer.is_closed && answer.num_answers() <= 1,
            "{what}: {}",
            answer.text()
        );
    }
    let strict = [
        (
            "two content lengths",
            "Content-Length: 0\r\nContent-Length: 5".to_owned(),
        ),
        ("a signed content length", "Content-Length: +5".to_owned()),
        ("a listed content length", "Content-Length: 0, 5".to_owned()),
        (
            "chunked not last",
            "Transfer-Encoding: chunked, identity".to_owned(),
        ),
        ("space before the colon", "Content-Length : 0".to_owned()),
        ("a folded header", "X-Folded: a\r\n b".to_owned()),
        ("a header without a name", ": a".to_owned()),
    ];
    for (what, header) in strict {
        let request = format!("GET {path} HTTP/1.1\r\n{host}\r\n{header}\r\n\r\n{second}");
        let answer = raw::exchange(address, request.as_bytes(), WITHIN);
        assert_eq!(answer.status(), 400, "{what}: {}", answer.text());
        assert!(answer.is_closed, "{what}: the connection stayed open");
        assert!(
            !answer.text().contains("\"1.0.0\""),
            "{what}: {}",
            answer.text()
        );
    }
}

#[tokio::test]
async fn a_request_without_exactly_one_host_is_refused() {
    // H07. Discovery alone answers everybody.
    let registry = with_module().await;
    let address = registry.setup().address();
    let path = "/opendepot/modules/v1/team/hello/local/versions";
    for hosts in [
        String::new(),
        "Host:\r\n".to_owned(),
        format!("Host: {address}\r\nHost: evil.example\r\n"),
        format!("Host: {address}\r\nHost: {address}\r\n"),
        format!("Host: evil.example\r\nHost: {address}\r\n"),
        format!("Host: user@{address}\r\n"),
        format!("Host: {address}/path\r\n"),
    ] {
        let request = format!("GET {path} HTTP/1.1\r\n{hosts}Connection: close\r\n\r\n");
        let answer = raw::exchange(address, request.as_bytes(), WITHIN);
        let text = answer.text();
        assert!(
            matches!(answer.status(), 400 | 403 | 421),
            "{hosts:?}: {text}"
        );
    }
}

#[tokio::test]
async fn a_body_on_a_get_is_not_buffered() {
    // H10: more than 64 KiB is not drained, the connection ends.
    let registry = with_module().await;
    let address = registry.setup().address();
    let mut request = format!(
        "GET /.well-known/terraform.json HTTP/1.1\r\nHost: {address}\r\nContent-Length: 1073741824\r\n\r\n"
    )
    .into_bytes();
    request.resize(request.len() + (4 << 20), b'x');
    let answer = raw::exchange(address, &request, Duration::from_secs(20));
    assert!(
        answer.is_closed,
        "the connection stayed open: {}",
        answer.text()
    );
    assert!(answer.num_answers() <= 1);
    registry.wait_module("hello", &["1.0.0"]).await;
}

#[tokio::test]
async fn oversized_heads_are_refused() {
    // H11
    let registry = with_module().await;
    let address = registry.setup().address();
    let host = format!("Host: {address}\r\nConnection: close\r\n");
    let many: String = (0..200).map(|n| format!("X-{n}: a\r\n")).collect();
    let cases = [
        (
            "a long target",
            format!("GET /{} HTTP/1.1\r\n{host}\r\n", "a".repeat(16 << 10)),
            [414, 431],
        ),
        (
            "a long field",
            format!(
                "GET / HTTP/1.1\r\n{host}X-A: {}\r\n\r\n",
                "a".repeat(33 << 10)
            ),
            [431, 431],
        ),
        (
            "many fields",
            format!("GET / HTTP/1.1\r\n{host}{many}\r\n"),
            [431, 431],
        ),
        (
            "a long block",
            format!(
                "GET / HTTP/1.1\r\n{host}{}\r\n",
                format!("X-B: {}\r\n", "b".repeat(1000)).repeat(64)
            ),
            [431, 431],
        ),
    ];
    for (what, request, allowed) in cases {
        let answer = raw::exchange(address, request.as_bytes(), WITHIN);
        assert!(
            allowed.contains(&answer.status()),
            "{what}: {}",
            answer.text()
        );
    }
}

#[tokio::test]
async fn every_answer_names_its_request() {
    let registry = with_module().await;
    for path in [
        "/.well-known/terraform.json",
        "/opendepot/modules/v1/team/hello/local/versions",
        "/nothing",
    ] {
        let one = registry.get(path).send().await.unwrap();
        let two = registry.get(path).send().await.unwrap();
        assert_ne!(
            one.headers()["x-request-id"],
            two.headers()["x-request-id"],
            "{path}"
        );
    }
}
