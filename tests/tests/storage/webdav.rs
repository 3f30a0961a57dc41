//! storage-http with nginx behind it.

use crate::nginx::{Door, Nginx};
use crate::{
    CANARY, download, expect_no_canary, metric, module_path, never_whole, verify, wait_condition,
    with_store, write_secret,
};
use opendepot_tests::fixture::{noise, write_example_provider};
use opendepot_tests::server::{MODULES, PROVIDERS};
use opendepot_tests::wait::SOON;
use opendepot_tests::{Client, Kind, Module, Registry, Release, Setup, sha256, wait_until};
use std::fs;
use std::time::{Duration, Instant};

const BASIC: &str = "auth: { basic: { user: depot, secret: web-secret } }";
const BEARER: &str = "auth: { bearer: { secret: web-secret } }";

fn settings(nginx: &Nginx, more: &str) -> String {
    format!("url: {}/\n{more}", nginx.url())
}

/// A server with the module `blob`, published into nginx, and where its bytes are.
async fn with_blob(nginx: &Nginx) -> (Registry, String, Vec<u8>) {
    let setup = with_store(Setup::plain(), &nginx.host(), &settings(nginx, BASIC), "");
    Module::new("blob")
        .file("data.bin", noise(300_000, 4))
        .write(&setup.manifests());
    let registry = setup.start().await;
    registry.wait_module("blob", &["1.0.0"]).await;
    let path = module_path(&registry, "blob").await;
    let bytes = download(&registry, &path).await;
    (registry, path, bytes)
}

#[tokio::test]
async fn what_is_published_is_on_the_server_and_comes_back() {
    let nginx = Nginx::start(&Door::Basic(CANARY), true);
    let setup = with_store(
        Setup::plain().args(&["--manifests-prune"]),
        &nginx.host(),
        &settings(&nginx, BASIC),
        "",
    );
    let manifests = setup.manifests();
    let module = Module::new("hello")
        .config("storageConfig: { plugin: { name: web, settings: { path: team/modules } } }");
    module.write(&manifests);
    let release = Release::new("note");
    release.write(&manifests);
    let registry = setup.start().await;
    registry.wait_module("hello", &["1.0.0"]).await;
    registry.wait_provider("note", &["1.0.0"]).await;

    let objects = nginx.objects();
    let places: Vec<&str> = objects
        .iter()
        .map(|object| object.parent().unwrap().to_str().unwrap())
        .collect();
    assert_eq!(places, ["note", "note", "team/modules/hello"]);
    let local = registry.setup().data_dir().join("artifacts");
    let num_local = fs::read_dir(local).map_or(0, Iterator::count);
    assert_eq!(num_local, 0, "nothing is kept here");

    let path = module_path(&registry, "hello").await;
    let bytes = download(&registry, &path).await;
    let stored = fs::read(nginx.file(&objects[2])).unwrap();
    assert_eq!(sha256(&bytes), sha256(&stored));
    let package = registry
        .json(&format!("{PROVIDERS}/team/note/1.0.0/download/linux/amd64"))
        .await;
    let url = package["download_url"].as_str().unwrap();
    let url = url.strip_prefix(&registry.base()).unwrap_or(url);
    let archive = download(&registry, url).await;
    assert_eq!(archive, release.archive("1.0.0", "linux", "amd64"));
    assert_eq!(package["shasum"], sha256(&archive));

    // Whole, parts, HEAD and conditions are as they are with files.
    let len = bytes.len();
    for (range, expected) in [
        ("bytes=0-0".to_owned(), 0..1),
        ("bytes=10-99".to_owned(), 10..100),
        ("bytes=-7".to_owned(), len - 7..len),
        (format!("bytes=1-{}", len + 9), 1..len),
    ] {
        let part = registry
            .get(&path)
            .header("range", &range)
            .send()
            .await
            .unwrap();
        assert_eq!(part.status(), 206, "{range}");
        let content_range = format!("bytes {}-{}/{len}", expected.start, expected.end - 1);
        assert_eq!(part.headers()["content-range"], content_range, "{range}");
        assert_eq!(part.bytes().await.unwrap(), bytes[expected], "{range}");
    }
    let head = registry
        .request(reqwest::Method::HEAD, &path)
        .send()
        .await
        .unwrap();
    assert_eq!(head.headers()["content-length"], len.to_string());
    let tag = format!("\"{}\"", sha256(&bytes));
    assert_eq!(head.headers()["etag"], tag);
    let unchanged = registry
        .get(&path)
        .header("if-none-match", &tag)
        .send()
        .await
        .unwrap();
    assert_eq!(unchanged.status(), 304);
    let other = registry
        .get(&path)
        .header("range", "bytes=0-9")
        .header("if-range", "\"other\"")
        .send()
        .await
        .unwrap();
    assert_eq!(other.status(), 200);
    assert_eq!(other.bytes().await.unwrap(), bytes);
    let ok = metric(
        &registry,
        &["storage_op", "http", "\"put\"", "\"ok\"", "_count"],
    )
    .await;
    assert_eq!(ok, 3.0, "puts that are counted");

    // A command of its own reads the same bytes.
    let verified = verify(&registry, &[]);
    assert!(verified.contains("3 whole, 0 not"), "{verified}");

    // Removed from the manifests, removed from the server.
    fs::remove_file(manifests.join("hello.yaml")).unwrap();
    wait_until("the object to be removed", SOON, || async {
        let left = nginx.objects();
        if left.len() == 2 { Ok(()) } else { Err(left) }
    })
    .await;
    expect_no_canary(&registry, &[CANARY]);
}

