//! The jobs themselves: fetch and inspect, place, store, erase, probe. No actix; the actor
//! decides when each runs.

use super::failure::JobError;
use super::metric::{self, stage};
use super::source::{Sources, Taken};
use opendepot_archive::{Cancel, Format, Limits as ArchiveLimits, ModuleInput, Wrapper};
use opendepot_domain::seam::StorageDecisions;
use opendepot_domain::{
    Artifact, ArtifactId, ArtifactRecord, H1, Operation, PluginId, ResourceName, Sha256, Transfer,
};
use opendepot_transfer::{Expected, HashedState, Source, Stores};
use sha2::Digest as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};
use tempfile::{NamedTempFile, TempPath};

/// Where an artifact comes from, resolved and bounded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// A module.
    Module {
        /// From where.
        source: ModuleOrigin,
        /// Whether it is packed as tar.gz rather than zip.
        is_tar: bool,
    },
    /// A provider package for one platform.
    Provider {
        /// From where.
        source: ProviderOrigin,
    },
}

/// Where a module comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ModuleOrigin {
    /// A folder beneath a root that bounds it.
    Folder {
        /// The root; links beneath it are not followed.
        root: PathBuf,
        /// The folder beneath it.
        path: String,
    },
    /// A tag of a GitHub repository.
    Github {
        /// The account.
        owner: String,
        /// The repository.
        repository: String,
        /// What a tag has before the version.
        tag_prefix: String,
        /// The folder that is the module.
        subdirectory: Option<String>,
    },
}

/// Where a provider package comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProviderOrigin {
    /// A release folder beneath a root that bounds it.
    Folder {
        /// The root; links beneath it are not followed.
        root: PathBuf,
        /// The folder beneath it.
        path: String,
    },
    /// Another provider registry.
    Registry {
        /// Its base URL, such as `https://registry.example`.
        base_url: String,
        /// The organisation there.
        namespace: String,
        /// The provider's name there.
        name: String,
        /// The only signing keys that count; empty: any that the registry lists.
        key_ids: Vec<String>,
        /// Whether a release without a signature is taken.
        allow_unsigned: bool,
    },
}

impl Origin {
    /// Equal for two requests that one fetch can answer.
    pub(super) fn source_key(&self, id: &ArtifactId) -> String {
        let platform = id
            .platform
            .as_ref()
            .map(ToString::to_string)
            .unwrap_or_default();
        // A provider package is checked for the executable of its resource's name.
        format!("{self:?}|{}|{platform}|{}", id.version, id.name)
    }
}

/// Who the source says that it is, and what was checked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SourceIdentity {
    /// The commit of the tag.
    pub commit: Option<String>,
    /// The tag that was found.
    pub tag: Option<String>,
    /// The repository's number.
    pub repository_id: Option<u64>,
    /// Where the bytes came from, without query.
    pub url: Option<String>,
    /// Digest of the bytes as they were sent.
    pub upstream_sha256: Option<Sha256>,
    /// The key whose signature was verified.
    pub signing_key: Option<String>,
    /// Whether something that the source itself published was checked.
    pub is_verified: bool,
    /// What was checked, in words.
    pub verification: String,
}

/// Inspected bytes, ready to be stored. The file goes when the last holder does.
#[derive(Debug)]
pub struct Fetched {
    file: TempPath,
    /// The state that the file was in when it was hashed; only then is it stored without being read again.
    pub(super) hashed: Option<HashedState>,
    /// Digest of the bytes to store.
    pub sha256: Sha256,
    /// Their size.
    pub size: u64,
    /// Their media type.
    pub media_type: &'static str,
    /// Extension of the stored file.
    pub extension: &'static str,
    /// Digest of a module's files, whatever they are packed in.
    pub tree_digest: Option<Sha256>,
    /// Directory hash of a provider package.
    pub h1: Option<H1>,
    /// Plugin protocols of a provider.
    pub protocols: Vec<String>,
    /// Whether nothing said which protocols those are.
    pub are_protocols_assumed: bool,
    /// A module's README.
    pub readme: Option<String>,
    /// The source.
    pub source: SourceIdentity,
}

impl Fetched {
    /// The file with the bytes; it lives as long as this value.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.file
    }
}

