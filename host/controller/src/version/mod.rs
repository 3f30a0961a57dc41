//! The Version controller: from a wish to stored, sealed, published bytes.

mod cleanup;
mod conditions;
mod drift;
mod ingest;
pub(crate) mod intent;
mod migrate;

use crate::claims::Place;
use crate::context::{Context, unix_now};
use crate::error::Error;
use crate::events::Tone;
use crate::owned::sync_request;
use crate::{seal, status};
pub(crate) use conditions::DAMAGED;
use conditions::Report;
pub(crate) use drift::approves_any;
use intent::{Intent, Refusal};
use kube::api::{Patch, PatchParams};
use kube::runtime::controller::Action;
use kube::{Api, Resource as _, ResourceExt as _};
pub(crate) use migrate::Leaving;
use opendepot_crds::{
    ConditionType, FINALIZER, MANAGER_VERSION, Module, Reason, StatusArtifact, Version,
    VersionStatus,
};
use opendepot_domain::{Artifact, ArtifactKind, ArtifactRecord};
use opendepot_identity::SealState;
use serde_json::json;
use std::sync::Arc;
use std::time::Duration;

/// Brings one Version to what its spec asks.
pub(crate) async fn reconcile(
    version: Arc<Version>,
    context: Arc<Context>,
) -> Result<Action, Error> {
    let api: Api<Version> = context.api(&version.namespace().unwrap_or_default());
    if !context.feed.is_synced() {
        // Before the first list is complete, nobody knows which places others hold.
        return Ok(Action::requeue(Duration::from_millis(100)));
    }
    if version.meta().deletion_timestamp.is_some() {
        return cleanup::run(&version, &api, &context).await;
    }
    let version = match finalized(&version, &api).await? {
        Some(finalized) => Arc::new(finalized),
        None => version,
    };
    let surroundings = Surroundings::read(&version, &context).await?;
    let turn = Turn {
        version: &version,
        api: &api,
        context: &context,
        surroundings: &surroundings,
    };
    match Intent::resolve(&version, surroundings.module.as_ref(), &context) {
        Ok(intent) => turn.run(&intent).await,
        Err(refusal) => turn.refuse(&refusal).await,
    }
}

/// Adds the finalizer; nothing when it is there.
async fn finalized(version: &Version, api: &Api<Version>) -> Result<Option<Version>, Error> {
    if version
        .finalizers()
        .iter()
        .any(|finalizer| finalizer == FINALIZER)
    {
        return Ok(None);
    }
    let mut finalizers = version.finalizers().to_vec();
    finalizers.push(FINALIZER.to_owned());
    let patch = json!({ "metadata": { "finalizers": finalizers, "resourceVersion": version.resource_version() } });
    let params = PatchParams {
        field_manager: Some(MANAGER_VERSION.to_owned()),
        ..PatchParams::default()
    };
    opendepot_transfer::fault::point("api.add-finalizer");
    let patched = api
        .patch(&version.name_any(), &params, &Patch::Merge(&patch))
        .await;
    opendepot_transfer::fault::point("api.add-finalizer.done");
    patched.map(Some).map_err(Error::api("add the finalizer"))
}

/// What a Version's turn depends on around it.
#[derive(Default)]
pub(crate) struct Surroundings {
    /// The Module of its name, for a Version that stands alone.
    pub(crate) module: Option<Module>,
    /// Whether its Module or Provider exists.
    pub(crate) has_parent: bool,
}

impl Surroundings {
    /// A Version with an owner needs no look: without the owner it would be collected.
    async fn read(version: &Version, context: &Context) -> Result<Self, Error> {
        let Ok((id, _)) = intent::identity(version) else {
            return Ok(Self::default());
        };
        if intent::owner(version).is_some_and(|(kind, ..)| kind == id.kind) {
            return Ok(Self {
                module: None,
                has_parent: true,
            });
        }
        if id.kind == ArtifactKind::Provider {
            // Releases are made of owned Versions only.
            return Ok(Self::default());
        }
        let api: Api<Module> = context.api(id.namespace.as_str());
        let module = api
            .get_opt(id.name.as_str())
            .await
            .map_err(Error::api("read the module"))?;
        Ok(Self {
            has_parent: module.is_some(),
            module,
        })
    }
}

/// One reconcile of one live Version.
pub(crate) struct Turn<'a> {
    pub(crate) version: &'a Version,
    pub(crate) api: &'a Api<Version>,
    pub(crate) context: &'a Context,
    pub(crate) surroundings: &'a Surroundings,
}

