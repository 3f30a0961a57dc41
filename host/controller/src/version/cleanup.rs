//! Deletion: what this Version's sealed status records is removed, then the finalizer goes.

use super::Turn;
use super::intent::{self, Intent};
use crate::context::Context;
use crate::error::Error;
use crate::events::Tone;
use crate::index::is_retained;
use crate::owned::controller_of;
use crate::{seal, status};
use kube::api::{ListParams, Patch, PatchParams};
use kube::runtime::controller::Action;
use kube::{Api, Resource as _, ResourceExt as _};
use opendepot_actors::reconciler::JobError;
use opendepot_crds::{
    ConditionType, FINALIZER, MANAGER_VERSION, Reason, StatusArtifact, Time, Version, VersionType,
    conditions,
};
use opendepot_domain::{Artifact, ArtifactRecord};
use opendepot_identity::SealState;
use serde_json::json;
use std::sync::Arc;
use std::time::Duration;

/// Removes bytes and finalizer; anything but success or absence is "not yet" (S12).
pub(super) async fn run(
    version: &Version,
    api: &Api<Version>,
    context: &Context,
) -> Result<Action, Error> {
    if !version
        .finalizers()
        .iter()
        .any(|finalizer| finalizer == FINALIZER)
    {
        return Ok(Action::await_change());
    }
    let is_retained = is_retained(version);
    if !is_retained {
        if is_still_released(version, api).await? {
            // Its Provider signs a release without this platform first (contract.md 3).
            let message = "clients still get a release that lists this platform; it goes once one without it is signed";
            blocked(version, api, context, Reason::Waiting, message).await?;
            return Ok(Action::requeue(Duration::from_secs(1)));
        }
        if let Err(error) = erase(version, context).await {
            let reason = match &error {
                Error::Job(job) => super::reason(job.reason()),
                _ => Reason::InternalError,
            };
            blocked(version, api, context, reason, &error.to_string()).await?;
            return Err(error);
        }
    }
    let rest: Vec<&String> = version
        .finalizers()
        .iter()
        .filter(|finalizer| *finalizer != FINALIZER)
        .collect();
    let patch = json!({ "metadata": { "finalizers": rest, "resourceVersion": version.resource_version() } });
    let params = PatchParams {
        field_manager: Some(MANAGER_VERSION.to_owned()),
        ..PatchParams::default()
    };
    opendepot_transfer::fault::point("api.remove-finalizer");
    let answer = api
        .patch(&version.name_any(), &params, &Patch::Merge(&patch))
        .await;
    opendepot_transfer::fault::point("api.remove-finalizer.done");
    match answer {
        Ok(_) => {}
        Err(kube::Error::Api(status)) if status.code == 404 => {}
        Err(error) => return Err(Error::api("remove the finalizer")(error)),
    }
    context.leaving.forget(&super::migrate::object(version));
    tracing::info!(
        target: "opendepot::audit",
        action = "remove",
        k8s.namespace = %version.namespace().unwrap_or_default(),
        k8s.name = %version.name_any(),
        is_retained,
        "removed version `{}`", version.name_any()
    );
    Ok(Action::await_change())
}

/// A removal that waits longer than this is said to be blocked (reliability.md 11.5).
const OVERDUE_AFTER: Duration = Duration::from_secs(600);

fn is_overdue(deleted_at: Option<&Time>, now: i64) -> bool {
    let overdue_after = i64::try_from(OVERDUE_AFTER.as_secs()).unwrap_or(i64::MAX);
    deleted_at.is_some_and(|at| now.saturating_sub(at.0.as_second()) >= overdue_after)
}

/// Says why a removal takes so long, once it does.
async fn blocked(
    version: &Version,
    api: &Api<Version>,
    context: &Context,
    reason: Reason,
    message: &str,
) -> Result<(), Error> {
    let now = super::condition_time();
    if !is_overdue(
        version.meta().deletion_timestamp.as_ref(),
        now.0.as_second(),
    ) {
        return Ok(());
    }
    let mut after = version.status.clone().unwrap_or_default();
    conditions::set(
        &mut after.conditions,
        ConditionType::DeletionBlocked,
        true,
        reason,
        message,
        version.meta().generation,
        &now,
    );
    let before = version.status.as_ref();
    let written = status::patch(api, version, before, &after, MANAGER_VERSION).await?;
    if written.is_some() {
        tracing::warn!(
            k8s.namespace = %version.namespace().unwrap_or_default(),
            k8s.name = %version.name_any(),
            reason = reason.as_str(),
            "version `{}` waits for its removal: {message}", version.name_any()
        );
        let events = &context.events;
        events
            .say(version, Tone::Warning, "Delete", reason, message)
            .await;
    }
    Ok(())
}

