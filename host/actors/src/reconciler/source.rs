//! Takes bytes from where they come from: a folder of this machine for now.

use super::failure::JobError;
use super::job::{ModuleOrigin, ProviderOrigin, SourceIdentity};
use opendepot_domain::{ArtifactId, Kind, Sha256};
use std::path::{Path, PathBuf};
use tempfile::TempPath;

/// Finds and fetches sources.
pub struct Sources {}

/// A module's source, taken.
pub(super) enum Taken {
    Folder { path: PathBuf, identity: SourceIdentity },
    #[allow(dead_code, reason = "next slice")]
    File { file: TempPath, identity: SourceIdentity },
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
    pub(super) sha256: Sha256,
    pub(super) size: u64,
    pub(super) protocols: Vec<String>,
    pub(super) identity: SourceIdentity,
}

impl Sources {
    pub(super) async fn module(
        &self,
        _: &ArtifactId,
        source: &ModuleOrigin,
        _: &Path,
        _: u64,
    ) -> Result<Taken, JobError> {
        match source {
            ModuleOrigin::Folder { root, path } => {
                let folder = root.join(path);
                if !folder.is_dir() {
                    return Err(JobError::source(Kind::NotFound, "SourceNotFound", format!("there is no folder `{path}`")));
                }
                Ok(Taken::Folder { path: folder, identity: SourceIdentity::default() })
            }
            ModuleOrigin::Github { .. } => Err(JobError::Unsupported("GitHub")),
        }
    }

    pub(super) async fn provider(
        &self,
        _: &ArtifactId,
        source: &ProviderOrigin,
        _: &Path,
        _: u64,
    ) -> Result<FoundProvider, JobError> {
        let _ = source;
        Err(JobError::Unsupported("providers"))
    }
}
