//! The Module controller: a Version for each entry, trimmed by the history limit.

use crate::context::Context;
use crate::error::Error;
use crate::events::Tone;
use crate::index::is_retained;
use crate::owned::{Applied, Desired, Owner, not_handled, reference, sync_request};
use crate::readiness::Readiness;
use crate::status;
use crate::version::{condition_time, intent::Refusal};
use kube::runtime::controller::Action;
use kube::{Api, Resource as _, ResourceExt as _};
use opendepot_crds::{
    ConditionType, LABEL_MODULE, LABEL_NAMESPACE, MANAGER_MODULE, Module, ModuleConfig,
    ModuleStatus, ModuleVersionRef, Reason, SYNCED_MODULE, VersionSpec, VersionType, conditions,
};
use opendepot_domain::{ArtifactId, ArtifactKind, ConfigName, Namespace, ResourceName, artifact};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Brings a Module's Versions to what its spec asks.
pub(crate) async fn reconcile(module: Arc<Module>, context: Arc<Context>) -> Result<Action, Error> {
    let key = format!(
        "module/{}/{}",
        module.namespace().unwrap_or_default(),
        module.name_any()
    );
    if module.meta().deletion_timestamp.is_some() {
        context.throttle.forget(&key);
        return Ok(Action::await_change());
    }
    if !context.feed.is_synced() {
        // Before the first list is complete, nothing may be taken for missing.
        return Ok(Action::requeue(Duration::from_millis(100)));
    }
    if let Some(wait) = context.throttle.wait(&key, Instant::now()) {
        return Ok(Action::requeue(wait));
    }
    let api: Api<Module> = context.api(&module.namespace().unwrap_or_default());
    let plan = match plan(&module) {
        Ok(plan) => plan,
        Err(refusal) => {
            let mut after = module.status.clone().unwrap_or_default();
            Writer::new(&module).refused(&mut after, &refusal);
            let written = status::patch(
                &api,
                &module,
                module.status.as_ref(),
                &after,
                MANAGER_MODULE,
            )
            .await?;
            if written.is_some() {
                status::say_refused("module", module.as_ref(), &refusal);
                let (tone, Refusal { reason, message }) = (Tone::Warning, &refusal);
                let events = &context.events;
                events
                    .say(module.as_ref(), tone, "Resolve", *reason, message)
                    .await;
            }
            return Ok(Action::await_change());
        }
    };
    let namespace = module.namespace().unwrap_or_default();
    let request = sync_request(module.as_ref(), module.spec.force_sync);
    let owner = Owner {
        context: &context,
        namespace: &namespace,
        reference: reference(module.as_ref())?,
        manager: MANAGER_MODULE,
        is_retained: is_retained(module.as_ref()),
        requested_at: not_handled(
            &request,
            module.status.as_ref().map(|s| &s.last_handled_sync),
        ),
    };
    let latest = plan.latest.clone();
    let texts = plan.texts;
    let applied = owner.apply(plan.desired).await?;
    let mut after = module.status.clone().unwrap_or_default();
    after.latest_version = latest;
    after.last_handled_sync = request;
    after.module_version_refs = refs(&texts, &applied);
    let readiness = Readiness::of("versions", texts.len(), &applied, Vec::new());
    Writer::new(&module).applied(&mut after, &readiness);
    status::patch(
        &api,
        &module,
        module.status.as_ref(),
        &after,
        MANAGER_MODULE,
    )
    .await?;
    Ok(Action::await_change())
}

/// What a Module's spec comes to.
struct Plan {
    desired: Vec<Desired>,
    /// The entries that are kept, as written, with what they stand for.
    texts: Vec<(String, ArtifactId)>,
    latest: Option<String>,
}

