//! Bringing an artifact's bytes to the place that was recorded for it.
//!
//! A store of ours is create-only and compares what is there. A server that signed requests reach
//! is not trusted to do either: it may ignore the condition of a put, answer success without
//! storing, or store something else. So the host looks before it writes, and reads everything back
//! before it records anything.

use super::failure::JobError;
use super::job::{Fetched, Workshop};
use opendepot_domain::{Artifact, ArtifactRecord, Kind, Operation, Transfer};
use opendepot_transfer::{Error, Expected, Put, Source};

impl Workshop {
    pub(super) async fn put(
        &self,
        record: &ArtifactRecord,
        artifact: &Artifact,
        fetched: &Fetched,
    ) -> Result<(), JobError> {
        let prepare = self.plan(record, artifact, Operation::Prepare).await?;
        if matches!(prepare, Transfer::Native(_)) {
            return Err(JobError::Unsupported(
                "this plugin asks for a container to be created",
            ));
        }
        self.stores.prepare(&prepare).await?;
        let plan = self.plan(record, artifact, Operation::Put).await?;
        let expected = Expected {
            size: record.size,
            sha256: record.sha256,
        };
        let source = Source {
            path: fetched.path(),
            hashed: fetched.hashed,
        };
        if matches!(plan, Transfer::Signed(_)) {
            return self
                .put_signed(record, artifact, &plan, source, expected)
                .await;
        }
        self.stores.put(&plan, source, expected).await?;
        Ok(())
    }

    async fn put_signed(
        &self,
        record: &ArtifactRecord,
        artifact: &Artifact,
        plan: &Transfer,
        source: Source<'_>,
        expected: Expected,
    ) -> Result<(), JobError> {
        let head = self.plan(record, artifact, Operation::Head).await?;
        let is_there = self.stores.head(&head).await?.is_some();
        let put = if is_there {
            Put::Occupied
        } else {
            self.stores.put(plan, source, expected).await?
        };
        let get = self.plan(record, artifact, Operation::Get).await?;
        let read = self.stores.verify(&get, expected, &|_| ()).await;
        let Err(error) = read else {
            return Ok(());
        };
        if error.kind() == Kind::Corrupt {
            if put == Put::Occupied {
                let what = format!("object `{}` in `{}`", record.key, record.store);
                return Err(Error::Conflict { what }.into());
            }
            // What we have just written came out as something else. Left there, it would stand in
            // the way of the next try.
            if let Err(erasing) = self.erase(record, artifact).await {
                tracing::warn!(
                    artifact.key = %record.key,
                    "cannot remove an upload that came out wrong: {erasing}"
                );
            }
        }
        Err(error.into())
    }
}
