//! The filesystem store from outside: plans in, files and bodies out.

use super::*;
use http_body_util::BodyExt as _;
use opendepot_domain::{Kind, NativePlan, PluginId};
use std::fs::File;
use std::os::unix::fs::{MetadataExt as _, symlink};
use std::path::PathBuf;
use std::sync::Mutex;
use tempfile::TempDir;

pub(super) struct Fixture {
    pub(super) directory: TempDir,
    pub(super) stores: Stores,
}

impl Fixture {
    pub(super) fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let stores = Stores::open(StoresConfig::new(directory.path().join("root"))).unwrap();
        Self { directory, stores }
    }

    pub(super) fn path(&self, key: &str) -> PathBuf {
        self.directory.path().join("root").join(key)
    }

    pub(super) async fn put(&self, key: &str, bytes: &[u8]) -> Result<Put, Error> {
        let source = tempfile::NamedTempFile::new_in(self.directory.path()).unwrap();
        std::fs::write(source.path(), bytes).unwrap();
        self.stores
            .put(&plan(key), source.path().into(), expected(bytes))
            .await
    }

    pub(super) async fn get(&self, key: &str, expected: Expected) -> Result<Vec<u8>, Error> {
        read(self.stores.open_body(&plan(key), expected, None).await?).await
    }
}

pub(super) fn plan(key: &str) -> Transfer {
    in_store("file:///", key)
}

fn in_store(store: &str, key: &str) -> Transfer {
    Transfer::Native(NativePlan {
        plugin: PluginId::new("storage-fs").unwrap(),
        placement: Placement {
            store: store.to_owned(),
            key: key.to_owned(),
            attributes: Vec::new(),
            options: Vec::new(),
            credentials: None,
        },
    })
}

pub(super) fn expected(bytes: &[u8]) -> Expected {
    Expected {
        size: bytes.len() as u64,
        sha256: Sha256::of(bytes),
    }
}

pub(super) async fn read(body: ArtifactBody) -> Result<Vec<u8>, Error> {
    Ok(body.collect().await?.to_bytes().to_vec())
}

/// Bytes that differ everywhere, so that a shift or a mix-up shows.
pub(super) fn pattern(len: usize, seed: u64) -> Vec<u8> {
    let mut state = seed | 1;
    (0..len)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state.to_be_bytes()[0]
        })
        .collect()
}

/// Waits until the clock tick of the file's last change is over. (ctime cannot be set back.)
pub(super) fn settle(path: &std::path::Path) {
    let file = std::fs::File::open(path).unwrap();
    while !identity::Identity::of(&file)
        .unwrap()
        .is_settled(std::time::SystemTime::now())
    {
        std::thread::yield_now();
    }
}

#[tokio::test]
async fn what_was_put_is_read_back_whole_and_in_ranges() {
    let fixture = Fixture::new();
    let buffer = crate::BUFFER_BYTES;
    for len in [
        1,
        4096,
        (64 << 10) - 1,
        64 << 10,
        buffer - 1,
        buffer,
        buffer + 1,
        buffer + (64 << 10),
        3 * buffer + 7,
    ] {
        let bytes = pattern(len, len as u64);
        let key = format!("team/{len}/x.zip");
        assert_eq!(fixture.put(&key, &bytes).await.unwrap(), Put::Created);
        assert_eq!(
            fixture.stores.head(&plan(&key)).await.unwrap(),
            Some(len as u64)
        );
        // Once while the change is fresh, once when its tick is over.
        for _ in 0..2 {
            let body = fixture
                .stores
                .open_body(&plan(&key), expected(&bytes), None)
                .await
                .unwrap();
            assert_eq!(http_body::Body::size_hint(&body).exact(), Some(len as u64));
            assert!(read(body).await.unwrap() == bytes, "{len}");
            settle(&fixture.path(&key));
        }
        for (start, end_inclusive) in [(0, 0), (0, len - 1), (len - 1, len - 1), (len / 2, len - 1)]
        {
            let range = ByteRange {
                start: start as u64,
                end_inclusive: end_inclusive as u64,
            };
            let body = fixture
                .stores
                .open_body(&plan(&key), expected(&bytes), Some(range))
                .await
                .unwrap();
            assert_eq!(body.remaining(), (end_inclusive - start + 1) as u64);
            assert!(read(body).await.unwrap() == bytes[start..=end_inclusive]);
        }
    }
}

