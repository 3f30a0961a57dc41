//! The components that `cargo xtask plugins` builds.

use crate::support::{Site, artifact, entry, failure, id, record, subject, targets};
use opendepot_domain::seam::{AccessPolicy as _, StorageDecisions as _};
use opendepot_domain::{Action, Decision, Operation, Transfer};
use opendepot_plugin::Source;
use std::path::{Path, PathBuf};

/// The folder of built components; `None`, with a message, where there are none to test.
fn built(plugin: &str) -> Option<PathBuf> {
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
        let Ok(Transfer::Native(planned)) = planned else {
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
