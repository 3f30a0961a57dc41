//! What every test starts from, and more of its kind.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use opendepot_actors::registry::{ModuleResource, ProviderResource, Snapshot, VersionResource};
use opendepot_domain::{
    ArtifactId, ArtifactKind, ArtifactRecord, ConfigName, FileName, H1, Namespace, Platform,
    PluginId, Release, ReleaseFile, ResourceName, Sha256, Version, release,
};
use std::path::Path;
use std::sync::Arc;

pub(crate) fn module_id(name: &str, version: &str) -> ArtifactId {
    ArtifactId {
        namespace: Namespace::new("team").unwrap(),
        kind: ArtifactKind::Module,
        name: ResourceName::new(name).unwrap(),
        version: Version::parse(version).unwrap(),
        platform: None,
    }
}

pub(crate) fn provider_id(name: &str, version: &str, os: &str, arch: &str) -> ArtifactId {
    let platform = Some(Platform::new(os, arch).unwrap());
    ArtifactId {
        kind: ArtifactKind::Provider,
        platform,
        ..module_id(name, version)
    }
}

fn store(root: &Path, config: &str, file: &str, bytes: &[u8]) -> ArtifactRecord {
    let folder = root.join(config);
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join(file), bytes).unwrap();
    let is_zip = file.ends_with(".zip");
    ArtifactRecord {
        plugin: PluginId::new("storage-fs").unwrap(),
        store: "file:///".to_owned(),
        key: format!("{config}/{file}"),
        file_name: FileName::new(file).unwrap(),
        media_type: if is_zip {
            "application/zip"
        } else {
            "application/x-tar"
        }
        .to_owned(),
        size: bytes.len() as u64,
        sha256: Sha256::of(bytes),
    }
}

/// The bytes of a `widget` package.
pub(crate) fn package_bytes(version: &str, os: &str) -> Vec<u8> {
    format!("package {version} {os} ").repeat(50).into_bytes()
}

/// A stored module version.
pub(crate) fn module_version(
    root: &Path,
    name: &str,
    version: &str,
    extension: &str,
    bytes: &[u8],
    backend: &str,
) -> VersionResource {
    let file = format!("{name}-{version}.{extension}");
    let record = store(root, name, &file, bytes);
    VersionResource {
        id: module_id(name, version),
        object_name: format!("{name}-{}", version.replace('.', "-")),
        owner_uid: Some(format!("uid-{name}")),
        is_deleting: false,
        config_name: ConfigName::new(name).unwrap(),
        backend_path: format!("{backend}/{name}/{file}"),
        record,
        presign: None,
        previous: None,
        h1: None,
        protocols: Vec::new(),
        releases: Vec::new(),
    }
}

/// A stored, signed provider version for these platforms.
pub(crate) fn provider_versions(
    root: &Path,
    version: &str,
    platforms: &[(&str, &str)],
) -> Vec<VersionResource> {
    let name = ResourceName::new("widget").unwrap();
    let mut versions = Vec::new();
    let mut files = Vec::new();
    for (os, arch) in platforms {
        let bytes = package_bytes(version, os);
        let record = store(
            root,
            "widget",
            &format!("{version}-{os}-{arch}.zip"),
            &bytes,
        );
        let h1 = H1::of_files([("terraform-provider-widget", record.sha256)]);
        files.push(ReleaseFile {
            os: (*os).to_owned(),
            arch: (*arch).to_owned(),
            sha256: record.sha256,
            h1: h1.clone(),
            size: record.size,
        });
        versions.push(VersionResource {
            id: provider_id("widget", version, os, arch),
            object_name: format!("widget-{}-{os}-{arch}", version.replace('.', "-")),
            owner_uid: Some("uid-widget".to_owned()),
            is_deleting: false,
            config_name: ConfigName::new("widget").unwrap(),
            backend_path: String::new(),
            record,
            presign: None,
            previous: None,
            h1: Some(h1),
            protocols: vec!["5.0".to_owned(), "6.0".to_owned()],
            releases: Vec::new(),
        });
    }
    files.sort_by(|a, b| (&a.os, &a.arch).cmp(&(&b.os, &b.arch)));
    let text = release::sums_text(&name, &Version::parse(version).unwrap(), &files);
    let release = Release {
        id: release::release_id(&text),
        files,
        signature: STANDARD.encode(b"\x88\x00binary signature"),
        key_id: "0123456789ABCDEF".to_owned(),
        signed_at: 1_790_000_000,
    };
    for version in &mut versions {
        version.releases = vec![release.clone()];
    }
    versions
}

/// What every test starts from: module `network` (system `aws`) with two versions and one more
/// in each of the original's backends, `anysystem` as tar.gz, `empty` without versions; provider
/// `widget` with 1.2.0 for two platforms and 1.3.0 for one.
pub(crate) fn facts(root: &Path) -> (Snapshot, Bytes) {
    let namespace = || Namespace::new("team").unwrap();
    let module = |name: &str, system: Option<&str>| {
        Arc::new(ModuleResource {
            namespace: namespace(),
            name: ResourceName::new(name).unwrap(),
            uid: format!("uid-{name}"),
            system: system.map(str::to_owned),
        })
    };
    let provider = |name: &str| {
        Arc::new(ProviderResource {
            namespace: namespace(),
            name: ResourceName::new(name).unwrap(),
            uid: format!("uid-{name}"),
            deprecated: vec![(Version::parse("1.2.0").unwrap(), "use 1.3.0".to_owned())],
        })
    };
    let bytes: Vec<u8> = (0..5_000_u32).map(|index| (index % 251) as u8).collect();
    let azure = "azure/sub/group/account/https%3A%2F%2Faccount%2Eexample%2F";
    let directory = base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(root.to_str().unwrap());
    let file_system = format!("fileSystem/{directory}");
    let mut versions = vec![
        module_version(
            root,
            "network",
            "1.0.0",
            "zip",
            b"network 1.0.0",
            "plugin/storage-fs",
        ),
        module_version(root, "network", "1.1.0", "zip", &bytes, "plugin/storage-fs"),
        module_version(
            root,
            "network",
            "0.1.0",
            "zip",
            b"in s3",
            "s3/bucket/eu-west-1",
        ),
        module_version(root, "network", "0.2.0", "zip", b"in gcs", "gcs/bucket"),
        module_version(root, "network", "0.3.0", "zip", b"in azure", azure),
        module_version(
            root,
            "network",
            "0.4.0",
            "zip",
            b"in a folder",
            &file_system,
        ),
        module_version(
            root,
            "anysystem",
            "2.0.0",
            "tar.gz",
            b"tar bytes",
            "plugin/storage-fs",
        ),
    ];
    versions.extend(provider_versions(
        root,
        "1.2.0",
        &[("linux", "amd64"), ("darwin", "arm64")],
    ));
    versions.extend(provider_versions(root, "1.3.0", &[("linux", "amd64")]));
    let snapshot = Snapshot {
        modules: vec![
            module("network", Some("aws")),
            module("anysystem", None),
            module("empty", None),
        ],
        providers: vec![provider("widget"), provider("unpublished")],
        versions: versions.into_iter().map(Arc::new).collect(),
    };
    (snapshot, Bytes::from(bytes))
}
