//! Bringing an artifact's bytes to the place that was recorded for it.
//!
//! The file store is create-only and compares what is there. A cloud's is create-only; what is there
//! already is read and compared here. A server that signed requests reach is not trusted to do
//! either: it may ignore the condition of a put, answer success without storing, or store something
//! else. So the host looks before it writes, and reads everything back before it records anything.

use super::failure::JobError;
use super::job::Workshop;
use opendepot_domain::{Artifact, ArtifactRecord, Kind, Operation, Transfer};
use opendepot_transfer::{Error, Expected, Put, Source};

impl Workshop {
    pub(super) async fn put(
        &self,
        record: &ArtifactRecord,
        artifact: &Artifact,
        source: Source<'_>,
    ) -> Result<(), JobError> {
        let prepare = self.plan(record, artifact, Operation::Prepare).await?;
        self.stores.prepare(&prepare).await?;
        let plan = self.plan(record, artifact, Operation::Put).await?;
        let expected = Expected {
            size: record.size,
            sha256: record.sha256,
        };
        let is_trusted = !matches!(plan, Transfer::Signed(_));
        let put = if !is_trusted && self.is_there(record, artifact).await? {
            Put::Occupied
        } else {
            self.stores.put(&plan, source, expected).await?
        };
        if is_trusted && put != Put::Occupied {
            return Ok(());
        }
        self.compare(record, artifact, expected, put).await
    }

    async fn is_there(
        &self,
        record: &ArtifactRecord,
        artifact: &Artifact,
    ) -> Result<bool, JobError> {
        let head = self.plan(record, artifact, Operation::Head).await?;
        Ok(self.stores.head(&head).await?.is_some())
    }

    /// Reads back what is there now.
    async fn compare(
        &self,
        record: &ArtifactRecord,
        artifact: &Artifact,
        expected: Expected,
        put: Put,
    ) -> Result<(), JobError> {
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
