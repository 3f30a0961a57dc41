//! One sync: fetch, compare, scan, place, store, record. Every step is idempotent and keyed by
//! digest; a crash anywhere repeats it.

use super::conditions::Report;
use super::drift::Comparison;
use super::intent::Intent;
use super::{Turn, artifact};
use crate::context::unix_now;
use crate::error::Error;
use crate::events::Tone;
use crate::{readme, seal};
use kube::runtime::controller::Action;
use kube::{Api, ResourceExt as _};
use opendepot_actors::reconciler::{Fetched, JobError, Origin, ProviderOrigin};
use opendepot_crds as crds;
use opendepot_crds::{
    ConditionType, Provider, Reason, StatusArtifact, Verdict, VersionSource, VersionStatus,
    conditions,
};
use opendepot_domain::scan::Scope;
use opendepot_domain::seam::SeamError;
use opendepot_domain::{Artifact, ArtifactKind, ArtifactRecord, Kind, Sha256};
use opendepot_identity::SealState;
use opendepot_scanning::ScanRequest;
use std::sync::Arc;

impl Turn<'_> {
    /// Runs one sync. `stored` is what the sealed status records.
    pub(super) async fn ingest(
        &self,
        intent: &Intent,
        stored: Option<ArtifactRecord>,
        token: &str,
    ) -> Result<Action, Error> {
        let reconciler = &self.context.options.reconciler;
        let report = self.report();
        let origin = self.pinned(intent).await?;
        opendepot_transfer::fault::point("sync.fetch");
        let namespace = self.version.namespace().unwrap_or_default();
        let object = format!("{namespace}/{}", self.version.name_any());
        let fetched = tokio::select! {
            fetched = reconciler.fetch(&intent.id, origin) => fetched,
            // Its removal is next: the event that told of it waits for this turn to end.
            () = self.context.feed.doomed(&object) => return Ok(Action::await_change()),
        };
        let fetched = match fetched {
            Ok(fetched) => fetched,
            Err(error) => {
                return self
                    .fail(intent, &report, ConditionType::Fetched, error)
                    .await;
            }
        };
        opendepot_transfer::fault::point("sync.fetch.done");
        self.scan(intent, &fetched).await?;
        let is_missing = match &stored {
            None => true,
            Some(record) => match reconciler
                .probe(record.clone(), artifact(intent, record))
                .await
            {
                Ok(is_there) => !is_there,
                Err(error) => return Err(Error::Job(error)),
            },
        };
        let comparison = self
            .compare(intent, stored.as_ref(), &fetched, is_missing)
            .await?;
        match comparison {
            Comparison::Store => {
                self.store(intent, stored.filter(|_| !is_missing), None, fetched, token)
                    .await
            }
            Comparison::Replace => self.store(intent, None, stored, fetched, token).await,
            Comparison::Same => self.unchanged(intent, &report, &fetched, token).await,
            Comparison::Drift => self.drifted(intent, &report, &fetched, token).await,
            Comparison::Immutable => {
                let text = format!("{}'{}'", crds::SYNC_IMMUTABLE, fetched.sha256.to_base64());
                self.differs(&report, Reason::Immutable, text.clone(), Some(text), token)
                    .await
            }
            Comparison::OtherSource => {
                let message = "the repository of this name is another one than the version was published from; \
                               the stored bytes stay"
                    .to_owned();
                self.differs(&report, Reason::SourceIdentityChanged, message, None, token)
                    .await
            }
        }
    }

    /// Asks for a scan before anything is stored. There is no scanner yet; its place is here, and
    /// no report is no clean report: the conditions say that nothing was scanned.
    async fn scan(&self, intent: &Intent, fetched: &Fetched) -> Result<(), Error> {
        let scope = match intent.id.kind {
            ArtifactKind::Module => Scope::Module,
            ArtifactKind::Provider => Scope::ProviderBinary,
        };
        let request = ScanRequest {
            file: fetched.path().to_owned(),
            scope,
        };
        match self.context.options.scanner.scan(request).await {
            Ok(Err(opendepot_scanning::Error::NotConfigured { .. })) => Ok(()),
            Ok(Err(error)) => Err(Error::Internal {
                attempt: "scan",
                reason: error.to_string(),
            }),
            // A report would be judged by the scan plugins here (roadmap 5).
            Ok(Ok(_)) => Ok(()),
            Err(error) => Err(Error::Job(Arc::new(JobError::Actor(error)))),
        }
    }

    /// Places and stores fetched bytes, and publishes them by recording it.
    async fn store(
        &self,
        intent: &Intent,
        kept: Option<ArtifactRecord>,
        replaced: Option<ArtifactRecord>,
        fetched: Arc<Fetched>,
        token: &str,
    ) -> Result<Action, Error> {
        let reconciler = &self.context.options.reconciler;
        let report = self.report();
        let sealed = !matches!(
            seal::check(&self.context.options.artifact_keys, self.version),
            SealState::Invalid
        );
        let named = intent.file_name.clone().filter(|_| replaced.is_none());
        let wanted = match self.artifact(intent, named, &fetched) {
            Ok(wanted) => wanted,
            Err(error) => return Err(error),
        };
        let record = match kept {
            Some(record) => record,
            None => match reconciler
                .locate(
                    &intent.backend.plugin,
                    intent.backend.backend_json.as_deref(),
                    &wanted,
                )
                .await
            {
                Ok(record) => record,
                Err(error) => {
                    return self
                        .fail(intent, &report, ConditionType::Stored, error)
                        .await;
                }
            },
        };

        let holder =
            super::other_holder(self.version, &StatusArtifact::from(&record), self.context);
        if let Some(holder) = holder {
            let message = format!("version `{holder}` holds the place `{}`", record.key);
            let kind = Kind::Conflict;
            let error = Arc::new(JobError::Storage(SeamError { kind, message }));
            return self
                .fail(intent, &report, ConditionType::Stored, error)
                .await;
        }

        // Recorded before the first byte is uploaded, so that a crash leaves nothing unaccounted.
        let mut pending = if sealed {
            self.status()
        } else {
            unsealed(self.status())
        };
        let stale = pending
            .pending
            .take()
            .filter(|old| *old != StatusArtifact::from(&record));
        if let Some(stale) = &stale {
            opendepot_transfer::fault::point("sync.erase");
            if let Err(error) = super::cleanup::erase_pending(self, intent, stale).await {
                return self
                    .fail(intent, &report, ConditionType::Stored, error)
                    .await;
            }
            opendepot_transfer::fault::point("sync.erase.done");
        }
        pending.pending = Some(StatusArtifact::from(&record));
        report.waiting(&mut pending, "storing the bytes");
        seal::apply(
            &self.context.options.artifact_keys,
            self.version,
            &mut pending,
        );
        let version = self.write(&pending).await?;
        let version = version.as_ref().unwrap_or(self.version);
        let turn = Turn {
            version,
            api: self.api,
            context: self.context,
            surroundings: self.surroundings,
        };

        opendepot_transfer::fault::point("sync.store");
        let stored = reconciler
            .store(record.clone(), wanted, Arc::clone(&fetched))
            .await;
        opendepot_transfer::fault::point("sync.store.done");
        if let Err(error) = stored {
            return turn
                .fail(intent, &report, ConditionType::Stored, error)
                .await;
        }
        if replaced.is_some()
            && let Some(older) = &turn.status().previous
            && *older != StatusArtifact::from(&record)
        {
            // Only one replaced content is kept; what went before would be left behind.
            opendepot_transfer::fault::point("sync.erase");
            if let Err(error) = super::cleanup::erase_older(&turn, intent, older).await {
                return turn
                    .fail(intent, &report, ConditionType::Stored, error)
                    .await;
            }
            opendepot_transfer::fault::point("sync.erase.done");
        }
        let mut after = turn.status();
        turn.record(
            intent,
            &record,
            replaced.as_ref(),
            &fetched,
            &mut after,
            token,
        )
        .await?;
        let report = turn.report();
        turn.describe_source(&report, &fetched, &mut after);
        report.stored(&mut after, intent.id.kind);
        seal::apply(&self.context.options.artifact_keys, version, &mut after);
        crate::metric::publish(turn.write(&after)).await?;
        tracing::info!(
            artifact.sha256 = %record.sha256, artifact.size_bytes = record.size, artifact.key = %record.key,
            "stored {}", intent.id
        );
        let mut reason = Reason::Succeeded;
        if replaced.is_some() {
            reason = Reason::ContentAccepted;
            tracing::warn!(target: "opendepot::audit", action = "accept-content", artifact.sha256 = %record.sha256, "approved content change of {}", intent.id);
        }
        let note = format!("stored {} bytes, sha256:{}", record.size, record.sha256);
        let events = &self.context.events;
        events
            .say(version, Tone::Normal, "Store", reason, &note)
            .await;
        Ok(Action::await_change())
    }

    fn artifact(
        &self,
        intent: &Intent,
        named: Option<opendepot_domain::FileName>,
        fetched: &Fetched,
    ) -> Result<Artifact, Error> {
        let derived = || {
            opendepot_domain::artifact::derived_file_name(
                &intent.id,
                &fetched.sha256,
                fetched.extension,
            )
            .map_err(|error| Error::Internal {
                attempt: "name the stored file",
                reason: error.to_string(),
            })
        };
        Ok(Artifact {
            id: intent.id.clone(),
            config_name: intent.config_name.clone(),
            file_name: named.map_or_else(derived, Ok)?,
            media_type: fetched.media_type.to_owned(),
            size: fetched.size,
            sha256: fetched.sha256,
        })
    }

    async fn record(
        &self,
        intent: &Intent,
        record: &ArtifactRecord,
        replaced: Option<&ArtifactRecord>,
        fetched: &Fetched,
        after: &mut VersionStatus,
        token: &str,
    ) -> Result<(), Error> {
        after.artifact = Some(StatusArtifact::from(record));
        after.pending = None;
        if let Some(replaced) = replaced {
            after.previous = Some(StatusArtifact::from(replaced));
        }
        after.sha256 = Some(record.sha256.to_string());
        after.h1 = fetched.h1.as_ref().map(ToString::to_string);
        after.protocols.clone_from(&fetched.protocols);
        after
            .published_at
            .get_or_insert_with(|| crds::rfc3339(unix_now()));
        after.last_handled_sync = Some(token.to_owned());
        let text = |digest: Option<Sha256>| digest.map(|digest| digest.to_string());
        let source = &fetched.source;
        after.source = Some(VersionSource {
            commit: source.commit.clone(),
            tag: source.tag.clone(),
            tree_digest: text(fetched.tree_digest),
            repository_id: source.repository_id,
            url: source.url.clone(),
            upstream_sha256: text(source.upstream_sha256),
            signing_key: source.signing_key.clone(),
        });
        after.verdict = Some(Verdict {
            result: crds::VerdictResult::Publish,
            reason: "scanning is not enabled".to_owned(),
        });
        self.keep_readme(intent, fetched, after).await
    }

    async fn keep_readme(
        &self,
        intent: &Intent,
        fetched: &Fetched,
        after: &mut VersionStatus,
    ) -> Result<(), Error> {
        if let (ArtifactKind::Module, Some(text)) = (intent.id.kind, &fetched.readme) {
            after.readme_config_map_ref =
                readme::write(self.context, self.version, intent, text).await?;
        }
        Ok(())
    }

    fn describe_source(&self, report: &Report<'_>, fetched: &Fetched, after: &mut VersionStatus) {
        let (value, message) = match &fetched.source.signing_key {
            Some(key) => (
                true,
                format!("the source's digest and its signature by `{key}` hold"),
            ),
            None => (
                fetched.source.is_verified,
                fetched.source.verification.clone(),
            ),
        };
        let reason = if value {
            Reason::Succeeded
        } else {
            Reason::Unsigned
        };
        report.set(
            after,
            ConditionType::SourceVerified,
            value,
            reason,
            &message,
        );
        let assumed = fetched.are_protocols_assumed;
        let message = "no manifest says which protocols this provider speaks; 5.0 is assumed";
        report.set(
            after,
            ConditionType::ProtocolsAssumed,
            assumed,
            Reason::NoManifest,
            message,
        );
        let healed = [
            ConditionType::ArtifactMissing,
            ConditionType::ArtifactCorrupt,
        ];
        for over in [ConditionType::ContentDrift, ConditionType::Stale]
            .into_iter()
            .chain(healed)
        {
            conditions::remove(&mut after.conditions, over);
        }
    }

    async fn unchanged(
        &self,
        intent: &Intent,
        report: &Report<'_>,
        fetched: &Fetched,
        token: &str,
    ) -> Result<Action, Error> {
        let mut after = self.status();
        after.last_handled_sync = Some(token.to_owned());
        // Damage that is still there is found, and said, again when it is served next.
        for over in [
            ConditionType::ContentDrift,
            ConditionType::Stale,
            ConditionType::ArtifactCorrupt,
        ] {
            conditions::remove(&mut after.conditions, over);
        }
        self.keep_readme(intent, fetched, &mut after).await?;
        report.stored(&mut after, intent.id.kind);
        seal::apply(
            &self.context.options.artifact_keys,
            self.version,
            &mut after,
        );
        self.write(&after).await?;
        Ok(Action::await_change())
    }

    /// Writes why a step failed and lets the object back off.
    pub(super) async fn fail(
        &self,
        intent: &Intent,
        report: &Report<'_>,
        stage: ConditionType,
        error: Arc<JobError>,
    ) -> Result<Action, Error> {
        if error.kind() == Kind::Busy && error.retry_after_seconds().is_none() {
            // Waiting for a turn is no news: nothing is written.
            return Err(Error::Job(error));
        }
        let mut after = self.status();
        // Other bytes are at that place: ours never were, and theirs must not be removed as ours.
        let is_taken = stage == ConditionType::Stored && error.kind() == Kind::Conflict;
        if is_taken && after.pending.take().is_some() {
            let keys = &self.context.options.artifact_keys;
            if seal::check(keys, self.version) != SealState::Invalid {
                seal::apply(keys, self.version, &mut after);
            }
        }
        report.failed(&mut after, intent.id.kind, stage, &error);
        if self.write(&after).await?.is_some() {
            let reason = super::reason(error.reason());
            self.warn("Sync", reason, &error.to_string()).await;
        }
        if super::reason(error.reason()) == Reason::PlatformUnavailable {
            // The source does not have it: nothing to try again until somebody asks.
            return Ok(Action::await_change());
        }
        Err(Error::Job(error))
    }

    /// The origin, with the signing keys that its Provider has pinned when the spec names none.
    async fn pinned(&self, intent: &Intent) -> Result<Origin, Error> {
        let mut origin = intent.origin.clone();
        if let Origin::Provider {
            source: ProviderOrigin::Registry { key_ids, .. },
        } = &mut origin
            && key_ids.is_empty()
        {
            let api: Api<Provider> = self.context.api(intent.id.namespace.as_str());
            let provider = api
                .get_opt(intent.id.name.as_str())
                .await
                .map_err(Error::api("read the provider"))?;
            *key_ids = provider
                .and_then(|provider| provider.status)
                .map(|status| status.pinned_signing_keys)
                .unwrap_or_default();
        }
        Ok(origin)
    }
}

/// A status whose seal is not ours counts as not stored: nothing of what serving reads is kept.
fn unsealed(mut status: VersionStatus) -> VersionStatus {
    let fresh = VersionStatus::default();
    status.artifact = fresh.artifact;
    status.pending = fresh.pending;
    status.previous = fresh.previous;
    status.seal = fresh.seal;
    status.sha256 = fresh.sha256;
    status.checksum = fresh.checksum;
    status.h1 = fresh.h1;
    status.protocols = fresh.protocols;
    status.releases = fresh.releases;
    status.verdict = fresh.verdict;
    status.published_at = fresh.published_at;
    status.source = fresh.source;
    status.synced = false;
    status
}
