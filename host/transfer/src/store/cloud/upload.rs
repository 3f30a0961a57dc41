//! Puts: in one part under a condition, or in many parts, which become an object under a condition.
//!
//! Where the parts of an upload have no such end (Google Cloud Storage), they go to a staging key
//! beside the object, and the whole is copied. Elsewhere they are nothing until they are put together.

use super::client::{Backend, Client};
use super::condition;
use super::seen::{Failure, Trouble, watched};
use crate::error::{Damage, Error};
use crate::fault;
use crate::metric;
use crate::store::{Expected, Put, Source};
use bytes::Bytes;
use futures::stream::{FuturesUnordered, StreamExt as _};
use object_store::multipart::PartId;
use object_store::path::Path;
use object_store::{
    Attribute, Attributes, CopyMode, CopyOptions, GetOptions, MultipartId, ObjectStoreExt as _,
    PutMode, PutMultipartOptions, PutOptions, PutPayload,
};
use opendepot_domain::Sha256;
use opendepot_domain::placement::NativePlan;
use sha2::Digest as _;
use std::fs::File;
use std::io::Read as _;
use std::sync::Arc;
use std::time::Duration;
use uuid::Uuid;

/// One part, and the largest object that is put as one.
const PART_BYTES: u64 = 8 << 20;
/// Stores take this many parts.
const MAX_PARTS: u64 = 10_000;
/// Parts on their way at a time.
const PARTS_IN_FLIGHT: usize = 2;
/// Between an object's key and what tells one upload of it from another.
pub(super) const STAGING: &str = ".upload-";
/// An upload that another process is still at is younger than this.
const ABANDONED_AFTER: Duration = Duration::from_secs(3_600);

pub(super) async fn put(
    client: &Arc<Client>,
    path: &Path,
    plan: &NativePlan,
    source: Source<'_>,
    expected: Expected,
    conditions_hold: bool,
) -> Result<Put, Trouble> {
    let is_in_parts = expected.size > PART_BYTES;
    // Much is not sent only to be refused in the end.
    if (is_in_parts || !conditions_hold) && size(&client.writer, path).await?.is_some() {
        return Ok(Put::Occupied);
    }
    let mode = if conditions_hold {
        PutMode::Create
    } else {
        PutMode::Overwrite
    };
    let mut reader = Reader::open(source, expected, client.writer.label()).await?;
    let attributes = attributes(client, plan);
    if !is_in_parts {
        let (bytes, _) = reader.next(expected.size).await?;
        fault::point("storage.cloud.put");
        let options = PutOptions {
            mode,
            attributes,
            ..PutOptions::default()
        };
        let payload = PutPayload::from(bytes);
        let put = watched(client.writer.objects().put_opts(path, payload, options)).await;
        fault::point("storage.cloud.put.done");
        return match put {
            Ok(_) => Ok(Put::Created),
            Err(failure) if failure.is_condition() => Ok(Put::Occupied),
            Err(failure) => Err(failure.into()),
        };
    }
    collect(client, path, ABANDONED_AFTER).await;
    let mut upload = Upload::begin(client, path, attributes).await?;
    fault::point("storage.cloud.part.begin");
    let parts = match upload.send(&mut reader, expected).await {
        Ok(parts) => parts,
        Err(error) => {
            upload.abandon().await;
            return Err(error);
        }
    };
    fault::point("storage.cloud.part.sent");
    let published = upload.publish(path, parts, mode).await;
    upload.abandon().await;
    fault::point("storage.cloud.part.done");
    match published {
        Ok(()) => Ok(Put::Created),
        Err(failure) if failure.is_condition() => Ok(Put::Occupied),
        Err(failure) => Err(failure.into()),
    }
}

fn attributes(client: &Client, plan: &NativePlan) -> Attributes {
    let mut attributes = Attributes::new();
    for (name, value) in &plan.placement.attributes {
        let name = match name.to_ascii_lowercase().as_str() {
            "content-type" => Attribute::ContentType,
            "cache-control" => Attribute::CacheControl,
            "content-disposition" => Attribute::ContentDisposition,
            _ => Attribute::Metadata(name.clone().into()),
        };
        attributes.insert(name, value.clone().into());
    }
    if let Some(class) = &client.storage_class {
        attributes.insert(Attribute::StorageClass, class.clone().into());
    }
    attributes
}

/// The object's size; `None` when it is missing.
pub(super) async fn size(backend: &Backend, path: &Path) -> Result<Option<u64>, Failure> {
    let look = |head| {
        let options = GetOptions {
            head,
            ..GetOptions::default()
        };
        watched(backend.objects().get_opts(path, options))
    };
    let looked = match look(true).await {
        // Without a body the answer does not say whether the object is missing or its container, nor
        // whether it is the credential's end.
        Err(failure) if failure.is_mute() => look(false).await,
        looked => looked,
    };
    match looked {
        Ok(result) => Ok(Some(result.meta.size)),
        Err(failure) if failure.is_missing() => Ok(None),
        Err(failure) => Err(failure),
    }
}

