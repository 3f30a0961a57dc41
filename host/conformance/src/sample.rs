//! Inputs of the suites.

use serde_json::{Map, Value, json};

/// When the suites ask: 2027-01-15, a Friday, 08:00 UTC.
pub(crate) const NOW: u64 = 1_800_000_000;

/// Texts that break careless code: none, long, right-to-left, NUL, wide, climbing, line breaks.
pub(crate) fn hostile_texts() -> Vec<String> {
    let mut texts: Vec<String> = [
        "",
        " ",
        "\u{202e}cipot\u{202c}",
        "a\0b",
        "🦀👩‍👩‍👧‍👦",
        "..",
        "../../etc/passwd",
        "a/b\\c",
        "a\r\nX-Injected: b",
        "%00%2e%2e",
        "{\"a\":1}",
        "'\"`$(id)",
        "*",
        "-1",
    ]
    .map(str::to_owned)
    .into();
    texts.push("a".repeat(64 << 10));
    texts.push("é".repeat(32 << 10));
    texts
}

/// Values that settings may have by mistake.
pub(crate) fn hostile_values() -> Vec<Value> {
    let mut nested = json!([]);
    for _ in 0..60 {
        nested = json!([nested]);
    }
    let mut values = vec![
        Value::Null,
        json!(true),
        json!(-1),
        json!(1e308),
        json!(u64::MAX),
        json!([]),
        json!({}),
        json!([null, 1, "x", {}]),
        json!({ "": "" }),
        nested,
    ];
    values.extend(hostile_texts().into_iter().map(Value::String));
    values
}

/// A caller with a token.
pub(crate) fn subject() -> Value {
    json!({
        "authentication": "token-file",
        "issuer": "",
        "name": "ann",
        "groups": ["developers", "platform"],
        "claims": "{}",
        "client-address": "192.0.2.1",
        "attributes": [],
    })
}

/// A caller about whom nothing is known.
pub(crate) fn nobody(authentication: Value) -> Value {
    json!({
        "authentication": authentication,
        "issuer": "",
        "name": "",
        "groups": [],
        "claims": "{}",
        "client-address": "192.0.2.1",
        "attributes": [],
    })
}

/// Every action of this version.
pub(crate) const ACTIONS: [&str; 6] = [
    "list-versions",
    "read-package",
    "download",
    "browse",
    "publish",
    "administer",
];

/// Targets that differ in everything that a target has.
pub(crate) fn targets(count: usize) -> Vec<Value> {
    const NAMESPACES: [&str; 3] = ["demo", "prod", "team-a"];
    const PLATFORMS: [(&str, &str); 2] = [("linux", "amd64"), ("darwin", "arm64")];
    let pick = |list: &[&'static str], at: usize| list.get(at % list.len()).copied();
    (0..count)
        .map(|at| {
            let is_provider = at % 2 == 1;
            let version = (at % 3 != 0).then(|| format!("1.{}.0", at % 7));
            let platform = PLATFORMS
                .get(at / 2 % 2)
                .filter(|_| is_provider && version.is_some());
            let attributes = if at % 5 == 0 {
                json!([
                    { "name": "namespace-labels", "value": "known" },
                    { "name": "namespace-label/env", "value": "prod" },
                    { "name": "labels", "value": "known" },
                ])
            } else {
                json!([])
            };
            json!({
                "namespace": pick(&NAMESPACES, at / 2),
                "kind": if is_provider { "provider" } else { "module" },
                "name": format!("name-{at}"),
                "version": version,
                "os": platform.map(|(os, _)| os),
                "arch": platform.map(|(_, arch)| arch),
                "attributes": attributes,
            })
        })
        .collect()
}

/// The artifact that others are changes of.
pub(crate) fn artifact() -> Map<String, Value> {
    let artifact = json!({
        "namespace": "demo",
        "kind": "provider",
        "name": "aws",
        "version": "1.2.3",
        "os": "linux",
        "arch": "amd64",
        "file-name": "0190b5a0-0000-7000-8000-000000000000.zip",
        "media-type": "application/zip",
        "size": 1024,
        "sha256": "5f70bf18a086007016e948b04aed3b82103a36bea41755b6cddfaf10ace3c6ef",
        "attributes": [{ "name": "config-name", "value": "aws" }],
    });
    match artifact {
        Value::Object(members) => members,
        _ => Map::new(),
    }
}

/// Artifacts that differ in one member each, and in the file name, which the host makes of its
/// own for every one.
pub(crate) fn artifacts() -> Vec<Map<String, Value>> {
    let changes = [
        json!({}),
        json!({ "namespace": "prod" }),
        json!({ "name": "azure" }),
        json!({ "attributes": [{ "name": "config-name", "value": "azure" }] }),
        json!({ "version": "1.2.4" }),
        json!({ "version": "1.2.3+build" }),
        json!({ "version": "1.2.3-rc.1" }),
        json!({ "os": "darwin" }),
        json!({ "arch": "arm64" }),
        json!({ "kind": "module", "os": null, "arch": null }),
        json!({ "sha256": "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad" }),
    ];
    let changed = changes.into_iter().enumerate().map(|(at, change)| {
        let mut artifact = artifact();
        artifact.insert(
            "file-name".to_owned(),
            format!("0190b5a0-0000-7000-8000-{at:012}.zip").into(),
        );
        if let Value::Object(change) = change {
            artifact.extend(change);
        }
        artifact
    });
    changed.collect()
}

/// Findings that differ in everything that decides.
pub(crate) fn findings(count: usize) -> Vec<Value> {
    const SEVERITIES: [&str; 5] = ["unknown", "low", "medium", "high", "critical"];
    (0..count)
        .map(|at| {
            json!({
                "id": format!("CVE-2026-{at:05}"),
                "package": format!("example.org/p{}", at % 50),
                "installed-version": if at % 11 == 0 { "" } else { "1.0.0" },
                "fixed-version": (at % 2 == 0).then_some("1.0.1"),
                "severity": SEVERITIES.get(at % SEVERITIES.len()),
                "suppressed": (at % 9 == 8).then_some("other: accepted"),
                "title": "something is wrong",
                "attributes": [],
            })
        })
        .collect()
}

/// A report with these findings.
pub(crate) fn report(findings: Vec<Value>) -> Value {
    json!({
        "scanner": "trivy 0.69.0",
        "scanned-at": NOW - 60,
        "scope": "module",
        "findings": findings,
        "attributes": [],
    })
}
