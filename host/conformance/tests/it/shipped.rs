//! Every plugin that `cargo xtask plugins` builds passes its suite, with rules and without.

use crate::suite;
use opendepot_conformance::Outcome;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

/// The folders of built plugins; `None`, with a message, where there are none to test.
fn built() -> Option<Vec<PathBuf>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/plugins");
    let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../plugins");
    let mut built = Vec::new();
    for entry in std::fs::read_dir(sources).unwrap() {
        let entry = entry.unwrap();
        if !entry.path().join("plugin.yaml").exists() {
            continue;
        }
        let plugin = folder.join(entry.file_name());
        if !plugin.join("plugin.wasm").exists() {
            let name = entry.file_name();
            let message = format!("{} is not built: run `cargo xtask plugins`", name.display());
            assert!(std::env::var_os("CI").is_none(), "{message}");
            eprintln!("SKIPPED: {message}");
            return None;
        }
        built.push(plugin);
    }
    built.sort();
    Some(built)
}

/// Settings that make a plugin do something, besides its defaults.
fn settings(plugin: &str) -> Vec<Value> {
    let rules = |rule: Value| json!({ "rules": [rule] });
    match plugin {
        "auth-groups" => vec![
            Value::Null,
            rules(json!({ "groups": ["developers"], "actions": ["*"], "modules": ["name-1*"] })),
            rules(json!({ "groups": ["*"], "actions": ["download"], "namespaces": ["prod"] })),
        ],
        "auth-labels" => vec![
            Value::Null,
            rules(json!({
                "name": "prod", "effect": "deny", "actions": ["*"],
                "namespace": { "matchLabels": { "env": "prod" } },
            })),
        ],
        "auth-time-window" => vec![
            Value::Null,
            rules(json!({
                "name": "fridays", "deny": "inside", "actions": ["*"], "namespaces": ["prod"],
                "weekly": [{ "days": ["friday"], "from": "00:00", "to": "24:00" }],
            })),
        ],
        "scan-threshold" => vec![Value::Null, json!({ "block": "low" })],
        "scan-allowlist" => vec![
            Value::Null,
            json!({ "accepted": [{ "id": "CVE-2026-00001", "reason": "x", "expires": "2027-12-31" }] }),
        ],
        "scan-fixable-only" => vec![
            json!({ "mode": "suppress" }),
            json!({ "mode": "block", "from": "low" }),
        ],
        "storage-fs" => vec![json!({ "root": "/srv/artifacts" })],
        "storage-http" => vec![json!({ "url": "https://artifacts.example.com/raw" })],
        "storage-s3" | "storage-gcs" => vec![json!({ "bucket": "depot-artifacts" })],
        "storage-azure" => vec![json!({ "account": "depotartifacts" })],
        _ => vec![Value::Null],
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_shipped_plugin_passes() {
    let Some(built) = built() else { return };
    assert!(built.len() >= 12, "{built:?}");
    let mut failures = Vec::new();
    for plugin in built {
        let name = plugin.file_name().unwrap().to_string_lossy().into_owned();
        for settings in settings(&name) {
            let report = suite(&plugin, settings.clone()).await;
            println!("== {name} {settings}\n{report}");
            failures.extend(
                report
                    .failures()
                    .map(|(check, reason)| format!("{name} {settings}: {check}: {reason}")),
            );
            assert!(report.checks.len() > 10, "{name}: {report}");
            let passed = |check: &str| {
                let mut checks = report.checks.iter();
                checks.any(|c| c.name == check && c.outcome == Outcome::Passed)
            };
            if name.starts_with("auth-") && !settings.is_null() {
                assert!(passed("decides"), "{name} {settings}: {report}");
            }
            if name.starts_with("auth-") {
                assert!(passed("10000-targets"), "{name} {settings}: {report}");
            }
            if name == "storage-fs" {
                assert!(
                    passed("data-put-get-head-delete") && passed("data-concurrent-writers"),
                    "{report}"
                );
            }
        }
    }
    assert!(failures.is_empty(), "{failures:#?}");
}
