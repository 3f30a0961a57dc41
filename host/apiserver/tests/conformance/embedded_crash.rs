//! An acknowledged write survives the end of its process.

use crate::support::{object, options, widget};
use kube::api::{Api, DynamicObject, PostParams};
use opendepot_apiserver::{Embedded, Error, Options};
use serde_json::json;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

const PATH: &str = "OPENDEPOT_CRASH_TEST_PATH";
const MARK: &str = "acknowledged:";

fn open(path: &Path) -> Result<Embedded, Error> {
    Embedded::open(Options {
        path: Some(path.to_path_buf()),
        ..options()
    })
}

fn widgets(embedded: &Embedded) -> Api<DynamicObject> {
    Api::namespaced_with(embedded.client("default"), "default", &widget())
}

/// The child's part: writes until it is killed. Does nothing when run as a test of its own.
#[tokio::test]
async fn child() {
    let Some(path) = std::env::var_os(PATH).map(PathBuf::from) else {
        return;
    };
    let embedded = open(&path).unwrap();
    let widgets = widgets(&embedded);
    for number in 0_u64.. {
        let name = format!("w{number}");
        let created = widgets
            .create(
                &PostParams::default(),
                &object(&name, json!({"type": "module"})),
            )
            .await
            .unwrap();
        let version = created.metadata.resource_version.unwrap();
        let mut out = std::io::stdout().lock();
        writeln!(out, "{MARK}{name}:{version}").unwrap();
        out.flush().unwrap();
    }
}

#[tokio::test]
async fn acknowledged_writes_survive_a_kill() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.redb");
    let mut last_version = 0;
    let mut expected = Vec::new();
    for round in 0..3 {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "embedded_crash::child", "--nocapture"])
            .env(PATH, path.with_extension(format!("{round}")))
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let out = BufReader::new(child.stdout.take().unwrap());
        let mut names = Vec::new();
        for line in out.lines() {
            let line = line.unwrap();
            let Some((_, rest)) = line.split_once(MARK) else {
                continue;
            };
            let (name, version) = rest.split_once(':').unwrap();
            names.push(name.to_owned());
            last_version = version.parse::<u64>().unwrap();
            if names.len() == 20 + round * 7 {
                child.kill().unwrap();
            }
        }
        child.wait().unwrap();
        assert!(names.len() >= 20);
        expected = names;
        let embedded = open(&path.with_extension(format!("{round}"))).unwrap();
        let api = widgets(&embedded);
        for name in &expected {
            assert!(api.get_opt(name).await.unwrap().is_some(), "{name} is lost");
        }
        let created = api
            .create(
                &PostParams::default(),
                &object("after", json!({"type": "module"})),
            )
            .await
            .unwrap();
        // Revisions go on from where they were.
        assert!(
            created
                .metadata
                .resource_version
                .unwrap()
                .parse::<u64>()
                .unwrap()
                > last_version
        );
        embedded.shutdown();
    }
    assert!(!expected.is_empty());
}

#[tokio::test]
async fn a_store_reopens_and_has_one_owner() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.redb");
    let first = open(&path).unwrap();
    let created = widgets(&first)
        .create(
            &PostParams::default(),
            &object("a", json!({"type": "module"})),
        )
        .await
        .unwrap();
    let error = open(&path).unwrap_err();
    assert!(matches!(error, Error::Locked { .. }), "{error}");
    assert_eq!(error.kind(), opendepot_domain::Kind::Conflict);
    first.shutdown();
    assert_eq!(
        crate::support::refused(widgets(&first).get("a").await).code,
        503
    );
    let second = open(&path).unwrap();
    assert_eq!(widgets(&second).get("a").await.unwrap(), created);
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        assert_eq!(
            std::fs::metadata(&path).unwrap().permissions().mode() & 0o777,
            0o600
        );
    }
}
