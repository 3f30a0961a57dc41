//! The Provider controller: a Version for each entry and platform, and signed releases.

use crate::context::Context;
use crate::error::Error;
use crate::events::Tone;
use crate::index::{Summary, is_retained};
use crate::module::label_value;
use crate::owned::{Applied, Desired, Owner, not_handled, reference, sync_request};
use crate::readiness::Readiness;
use crate::release::{self, ReleaseOutcome};
use crate::status;
use crate::version::{condition_time, intent::Refusal};
use kube::runtime::controller::Action;
use kube::{Api, Resource as _, ResourceExt as _};
use opendepot_crds::{
    ConditionType, LABEL_NAMESPACE, LABEL_PROVIDER, LABEL_PROVIDER_ARCH, LABEL_PROVIDER_OS,
    MANAGER_PROVIDER, Provider, ProviderConfig, ProviderStatus, ProviderVersionRef, Reason,
    SYNCED_PROVIDER, VersionSpec, VersionType, conditions, limits,
};
use opendepot_domain::{
    ArtifactId, ArtifactKind, ConfigName, Namespace, Platform, ResourceName, artifact,
};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Brings a Provider's Versions and releases to what its spec asks.
pub(crate) async fn reconcile(
    provider: Arc<Provider>,
    context: Arc<Context>,
) -> Result<Action, Error> {
    let key = format!(
        "provider/{}/{}",
        provider.namespace().unwrap_or_default(),
        provider.name_any()
    );
    if provider.meta().deletion_timestamp.is_some() {
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
    let namespace = provider.namespace().unwrap_or_default();
    let api: Api<Provider> = context.api(&namespace);
    let plan = match plan(&provider) {
        Ok(plan) => plan,
        Err(refusal) => {
            let mut after = provider.status.clone().unwrap_or_default();
            Writer {
                provider: &provider,
            }
            .refused(&mut after, &refusal);
            let written = status::patch(
                &api,
                &provider,
                provider.status.as_ref(),
                &after,
                MANAGER_PROVIDER,
            )
            .await?;
            if written.is_some() {
                status::say_refused("provider", provider.as_ref(), &refusal);
                let (tone, Refusal { reason, message }) = (Tone::Warning, &refusal);
                let events = &context.events;
                events
                    .say(provider.as_ref(), tone, "Resolve", *reason, message)
                    .await;
            }
            return Ok(Action::await_change());
        }
    };
    let request = sync_request(provider.as_ref(), provider.spec.force_sync);
    let owner = Owner {
        context: &context,
        namespace: &namespace,
        reference: reference(provider.as_ref())?,
        manager: MANAGER_PROVIDER,
        is_retained: is_retained(provider.as_ref()),
        requested_at: not_handled(
            &request,
            provider.status.as_ref().map(|s| &s.last_handled_sync),
        ),
    };
    let (num_desired, latest) = (plan.desired.len(), plan.latest.clone());
    let applied = owner.apply(plan.desired).await?;

    let mut after = provider.status.clone().unwrap_or_default();
    after.latest_version = latest;
    after.last_handled_sync = request;
    after.provider_version_refs = refs(&applied);
    pin_keys(&mut after, &applied);
    let mut by_version = ByVersion::new();
    for (id, version) in &applied.versions {
        by_version
            .entry(id.version.clone())
            .or_default()
            .push(Arc::clone(version));
    }
    let mut requeue: Option<Duration> = None;
    let mut problem = None;
    let mut releases = BTreeMap::new();
    for (version, platforms) in &by_version {
        let is_complete = !applied.incomplete.contains(version);
        let outcome =
            release::reconcile(&context, &plan.name, version, platforms, is_complete).await?;
        let ReleaseOutcome {
            ids,
            look_again,
            unusable_key,
        } = outcome;
        if !ids.is_empty() {
            releases.insert(version.to_string(), ids);
        }
        requeue = requeue.into_iter().chain(look_again).min();
        problem = problem.or(unusable_key);
    }
    after.releases = releases;
    let readiness = Readiness::of("packages", num_desired, &applied, absent(&by_version));
    Writer {
        provider: &provider,
    }
    .applied(&mut after, &readiness, problem.as_deref());
    status::patch(
        &api,
        &provider,
        provider.status.as_ref(),
        &after,
        MANAGER_PROVIDER,
    )
    .await?;
    if applied.is_deleting {
        requeue = Some(
            requeue
                .unwrap_or(Duration::from_secs(2))
                .min(Duration::from_secs(2)),
        );
    }
    Ok(requeue.map_or_else(Action::await_change, Action::requeue))
}

/// The Versions of each version.
type ByVersion = BTreeMap<opendepot_domain::Version, Vec<Arc<Summary>>>;

/// Versions of which the source has no platform at all: nothing of them is published.
fn absent(by_version: &ByVersion) -> Vec<String> {
    by_version
        .iter()
        .filter(|(_, platforms)| platforms.iter().all(|platform| platform.is_unavailable))
        .map(|(version, _)| format!("{version}: the source has none of the platforms asked for"))
        .collect()
}

struct Plan {
    desired: Vec<Desired>,
    name: ResourceName,
    latest: Option<String>,
}

fn plan(provider: &Provider) -> Result<Plan, Refusal> {
    let invalid =
        |error: &dyn std::fmt::Display| Refusal::new(Reason::InvalidSpec, error.to_string());
    let config = &provider.spec.provider_config;
    let namespace = Namespace::new(provider.namespace().unwrap_or_default())
        .map_err(|error| invalid(&error))?;
    let name = ResourceName::new(provider.name_any()).map_err(|error| invalid(&error))?;
    let config_name = config
        .config_name(name.as_str())
        .map_err(|error| invalid(&error))?;
    let label = label_value(&config_name, &name);
    if config.operating_systems.is_empty() || config.architectures.is_empty() {
        return Err(Refusal::new(
            Reason::InvalidSpec,
            "`providerConfig.operatingSystems` and `providerConfig.architectures` must each name at least one",
        ));
    }
    let mut platforms = Vec::new();
    for os in &config.operating_systems {
        for arch in &config.architectures {
            platforms.push(Platform::new(os, arch).map_err(|error| invalid(&error))?);
        }
    }
    let mut entries = Vec::new();
    for entry in &provider.spec.versions {
        let version = entry
            .parsed()
            .map_err(|error| Refusal::new(Reason::InvalidVersion, error.to_string()))?;
        entries.push((entry.version.clone(), version));
    }
    entries.sort_by(|a, b| b.1.cmp(&a.1));
    entries.dedup_by(|a, b| a.1.is_same_release(&b.1));
    if let Some(limit) = config.history_limit() {
        entries.truncate(limit);
    }
    let latest = entries.first().map(|(_, version)| format!("v{version}"));
    let mut desired = Vec::new();
    for (text, version) in &entries {
        for platform in &platforms {
            desired.push(Desired {
                name: artifact::provider_version_name(&config_name, version, platform),
                id: ArtifactId {
                    namespace: namespace.clone(),
                    kind: ArtifactKind::Provider,
                    name: name.clone(),
                    version: version.clone(),
                    platform: Some(platform.clone()),
                },
                spec: version_spec(config, &config_name, text, platform),
                labels: BTreeMap::from([
                    (LABEL_PROVIDER.to_owned(), label.clone()),
                    (LABEL_NAMESPACE.to_owned(), namespace.to_string()),
                    (LABEL_PROVIDER_OS.to_owned(), platform.os().to_owned()),
                    (LABEL_PROVIDER_ARCH.to_owned(), platform.arch().to_owned()),
                ]),
            });
        }
    }
    Ok(Plan {
        desired,
        name,
        latest,
    })
}

fn version_spec(
    config: &ProviderConfig,
    config_name: &ConfigName,
    version: &str,
    platform: &Platform,
) -> VersionSpec {
    let mut config = config.clone();
    config.name = Some(config_name.to_string());
    // A Version is one platform: the lists would change its spec whenever a platform is added.
    config.operating_systems = Vec::new();
    config.architectures = Vec::new();
    config.version_history_limit = None;
    config.version_constraints = None;
    VersionSpec {
        type_: VersionType::Provider,
        version: version.to_owned(),
        operating_system: Some(platform.os().to_owned()),
        architecture: Some(platform.arch().to_owned()),
        provider_config_ref: Some(config),
        ..VersionSpec::default()
    }
}

/// The Versions by release and platform; the newest, where there are more than a status takes.
fn refs(applied: &Applied) -> BTreeMap<String, ProviderVersionRef> {
    let mut versions: Vec<_> = applied.versions.iter().collect();
    versions.sort_by(|a, b| b.0.version.cmp(&a.0.version).then_with(|| a.0.cmp(b.0)));
    versions
        .into_iter()
        .take(limits::PROVIDER_VERSION_REFS as usize)
        .filter_map(|(id, version)| {
            let platform = id.platform.as_ref()?;
            let reference = ProviderVersionRef {
                architecture: Some(platform.arch().to_owned()),
                name: Some(version.name.clone()),
                operating_system: Some(platform.os().to_owned()),
                version: Some(id.version.to_string()),
                ..ProviderVersionRef::default()
            };
            Some((
                format!("{}-{}-{}", id.version, platform.os(), platform.arch()),
                reference,
            ))
        })
        .collect()
}

/// The first signing key seen upstream is trusted from then on (contract.md 3).
fn pin_keys(after: &mut ProviderStatus, applied: &Applied) {
    if !after.pinned_signing_keys.is_empty() {
        return;
    }
    let mut keys: Vec<String> = applied
        .versions
        .values()
        .filter_map(|version| version.signing_key.clone())
        .collect();
    keys.sort();
    keys.dedup();
    after.pinned_signing_keys = keys;
}

struct Writer<'a> {
    provider: &'a Provider,
}

