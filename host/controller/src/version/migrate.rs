//! A `storageConfig` that changed: the bytes are copied to their new place, verified on the way,
//! recorded there, and only then leave the old one.
//!
//! The source is not asked: what is served stays byte for byte what it was. A kill anywhere repeats
//! the step: the new place is `pending` in the sealed status before the first byte goes there, and
//! the old one is afterwards, until it is empty.

use super::intent::Intent;
use super::{Turn, artifact};
use crate::error::Error;
use crate::events::Tone;
use crate::seal;
use kube::ResourceExt as _;
use kube::runtime::controller::Action;
use opendepot_actors::reconciler::JobError;
use opendepot_crds::{ConditionType, Reason, StatusArtifact, VersionStatus};
use opendepot_domain::seam::SeamError;
use opendepot_domain::{ArtifactRecord, Kind};
use parking_lot::Mutex;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Since when places that are no longer recorded as an artifact's wait for their removal, by
/// `namespace/name`: whoever was told of the old place a moment ago still reads there. Bounded by
/// the number of Versions.
#[derive(Debug, Default)]
pub(crate) struct Leaving(Mutex<HashMap<String, Instant>>);

impl Leaving {
    /// How long the removal has yet to wait; after a restart it begins anew.
    fn wait(&self, object: &str, grace: Duration) -> Option<Duration> {
        let mut since = self.0.lock();
        let began = *since.entry(object.to_owned()).or_insert_with(Instant::now);
        let left = grace.saturating_sub(began.elapsed());
        if left.is_zero() {
            since.remove(object);
            return None;
        }
        Some(left)
    }

    /// The wait is over, or begins anew: another place is left, or nothing is there any more.
    pub(super) fn forget(&self, object: &str) {
        self.0.lock().remove(object);
    }
}

/// `namespace/name`.
pub(super) fn object(version: &opendepot_crds::Version) -> String {
    let namespace = version.namespace().unwrap_or_default();
    format!("{namespace}/{}", version.name_any())
}

impl Turn<'_> {
    /// Brings the bytes of `record` to where the changed spec wants them. Nothing when they are there
    /// already, or when the spec did not change: an operator's new settings move nothing.
    pub(super) async fn migrate(
        &self,
        intent: &Intent,
        record: &ArtifactRecord,
    ) -> Result<Option<Action>, Error> {
        let Some(handled) = self.status().last_handled_sync else {
            return Ok(None);
        };
        if intent.is_of(&handled) {
            return Ok(None);
        }
        let reconciler = &self.context.options.reconciler;
        let (artifact, backend) = (artifact(intent, record), &intent.backend);
        let located = reconciler
            .locate(&backend.plugin, backend.backend_json.as_deref(), &artifact)
            .await;
        let wanted = match located {
            Ok(wanted) => wanted,
            Err(error) => return self.not_moved(intent, error).await.map(Some),
        };
        let place = StatusArtifact::from(&wanted);
        if place == StatusArtifact::from(record) {
            return Ok(None);
        }
        if let Some(holder) = super::other_holder(self.version, &place, self.context) {
            let message = format!("version `{holder}` holds the place `{}`", wanted.key);
            let kind = Kind::Conflict;
            let error = Arc::new(JobError::Storage(SeamError { kind, message }));
            return self.not_moved(intent, error).await.map(Some);
        }
        let mut status = self.status();
        if let Some(stale) = status.pending.take().filter(|stale| *stale != place)
            && let Err(error) = super::cleanup::erase_pending(self, intent, &stale).await
        {
            return self.not_moved(intent, error).await.map(Some);
        }
        status.pending = Some(place.clone());
        let version = self.write_sealed(&mut status).await?;
        let turn = Turn {
            version: version.as_ref().unwrap_or(self.version),
            ..*self
        };
        opendepot_transfer::fault::point("migrate.copy");
        let copied = reconciler
            .copy(record.clone(), wanted.clone(), artifact)
            .await;
        opendepot_transfer::fault::point("migrate.copy.done");
        if let Err(error) = copied {
            return turn.not_moved(intent, error).await.map(Some);
        }
        let mut after = turn.status();
        after.artifact = Some(place);
        after.pending = Some(StatusArtifact::from(record));
        // With another source too, that is looked at next.
        after.last_handled_sync = Some(intent.moved(&handled).unwrap_or(handled));
        turn.report().stored(&mut after, intent.id.kind);
        self.context.leaving.forget(&object(self.version));
        crate::metric::publish(turn.write_sealed(&mut after)).await?;
        let note = format!(
            "moved {} bytes from `{}` to `{}`",
            record.size, record.store, wanted.store
        );
        tracing::info!(
            artifact.sha256 = %record.sha256, artifact.key = %wanted.key,
            "{note}, of {}", intent.id
        );
        let events = &self.context.events;
        events
            .say(
                turn.version,
                Tone::Normal,
                "Store",
                Reason::Succeeded,
                &note,
            )
            .await;
        Ok(Some(Action::await_change()))
    }

    async fn not_moved(&self, intent: &Intent, error: Arc<JobError>) -> Result<Action, Error> {
        let report = self.report();
        self.fail(intent, &report, ConditionType::Stored, error)
            .await
    }

    /// Empties the place that is no artifact's any more, once nobody reads there; says how long that
    /// has yet to wait.
    pub(super) async fn leave(
        &self,
        intent: &Intent,
        status: &mut VersionStatus,
    ) -> Result<Option<Duration>, Error> {
        let Some(old) = &status.pending else {
            return Ok(None);
        };
        let object = object(self.version);
        let grace = self.context.options.grace;
        if let Some(wait) = self.context.leaving.wait(&object, grace) {
            return Ok(Some(wait));
        }
        if status.artifact.as_ref() != Some(old) {
            opendepot_transfer::fault::point("migrate.erase");
            super::cleanup::erase_pending(self, intent, old)
                .await
                .map_err(Error::Job)?;
            opendepot_transfer::fault::point("migrate.erase.done");
        }
        status.pending = None;
        Ok(None)
    }

    async fn write_sealed(
        &self,
        status: &mut VersionStatus,
    ) -> Result<Option<opendepot_crds::Version>, Error> {
        let keys = &self.context.options.artifact_keys;
        seal::apply(keys, self.version, status);
        self.write(status).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_place_that_is_left_has_a_wait_of_its_own() {
        let (leaving, grace) = (Leaving::default(), Duration::from_secs(3_600));
        assert!(leaving.wait("team/one", grace).is_some());
        assert_eq!(leaving.wait("team/one", Duration::ZERO), None, "over");
        assert!(leaving.wait("team/one", grace).is_some(), "the next begins");
        leaving.forget("team/one");
        assert!(leaving.0.lock().is_empty());
    }
}
