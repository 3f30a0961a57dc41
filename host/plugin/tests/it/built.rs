//! The components that `cargo xtask plugins` builds.

use crate::scan::process;
use crate::support::{Site, artifact, entry, failure, id, record, subject, targets};
use opendepot_domain::scan::Verdict;
use opendepot_domain::seam::{AccessPolicy as _, StorageDecisions as _};
use opendepot_domain::{Action, Decision, NativePlan, Operation, Transfer};
use opendepot_plugin::{Binding, BindingPolicies as _, PluginHost, Source};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

/// The folder of built components; `None`, with a message, where there are none to test.
pub(crate) fn built(plugin: &str) -> Option<PathBuf> {
    let built = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/plugins");
    if built.join(plugin).join("plugin.wasm").exists() {
        return Some(built);
    }
    assert!(
        std::env::var_os("CI").is_none(),
        "{plugin} is not built: run `cargo xtask plugins`"
    );
    eprintln!("SKIPPED: {plugin} is not built; run `cargo xtask plugins`");
    None
}

/// A host over one built plugin with these settings; it serves.
async fn serving(plugin: &str, settings: Value) -> Option<PluginHost> {
    let mut site = Site::new();
    site.config.builtin_dir = built(plugin)?;
    let mut listed = entry(plugin, PathBuf::new(), None);
    listed.source = Source::Builtin(id(plugin));
    listed.settings = settings;
    listed.grants.judge_findings = true;
    site.config.entries = vec![listed];
    let host = site.host().await;
    assert_eq!(failure(&host, plugin), None);
    Some(host)
}

async fn ask(host: &PluginHost, now: u64) -> Vec<Decision> {
    host.authorize(&subject(), Action::Download, &targets(2), now)
        .await
}

#[tokio::test]
async fn auth_time_window_freezes() {
    let freeze = json!({ "rules": [{
        "name": "freeze", "deny": "inside", "actions": ["*"],
        "dates": [{ "from": "2026-12-19", "to": "2026-12-20" }],
    }]});
    let Some(host) = serving("auth-time-window", freeze).await else {
        return;
    };
    const LAST_SECOND: u64 = 1_797_811_199;
    let denied = ask(&host, LAST_SECOND).await;
    assert!(
        matches!(&denied[0], Decision::Deny(reason) if reason.contains("freeze")),
        "{denied:?}"
    );
    assert_eq!(
        ask(&host, LAST_SECOND + 1).await,
        [Decision::Abstain, Decision::Abstain]
    );
}

#[tokio::test]
async fn auth_labels_opens_nothing_for_labels_that_are_not_passed() {
    let resource = json!({ "matchLabels": { "visibility": "shared" } });
    let rule = |effect: &str| {
        json!({ "rules": [{
            "name": "shared", "effect": effect, "groups": ["dev"], "actions": ["download"], "resource": resource,
        }]})
    };
    let Some(host) = serving("auth-labels", rule("allow")).await else {
        return;
    };
    assert_eq!(ask(&host, 1).await, [Decision::Abstain, Decision::Abstain]);
    let Some(host) = serving("auth-labels", rule("deny")).await else {
        return;
    };
    assert!(matches!(ask(&host, 1).await[0], Decision::Deny(_)));
}

#[tokio::test]
async fn auth_group_binding_grants_what_bindings_list() {
    let Some(host) = serving("auth-group-binding", json!({})).await else {
        return;
    };
    let binding = |name: &str, expression: &str| Binding {
        name: name.into(),
        expression: expression.into(),
        modules: vec!["module-1".into()],
        providers: Vec::new(),
        namespaces: vec!["default".into()],
    };
    let problems = host
        .set_bindings(&[
            binding("broken", "\"dev\" in grups"),
            binding("works", "\"dev\" in groups"),
        ])
        .await;
    assert_eq!(problems.len(), 1, "{problems:?}");
    assert_eq!(problems[0].binding, "broken");
    assert_eq!(ask(&host, 1).await, [Decision::Abstain, Decision::Allow]);
}