#[tokio::test]
async fn ranges_outside_the_object_are_refused() {
    let fixture = Fixture::new();
    fixture.put("x", b"0123456789").await.unwrap();
    for (start, end_inclusive) in [
        (0, 10),
        (10, 10),
        (5, 4),
        (u64::MAX, u64::MAX),
        (0, u64::MAX),
    ] {
        let range = Some(ByteRange {
            start,
            end_inclusive,
        });
        let outcome = fixture
            .stores
            .open_body(&plan("x"), expected(b"0123456789"), range)
            .await;
        assert_eq!(outcome.unwrap_err().kind(), Kind::Invalid);
    }
}

#[tokio::test]
async fn an_object_is_written_once() {
    let fixture = Fixture::new();
    assert_eq!(fixture.put("a/x", b"one").await.unwrap(), Put::Created);
    assert_eq!(fixture.put("a/x", b"one").await.unwrap(), Put::AlreadyThere);
    for other in [b"two".as_slice(), b"longer"] {
        let error = fixture.put("a/x", other).await.unwrap_err();
        assert_eq!(error.kind(), Kind::Conflict);
    }
    assert_eq!(std::fs::read(fixture.path("a/x")).unwrap(), b"one");
    assert_eq!(std::fs::read_dir(fixture.path("a")).unwrap().count(), 1);
}

#[tokio::test]
async fn a_source_that_is_not_as_expected_leaves_nothing() {
    let fixture = Fixture::new();
    let source = fixture.directory.path().join("source");
    std::fs::write(&source, b"actual").unwrap();
    for wrong in [b"actua".as_slice(), b"actual!", b"Actual"] {
        let error = fixture
            .stores
            .put(&plan("a/x"), source.as_path().into(), expected(wrong))
            .await
            .unwrap_err();
        assert_eq!(error.kind(), Kind::Corrupt, "{error}");
    }
    let gone = fixture.directory.path().join("gone");
    let outcome = fixture
        .stores
        .put(&plan("a/x"), gone.as_path().into(), expected(b"x"))
        .await;
    assert_eq!(outcome.unwrap_err().kind(), Kind::Unavailable);
    assert_eq!(std::fs::read_dir(fixture.path("a")).unwrap().count(), 0);
    assert_eq!(fixture.stores.head(&plan("a/x")).await.unwrap(), None);
}