fn plan(module: &Module) -> Result<Plan, Refusal> {
    let invalid =
        |error: &dyn std::fmt::Display| Refusal::new(Reason::InvalidSpec, error.to_string());
    let namespace =
        Namespace::new(module.namespace().unwrap_or_default()).map_err(|error| invalid(&error))?;
    let name = ResourceName::new(module.name_any()).map_err(|error| invalid(&error))?;
    let config_name = module
        .spec
        .module_config
        .config_name(name.as_str())
        .map_err(|error| invalid(&error))?;
    let label = label_value(&config_name, &name);

    let mut entries = Vec::new();
    for entry in &module.spec.versions {
        let version = entry
            .parsed()
            .map_err(|error| Refusal::new(Reason::InvalidVersion, error.to_string()))?;
        entries.push((entry.version.clone(), version));
    }
    // The highest stay; `spec.versions` stays as written (contract.md 3).
    entries.sort_by(|a, b| b.1.cmp(&a.1));
    entries.dedup_by(|a, b| a.1.is_same_release(&b.1));
    if let Some(limit) = module.spec.module_config.history_limit() {
        entries.truncate(limit);
    }
    let latest = entries.first().map(|(_, version)| format!("v{version}"));
    let mut plan = Plan {
        desired: Vec::new(),
        texts: Vec::new(),
        latest,
    };
    for (text, version) in entries {
        let id = ArtifactId {
            namespace: namespace.clone(),
            kind: ArtifactKind::Module,
            name: name.clone(),
            version: version.clone(),
            platform: None,
        };
        plan.desired.push(Desired {
            name: artifact::module_version_name(&config_name, &version),
            id: id.clone(),
            spec: version_spec(&module.spec.module_config, &config_name, &text),
            labels: BTreeMap::from([
                (LABEL_MODULE.to_owned(), label.clone()),
                (LABEL_NAMESPACE.to_owned(), namespace.to_string()),
            ]),
        });
        plan.texts.push((text, id));
    }
    Ok(plan)
}

/// The label value that finds a resource's Versions: its config name as in the original, its own
/// name where that is no label value.
pub(crate) fn label_value(config_name: &ConfigName, name: &ResourceName) -> String {
    let text = config_name.as_str();
    let is_label = text.len() <= 63 && text.ends_with(|last: char| last.is_ascii_alphanumeric());
    if is_label {
        text.to_owned()
    } else {
        name.to_string()
    }
}

/// The whole config goes into the Version, so that nobody has to write it back later (OD-W16).
fn version_spec(config: &ModuleConfig, config_name: &ConfigName, version: &str) -> VersionSpec {
    let mut config = config.clone();
    config.name = Some(config_name.to_string());
    config.version_history_limit = None;
    config.version_constraints = None;
    VersionSpec {
        type_: VersionType::Module,
        version: version.to_owned(),
        module_config_ref: Some(config),
        ..VersionSpec::default()
    }
}

fn refs(texts: &[(String, ArtifactId)], applied: &Applied) -> BTreeMap<String, ModuleVersionRef> {
    texts
        .iter()
        .filter_map(|(text, id)| {
            let version = applied.versions.get(id)?;
            let (name, file_name) = (Some(version.name.clone()), version.file_name.clone());
            Some((
                text.clone(),
                ModuleVersionRef {
                    name,
                    file_name,
                    ..Default::default()
                },
            ))
        })
        .collect()
}

struct Writer<'a> {
    module: &'a Module,
}

impl<'a> Writer<'a> {
    const fn new(module: &'a Module) -> Self {
        Self { module }
    }

    fn set(
        &self,
        after: &mut ModuleStatus,
        type_: ConditionType,
        value: bool,
        reason: Reason,
        message: &str,
    ) {
        let generation = self.module.metadata.generation;
        conditions::set(
            &mut after.conditions,
            type_,
            value,
            reason,
            message,
            generation,
            &condition_time(),
        );
        after.observed_generation = generation;
    }

    fn refused(&self, after: &mut ModuleStatus, refusal: &Refusal) {
        after.synced = false;
        after.sync_status.clone_from(&refusal.message);
        conditions::remove(&mut after.conditions, ConditionType::Reconciling);
        self.set(
            after,
            ConditionType::Stalled,
            true,
            refusal.reason,
            &refusal.message,
        );
        self.set(
            after,
            ConditionType::VersionsReady,
            false,
            refusal.reason,
            &refusal.message,
        );
        self.set(
            after,
            ConditionType::Ready,
            false,
            refusal.reason,
            &refusal.message,
        );
    }

