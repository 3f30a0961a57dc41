//! Changes under a running host: the new version is in force or the old one serves on, and nobody
//! is refused meanwhile.

use crate::guests::{ALLOW, DENY, auth};
use crate::support::{Site, entry, failure, id, subject, targets};
use opendepot_domain::seam::{AccessPolicy as _, BoxFuture};
use opendepot_domain::{Action, Decision, Sha256};
use opendepot_plugin::{
    Binding, BindingPolicies as _, Change, Changed, PluginHost, PluginPuller, PluginState,
    Services, Source,
};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;
use tokio::sync::Notify;

async fn decision(host: &PluginHost) -> Decision {
    let targets = targets(1);
    let mut decisions = host
        .authorize(&subject(), Action::Download, &targets, 1)
        .await;
    decisions.remove(0)
}

/// Looks twice, as a change that is settled needs; what came of both.
async fn look(host: &PluginHost, site: &Site) -> Vec<(String, Change)> {
    let mut changes = host.reload(site.config.clone()).await.unwrap();
    changes.extend(host.reload(site.config.clone()).await.unwrap());
    changes
        .into_iter()
        .map(|Changed { plugin, change }| (plugin.to_string(), change))
        .collect()
}

const MANIFEST: &str = "apiVersion: opendepot.defdev.io/v1alpha1
kind: Plugin
metadata: { name: policy, version: 1.0.0 }
spec: { world: auth }
";

/// The same component with another digest: a custom section more.
fn marked(mut component: Vec<u8>, mark: u8) -> Vec<u8> {
    component.extend([0, 3, 1, b'm', mark]);
    component
}

fn loaded(name: &str) -> Vec<(String, Change)> {
    vec![(name.to_owned(), Change::Loaded)]
}

#[tokio::test]
async fn a_dropped_folder_is_obeyed_and_a_removed_one_no_more() {
    let mut site = Site::new();
    site.config.policy.allow_unlisted = true;
    let host = site.host().await;
    assert_eq!(decision(&host).await, Decision::Abstain);
    let folder = site.folder("policy", "auth", &auth(ALLOW));
    assert_eq!(look(&host, &site).await, loaded("policy"));
    assert_eq!(decision(&host).await, Decision::Allow);
    assert_eq!(look(&host, &site).await, [], "nothing changed");
    // Another version, written in place.
    std::fs::write(folder.join("plugin.wasm"), auth(DENY)).unwrap();
    assert_eq!(look(&host, &site).await, loaded("policy"));
    assert!(matches!(decision(&host).await, Decision::Deny(_)));
    // A mistake in its manifest does not take it out of the chain; taking it away does.
    let manifest = std::fs::read_to_string(folder.join("plugin.yaml")).unwrap();
    std::fs::write(folder.join("plugin.yaml"), manifest.replace("spec", "spek")).unwrap();
    let changes = look(&host, &site).await;
    assert!(
        matches!(&changes[..], [(_, Change::Refused(reason))] if reason.contains("plugin.yaml")),
        "{changes:?}"
    );
    assert!(matches!(decision(&host).await, Decision::Deny(_)));
    assert_eq!(look(&host, &site).await, [], "said once");
    std::fs::remove_dir_all(&folder).unwrap();
    let changes = host.reload(site.config.clone()).await.unwrap();
    assert_eq!(changes[0].change, Change::Removed);
    assert_eq!(decision(&host).await, Decision::Abstain);
    assert!(host.describe().iter().all(|info| info.name != id("policy")));
}

#[tokio::test]
async fn a_folder_that_is_being_written_is_left_alone() {
    let mut site = Site::new();
    site.config.policy.allow_unlisted = true;
    let host = site.host().await;
    let folder = site.folder("policy", "auth", b"half of it");
    let changes = host.reload(site.config.clone()).await.unwrap();
    assert_eq!(changes, []);
    std::fs::write(folder.join("plugin.wasm"), auth(ALLOW)).unwrap();
    let changes = host.reload(site.config.clone()).await.unwrap();
    assert_eq!(changes, [], "it changed since the last look");
    let changes = host.reload(site.config.clone()).await.unwrap();
    assert_eq!(changes[0].change, Change::Loaded);
    assert_eq!(decision(&host).await, Decision::Allow);
}

