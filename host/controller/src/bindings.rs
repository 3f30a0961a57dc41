//! GroupBindings: whenever one comes, changes or goes, the auth plugins are given all of them
//! anew, and each binding is told what became of it.
//!
//! Not a controller of single objects: a policy prepares with the whole list, and a binding that
//! is gone has to stop granting at once. Only those of one namespace count, as in the original:
//! who may write elsewhere must not be able to grant.

use crate::context::Context;
use crate::events::Tone;
use crate::status;
use crate::version::condition_time;
use futures::{FutureExt as _, StreamExt as _};
use kube::runtime::watcher::{self, Event};
use kube::runtime::{WatchStreamExt as _, reflector};
use kube::{Api, Resource as _, ResourceExt as _};
use opendepot_crds::{ConditionType, GroupBinding, MANAGER_GROUP_BINDING, Reason, conditions};
use opendepot_domain::seam::{Binding, BindingProblem};
use std::borrow::Borrow;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

/// Where GroupBindings count: the default of the original's `--namespace`.
pub const NAMESPACE: &str = "opendepot-system";

/// After a status that could not be written, or a policy that could not prepare.
const RETRY: Duration = Duration::from_secs(10);

/// What is in force.
#[derive(Default)]
struct InForce {
    /// What the plugins were last given; nothing before the first list.
    bindings: Option<Vec<Binding>>,
    problems: Vec<BindingProblem>,
}

/// What is said of one binding.
struct Verdict {
    is_accepted: bool,
    reason: Reason,
    message: String,
}

/// Runs until `shutdown` turns true.
pub(crate) async fn run(context: Arc<Context>, mut shutdown: watch::Receiver<bool>) {
    let api: Api<GroupBinding> = match &context.options.watch_namespace {
        Some(namespace) => context.api(namespace),
        None => Api::all(context.client()),
    };
    let (store, writer) = reflector::store();
    let changes = reflector::reflector(writer, watcher::watcher(api, watcher::Config::default()));
    let mut changes = pin!(changes.default_backoff());
    let mut in_force = InForce::default();
    let mut is_retrying = false;
    let mut policies = context.options.policies_changed.clone();
    loop {
        let change = tokio::select! {
            biased;
            _ = shutdown.wait_for(|is_over| *is_over) => return,
            change = changes.next() => change,
            // A policy that is new, or another version of one, has its own view of bindings.
            Ok(()) = policies.changed() => {
                in_force.bindings = None;
                Some(Ok(Event::InitDone))
            }
            () = tokio::time::sleep(RETRY), if is_retrying => Some(Ok(Event::InitDone)),
        };
        match change {
            Some(Ok(Event::InitDone | Event::Apply(_) | Event::Delete(_))) => {}
            Some(Ok(Event::Init | Event::InitApply(_))) => continue,
            Some(Err(error)) => {
                tracing::warn!("cannot watch GroupBindings, what is known stays in force: {error}");
                continue;
            }
            None => return,
        }
        // What changed together is given together.
        while let Some(Some(_)) = changes.next().now_or_never() {}
        let mut objects = store.state();
        objects.sort_by_key(|object| (object.namespace(), object.name_any()));
        in_force.give(&context, &objects).await;
        // A policy that could not prepare denies everything: it may have been the moment's fault.
        is_retrying = in_force.has_failed_policy();
        for object in &objects {
            if let Err(error) = say(&context, object, &in_force.verdict(&context, object)).await {
                let name = object.name_any();
                tracing::debug!(k8s.name = %name, "will say it again: {error}");
                is_retrying = true;
            }
        }
    }
}

impl InForce {
    /// Gives the plugins what is there now, when it is not what they have.
    async fn give(&mut self, context: &Context, objects: &[Arc<GroupBinding>]) {
        let bindings = in_force(objects);
        if self.bindings.as_ref() == Some(&bindings) && !self.has_failed_policy() {
            return;
        }
        self.problems = context.options.policies.set_bindings(&bindings).await;
        tracing::info!(
            bindings.num = bindings.len(),
            bindings.num_problems = self.problems.len(),
            "gave the auth plugins the GroupBindings of `{NAMESPACE}`"
        );
        for problem in self.problems.iter().filter(|p| p.binding.is_empty()) {
            tracing::error!(
                plugin.name = %problem.plugin,
                "auth plugin `{}` cannot prepare and denies everything: {}",
                problem.plugin, problem.message
            );
        }
        self.bindings = Some(bindings);
    }

    /// Whether a policy as a whole could not prepare with what it was last given.
    fn has_failed_policy(&self) -> bool {
        self.problems.iter().any(|p| p.binding.is_empty())
    }

