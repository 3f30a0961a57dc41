//! The registry: what is served of which facts, and the actor around it.

mod actor;
mod bodies;
mod gone;
mod modules;
mod releases;

use super::render::{RenderContext, SigningKeyDocument};
use super::resource::{ModuleResource, ProviderResource, Snapshot, VersionResource};
use super::{Catalog, state};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use opendepot_domain::{
    ArtifactId, ArtifactKind, ArtifactRecord, ConfigName, FileName, H1, Namespace, Platform,
    PluginId, Release, ReleaseFile, ResourceName, Sha256, Version, release,
};
use opendepot_identity::ArtifactKeys;
use std::sync::Arc;

/// A moment.
const NOW: u64 = 1_790_000_100;

fn module(name: &str) -> Arc<ModuleResource> {
    Arc::new(ModuleResource {
        namespace: Namespace::new("team").unwrap(),
        name: ResourceName::new(name).unwrap(),
        uid: format!("uid-{name}"),
        system: None,
    })
}

fn provider(name: &str) -> Arc<ProviderResource> {
    Arc::new(ProviderResource {
        namespace: Namespace::new("team").unwrap(),
        name: ResourceName::new(name).unwrap(),
        uid: format!("uid-{name}"),
        deprecated: Vec::new(),
    })
}

fn record(config: &str, file: &str, bytes: &[u8]) -> ArtifactRecord {
    ArtifactRecord {
        plugin: PluginId::new("storage-fs").unwrap(),
        store: "file:///".to_owned(),
        key: format!("{config}/{file}"),
        file_name: FileName::new(file).unwrap(),
        media_type: "application/zip".to_owned(),
        size: bytes.len() as u64,
        sha256: Sha256::of(bytes),
    }
}

/// A module version that its module owns. `bytes` stand for its content.
fn version(name: &str, version: &str, bytes: &str) -> VersionResource {
    let file = format!("{bytes}.zip");
    VersionResource {
        id: ArtifactId {
            namespace: Namespace::new("team").unwrap(),
            kind: ArtifactKind::Module,
            name: ResourceName::new(name).unwrap(),
            version: Version::parse(version).unwrap(),
            platform: None,
        },
        object_name: format!("{name}-{}", version.replace(['.', '+'], "-")),
        owner_uid: Some(format!("uid-{name}")),
        is_deleting: false,
        config_name: ConfigName::new(name).unwrap(),
        backend_path: format!("plugin/storage-fs/{name}/{file}"),
        record: record(name, &file, bytes.as_bytes()),
        presign: None,
        previous: None,
        h1: None,
        protocols: Vec::new(),
        releases: Vec::new(),
    }
}

/// A provider package that its provider owns and that no release lists yet.
fn platform(name: &str, text: &str, os: &str, bytes: &str) -> VersionResource {
    let module = version(name, text, bytes);
    let sha256 = module.record.sha256;
    VersionResource {
        id: ArtifactId {
            kind: ArtifactKind::Provider,
            platform: Some(Platform::new(os, "amd64").unwrap()),
            ..module.id
        },
        object_name: format!("{}-{os}-amd64", module.object_name),
        h1: Some(H1::of_files([("binary", sha256)])),
        protocols: vec!["5.0".to_owned()],
        ..module
    }
}

/// The release over these packages as they are.
fn signed(packages: &[&VersionResource], signed_at: u64) -> Release {
    let mut files: Vec<ReleaseFile> = packages
        .iter()
        .map(|package| {
            let platform = package.id.platform.as_ref().unwrap();
            ReleaseFile {
                os: platform.os().to_owned(),
                arch: platform.arch().to_owned(),
                sha256: package.record.sha256,
                h1: package.h1.clone().unwrap(),
                size: package.record.size,
            }
        })
        .collect();
    files.sort_by(|a, b| (&a.os, &a.arch).cmp(&(&b.os, &b.arch)));
    let id = &packages[0].id;
    let text = release::sums_text(&id.name, &id.version, &files);
    Release {
        id: release::release_id(&text),
        files,
        signature: STANDARD.encode(format!("signed at {signed_at}")),
        key_id: "0123456789ABCDEF".to_owned(),
        signed_at,
    }
}

fn snapshot(
    modules: &[Arc<ModuleResource>],
    providers: &[Arc<ProviderResource>],
    versions: Vec<VersionResource>,
) -> Snapshot {
    Snapshot {
        modules: modules.to_vec(),
        providers: providers.to_vec(),
        versions: versions.into_iter().map(Arc::new).collect(),
    }
}

/// The catalog of one module and its versions.
fn of_module(versions: Vec<VersionResource>) -> Catalog {
    let facts = snapshot(&[module("network")], &[], versions);
    state::build(&Catalog::default(), facts, NOW)
}

/// The catalog of one provider and its packages.
fn of_provider(versions: Vec<VersionResource>) -> Catalog {
    let facts = snapshot(&[], &[provider("widget")], versions);
    state::build(&Catalog::default(), facts, NOW)
}

fn parsed(text: &str) -> Version {
    Version::parse(text).unwrap()
}

fn pretty(body: &[u8]) -> String {
    let value: serde_json::Value = serde_json::from_slice(body).unwrap();
    serde_json::to_string_pretty(&value).unwrap()
}

/// The versions that a list names, in order.
fn listed(body: &[u8]) -> Vec<String> {
    let value: serde_json::Value = serde_json::from_slice(body).unwrap();
    let versions = value
        .get("versions")
        .unwrap_or_else(|| &value["modules"][0]["versions"]);
    let texts = versions.as_array().unwrap().iter();
    texts
        .map(|item| item["version"].as_str().unwrap().to_owned())
        .collect()
}

/// Rendering with a fixed key.
fn context() -> RenderContext {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("keys");
    std::fs::write(&path, STANDARD.encode([7; 32])).unwrap();
    let key = |key_id: &str, source_url: Option<&str>| SigningKeyDocument {
        key_id: key_id.to_owned(),
        ascii_armor: format!("-- the key {key_id} --"),
        source_url: source_url.map(str::to_owned),
    };
    RenderContext {
        base_url: "https://depot.example".to_owned(),
        artifact_keys: Arc::new(ArtifactKeys::load(&path).unwrap()),
        signing_keys: Arc::new(vec![
            key("FEDCBA9876543210", None),
            key("0123456789ABCDEF", Some("https://keys.example")),
        ]),
    }
}
