//! How many Versions stand where, for metrics: kept from the feed's watch, counted at a scrape.
//!
//! What bounds it: a few words an object. A name is kept as its hash.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::ResourceExt as _;
use opendepot_crds::{ConditionType, Reason, Version, conditions};
use opendepot_domain::{ArtifactKind, Namespace, ResourceName};
use parking_lot::Mutex;
use std::collections::hash_map::RandomState;
use std::collections::{HashMap, HashSet};
use std::hash::BuildHasher as _;

/// Where Versions stand, and which objects cannot be published at all.
#[derive(Debug, Default)]
pub(crate) struct Census {
    random: RandomState,
    versions: Mutex<HashMap<u64, Standing>>,
    invalid_owners: Mutex<HashSet<(ArtifactKind, u64)>>,
}

#[derive(Clone, Copy, Debug)]
struct Standing {
    kind: Option<ArtifactKind>,
    state: State,
    /// Since when it is not ready, Unix seconds.
    since: i64,
    is_invalid: bool,
}

/// One label each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum State {
    Ready,
    Pending,
    Failing,
    Stalled,
    /// Its source does not have this platform.
    Unavailable,
    Drifted,
    Damaged,
    Deleting,
}

impl State {
    const ALL: [Self; 8] = [
        Self::Ready,
        Self::Pending,
        Self::Failing,
        Self::Stalled,
        Self::Unavailable,
        Self::Drifted,
        Self::Damaged,
        Self::Deleting,
    ];

    const fn label(self) -> &'static str {
        match self {
            Self::Ready => "ready",
            Self::Pending => "pending",
            Self::Failing => "failing",
            Self::Stalled => "stalled",
            Self::Unavailable => "unavailable",
            Self::Drifted => "drifted",
            Self::Damaged => "damaged",
            Self::Deleting => "deleting",
        }
    }

    fn of(version: &Version) -> Self {
        if version.metadata.deletion_timestamp.is_some() {
            return Self::Deleting;
        }
        let Some(status) = &version.status else {
            return Self::Pending;
        };
        let list = &status.conditions;
        let is = |condition| conditions::is_true(list, condition);
        if is(ConditionType::ArtifactCorrupt) || is(ConditionType::ArtifactMissing) {
            return Self::Damaged;
        }
        if is(ConditionType::ContentDrift) {
            return Self::Drifted;
        }
        if crate::release::is_unavailable(list) {
            return Self::Unavailable;
        }
        if is(ConditionType::Stalled) {
            return Self::Stalled;
        }
        match conditions::find(list, ConditionType::Ready) {
            Some(ready) if ready.status == "True" => Self::Ready,
            Some(ready) if !is_waiting(&ready.reason) => Self::Failing,
            _ => Self::Pending,
        }
    }
}

/// Whether a reason says that the object's turn is to come.
fn is_waiting(reason: &str) -> bool {
    let waiting = [
        Reason::Pending,
        Reason::Progressing,
        Reason::Waiting,
        Reason::Busy,
    ];
    waiting.iter().any(|waiting| waiting.as_str() == reason)
}

impl Standing {
    fn of(version: &Version, is_sealed: bool) -> Self {
        let status = version.status.as_ref();
        let ready = status
            .and_then(|status| conditions::find(&status.conditions, ConditionType::Ready))
            .map(|ready| &ready.last_transition_time);
        let since = ready.or(version.metadata.creation_timestamp.as_ref());
        let is_recorded = status.is_some_and(|status| status.artifact.is_some());
        Self {
            kind: version.spec.kind().ok(),
            state: State::of(version),
            since: since.map_or(i64::MAX, |Time(at)| at.as_second()),
            is_invalid: crate::version::intent::identity(version).is_err()
                || (is_recorded && !is_sealed),
        }
    }

    const fn is_waited_for(&self) -> bool {
        matches!(self.state, State::Pending | State::Failing)
    }
}

