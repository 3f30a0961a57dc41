//! Hostile paths and parameters (H01, H02, H03, H08): refused by grammar, in time, without trace.

use crate::{with_module, with_provider};
use opendepot_tests::raw;
use std::time::{Duration, Instant};

/// Names that must never reach the control plane or a disk, as they are in a path.
const HOSTILE: [&str; 26] = [
    "..",
    ".",
    "%2e%2e",
    "%2E%2E%2F",
    "..;",
    "%2F%2F",
    "%5c",
    "..%5c..",
    "%00",
    "a%00b",
    "%c0%ae%c0%ae",
    "%ff",
    "x%2Fstatus",
    "x%3Fwatch=true",
    "x%23y",
    "a%2f..%2fb",
    "%0d%0aSet-Cookie:%20a=b",
    "%20",
    "A",
    "-a",
    "a-",
    "%E2%80%AE",
    "%F0%9F%92%A9",
    "a:b",
    "a%25b",
    "*",
];

const ROUTES: [&str; 8] = [
    "/opendepot/modules/v1/{namespace}/{name}/{system}/versions",
    "/opendepot/modules/v1/{namespace}/{name}/{system}/{version}/download",
    "/opendepot/providers/v1/{namespace}/{name}/versions",
    "/opendepot/providers/v1/{namespace}/{name}/{version}/download/{os}/{arch}",
    "/opendepot/providers/v1/{namespace}/{name}/{version}/SHA256SUMS/{os}/{arch}",
    "/opendepot/providers/v1/{namespace}/{name}/{version}/SHA256SUMS.sig/{os}/{arch}",
    "/opendepot/providers/v1/download/{namespace}/{name}/{version}",
    "/opendepot/modules/v1/download/fileSystem/{directory}/{name}/{file}",
];

const GOOD: [(&str, &str); 8] = [
    ("{namespace}", "team"),
    ("{name}", "hello"),
    ("{system}", "local"),
    ("{version}", "1.0.0"),
    ("{os}", "linux"),
    ("{arch}", "amd64"),
    ("{directory}", "L2RhdGE"),
    ("{file}", "a.zip"),
];

#[tokio::test]
async fn hostile_names_are_refused_in_every_parameter_of_every_route() {
    let registry = with_module().await;
    let address = registry.setup().address();
    let long = "a".repeat(5000);
    let names: Vec<&str> = HOSTILE.into_iter().chain([&*long]).collect();
    for route in ROUTES {
        for (parameter, _) in GOOD.iter().filter(|(name, _)| route.contains(name)) {
            for name in &names {
                let mut target = route.replace(parameter, name);
                for (other, good) in GOOD {
                    target = target.replace(other, good);
                }
                let start = Instant::now();
                let answer = raw::get(address, &target);
                let status = answer.status();
                let shown = &target[..target.len().min(120)];
                assert!(
                    matches!(status, 400 | 403 | 404 | 414),
                    "{status} for {shown}"
                );
                assert!(start.elapsed() < Duration::from_secs(1), "slow: {shown}");
                // H08: nothing that was decoded becomes a header.
                assert!(
                    answer.header("set-cookie").is_none(),
                    "{shown}: {}",
                    answer.text()
                );
            }
        }
    }
    registry.wait_module("hello", &["1.0.0"]).await;
}

#[tokio::test]
async fn names_that_kube_would_paste_into_its_urls_are_bad_grammar() {
    // H02, H03: 400, not a look-up that finds nothing.
    let registry = with_module().await;
    let address = registry.setup().address();
    for name in [
        "x%2Fstatus",
        "x%3Fwatch=true",
        "x%23y",
        "a%2f..%2fb",
        "%2e",
        "%2e%2e",
    ] {
        for target in [
            format!("/opendepot/modules/v1/team/{name}/local/versions"),
            format!("/opendepot/modules/v1/{name}/hello/local/versions"),
            format!("/opendepot/providers/v1/{name}/hello/versions"),
            format!("/opendepot/providers/v1/team/{name}/versions"),
        ] {
            let answer = raw::get(address, &target);
            assert_eq!(answer.status(), 400, "{target}: {}", answer.text());
        }
    }
}

#[tokio::test]
async fn hostile_targets_get_one_plain_refusal() {
    let registry = with_module().await;
    let address = registry.setup().address();
    for target in [
        "/opendepot/modules/v1/../../etc/passwd",
        "/opendepot//modules/v1/team/hello/local/versions",
        "//opendepot/modules/v1/team/hello/local/versions",
        "/opendepot/modules/v1/team/hello/local/versions/",
        "/opendepot/modules/v1/team/hello/local/versions/..",
        "/.well-known/../opendepot/modules/v1/team/hello/local/versions",
        "/%2e%2e/%2e%2e/etc/passwd",
        "/.well-known/terraform.json/",
    ] {
        let answer = raw::get(address, target);
        assert!(
            matches!(answer.status(), 400 | 404),
            "{target}: {}",
            answer.text()
        );
        assert!(!answer.body().contains("root:"), "{target}");
    }
}

#[tokio::test]
async fn hostile_queries_change_no_header_and_no_decision() {
    // H08, H23
    let (registry, _) = with_provider().await;
    let address = registry.setup().address();
    let path = "/opendepot/providers/v1/download/team/note/1.0.0";
    for query in [
        "os=linux%0d%0aSet-Cookie:%20a=b&arch=amd64",
        "os=linux&arch=amd64&x=%0d%0aLocation:%20https://evil.example",
        "os=..%2f..&arch=amd64",
        "os=linux&os=windows&arch=amd64",
        "os=linux&arch=amd64&signature=%0d%0a&expires=%0d%0a",
        "os=%00&arch=%00",
        "=&&&===&os",
    ] {
        let answer = raw::get(address, &format!("{path}?{query}"));
        let text = answer.text();
        assert!(
            matches!(answer.status(), 200 | 400 | 403 | 404),
            "{query}: {text}"
        );
        for header in ["set-cookie", "location"] {
            assert!(answer.header(header).is_none(), "{query}: {text}");
        }
    }
}
