//! Builds a catalog from a snapshot, re-rendering only what changed. No actix, no clock.

use super::catalog::{
    ByName, Catalog, Gone, Inputs, ModuleEntry, ModuleVersion, Package, ProviderEntry,
    ProviderVersion, ServedRelease, package_key,
};
use super::render;
use super::resource::{ModuleResource, ProviderResource, Snapshot, VersionResource};
use arc_swap::ArcSwapOption;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use opendepot_domain::artifact::provider_file_name;
use opendepot_domain::{ArtifactKind, Release, Sha256, Version, release};
use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

/// Capabilities minted for what is gone live at most this long.
const GONE_SECONDS: u64 = 600;

type Group = HashMap<(ArtifactKind, String, String), Vec<Arc<VersionResource>>>;

/// The next catalog. Entries whose inputs are the same objects as before are shared.
pub(super) fn build(previous: &Catalog, snapshot: Snapshot, now: u64) -> Catalog {
    let mut groups: Group = HashMap::new();
    for version in snapshot.versions {
        let id = &version.id;
        let key = (id.kind, id.namespace.to_string(), id.name.to_string());
        groups.entry(key).or_default().push(version);
    }
    for group in groups.values_mut() {
        group.sort_by_cached_key(|version| {
            (
                Reverse(version.id.version.clone()),
                version.id.platform.clone(),
                version.object_name.clone(),
            )
        });
    }
    let mut take = |kind, namespace: &str, name: &str| {
        groups
            .remove(&(kind, namespace.to_owned(), name.to_owned()))
            .unwrap_or_default()
    };

    let mut next = Catalog {
        generation: previous.generation + 1,
        ..Catalog::default()
    };
    for resource in snapshot.modules {
        let (namespace, name) = (resource.namespace.as_str(), resource.name.as_str());
        let mut versions = take(ArtifactKind::Module, namespace, name);
        // Its own, and those that stand alone; never one that claims another owner (T02).
        versions.retain(|version| {
            version
                .owner_uid
                .as_ref()
                .is_none_or(|uid| *uid == resource.uid)
        });
        let entry = match previous.module(namespace, name) {
            Some(entry) if entry.inputs.are(&resource, &versions) => Arc::clone(entry),
            _ => Arc::new(module_entry(&resource, versions)),
        };
        for version in entry.by_version.values() {
            next.by_backend_path
                .insert(version.backend_path.clone(), Arc::clone(version));
        }
        insert(&mut next.modules, namespace, name, entry);
    }
    for resource in snapshot.providers {
        let (namespace, name) = (resource.namespace.as_str(), resource.name.as_str());
        let mut versions = take(ArtifactKind::Provider, namespace, name);
        versions.retain(|version| version.owner_uid.as_ref() == Some(&resource.uid));
        let entry = match previous.provider(namespace, name) {
            Some(entry) if entry.inputs.are(&resource, &versions) => Arc::clone(entry),
            _ => Arc::new(provider_entry(&resource, versions)),
        };
        insert(&mut next.providers, namespace, name, entry);
    }
    next.gone = gone(previous, &next, now);
    next
}

fn insert<E>(to: &mut ByName<E>, namespace: &str, name: &str, entry: Arc<E>) {
    to.entry(namespace.to_owned())
        .or_default()
        .insert(name.to_owned(), entry);
}

fn module_entry(
    resource: &Arc<ModuleResource>,
    versions: Vec<Arc<VersionResource>>,
) -> ModuleEntry {
    let mut by_version = HashMap::new();
    // Its own come before those that stand alone, which must not take a published version's place.
    let (own, alone): (Vec<_>, Vec<_>) = versions
        .iter()
        .partition(|version| version.owner_uid.is_some());
    for version in own.into_iter().chain(alone) {
        // Build-metadata twins are one version; the first in order is the one served.
        by_version
            .entry(version.id.version.release_key())
            .or_insert_with(|| {
                Arc::new(ModuleVersion {
                    archive: render::archive_parameter(version),
                    resource: Arc::clone(version),
                })
            });
    }
    let mut listed: Vec<&Version> = by_version
        .values()
        .map(|version| &version.resource.id.version)
        .collect();
    listed.sort_unstable_by(|a, b| b.cmp(a));
    let versions_document = render::module_versions(&listed);
    ModuleEntry {
        system: resource.system.clone(),
        versions: versions_document,
        by_version,
        inputs: Inputs {
            resource: Arc::clone(resource),
            versions,
        },
    }
}

fn provider_entry(
    resource: &Arc<ProviderResource>,
    versions: Vec<Arc<VersionResource>>,
) -> ProviderEntry {
    let mut by_release: BTreeMap<Reverse<Version>, Vec<&Arc<VersionResource>>> = BTreeMap::new();
    for version in &versions {
        by_release
            .entry(Reverse(version.id.version.clone()))
            .or_default()
            .push(version);
    }
    let mut served: Vec<Arc<ProviderVersion>> = Vec::new();
    for (Reverse(version), platforms) in by_release {
        if served
            .iter()
            .any(|other| other.version.is_same_release(&version))
        {
            continue;
        }
        served.extend(provider_version(&version, &platforms).map(Arc::new));
    }
    ProviderEntry {
        versions: render::provider_versions(&served, &resource.deprecated),
        by_version: served
            .into_iter()
            .map(|version| (version.version.release_key(), version))
            .collect(),
        inputs: Inputs {
            resource: Arc::clone(resource),
            versions,
        },
    }
}

