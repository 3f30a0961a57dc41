//! What the registry actor is told.

use crate::Error;
use actix::Message;
use opendepot_domain::{Artifact, ArtifactRecord, Operation, Sha256, Transfer};
use std::sync::Arc;

/// Facts changed. Bursts coalesce into one rebuild.
pub(super) struct CatalogChanged;

impl Message for CatalogChanged {
    type Result = ();
}

/// The pause of a burst is over.
pub(super) struct Rebuild;

impl Message for Rebuild {
    type Result = ();
}

/// A rebuild has finished on the pool.
pub(super) struct Rebuilt;

impl Message for Rebuilt {
    type Result = ();
}

/// Plan how recorded bytes are read, here or by a client. Concurrent calls for one placement share one plugin call.
pub(super) struct PlanRead {
    /// Digest over the placement: what single-flight goes by.
    pub(super) key: Sha256,
    pub(super) record: ArtifactRecord,
    pub(super) artifact: Artifact,
    pub(super) operation: Operation,
    pub(super) now: u64,
}

impl Message for PlanRead {
    type Result = Result<Arc<Transfer>, Arc<Error>>;
}
