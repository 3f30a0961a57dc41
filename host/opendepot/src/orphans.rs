//! `verify --orphans`: what lies beside recorded artifacts and no Version records.
//!
//! Nothing is uploaded before a Version records its place, so there is little to find: what a
//! control plane knew that was restored from an older backup, what `deletion-policy: Retain` kept,
//! what an upload left that nobody began again. What bounds it: only folders in which some Version
//! records something are looked at, and only files named as this host names them are removed, when
//! they are older than a grace period and a second look at the control plane still knows nothing of
//! them.

use crate::verify::Verifier;
use anyhow::Context as _;
use kube::ResourceExt as _;
use opendepot_crds::{StatusArtifact, Version};
use opendepot_domain::{ArtifactRecord, FileName, Operation};
use opendepot_transfer::Sibling;
use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, SystemTime};
use uuid::Uuid;

/// What uploads and tries of a server leave behind is named so.
const LEFT_BEHIND: [&str; 2] = [".upload-", ".opendepot-probe-"];

/// A place in a store: plugin, store and key.
type Place = (String, String, String);

/// One object that no Version records.
pub(crate) struct Orphan {
    /// A record as a Version would have it.
    record: ArtifactRecord,
    sibling: Sibling,
    /// A Version that records something in the same folder.
    neighbour: Version,
}

/// What was found, and which folders could not be looked at.
#[derive(Default)]
pub(crate) struct Found {
    pub(crate) orphans: Vec<Orphan>,
    pub(crate) unlisted: Vec<String>,
}

impl Orphan {
    /// Where it is.
    pub(crate) fn shown(&self) -> String {
        let ArtifactRecord { store, key, .. } = &self.record;
        format!("{store} {key} ({} bytes)", self.sibling.size)
    }

    /// Whether this host gave it its name.
    fn is_ours(&self) -> bool {
        let name = self.sibling.name.as_str();
        let stem = name.strip_suffix(".zip").or(name.strip_suffix(".tar.gz"));
        let is_derived = stem
            .and_then(|stem| Uuid::try_parse(stem).ok())
            .is_some_and(|uuid| uuid.get_version_num() == 8);
        is_derived || LEFT_BEHIND.iter().any(|mark| name.contains(mark))
    }

    /// Why it is not removed, when it is not.
    pub(crate) fn stays(&self, grace: Duration, now: SystemTime) -> Option<&'static str> {
        let age = now.duration_since(self.sibling.modified);
        if !self.is_ours() {
            Some("its name is none that this registry gives")
        } else if age.is_ok_and(|age| age >= grace) {
            None
        } else {
            Some("it is younger than the grace period")
        }
    }
}

fn places(versions: &[Version]) -> impl Iterator<Item = (&Version, &StatusArtifact)> {
    versions.iter().flat_map(|version| {
        let status = version.status.as_ref();
        let recorded = status.map(|status| [&status.artifact, &status.pending, &status.previous]);
        recorded
            .into_iter()
            .flatten()
            .flatten()
            .map(move |place| (version, place))
    })
}

fn known(versions: &[Version]) -> BTreeSet<Place> {
    let place =
        |place: &StatusArtifact| (place.plugin.clone(), place.store.clone(), place.key.clone());
    places(versions)
        .map(|(_, recorded)| place(recorded))
        .collect()
}