/// What `opendepot verify` says.

#[tokio::test]
async fn bytes_that_changed_on_the_server_never_arrive_whole() {
    // S06, R-26.
    let nginx = Nginx::start(&Door::Basic(CANARY), true);
    let (registry, path, bytes) = with_blob(&nginx).await;
    let file = nginx.file(&nginx.objects()[0]);
    let flipped = |at: usize| {
        let mut bytes = bytes.clone();
        bytes[at] ^= 1;
        bytes
    };
    for (what, wrong) in [
        ("first bit", flipped(0)),
        ("a bit in the middle", flipped(bytes.len() / 2)),
        ("last bit", flipped(bytes.len() - 1)),
        ("truncated", bytes[..bytes.len() - 1].to_vec()),
        ("one byte more", [bytes.as_slice(), b"x"].concat()),
        ("another file", noise(bytes.len(), 9)),
        ("empty", Vec::new()),
    ] {
        fs::write(&file, wrong).unwrap();
        for _ in 0..2 {
            never_whole(&registry, &path, &bytes, what).await;
        }
    }
    wait_condition(&registry, "blob-1-0-0", "ArtifactCorrupt").await;
    fs::write(&file, noise(bytes.len(), 9)).unwrap();
    let verified = verify(&registry, &["--repair"]);
    assert!(verified.contains("damaged"), "{verified}");
    wait_until("the true bytes to be back", SOON, || async {
        let answer = registry
            .get(&path)
            .send()
            .await
            .map_err(|e| e.to_string())?;
        let status = answer.status();
        match answer.bytes().await {
            Ok(found) if found == bytes => Ok(()),
            other => Err(format!("{status} {}", other.is_ok())),
        }
    })
    .await;
    expect_no_canary(&registry, &[CANARY]);
}

