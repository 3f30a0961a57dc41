//! `/metrics`, `/livez` and `/version` of a running registry (reliability.md 10.1 and 10.4).

use crate::scrape::Scrape;
use crate::tokens::with_tokens;
use crate::{as_go_getter, module_download, module_location, package, path_of, serve, text};
use opendepot_tests::fixture::{NAMESPACE, noise};
use opendepot_tests::server::{MODULES, PROVIDERS};
use opendepot_tests::wait::SOON;
use opendepot_tests::{Module, Registry, Setup, wait_until};
use std::collections::{BTreeMap, BTreeSet};
use std::io::Write as _;
use std::net::TcpStream;

/// What `host/METRICS.md` says of a family.
struct Listed {
    kind: String,
    labels: BTreeSet<String>,
}

fn page() -> BTreeMap<String, Listed> {
    let mut listed = BTreeMap::new();
    for line in include_str!("../../../host/METRICS.md").lines() {
        let Some(row) = line.strip_prefix("| `opendepot_") else {
            continue;
        };
        // The rows of the alerts have two columns.
        let columns: Vec<&str> = row
            .trim_end_matches('|')
            .split(" | ")
            .map(str::trim)
            .collect();
        let [name, kind, labels, _help] = columns[..] else {
            continue;
        };
        let labels = labels
            .split(", ")
            .map(|label| label.trim_matches('`').to_owned());
        let family = Listed {
            kind: kind.to_owned(),
            labels: labels.filter(|label| !label.is_empty()).collect(),
        };
        listed.insert(format!("opendepot_{}", name.trim_end_matches('`')), family);
    }
    assert!(listed.len() > 40, "the page has no table");
    listed
}

/// Asks for everything once, and for what is not there or not allowed.
async fn use_it(registry: &Registry, tokens: &[String; 3]) {
    let [reader, _, nobody] = tokens;
    let paths = [
        "/.well-known/terraform.json".to_owned(),
        format!("{MODULES}/{NAMESPACE}/hello/local/versions"),
        format!("{MODULES}/{NAMESPACE}/hello/local/9.9.9/download"),
        format!("{MODULES}/{NAMESPACE}/secret/local/versions"),
        format!("{MODULES}/{NAMESPACE}/hel%00lo/local/versions"),
        format!("{PROVIDERS}/{NAMESPACE}/note/versions"),
        "/nowhere/at/all?name=hello".to_owned(),
        package("note", "1.0.0", "plan9/mips"),
    ];
    for path in &paths {
        for token in [Some(reader), Some(nobody), None] {
            let request = registry.get(path);
            let request = match token {
                Some(token) => request.bearer_auth(token),
                None => request,
            };
            request.send().await.unwrap();
        }
        registry
            .request(reqwest::Method::POST, path)
            .send()
            .await
            .unwrap();
        registry
            .request(reqwest::Method::HEAD, path)
            .bearer_auth(reader)
            .send()
            .await
            .unwrap();
    }
    let answer = registry
        .get(&module_download("hello", "1.0.0"))
        .bearer_auth(reader);
    let answer = answer
        .header("user-agent", "Terraform/1.11.4")
        .send()
        .await
        .unwrap();
    let location = as_go_getter(answer.headers()["x-terraform-get"].to_str().unwrap());
    for range in [None, Some("bytes=0-9"), Some("bytes=99999999-")] {
        let request = registry.get(&location);
        let request = match range {
            Some(range) => request.header("range", range),
            None => request,
        };
        request.send().await.unwrap().bytes().await.unwrap();
    }
    let document = registry
        .get(&package("note", "1.0.0", "linux/amd64"))
        .bearer_auth(reader);
    let document: serde_json::Value = document.send().await.unwrap().json().await.unwrap();
    for link in ["/download_url", "/shasums_url", "/shasums_signature_url"] {
        let path = path_of(registry, text(&document, link));
        assert_eq!(registry.status(&path).await, 200, "{path}");
    }
}

