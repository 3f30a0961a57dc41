//! What a Version asks for, resolved and checked: nothing here touches anything.

use crate::context::Context;
use kube::ResourceExt as _;
use opendepot_actors::reconciler::{ModuleOrigin, Origin, ProviderOrigin};
use opendepot_crds as crds;
use opendepot_crds::{Backend, Reason, Version};
use opendepot_domain::canonical::Canonical;
use opendepot_domain::{
    ArtifactId, ArtifactKind, ConfigName, FileName, Namespace, PluginId, ResourceName, Sha256,
};
use std::path::{Component, Path, PathBuf};

const FILE_SYSTEM: &str = "storage-fs";

/// A Version's wishes, complete.
#[derive(Clone, Debug)]
pub(crate) struct Intent {
    pub(crate) id: ArtifactId,
    pub(crate) config_name: ConfigName,
    pub(crate) origin: Origin,
    pub(crate) backend: Backend,
    pub(crate) file_name: Option<FileName>,
    pub(crate) is_immutable: bool,
    /// Changes with whatever of the spec a sync depends on: the source, `-`, and the backend.
    pub(crate) digest: String,
}

/// Why an object cannot be worked on as it is.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{message}")]
pub struct Refusal {
    /// The condition reason.
    pub reason: Reason,
    /// In words.
    pub message: String,
}

impl Refusal {
    pub(crate) fn new(reason: Reason, message: impl Into<String>) -> Self {
        Self {
            reason,
            message: message.into(),
        }
    }
}

fn invalid(error: impl std::fmt::Display) -> Refusal {
    Refusal::new(Reason::InvalidSpec, error.to_string())
}

/// The Module or Provider that controls a Version: its kind and name.
pub(crate) fn owner(version: &Version) -> Option<(ArtifactKind, String, String)> {
    let owner = version
        .owner_references()
        .iter()
        .find(|owner| owner.controller == Some(true) && owner.api_version == crds::API_VERSION)?;
    match owner.kind.as_str() {
        "Module" => Some((ArtifactKind::Module, owner.name.clone(), owner.uid.clone())),
        "Provider" => Some((
            ArtifactKind::Provider,
            owner.name.clone(),
            owner.uid.clone(),
        )),
        _ => None,
    }
}

/// Which artifact a Version stands for, and the name of its config.
///
/// # Errors
/// [`Refusal`] when the spec does not say.
pub fn identity(version: &Version) -> Result<(ArtifactId, ConfigName), Refusal> {
    let spec = &version.spec;
    if spec.has_both_refs() {
        return Err(Refusal::new(Reason::BothRefsSet, crds::SYNC_BOTH_REFS));
    }
    let kind = spec.kind().map_err(invalid)?;
    let owner = owner(version);
    let labels = version.labels();
    let (configured, label) = match kind {
        ArtifactKind::Module => (
            spec.module_config_ref
                .as_ref()
                .and_then(|config| config.name.clone()),
            crds::LABEL_MODULE,
        ),
        ArtifactKind::Provider => (
            spec.provider_config_ref
                .as_ref()
                .and_then(|config| config.name.clone()),
            crds::LABEL_PROVIDER,
        ),
    };
    let owner_name = owner
        .filter(|(owner_kind, ..)| *owner_kind == kind)
        .map(|(_, name, _)| name);
    let config_text = configured
        .or_else(|| owner_name.clone())
        .or_else(|| labels.get(label).cloned());
    let config_text = config_text.ok_or_else(|| {
        Refusal::new(
            Reason::InvalidSpec,
            "the config reference has no `name` and no owner gives one",
        )
    })?;
    let config_name = ConfigName::new(config_text.clone()).map_err(invalid)?;
    let id = ArtifactId {
        namespace: Namespace::new(version.namespace().unwrap_or_default()).map_err(invalid)?,
        kind,
        name: ResourceName::new(owner_name.unwrap_or(config_text)).map_err(invalid)?,
        version: spec
            .parsed()
            .map_err(|error| Refusal::new(Reason::InvalidVersion, error.to_string()))?,
        platform: spec.platform().map_err(invalid)?,
    };
    Ok((id, config_name))
}