impl Turn<'_> {
    async fn run(&self, intent: &Intent) -> Result<Action, Error> {
        let request = sync_request(self.version, self.version.spec.force_sync);
        let token = intent.token(request.as_deref());
        let seal = seal::check(&self.context.options.artifact_keys, self.version);
        let Some(record) = self.sealed_record(&seal) else {
            return self.ingest(intent, None, &token).await;
        };
        let handled = self.status().last_handled_sync.unwrap_or_default();
        // A request that was withdrawn asks for nothing.
        let has_handled = handled == token || (request.is_none() && intent.is_of(&handled));
        if !has_handled && let Some(moved) = self.migrate(intent, &record).await? {
            return Ok(moved);
        }
        if !has_handled || self.has_unused_approval(intent, &record).await? {
            return self.ingest(intent, Some(record), &token).await;
        }
        let artifact = artifact(intent, &record);
        match self
            .context
            .options
            .reconciler
            .probe(record.clone(), artifact)
            .await
        {
            Ok(true) => self.settle(intent, seal == SealState::OlderKey).await,
            Ok(false) => self.ingest(intent, Some(record), &token).await,
            // A store that is down takes no good version down.
            Err(error) => Err(Error::Job(error)),
        }
    }

    pub(crate) fn status(&self) -> VersionStatus {
        self.version.status.clone().unwrap_or_default()
    }

    fn report(&self) -> Report<'_> {
        let keys = &self.context.options.artifact_keys;
        let is_sealed = seal::check(keys, self.version) != SealState::Invalid;
        Report::new(self.version, self.surroundings, is_sealed)
    }

    /// The record of stored bytes, when the status is ours.
    fn sealed_record(&self, seal: &SealState) -> Option<ArtifactRecord> {
        if *seal == SealState::Invalid {
            return None;
        }
        let artifact = self.version.status.as_ref()?.artifact.as_ref()?;
        ArtifactRecord::try_from(artifact).ok()
    }

    /// Everything is as asked: only the conditions may need a touch.
    async fn settle(&self, intent: &Intent, must_reseal: bool) -> Result<Action, Error> {
        let mut after = self.status();
        let report = self.report();
        for over in [ConditionType::ArtifactMissing, ConditionType::Stale] {
            opendepot_crds::conditions::remove(&mut after.conditions, over);
        }
        report.stored(&mut after, intent.id.kind);
        let had_pending = after.pending.is_some();
        let wait = self.leave(intent, &mut after).await?;
        if must_reseal || had_pending && wait.is_none() {
            seal::apply(
                &self.context.options.artifact_keys,
                self.version,
                &mut after,
            );
        }
        self.write(&after).await?;
        Ok(wait.map_or_else(Action::await_change, Action::requeue))
    }

    /// Nothing can be done until the input changes.
    async fn refuse(&self, refusal: &Refusal) -> Result<Action, Error> {
        let mut after = self.status();
        self.report().refused(&mut after, refusal);
        if self.write(&after).await?.is_some() {
            crate::status::say_refused("version", self.version, refusal);
            self.warn("Resolve", refusal.reason, &refusal.message).await;
        }
        Ok(Action::await_change())
    }

    /// Tells people who look at this Version that something is wrong.
    async fn warn(&self, action: &'static str, reason: Reason, note: &str) {
        let events = &self.context.events;
        events
            .say(self.version, Tone::Warning, action, reason, note)
            .await;
    }

    /// Writes the status when it changed; answers the Version as it is now.
    pub(crate) async fn write(&self, after: &VersionStatus) -> Result<Option<Version>, Error> {
        status::patch(
            self.api,
            self.version,
            self.version.status.as_ref(),
            after,
            MANAGER_VERSION,
        )
        .await
    }
}

/// Another object whose status holds this place: its bytes are not ours to write or remove.
pub(crate) fn other_holder(
    version: &Version,
    place: &StatusArtifact,
    context: &Context,
) -> Option<String> {
    let namespace = version.namespace().unwrap_or_default();
    let object = format!("{namespace}/{}", version.name_any());
    context.feed.other_holder(Place::of(place), &object)
}

/// The artifact that `record` describes.
pub(crate) fn artifact(intent: &Intent, record: &ArtifactRecord) -> Artifact {
    Artifact {
        id: intent.id.clone(),
        config_name: intent.config_name.clone(),
        file_name: record.file_name.clone(),
        media_type: record.media_type.clone(),
        size: record.size,
        sha256: record.sha256,
    }
}

/// The instant of now, as conditions carry it.
pub(crate) fn condition_time() -> opendepot_crds::Time {
    let seconds = i64::try_from(unix_now()).unwrap_or_default();
    let timestamp = k8s_openapi::jiff::Timestamp::from_second(seconds).unwrap_or_default();
    k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(timestamp)
}

/// The closed reason of that name.
pub(crate) fn reason(text: &str) -> Reason {
    Reason::ALL
        .iter()
        .copied()
        .find(|reason| reason.as_str() == text)
        .unwrap_or(Reason::InternalError)
}