#[tokio::test]
async fn every_family_is_described_and_every_label_is_closed() {
    let (registry, tokens) = with_tokens().await;
    use_it(&registry, &tokens).await;
    let scrape = Scrape::of(&registry).await;
    let page = page();

    for sample in &scrape.samples {
        let family = scrape.family(&sample.name);
        assert!(scrape.helped.contains(&family), "{family} has no HELP");
        let kind = scrape.types.get(&family);
        let kind = kind.unwrap_or_else(|| panic!("{family} has no TYPE"));
        if family.starts_with("process_") {
            continue;
        }
        let listed = page.get(&family);
        let listed = listed.unwrap_or_else(|| panic!("{family} is not in host/METRICS.md"));
        assert_eq!(*kind, listed.kind, "{family}");
        let labels = sample.labels.keys().filter(|label| *label != "le").cloned();
        assert_eq!(labels.collect::<BTreeSet<_>>(), listed.labels, "{family}");
    }

    // Nothing of what is published, asked for or configured may be a label.
    let dir = registry.setup().dir().to_str().unwrap();
    let mut forbidden = vec!["hello", "secret", "note", NAMESPACE, "9.9.9", "1.0.0", dir];
    forbidden.extend([
        "reader",
        "readers",
        "lister",
        "nobody",
        "plan9",
        "nowhere",
        "127.0.0.1",
    ]);
    for sample in &scrape.samples {
        for value in sample.labels.values() {
            let words: Vec<&str> = value.split(['/', ' ', '=', '?', ':']).collect();
            let said = forbidden
                .iter()
                .find(|word| words.contains(*word) || value == *word);
            assert!(said.is_none(), "{sample:?}");
            assert!(
                !tokens.iter().any(|token| value.contains(token)),
                "a token is a label"
            );
        }
    }
    let num_series = scrape.samples.len();
    assert!(num_series < 5_000, "{num_series} series");
}