/// How jobs work.
pub struct Workshop {
    /// Finds and fetches sources.
    pub sources: Sources,
    /// Decides places.
    pub storage: Arc<dyn StorageDecisions>,
    /// Moves bytes to and from places.
    pub stores: Stores,
    /// Where temp files are made.
    pub temp_dir: PathBuf,
    /// Limits on modules.
    pub module_limits: ArchiveLimits,
    /// Limits on provider packages.
    pub provider_limits: ArchiveLimits,
}

impl Workshop {
    /// Fetches, inspects and, for a module, repackages.
    pub(super) async fn fetch(
        &self,
        id: &ArtifactId,
        origin: &Origin,
    ) -> Result<Fetched, JobError> {
        match origin {
            Origin::Module { source, is_tar } => self.fetch_module(id, source, *is_tar).await,
            Origin::Provider { source } => self.fetch_provider(id, source).await,
        }
    }

    async fn fetch_module(
        &self,
        id: &ArtifactId,
        source: &ModuleOrigin,
        is_tar: bool,
    ) -> Result<Fetched, JobError> {
        let taken = self
            .sources
            .module(id, source, &self.temp_dir, self.module_limits.packed_bytes)
            .await?;
        let format = if is_tar { Format::TarGz } else { Format::Zip };
        let (temp_dir, limits) = (self.temp_dir.clone(), self.module_limits);
        let subdirectory = match source {
            ModuleOrigin::Github { subdirectory, .. } => subdirectory.clone(),
            ModuleOrigin::Folder { .. } => None,
        };
        let inspect = blocking(move |cancel| {
            let mut output = new_temp(&temp_dir)?;
            let input = match &taken {
                Taken::Folder { folder, .. } => ModuleInput::Folder(folder.path()),
                Taken::File { file, .. } => ModuleInput::Archive {
                    file,
                    wrapper: Wrapper::Strip,
                },
            };
            let package = opendepot_archive::package_module(
                &input,
                subdirectory.as_deref(),
                format,
                output.as_file_mut(),
                &temp_dir,
                &limits,
                cancel,
            )?;
            let mut source = taken.into_identity();
            if source.commit.is_none() {
                source.commit = package.commit;
            }
            let hashed = HashedState::of(output.as_file()).ok();
            Ok(Fetched {
                file: output.into_temp_path(),
                hashed,
                sha256: package.sha256,
                size: package.size,
                media_type: format.media_type(),
                extension: format.extension(),
                tree_digest: Some(package.tree_digest),
                h1: None,
                protocols: Vec::new(),
                are_protocols_assumed: false,
                readme: package.readme,
                source,
            })
        });
        stage("inspect", inspect).await
    }

    async fn fetch_provider(
        &self,
        id: &ArtifactId,
        source: &ProviderOrigin,
    ) -> Result<Fetched, JobError> {
        let limit = self.provider_limits.packed_bytes;
        let found = self
            .sources
            .provider(id, source, &self.temp_dir, limit)
            .await?;
        let (limits, name): (_, ResourceName) = (self.provider_limits, id.name.clone());
        let file = found.file;
        let inspect = blocking(move |cancel| {
            let inspection = opendepot_archive::inspect_provider(&file, &name, &limits, cancel)?;
            Ok((file, inspection))
        });
        let (file, inspection) = stage("inspect", inspect).await?;
        let are_protocols_assumed = found.protocols.is_empty();
        let protocols = if are_protocols_assumed {
            vec!["5.0".to_owned()]
        } else {
            found.protocols
        };
        Ok(Fetched {
            file,
            hashed: found.hashed,
            sha256: found.sha256,
            size: found.size,
            media_type: opendepot_domain::artifact::MEDIA_TYPE_ZIP,
            extension: "zip",
            tree_digest: None,
            h1: Some(inspection.h1),
            protocols,
            are_protocols_assumed,
            readme: None,
            source: found.identity,
        })
    }

    /// Asks the storage plugin where the artifact is to live.
    pub(super) async fn locate(
        &self,
        plugin: &PluginId,
        backend: Option<&str>,
        artifact: &Artifact,
    ) -> Result<ArtifactRecord, JobError> {
        let placement = self
            .storage
            .locate(plugin, backend, artifact)
            .await
            .map_err(JobError::Storage)
            .inspect_err(|error| metric::count("store", error.reason()))?;
        Ok(ArtifactRecord {
            plugin: plugin.clone(),
            store: placement.store,
            key: placement.key,
            file_name: artifact.file_name.clone(),
            media_type: artifact.media_type.clone(),
            size: artifact.size,
            sha256: artifact.sha256,
        })
    }

