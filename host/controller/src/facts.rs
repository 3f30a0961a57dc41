//! What serving needs of an object, and nothing else.

use crate::seal;
use crate::version::intent;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use kube::{Resource as _, ResourceExt as _};
use opendepot_actors::registry::{ModuleResource, ProviderResource, VersionResource};
use opendepot_crds::{Module, Provider, StorageConfig, VerdictResult, Version};
use opendepot_domain::{
    ArtifactKind, ArtifactRecord, H1, Namespace, Presign, Release, ResourceName,
};
use opendepot_identity::{ArtifactKeys, SealState};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

pub(crate) fn module(module: &Module) -> Option<ModuleResource> {
    (module.meta().deletion_timestamp.is_none()).then_some(())?;
    Some(ModuleResource {
        namespace: Namespace::new(module.namespace()?).ok()?,
        name: ResourceName::new(module.name_any()).ok()?,
        uid: module.uid()?,
        system: module.spec.module_config.provider.clone(),
    })
}

pub(crate) fn provider(provider: &Provider) -> Option<ProviderResource> {
    (provider.meta().deletion_timestamp.is_none()).then_some(())?;
    let deprecated = provider
        .spec
        .versions
        .iter()
        .filter_map(|entry| Some((entry.parsed().ok()?, entry.deprecated.clone()?)))
        .collect();
    Some(ProviderResource {
        namespace: Namespace::new(provider.namespace()?).ok()?,
        name: ResourceName::new(provider.name_any()).ok()?,
        uid: provider.uid()?,
        deprecated,
    })
}

/// Nothing unless the status is ours, the bytes are recorded and the verdict permits them.
/// `default` is the operator's storage, for resources that name none.
pub(crate) fn version(
    keys: &ArtifactKeys,
    default: Option<&StorageConfig>,
    version: &Version,
) -> Option<VersionResource> {
    if seal::check(keys, version) == SealState::Invalid {
        return None;
    }
    let status = version.status.as_ref()?;
    if status
        .verdict
        .as_ref()
        .is_none_or(|verdict| verdict.result == VerdictResult::Block)
    {
        return None;
    }
    let (id, config_name) = intent::identity(version).ok()?;
    let is_deleting = version.meta().deletion_timestamp.is_some();
    if is_deleting && id.kind == ArtifactKind::Module {
        return None;
    }
    let record = ArtifactRecord::try_from(status.artifact.as_ref()?).ok()?;
    let releases: Vec<Release> = status
        .releases
        .iter()
        .filter_map(|release| Release::try_from(release).ok())
        .collect();
    Some(VersionResource {
        object_name: version.name_any(),
        owner_uid: intent::owner(version)
            .filter(|(kind, ..)| *kind == id.kind)
            .map(|(.., uid)| uid),
        is_deleting,
        backend_path: backend_path(version, &record, config_name.as_str()),
        presign: presign(version, default, &record),
        previous: status
            .previous
            .as_ref()
            .and_then(|previous| ArtifactRecord::try_from(previous).ok()),
        h1: status.h1.clone().and_then(|h1| H1::try_from(h1).ok()),
        protocols: status.protocols.clone(),
        releases,
        id,
        config_name,
        record,
    })
}

fn storage(version: &Version) -> Option<&StorageConfig> {
    let spec = &version.spec;
    match (&spec.module_config_ref, &spec.provider_config_ref) {
        (Some(config), _) => config.storage_config.as_ref(),
        (None, Some(config)) => config.storage_config.as_ref(),
        (None, None) => None,
    }
}

/// Links are made of what is recorded, so a file system makes none whatever the resource says.
fn presign(
    version: &Version,
    default: Option<&StorageConfig>,
    record: &ArtifactRecord,
) -> Option<Presign> {
    if record.store.starts_with("file:") {
        return None;
    }
    let storage = storage(version).unwrap_or(&StorageConfig::EMPTY);
    // A life that is none was refused before anything was recorded.
    storage.presign_or(default).ok().flatten()
}

/// The original's four shapes of a download path, and `plugin/…` for everything else
/// (contract.md 4). Compared with records only, never used to reach a backend.
fn backend_path(version: &Version, record: &ArtifactRecord, config_name: &str) -> String {
    let file = &record.file_name;
    let escape = |text: &str| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
    let storage = storage(version).cloned().unwrap_or_default();
    if let Some(s3) = &storage.s3 {
        return format!("s3/{}/{}/{config_name}/{file}", s3.bucket, s3.region);
    }
    if let Some(gcs) = &storage.gcs {
        return format!("gcs/{}/{config_name}/{file}", gcs.bucket);
    }
    if let Some(azure) = &storage.azure_storage {
        let url = escape(&azure.account_url);
        let (id, group, name) = (
            &azure.subscription_id,
            &azure.resource_group,
            &azure.account_name,
        );
        return format!("azure/{id}/{group}/{name}/{url}/{config_name}/{file}");
    }
    if let Some(directory) = storage
        .file_system
        .as_ref()
        .and_then(|block| block.directory_path.as_deref())
    {
        return format!(
            "fileSystem/{}/{config_name}/{file}",
            URL_SAFE_NO_PAD.encode(directory)
        );
    }
    format!("plugin/{}/{config_name}/{file}", record.plugin)
}