/// Looks into every folder in which a Version records something.
pub(crate) async fn find(verifier: &Verifier, versions: &[Version]) -> Found {
    let mut folders: BTreeMap<(String, String, String), (&Version, ArtifactRecord)> =
        BTreeMap::new();
    for (version, place) in places(versions) {
        let (Ok(record), Some((folder, _))) =
            (ArtifactRecord::try_from(place), place.key.rsplit_once('/'))
        else {
            continue;
        };
        let folder = (place.plugin.clone(), place.store.clone(), folder.to_owned());
        folders.entry(folder).or_insert((version, record));
    }
    let (known, mut found) = (known(versions), Found::default());
    for ((plugin, store, folder), (version, record)) in folders {
        let siblings = match verifier.plan(version, &record, Operation::Get).await {
            Ok(plan) => verifier
                .stores
                .siblings(&plan)
                .await
                .map_err(|e| e.to_string()),
            Err(reason) => Err(reason),
        };
        let siblings = match siblings {
            Ok(siblings) => siblings,
            Err(reason) => {
                found.unlisted.push(format!("{store} {folder}: {reason}"));
                continue;
            }
        };
        for sibling in siblings {
            let key = format!("{folder}/{}", sibling.name);
            let Ok(file_name) = FileName::new(sibling.name.clone()) else {
                continue;
            };
            if !known.contains(&(plugin.clone(), store.clone(), key.clone())) {
                found.orphans.push(Orphan {
                    record: ArtifactRecord {
                        key,
                        file_name,
                        ..record.clone()
                    },
                    sibling,
                    neighbour: version.clone(),
                });
            }
        }
    }
    found
}

/// Removes one, unless a Version records it by now.
pub(crate) async fn remove(
    verifier: &Verifier,
    orphan: &Orphan,
    versions_now: &[Version],
) -> anyhow::Result<bool> {
    let ArtifactRecord {
        plugin, store, key, ..
    } = &orphan.record;
    let place = (plugin.to_string(), store.clone(), key.clone());
    if known(versions_now).contains(&place) {
        return Ok(false);
    }
    let (version, record) = (&orphan.neighbour, &orphan.record);
    let plan = verifier.plan(version, record, Operation::Delete).await;
    let plan = plan.map_err(anyhow::Error::msg)?;
    verifier
        .stores
        .delete(&plan)
        .await
        .with_context(|| format!("cannot remove {}", orphan.shown()))?;
    tracing::info!(
        target: "opendepot::audit",
        action = "remove-orphan",
        artifact.key = %key,
        k8s.namespace = %version.namespace().unwrap_or_default(),
        "removed `{key}` from `{store}`, which no version records"
    );
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::UNIX_EPOCH;

    fn orphan(name: &str) -> Orphan {
        Orphan {
            record: ArtifactRecord {
                plugin: "storage-fs".parse().unwrap(),
                store: "file:///".to_owned(),
                key: format!("vpc/{name}"),
                file_name: FileName::new(name.to_owned()).unwrap(),
                media_type: String::new(),
                size: 1,
                sha256: opendepot_domain::Sha256::of(b""),
            },
            sibling: Sibling {
                name: name.to_owned(),
                size: 1,
                modified: UNIX_EPOCH + Duration::from_secs(1_000),
            },
            neighbour: Version::new("vpc-1-0-0", Default::default()),
        }
    }

    #[test]
    fn only_old_files_with_names_of_ours_go() {
        let ours = "2917ab99-c93a-861b-afe6-eeb9507591d5.zip";
        let stays = |name: &str, at: u64| {
            let now = UNIX_EPOCH + Duration::from_secs(at);
            orphan(name).stays(Duration::from_secs(100), now)
        };
        assert_eq!(stays(ours, 1_100), None);
        assert_eq!(
            stays("2917ab99-c93a-861b-afe6-eeb9507591d5.tar.gz", 1_100),
            None
        );
        assert_eq!(stays(&format!("{ours}.upload-0190"), 1_100), None);
        assert!(stays(ours, 1_099).unwrap().contains("younger"));
        // Clocks differ: what was written later than now is young.
        assert!(stays(ours, 1).unwrap().contains("younger"));
        // As the original names its files, and as people do.
        for name in [
            "019726b3-c93a-761b-afe6-eeb9507591d5.zip",
            "vpc.zip",
            "notes.txt",
        ] {
            assert!(stays(name, 9_000).unwrap().contains("name"), "{name}");
        }
    }
}