/// A version is served under the newest release that every Version listed in it carries
/// (contract.md 3, *Releases*); an older complete one still answers its capabilities.
fn provider_version(
    version: &Version,
    platforms: &[&Arc<VersionResource>],
) -> Option<ProviderVersion> {
    let mut candidates: Vec<&Release> = Vec::new();
    for release in platforms.iter().flat_map(|platform| &platform.releases) {
        if !candidates.iter().any(|other| other.id == release.id) {
            candidates.push(release);
        }
    }
    // Newest is what stands first, not what was signed last: an older release that is wanted
    // again comes back as it was signed.
    let rank = |release: &Release| {
        let positions = platforms.iter().filter_map(|platform| {
            let mut carried = platform.releases.iter();
            carried.position(|other| other.id == release.id)
        });
        positions.max()
    };
    candidates.sort_by_key(|release| {
        (
            rank(release),
            Reverse(release.signed_at),
            release.id.clone(),
        )
    });
    let releases: Vec<ServedRelease> = candidates
        .into_iter()
        .filter_map(|release| served_release(version, release, platforms))
        .collect();
    let newest = releases.first()?;
    let mut protocols: Vec<String> = platforms
        .iter()
        .filter(|platform| {
            newest
                .packages
                .iter()
                .any(|package| package.id == platform.id)
        })
        .flat_map(|platform| platform.protocols.iter().cloned())
        .collect();
    protocols.sort();
    protocols.dedup();
    Some(ProviderVersion {
        version: version.clone(),
        protocols,
        releases,
    })
}

/// Nothing unless every listed platform is there with the listed digest and carries the release,
/// and the release's text has the id that was signed.
fn served_release(
    version: &Version,
    release: &Release,
    platforms: &[&Arc<VersionResource>],
) -> Option<ServedRelease> {
    let mut packages = Vec::with_capacity(release.files.len());
    let mut has_live_platform = false;
    for file in &release.files {
        let platform = platforms.iter().find(|candidate| {
            candidate
                .id
                .platform
                .as_ref()
                .is_some_and(|p| p.os() == file.os && p.arch() == file.arch)
                && candidate
                    .releases
                    .iter()
                    .any(|carried| carried.id == release.id)
        })?;
        let records = std::iter::once(&platform.record).chain(&platform.previous);
        let record = records
            .into_iter()
            .find(|record| record.sha256 == file.sha256)?;
        has_live_platform |= !platform.is_deleting;
        let target = platform.id.platform.clone()?;
        packages.push(Package {
            id: platform.id.clone(),
            file_name: provider_file_name(&platform.id.name, version, &target),
            platform: target,
            record: record.clone(),
            presign: platform.presign,
            h1: file.h1.to_string(),
            object_name: platform.object_name.clone(),
            config_name: platform.config_name.clone(),
            document: ArcSwapOption::empty(),
        });
    }
    if !has_live_platform {
        return None;
    }
    let name = &packages.first()?.id.name;
    let text = release::sums_text(name, version, &release.files);
    if release::release_id(&text) != release.id {
        tracing::error!(release = %release.id, "release of `{name}` `{version}` does not have the id that was signed");
        return None;
    }
    packages.sort_by(|a, b| a.platform.cmp(&b.platform));
    Some(ServedRelease {
        id: release.id.clone(),
        digest: Sha256::from_hex(&release.id).ok()?,
        sums: Bytes::from(text),
        signature: Bytes::from(STANDARD.decode(&release.signature).ok()?),
        key_id: release.key_id.clone(),
        packages,
    })
}

/// What `previous` served and `next` does not, while capabilities for it can be alive.
fn gone(previous: &Catalog, next: &Catalog, now: u64) -> HashMap<String, Gone> {
    let mut gone: HashMap<String, Gone> = previous
        .gone
        .iter()
        .filter(|(key, gone)| gone.until > now && !served(next, key, gone))
        .map(|(key, gone)| (key.clone(), gone.clone()))
        .collect();
    let until = now + GONE_SECONDS;
    for (path, version) in &previous.by_backend_path {
        if !next.by_backend_path.contains_key(path) {
            let entry = Gone {
                id: version.id.clone(),
                sha256: version.record.sha256,
                releases: vec![String::new()],
                until,
            };
            gone.insert(path.clone(), entry);
        }
    }
    for (namespace, name, entry) in flat(&previous.providers) {
        if next
            .provider(namespace, name)
            .is_some_and(|now_served| Arc::ptr_eq(now_served, entry))
        {
            continue;
        }
        for version in entry.by_version.values() {
            let releases: Vec<String> = version
                .releases
                .iter()
                .map(|release| release.id.clone())
                .collect();
            // Of a platform in several releases the newest package is written last, and stays.
            for package in version
                .releases
                .iter()
                .rev()
                .flat_map(|release| &release.packages)
            {
                let (os, arch) = (package.platform.os(), package.platform.arch());
                let key = package_key(namespace, name, &version.version, os, arch);
                let entry = Gone {
                    id: package.id.clone(),
                    sha256: package.record.sha256,
                    releases: releases.clone(),
                    until,
                };
                if !served(next, &key, &entry) {
                    gone.insert(key, entry);
                }
            }
        }
    }
    gone
}

fn flat<E>(by_name: &ByName<E>) -> impl Iterator<Item = (&str, &str, &Arc<E>)> {
    by_name.iter().flat_map(|(namespace, names)| {
        names
            .iter()
            .map(move |(name, entry)| (namespace.as_str(), name.as_str(), entry))
    })
}

fn served(catalog: &Catalog, key: &str, gone: &Gone) -> bool {
    match &gone.id.platform {
        None => catalog.by_backend_path.contains_key(key),
        Some(platform) => catalog
            .provider(gone.id.namespace.as_str(), gone.id.name.as_str())
            .and_then(|entry| entry.version(&gone.id.version))
            .and_then(|version| version.releases.first())
            .is_some_and(|release| release.package(platform.os(), platform.arch()).is_some()),
    }
}
