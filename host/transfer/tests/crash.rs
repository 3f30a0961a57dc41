//! Kills a process at every storage step of a put and a delete, then starts over (R-01, S01).
//!
//! Needs the feature `fault-injection`: `cargo test -p opendepot-transfer --features
//! fault-injection --test crash`.
#![cfg(feature = "fault-injection")]
#![expect(clippy::unwrap_used, reason = "helpers of tests are tests")]

use http_body_util::BodyExt as _;
use opendepot_domain::{NativePlan, Placement, PluginId, Sha256, Transfer};
use opendepot_transfer::{Expected, Stores, StoresConfig};
use std::path::Path;
use std::process::{Command, ExitStatus};

const ROOT: &str = "OPENDEPOT_TEST_CRASH_ROOT";
const BYTES: &[u8] = &[42; 100_000];

fn plan() -> Transfer {
    Transfer::Native(NativePlan {
        plugin: PluginId::new("storage-fs").unwrap(),
        placement: Placement {
            store: "file:///".to_owned(),
            key: "team/aws/x.zip".to_owned(),
            attributes: Vec::new(),
            options: Vec::new(),
            credentials: None,
        },
    })
}

fn expected() -> Expected {
    Expected {
        size: BYTES.len() as u64,
        sha256: Sha256::of(BYTES),
    }
}

/// The process that is killed; alone it does nothing.
#[tokio::test]
async fn victim() {
    let Some(directory) = std::env::var_os(ROOT) else {
        return;
    };
    let directory = Path::new(&directory);
    let stores = Stores::open(StoresConfig::new(directory.join("root"))).unwrap();
    stores
        .put(
            &plan(),
            directory.join("source").as_path().into(),
            expected(),
        )
        .await
        .unwrap();
    stores.delete(&plan()).await.unwrap();
}

fn run_victim(directory: &Path, kill_at: usize) -> ExitStatus {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "victim"])
        .env(ROOT, directory)
        .env("OPENDEPOT_KILL_AT", kill_at.to_string())
        .env("OPENDEPOT_FAULT_TRACE", directory.join("trace"))
        .output()
        .unwrap()
        .status
}

fn num_files(directory: &Path) -> usize {
    let entries = std::fs::read_dir(directory).unwrap().map(Result::unwrap);
    entries
        .map(|entry| match entry.file_type().unwrap().is_dir() {
            true => num_files(&entry.path()),
            false => 1,
        })
        .sum()
}

#[tokio::test]
async fn a_kill_at_any_step_leaves_a_whole_object_or_none() {
    let mut names = Vec::new();
    for kill_at in 1.. {
        let directory = tempfile::tempdir().unwrap();
        let directory = directory.path();
        std::fs::write(directory.join("source"), BYTES).unwrap();
        let is_over = run_victim(directory, kill_at).success();
        let trace = std::fs::read_to_string(directory.join("trace")).unwrap();
        let name = trace.lines().last().unwrap().to_owned();

        let root = directory.join("root");
        let stores = Stores::open(StoresConfig::new(&root)).unwrap();
        let is_there = stores.head(&plan()).await.unwrap().is_some();
        assert_eq!(num_files(&root), usize::from(is_there), "{name}");
        if is_there {
            let body = stores.open_body(&plan(), expected(), None).await.unwrap();
            assert_eq!(body.collect().await.unwrap().to_bytes(), BYTES, "{name}");
        }
        let source = directory.join("source");
        stores
            .put(&plan(), source.as_path().into(), expected())
            .await
            .unwrap();
        stores.delete(&plan()).await.unwrap();
        assert_eq!(std::fs::read_dir(&root).unwrap().count(), 0, "{name}");
        if is_over {
            break;
        }
        names.push(name);
    }
    assert!(names.len() >= 11, "{names:?}");
    assert!(names.iter().any(|name| name == "storage.put.published"));
}
