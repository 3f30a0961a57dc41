//! What the reconciler actor is told.

use super::failure::JobError;
use super::job::{Fetched, Origin};
use actix::Message;
use opendepot_domain::{Artifact, ArtifactId, ArtifactRecord, Namespace};
use std::sync::Arc;

/// Fetch and inspect a source. Requests with one source key share one fetch.
pub(super) struct FetchSource {
    pub(super) id: ArtifactId,
    pub(super) origin: Origin,
}

impl Message for FetchSource {
    type Result = Result<Arc<Fetched>, Arc<JobError>>;
}

/// Upload fetched bytes to their recorded place, create-only.
pub(super) struct StoreArtifact {
    pub(super) record: ArtifactRecord,
    pub(super) artifact: Artifact,
    pub(super) fetched: Arc<Fetched>,
}

impl Message for StoreArtifact {
    type Result = Result<(), Arc<JobError>>;
}

/// Copy recorded bytes to another place, create-only.
pub(super) struct CopyArtifact {
    pub(super) from: ArtifactRecord,
    pub(super) to: ArtifactRecord,
    pub(super) artifact: Artifact,
}

impl Message for CopyArtifact {
    type Result = Result<(), Arc<JobError>>;
}

/// Remove what this object put. A missing object is done.
pub(super) struct EraseArtifact {
    pub(super) record: ArtifactRecord,
    pub(super) artifact: Artifact,
}

impl Message for EraseArtifact {
    type Result = Result<(), Arc<JobError>>;
}

impl FetchSource {
    pub(super) const fn namespace(&self) -> &Namespace {
        &self.id.namespace
    }
}