    fn verdict(&self, context: &Context, object: &GroupBinding) -> Verdict {
        let refuse = |reason, message: String| Verdict {
            is_accepted: false,
            reason,
            message,
        };
        let accept = |message: String| Verdict {
            is_accepted: true,
            reason: Reason::Succeeded,
            message,
        };
        if !is_in_place(object) {
            let message = format!(
                "it is in another namespace than `{NAMESPACE}`, where GroupBindings count, and grants nothing: create it there"
            );
            return refuse(Reason::NotInForce, message);
        }
        let names = context.options.policies.names();
        if names.is_empty() {
            let message = "no auth plugin is listed, so nobody reads it: list `auth-group-binding` under `plugins` of the configuration";
            return refuse(Reason::NotInForce, message.to_owned());
        }
        let name = object.name_any();
        let said = |binding: &str| {
            let problems = self.problems.iter().filter(|p| p.binding == binding);
            let texts = problems.map(|p| format!("`{}`: {}", p.plugin, p.message));
            texts.collect::<Vec<_>>().join("; ")
        };
        let (whole, own) = (said(""), said(&name));
        if !whole.is_empty() {
            return refuse(
                Reason::PluginFailed,
                format!("an auth plugin cannot prepare and denies everything: {whole}"),
            );
        }
        if !own.is_empty() {
            return refuse(Reason::InvalidExpression, own);
        }
        if opens_nothing(object) {
            return accept("its list of namespaces is empty, so it opens nothing".to_owned());
        }
        let names: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
        accept(format!(
            "the auth plugins have it: {}; those that read bindings obey it",
            names.join(", ")
        ))
    }
}

/// What the plugins are given of these objects, in the order of their names.
pub fn in_force<T: Borrow<GroupBinding>>(objects: &[T]) -> Vec<Binding> {
    let objects = objects.iter().map(Borrow::borrow);
    let mut bindings: Vec<Binding> = objects.filter(|o| counts(o)).map(binding).collect();
    bindings.sort_by(|one, other| one.name.cmp(&other.name));
    bindings
}

fn is_in_place(object: &GroupBinding) -> bool {
    object.namespace().as_deref() == Some(NAMESPACE)
}

/// A binding that is being deleted is revoked already.
fn counts(object: &GroupBinding) -> bool {
    is_in_place(object) && object.meta().deletion_timestamp.is_none()
}

/// In the interface no namespaces means all of them, in the resource it means none.
fn opens_nothing(object: &GroupBinding) -> bool {
    object.spec.namespaces.as_ref().is_some_and(Vec::is_empty)
}

/// One that opens nothing is given all the same, with empty lists: where the first true binding
/// decides alone, it hides those behind it.
fn binding(object: &GroupBinding) -> Binding {
    let spec = &object.spec;
    let (modules, providers) = if opens_nothing(object) {
        (Vec::new(), Vec::new())
    } else {
        (
            spec.module_resources.clone(),
            spec.provider_resources.clone(),
        )
    };
    Binding {
        name: object.name_any(),
        expression: spec.expression.clone(),
        modules,
        providers,
        namespaces: spec.namespaces.clone().unwrap_or_default(),
    }
}

async fn say(
    context: &Context,
    object: &GroupBinding,
    verdict: &Verdict,
) -> Result<(), crate::error::Error> {
    let api: Api<GroupBinding> = context.api(&object.namespace().unwrap_or_default());
    let mut after = object.status.clone().unwrap_or_default();
    let (generation, now) = (object.meta().generation, condition_time());
    let Verdict {
        is_accepted,
        reason,
        message,
    } = verdict;
    for (type_, is_true) in [
        (ConditionType::Accepted, *is_accepted),
        (ConditionType::Ready, *is_accepted),
        // Tells tools that wait for an object to stop waiting.
        (ConditionType::Stalled, !is_accepted),
    ] {
        let list = &mut after.conditions;
        conditions::set(list, type_, is_true, *reason, message, generation, &now);
    }
    after.observed_generation = generation;
    let before = object.status.as_ref();
    let written = status::patch(&api, object, before, &after, MANAGER_GROUP_BINDING).await?;
    if written.is_some() && !is_accepted {
        let (namespace, name) = (object.namespace().unwrap_or_default(), object.name_any());
        tracing::warn!(
            k8s.namespace = %namespace,
            k8s.name = %name,
            reason = reason.as_str(),
            "group binding `{namespace}/{name}` grants nothing: {message}"
        );
        let events = &context.events;
        events
            .say(object, Tone::Warning, "Reconcile", *reason, message)
            .await;
    }
    Ok(())
}
