//! Damage that serving found: written as a condition on the Version, so that it is seen where
//! operators look. What is missing is fetched again by the Version controller; what is damaged
//! stays for an administrator, whose `verify --repair` removes and fetches it.

use crate::context::Context;
use crate::error::Error;
use crate::events::Tone;
use crate::status;
use crate::version::{DAMAGED, condition_time};
use kube::Api;
use opendepot_crds::{ConditionType, MANAGER_VERSION, Reason, Version, conditions};
use std::sync::Arc;

/// Marks a Version whose recorded bytes could not be served.
///
/// # Errors
/// [`Error::Api`] when the control plane does not take the condition.
pub async fn mark(
    context: &Arc<Context>,
    namespace: &str,
    name: &str,
    is_missing: bool,
) -> Result<(), Error> {
    let api: Api<Version> = context.api(namespace);
    let Some(version) = api
        .get_opt(name)
        .await
        .map_err(Error::api("read a version"))?
    else {
        return Ok(());
    };
    let (type_, reason, message) = if is_missing {
        (
            ConditionType::ArtifactMissing,
            Reason::ArtifactMissing,
            "the stored bytes are gone",
        )
    } else {
        (
            ConditionType::ArtifactCorrupt,
            Reason::ArtifactCorrupt,
            DAMAGED,
        )
    };
    let mut after = version.status.clone().unwrap_or_default();
    let generation = version.metadata.generation;
    conditions::set(
        &mut after.conditions,
        type_,
        true,
        reason,
        message,
        generation,
        &condition_time(),
    );
    let before = version.status.as_ref();
    let written = status::patch(&api, &version, before, &after, MANAGER_VERSION).await?;
    if written.is_some() {
        let events = &context.events;
        events
            .say(&version, Tone::Warning, "Serve", reason, message)
            .await;
    }
    Ok(())
}
