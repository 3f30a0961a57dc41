//! The Versions that a Module or Provider owns: creating, updating and trimming them.

use crate::context::Context;
use crate::error::Error;
use crate::index::{self, Summary};
use crate::seal;
use crate::version::intent;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::api::{DeleteParams, Patch, PatchParams, PostParams, Preconditions};
use kube::{Api, Resource, ResourceExt as _};
use opendepot_crds::{
    ANNOTATION_DELETION_POLICY, ANNOTATION_REQUESTED_AT, DELETION_POLICY_RETAIN, Version,
    VersionSpec,
};
use opendepot_domain::{ArtifactId, Kind, artifact};
use opendepot_identity::SealState;
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

/// A Version that its owner wants.
pub(crate) struct Desired {
    /// The name that the original gives it.
    pub(crate) name: String,
    /// What it stands for.
    pub(crate) id: ArtifactId,
    /// Its spec, without `fileName`.
    pub(crate) spec: VersionSpec,
    /// Its labels.
    pub(crate) labels: BTreeMap<String, String>,
}

/// The owner of Versions.
pub(crate) struct Owner<'a> {
    pub(crate) context: &'a Context,
    pub(crate) namespace: &'a str,
    pub(crate) reference: OwnerReference,
    pub(crate) manager: &'static str,
    /// Passed on, once, when the owner is asked to sync again: a request that somebody makes of a
    /// Version itself stays.
    pub(crate) requested_at: Option<String>,
    /// Passed on for good: bytes stay when a Version goes.
    pub(crate) is_retained: bool,
}

/// What applying the desired set came to.
pub(crate) struct Applied {
    /// Live Versions that are wanted and known, by what they stand for.
    pub(crate) versions: HashMap<ArtifactId, Arc<Summary>>,
    /// Wanted Versions whose watch event is still to come, or whose predecessor is going.
    pub(crate) num_coming: usize,
    /// Releases of which a wanted Version was created or is still to be seen.
    pub(crate) incomplete: HashSet<opendepot_domain::Version>,
    /// Whether some are on their way out.
    pub(crate) is_deleting: bool,
    /// Versions that the API server does not take, with its reason.
    pub(crate) refused: Vec<String>,
}

impl Applied {
    /// One Version that the API server refuses holds up no other: it is said, and waits for
    /// another spec.
    fn unless_refused<T>(
        &mut self,
        name: &str,
        answer: Result<T, Error>,
    ) -> Result<Option<T>, Error> {
        match answer {
            Err(error) if error.kind() == Kind::Invalid => {
                self.refused.push(format!("{name}: {error}"));
                Ok(None)
            }
            answer => answer.map(Some),
        }
    }
}

