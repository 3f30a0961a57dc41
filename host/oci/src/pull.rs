//! From a reference to a folder.

use crate::artifact::{self, Blob, INDEX_TYPES, MANIFEST_TYPE, Part};
use crate::cache::{self, Lookup, Pulled};
use crate::docker::DockerConfig;
use crate::error::OciError;
use crate::reference::Reference;
use crate::session::Session;
use bytes::Bytes;
use opendepot_domain::Sha256;
use opendepot_transfer::{EgressConfig, Error, FetchLimits, Fetcher};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::Semaphore;

/// One request, redirects included.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(120);
/// Pulls at a time; each holds a component in memory.
const NUM_PULLS: usize = 2;
const GZIP: &[u8] = &[0x1f, 0x8b];
const WASM: &[u8] = b"\0asm";

/// What a puller goes by.
#[derive(Clone, Debug)]
pub struct OciConfig {
    /// What may be reached; without an allow-list the registry alone. One that it lists for plain
    /// HTTP is spoken to without TLS.
    pub egress: EgressConfig,
    /// The folder of pulled plugins; made when it is needed.
    pub cache: PathBuf,
    /// Another such folder, which is only read.
    pub read_only_cache: Option<PathBuf>,
    /// The largest component, in bytes.
    pub component_bytes: u64,
}

/// Pulls plugins and keeps them.
#[derive(Debug)]
pub struct OciPuller {
    egress: EgressConfig,
    cache: Arc<Path>,
    read_only_cache: Option<Arc<Path>>,
    component_bytes: u64,
    permits: Semaphore,
}

impl OciPuller {
    /// A puller; nothing is read or reached yet.
    ///
    /// # Errors
    /// [`OciError::Fetch`] when the egress settings do not parse.
    pub fn new(config: OciConfig) -> Result<Self, OciError> {
        config.egress.policy()?;
        Ok(Self {
            egress: config.egress,
            cache: config.cache.into(),
            read_only_cache: config.read_only_cache.map(Arc::from),
            component_bytes: config.component_bytes,
            permits: Semaphore::new(NUM_PULLS),
        })
    }

    /// The folder with `plugin.yaml`, `plugin.wasm` and, where there is one, `plugin.wasm.sig`.
    /// What is in the cache, whole, is not asked for again, so the registry may be gone. The docker
    /// configuration file is read when credentials may be needed.
    ///
    /// # Errors
    /// [`OciError`]; nothing is left in the cache then.
    pub async fn pull(
        &self,
        reference: &Reference,
        docker_config: Option<&Path>,
        deadline: Instant,
    ) -> Result<PathBuf, OciError> {
        let work = self.pull_untimed(reference, docker_config);
        tokio::time::timeout_at(deadline.into(), work)
            .await
            .unwrap_or(Err(OciError::Late))
    }

    /// Removes every pulled plugin that is none of these. Blocking.
    pub fn forget_others(&self, keep: &[Reference]) {
        let keep = keep.iter().map(Reference::digest).collect();
        cache::retain(&self.cache, &keep);
    }

    async fn pull_untimed(
        &self,
        reference: &Reference,
        docker_config: Option<&Path>,
    ) -> Result<PathBuf, OciError> {
        let digest = reference.digest();
        for cache in [Some(&self.cache), self.read_only_cache.as_ref()] {
            let Some(cache) = cache.cloned() else {
                continue;
            };
            let limit = self.component_bytes;
            match blocking(move || cache::find(&cache, digest, limit)).await? {
                Lookup::Whole(folder) => return Ok(folder),
                Lookup::Damaged(reason) => {
                    tracing::warn!(
                        "the cached plugin `{reference}` is damaged and is pulled again: {reason}"
                    );
                }
                Lookup::Absent => {}
            }
        }
        let Ok(_permit) = self.permits.acquire().await else {
            return Err(OciError::Internal);
        };
        let pulled = self.fetch(reference, docker_config).await?;
        let num_bytes: usize = pulled.parts.iter().map(|(_, bytes)| bytes.len()).sum();
        let cache = Arc::clone(&self.cache);
        let folder = blocking(move || cache::store(&cache, digest, &pulled)).await??;
        tracing::info!(
            plugin.reference = %reference,
            plugin.size_bytes = num_bytes,
            "pulled the plugin `{reference}`"
        );
        Ok(folder)
    }

    /// A client for one pull: which registry it may reach is up to the reference.
    async fn fetcher(&self, reference: &Reference) -> Result<Fetcher, OciError> {
        let mut egress = self.egress.clone();
        if egress.allow.is_empty() {
            egress.allow.push(reference.registry().to_owned());
        }
        let policy = egress.policy()?;
        let limits = FetchLimits {
            metadata_timeout: REQUEST_TIMEOUT,
            ..FetchLimits::default()
        };
        // It reads the certificates that are trusted.
        Ok(blocking(move || Fetcher::new(policy, limits)).await??)
    }

    async fn fetch(
        &self,
        reference: &Reference,
        docker_config: Option<&Path>,
    ) -> Result<Pulled, OciError> {
        let docker = match docker_config.map(Path::to_owned) {
            Some(path) => Some(blocking(move || DockerConfig::read(&path)).await??),
            None => None,
        };
        let fetcher = self.fetcher(reference).await?;
        let mut session = Session::new(&fetcher, reference, docker)?;
        // The others are asked for so that they can be refused by name.
        let accept = [&[MANIFEST_TYPE], INDEX_TYPES.as_slice()]
            .concat()
            .join(", ");
        let digest = reference.digest();
        let manifest = session
            .get(
                &format!("manifests/sha256:{digest}"),
                Some(&accept),
                artifact::MAX_MANIFEST_BYTES,
                "such manifest",
            )
            .await?;
        check_digest("manifest", &manifest.bytes, digest)?;
        let blobs = artifact::parse(
            &manifest.bytes,
            manifest.content_type.as_deref(),
            self.component_bytes,
        )?;
        let mut parts = Vec::with_capacity(blobs.len());
        for blob in blobs {
            parts.push((blob.part, fetch_blob(&mut session, &blob).await?));
        }
        Ok(Pulled {
            manifest: manifest.bytes,
            parts,
        })
    }
}

async fn fetch_blob(session: &mut Session<'_>, blob: &Blob) -> Result<Bytes, OciError> {
    let Blob { part, digest, size } = *blob;
    let wrong_size = |is_larger| OciError::Size {
        part,
        expected: size,
        is_larger,
    };
    let what = format!("{} of digest `sha256:{digest}`", part.what());
    let path = format!("blobs/sha256:{digest}");
    let bytes = match session.get(&path, None, size, &what).await {
        Ok(document) => document.bytes,
        Err(OciError::Fetch(Error::TooLarge { .. })) => return Err(wrong_size(true)),
        Err(error) => return Err(error),
    };
    if (bytes.len() as u64) < size {
        return Err(wrong_size(false));
    }
    check_digest(part.what(), &bytes, digest)?;
    if part == Part::Component && !bytes.starts_with(WASM) {
        let found = if bytes.starts_with(GZIP) {
            "packed with gzip"
        } else {
            "something else than wasm"
        };
        return Err(OciError::NotWasm { found });
    }
    Ok(bytes)
}

fn check_digest(what: &'static str, bytes: &[u8], expected: Sha256) -> Result<(), OciError> {
    let actual = Sha256::of(bytes);
    if actual == expected {
        Ok(())
    } else {
        Err(OciError::Digest {
            what,
            actual,
            expected,
        })
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, OciError> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|_| OciError::Internal)
}
