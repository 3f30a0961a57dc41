//! Where the operator lists keys, what is not signed by one of them does not come into force.

use crate::guests::{ALLOW, DENY, auth};
use crate::support::{Site, entry, failure, id, subject, targets};
use opendepot_domain::seam::{AccessPolicy as _, BoxFuture};
use opendepot_domain::{Action, Decision, Sha256};
use opendepot_plugin::{Change, PluginHost, PluginPuller, PluginState, Services, Source};
use ring::rand::SystemRandom;
use ring::signature::{Ed25519KeyPair, KeyPair as _};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A key pair, with the public half in a file.
struct Key(Ed25519KeyPair);

impl Key {
    fn new(public: &Path) -> Self {
        use base64::Engine as _;
        let document = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).unwrap();
        let pair = Ed25519KeyPair::from_pkcs8(document.as_ref()).unwrap();
        // RFC 8410, 4: what precedes the key in a SubjectPublicKeyInfo.
        let prefix = hex::decode("302a300506032b6570032100").unwrap();
        let der = [&prefix, pair.public_key().as_ref()].concat();
        let text = base64::engine::general_purpose::STANDARD.encode(der);
        let pem = format!("-----BEGIN PUBLIC KEY-----\n{text}\n-----END PUBLIC KEY-----\n");
        fs::write(public, pem).unwrap();
        Self(pair)
    }

    fn sign(&self, component: &[u8], folder: &Path) {
        let signature = self.0.sign(component);
        fs::write(folder.join("plugin.wasm.sig"), signature.as_ref()).unwrap();
    }
}

async fn decision(host: &PluginHost) -> Decision {
    let targets = targets(1);
    let mut decisions = host
        .authorize(&subject(), Action::Download, &targets, 1)
        .await;
    decisions.remove(0)
}

/// Looks as often as a settled change needs; what came of `policy`.
async fn look(host: &PluginHost, site: &Site) -> Vec<Change> {
    let mut changes = host.reload(site.config.clone()).await.unwrap();
    changes.extend(host.reload(site.config.clone()).await.unwrap());
    let own = changes.into_iter().filter(|c| c.plugin == id("policy"));
    own.map(|changed| changed.change).collect()
}

fn assert_refused(changes: &[Change], part: &str) {
    assert!(
        matches!(changes, [Change::Refused(reason)] if reason.contains(part)),
        "{changes:?}"
    );
}

#[tokio::test]
async fn only_what_is_signed_loads_at_the_start_and_built_ins_always_do() {
    let mut site = Site::new();
    let (public, component) = (site.path().join("release.pub"), auth(ALLOW));
    let (key, stranger) = (
        Key::new(&public),
        Key::new(&site.path().join("stranger.pub")),
    );
    site.config.policy.public_keys = vec![public];
    site.config.policy.allow_unlisted = true;
    let outside = site.path().join("outside");
    fs::create_dir(&outside).unwrap();
    for name in ["signed", "unsigned", "foreign", "other"] {
        let folder = outside.join(name);
        fs::rename(site.folder(name, "auth", &component), &folder).unwrap();
        match name {
            "signed" => key.sign(&component, &folder),
            "foreign" => stranger.sign(&component, &folder),
            "other" => key.sign(&auth(DENY), &folder),
            _ => {}
        }
        let listed = entry(name, folder, Some(Sha256::of(&component)));
        site.config.entries.push(listed);
    }
    let unlisted = site.folder("unlisted-signed", "auth", &component);
    key.sign(&component, &unlisted);
    site.folder("unlisted-unsigned", "auth", &component);
    let builtin = site.path().join("builtin/auth-shipped");
    fs::rename(site.folder("auth-shipped", "auth", &component), &builtin).unwrap();
    let mut shipped = entry("auth-shipped", PathBuf::new(), None);
    shipped.source = Source::Builtin(id("auth-shipped"));
    site.config.entries.push(shipped);

    let host = site.host().await;
    let missing = "demands a signature";
    let wrong = "is no signature of this component";
    for (name, expected) in [
        ("signed", None),
        ("unlisted-signed", None),
        ("auth-shipped", None),
        ("unsigned", Some(missing)),
        ("unlisted-unsigned", Some(missing)),
        ("foreign", Some(wrong)),
        ("other", Some(wrong)),
    ] {
        let failed = failure(&host, name);
        match expected {
            None => assert_eq!(failed, None, "{name}"),
            Some(part) => assert!(failed.unwrap().contains(part), "{name}"),
        }
    }
    // A policy that does not load denies.
    assert!(matches!(decision(&host).await, Decision::Deny(_)));
}