#[tokio::test]
async fn a_version_that_cannot_be_loaded_leaves_the_old_one_serving() {
    let (old, new) = (auth(ALLOW), auth(DENY));
    let mut site = Site::new();
    let folder = site.folder("policy", "auth", &old);
    site.config
        .entries
        .push(entry("policy", folder.clone(), Some(Sha256::of(&old))));
    let host = site.host().await;
    let generation = host.generation();
    // The folder changes, the pin does not.
    std::fs::write(folder.join("plugin.wasm"), &new).unwrap();
    let changes = look(&host, &site).await;
    assert!(
        matches!(&changes[..], [(_, Change::Refused(reason))] if reason.contains("the entry pins")),
        "{changes:?}"
    );
    assert_eq!(decision(&host).await, Decision::Allow);
    let info = host.describe().remove(0);
    assert_eq!(info.state, PluginState::Serving);
    assert_eq!(info.digest, Some(Sha256::of(&old)), "what runs is shown");
    assert!(info.refused.unwrap().contains("the entry pins"));
    assert_eq!(look(&host, &site).await, [], "said once");
    // The operator pins it.
    site.config.entries[0].sha256 = Some(Sha256::of(&new));
    let changes = host.reload(site.config.clone()).await.unwrap();
    assert_eq!(changes[0].change, Change::Loaded);
    assert!(matches!(decision(&host).await, Decision::Deny(_)));
    let info = host.describe().remove(0);
    assert_eq!((info.refused, info.digest), (None, Some(Sha256::of(&new))));
    assert!(host.generation() > generation, "cached decisions end");
    // A broken manifest, then none at all.
    std::fs::write(folder.join("plugin.yaml"), "kind: Plugin\n").unwrap();
    assert!(matches!(
        look(&host, &site).await[..],
        [(_, Change::Refused(_))]
    ));
    std::fs::remove_dir_all(&folder).unwrap();
    assert!(matches!(
        look(&host, &site).await[..],
        [(_, Change::Refused(_))]
    ));
    assert!(matches!(decision(&host).await, Decision::Deny(_)));
    // An entry that goes takes its plugin along.
    site.config.entries.clear();
    assert_eq!(look(&host, &site).await[0].1, Change::Removed);
    assert_eq!(decision(&host).await, Decision::Abstain);
}

#[tokio::test]
async fn a_plugin_that_failed_at_the_start_is_loaded_when_it_is_mended() {
    let good = auth(ALLOW);
    let mut site = Site::new();
    let folder = site.folder("policy", "auth", b"not wasm");
    site.config
        .entries
        .push(entry("policy", folder.clone(), Some(Sha256::of(&good))));
    let host = site.host().await;
    assert!(matches!(decision(&host).await, Decision::Deny(_)));
    std::fs::write(folder.join("plugin.wasm"), &good).unwrap();
    assert_eq!(look(&host, &site).await, loaded("policy"));
    assert_eq!(decision(&host).await, Decision::Allow);
}

#[tokio::test]
async fn a_denied_digest_is_unloaded_and_never_served_on() {
    let component = auth(ALLOW);
    let mut site = Site::new();
    let folder = site.folder("policy", "auth", &component);
    let pin = Some(Sha256::of(&component));
    site.config.entries.push(entry("policy", folder, pin));
    let host = site.host().await;
    assert_eq!(decision(&host).await, Decision::Allow);
    site.config.policy.denied_digests = vec![Sha256::of(&component)];
    let changes = host.reload(site.config.clone()).await.unwrap();
    assert!(
        matches!(&changes[0].change, Change::Failed(_)),
        "{changes:?}"
    );
    assert!(matches!(decision(&host).await, Decision::Deny(_)));
    assert!(failure(&host, "policy").is_some());
}