#[tokio::test]
async fn sizes_outside_the_limits_are_refused() {
    let directory = tempfile::tempdir().unwrap();
    let mut config = StoresConfig::new(directory.path().join("root"));
    config.limits.max_object_bytes = 10;
    let stores = Stores::open(config).unwrap();
    let source = directory.path().join("source");
    for len in [0, 11] {
        let bytes = vec![1; len];
        std::fs::write(&source, &bytes).unwrap();
        let put = stores
            .put(&plan("x"), source.as_path().into(), expected(&bytes))
            .await;
        assert_eq!(put.unwrap_err().kind(), Kind::Invalid, "{len}");
        let open = stores.open_body(&plan("x"), expected(&bytes), None).await;
        assert_eq!(open.unwrap_err().kind(), Kind::Invalid, "{len}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn concurrent_writers_make_one_object() {
    let fixture = Arc::new(Fixture::new());
    for round in 0..20 {
        let bytes = Arc::new(pattern(100_000, round + 1));
        let key = format!("race/{round}/x");
        let writers: Vec<_> = (0..6)
            .map(|_| {
                let (fixture, bytes, key) = (fixture.clone(), bytes.clone(), key.clone());
                tokio::spawn(async move { fixture.put(&key, &bytes).await.unwrap() })
            })
            .collect();
        let mut num_created = 0;
        for writer in writers {
            num_created += usize::from(writer.await.unwrap() == Put::Created);
        }
        assert_eq!(num_created, 1);
        assert!(fixture.get(&key, expected(&bytes)).await.unwrap() == *bytes);
        let parent = fixture.path(&format!("race/{round}"));
        assert_eq!(std::fs::read_dir(parent).unwrap().count(), 1);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn writers_and_deleters_of_one_directory_do_not_break_each_other() {
    let fixture = Arc::new(Fixture::new());
    let tasks: Vec<_> = (0..4)
        .map(|number| {
            let fixture = fixture.clone();
            tokio::spawn(async move {
                let key = format!("shared/deep/{number}");
                for _ in 0..50 {
                    match fixture.put(&key, b"bytes").await {
                        Ok(_) => {}
                        Err(error) => assert_eq!(error.kind(), Kind::Unavailable, "{error}"),
                    }
                    fixture.stores.delete(&plan(&key)).await.unwrap();
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    assert_eq!(std::fs::read_dir(fixture.path("")).unwrap().count(), 0);
}

#[tokio::test]
async fn delete_takes_empty_directories_but_never_the_root_or_a_neighbour() {
    let fixture = Fixture::new();
    fixture.put("a/b/x", b"x").await.unwrap();
    fixture.put("a/y", b"y").await.unwrap();
    fixture.stores.delete(&plan("a/b/x")).await.unwrap();
    assert!(!fixture.path("a/b").exists() && fixture.path("a/y").exists());
    fixture.stores.delete(&plan("a/y")).await.unwrap();
    assert!(!fixture.path("a").exists() && fixture.path("").exists());
    for missing in ["a/y", "never", "never/there/x"] {
        fixture.stores.delete(&plan(missing)).await.unwrap();
    }
    fixture.put("d/x", b"x").await.unwrap();
    assert_eq!(
        fixture.stores.delete(&plan("d")).await.unwrap_err().kind(),
        Kind::Invalid
    );
}

#[tokio::test]
async fn no_operation_follows_a_link_out_of_the_root() {
    let fixture = Fixture::new();
    let outside = tempfile::tempdir().unwrap();
    std::fs::write(outside.path().join("x"), b"secret").unwrap();
    symlink(outside.path(), fixture.path("link")).unwrap();
    symlink(outside.path().join("x"), fixture.path("file")).unwrap();
    for key in ["link/x", "file"] {
        let open = fixture.get(key, expected(b"secret")).await;
        assert_eq!(open.unwrap_err().kind(), Kind::Invalid, "{key}");
        let head = fixture.stores.head(&plan(key)).await;
        assert_eq!(head.unwrap_err().kind(), Kind::Invalid, "{key}");
        let put = fixture.put(key, b"secret").await;
        assert_eq!(put.unwrap_err().kind(), Kind::Invalid, "{key}");
        let delete = fixture.stores.delete(&plan(key)).await;
        assert_eq!(delete.unwrap_err().kind(), Kind::Invalid, "{key}");
    }
    fixture.put("link/new", b"new").await.unwrap_err();
    let names: Vec<_> = std::fs::read_dir(outside.path()).unwrap().collect();
    assert_eq!(names.len(), 1);
    assert_eq!(std::fs::read(outside.path().join("x")).unwrap(), b"secret");
}

#[tokio::test]
async fn a_pipe_in_place_of_an_object_does_not_hang() {
    let fixture = Fixture::new();
    rustix::fs::mknodat(
        rustix::fs::CWD,
        fixture.path("x"),
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::RUSR,
        0,
    )
    .unwrap();
    let error = fixture.get("x", expected(b"x")).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Invalid);
}

#[test]
fn roots_that_are_unsafe_are_refused_and_all_named() {
    let directory = tempfile::tempdir().unwrap();
    let real = directory.path().join("real");
    std::fs::create_dir(&real).unwrap();
    let link = directory.path().join("link");
    symlink(&real, &link).unwrap();
    let file = directory.path().join("file");
    std::fs::write(&file, b"").unwrap();
    let mut with_slash = link.clone().into_os_string();
    with_slash.push("/");
    for root in [
        link.clone(),
        with_slash.into(),
        PathBuf::from("/"),
        real.join("../real"),
        file,
    ] {
        assert!(Stores::open(StoresConfig::new(&root)).is_err(), "{root:?}");
    }
    let config = StoresConfig {
        extra_file_stores: vec![
            link,
            PathBuf::from("/"),
            PathBuf::from("relative"),
            directory.path().join("missing"),
        ],
        ..StoresConfig::new(directory.path().join("new/root"))
    };
    let Err(Error::Settings { problems }) = Stores::open(config) else {
        panic!("unsafe stores were accepted");
    };
    assert_eq!(problems.len(), 4, "{problems:?}");
}

#[tokio::test]
async fn plans_reach_configured_directories_only() {
    let directory = tempfile::tempdir().unwrap();
    let (root, extra) = (
        directory.path().join("root"),
        directory.path().join("extra"),
    );
    std::fs::create_dir(&extra).unwrap();
    let stores = Stores::open(StoresConfig {
        extra_file_stores: vec![extra.clone()],
        ..StoresConfig::new(&root)
    })
    .unwrap();
    let source = directory.path().join("source");
    std::fs::write(&source, b"x").unwrap();
    for (store, path) in [
        ("file:///".to_owned(), root.join("k/x")),
        (
            format!("file://{}/team", root.display()),
            root.join("team/k/x"),
        ),
        (format!("file://{}", extra.display()), extra.join("k/x")),
    ] {
        let plan = in_store(&store, "k/x");
        assert_eq!(
            stores
                .put(&plan, source.as_path().into(), expected(b"x"))
                .await
                .unwrap(),
            Put::Created
        );
        assert!(path.exists(), "{store}");
    }
    let outside = format!("file://{}", directory.path().display());
    for store in [
        outside.as_str(),
        "file:///etc",
        "file://relative",
        "s3://bucket",
        "gs://bucket",
        "az://account/container",
        "http://x",
    ] {
        let error = stores.head(&in_store(store, "k/x")).await.unwrap_err();
        assert_eq!(error.kind(), Kind::Invalid, "{store}");
    }
    let mut with_credentials = in_store("file:///", "k/x");
    if let Transfer::Native(NativePlan { placement, .. }) = &mut with_credentials {
        placement.credentials = Some("prod".to_owned());
    }
    assert!(stores.head(&with_credentials).await.is_err());
    assert!(stores.head(&Transfer::Nothing).await.is_err());
}

#[tokio::test]
async fn what_a_crash_left_is_swept_at_start() {
    let fixture = Fixture::new();
    fixture.put("a/b/x", b"x").await.unwrap();
    let left_over = [
        fixture.path(&crate::sweep::temp_name()),
        fixture.path(&format!("a/b/{}", crate::sweep::temp_name())),
    ];
    for path in &left_over {
        std::fs::write(path, b"half").unwrap();
    }
    // A second link, as a crash between link and unlink leaves it.
    let linked = fixture.path(&format!("a/b/{}", crate::sweep::temp_name()));
    std::fs::hard_link(fixture.path("a/b/x"), &linked).unwrap();
    let again = Stores::open(StoresConfig::new(fixture.path(""))).unwrap();
    assert!(left_over.iter().chain([&linked]).all(|path| !path.exists()));
    let body = again
        .open_body(&plan("a/b/x"), expected(b"x"), None)
        .await
        .unwrap();
    assert_eq!(read(body).await.unwrap(), b"x");
}

#[tokio::test]
async fn verify_reads_everything_and_reports_progress() {
    let fixture = Fixture::new();
    let bytes = pattern(9 << 20, 3);
    fixture.put("x", &bytes).await.unwrap();
    let seen = Mutex::new(Vec::new());
    let progress = |so_far| seen.lock().unwrap().push(so_far);
    fixture
        .stores
        .verify(&plan("x"), expected(&bytes), &progress)
        .await
        .unwrap();
    assert_eq!(*seen.lock().unwrap(), [4 << 20, 8 << 20, 9 << 20]);
    let none = |_| {};
    let missing = fixture
        .stores
        .verify(&plan("y"), expected(&bytes), &none)
        .await;
    assert_eq!(missing.unwrap_err().kind(), Kind::NotFound);
    let mut other = expected(&bytes);
    other.sha256 = Sha256::of(b"other");
    let wrong = fixture.stores.verify(&plan("x"), other, &none).await;
    assert_eq!(wrong.unwrap_err().kind(), Kind::Corrupt);
}

#[tokio::test]
async fn a_body_reports_a_missing_object_before_it_starts() {
    let fixture = Fixture::new();
    let error = fixture.get("x", expected(b"x")).await.unwrap_err();
    assert_eq!(error.kind(), Kind::NotFound);
    assert_eq!(error.to_string(), "cannot find object `x`");
}

/// A source and the state in which it was hashed.
fn hashed(fixture: &Fixture, bytes: &[u8]) -> (PathBuf, HashedState) {
    let path = fixture.directory.path().join("hashed");
    std::fs::write(&path, bytes).unwrap();
    let state = HashedState::of(&File::open(&path).unwrap()).unwrap();
    (path, state)
}

#[tokio::test]
async fn a_hashed_source_gets_a_second_name_and_is_not_copied() {
    let fixture = Fixture::new();
    let (path, state) = hashed(&fixture, b"bytes");
    let source = Source {
        path: &path,
        hashed: Some(state),
    };
    let plan = plan("a/x");
    let put = fixture.stores.put(&plan, source, expected(b"bytes"));
    assert_eq!(put.await.unwrap(), Put::Created);
    let (source_file, object) = (
        std::fs::metadata(&path).unwrap(),
        std::fs::metadata(fixture.path("a/x")).unwrap(),
    );
    assert_eq!(source_file.ino(), object.ino());
    assert_eq!(object.mode() & 0o777, 0o640);
    std::fs::remove_file(&path).unwrap();
    assert_eq!(
        fixture.get("a/x", expected(b"bytes")).await.unwrap(),
        b"bytes"
    );
}

#[tokio::test]
async fn two_objects_of_one_source_do_not_share_their_bytes() {
    let fixture = Fixture::new();
    let (path, state) = hashed(&fixture, b"bytes");
    for key in ["x", "y"] {
        let source = Source {
            path: &path,
            hashed: Some(state),
        };
        let plan = plan(key);
        let put = fixture.stores.put(&plan, source, expected(b"bytes"));
        assert_eq!(put.await.unwrap(), Put::Created);
    }
    let inode = |key| std::fs::metadata(fixture.path(key)).unwrap().ino();
    assert_ne!(inode("x"), inode("y"));
}

#[tokio::test]
async fn a_source_that_changed_after_it_was_hashed_is_read_again_and_refused() {
    let fixture = Fixture::new();
    let (path, state) = hashed(&fixture, b"bytes");
    // The same size, perhaps within the same clock tick; kept, so that its inode is not used again.
    std::fs::rename(&path, path.with_extension("old")).unwrap();
    std::fs::write(&path, b"other").unwrap();
    let source = Source {
        path: &path,
        hashed: Some(state),
    };
    let plan = plan("x");
    let put = fixture.stores.put(&plan, source, expected(b"bytes"));
    let error = put.await.unwrap_err();
    assert_eq!(error.kind(), Kind::Corrupt, "{error}");
    assert!(!fixture.path("x").exists());
}
