//! Stored files that somebody changed, and resources that are wrong.

use crate::module_path;
use opendepot_tests::fixture::{noise, write};
use opendepot_tests::wait::SOON;
use opendepot_tests::{Module, Registry, Release, Setup, sha256, wait_until};
use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};

/// The one stored file of a server that has one module version.
fn stored(dir: &Path) -> PathBuf {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_file() {
            return path;
        }
        let found = if path.is_dir() {
            stored(&path)
        } else {
            PathBuf::new()
        };
        if found.is_file() {
            return found;
        }
    }
    PathBuf::new()
}

async fn with_blob() -> (Registry, String, Vec<u8>, PathBuf) {
    let setup = Setup::plain();
    Module::new("blob")
        .file("data.bin", noise(2 << 20, 3))
        .write(&setup.manifests());
    let registry = setup.start().await;
    registry.wait_module("blob", &["1.0.0"]).await;
    let path = module_path(&registry, "blob", "1.0.0").await;
    let bytes = registry
        .get(&path)
        .send()
        .await
        .unwrap()
        .bytes()
        .await
        .unwrap()
        .to_vec();
    let file = stored(&registry.setup().data_dir().join("artifacts"));
    assert_eq!(
        sha256(&fs::read(&file).unwrap()),
        sha256(&bytes),
        "another file is stored"
    );
    (registry, path, bytes, file)
}

/// A body that arrived whole must be the true one (I5): a refusal or a broken transfer is right.
async fn never_whole(registry: &Registry, path: &str, true_bytes: &[u8], what: &str) {
    let Ok(answer) = registry.get(path).send().await else {
        return;
    };
    if !answer.status().is_success() {
        return;
    }
    let declared = answer.content_length();
    if let Ok(bytes) = answer.bytes().await {
        assert_eq!(declared, Some(bytes.len() as u64), "{what}");
        assert!(
            bytes == true_bytes,
            "{what}: delivered whole although it is not what was published"
        );
    }
}

#[tokio::test]
async fn a_changed_file_is_never_delivered_whole() {
    // S06, R-26: each time replaced by another file and each time written in place.
    let (registry, path, bytes, file) = with_blob().await;
    let mut flipped_last = bytes.clone();
    *flipped_last.last_mut().unwrap() ^= 1;
    let mut flipped_first = bytes.clone();
    flipped_first[0] ^= 0x80;
    let mut longer = bytes.clone();
    longer.push(0);
    let changes = [
        ("last bit flipped", flipped_last),
        ("first bit flipped", flipped_first),
        ("truncated", bytes[..bytes.len() / 2].to_vec()),
        ("one byte appended", longer),
        ("another file", noise(bytes.len(), 9)),
        ("empty", Vec::new()),
    ];
    for (what, changed) in changes {
        let beside = file.with_extension("new");
        fs::write(&beside, &changed).unwrap();
        fs::rename(&beside, &file).unwrap();
        for _ in 0..3 {
            never_whole(&registry, &path, &bytes, what).await;
        }
        make_writable(&file);
        fs::write(&file, &bytes).unwrap();
        fs::write(&file, &changed).unwrap();
        never_whole(&registry, &path, &bytes, what).await;
    }
    registry.wait_ready().await;
}