impl Intent {
    /// Resolves a Version's spec. `module` is the Module of the same name, for a stand-alone
    /// Version that says nothing about its source.
    pub(crate) fn resolve(
        version: &Version,
        module: Option<&crds::Module>,
        context: &Context,
    ) -> Result<Self, Refusal> {
        let object_name = version.name_any();
        if object_name.contains('.') {
            return Err(Refusal::new(
                Reason::InvalidName,
                crds::sync_invalid_name(&object_name),
            ));
        }
        let (id, config_name) = identity(version)?;
        let spec = &version.spec;
        let (origin, storage, is_immutable) = match id.kind {
            ArtifactKind::Module => module_origin(spec, module, &id, context)?,
            ArtifactKind::Provider => provider_origin(spec, &id, context)?,
        };
        let backend = backend(storage.as_ref(), context)?;
        let file_name = spec
            .file_name
            .clone()
            .map(FileName::new)
            .transpose()
            .map_err(invalid)?;
        let origin_text = format!("{:?}", without_manifests(&origin, context));
        let backend_json = backend.backend_json.as_deref().unwrap_or_default();
        let source = digest("intent-source", &[&origin_text]);
        let backend_digest = digest("intent-backend", &[backend.plugin.as_str(), backend_json]);
        let digest = format!("{source}-{backend_digest}");
        Ok(Self {
            id,
            config_name,
            origin,
            backend,
            file_name,
            is_immutable,
            digest,
        })
    }

    /// Whether `token` is of this intent, whatever was requested then.
    pub(crate) fn is_of(&self, token: &str) -> bool {
        token
            .split_once('/')
            .is_some_and(|(digest, _)| digest == self.digest)
    }

    /// What `token` says once the bytes are where this intent wants them, when nothing else of it
    /// differs.
    pub(crate) fn moved(&self, token: &str) -> Option<String> {
        let source = |digest: &str| Some(digest.split_once('-')?.0.to_owned());
        let (digest, request) = token.split_once('/')?;
        (source(digest)? == source(&self.digest)?).then(|| self.token(Some(request)))
    }

    /// What `status.lastHandledSync` says once this intent and `request` have been acted on.
    pub(crate) fn token(&self, request: Option<&str>) -> String {
        format!("{}/{}", self.digest, request.unwrap_or("-"))
    }
}

fn digest(domain: &'static str, fields: &[&str]) -> String {
    let mut input = Canonical::new(domain);
    for field in fields {
        input.field(field);
    }
    let digest = Sha256::of(input.as_bytes()).to_string();
    digest.chars().take(12).collect()
}

/// The origin without the manifests folder that a relative path is relative to: moving the folder
/// changes nothing of what is asked, so nothing is read again (contract.md 3).
fn without_manifests(origin: &Origin, context: &Context) -> Origin {
    let mut origin = origin.clone();
    if let Origin::Module {
        source: ModuleOrigin::Folder { root, .. },
        ..
    }
    | Origin::Provider {
        source: ProviderOrigin::Folder { root, .. },
    } = &mut origin
        && Some(&*root) == context.options.manifests.as_ref()
    {
        root.clear();
    }
    origin
}

type Resolved = (Origin, Option<crds::StorageConfig>, bool);

fn module_origin(
    spec: &crds::VersionSpec,
    module: Option<&crds::Module>,
    id: &ArtifactId,
    context: &Context,
) -> Result<Resolved, Refusal> {
    let inline = spec.module_config_ref.as_ref().ok_or_else(|| {
        Refusal::new(
            Reason::MissingRef,
            "a Version of type Module needs `moduleConfigRef`",
        )
    })?;
    let has_source = inline.source.is_some() || inline.repo_owner.is_some();
    let config = match module {
        Some(module) if !has_source => &module.spec.module_config,
        _ => inline,
    };
    if config.uses_github_app() {
        return Err(github_app());
    }
    let format = config.file_format().map_err(invalid)?;
    let source = match config.origin(id.name.as_str()).map_err(invalid)? {
        crds::ModuleOrigin::Path(path) => {
            let (root, path) = folder(&path, id, context)?;
            ModuleOrigin::Folder { root, path }
        }
        crds::ModuleOrigin::Github {
            owner,
            repository,
            tag_prefix,
            subdirectory,
        } => ModuleOrigin::Github {
            owner,
            repository,
            tag_prefix,
            subdirectory,
        },
    };
    let is_tar = format == crds::FileFormat::TarGz;
    let storage = inline
        .storage_config
        .clone()
        .or_else(|| config.storage_config.clone());
    Ok((
        Origin::Module { source, is_tar },
        storage,
        config.is_immutable(),
    ))
}