impl Writer<'_> {
    fn set(
        &self,
        after: &mut ProviderStatus,
        type_: ConditionType,
        value: bool,
        reason: Reason,
        message: &str,
    ) {
        let generation = self.provider.metadata.generation;
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

    fn refused(&self, after: &mut ProviderStatus, refusal: &Refusal) {
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

    fn applied(
        &self,
        after: &mut ProviderStatus,
        readiness: &Readiness,
        unusable_key: Option<&str>,
    ) {
        conditions::remove(&mut after.conditions, ConditionType::Stalled);
        let (is_signed, reason, message) = match unusable_key {
            Some(reason) => (false, Reason::SigningKeyUnusable, reason),
            None if after.releases.is_empty() => (
                false,
                Reason::ReleaseIncomplete,
                "no release is complete yet",
            ),
            None => (true, Reason::Succeeded, "complete releases are signed"),
        };
        self.set(after, ConditionType::Signed, is_signed, reason, message);
        let Readiness {
            is_ready,
            reason,
            message,
            ..
        } = readiness;
        after.synced = readiness.is_synced;
        after.sync_status = if after.synced {
            SYNCED_PROVIDER.to_owned()
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

    fn provider(config: Value, versions: &[&str]) -> Provider {
        let versions: Vec<Value> = versions
            .iter()
            .map(|version| json!({ "version": version }))
            .collect();
        serde_json::from_value(json!({
            "apiVersion": "opendepot.defdev.io/v1alpha1",
            "kind": "Provider",
            "metadata": { "name": "aws", "namespace": "team" },
            "spec": { "providerConfig": config, "versions": versions },
        }))
        .unwrap()
    }

    #[test]
    fn every_version_is_wanted_for_every_platform() {
        let config = json!({
            "operatingSystems": ["linux", "darwin"],
            "architectures": ["amd64", "arm64"],
            "versionHistoryLimit": 1,
        });
        let plan = plan(&provider(config, &["5.79.0", "5.80.0"])).unwrap();
        let names: Vec<&str> = plan
            .desired
            .iter()
            .map(|desired| desired.name.as_str())
            .collect();
        let of = |platform: &str| format!("aws-5-80-0-{platform}");
        assert_eq!(
            names,
            ["linux-amd64", "linux-arm64", "darwin-amd64", "darwin-arm64"].map(of)
        );
        assert_eq!(plan.latest.as_deref(), Some("v5.80.0"));
        let last = &plan.desired[3];
        assert_eq!(last.labels[LABEL_PROVIDER_OS], "darwin");
        assert_eq!(last.labels[LABEL_PROVIDER_ARCH], "arm64");
        assert_eq!(last.spec.operating_system.as_deref(), Some("darwin"));
        // A platform more must not change the Versions of the others.
        let config = last.spec.provider_config_ref.as_ref().unwrap();
        assert!(config.operating_systems.is_empty() && config.architectures.is_empty());
    }

    #[test]
    fn without_platforms_or_with_odd_ones_it_is_refused() {
        for config in [
            json!({ "operatingSystems": [], "architectures": ["amd64"] }),
            json!({ "operatingSystems": ["linux"], "architectures": [] }),
            json!({ "operatingSystems": ["linux/.."], "architectures": ["amd64"] }),
            json!({ "operatingSystems": ["Linux"], "architectures": ["amd64"] }),
        ] {
            let refusal = plan(&provider(config.clone(), &["1.0.0"])).err().unwrap();
            assert_eq!(refusal.reason, Reason::InvalidSpec, "{config}");
        }
    }
}