impl Owner<'_> {
    fn api(&self) -> Api<Version> {
        self.context.api(self.namespace)
    }

    fn owns(&self, version: &Version) -> bool {
        controller_of(version).is_some_and(|owner| {
            owner.uid == self.reference.uid && owner.kind == self.reference.kind
        })
    }

    /// Creates what is missing, updates what differs, deletes what is not desired any more.
    /// A deliberate act: the owner's spec lists what is wanted (contract.md 3).
    pub(crate) async fn apply(&self, desired: Vec<Desired>) -> Result<Applied, Error> {
        let owned = self.context.feed.owned(&self.reference.uid);
        let (deleting, live): (Vec<_>, Vec<_>) =
            owned.into_iter().partition(|version| version.is_deleting);
        let mut by_name: HashMap<String, Arc<Summary>> = live
            .into_iter()
            .map(|version| (version.name.clone(), version))
            .collect();
        let busy: HashSet<&str> = deleting
            .iter()
            .map(|version| version.name.as_str())
            .collect();
        let mut applied = Applied {
            versions: HashMap::new(),
            num_coming: 0,
            incomplete: HashSet::new(),
            is_deleting: !deleting.is_empty(),
            refused: Vec::new(),
        };
        for wanted in desired {
            let suffixed = format!("{}-{}", wanted.name, artifact::collision_suffix(&wanted.id));
            let known = [&wanted.name, &suffixed].into_iter().find(|name| {
                by_name
                    .get(*name)
                    .is_some_and(|existing| existing.id.as_ref() == Some(&wanted.id))
            });
            match known.and_then(|name| by_name.remove(name)) {
                Some(existing) => {
                    if self.differs(&existing, &wanted) {
                        let answer = self.update(&existing.name, &wanted).await;
                        applied.unless_refused(&existing.name, answer)?;
                    }
                    applied.versions.insert(wanted.id, existing);
                }
                None => {
                    // A predecessor that is still going keeps its name.
                    if busy.contains(wanted.name.as_str()) || busy.contains(suffixed.as_str()) {
                        applied.num_coming += 1;
                        continue;
                    }
                    let answer = self.create(&wanted, &wanted.name).await;
                    match applied.unless_refused(&wanted.name, answer)? {
                        None => {}
                        Some(true) => applied.num_coming += 1,
                        // Another owner, or another version of ours, holds the name.
                        Some(false) => {
                            let answer = self.create(&wanted, &suffixed).await;
                            let is_taken = applied.unless_refused(&suffixed, answer)?;
                            applied.num_coming += usize::from(is_taken.is_some());
                        }
                    }
                    applied.incomplete.insert(wanted.id.version);
                }
            }
        }
        for mut surplus in by_name.into_values() {
            if self.is_retained && !surplus.is_retained {
                match self.retain(&surplus.name).await? {
                    Some(revision) => Arc::make_mut(&mut surplus).resource_version = revision,
                    None => continue,
                }
            }
            self.delete(&surplus).await?;
        }
        Ok(applied)
    }

    fn differs(&self, existing: &Summary, wanted: &Desired) -> bool {
        existing.wish != index::wish(&wanted.spec)
            || existing.lacks_file_name
            || wanted
                .labels
                .iter()
                .any(|(key, value)| !existing.labels.iter().any(|(k, v)| k == key && v == value))
            || (self.requested_at.is_some() && existing.requested_at != self.requested_at)
            || (self.is_retained && !existing.is_retained)
    }

    /// What is passed on to Versions.
    fn annotations(&self) -> BTreeMap<String, String> {
        let requested_at = self.requested_at.clone();
        let retained = self.is_retained.then(|| DELETION_POLICY_RETAIN.to_owned());
        [
            (ANNOTATION_REQUESTED_AT, requested_at),
            (ANNOTATION_DELETION_POLICY, retained),
        ]
        .into_iter()
        .filter_map(|(key, value)| Some((key.to_owned(), value?)))
        .collect()
    }

    /// Whether the Version is there; not when the name is taken by something else.
    async fn create(&self, wanted: &Desired, name: &str) -> Result<bool, Error> {
        let mut version = Version::new(name, wanted.spec.clone());
        version.metadata.labels = Some(wanted.labels.clone());
        // What is fetched for the first time needs no second look, so it carries the request.
        let annotations = self.annotations();
        version.metadata.annotations = (!annotations.is_empty()).then_some(annotations);
        version.metadata.owner_references = Some(vec![self.reference.clone()]);
        let params = PostParams {
            field_manager: Some(self.manager.to_owned()),
            ..PostParams::default()
        };
        opendepot_transfer::fault::point("api.create-version");
        let answer = self.api().create(&params, &version).await;
        opendepot_transfer::fault::point("api.create-version.done");
        match answer {
            Ok(_) => Ok(true),
            Err(kube::Error::Api(status)) if status.is_already_exists() => {
                let existing = self
                    .api()
                    .get_opt(name)
                    .await
                    .map_err(Error::api("read a version"))?;
                Ok(existing.is_some_and(|existing| {
                    let stands_for = intent::identity(&existing).ok().map(|(id, _)| id);
                    self.owns(&existing) && stands_for.as_ref() == Some(&wanted.id)
                }))
            }
            Err(error) => Err(Error::api("create a version")(error)),
        }
    }

    /// Patches only our own fields, and only those that differ: users' labels, annotations and
    /// finalizers stay (OD-W15, OD-W16).
    async fn update(&self, name: &str, wanted: &Desired) -> Result<(), Error> {
        let existing = self
            .api()
            .get_opt(name)
            .await
            .map_err(Error::api("read a version"))?;
        let Some(existing) = existing.filter(|existing| self.owns(existing)) else {
            return Ok(());
        };
        let mut spec = Map::new();
        let stored = existing
            .status
            .as_ref()
            .and_then(|status| status.artifact.as_ref());
        let file_name = stored
            .filter(|_| {
                let keys = &self.context.options.artifact_keys;
                seal::check(keys, &existing) != SealState::Invalid
            })
            .map(|artifact| artifact.file_name.clone());
        if file_name.is_some() && existing.spec.file_name != file_name {
            spec.insert("fileName".to_owned(), json!(file_name));
        }
        for (key, have, want) in [
            (
                "moduleConfigRef",
                json!(existing.spec.module_config_ref),
                json!(wanted.spec.module_config_ref),
            ),
            (
                "providerConfigRef",
                json!(existing.spec.provider_config_ref),
                json!(wanted.spec.provider_config_ref),
            ),
        ] {
            if let Some(difference) = crate::status::merge_difference(&have, &want) {
                spec.insert(key.to_owned(), difference);
            }
        }
        let mut metadata = Map::new();
        let labels = existing.labels();
        let missing: Map<String, Value> = wanted
            .labels
            .iter()
            .filter(|(key, value)| labels.get(*key) != Some(*value))
            .map(|(key, value)| (key.clone(), json!(value)))
            .collect();
        if !missing.is_empty() {
            metadata.insert("labels".to_owned(), Value::Object(missing));
        }
        let mut annotations = self.annotations();
        annotations.retain(|key, value| existing.annotations().get(key) != Some(value));
        if !annotations.is_empty() {
            metadata.insert("annotations".to_owned(), json!(annotations));
        }
        if spec.is_empty() && metadata.is_empty() {
            return Ok(());
        }
        metadata.insert(
            "resourceVersion".to_owned(),
            json!(existing.resource_version()),
        );
        let patch = json!({ "metadata": metadata, "spec": spec });
        let params = PatchParams {
            field_manager: Some(self.manager.to_owned()),
            ..PatchParams::default()
        };
        opendepot_transfer::fault::point("api.patch-version");
        let name = existing.name_any();
        let answer = self
            .api()
            .patch(&name, &params, &Patch::Merge(&patch))
            .await;
        opendepot_transfer::fault::point("api.patch-version.done");
        answer.map(drop).map_err(Error::api("update a version"))
    }

    /// Marks a Version that is about to go, so that its bytes stay; answers its new revision.
    async fn retain(&self, name: &str) -> Result<Option<Option<String>>, Error> {
        let patch = json!({ "metadata": { "annotations": { ANNOTATION_DELETION_POLICY: DELETION_POLICY_RETAIN } } });
        let params = PatchParams {
            field_manager: Some(self.manager.to_owned()),
            ..PatchParams::default()
        };
        opendepot_transfer::fault::point("api.patch-version");
        let answer = self.api().patch(name, &params, &Patch::Merge(&patch)).await;
        opendepot_transfer::fault::point("api.patch-version.done");
        match answer {
            Ok(version) => Ok(Some(version.resource_version())),
            Err(kube::Error::Api(status)) if status.code == 404 => Ok(None),
            Err(error) => Err(Error::api("update a version")(error)),
        }
    }

    async fn delete(&self, surplus: &Summary) -> Result<(), Error> {
        let params = DeleteParams {
            preconditions: Some(Preconditions {
                uid: surplus.uid.clone(),
                resource_version: surplus.resource_version.clone(),
            }),
            ..DeleteParams::default()
        };
        let (name, namespace) = (&surplus.name, self.namespace);
        tracing::info!(target: "opendepot::audit", action = "delete", k8s.namespace = namespace, k8s.name = %name, "deleting version `{namespace}/{name}`: its owner does not list it any more");
        opendepot_transfer::fault::point("api.delete-version");
        let answer = self.api().delete(name, &params).await;
        opendepot_transfer::fault::point("api.delete-version.done");
        match answer {
            Ok(_) => Ok(()),
            Err(kube::Error::Api(status)) if status.code == 404 => Ok(()),
            Err(error) => Err(Error::api("delete a version")(error)),
        }
    }
}

