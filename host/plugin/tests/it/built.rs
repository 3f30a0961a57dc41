//! The components that `cargo xtask plugins` builds.

use crate::support::{Site, artifact, failure, id, record};
use opendepot_domain::seam::StorageDecisions as _;
use opendepot_domain::{Operation, Transfer};
use std::path::Path;

#[tokio::test]
async fn storage_fs_places_and_plans() {
    let built = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/plugins");
    if !built.join("storage-fs/plugin.wasm").exists() {
        assert!(
            std::env::var_os("CI").is_none(),
            "storage-fs is not built: run `cargo xtask plugins`"
        );
        println!("SKIPPED: storage-fs is not built; run `cargo xtask plugins`");
        return;
    }
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