/// Removes an object; one that is gone is removed.
pub(super) async fn remove(backend: &Backend, path: &Path) -> Result<(), Failure> {
    let removed = match backend {
        Backend::Azure(azure) => azure.delete(path).await,
        Backend::S3(_) | Backend::Gcs(_) => watched(backend.objects().delete(path)).await,
    };
    match removed {
        Err(failure) if !failure.is_missing() => Err(failure),
        _ => Ok(()),
    }
}

/// Removes what uploads of this object left behind that ended some time ago. A store that does not
/// say what is there keeps it: its own rules for unfinished uploads apply.
pub(super) async fn collect(client: &Client, path: &Path, older_than: Duration) {
    let unfinished = client.writer.abort_unfinished(path.as_ref(), older_than);
    if let Err(failure) = unfinished.await {
        let error = failure.into_error("look for unfinished uploads", &client.store);
        tracing::debug!(storage.store = client.store, "{error}");
    }
    // Elsewhere there is but what a try of the server left: that waits for the object's end.
    if !client.writer.is_staging() && !older_than.is_zero() {
        return;
    }
    let prefix = format!("{path}{STAGING}");
    let parent = path.as_ref().rsplit_once('/').map(|(parent, _)| parent);
    let parent = parent.and_then(|parent| Path::parse(parent).ok());
    let listed = watched(client.writer.objects().list_with_delimiter(parent.as_ref())).await;
    let objects = match listed {
        Ok(listed) => listed.objects,
        Err(failure) => {
            let error = failure.into_error("look for abandoned uploads", &client.store);
            tracing::debug!(storage.store = client.store, "{error}");
            return;
        }
    };
    let now = std::time::SystemTime::now();
    for left in objects {
        let age = now.duration_since(left.last_modified.into());
        let is_older = |than: Duration| than.is_zero() || age.clone().is_ok_and(|age| age >= than);
        let is_left = if left.location.as_ref().starts_with(&prefix) {
            is_older(older_than)
        } else {
            // Of a process that was killed while it tried the server out, whoever's it was.
            let name = left.location.filename().unwrap_or_default();
            name.starts_with(condition::PROBE) && is_older(ABANDONED_AFTER)
        };
        if is_left && remove(&client.writer, &left.location).await.is_ok() {
            tracing::info!(
                storage.store = client.store,
                "removed `{}`, which an upload left behind",
                left.location
            );
        }
    }
}

impl Backend {
    /// Whether an upload in parts goes to a staging key.
    const fn is_staging(&self) -> bool {
        matches!(self, Self::Gcs(_))
    }
}

/// An upload in parts.
struct Upload {
    client: Arc<Client>,
    /// Where its parts go: the object's own key, or a staging key.
    key: Path,
    id: MultipartId,
    attributes: Attributes,
    /// There is something to be removed, should this be dropped.
    is_open: bool,
    /// The parts are an object under the staging key.
    is_staged: bool,
}

impl Upload {
    async fn begin(
        client: &Arc<Client>,
        path: &Path,
        attributes: Attributes,
    ) -> Result<Self, Trouble> {
        let key = if client.writer.is_staging() {
            Path::parse(format!("{path}{STAGING}{}", Uuid::now_v7()))
                .map_err(|_| Error::invalid("write an object", "its staging key is none"))?
        } else {
            path.clone()
        };
        let id = if let Backend::Azure(_) = &client.writer {
            // Each block has a name that no other upload gives, and all go by themselves.
            None
        } else {
            let options = PutMultipartOptions {
                attributes: attributes.clone(),
                ..PutMultipartOptions::default()
            };
            Some(watched(client.writer.parts().create_multipart_opts(&key, options)).await?)
        };
        Ok(Self {
            client: Arc::clone(client),
            key,
            is_open: id.is_some(),
            id: id.unwrap_or_default(),
            attributes,
            is_staged: false,
        })
    }

    async fn send(&self, reader: &mut Reader, expected: Expected) -> Result<Vec<PartId>, Trouble> {
        let part_bytes = PART_BYTES.max(expected.size.div_ceil(MAX_PARTS));
        let num_parts = usize::try_from(expected.size.div_ceil(part_bytes)).unwrap_or(usize::MAX);
        let mut parts: Vec<Option<PartId>> = Vec::new();
        let mut on_their_way = FuturesUnordered::new();
        let sent = async {
            let mut index = 0;
            loop {
                while on_their_way.len() < PARTS_IN_FLIGHT && index < num_parts {
                    let (bytes, _) = reader.next(part_bytes).await?;
                    let number = index;
                    on_their_way.push(async move {
                        let backend = self.client.writer.parts();
                        let payload = PutPayload::from(bytes);
                        let sent = backend.put_part(&self.key, &self.id, number, payload);
                        watched(sent).await.map(|part| (number, part))
                    });
                    parts.push(None);
                    index += 1;
                }
                let Some(sent) = on_their_way.next().await else {
                    return Ok(parts.into_iter().flatten().collect());
                };
                let (number, part) = sent?;
                fault::point("storage.cloud.part");
                if let Some(slot) = parts.get_mut(number) {
                    *slot = Some(part);
                }
            }
        };
        let sent = sent.await;
        // A server that is told to forget an upload may keep a part that comes in meanwhile.
        while on_their_way.next().await.is_some() {}
        sent
    }

