//! Kinds that nobody acts on in this version. An object that waits in silence looks like one that
//! is about to work, so each says once that it will not.

use crate::context::Context;
use crate::error::Error;
use crate::events::Tone;
use crate::status;
use crate::version::condition_time;
use kube::runtime::controller::Action;
use kube::{Api, Resource as _, ResourceExt as _};
use opendepot_crds::{Condition, ConditionType, Depot, MANAGER_DEPOT, Reason, conditions};
use std::sync::Arc;

const DEPOT: &str = "this version looks for nothing upstream: the Depot is kept and nobody acts on it; \
                     list versions in Modules and Providers";
/// Says that nobody acts on a Depot.
pub(crate) async fn depot(depot: Arc<Depot>, context: Arc<Context>) -> Result<Action, Error> {
    let api: Api<Depot> = context.api(&depot.namespace().unwrap_or_default());
    let mut after = depot.status.clone().unwrap_or_default();
    let generation = depot.meta().generation;
    say(
        &mut after.conditions,
        &[ConditionType::Ready],
        DEPOT,
        generation,
    );
    after.observed_generation = generation;
    let before = depot.status.as_ref();
    if status::patch(&api, depot.as_ref(), before, &after, MANAGER_DEPOT)
        .await?
        .is_some()
    {
        warn(&context, "depot", depot.as_ref(), DEPOT).await;
    }
    Ok(Action::await_change())
}

/// `Stalled` tells tools that wait for an object to stop waiting.
fn say(list: &mut Vec<Condition>, types: &[ConditionType], message: &str, generation: Option<i64>) {
    let (reason, now) = (Reason::NotBuilt, condition_time());
    for type_ in types {
        conditions::set(list, *type_, false, reason, message, generation, &now);
    }
    conditions::set(
        list,
        ConditionType::Stalled,
        true,
        reason,
        message,
        generation,
        &now,
    );
}

async fn warn<K>(context: &Context, kind: &'static str, object: &K, message: &'static str)
where
    K: kube::Resource<DynamicType = ()>,
{
    let (namespace, name) = (object.namespace().unwrap_or_default(), object.name_any());
    tracing::warn!(
        k8s.namespace = %namespace,
        k8s.name = %name,
        reason = Reason::NotBuilt.as_str(),
        "nothing is done for {kind} `{namespace}/{name}`: {message}"
    );
    let (tone, reason) = (Tone::Warning, Reason::NotBuilt);
    let events = &context.events;
    events.say(object, tone, "Reconcile", reason, message).await;
}
