//! Takes bytes from where they come from: folders of this machine, GitHub, provider registries.

use super::failure::JobError;
use super::job::{ModuleOrigin, ProviderOrigin, SourceIdentity, copy_in};
use super::metric::stage;
use opendepot_domain::{ArtifactId, Platform, Sha256};
use opendepot_transfer::{Fetcher, HashedState, Secret};
use opendepot_upstream::{
    ArchiveFormat, Error, Github, ModuleFolder, ProviderAddress, ProviderRegistry, ReleaseFolder,
    Repository, Trust, fetch_module, fetch_package,
};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tempfile::TempPath;
use url::Url;

/// Where a fetch stands: which artifact, bytes so far, and how many are announced.
pub type Progress = Arc<dyn Fn(&ArtifactId, u64, Option<u64>) + Send + Sync>;

/// How to build [`Sources`].
pub struct SourceOptions {
    /// Fetches under the egress policy for sources.
    pub fetcher: Fetcher,
    /// The GitHub API.
    pub github_api: Url,
    /// A token for it, sent to its origin only.
    pub github_token: Option<Secret>,
    /// Is told how fetches go on.
    pub progress: Progress,
}

/// Finds and fetches sources.
pub struct Sources {
    fetcher: Fetcher,
    github: Github,
    progress: Progress,
}

/// A module's source, taken.
pub(super) enum Taken {
    /// A folder, held open.
    Folder {
        folder: ModuleFolder,
        identity: SourceIdentity,
    },
    /// An archive.
    File {
        file: TempPath,
        identity: SourceIdentity,
    },
}

impl Taken {
    pub(super) fn into_identity(self) -> SourceIdentity {
        match self {
            Self::Folder { identity, .. } | Self::File { identity, .. } => identity,
        }
    }
}

/// A provider package, taken.
pub(super) struct FoundProvider {
    pub(super) file: TempPath,
    pub(super) hashed: Option<HashedState>,
    pub(super) sha256: Sha256,
    pub(super) size: u64,
    pub(super) protocols: Vec<String>,
    pub(super) identity: SourceIdentity,
}

impl Sources {
    /// Builds the sources.
    ///
    /// # Errors
    /// [`JobError::Source`] when the GitHub API's address cannot be one.
    pub fn new(options: SourceOptions) -> Result<Self, JobError> {
        let SourceOptions {
            fetcher,
            github_api,
            github_token,
            progress,
        } = options;
        let github = Github::new(fetcher.clone(), &github_api, github_token)?;
        Ok(Self {
            fetcher,
            github,
            progress,
        })
    }

    /// Takes a module's source.
    pub(super) async fn module(
        &self,
        id: &ArtifactId,
        source: &ModuleOrigin,
        temp_dir: &Path,
        limit: u64,
    ) -> Result<Taken, JobError> {
        match source {
            ModuleOrigin::Folder { root, path } => {
                let (root, beneath) = (root.clone(), path.clone());
                let open = blocking(move || Ok(ModuleFolder::open(&root, &beneath)?));
                let folder = stage("resolve", open).await?;
                let identity = SourceIdentity {
                    url: Some(path.clone()),
                    verification: "a folder of this machine: there is nothing to verify it against"
                        .to_owned(),
                    ..SourceIdentity::default()
                };
                Ok(Taken::Folder { folder, identity })
            }
            ModuleOrigin::Github {
                owner,
                repository,
                tag_prefix,
                ..
            } => {
                let repository = Repository::new(owner, repository).map_err(Error::from)?;
                let resolve =
                    self.github
                        .resolve(&repository, tag_prefix, &id.version, ArchiveFormat::TarGz);
                let origin = stage("resolve", resolve).await?;
                let progress = |done, total| (self.progress)(id, done, total);
                let fetch = fetch_module(&self.fetcher, &origin, temp_dir, limit, &progress);
                let downloaded = stage("fetch", fetch).await?;
                let identity = SourceIdentity {
                    url: Some(origin.url()),
                    commit: Some(origin.commit),
                    tag: Some(origin.tag),
                    repository_id: Some(origin.repository_id),
                    upstream_sha256: Some(downloaded.sha256),
                    signing_key: None,
                    is_verified: true,
                    verification: "the archive is the tag's commit, over TLS".to_owned(),
                };
                Ok(Taken::File {
                    file: downloaded.file.into_temp_path(),
                    identity,
                })
            }
        }
    }