#[tokio::test]
async fn a_server_that_is_down_takes_nothing_but_downloads_with_it() {
    // S04, R-05.
    let mut nginx = Nginx::start(&Door::Basic(CANARY), true);
    let (registry, path, bytes) = with_blob(&nginx).await;
    nginx.end();
    let started = Instant::now();
    let answer = registry.get(&path).send().await.unwrap();
    assert_eq!(answer.status(), 503);
    assert!(answer.headers().contains_key("retry-after"));
    assert!(started.elapsed() <= Duration::from_secs(8));
    // What can be known without the store is served, and published stays published.
    registry.wait_module("blob", &["1.0.0"]).await;
    assert!(!module_path(&registry, "blob").await.is_empty());
    let late = Module::new("late");
    late.write(&registry.setup().manifests());
    wait_condition(&registry, "late-1-0-0", "False").await;
    registry.wait_module("blob", &["1.0.0"]).await;
    nginx.resume();
    let resumed = Instant::now();
    assert_eq!(download(&registry, &path).await, bytes);
    assert!(resumed.elapsed() < Duration::from_secs(10));
    registry.wait_module("late", &["1.0.0"]).await;
}

#[tokio::test]
async fn a_new_secret_is_used_without_a_restart() {
    let nginx = Nginx::start(&Door::Basic(CANARY), true);
    let (registry, path, bytes) = with_blob(&nginx).await;
    let second = "the-5econd-passw0rd";
    nginx.set_password(second);
    let answer = registry.get(&path).send().await.unwrap();
    assert_eq!(answer.status(), 503, "the server refuses the old one");
    write_secret(registry.setup().dir(), second);
    assert_eq!(download(&registry, &path).await, bytes);
    expect_no_canary(&registry, &[CANARY, second]);
}

#[tokio::test]
async fn collections_are_made_where_the_server_makes_none() {
    let nginx = Nginx::start(&Door::Bearer(CANARY), false);
    let more = format!("{BEARER}\ncreateCollections: true");
    let setup = with_store(Setup::plain(), &nginx.host(), &settings(&nginx, &more), "");
    Module::new("flat").write(&setup.manifests());
    Module::new("deep")
        .config("storageConfig: { plugin: { name: web, settings: { path: a/b/c } } }")
        .write(&setup.manifests());
    let registry = setup.start().await;
    for name in ["flat", "deep"] {
        registry.wait_module(name, &["1.0.0"]).await;
        let path = module_path(&registry, name).await;
        download(&registry, &path).await;
    }
    let places: Vec<String> = nginx
        .objects()
        .iter()
        .map(|object| object.parent().unwrap().display().to_string())
        .collect();
    assert_eq!(places, ["a/b/c/deep", "flat"]);
    let sent = metric(&registry, &["upstream_requests_total", "\"plugin\""]).await;
    assert!(sent > 0.0, "requests to hosts of plugins are counted");
    expect_no_canary(&registry, &[CANARY]);
}

#[tokio::test]
async fn what_is_there_already_is_never_overwritten() {
    // nginx ignores `If-None-Match`: it is the host that looks.
    let nginx = Nginx::start(&Door::Basic(CANARY), true);
    let setup = with_store(Setup::plain(), &nginx.host(), &settings(&nginx, BASIC), "");
    let module = Module::new("hello");
    module.write(&setup.manifests());
    let registry = setup.start().await;
    registry.wait_module("hello", &["1.0.0"]).await;
    let object = nginx.objects().remove(0);
    let bytes = fs::read(nginx.file(&object)).unwrap();
    let setup = registry.kill().await;
    // As if the last run had died before it could say that it stored: the same bytes are taken.
    fs::remove_dir_all(setup.data_dir()).unwrap();
    let modified = fs::metadata(nginx.file(&object))
        .unwrap()
        .modified()
        .unwrap();
    let registry = setup.start().await;
    registry.wait_module("hello", &["1.0.0"]).await;
    assert_eq!(nginx.objects(), [object.as_path()]);
    let after = fs::metadata(nginx.file(&object))
        .unwrap()
        .modified()
        .unwrap();
    assert_eq!(after, modified, "it was written again");
    // Other bytes under the same name are somebody else's.
    let setup = registry.kill().await;
    fs::remove_dir_all(setup.data_dir()).unwrap();
    fs::write(nginx.file(&object), b"somebody else's").unwrap();
    let registry = setup.spawn();
    registry.wait_ready().await;
    wait_condition(&registry, "hello-1-0-0", "exists with other bytes").await;
    assert_eq!(fs::read(nginx.file(&object)).unwrap(), b"somebody else's");
    assert_ne!(bytes, b"somebody else's");
}