impl Census {
    /// Notes a Version as it is now; `key` is `namespace/name`.
    pub(crate) fn note(&self, key: &str, version: &Version, is_sealed: bool) {
        let standing = Standing::of(version, is_sealed);
        self.versions.lock().insert(self.hash(key), standing);
    }

    /// A Version is gone.
    pub(crate) fn forget(&self, key: &str) {
        self.versions.lock().remove(&self.hash(key));
    }

    /// Only these Versions are left.
    pub(crate) fn retain(&self, keys: &HashSet<String>) {
        let kept: HashSet<u64> = keys.iter().map(|key| self.hash(key)).collect();
        self.versions.lock().retain(|hash, _| kept.contains(hash));
    }

    /// Notes a Module or Provider; one that is gone is not invalid.
    pub(crate) fn note_owner<K: kube::Resource>(
        &self,
        kind: ArtifactKind,
        owner: &K,
        is_there: bool,
    ) {
        let (namespace, name) = (owner.namespace().unwrap_or_default(), owner.name_any());
        let hash = self.hash(&format!("{namespace}/{name}"));
        let is_valid = Namespace::new(namespace).is_ok() && ResourceName::new(name).is_ok();
        let mut invalid = self.invalid_owners.lock();
        if is_there && !is_valid {
            invalid.insert((kind, hash));
        } else {
            invalid.remove(&(kind, hash));
        }
    }

    /// All owners of a kind are about to be noted anew.
    pub(crate) fn clear_owners(&self, kind: ArtifactKind) {
        self.invalid_owners
            .lock()
            .retain(|(other, _)| *other != kind);
    }

    fn hash(&self, key: &str) -> u64 {
        self.random.hash_one(key)
    }

    fn count(&self, now: i64) -> Totals {
        let mut totals = Totals::default();
        let mut oldest = now;
        for standing in self.versions.lock().values() {
            totals.num_invalid += u32::from(standing.is_invalid);
            if standing.is_waited_for() {
                oldest = oldest.min(standing.since);
            }
            if let Some(kind) = standing.kind {
                *totals.num_in.entry((kind, standing.state)).or_default() += 1;
            }
        }
        totals.oldest_waits = now.saturating_sub(oldest).max(0);
        totals
    }

    fn num_invalid_owners(&self, kind: ArtifactKind) -> usize {
        let invalid = self.invalid_owners.lock();
        invalid.iter().filter(|(other, _)| *other == kind).count()
    }

    /// Sets the gauges, for a scrape.
    pub(crate) fn show(&self, now: i64) {
        let totals = self.count(now);
        for kind in [ArtifactKind::Module, ArtifactKind::Provider] {
            for state in State::ALL {
                let count = totals
                    .num_in
                    .get(&(kind, state))
                    .copied()
                    .unwrap_or_default();
                metrics::gauge!(
                    "opendepot_versions", "kind" => kind.as_str(), "state" => state.label()
                )
                .set(f64::from(count));
            }
            metrics::gauge!("opendepot_invalid_objects", "kind" => kind.as_str())
                .set(self.num_invalid_owners(kind) as f64);
        }
        metrics::gauge!("opendepot_invalid_objects", "kind" => "version")
            .set(f64::from(totals.num_invalid));
        metrics::gauge!("opendepot_oldest_pending_sync_seconds").set(totals.oldest_waits as f64);
    }
}

/// The Versions of one moment.
#[derive(Debug, Default, PartialEq, Eq)]
struct Totals {
    num_in: HashMap<(ArtifactKind, State), u32>,
    num_invalid: u32,
    /// Seconds.
    oldest_waits: i64,
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn version(name: &str, status: &Value) -> Version {
        serde_json::from_value(json!({
            "apiVersion": "opendepot.defdev.io/v1alpha1",
            "kind": "Version",
            "metadata": {
                "name": name, "namespace": "team", "creationTimestamp": "1970-01-01T00:01:40Z",
            },
            "spec": {
                "type": "Module", "version": "1.0.0", "moduleConfigRef": { "name": "widget" },
            },
            "status": status,
        }))
        .unwrap()
    }

