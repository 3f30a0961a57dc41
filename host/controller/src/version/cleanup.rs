//! Deletion: what this Version's sealed status records is removed, then the finalizer goes.

use super::intent::{self};
use crate::context::Context;
use crate::error::Error;
use crate::owned::controller_of;
use crate::seal;
use kube::api::{ListParams, Patch, PatchParams};
use kube::runtime::controller::Action;
use kube::{Api, Resource as _, ResourceExt as _};
use opendepot_crds::{
    ANNOTATION_DELETION_POLICY, DELETION_POLICY_RETAIN, FINALIZER, MANAGER_VERSION, Version,
    VersionType,
};
use opendepot_domain::{Artifact, ArtifactRecord};
use opendepot_identity::SealState;
use serde_json::json;
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
    let is_retained = version
        .annotations()
        .get(ANNOTATION_DELETION_POLICY)
        .is_some_and(|policy| policy == DELETION_POLICY_RETAIN);
    if !is_retained {
        if is_still_released(version, api).await? {
            // Its Provider signs a release without this platform first (contract.md 3).
            return Ok(Action::requeue(Duration::from_secs(1)));
        }
        erase(version, context).await?;
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
    for place in [&status.artifact, &status.pending, &status.previous]
        .into_iter()
        .flatten()
    {
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
        context.options.reconciler.erase(record, artifact).await?;
        opendepot_transfer::fault::point("cleanup.erase.done");
    }
    Ok(())
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