fn provider_origin(
    spec: &crds::VersionSpec,
    id: &ArtifactId,
    context: &Context,
) -> Result<Resolved, Refusal> {
    let config = spec.provider_config_ref.as_ref().ok_or_else(|| {
        Refusal::new(
            Reason::MissingRef,
            "a Version of type Provider needs `providerConfigRef`",
        )
    })?;
    if config.uses_github_app() {
        return Err(github_app());
    }
    let source = match config.origin(id.name.as_str()).map_err(invalid)? {
        crds::ProviderOrigin::Path(path) => {
            let (root, path) = folder(&path, id, context)?;
            ProviderOrigin::Folder { root, path }
        }
        crds::ProviderOrigin::Registry {
            host,
            namespace,
            name,
            key_ids,
            allow_unsigned,
        } => {
            let base_url = host.map_or_else(
                || context.options.provider_registry.clone(),
                |host| format!("https://{host}"),
            );
            let allow_unsigned = allow_unsigned || !context.options.require_signature;
            ProviderOrigin::Registry {
                base_url,
                namespace,
                name,
                key_ids,
                allow_unsigned,
            }
        }
    };
    Ok((
        Origin::Provider { source },
        config.storage_config.clone(),
        false,
    ))
}

fn github_app() -> Refusal {
    Refusal::new(
        Reason::InvalidSpec,
        "`githubClientConfig.useAuthenticatedClient` is not available yet; set `sources.github.tokenFile` in the configuration",
    )
}

fn backend(storage: Option<&crds::StorageConfig>, context: &Context) -> Result<Backend, Refusal> {
    let refuse = |error: crds::Error| Refusal::new(Reason::StorageInvalid, error.to_string());
    let storage = storage.unwrap_or(&crds::StorageConfig::EMPTY);
    let presign = storage.presign_or(context.options.default_storage.as_ref());
    let presign = presign.map_err(refuse)?;
    let named = storage.backend().map_err(refuse)?;
    let default = context
        .options
        .default_storage
        .as_ref()
        .map(crds::StorageConfig::backend)
        .transpose();
    let backend = match named.or(default.map_err(refuse)?.flatten()) {
        Some(backend) => backend,
        None => Backend {
            plugin: PluginId::new(FILE_SYSTEM).map_err(invalid)?,
            backend_json: None,
        },
    };
    if backend.plugin.as_str() == FILE_SYSTEM && presign.is_some_and(|presign| !presign.falls_back)
    {
        return Err(Refusal::new(
            Reason::StorageInvalid,
            "`presign` without `fallbackToProxy` needs a store that makes links, and a file system makes none",
        ));
    }
    Ok(backend)
}

/// Splits a `source.path` into the root that bounds it and the path beneath.
fn folder(path: &str, id: &ArtifactId, context: &Context) -> Result<(PathBuf, String), Refusal> {
    let forbid = |message: String| Refusal::new(Reason::SourceForbidden, message);
    if !path.contains("{version}") {
        return Err(Refusal::new(
            Reason::InvalidSpec,
            format!("`source.path` `{path}` has no `{{version}}` placeholder"),
        ));
    }
    let filled = path
        .replace("{version}", &id.version.to_string())
        .replace("{namespace}", id.namespace.as_str());
    let filled = Path::new(&filled);
    if filled
        .components()
        .any(|part| matches!(part, Component::ParentDir))
    {
        return Err(forbid(format!("`source.path` `{path}` climbs with `..`")));
    }
    if filled.is_absolute() {
        let options = &context.options;
        let root = options
            .allowed_paths
            .iter()
            .find(|root| filled.starts_with(root))
            .ok_or_else(|| {
                forbid(format!(
                    "`source.path` `{path}` is not under one of `sources.allowedPaths`"
                ))
            })?;
        if options.watch_namespace.is_none() && !path.contains("{namespace}") {
            return Err(forbid(format!(
                "`source.path` `{path}` needs a `{{namespace}}` placeholder where more than one namespace is watched"
            )));
        }
        let beneath = filled.strip_prefix(root).map_err(invalid)?;
        return Ok((root.clone(), beneath.to_string_lossy().into_owned()));
    }
    let root = context.options.manifests.clone().ok_or_else(|| {
        forbid(format!("`source.path` `{path}` is relative, and there is no manifests folder that it could be relative to"))
    })?;
    let beneath: PathBuf = filled
        .components()
        .filter(|part| matches!(part, Component::Normal(_)))
        .collect();
    Ok((root, beneath.to_string_lossy().into_owned()))
}

#[cfg(test)]
#[path = "intent_tests.rs"]
mod tests;