    fn applied(&self, after: &mut ModuleStatus, readiness: &Readiness) {
        conditions::remove(&mut after.conditions, ConditionType::Stalled);
        let Readiness {
            is_ready,
            reason,
            message,
            ..
        } = readiness;
        after.synced = readiness.is_synced;
        after.sync_status = if after.synced {
            SYNCED_MODULE.to_owned()
        } else {
            message.clone()
        };
        self.set(
            after,
            ConditionType::Reconciling,
            readiness.is_progressing,
            Reason::Progressing,
            "some versions are still being worked on",
        );
        for summary in [ConditionType::VersionsReady, ConditionType::Ready] {
            self.set(after, summary, *is_ready, *reason, message);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn module(config: Value, versions: &[&str]) -> Module {
        let versions: Vec<Value> = versions
            .iter()
            .map(|version| json!({ "version": version }))
            .collect();
        serde_json::from_value(json!({
            "apiVersion": "opendepot.defdev.io/v1alpha1",
            "kind": "Module",
            "metadata": { "name": "network", "namespace": "team" },
            "spec": { "moduleConfig": config, "versions": versions },
        }))
        .unwrap()
    }

    fn names(plan: &Plan) -> Vec<&str> {
        plan.desired
            .iter()
            .map(|desired| desired.name.as_str())
            .collect()
    }

    #[test]
    fn the_highest_stay_and_names_are_the_originals() {
        let texts = ["1.0.0", "v1.10.0", "1.9.0", "2.0.0-rc.1"];
        let all = plan(&module(json!({ "name": "terraform-aws-network" }), &texts)).unwrap();
        assert_eq!(
            names(&all),
            [
                "terraform-aws-network-2-0-0-rc-1",
                "terraform-aws-network-1-10-0",
                "terraform-aws-network-1-9-0",
                "terraform-aws-network-1-0-0",
            ]
        );
        assert_eq!(all.latest.as_deref(), Some("v2.0.0-rc.1"));
        for desired in &all.desired {
            assert_eq!(
                desired.id.name.as_str(),
                "network",
                "the address is the resource's"
            );
            assert_eq!(desired.labels[LABEL_MODULE], "terraform-aws-network");
            let config = desired.spec.module_config_ref.as_ref().unwrap();
            assert_eq!(config.name.as_deref(), Some("terraform-aws-network"));
            assert!(desired.spec.file_name.is_none());
        }
        let limited = plan(&module(json!({ "versionHistoryLimit": 2 }), &texts)).unwrap();
        assert_eq!(names(&limited), ["network-2-0-0-rc-1", "network-1-10-0"]);
        let config = limited.desired[0].spec.module_config_ref.as_ref().unwrap();
        assert!(
            config.version_history_limit.is_none(),
            "a new limit changes no Version"
        );
        assert_eq!(limited.texts[1].0, "v1.10.0", "as written");
    }

    #[test]
    fn one_version_is_wanted_once_however_often_it_is_written() {
        let plan = plan(&module(
            json!({}),
            &["1.0.0", "v1.0.0", "1.0.0+a", "1.0.0+b"],
        ))
        .unwrap();
        assert_eq!(names(&plan), ["network-1-0-0-b"]);
    }

    #[test]
    fn what_is_no_version_is_refused_and_no_version_is_none() {
        let refusal = plan(&module(json!({}), &["1.0.0", "latest"]))
            .err()
            .unwrap();
        assert_eq!(refusal.reason, Reason::InvalidVersion);
        assert!(refusal.message.contains("`latest`"));
        let empty = plan(&module(json!({}), &[])).unwrap();
        assert!(empty.desired.is_empty() && empty.latest.is_none());
    }

    #[test]
    fn a_config_name_that_is_no_label_value_gives_way_to_the_resources() {
        let name = ResourceName::new("network").unwrap();
        let label = |text: &str| label_value(&ConfigName::new(text).unwrap(), &name);
        assert_eq!(label("Terraform_AWS.x"), "Terraform_AWS.x");
        assert_eq!(label("ends-with-"), "network");
        assert_eq!(label(&"a".repeat(64)), "network");
    }
}