#[tokio::test]
async fn a_change_needs_its_own_signature_and_the_old_version_serves_till_it_has_one() {
    let mut site = Site::new();
    let (old, new) = (auth(ALLOW), auth(DENY));
    let public = site.path().join("release.pub");
    let key = Key::new(&public);
    site.config.policy.public_keys = vec![public];
    site.config.policy.allow_unlisted = true;
    let folder = site.folder("policy", "auth", &old);
    key.sign(&old, &folder);
    let host = site.host().await;
    assert_eq!(decision(&host).await, Decision::Allow);
    fs::write(folder.join("plugin.wasm"), &new).unwrap();
    assert_refused(&look(&host, &site).await, "is no signature");
    assert_eq!(decision(&host).await, Decision::Allow);
    assert_eq!(look(&host, &site).await, [], "said once");
    // The signature's file alone is a change.
    key.sign(&new, &folder);
    assert_eq!(look(&host, &site).await, [Change::Loaded]);
    assert!(matches!(decision(&host).await, Decision::Deny(_)));
    fs::remove_file(folder.join("plugin.wasm.sig")).unwrap();
    assert_refused(&look(&host, &site).await, "demands a signature");
    let infos = host.describe();
    let info = infos.iter().find(|info| info.name == id("policy")).unwrap();
    assert_eq!(info.state, PluginState::Serving);
    assert!(info.refused.as_ref().unwrap().contains("plugin.wasm.sig"));
    // What the operator denies goes, signed or not.
    key.sign(&new, &folder);
    assert_eq!(look(&host, &site).await, [Change::Loaded]);
    site.config.policy.denied_digests = vec![Sha256::of(&new)];
    let changes = look(&host, &site).await;
    assert!(
        matches!(&changes[..], [Change::Failed(reason)] if reason.contains("deniedDigests")),
        "{changes:?}"
    );
}

#[tokio::test]
async fn another_key_counts_as_soon_as_its_file_is_there() {
    let mut site = Site::new();
    let (component, public) = (auth(ALLOW), site.path().join("release.pub"));
    let first = Key::new(&public);
    site.config.policy.public_keys = vec![public.clone()];
    let folder = site.path().join("policy");
    fs::rename(site.folder("policy", "auth", &component), &folder).unwrap();
    first.sign(&component, &folder);
    let listed = entry("policy", folder.clone(), Some(Sha256::of(&component)));
    site.config.entries.push(listed);
    let host = site.host().await;
    assert_eq!(decision(&host).await, Decision::Allow);

    let second = Key::new(&public);
    assert_refused(&look(&host, &site).await, "is no signature");
    assert_eq!(decision(&host).await, Decision::Allow, "it serves on");
    second.sign(&component, &folder);
    assert_eq!(look(&host, &site).await, [Change::Loaded]);
    fs::write(&public, "no key").unwrap();
    assert_refused(&look(&host, &site).await, "cannot use the key");
    fs::remove_file(&public).unwrap();
    assert_refused(&look(&host, &site).await, "release.pub");
    assert_eq!(look(&host, &site).await, [], "said once");
    // A host that starts now has nothing to go back to.
    let fresh = site.host().await;
    assert!(matches!(decision(&fresh).await, Decision::Deny(_)));
    Key::new(&public).sign(&component, &folder);
    for host in [&host, &fresh] {
        assert_eq!(look(host, &site).await, [Change::Loaded]);
        assert_eq!(decision(host).await, Decision::Allow);
    }
}

/// Has one folder, for whoever brings the right file of credentials.
struct Fixed {
    folder: PathBuf,
    docker_config: Option<PathBuf>,
}

impl PluginPuller for Fixed {
    fn pull<'a>(
        &'a self,
        reference: &'a str,
        docker_config: Option<&'a Path>,
    ) -> BoxFuture<'a, Result<PathBuf, String>> {
        let is_right = docker_config == self.docker_config.as_deref();
        let pulled = match is_right && reference == "registry.example/pulled" {
            true => Ok(self.folder.clone()),
            false => Err(format!("asked for {reference} with {docker_config:?}")),
        };
        Box::pin(std::future::ready(pulled))
    }
}

#[tokio::test]
async fn what_is_pulled_needs_a_signature_too() {
    let mut site = Site::new();
    let (component, public) = (auth(ALLOW), site.path().join("release.pub"));
    let key = Key::new(&public);
    site.config.policy.public_keys = vec![public];
    site.config.policy.docker_config = Some("/nowhere/docker.json".into());
    site.config.plugin_dirs.clear();
    let folder = site.folder("pulled", "auth", &component);
    let mut pulled = entry("pulled", PathBuf::new(), Some(Sha256::of(&component)));
    pulled.source = Source::Oci("registry.example/pulled".to_owned());
    site.config.entries.push(pulled);
    let puller = Arc::new(Fixed {
        folder: folder.clone(),
        docker_config: site.config.policy.docker_config.clone(),
    });
    let services = Services {
        puller: Some(puller),
        ..Services::default()
    };
    let load = || PluginHost::load_with(site.config.clone(), services.clone());
    let host = load().await.unwrap();
    let failed = failure(&host, "pulled").unwrap();
    assert!(failed.contains("demands a signature"), "{failed}");
    assert!(matches!(decision(&host).await, Decision::Deny(_)));
    key.sign(&component, &folder);
    assert_eq!(decision(&load().await.unwrap()).await, Decision::Allow);
}