/// Only what this object put is ever deleted: places that its own, sealed status records.
async fn erase(version: &Version, context: &Context) -> Result<(), Error> {
    if matches!(
        seal::check(&context.options.artifact_keys, version),
        SealState::Invalid
    ) {
        return Ok(());
    }
    let (Some(status), Ok((id, config_name))) = (&version.status, intent::identity(version)) else {
        return Ok(());
    };
    let put = [&status.artifact, &status.previous].map(|place| (place, false));
    for (place, is_pending) in put.into_iter().chain([(&status.pending, true)]) {
        let Some(place) = place else { continue };
        let Ok(record) = ArtifactRecord::try_from(place) else {
            continue;
        };
        let artifact = Artifact {
            id: id.clone(),
            config_name: config_name.clone(),
            file_name: record.file_name.clone(),
            media_type: record.media_type.clone(),
            size: record.size,
            sha256: record.sha256,
        };
        opendepot_transfer::fault::point("cleanup.erase");
        erase_place(version, context, place, (record, artifact), is_pending).await?;
        opendepot_transfer::fault::point("cleanup.erase.done");
    }
    Ok(())
}

/// Removes what a sync that did not end may have put.
pub(super) async fn erase_pending(
    turn: &Turn<'_>,
    intent: &Intent,
    place: &StatusArtifact,
) -> Result<(), Arc<JobError>> {
    erase_recorded(turn, intent, place, true).await
}

/// Removes the content that was replaced before the one that is replaced now.
pub(super) async fn erase_older(
    turn: &Turn<'_>,
    intent: &Intent,
    place: &StatusArtifact,
) -> Result<(), Arc<JobError>> {
    erase_recorded(turn, intent, place, false).await
}

async fn erase_recorded(
    turn: &Turn<'_>,
    intent: &Intent,
    place: &StatusArtifact,
    is_pending: bool,
) -> Result<(), Arc<JobError>> {
    let Ok(record) = ArtifactRecord::try_from(place) else {
        return Ok(());
    };
    let artifact = super::artifact(intent, &record);
    let (version, context) = (turn.version, turn.context);
    erase_place(version, context, place, (record, artifact), is_pending).await
}

async fn erase_place(
    version: &Version,
    context: &Context,
    place: &StatusArtifact,
    (record, artifact): (ArtifactRecord, Artifact),
    is_pending: bool,
) -> Result<(), Arc<JobError>> {
    let name = version.name_any();
    if let Some(holder) = super::other_holder(version, place, context) {
        tracing::warn!(k8s.name = %name, "the bytes of version `{name}` stay: `{holder}` holds their place too");
        return Ok(());
    }
    let reconciler = &context.options.reconciler;
    // An upload that was announced may never have begun: what is there may be somebody else's.
    if is_pending && !reconciler.probe(record.clone(), artifact.clone()).await? {
        return Ok(());
    }
    reconciler.erase(record, artifact).await
}

/// Whether a live sibling is still served under a release that lists this platform.
async fn is_still_released(version: &Version, api: &Api<Version>) -> Result<bool, Error> {
    let spec = &version.spec;
    let Some(owner) = controller_of(version).filter(|_| spec.type_ == VersionType::Provider) else {
        return Ok(false);
    };
    let fields = ListParams::default().fields(&format!("spec.version={}", spec.version));
    let siblings = api
        .list(&fields)
        .await
        .map_err(Error::api("list the sibling platforms"))?;
    Ok(siblings.items.iter().any(|sibling| {
        sibling.meta().deletion_timestamp.is_none()
            && controller_of(sibling).is_some_and(|other| other.uid == owner.uid)
            && sibling
                .status
                .as_ref()
                .and_then(|status| status.releases.first())
                .is_some_and(|release| {
                    release.files.iter().any(|file| {
                        Some(file.os.as_str()) == spec.operating_system.as_deref()
                            && Some(file.arch.as_str()) == spec.architecture.as_deref()
                    })
                })
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_removal_is_overdue_after_ten_minutes() {
        let at = |second| Time(k8s_openapi::jiff::Timestamp::from_second(second).unwrap());
        assert!(!is_overdue(None, 10_000));
        assert!(!is_overdue(Some(&at(9_401)), 10_000));
        assert!(is_overdue(Some(&at(9_400)), 10_000));
        assert!(!is_overdue(Some(&at(10_001)), 10_000));
    }
}