#[tokio::test]
async fn what_the_operator_takes_away_goes_whatever_happens_to_the_folder() {
    let component = auth(ALLOW);
    let deny = |site: &mut Site| site.config.policy.denied_digests = vec![Sha256::of(&component)];
    let start = async || {
        let mut site = Site::new();
        site.config.policy.allow_unlisted = true;
        let folder = site.folder("policy", "auth", &component);
        let host = site.host().await;
        assert_eq!(decision(&host).await, Decision::Allow);
        (site, folder, host)
    };
    // Somebody keeps the folder changing.
    let (mut site, folder, host) = start().await;
    deny(&mut site);
    std::fs::write(folder.join("noise"), "1").unwrap();
    host.reload(site.config.clone()).await.unwrap();
    assert!(matches!(decision(&host).await, Decision::Deny(_)));
    // Somebody breaks the manifest at the same moment.
    let (mut site, folder, host) = start().await;
    deny(&mut site);
    std::fs::write(folder.join("plugin.yaml"), "broken").unwrap();
    look(&host, &site).await;
    assert!(matches!(decision(&host).await, Decision::Deny(_)));
    // Nobody may be unlisted any more.
    let (mut site, folder, host) = start().await;
    site.config.policy.allow_unlisted = false;
    std::fs::write(folder.join("plugin.yaml"), "broken").unwrap();
    look(&host, &site).await;
    assert_eq!(decision(&host).await, Decision::Abstain);
}

#[tokio::test]
async fn a_policy_that_fails_goes_on_denying_when_its_manifest_breaks_too() {
    let mut site = Site::new();
    site.config.policy.allow_unlisted = true;
    let folder = site.folder("policy", "auth", b"not wasm");
    let host = site.host().await;
    assert!(matches!(decision(&host).await, Decision::Deny(_)));
    std::fs::write(folder.join("plugin.yaml"), "broken").unwrap();
    look(&host, &site).await;
    assert!(matches!(decision(&host).await, Decision::Deny(_)));
}

#[tokio::test]
async fn a_refused_change_is_told_also_under_another_name() {
    let mut site = Site::new();
    site.config.policy.allow_unlisted = true;
    let folder = site.folder("policy", "auth", &auth(ALLOW));
    let host = site.host().await;
    std::fs::write(folder.join("plugin.wasm"), "broken").unwrap();
    let renamed = MANIFEST.replace("name: policy", "name: other");
    std::fs::write(folder.join("plugin.yaml"), renamed).unwrap();
    let changes = look(&host, &site).await;
    assert!(
        matches!(&changes[..], [(name, Change::Refused(_))] if name == "policy"),
        "{changes:?}"
    );
    assert_eq!(decision(&host).await, Decision::Allow);
}

/// Pulls nothing before it is told to.
struct Held {
    folder: PathBuf,
    asked: Notify,
    go: Notify,
}

impl PluginPuller for Held {
    fn pull<'a>(
        &'a self,
        _: &'a str,
        _: Option<&'a Path>,
    ) -> BoxFuture<'a, Result<PathBuf, String>> {
        Box::pin(async move {
            self.asked.notify_one();
            self.go.notified().await;
            Ok(self.folder.clone())
        })
    }
}

#[tokio::test]
async fn bindings_do_not_wait_for_what_is_being_loaded() {
    let component = auth(ALLOW);
    let mut site = Site::new();
    site.plugin("old", "auth", &auth(ALLOW));
    let held = Arc::new(Held {
        folder: site.folder("pulled", "auth", &component),
        asked: Notify::new(),
        go: Notify::new(),
    });
    let services = Services {
        puller: Some(held.clone()),
        ..Services::default()
    };
    let host = PluginHost::load_with(site.config.clone(), services)
        .await
        .unwrap();
    let mut pulled = entry("pulled", PathBuf::new(), Some(Sha256::of(&component)));
    pulled.source = Source::Oci("registry.example/pulled".to_owned());
    site.config.entries.push(pulled);
    let loading = tokio::spawn({
        let (host, config) = (host.clone(), site.config.clone());
        async move { host.reload(config).await.unwrap() }
    });
    held.asked.notified().await;
    let before = host.generation();
    let binding = Binding {
        name: "late".to_owned(),
        expression: "true".to_owned(),
        modules: vec![],
        providers: vec![],
        namespaces: vec![],
    };
    let given = host.set_bindings(std::slice::from_ref(&binding));
    let given = tokio::time::timeout(Duration::from_secs(10), given).await;
    assert_eq!(given.unwrap(), []);
    assert!(host.generation() > before, "in force");
    let after = host.generation();
    held.go.notify_one();
    let changes = loading.await.unwrap();
    assert_eq!((changes.len(), &changes[0].change), (1, &Change::Loaded));
    assert!(host.generation() > after, "the newer snapshot is built on");
    assert_eq!(host.auth_chain_len(), 2);
}

