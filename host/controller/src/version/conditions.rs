//! What a Version's status says: derived, so that every writer derives the same.

use super::intent::Refusal;
use super::{Surroundings, condition_time};
use opendepot_actors::reconciler::JobError;
use opendepot_crds::{
    ConditionStatus, ConditionType, Reason, SYNC_FAILED_MODULE, SYNC_FAILED_PROVIDER,
    SYNCED_VERSION, Time, Version, VersionStatus, conditions,
};
use opendepot_domain::{ArtifactKind, Sha256};

/// What [`ConditionType::ArtifactCorrupt`] says.
pub(crate) const DAMAGED: &str =
    "the stored bytes are not those recorded; `opendepot verify --repair` fetches them again";

/// Writes what the original's readers look at: projections of the record.
fn project(status: &mut VersionStatus) {
    let Some(artifact) = &status.artifact else {
        return;
    };
    status.archive_size_bytes = i64::try_from(artifact.size).ok();
    status.checksum = Sha256::from_hex(&artifact.sha256)
        .ok()
        .map(|digest| digest.to_base64());
}

/// Writes conditions of one generation at one moment.
pub(crate) struct Report<'a> {
    version: &'a Version,
    surroundings: &'a Surroundings,
    is_sealed: bool,
    now: Time,
}

impl<'a> Report<'a> {
    /// `is_sealed` says whether what the status records is ours.
    pub(crate) fn new(
        version: &'a Version,
        surroundings: &'a Surroundings,
        is_sealed: bool,
    ) -> Self {
        Self {
            version,
            surroundings,
            is_sealed,
            now: condition_time(),
        }
    }

    /// Whether there are good bytes to keep serving.
    const fn is_stored(&self, status: &VersionStatus) -> bool {
        self.is_sealed && status.artifact.is_some()
    }

    pub(crate) fn set(
        &self,
        status: &mut VersionStatus,
        type_: ConditionType,
        value: impl Into<ConditionStatus>,
        reason: Reason,
        message: &str,
    ) {
        let generation = self.version.metadata.generation;
        conditions::set(
            &mut status.conditions,
            type_,
            value,
            reason,
            message,
            generation,
            &self.now,
        );
        status.observed_generation = generation;
    }

    fn fetched(&self, status: &mut VersionStatus) {
        self.set(
            status,
            ConditionType::Fetched,
            true,
            Reason::Succeeded,
            "the source was fetched and inspected",
        );
    }

    /// The bytes are stored: what follows from that and from the releases.
    pub(crate) fn stored(&self, status: &mut VersionStatus, kind: ArtifactKind) {
        status.synced = true;
        let has_refused_change = conditions::find(&status.conditions, ConditionType::ContentDrift)
            .is_some_and(|drift| {
                drift.status == "True" && drift.reason == Reason::Immutable.as_str()
            });
        if !has_refused_change {
            status.sync_status = SYNCED_VERSION.to_owned();
        }
        self.fetched(status);
        self.set(
            status,
            ConditionType::Stored,
            true,
            Reason::Succeeded,
            "the bytes are stored",
        );
        let unscanned = ConditionStatus::Unknown;
        self.set(
            status,
            ConditionType::Scanned,
            unscanned,
            Reason::ScanDisabled,
            "scanning is not enabled",
        );
        for done in [ConditionType::Reconciling, ConditionType::Stalled] {
            conditions::remove(&mut status.conditions, done);
        }
        project(status);
        let (is_published, reason, message) = match kind {
            _ if conditions::is_true(&status.conditions, ConditionType::ArtifactCorrupt) => {
                (false, Reason::ArtifactCorrupt, DAMAGED)
            }
            ArtifactKind::Module if self.surroundings.has_parent => {
                (true, Reason::Published, "clients can have it")
            }
            ArtifactKind::Module => (false, Reason::NoModule, "there is no Module of this name"),
            ArtifactKind::Provider => self.signed(status),
        };
        self.set(
            status,
            ConditionType::Published,
            is_published,
            reason,
            message,
        );
        let ready = if is_published {
            Reason::Succeeded
        } else {
            reason
        };
        let message = if conditions::is_true(&status.conditions, ConditionType::ContentDrift) {
            format!("{message}; its source has other content now, see ContentDrift")
        } else {
            message.to_owned()
        };
        self.set(status, ConditionType::Ready, is_published, ready, &message);
        // What was found earlier, and is still so, is so for this generation too.
        for condition in &mut status.conditions {
            let is_ours = |type_: &ConditionType| type_.as_str() == condition.type_;
            if ConditionType::ALL.iter().any(is_ours) {
                condition.observed_generation = self.version.metadata.generation;
            }
        }
    }