/// The object that controls a Version.
pub(crate) fn controller_of(version: &Version) -> Option<&OwnerReference> {
    version
        .owner_references()
        .iter()
        .find(|owner| owner.controller == Some(true))
}

/// A controller reference to `owner`, which waits for what it owns when it is deleted in the
/// foreground, as in the original (OD-2.5).
pub(crate) fn reference<K: Resource<DynamicType = ()>>(owner: &K) -> Result<OwnerReference, Error> {
    owner
        .controller_owner_ref(&())
        .map(|reference| OwnerReference {
            block_owner_deletion: Some(true),
            ..reference
        })
        .ok_or_else(|| Error::Internal {
            attempt: "own a version",
            reason: "the owner has no name or uid".to_owned(),
        })
}

/// The token of a requested sync: the `requested-at` annotation and `forceSync`'s generation.
/// Each acts once: controllers record what they have handled and never reset the field.
pub(crate) fn sync_request<K: Resource>(object: &K, force_sync: Option<bool>) -> Option<String> {
    let requested_at = object.annotations().get(ANNOTATION_REQUESTED_AT);
    let at = requested_at.map(|at| format!("at-{}", at.chars().take(128).collect::<String>()));
    let generation = object.meta().generation.unwrap_or_default();
    let forced = (force_sync == Some(true)).then(|| format!("generation-{generation}"));
    match (at, forced) {
        (Some(at), Some(forced)) => Some(format!("{at}/{forced}")),
        (at, forced) => at.or(forced),
    }
}

/// The request, unless `status.lastHandledSync` says that it was passed on.
pub(crate) fn not_handled(
    request: &Option<String>,
    handled: Option<&Option<String>>,
) -> Option<String> {
    request.clone().filter(|_| handled != Some(request))
}