/// As the kubelet does it: everything in a hidden folder, names that point into it through
/// `..data`, and that link replaced in one step.
fn configmap(folder: &Path, data: &str, component: &[u8]) {
    use std::os::unix::fs::symlink;
    let own = folder.join(data);
    std::fs::create_dir_all(&own).unwrap();
    std::fs::write(own.join("plugin.wasm"), component).unwrap();
    std::fs::write(own.join("plugin.yaml"), MANIFEST).unwrap();
    symlink(data, folder.join("..next")).unwrap();
    std::fs::rename(folder.join("..next"), folder.join("..data")).unwrap();
    for name in ["plugin.wasm", "plugin.yaml"] {
        let _ = symlink(format!("..data/{name}"), folder.join(name));
    }
}

#[tokio::test]
async fn a_mounted_configmap_is_followed() {
    let (old, new) = (auth(ALLOW), auth(DENY));
    let mut site = Site::new();
    let folder = site.path().join("mounted");
    configmap(&folder, "..2026_01", &old);
    site.config
        .entries
        .push(entry("policy", folder.clone(), Some(Sha256::of(&old))));
    let host = site.host().await;
    assert_eq!(decision(&host).await, Decision::Allow);
    configmap(&folder, "..2026_02", &new);
    std::fs::remove_dir_all(folder.join("..2026_01")).unwrap();
    assert!(matches!(
        look(&host, &site).await[..],
        [(_, Change::Refused(_))]
    ));
    assert_eq!(decision(&host).await, Decision::Allow, "pinned");
    site.config.entries[0].sha256 = Some(Sha256::of(&new));
    host.reload(site.config.clone()).await.unwrap();
    assert!(matches!(decision(&host).await, Decision::Deny(_)));
}

#[tokio::test]
async fn settings_grants_and_order_are_taken_over() {
    let mut site = Site::new();
    site.plugin("first", "auth", &auth(ALLOW));
    site.plugin("second", "auth", &auth(DENY));
    let host = site.host().await;
    site.config.entries[1].order = 1;
    assert_eq!(look(&host, &site).await, loaded("second"));
    let explained = host
        .explain(&subject(), Action::Download, &targets(1)[0], 1)
        .await;
    assert_eq!(explained[0].plugin, id("second"));
    // Two entries of one name: nothing changes.
    let twice = site.config.entries[0].clone();
    site.config.entries.push(twice);
    assert!(host.reload(site.config.clone()).await.is_err());
    assert_eq!(
        host.describe().len(),
        3,
        "with the built-in that is missing"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn no_call_fails_during_a_swap() {
    let mut site = Site::new();
    site.config.policy.allow_unlisted = true;
    let folder = site.folder("policy", "auth", &auth(ALLOW));
    let host = site.host().await;
    let is_over = Arc::new(AtomicBool::new(false));
    let num_calls = Arc::new(AtomicUsize::new(0));
    let calls = tokio::spawn({
        let (host, is_over, num_calls) = (host.clone(), is_over.clone(), num_calls.clone());
        async move {
            while !is_over.load(Ordering::Relaxed) {
                assert_eq!(decision(&host).await, Decision::Allow);
                num_calls.fetch_add(1, Ordering::Relaxed);
            }
        }
    });
    for swap in 0..20 {
        std::fs::write(folder.join("plugin.wasm"), marked(auth(ALLOW), swap)).unwrap();
        let before = num_calls.load(Ordering::Relaxed);
        assert_eq!(look(&host, &site).await, loaded("policy"), "swap {swap}");
        while num_calls.load(Ordering::Relaxed) == before {
            tokio::task::yield_now().await;
        }
    }
    is_over.store(true, Ordering::Relaxed);
    calls.await.unwrap();
}