#[tokio::test]
async fn what_happened_is_counted() {
    let (registry, tokens) = with_tokens().await;
    use_it(&registry, &tokens).await;
    let scrape = Scrape::of(&registry).await;
    let at_least_one = [
        (
            "opendepot_http_server_request_duration_seconds_count",
            vec![("route", "unmatched"), ("code", "404")],
        ),
        (
            "opendepot_http_server_request_duration_seconds_count",
            vec![("method", "OTHER"), ("code", "405")],
        ),
        (
            "opendepot_http_server_request_duration_seconds_count",
            vec![("method", "GET"), ("code", "206")],
        ),
        (
            "opendepot_http_server_rejected_total",
            vec![("reason", "malformed")],
        ),
        ("opendepot_http_server_connections", vec![("state", "open")]),
        (
            "opendepot_download_bytes_total",
            vec![("kind", "module"), ("mode", "proxy")],
        ),
        (
            "opendepot_download_bytes_total",
            vec![("kind", "provider"), ("backend", "filesystem")],
        ),
        (
            "opendepot_authn_total",
            vec![("mode", "token-file"), ("result", "ok")],
        ),
        (
            "opendepot_authn_total",
            vec![("result", "refused"), ("reason", "missing")],
        ),
        (
            "opendepot_authz_total",
            vec![("engine", "plugin"), ("decision", "allow")],
        ),
        (
            "opendepot_authz_total",
            vec![("engine", "plugin"), ("decision", "deny")],
        ),
        ("opendepot_authz_cache_total", vec![("result", "hit")]),
        ("opendepot_authz_cache_total", vec![("result", "miss")]),
        ("opendepot_authz_duration_seconds_count", vec![]),
        (
            "opendepot_controller_reconcile_total",
            vec![("controller", "version"), ("result", "success")],
        ),
        (
            "opendepot_controller_reconcile_time_seconds_count",
            vec![("controller", "module")],
        ),
        (
            "opendepot_rest_client_requests_total",
            vec![("verb", "watch"), ("code", "200")],
        ),
        (
            "opendepot_rest_client_requests_total",
            vec![("verb", "patch"), ("code", "200")],
        ),
        (
            "opendepot_rest_client_request_duration_seconds_count",
            vec![("verb", "list")],
        ),
        (
            "opendepot_storage_op_duration_seconds_count",
            vec![("op", "put"), ("result", "ok")],
        ),
        (
            "opendepot_storage_op_duration_seconds_count",
            vec![("op", "get"), ("result", "ok")],
        ),
        (
            "opendepot_plugin_call_duration_seconds_count",
            vec![("plugin", "auth-groups"), ("func", "authorize")],
        ),
        ("opendepot_plugin_info", vec![("world", "storage")]),
        ("opendepot_plugin_compile_duration_seconds_count", vec![]),
        (
            "opendepot_actor_handle_duration_seconds_count",
            vec![("actor", "reconciler")],
        ),
        ("opendepot_sign_operations_total", vec![("result", "ok")]),
        ("opendepot_build_info", vec![]),
        ("opendepot_tokio_workers", vec![]),
        ("opendepot_tokio_alive_tasks", vec![]),
        ("process_resident_memory_bytes", vec![]),
        ("process_start_time_seconds", vec![]),
        ("process_open_fds", vec![]),
    ];
    for (name, labels) in &at_least_one {
        assert!(
            scrape.sum(name, labels) >= 1.0,
            "{name} {labels:?} in\n{}",
            scrape.text
        );
    }
    for stage in ["resolve", "fetch", "inspect", "store", "publish", "sign"] {
        let labels = [("stage", stage)];
        let timed = scrape.sum("opendepot_sync_stage_duration_seconds_count", &labels);
        let ended = scrape.sum("opendepot_sync_outcome_total", &labels);
        assert!(timed >= 1.0 && ended >= timed, "{stage}: {timed}, {ended}");
    }
    // Two modules; a provider for two of the platforms that are asked for by default.
    let exactly = [
        (
            "opendepot_versions",
            vec![("kind", "module"), ("state", "ready")],
            2.0,
        ),
        (
            "opendepot_versions",
            vec![("kind", "provider"), ("state", "ready")],
            2.0,
        ),
        (
            "opendepot_versions",
            vec![("kind", "provider"), ("state", "unavailable")],
            4.0,
        ),
        ("opendepot_index_objects", vec![("kind", "module")], 2.0),
        // A code that the edge answers with and does not list.
        (
            "opendepot_http_server_request_duration_seconds_count",
            vec![("code", "other")],
            0.0,
        ),
        ("opendepot_invalid_objects", vec![], 0.0),
        ("opendepot_plugin_instances", vec![], 0.0),
        ("opendepot_plugin_memory_bytes", vec![], 0.0),
        ("opendepot_plugin_traps_total", vec![], 0.0),
        (
            "opendepot_http_server_active_requests",
            vec![("class", "metadata")],
            0.0,
        ),
        ("opendepot_actor_restarts_total", vec![], 0.0),
        ("opendepot_controller_reconcile_panics_total", vec![], 0.0),
        ("opendepot_log_dropped_total", vec![], 0.0),
    ];
    // Gauges settle once conditions have followed what is served.
    wait_until("the figures to settle", SOON, || async {
        let scrape = Scrape::of(&registry).await;
        let mut others = exactly.iter().filter_map(|(name, labels, expected)| {
            let found = scrape.sum(name, labels);
            (found != *expected).then(|| format!("{name} {labels:?} is {found}, not {expected}"))
        });
        others.next().map_or(Ok(()), Err)
    })
    .await;
    for kind in ["module", "provider", "version"] {
        let labels = [("kind", kind)];
        let staleness = scrape.sum("opendepot_index_staleness_seconds", &labels);
        assert!((0.0..60.0).contains(&staleness), "{kind}: {staleness}");
    }
}

