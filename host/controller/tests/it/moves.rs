//! A `storageConfig` that changed: the bytes move, and nobody notices.

use crate::support::{World, module, recorded, run, said};
use opendepot_crds::{ConditionType, Module, Version};
use serde_json::json;

const NAME: &str = "network-1-0-0";

/// A published module, and the key of its bytes.
async fn published(world: &World) -> (Version, String) {
    world.write_module("network", "1.0.0", "one");
    world
        .create::<Module>(module("network", &["1.0.0"], json!({})))
        .await;
    let version = world.published(NAME).await;
    let key = key(&version);
    (version, key)
}

fn key(version: &Version) -> String {
    let status = version.status.as_ref().unwrap();
    status.artifact.as_ref().unwrap().key.clone()
}

async fn ask_to_move(world: &World) {
    let storage = json!({ "fileSystem": { "directoryPath": "/data/modules/moved" } });
    let patch = json!({ "spec": { "moduleConfig": { "storageConfig": storage } } });
    world.patch::<Module>("network", patch).await;
}

#[test]
fn the_bytes_move_and_stay_what_they_were() {
    run(async |pool| {
        let world = World::start(&pool).await;
        let (before, old) = published(&world).await;
        // The source is not needed for it.
        std::fs::remove_dir_all(world.manifests().join("network")).unwrap();
        ask_to_move(&world).await;
        let moved = format!("moved-{old}");
        let after = world
            .until::<Version>(NAME, "to be elsewhere alone", |version| {
                key(version) == moved && version.status.as_ref().unwrap().pending.is_none()
            })
            .await;
        assert_eq!(recorded(&after), recorded(&before));
        assert_eq!(world.stored(), [moved]);
        assert_eq!(world.served("network", "1.0.0"), Some(recorded(&before)));
    });
}

#[test]
fn bytes_that_cannot_move_stay_where_they_are() {
    run(async |pool| {
        let world = World::start(&pool).await;
        let (before, old) = published(&world).await;
        let taken = world.stored_path(&format!("moved-{old}"));
        std::fs::create_dir_all(taken.parent().unwrap()).unwrap();
        std::fs::write(&taken, "somebody else's").unwrap();
        ask_to_move(&world).await;
        let after = world
            .until::<Version>(NAME, "to say why not", |version| {
                said(version, ConditionType::Stale)
                    .1
                    .contains("other bytes")
            })
            .await;
        assert_eq!(key(&after), old);
        assert_eq!(std::fs::read(&taken).unwrap(), b"somebody else's");
        assert_eq!(world.served("network", "1.0.0"), Some(recorded(&before)));
        // Once the place is free, they go there.
        std::fs::remove_file(taken).unwrap();
        world
            .until::<Version>(NAME, "to be elsewhere", |version| key(version) != old)
            .await;
    });
}