#[tokio::test]
async fn scan_policies_judge() {
    // The report has two findings, `a` and `b`, both high, neither fixed.
    let accepted = |finding: &str, expires: &str| json!({ "id": finding, "reason": "never called", "expires": expires });
    for (plugin, settings, is_blocked, suppressed) in [
        (
            "scan-threshold",
            json!({ "block": "high" }),
            true,
            [false, false],
        ),
        (
            "scan-threshold",
            json!({ "block": "critical" }),
            false,
            [false, false],
        ),
        (
            "scan-allowlist",
            json!({ "accepted": [accepted("a", "2026-12-31")] }),
            false,
            [true, false],
        ),
        (
            "scan-fixable-only",
            json!({ "mode": "suppress" }),
            false,
            [true, true],
        ),
        (
            "scan-fixable-only",
            json!({ "mode": "block" }),
            false,
            [false, false],
        ),
    ] {
        let Some(host) = serving(plugin, settings.clone()).await else {
            return;
        };
        let outcome = process(&host).await;
        assert_eq!(
            matches!(outcome.verdict, Verdict::Block(_)),
            is_blocked,
            "{plugin} {settings}: {:?}",
            outcome.verdict
        );
        let is_suppressed: Vec<bool> = outcome
            .findings
            .iter()
            .map(|finding| finding.suppressed.is_some())
            .collect();
        assert_eq!(is_suppressed, suppressed, "{plugin} {settings}");
    }
}

#[tokio::test]
async fn auth_groups_decides() {
    let Some(built) = built("auth-groups") else {
        return;
    };
    let mut site = Site::new();
    site.config.builtin_dir = built;
    let mut listed = entry("auth-groups", PathBuf::new(), None);
    listed.source = Source::Builtin(id("auth-groups"));
    site.config.entries = vec![listed];
    let ask = async |site: &Site, count| {
        let host = site.host().await;
        assert_eq!(failure(&host, "auth-groups"), None);
        host.authorize(&subject(), Action::Download, &targets(count), 1)
            .await
    };
    assert_eq!(ask(&site, 1).await, [Decision::Abstain], "no rules");
    site.config.entries[0].settings = serde_json::json!({
        "rules": [{ "groups": ["dev"], "actions": ["download"], "modules": ["module-1"] }]
    });
    assert_eq!(
        ask(&site, 3).await,
        [Decision::Abstain, Decision::Allow, Decision::Abstain]
    );
    site.config.entries[0].settings = serde_json::json!({ "rulez": [] });
    let host = site.host().await;
    assert!(failure(&host, "auth-groups").unwrap().contains("rulez"));
    assert_eq!(host.auth_chain_len(), 1, "it denies from its place");
}

#[tokio::test]
async fn storage_fs_places_and_plans() {
    let Some(built) = built("storage-fs") else {
        return;
    };
    let mut site = Site::new();
    site.config.builtin_dir = built;
    let host = site.host().await;
    assert_eq!(failure(&host, "storage-fs"), None);
    let plugin = id("storage-fs");
    assert_eq!(host.validate(&plugin, None).await, Ok(()));
    let root = site.path().join("root");
    let backend = format!("{{\"directoryPath\":\"{}/modules\"}}", root.display());
    assert_eq!(host.validate(&plugin, Some(&backend)).await, Ok(()));
    let outside = host
        .validate(&plugin, Some("{\"directoryPath\":\"/etc\"}"))
        .await;
    assert!(outside.is_err());
    let placement = host
        .locate(&plugin, Some(&backend), &artifact())
        .await
        .unwrap();
    assert_eq!(placement.store, "file:///");
    assert_eq!(placement.key, "modules/terraform-aws-vpc/x.zip");
    let record = record("storage-fs", &placement.store, &placement.key);
    for operation in [
        Operation::Put,
        Operation::Get,
        Operation::Head,
        Operation::Delete,
    ] {
        let planned = host.plan(&record, &artifact(), operation, 1).await;
        let Ok(Transfer::Native(NativePlan {
            placement: planned, ..
        })) = planned
        else {
            panic!("{operation:?}: {planned:?}");
        };
        assert_eq!(
            (planned.store, planned.key),
            (record.store.clone(), record.key.clone())
        );
    }
    let planned = host.plan(&record, &artifact(), Operation::Prepare, 1).await;
    assert_eq!(planned, Ok(Transfer::Nothing));
}
