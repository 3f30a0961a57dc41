//! What owners need to know of their Versions, kept from the one watch that also feeds the
//! registry: a reconcile of a Module with a thousand versions lists nothing.

use crate::release;
use crate::seal;
use crate::version::intent;
use kube::{Resource, ResourceExt as _};
use opendepot_crds::{
    ANNOTATION_DELETION_POLICY, ANNOTATION_REQUESTED_AT, ConditionType, DELETION_POLICY_RETAIN,
    LABEL_MODULE, LABEL_NAMESPACE, LABEL_PROVIDER, LABEL_PROVIDER_ARCH, LABEL_PROVIDER_OS, Version,
    VersionSpec, conditions,
};
use opendepot_domain::{ArtifactId, ArtifactKind, ReleaseFile, Sha256};
use opendepot_identity::{ArtifactKeys, SealState};
use parking_lot::RwLock;
use std::collections::HashMap;
use std::sync::Arc;

/// One owned Version, summed up.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Summary {
    pub(crate) namespace: String,
    pub(crate) name: String,
    pub(crate) uid: Option<String>,
    pub(crate) resource_version: Option<String>,
    pub(crate) owner: Owner,
    /// What it stands for: names can collide.
    pub(crate) id: Option<ArtifactId>,
    pub(crate) is_deleting: bool,
    /// Digest of what its owner decides in its spec.
    pub(crate) wish: Sha256,
    /// Whether `spec.fileName` still has to be copied from what is stored.
    pub(crate) lacks_file_name: bool,
    pub(crate) file_name: Option<String>,
    /// Our labels only.
    pub(crate) labels: Vec<(&'static str, String)>,
    pub(crate) requested_at: Option<String>,
    /// Whether its bytes stay when it goes.
    pub(crate) is_retained: bool,
    /// Nothing when it is ready, else why not.
    pub(crate) problem: Option<String>,
    /// Whether work on it goes on, or has not begun.
    pub(crate) is_progressing: bool,
    /// Whether its source has other content than what is stored.
    pub(crate) has_drifted: bool,
    /// Whether its source does not have this platform.
    pub(crate) is_unavailable: bool,
    /// The upstream key that signed it.
    pub(crate) signing_key: Option<String>,
    /// Its line in a release, once its bytes are stored under a valid seal.
    pub(crate) file: Option<ReleaseFile>,
    /// Ids of the releases that it carries, and when each was signed; newest first.
    pub(crate) releases: Vec<(String, i64)>,
}

/// The Module or Provider that controls a Version.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Owner {
    pub(crate) kind: ArtifactKind,
    pub(crate) name: String,
    pub(crate) uid: String,
}

/// The labels that owners set.
const LABELS: [&str; 5] = [
    LABEL_MODULE,
    LABEL_PROVIDER,
    LABEL_NAMESPACE,
    LABEL_PROVIDER_OS,
    LABEL_PROVIDER_ARCH,
];

impl Summary {
    /// Nothing for a Version that stands alone.
    pub(crate) fn of(keys: &ArtifactKeys, version: &Version) -> Option<Self> {
        let (kind, name, uid) = intent::owner(version)?;
        let status = version.status.as_ref();
        let list = status
            .map(|status| status.conditions.as_slice())
            .unwrap_or_default();
        let problem = match conditions::find(list, ConditionType::Ready) {
            Some(ready) if ready.status == "True" => None,
            Some(ready) => Some(ready.message.clone()),
            None => Some("not looked at yet".to_owned()),
        };
        let stored = status.and_then(|status| status.artifact.as_ref());
        let is_sealed = seal::check(keys, version) != SealState::Invalid;
        let labels = LABELS
            .iter()
            .filter_map(|key| Some((*key, version.labels().get(*key)?.clone())));
        Some(Self {
            namespace: version.namespace().unwrap_or_default(),
            name: version.name_any(),
            uid: version.uid(),
            resource_version: version.resource_version(),
            owner: Owner { kind, name, uid },
            id: intent::identity(version).ok().map(|(id, _)| id),
            is_deleting: version.metadata.deletion_timestamp.is_some(),
            wish: wish(&version.spec),
            lacks_file_name: is_sealed
                && stored.is_some_and(|stored| {
                    version.spec.file_name.as_ref() != Some(&stored.file_name)
                }),
            file_name: version.spec.file_name.clone(),
            labels: labels.collect(),
            requested_at: version.annotations().get(ANNOTATION_REQUESTED_AT).cloned(),
            is_retained: is_retained(version),
            is_progressing: conditions::is_true(list, ConditionType::Reconciling)
                || conditions::find(list, ConditionType::Ready).is_none(),
            has_drifted: conditions::is_true(list, ConditionType::ContentDrift),
            problem,
            is_unavailable: release::is_unavailable(list),
            signing_key: status.and_then(|status| status.source.as_ref()?.signing_key.clone()),
            file: if is_sealed {
                release::file(version)
            } else {
                None
            },
            releases: status
                .map(|status| {
                    status
                        .releases
                        .iter()
                        .map(|release| (release.id.clone(), release.signed_at))
                        .collect()
                })
                .unwrap_or_default(),
        })
    }
}

/// Whether an object says that bytes stay when it goes.
pub(crate) fn is_retained<K: Resource>(object: &K) -> bool {
    let policy = object.annotations().get(ANNOTATION_DELETION_POLICY);
    policy.is_some_and(|policy| policy == DELETION_POLICY_RETAIN)
}

/// Digest of the part of a Version's spec that its owner decides.
pub(crate) fn wish(spec: &VersionSpec) -> Sha256 {
    let decided = (&spec.module_config_ref, &spec.provider_config_ref);
    Sha256::of(&serde_json::to_vec(&decided).unwrap_or_default())
}

/// Summaries by owner, then by name.
#[derive(Debug, Default)]
pub(crate) struct Index {
    by_owner: RwLock<HashMap<String, HashMap<String, Arc<Summary>>>>,
}

impl Index {
    /// Everything that the owner with this uid controls.
    pub(crate) fn owned(&self, uid: &str) -> Vec<Arc<Summary>> {
        self.by_owner
            .read()
            .get(uid)
            .map(|owned| owned.values().cloned().collect())
            .unwrap_or_default()
    }

    /// Puts a summary in place of `before`, the one that the same object had.
    pub(crate) fn replace(&self, before: Option<&Summary>, after: Option<Arc<Summary>>) {
        let mut by_owner = self.by_owner.write();
        if let Some(before) = before
            && let Some(owned) = by_owner.get_mut(&before.owner.uid)
        {
            owned.remove(&before.name);
            if owned.is_empty() {
                by_owner.remove(&before.owner.uid);
            }
        }
        if let Some(after) = after {
            by_owner
                .entry(after.owner.uid.clone())
                .or_default()
                .insert(after.name.clone(), after);
        }
    }
}