    fn signed(&self, status: &mut VersionStatus) -> (bool, Reason, &'static str) {
        let spec = &self.version.spec;
        let is_listed = status.releases.first().is_some_and(|release| {
            release.files.iter().any(|file| {
                Some(file.os.as_str()) == spec.operating_system.as_deref()
                    && Some(file.arch.as_str()) == spec.architecture.as_deref()
            })
        });
        let unsigned = if self.surroundings.has_parent {
            (
                Reason::ReleaseIncomplete,
                "the release waits for every platform, and is then signed",
            )
        } else {
            (
                Reason::NoProvider,
                "no Provider owns this Version; one of this name that lists the version makes its own",
            )
        };
        let (reason, message) = if is_listed {
            (Reason::Succeeded, "a signed release lists this platform")
        } else {
            unsigned
        };
        self.set(status, ConditionType::Signed, is_listed, reason, message);
        if is_listed && self.surroundings.has_parent {
            (true, Reason::Published, "clients can have it")
        } else {
            (false, unsigned.0, unsigned.1)
        }
    }

    /// The input cannot work.
    pub(crate) fn refused(&self, status: &mut VersionStatus, refusal: &Refusal) {
        status.sync_status.clone_from(&refusal.message);
        let Refusal { reason, message } = refusal;
        self.set(status, ConditionType::Stalled, true, *reason, message);
        conditions::remove(&mut status.conditions, ConditionType::Reconciling);
        if self.is_stored(status) {
            self.set(status, ConditionType::Stale, true, *reason, message);
        } else {
            conditions::remove(&mut status.conditions, ConditionType::Fetched);
            self.unpublished(status, *reason, message);
        }
    }

    /// Nothing of ours is stored: whatever a status says beyond that is not so.
    fn unpublished(&self, status: &mut VersionStatus, reason: Reason, message: &str) {
        status.synced = false;
        for later in [
            ConditionType::SourceVerified,
            ConditionType::Scanned,
            ConditionType::Signed,
            ConditionType::ContentDrift,
            ConditionType::Stale,
        ] {
            conditions::remove(&mut status.conditions, later);
        }
        for summary in [
            ConditionType::Stored,
            ConditionType::Published,
            ConditionType::Ready,
        ] {
            self.set(status, summary, false, reason, message);
        }
    }

    /// A sync failed. What is published stays so: `Ready` keeps, `Stale` says why it is not fresh.
    pub(crate) fn failed(
        &self,
        status: &mut VersionStatus,
        kind: ArtifactKind,
        stage: ConditionType,
        error: &JobError,
    ) {
        let reason = super::reason(error.reason());
        let message = error.to_string();
        let prefix = match kind {
            ArtifactKind::Module => SYNC_FAILED_MODULE,
            ArtifactKind::Provider => SYNC_FAILED_PROVIDER,
        };
        let is_final = error.kind() == opendepot_domain::Kind::Invalid
            || reason == Reason::PlatformUnavailable;
        status.sync_status = format!("{prefix}{message}").chars().take(4_000).collect();
        if self.is_stored(status) {
            self.set(
                status,
                ConditionType::Stale,
                true,
                Reason::RefreshFailed,
                &message,
            );
            conditions::remove(&mut status.conditions, ConditionType::Reconciling);
            return;
        }
        if stage == ConditionType::Stored {
            self.fetched(status);
        } else {
            self.set(status, stage, false, reason, &message);
        }
        self.unpublished(status, reason, &message);
        if is_final {
            self.set(status, ConditionType::Stalled, true, reason, &message);
            conditions::remove(&mut status.conditions, ConditionType::Reconciling);
        } else {
            self.set(
                status,
                ConditionType::Reconciling,
                true,
                Reason::Progressing,
                "will be tried again",
            );
            conditions::remove(&mut status.conditions, ConditionType::Stalled);
        }
    }

    pub(crate) fn waiting(&self, status: &mut VersionStatus, message: &str) {
        self.set(
            status,
            ConditionType::Reconciling,
            true,
            Reason::Progressing,
            message,
        );
        if conditions::find(&status.conditions, ConditionType::Ready).is_none() {
            self.set(
                status,
                ConditionType::Ready,
                ConditionStatus::Unknown,
                Reason::Progressing,
                message,
            );
        }
    }
}