    /// Puts the parts together and gives the whole its name, never over another object.
    async fn publish(
        &mut self,
        path: &Path,
        parts: Vec<PartId>,
        mode: PutMode,
    ) -> Result<(), Failure> {
        match &self.client.writer {
            Backend::Azure(azure) => azure.commit(path, &parts, &self.attributes).await,
            Backend::S3(s3) => {
                s3.complete(path, &self.id, &parts, &mode).await?;
                fault::point("storage.cloud.part.complete");
                self.is_open = false;
                Ok(())
            }
            Backend::Gcs(_) => {
                let backend = &self.client.writer;
                let whole = backend
                    .parts()
                    .complete_multipart(&self.key, &self.id, parts);
                watched(whole).await?;
                self.is_staged = true;
                fault::point("storage.cloud.part.complete");
                let options = CopyOptions {
                    mode: match mode {
                        PutMode::Overwrite => CopyMode::Overwrite,
                        PutMode::Create | PutMode::Update(_) => CopyMode::Create,
                    },
                    ..CopyOptions::default()
                };
                watched(backend.objects().copy_opts(&self.key, path, options)).await
            }
        }
    }

    /// Removes what is left of it.
    async fn abandon(mut self) {
        if std::mem::take(&mut self.is_open) {
            abandon(&self.client, &self.key, &self.id, self.is_staged).await;
        }
    }
}

impl Drop for Upload {
    fn drop(&mut self) {
        // Its caller left in the middle: at the end of its time, or of the process's.
        if self.is_open
            && let Ok(runtime) = tokio::runtime::Handle::try_current()
        {
            let (client, key) = (Arc::clone(&self.client), self.key.clone());
            let (id, is_staged) = (self.id.clone(), self.is_staged);
            runtime.spawn(async move { abandon(&client, &key, &id, is_staged).await });
        }
    }
}

async fn abandon(client: &Client, key: &Path, id: &MultipartId, is_staged: bool) {
    let removed = if is_staged {
        remove(&client.writer, key).await
    } else {
        let aborted = watched(client.writer.parts().abort_multipart(key, id)).await;
        match aborted {
            // Perhaps it was put together, and the answer got lost. Under the object's own key that
            // is no harm; nor is it known to be ours.
            Err(failure) if failure.is_missing() && client.writer.is_staging() => {
                remove(&client.writer, key).await
            }
            Err(failure) if !failure.is_missing() => Err(failure),
            _ => Ok(()),
        }
    };
    if let Err(failure) = removed {
        let error = failure.into_error("remove what is left of an upload", &client.store);
        tracing::warn!(
            storage.store = client.store,
            "left `{key}` behind, for the next upload or deletion to remove: {error}"
        );
    }
}

/// Reads the source part by part. The last part comes only when the digest of all is right.
struct Reader {
    state: Option<(File, sha2::Sha256)>,
    remaining: u64,
    expected: Expected,
    what: String,
    backend: &'static str,
}

impl Reader {
    async fn open(
        source: Source<'_>,
        expected: Expected,
        backend: &'static str,
    ) -> Result<Self, Error> {
        let what = format!("source `{}`", source.path.display());
        let (attempt, path) = (format!("read {what}"), source.path.to_owned());
        let file = tokio::task::spawn_blocking(move || File::open(path))
            .await
            .map_err(|_| Error::task(attempt.clone()))?
            .map_err(|error| Error::io(attempt, &error))?;
        Ok(Self {
            state: Some((file, sha2::Sha256::new())),
            remaining: expected.size,
            expected,
            what,
            backend,
        })
    }

    /// The next part, of `len` bytes or what is left, and whether it is the last.
    async fn next(&mut self, len: u64) -> Result<(Bytes, bool), Error> {
        let attempt = format!("read {}", self.what);
        let len = len.min(self.remaining);
        let is_last = len == self.remaining;
        let Some((mut file, mut hasher)) = self.state.take() else {
            return Err(Error::task(attempt));
        };
        let read = tokio::task::spawn_blocking(move || {
            let mut bytes = Vec::with_capacity(usize::try_from(len).unwrap_or_default());
            // One more at the end: a source that grew is another one.
            let take = if is_last { len + 1 } else { len };
            file.by_ref().take(take).read_to_end(&mut bytes)?;
            hasher.update(&bytes);
            Ok::<_, std::io::Error>((file, hasher, bytes))
        });
        let (file, hasher, bytes) = read
            .await
            .map_err(|_| Error::task(attempt.clone()))?
            .map_err(|error| Error::io(attempt, &error))?;
        if bytes.len() as u64 != len {
            return Err(metric::corrupt(
                self.backend,
                self.what.clone(),
                Damage::Size,
            ));
        }
        self.remaining -= len;
        if is_last && Sha256::finish(hasher.clone()) != self.expected.sha256 {
            return Err(metric::corrupt(
                self.backend,
                self.what.clone(),
                Damage::Digest,
            ));
        }
        self.state = Some((file, hasher));
        Ok((Bytes::from(bytes), is_last))
    }
}