    /// Takes a provider package.
    pub(super) async fn provider(
        &self,
        id: &ArtifactId,
        source: &ProviderOrigin,
        temp_dir: &Path,
        limit: u64,
    ) -> Result<FoundProvider, JobError> {
        let platform = id
            .platform
            .as_ref()
            .ok_or(JobError::Unsupported("a provider without a platform"))?;
        match source {
            ProviderOrigin::Folder { root, path } => {
                local(id, platform, root.clone(), path, temp_dir, limit).await
            }
            ProviderOrigin::Registry {
                base_url,
                namespace,
                name,
                key_ids,
                allow_unsigned,
            } => {
                let trust = Trust {
                    key_ids: key_ids.clone(),
                    allow_unsigned: *allow_unsigned,
                };
                let address = ProviderAddress::new(namespace, name).map_err(Error::from)?;
                let base: Url = base_url
                    .parse()
                    .map_err(|_| JobError::Unsupported("a registry without an address"))?;
                let resolve = async {
                    let registry = ProviderRegistry::discover(&self.fetcher, &base).await?;
                    registry
                        .package(&address, &id.version, platform, &trust)
                        .await
                };
                let origin = stage("resolve", resolve).await?;
                let progress = |done, total| (self.progress)(id, done, total);
                let fetch = fetch_package(&self.fetcher, &origin, temp_dir, limit, &progress);
                let downloaded = stage("fetch", fetch).await?;
                let identity = SourceIdentity {
                    url: Some(origin.url()),
                    upstream_sha256: Some(downloaded.sha256),
                    signing_key: origin.signed_by,
                    is_verified: false,
                    verification: "the release carries no signature, as the configuration allows"
                        .to_owned(),
                    ..SourceIdentity::default()
                };
                Ok(FoundProvider {
                    hashed: HashedState::of(downloaded.file.as_file()).ok(),
                    file: downloaded.file.into_temp_path(),
                    sha256: downloaded.sha256,
                    size: downloaded.size,
                    protocols: origin.protocols,
                    identity,
                })
            }
        }
    }
}

/// A package of a release folder, copied in while it is hashed and compared with SHA256SUMS.
async fn local(
    id: &ArtifactId,
    platform: &Platform,
    root: PathBuf,
    path: &str,
    temp_dir: &Path,
    limit: u64,
) -> Result<FoundProvider, JobError> {
    let (name, version, platform, beneath) = (
        id.name.clone(),
        id.version.clone(),
        platform.clone(),
        path.to_owned(),
    );
    let resolve = blocking(move || {
        Ok(ReleaseFolder::open(&root, &beneath)?.package(&name, &version, &platform)?)
    });
    let package = stage("resolve", resolve).await?;
    let from = package.file.try_clone().map_err(|source| JobError::Io {
        attempt: "read the source",
        source,
    })?;
    let fetch = async {
        let copied = copy_in(from, temp_dir.to_owned(), limit).await?;
        package.verify(&copied.2)?;
        Ok::<_, JobError>(copied)
    };
    let (file, hashed, sha256, size) = stage("fetch", fetch).await?;
    let has_sums = package.sha256.is_some();
    let verification = if has_sums {
        "the package is as SHA256SUMS lists it"
    } else {
        "the folder has no SHA256SUMS"
    };
    let identity = SourceIdentity {
        url: Some(format!("{path}/{}", package.file_name)),
        upstream_sha256: Some(sha256),
        is_verified: has_sums,
        verification: verification.to_owned(),
        ..SourceIdentity::default()
    };
    Ok(FoundProvider {
        file,
        hashed: Some(hashed),
        sha256,
        size,
        protocols: package.protocols,
        identity,
    })
}

async fn blocking<T, F>(work: F) -> Result<T, JobError>
where
    T: Send + 'static,
    F: FnOnce() -> Result<T, JobError> + Send + 'static,
{
    tokio::task::spawn_blocking(work)
        .await
        .unwrap_or(Err(JobError::Panicked))
}
