//! Downloads to a temporary file, hashed as they arrive.

use super::answer::check_status;
use super::{FetchRequest, Fetcher, fetch, transport, within};
use crate::egress::redacted;
use crate::error::Error;
use crate::sweep::{TEMP_PREFIX, lock};
use http::header::CONTENT_TYPE;
use opendepot_domain::Sha256;
use sha2::Digest as _;
use std::fmt;
use std::io::{self, Write as _};
use std::path::Path;
use tempfile::NamedTempFile;
use url::Url;

/// Bytes gathered before they are hashed and written on the blocking pool.
const BATCH_BYTES: usize = 1 << 20;

/// A downloaded file; it is removed when this is dropped.
pub struct Downloaded {
    /// The file, in the directory that the caller named.
    pub file: NamedTempFile,
    /// Digest of its bytes as they were sent.
    pub sha256: Sha256,
    /// Size in bytes.
    pub size: u64,
    /// What the server called it.
    pub content_type: Option<String>,
    /// Where it came from. Its query may hold a secret.
    pub final_url: Url,
}

impl fmt::Debug for Downloaded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Downloaded")
            .field("sha256", &self.sha256)
            .field("size", &self.size)
            .field("final_url", &redacted(&self.final_url))
            .finish_non_exhaustive()
    }
}

impl Fetcher {
    /// Fetches a file into `directory`, byte for byte: no content encoding is applied.
    /// `progress` gets the bytes so far and the announced size. Nothing is left in the directory
    /// on failure; what a crash left, [`crate::sweep_directory`] removes.
    ///
    /// # Errors
    /// [`Error::Refused`], [`Error::TooLarge`]; by status as [`super::Fetched::success`];
    /// [`Error::Unavailable`] also when the disk is full, the body stalls or ends early.
    pub async fn download(
        &self,
        request: &FetchRequest,
        directory: &Path,
        max_bytes: u64,
        progress: &(dyn Fn(u64, Option<u64>) + Send + Sync),
    ) -> Result<Downloaded, Error> {
        let limit = self.0.limits.download_timeout;
        let work = self.download_untimed(request, directory, max_bytes, progress);
        within(limit, &request.url, work).await
    }

    async fn download_untimed(
        &self,
        request: &FetchRequest,
        directory: &Path,
        max_bytes: u64,
        progress: &(dyn Fn(u64, Option<u64>) + Send + Sync),
    ) -> Result<Downloaded, Error> {
        let (mut response, final_url) = self.follow(request).await?;
        check_status(response.status().as_u16(), response.headers(), &final_url)?;
        let announced = response.content_length();
        let too_large = || Error::TooLarge {
            url: redacted(&final_url),
            limit_bytes: max_bytes,
        };
        if announced.is_some_and(|len| len > max_bytes) {
            return Err(too_large());
        }
        let content_type = response
            .headers()
            .get(CONTENT_TYPE)
            .and_then(|value| value.to_str().ok())
            .map(str::to_owned);
        let mut spool = Spool::create(directory).await?;
        let mut size: u64 = 0;
        progress(0, announced);
        loop {
            let chunk = tokio::time::timeout(self.0.limits.idle_timeout, response.chunk())
                .await
                .map_err(|_| Error::unavailable(fetch(&final_url), "the body stalled"))?
                .map_err(|error| transport(&final_url, error))?;
            let Some(chunk) = chunk else { break };
            size = size.saturating_add(chunk.len() as u64);
            if size > max_bytes {
                return Err(too_large());
            }
            spool.batch.extend_from_slice(&chunk);
            if spool.batch.len() >= BATCH_BYTES {
                spool = spool.flush().await?;
            }
            progress(size, announced);
        }
        if announced.is_some_and(|len| len != size) {
            return Err(Error::unavailable(
                fetch(&final_url),
                "the body is not as long as announced",
            ));
        }
        let Spool { file, hasher, .. } = spool.flush().await?;
        Ok(Downloaded {
            file,
            sha256: Sha256::finish(hasher),
            size,
            content_type,
            final_url,
        })
    }
}

/// The file being written; it moves to the blocking pool and back.
struct Spool {
    file: NamedTempFile,
    hasher: sha2::Sha256,
    batch: Vec<u8>,
}

impl Spool {
    async fn create(directory: &Path) -> Result<Self, Error> {
        let attempt = format!("create a temporary file in `{}`", directory.display());
        let directory = directory.to_owned();
        let file = blocking(attempt, move || {
            let create = || {
                tempfile::Builder::new()
                    .prefix(TEMP_PREFIX)
                    .tempfile_in(&directory)
            };
            let file = create()?;
            // A sweep of another process may have taken the first one at once.
            if lock(file.as_file()) {
                Ok(file)
            } else {
                create()
            }
        })
        .await?;
        Ok(Self {
            file,
            hasher: sha2::Sha256::new(),
            batch: Vec::with_capacity(BATCH_BYTES + (64 << 10)),
        })
    }

    /// Hashes and writes what was gathered.
    async fn flush(mut self) -> Result<Self, Error> {
        let attempt = "write a download to its temporary file".to_owned();
        blocking(attempt, move || {
            self.hasher.update(&self.batch);
            self.file.as_file_mut().write_all(&self.batch)?;
            self.batch.clear();
            Ok(self)
        })
        .await
    }
}

async fn blocking<T: Send + 'static>(
    attempt: String,
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> Result<T, Error> {
    match tokio::task::spawn_blocking(work).await {
        Ok(outcome) => outcome.map_err(|error| Error::io(attempt, &error)),
        Err(_) => Err(Error::task(attempt)),
    }
}
