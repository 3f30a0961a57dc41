//! What is loaded is what was pinned, wherever it comes from, and is of the WebAssembly that the
//! host speaks.

use crate::guests::{self, ALLOW, DENY, auth, auth_module_with};
use crate::support::{Site, entry, failure, subject, targets};
use opendepot_domain::seam::{AccessPolicy as _, BoxFuture};
use opendepot_domain::{Action, Decision, Sha256};
use opendepot_plugin::{Change, PluginHost, PluginPuller, Services, Source};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

/// A registry of one folder, or of none.
struct Registry(Mutex<Result<PathBuf, String>>);

impl PluginPuller for Registry {
    fn pull<'a>(
        &'a self,
        _: &'a str,
        _: Option<&'a Path>,
    ) -> BoxFuture<'a, Result<PathBuf, String>> {
        let answer = self.0.lock().unwrap().clone();
        Box::pin(async { answer })
    }
}

async fn decision(host: &PluginHost) -> Decision {
    host.authorize(&subject(), Action::Download, &targets(1), 1)
        .await
        .remove(0)
}

#[tokio::test]
async fn a_registry_serves_only_what_is_pinned() {
    let good = auth(ALLOW);
    let mut site = Site::new();
    let (folder, other) = (
        site.folder("pulled", "auth", &good),
        site.folder("moved", "auth", &auth(DENY)),
    );
    site.config.plugin_dirs.clear();
    let start = async |site: &Site, registry: &Arc<Registry>| {
        let services = Services {
            puller: Some(Arc::clone(registry) as Arc<dyn PluginPuller>),
            ..Services::default()
        };
        PluginHost::load_with(site.config.clone(), services)
            .await
            .unwrap()
    };
    let registry = Arc::new(Registry(Mutex::new(Ok(folder))));
    let mut listed = entry("policy", PathBuf::new(), None);
    // By a tag, which is no identity.
    listed.source = Source::Oci("registry.test/policy:latest".to_owned());
    site.config.entries.push(listed);
    let host = start(&site, &registry).await;
    let reason = failure(&host, "policy").unwrap();
    assert!(reason.contains(&Sha256::of(&good).to_string()), "{reason}");
    assert!(matches!(decision(&host).await, Decision::Deny(_)));
    // By another digest than what comes.
    site.config.entries[0].sha256 = Some(Sha256::of(b"other"));
    let host = start(&site, &registry).await;
    let reason = failure(&host, "policy").unwrap();
    assert!(
        reason.contains(&Sha256::of(b"other").to_string()),
        "{reason}"
    );
    assert!(matches!(decision(&host).await, Decision::Deny(_)));
    // By its own digest; then the reference moves, and then the registry is gone.
    site.config.entries[0].sha256 = Some(Sha256::of(&good));
    let host = start(&site, &registry).await;
    assert_eq!(failure(&host, "policy"), None);
    for (tag, answer) in [("moved", Ok(other)), ("gone", Err("no answer".to_owned()))] {
        *registry.0.lock().unwrap() = answer;
        site.config.entries[0].source = Source::Oci(format!("registry.test/policy:{tag}"));
        let changes = host.reload(site.config.clone()).await.unwrap();
        assert!(
            changes
                .iter()
                .any(|changed| matches!(changed.change, Change::Refused(_))),
            "{tag}: {changes:?}"
        );
        assert_eq!(decision(&host).await, Decision::Allow, "{tag}");
    }
}

#[tokio::test]
async fn proposals_that_no_guest_needs_are_not_spoken() {
    const VECTOR: &str = "(v128.const i32x4 0 0 0 0)";
    let mut site = Site::new();
    let cases = [
        ("memory64", "(memory i64 1)".to_owned()),
        ("threads", "(memory 1 1 shared)".to_owned()),
        ("tail-calls", "(func $f (return_call $f))".to_owned()),
        (
            "relaxed-simd",
            format!("(func (result v128) (i8x16.relaxed_swizzle {VECTOR} {VECTOR}))"),
        ),
        (
            "wide-arithmetic",
            "(func (param i64 i64 i64 i64) (result i64 i64)
               (i64.add128 (local.get 0) (local.get 1) (local.get 2) (local.get 3)))"
                .to_owned(),
        ),
        ("gc", "(type (struct (field i32)))".to_owned()),
        ("exceptions", "(tag)".to_owned()),
    ];
    let guest = |extra: &str| {
        let head = format!(r#"(memory (export "memory") 2) {extra}"#);
        guests::component("auth", &auth_module_with(&head, "(i32.const 1024)", ALLOW))
    };
    for (name, extra) in &cases {
        site.plugin(name, "auth", &guest(extra));
    }
    // What compilers write by default is spoken.
    site.plugin(
        "simd",
        "auth",
        &guest(&format!("(func (result v128) {VECTOR})")),
    );
    let host = site.host().await;
    assert_eq!(failure(&host, "simd"), None);
    for (name, _) in &cases {
        let reason = failure(&host, name).unwrap_or_else(|| panic!("{name} is served"));
        assert!(reason.contains("cannot compile"), "{name}: {reason}");
    }
}
