//! The plugin of a suite in the real host, which checks what it answers.

use crate::sample::NOW;
use crate::session::Session;
use crate::{Error, Options};
use opendepot_domain::seam::StorageDecisions as _;
use opendepot_domain::{
    Artifact, ArtifactId, ArtifactKind, ArtifactRecord, ConfigName, FileName, Namespace, Operation,
    Placement, Platform, PluginId, ResourceName, Sha256, Transfer, Version,
};
use opendepot_plugin::{
    GrantsConfig, HostConfig, PluginEntry, PluginHost, PluginPolicy, PluginState, Source,
};
use serde_json::{Map, Value};
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

/// The real host with the plugin alone in it.
pub(crate) struct Planner {
    host: PluginHost,
    name: PluginId,
}

impl Planner {
    pub(crate) async fn load(
        session: &Session,
        plugin: &Path,
        options: &Options,
        grants: GrantsConfig,
        root: &Path,
    ) -> Result<Result<Self, String>, Error> {
        let facts = session.invoker.facts();
        let folder = plugin
            .canonicalize()
            .map_err(|_| Error::NoPlugin(plugin.to_owned()))?;
        let config = HostConfig {
            entries: vec![PluginEntry {
                name: facts.name.clone(),
                source: Source::Folder(folder.clone()),
                sha256: Some(facts.digest),
                order: 100,
                settings: options.settings.clone(),
                grants,
            }],
            // Has to be there; no entry names a built-in.
            builtin_dir: folder,
            plugin_dirs: Vec::new(),
            policy: PluginPolicy {
                secrets_dir: options.secrets_dir.clone(),
                ..PluginPolicy::default()
            },
            limits: options.limits.clone(),
            filesystem_root: root.to_owned(),
            compile: options.compile.clone(),
        };
        let host = PluginHost::load(config)
            .await
            .map_err(|error| Error::Host(error.to_string()))?;
        let infos = host.describe();
        let own = infos.iter().find(|info| info.name == facts.name);
        Ok(match own.map(|info| &info.state) {
            Some(PluginState::Failed(reason)) => Err(reason.clone()),
            None => Err("the host does not know the plugin that it was given".to_owned()),
            Some(_) => Ok(Self {
                host,
                name: facts.name.clone(),
            }),
        })
    }

    pub(crate) async fn locate(&self, artifact: &Artifact) -> Result<Placement, String> {
        let located = self.host.locate(&self.name, None, artifact).await;
        located.map_err(|error| error.to_string())
    }

    /// As for a record: the place's store and key alone, and no block of a resource.
    pub(crate) async fn plan(
        &self,
        place: &Placement,
        artifact: &Artifact,
        operation: Operation,
    ) -> Result<Transfer, String> {
        self.plan_at(place, artifact, operation, NOW).await
    }

    /// As [`Self::plan`], for what is carried out at once.
    pub(crate) async fn plan_now(
        &self,
        place: &Placement,
        artifact: &Artifact,
        operation: Operation,
    ) -> Result<Transfer, String> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        let now = now.map_or(NOW, |elapsed| elapsed.as_secs());
        self.plan_at(place, artifact, operation, now).await
    }

    async fn plan_at(
        &self,
        place: &Placement,
        artifact: &Artifact,
        operation: Operation,
        now: u64,
    ) -> Result<Transfer, String> {
        let record = ArtifactRecord {
            plugin: self.name.clone(),
            store: place.store.clone(),
            key: place.key.clone(),
            file_name: artifact.file_name.clone(),
            media_type: artifact.media_type.clone(),
            size: artifact.size,
            sha256: artifact.sha256,
        };
        let planned = self.host.plan(&record, artifact, operation, now).await;
        planned.map_err(|error| error.to_string())
    }
}

fn invalid(error: impl std::fmt::Display) -> String {
    format!("the suite's own artifact is refused: {error}")
}

/// An artifact of the suite as the host has them.
pub(crate) fn domain_artifact(artifact: &Map<String, Value>) -> Result<Artifact, String> {
    let text = |name: &str| {
        artifact
            .get(name)
            .and_then(Value::as_str)
            .unwrap_or_default()
    };
    let config_name = artifact
        .get("attributes")
        .and_then(|attributes| attributes.pointer("/0/value")?.as_str())
        .unwrap_or_default();
    let is_module = text("kind") == "module";
    let platform = match is_module {
        true => None,
        false => Some(Platform::new(text("os"), text("arch")).map_err(invalid)?),
    };
    Ok(Artifact {
        id: ArtifactId {
            namespace: Namespace::new(text("namespace")).map_err(invalid)?,
            kind: if is_module {
                ArtifactKind::Module
            } else {
                ArtifactKind::Provider
            },
            name: ResourceName::new(text("name")).map_err(invalid)?,
            version: Version::parse(text("version")).map_err(invalid)?,
            platform,
        },
        config_name: ConfigName::new(config_name).map_err(invalid)?,
        file_name: FileName::new(text("file-name")).map_err(invalid)?,
        media_type: text("media-type").to_owned(),
        size: artifact
            .get("size")
            .and_then(Value::as_u64)
            .unwrap_or_default(),
        sha256: Sha256::from_hex(text("sha256")).map_err(invalid)?,
    })
}