    /// Uploads, create-only; what is there already must be the same bytes.
    pub(super) async fn store(
        &self,
        record: &ArtifactRecord,
        artifact: &Artifact,
        fetched: &Fetched,
    ) -> Result<(), JobError> {
        let source = Source {
            path: fetched.path(),
            hashed: fetched.hashed,
        };
        stage("store", self.put(record, artifact, source)).await
    }

    /// Copies through a temp file: neither side has to know the other.
    pub(super) async fn copy(
        &self,
        from: &ArtifactRecord,
        to: &ArtifactRecord,
        artifact: &Artifact,
    ) -> Result<(), JobError> {
        let get = self.plan(from, artifact, Operation::Get).await?;
        let temp = new_temp(&self.temp_dir)?;
        let expected = Expected {
            size: from.size,
            sha256: from.sha256,
        };
        self.stores.copy_to(&get, expected, temp.path()).await?;
        stage("store", self.put(to, artifact, temp.path().into())).await
    }

    pub(super) async fn erase(
        &self,
        record: &ArtifactRecord,
        artifact: &Artifact,
    ) -> Result<(), JobError> {
        let plan = self.plan(record, artifact, Operation::Delete).await?;
        Ok(self.stores.delete(&plan).await?)
    }

    pub(super) async fn probe(
        &self,
        record: &ArtifactRecord,
        artifact: &Artifact,
    ) -> Result<bool, JobError> {
        let plan = self.plan(record, artifact, Operation::Head).await?;
        Ok(self.stores.head(&plan).await? == Some(record.size))
    }

    pub(super) async fn plan(
        &self,
        record: &ArtifactRecord,
        artifact: &Artifact,
        operation: Operation,
    ) -> Result<Transfer, JobError> {
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |elapsed| elapsed.as_secs());
        self.storage
            .plan(record, artifact, operation, now)
            .await
            .map_err(JobError::Storage)
    }
}

/// Runs blocking work; dropping the future cancels it between two chunks.
async fn blocking<T, F>(work: F) -> Result<T, JobError>
where
    T: Send + 'static,
    F: FnOnce(&Cancel) -> Result<T, JobError> + Send + 'static,
{
    struct CancelOnDrop(Cancel);
    impl Drop for CancelOnDrop {
        fn drop(&mut self) {
            self.0.cancel();
        }
    }
    let cancel = CancelOnDrop(Cancel::default());
    let handle = cancel.0.clone();
    let done = tokio::task::spawn_blocking(move || work(&handle)).await;
    done.unwrap_or(Err(JobError::Panicked))
}

/// A temp file that its guard removes.
pub(super) fn new_temp(folder: &Path) -> Result<NamedTempFile, JobError> {
    let temp = tempfile::Builder::new()
        .prefix("fetch-")
        .tempfile_in(folder);
    temp.map_err(|source| JobError::Io {
        attempt: "create a temporary file",
        source,
    })
}

/// Copies a file into a temp file of ours, hashing as it goes; the one pass over the packed bytes.
pub(super) async fn copy_in(
    mut from: std::fs::File,
    folder: PathBuf,
    limit: u64,
) -> Result<(TempPath, HashedState, Sha256, u64), JobError> {
    blocking(move |cancel| {
        use std::io::{Read as _, Write as _};
        let io = |source| JobError::Io {
            attempt: "read the source",
            source,
        };
        let mut output = new_temp(&folder)?;
        let mut hasher = sha2::Sha256::new();
        let mut buffer = vec![0; 256 * 1024];
        let mut size = 0_u64;
        loop {
            let count = from.read(&mut buffer).map_err(io)?;
            let Some(chunk) = buffer.get(..count).filter(|chunk| !chunk.is_empty()) else {
                break;
            };
            size += count as u64;
            if size > limit || cancel.is_cancelled() {
                return Err(JobError::TooLarge { limit });
            }
            hasher.update(chunk);
            output.write_all(chunk).map_err(|source| JobError::Io {
                attempt: "write a temporary file",
                source,
            })?;
        }
        let hashed = HashedState::of(output.as_file()).map_err(io)?;
        Ok((
            output.into_temp_path(),
            hashed,
            Sha256::finish(hasher),
            size,
        ))
    })
    .await
}
