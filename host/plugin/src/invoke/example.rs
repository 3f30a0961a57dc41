//! What an argument is when nobody gives it, and what `--example` prints.

use crate::call::Function;
use serde_json::{Value, json};
use std::time::{SystemTime, UNIX_EPOCH};

/// The clock, in Unix seconds.
pub(super) fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| since.as_secs())
}

/// The argument `name`, where a value can be made up without asking the plugin.
pub(super) fn argument(name: &str, settings: &str) -> Option<Value> {
    Some(match name {
        "settings" => Value::String(settings.to_owned()),
        "configuration" => json!({ "operator": settings }),
        "bindings" => json!([]),
        "now" => now().into(),
        "subject" => json!({
            "authentication": "token-file",
            "issuer": "",
            "name": "ann",
            "groups": ["developers"],
            "claims": "{}",
            "client-address": "192.0.2.1",
            "attributes": [],
        }),
        "action" => "download".into(),
        "targets" => json!([{
            "namespace": "demo",
            "kind": "module",
            "name": "vpc",
            "version": "1.2.3",
            "os": null,
            "arch": null,
            "attributes": [],
        }]),
        "artifact" => json!({
            "namespace": "demo",
            "kind": "module",
            "name": "vpc",
            "version": "1.2.3",
            "os": null,
            "arch": null,
            "file-name": "vpc-1.2.3.zip",
            "media-type": "application/zip",
            "size": 1024,
            "sha256": "5f70bf18a086007016e948b04aed3b82103a36bea41755b6cddfaf10ace3c6ef",
            "attributes": [{ "name": "config-name", "value": "vpc" }],
        }),
        "operation" => "get".into(),
        "report" => json!({
            "scanner": "trivy 0.69.0",
            "scanned-at": now(),
            "scope": "module",
            "findings": [{
                "id": "CVE-2026-0001",
                "package": "golang.org/x/net",
                "installed-version": "0.40.0",
                "fixed-version": "0.41.0",
                "severity": "high",
                "suppressed": null,
                "title": "a request is read twice",
                "attributes": [],
            }],
            "attributes": [],
        }),
        "context" => json!({
            "already-published": false,
            "trigger": "ingest",
            "attributes": [],
        }),
        _ => return None,
    })
}

/// The function of a world that answers what an argument is, where only the plugin can.
pub(super) fn asked_of(name: &str) -> Option<Function> {
    match name {
        "state" => Some(Function::Prepare),
        "placement" => Some(Function::Locate),
        _ => None,
    }
}