    fn conditions(list: &[(&str, &str, &str)]) -> Value {
        let list: Vec<Value> = list
            .iter()
            .map(|(condition, status, reason)| {
                json!({
                    "type": condition, "status": status, "reason": reason, "message": "",
                    "lastTransitionTime": "1970-01-01T00:02:00Z",
                })
            })
            .collect();
        json!({ "synced": false, "syncStatus": "", "conditions": list })
    }

    #[test]
    fn where_a_version_stands() {
        let ready = ("Ready", "True", "Published");
        let cases = [
            (json!(null), State::Pending),
            (conditions(&[("Ready", "False", "Waiting")]), State::Pending),
            (
                conditions(&[("Ready", "False", "SourceUnreachable")]),
                State::Failing,
            ),
            (
                conditions(&[
                    ("Ready", "False", "InvalidSpec"),
                    ("Stalled", "True", "InvalidSpec"),
                ]),
                State::Stalled,
            ),
            (
                conditions(&[("Stalled", "True", "PlatformUnavailable")]),
                State::Unavailable,
            ),
            (conditions(&[ready]), State::Ready),
            (
                conditions(&[ready, ("ContentDrift", "True", "ContentChanged")]),
                State::Drifted,
            ),
            (
                conditions(&[ready, ("ArtifactMissing", "True", "ArtifactMissing")]),
                State::Damaged,
            ),
        ];
        for (status, expected) in cases {
            assert_eq!(State::of(&version("a", &status)), expected, "{status}");
        }
    }

    #[test]
    fn versions_are_counted_as_they_come_and_go() {
        let census = Census::default();
        let note = |name: &str, status: &Value| {
            census.note(&format!("team/{name}"), &version(name, status), true);
        };
        note("new", &json!(null));
        note(
            "late",
            &conditions(&[("Ready", "False", "SourceUnreachable")]),
        );
        note("good", &conditions(&[("Ready", "True", "Published")]));
        let of = |state| (ArtifactKind::Module, state);
        let all = census.count(1_000);
        assert_eq!(all.num_in[&of(State::Pending)], 1);
        assert_eq!(all.num_in[&of(State::Failing)], 1);
        assert_eq!(all.num_in[&of(State::Ready)], 1);
        // Since it was made, 100 seconds into 1970.
        assert_eq!((all.oldest_waits, all.num_invalid), (900, 0));

        note("new", &conditions(&[("Ready", "True", "Published")]));
        census.forget("team/good");
        let some = census.count(1_000);
        assert_eq!(some.num_in[&of(State::Ready)], 1);
        // Since its condition changed.
        assert_eq!(some.oldest_waits, 880);

        census.retain(&HashSet::from(["team/new".to_owned()]));
        let one = census.count(1_000);
        assert_eq!((one.num_in.len(), one.oldest_waits), (1, 0));
    }

    #[test]
    fn a_status_of_somebody_else_and_a_name_that_cannot_be_are_invalid() {
        let census = Census::default();
        let place = json!({
            "plugin": "p", "store": "file:///", "key": "k", "fileName": "f.zip",
            "mediaType": "application/zip", "size": 7, "sha256": "a".repeat(64),
        });
        let mut status = conditions(&[]);
        status["artifact"] = place;
        census.note("team/a", &version("a", &status), true);
        assert_eq!(census.count(0).num_invalid, 0);
        census.note("team/a", &version("a", &status), false);
        assert_eq!(census.count(0).num_invalid, 1);

        let named = |name: &str| version(name, &json!(null));
        census.note_owner(ArtifactKind::Provider, &named("good"), true);
        census.note_owner(ArtifactKind::Provider, &named("bad/name"), true);
        assert_eq!(census.num_invalid_owners(ArtifactKind::Provider), 1);
        assert_eq!(census.num_invalid_owners(ArtifactKind::Module), 0);
        census.note_owner(ArtifactKind::Provider, &named("bad/name"), false);
        assert_eq!(census.num_invalid_owners(ArtifactKind::Provider), 0);
    }
}