#[tokio::test]
async fn files_that_changed_places_are_not_delivered() {
    // S06: each has the right size, and is what the other one's record says.
    let setup = Setup::plain();
    for name in ["one", "two"] {
        let module = Module::new(name).file("data.bin", noise(100_000, name.len() as u64));
        module.file("name", name).write(&setup.manifests());
    }
    let registry = setup.start().await;
    let mut found = Vec::new();
    for name in ["one", "two"] {
        registry.wait_module(name, &["1.0.0"]).await;
        let path = module_path(&registry, name, "1.0.0").await;
        let answer = registry.get(&path).send().await.unwrap();
        let bytes = answer.bytes().await.unwrap().to_vec();
        let file = stored(&registry.setup().data_dir().join("artifacts").join(name));
        found.push((path, bytes, file));
    }
    let [one, two] = found.as_slice() else {
        panic!("{}", found.len())
    };
    assert_eq!(one.1.len(), two.1.len());
    assert_ne!(one.1, two.1);
    let beside = one.2.with_extension("new");
    fs::rename(&one.2, &beside).unwrap();
    fs::rename(&two.2, &one.2).unwrap();
    fs::rename(&beside, &two.2).unwrap();
    for (path, bytes, _) in &found {
        never_whole(&registry, path, bytes, "changed places").await;
        assert!(registry.status(path).await >= 400, "{path}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_that_changes_while_it_is_sent_is_not_delivered_whole() {
    // S08: more than any socket buffer, so that the change comes while it is being sent.
    let setup = Setup::plain();
    let bytes = noise(24 << 20, 8);
    Module::new("big")
        .file("data.bin", bytes)
        .write(&setup.manifests());
    let registry = setup.start().await;
    registry.wait_module("big", &["1.0.0"]).await;
    let path = module_path(&registry, "big", "1.0.0").await;
    let file = stored(&registry.setup().data_dir().join("artifacts"));
    let true_bytes = fs::read(&file).unwrap();
    make_writable(&file);
    let half = true_bytes.len() as u64 / 2;
    type Change = fn(&fs::File, u64);
    let changes: [(&str, Change); 3] = [
        ("cut in half", |file, half| file.set_len(half).unwrap()),
        ("its last byte flipped", |file, half| {
            use std::os::unix::fs::FileExt as _;
            let (mut last, at) = ([0], half * 2 - 1);
            file.read_exact_at(&mut last, at).unwrap();
            file.write_all_at(&[!last[0]], at).unwrap();
        }),
        ("appended to", |mut file, _| {
            use std::io::{Seek as _, SeekFrom};
            file.seek(SeekFrom::End(0)).unwrap();
            file.write_all(b"more").unwrap();
        }),
    ];
    let address = registry.setup().address();
    for (what, change) in changes {
        fs::write(&file, &true_bytes).unwrap();
        let mut stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(SOON)).unwrap();
        write!(
            stream,
            "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n"
        )
        .unwrap();
        let mut got = vec![0; 64 << 10];
        stream.read_exact(&mut got).unwrap();
        assert!(got.starts_with(b"HTTP/1.1 200"), "{what}");
        change(
            &fs::OpenOptions::new()
                .read(true)
                .write(true)
                .open(&file)
                .unwrap(),
            half,
        );
        // A reset is an error here, an early end is not.
        let _reset = stream.read_to_end(&mut got);
        let head = got.windows(4).position(|w| w == b"\r\n\r\n").unwrap() + 4;
        assert!(
            got.len() - head < true_bytes.len(),
            "{what}: delivered whole"
        );
        registry.wait_ready().await;
    }
    fs::write(&file, &true_bytes).unwrap();
    wait_until("the true bytes to be delivered again", SOON, || async {
        let answer = registry.get(&path).send().await.unwrap();
        match answer.bytes().await {
            Ok(bytes) if bytes == true_bytes => Ok(()),
            other => Err(other.map(|bytes| bytes.len())),
        }
    })
    .await;
}

#[tokio::test]
async fn a_missing_file_harms_its_version_alone() {
    let setup = Setup::plain();
    Module::new("blob").write(&setup.manifests());
    let registry = setup.start().await;
    registry.wait_module("blob", &["1.0.0"]).await;
    let path = module_path(&registry, "blob", "1.0.0").await;
    fs::remove_file(stored(&registry.setup().data_dir().join("artifacts"))).unwrap();
    let status = registry.status(&path).await;
    assert!(matches!(status, 404 | 410 | 500 | 503), "{status}");
    Module::new("other").write(&registry.setup().manifests());
    registry.wait_module("other", &["1.0.0"]).await;
}

#[tokio::test]
async fn a_link_in_place_of_a_stored_file_is_not_followed() {
    // S03
    let (registry, path, bytes, file) = with_blob().await;
    let secret = registry.setup().dir().join("secret");
    fs::write(&secret, &bytes).unwrap();
    fs::remove_file(&file).unwrap();
    std::os::unix::fs::symlink(&secret, &file).unwrap();
    let status = registry.status(&path).await;
    assert!(status >= 400, "{status}");
}

#[tokio::test]
async fn a_poisoned_resource_harms_only_itself() {
    //
    let setup = Setup::plain();
    Module::new("hello").write(&setup.manifests());
    Release::new("note").write(&setup.manifests());
    let bad = [
        ("not-yaml.yaml", "{{{{ not yaml".to_owned()),
        ("a-list.yaml", "- 1\n- 2\n".to_owned()),
        ("no-kind.yaml", "apiVersion: v1\n".to_owned()),
        (
            "other-kind.yaml",
            "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: a, namespace: team}\n"
                .to_owned(),
        ),
        (
            "duplicate-key.yaml",
            Module::new("twice").yaml() + "spec: {}\n",
        ),
        ("bad-name.yaml", Module::new("Bad_Name").yaml()),
        (
            "bad-version.yaml",
            Module::new("bad-version").versions(&["latest"]).yaml(),
        ),
        (
            "climbing.yaml",
            Module::new("climbing")
                .yaml()
                .replace("src/climbing", "../climbing"),
        ),
        (
            "no-placeholder.yaml",
            Module::new("fixed").yaml().replace("{version}", "1.0.0"),
        ),
        (
            "two-sources.yaml",
            Module::new("both").yaml().replace(
                "    source:\n",
                "    source:\n      github: {owner: a, repository: b}\n",
            ),
        ),
        ("no-source.yaml", Module::new("missing").yaml()),
        ("bytes.yaml", "\u{0}\u{1}".to_owned()),
        (
            "huge-number.yaml",
            Module::new("huge")
                .config("versionHistoryLimit: 99999999999999999999")
                .yaml(),
        ),
        ("alias-bomb.yaml", alias_bomb()),
    ];
    for (name, text) in &bad {
        write(&setup.manifests().join("bad").join(name), text.as_bytes());
    }
    let registry = setup.start().await;
    registry.wait_module("hello", &["1.0.0"]).await;
    registry.wait_provider("note", &["1.0.0"]).await;
    // Reported by name; and what is mended while it runs is taken up.
    wait_until("the broken file to be named", SOON, || async {
        let log = registry.setup().log();
        if log.contains("not-yaml.yaml") {
            Ok(())
        } else {
            Err("not named")
        }
    })
    .await;
    let mended = Module::new("mended");
    mended.write_sources(&registry.setup().manifests(), "1.0.0");
    write(
        &registry.setup().manifests().join("bad/not-yaml.yaml"),
        mended.yaml().as_bytes(),
    );
    registry.wait_module("mended", &["1.0.0"]).await;
}

#[tokio::test]
async fn a_removed_file_removes_nothing() {
    let setup = Setup::plain();
    Module::new("hello").write(&setup.manifests());
    let registry = setup.start().await;
    registry.wait_module("hello", &["1.0.0"]).await;
    fs::remove_file(registry.setup().manifests().join("hello.yaml")).unwrap();
    // Another change, so that it is known that the folder was read after the removal.
    Module::new("other").write(&registry.setup().manifests());
    registry.wait_module("other", &["1.0.0"]).await;
    registry.wait_module("hello", &["1.0.0"]).await;
}

#[tokio::test]
async fn changed_sources_do_not_change_what_is_served() {
    // I2: a new generation reads the folder again; the difference is drift, the old bytes stay.
    let (registry, path, bytes, _) = with_blob().await;
    let manifests = registry.setup().manifests();
    Module::new("blob")
        .versions(&["1.0.0", "1.1.0"])
        .file("data.bin", "other")
        .write(&manifests);
    registry.wait_module("blob", &["1.1.0", "1.0.0"]).await;
    let served = registry
        .get(&path)
        .send()
        .await
        .unwrap()
        .bytes()
        .await
        .unwrap();
    assert_eq!(sha256(&served), sha256(&bytes));
}

fn alias_bomb() -> String {
    let mut text = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    for n in 1..10 {
        let previous = format!("*a{}", n - 1);
        text.push_str(&format!("a{n}: &a{n} [{}]\n", [&*previous; 10].join(", ")));
    }
    text
}

fn make_writable(file: &Path) {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(file, fs::Permissions::from_mode(0o600)).unwrap();
}