#[tokio::test]
async fn a_client_that_goes_away_is_told_from_one_that_has_all() {
    let module = Module::new("large").file("data.bin", noise(32 << 20, 1));
    let registry = serve(&[module], &[]).await;
    registry.wait_module("large", &["1.0.0"]).await;
    let path = as_go_getter(&module_location(&registry, "large", "1.0.0").await);

    let whole = registry.get(&path).send().await.unwrap();
    let etag = whole.headers()["etag"].clone();
    let whole = whole.bytes().await.unwrap();
    let part = registry
        .get(&path)
        .header("range", "bytes=5-99")
        .send()
        .await
        .unwrap();
    part.bytes().await.unwrap();
    registry
        .get(&path)
        .header("if-none-match", etag)
        .send()
        .await
        .unwrap();
    registry
        .request(reqwest::Method::HEAD, &path)
        .send()
        .await
        .unwrap();
    let scrape = Scrape::of(&registry).await;
    assert_eq!(scrape.sum("opendepot_download_aborted_total", &[]), 0.0);
    let sent = scrape.sum("opendepot_download_bytes_total", &[("kind", "module")]);
    assert_eq!(sent, (whole.len() + 95) as f64);

    let mut left = registry.get(&path).send().await.unwrap();
    left.chunk().await.unwrap();
    drop(left);
    wait_until("the broken download to be counted", SOON, || async {
        let scrape = Scrape::of(&registry).await;
        let by_client = scrape.sum("opendepot_download_aborted_total", &[("cause", "client")]);
        let all = scrape.sum("opendepot_download_aborted_total", &[]);
        ((by_client, all) == (1.0, 1.0))
            .then_some(())
            .ok_or((by_client, all))
    })
    .await;
}

#[tokio::test]
async fn a_client_that_takes_nothing_is_told_from_one_that_goes_away() {
    let module = Module::new("large").file("data.bin", noise(32 << 20, 3));
    let setup = Setup::plain()
        .config("limits: { http: { progressBytesPerSecond: 1048576, progressWindowSeconds: 1 } }");
    module.write(&setup.manifests());
    let registry = setup.start().await;
    registry.wait_module("large", &["1.0.0"]).await;
    let path = as_go_getter(&module_location(&registry, "large", "1.0.0").await);

    let mut idle = TcpStream::connect(registry.setup().address()).unwrap();
    write!(idle, "GET {path} HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n").unwrap();
    wait_until("the download to be cut and counted", SOON, || async {
        let scrape = Scrape::of(&registry).await;
        let slow = scrape.sum("opendepot_download_aborted_total", &[("cause", "slow")]);
        let all = scrape.sum("opendepot_download_aborted_total", &[]);
        let cut = (slow, all) == (1.0, 1.0);
        cut.then_some(()).ok_or((slow, all))
    })
    .await;
}

#[tokio::test]
async fn health_is_explained_and_the_version_lists_limits_and_features() {
    let registry = serve(&[], &[]).await;
    let admin = format!("http://{}", registry.setup().admin_address());
    let live = registry
        .http()
        .get(format!("{admin}/livez?verbose"))
        .send()
        .await
        .unwrap();
    assert_eq!(live.status(), 200);
    let lines = live.text().await.unwrap();
    for check in [
        "event-loop",
        "registry-loop",
        "reconciler-loop",
        "actors",
        "epoch-ticker",
    ] {
        assert!(lines.contains(&format!("[+]{check} ok\n")), "{lines}");
    }
    let ready = registry
        .http()
        .get(format!("{admin}/readyz?verbose"))
        .send()
        .await
        .unwrap();
    let lines = ready.text().await.unwrap();
    for check in [
        "listener",
        "draining",
        "index",
        "release-verifies",
        "registry",
    ] {
        assert!(lines.contains(&format!("[+]{check} ok\n")), "{lines}");
    }
    let version = registry
        .http()
        .get(format!("{admin}/version"))
        .send()
        .await
        .unwrap();
    let version: serde_json::Value = version.json().await.unwrap();
    for pointer in [
        "/limits/http/uriBytes",
        "/limits/tokens/authorizationBytes",
        "/limits/upstream/numRedirects",
        "/limits/archives/ratio",
        "/limits/plugins/wasmStackBytes",
        "/limits/plugins/authDeadlineMilliseconds",
    ] {
        let value = version.pointer(pointer).and_then(serde_json::Value::as_u64);
        assert!(value.is_some(), "{pointer} in {version:#}");
    }
    assert_eq!(
        text(&version, "/features/authentication"),
        "anonymous-on-loopback"
    );
    assert_eq!(version["features"]["surfaces"]["providers.v1"], true);
    let digest = text(&version, "/plugins/0/digest");
    assert_eq!(digest.len(), 64, "{digest}");
}
