//! Loading: pins, worlds, imports, and that one broken plugin poisons only itself.

use crate::guests::{self, ALLOW, auth};
use crate::support::{Site, entry, failure, id, subject, targets};
use opendepot_domain::seam::AccessPolicy as _;
use opendepot_domain::{Action, Decision, Sha256};
use opendepot_plugin::{Error, PluginEntry, Source, World};

#[tokio::test]
async fn a_broken_plugin_poisons_only_itself() {
    let good = auth(ALLOW);
    let mut site = Site::new();
    site.plugin("good", "auth", &good);
    let cases: Vec<(&str, &str, Vec<u8>, &str)> = vec![
        ("no-wasm", "scan", b"hello".to_vec(), "not a wasm component"),
        ("empty", "scan", Vec::new(), "not a wasm component"),
        ("text", "scan", b"(component)".to_vec(), "not a wasm component"),
        ("native", "scan", b"\x7fELF....".to_vec(), "precompiled"),
        ("core", "scan", guests::text("(module)"), "core module"),
        ("truncated", "scan", good[..good.len() / 2].to_vec(), "cannot compile"),
        ("no-world", "scan", guests::text("(component)"), "accepted is exactly one of"),
        ("two-worlds", "scan", guests::text(
            r#"(component (instance $i)
                (export "opendepot:auth/policy@0.1.0" (instance $i))
                (export "opendepot:scan/post-processor@0.1.0" (instance $i)))"#),
            "both the auth and the scan world"),
        ("newer", "scan", guests::text(
            r#"(component (instance $i) (export "opendepot:scan/post-processor@0.2.0" (instance $i)))"#),
            "`opendepot:scan/post-processor@0.2.0`, a version that this host does not speak"),
        ("wasi", "scan", guests::text(
            r#"(component (import "wasi:cli/environment@0.2.0" (instance)) (instance $i)
                (export "opendepot:scan/post-processor@0.1.0" (instance $i)))"#),
            "imports `wasi:cli/environment@0.2.0`"),
        ("secrets", "scan", guests::text(
            r#"(component (import "opendepot:host/secrets@0.1.0" (instance)) (instance $i)
                (export "opendepot:scan/post-processor@0.1.0" (instance $i)))"#),
            "imports `opendepot:host/secrets@0.1.0`"),
        ("hollow", "scan", guests::text(
            r#"(component (instance $i) (export "opendepot:scan/post-processor@0.1.0" (instance $i)))"#),
            "does not fit its world"),
        ("liar", "scan", good.clone(), "says world `scan` but the component exports the auth world"),
        ("large-memory", "auth", guests::component("auth", &guests::auth_module_with(
            r#"(memory (export "memory") 65536)"#, "(i32.const 1024)", ALLOW)), "memory"),
        ("many-memories", "auth", guests::component("auth", &guests::auth_module_with(
            &format!(r#"(memory (export "memory") 2) {}"#, "(memory 1)".repeat(50)),
            "(i32.const 1024)", ALLOW)), "memor"),
        ("large-table", "auth", guests::component("auth", &guests::auth_module_with(
            r#"(memory (export "memory") 2) (table 10000000 funcref)"#,
            "(i32.const 1024)", ALLOW)), "table"),
        ("refuses-settings", "auth", guests::component("auth", &guests::auth_module_with(
            r#"(memory (export "memory") 2)"#,
            // `other`, with the text at 3000.
            "(i32.store8 (i32.const 1024) (i32.const 1)) (i32.store8 (i32.const 1028) (i32.const 1))
             (i32.store (i32.const 1032) (i32.const 3000)) (i32.store (i32.const 1036) (i32.const 7))
             (i32.const 1024)", ALLOW)), "`validate` answered: because"),
        ("loops-on-load", "auth", guests::component("auth", &guests::auth_module_with(
            r#"(memory (export "memory") 2)"#, guests::LOOP, ALLOW)), "deadline"),
    ];
    site.config.limits.prepare_timeout = std::time::Duration::from_millis(300);
    for (name, world, component, _) in &cases {
        site.plugin(name, world, component);
    }
    let host = site.host().await;
    assert_eq!(failure(&host, "good"), None);
    for (name, _, _, expected) in &cases {
        let reason = failure(&host, name).unwrap_or_else(|| panic!("{name} is served"));
        assert!(reason.contains(expected), "{name}: {reason}");
        assert!(!reason.contains('\n'), "{name}: {reason}");
    }
}

#[tokio::test]
async fn folders_are_pinned() {
    let component = auth(ALLOW);
    let mut site = Site::new();
    for (name, pin) in [
        ("right", Some(Sha256::of(&component))),
        ("wrong", Some(Sha256::of(b"other"))),
        ("none", None),
    ] {
        let folder = site.folder(name, "auth", &component);
        site.config.entries.push(entry(name, folder, pin));
    }
    let host = site.host().await;
    assert_eq!(failure(&host, "right"), None);
    assert!(failure(&host, "wrong").unwrap().contains("the entry pins"));
    let none = failure(&host, "none").unwrap();
    assert!(none.contains(&Sha256::of(&component).to_string()), "{none}");
    let info = &host.describe()[1];
    assert_eq!(info.name, id("right"));
    assert_eq!(info.digest, Some(Sha256::of(&component)));
    assert_eq!(info.world, Some(World::Auth));
    assert_eq!(info.version.as_ref().unwrap().to_string(), "1.0.0");
}

#[tokio::test]
async fn unlisted_folders_need_the_policy_and_get_no_grants() {
    let mut site = Site::new();
    site.folder_needing("stray", "auth", &auth(ALLOW), "{ hosts: true }");
    site.folder_needing("chart", "auth", b"not wasm", "{}");
    std::fs::create_dir(site.path().join("plugins/..data")).unwrap();
    std::fs::create_dir(site.path().join("plugins/not-a-plugin")).unwrap();
    let host = site.host().await;
    assert!(
        host.is_empty(),
        "nobody asked for it, so it is not a policy"
    );
    assert!(failure(&host, "stray").unwrap().contains("no entry lists"));
    site.config.policy.allow_unlisted = true;
    let host = site.host().await;
    assert_eq!(failure(&host, "stray"), None);
    assert!(failure(&host, "chart").is_some());
    let infos = host.describe();
    let stray = infos.iter().find(|i| i.name == id("stray")).unwrap();
    assert_eq!((stray.order, stray.grants.len()), (1000, 0));
    // A listed plugin keeps its name.
    let mut site = Site::new();
    site.folder("stray", "auth", &auth(ALLOW));
    site.config.policy.allow_unlisted = true;
    let component = auth(guests::DENY);
    let folder = site.folder("other", "auth", &component);
    site.config
        .entries
        .push(entry("stray", folder, Some(Sha256::of(&component))));
    let host = site.host().await;
    assert_eq!(host.auth_chain_len(), 1);
    let decisions = host
        .authorize(&subject(), Action::Browse, &targets(1), 1)
        .await;
    assert!(matches!(&decisions[0], Decision::Deny(_)));
}

#[tokio::test]
async fn configuration_mistakes_are_errors_with_advice() {
    let mut site = Site::new();
    site.plugin("same", "auth", &auth(ALLOW));
    let again = site.config.entries[0].clone();
    site.config.entries.push(again);
    assert!(matches!(
        site.try_host().await,
        Err(Error::DuplicateEntry(_))
    ));
    let mut site = Site::new();
    site.config.builtin_dir = site.path().join("nowhere");
    let error = site.try_host().await.err().unwrap();
    assert!(error.to_string().contains("cargo xtask plugins"), "{error}");
    let mut site = Site::new();
    for (name, source) in [
        ("from-oci", Source::Oci("registry.test/x@sha256:00".into())),
        ("storage-s3", Source::Builtin(id("storage-s3"))),
        ("gone", Source::Folder(site.path().join("gone"))),
    ] {
        let mut entry = entry(name, site.path().into(), None);
        entry.source = source;
        site.config.entries.push(entry);
    }
    let host = site.host().await;
    assert!(failure(&host, "from-oci").unwrap().contains("cannot pull"));
    assert!(
        failure(&host, "storage-s3")
            .unwrap()
            .contains("cargo xtask plugins")
    );
    assert!(
        failure(&host, "storage-fs")
            .unwrap()
            .contains("cargo xtask plugins")
    );
    assert!(failure(&host, "gone").unwrap().contains("cannot read"));
    // What cannot be told apart from a policy counts as one.
    assert_eq!(host.auth_chain_len(), 2);
}

#[tokio::test]
async fn a_bad_grant_fails_its_plugin() {
    let mut site = Site::new();
    site.plugin("policy", "auth", &auth(ALLOW)).grants.hosts = vec!["example.com".into()];
    let reason = failure(&site.host().await, "policy").unwrap();
    assert!(
        reason.contains("did you mean `example.com:443`?"),
        "{reason}"
    );
}

#[test]
fn the_documented_entry_parses() {
    let entry: PluginEntry = serde_saphyr::from_str(
        r#"
name: artifactory
source: { folder: /plugins/artifactory }
sha256: "6f00000000000000000000000000000000000000000000000000000000000000"
order: 100
settings: { timeout: 5s }
grants:
  stores:
    - { match: "s3://depot-*", endpoint: https://minio.internal:9000, region: eu-1, options: { a: b }, credentials: prod }
  hosts: ["artifactory.example.com:443"]
  credentials: { prod: { kind: aws-static, secret: prod-keys } }
  secrets: { token: { hosts: ["artifactory.example.com:443"] } }
  create-containers: false
  judge-findings: false
  claims: [email]
"#,
    )
    .unwrap();
    assert!(matches!(entry.source, Source::Folder(_)));
    assert_eq!(entry.grants.stores[0].pattern, "s3://depot-*");
    for mistake in [
        "name: a\nsource: { folder: /x }\nsha: 00",
        "name: a\nsource: { git: /x }",
        "name: A\nsource: { builtin: x }",
        "source: { builtin: x }",
        "name: a\nsource: { builtin: x }\ngrants: { store: [] }",
    ] {
        assert!(
            serde_saphyr::from_str::<PluginEntry>(mistake).is_err(),
            "{mistake}"
        );
    }
}