#[tokio::test]
async fn without_grants_nothing_is_sent() {
    // W13: a host that is not granted, and an address that the policy does not open.
    let nginx = Nginx::start(&Door::Basic(CANARY), true);
    let setup = Setup::plain();
    let dir = setup.dir().to_owned();
    fs::create_dir(dir.join("secrets")).unwrap();
    write_secret(&dir, CANARY);
    let host = nginx.host();
    let setup = setup.config(&format!(
        r#"plugins:
  - name: ungranted
    source: {{ builtin: storage-http }}
    settings: {{ url: "http://{host}/dav", auth: {{ basic: {{ user: depot, secret: web-secret }} }} }}
    grants: {{ hosts: ["storage.example.com:443"] }}
  - name: private
    source: {{ builtin: storage-http }}
    settings: {{ url: "http://{host}/dav" }}
    grants: {{ hosts: ["http://{host}"] }}
  - name: metadata
    source: {{ builtin: storage-http }}
    settings: {{ url: "http://169.254.169.254/latest" }}
    grants: {{ hosts: ["http://169.254.169.254:80"] }}
pluginPolicy: {{ secretsDir: "{}" }}
egress: {{ plugins: {{ allowHttp: ["127.0.0.1", "169.254.169.254"] }} }}
"#,
        dir.join("secrets").display()
    ));
    for name in ["ungranted", "private", "metadata"] {
        Module::new(name)
            .config(&format!("storageConfig: {{ plugin: {{ name: {name} }} }}"))
            .write(&setup.manifests());
    }
    let registry = setup.start().await;
    wait_condition(&registry, "ungranted-1-0-0", "is not granted").await;
    wait_condition(&registry, "private-1-0-0", "allowPrivate").await;
    wait_condition(&registry, "metadata-1-0-0", "metadata service").await;
    let denied = ["denied_hostcalls", "\"plan\"", "\"ungranted\""];
    assert!(metric(&registry, &denied).await >= 1.0);
    assert!(nginx.objects().is_empty());
    let log = registry.setup().log();
    let refused = log.matches("refused `plan` to plugin `ungranted`").count();
    assert_eq!(refused, 1, "one line a minute");
    expect_no_canary(&registry, &[CANARY]);
    let path = format!("{MODULES}/team/private/local/versions");
    let listed = registry.json(&path).await;
    assert_eq!(
        listed["modules"][0]["versions"].as_array().unwrap().len(),
        0
    );
}

#[tokio::test]
async fn a_real_client_installs_from_it() {
    let nginx = Nginx::start(&Door::Basic(CANARY), true);
    let setup = with_store(Setup::tls(), &nginx.host(), &settings(&nginx, BASIC), "");
    Module::new("hello").write(&setup.manifests());
    write_example_provider(&setup.manifests());
    let registry = setup.start().await;
    registry.wait_module("hello", &["1.0.0"]).await;
    registry.wait_provider("example", &["1.1.0", "1.0.0"]).await;
    let main = r#"
terraform {
  required_providers {
    example = {
      source  = "HOST/team/example"
      version = "1.0.0"
    }
  }
}

module "hello" {
  source  = "HOST/team/hello/local"
  version = "1.0.0"
  name    = "Ada"
}

resource "example_note" "this" {
  text = module.hello.message
}

output "note" {
  value = example_note.this.text
}
"#;
    let client = Client::new(Kind::Tofu, &registry, main);
    client.run(&["init"]).expect_success();
    client.run(&["apply", "-auto-approve"]).expect_success();
    assert_eq!(client.output("note"), "Hello, Ada, from 1.0.0");
}
