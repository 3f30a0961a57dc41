//! Stores: plans in, bytes moved. Dispatches on the scheme of the plan's store.

mod beneath;
mod cloud;
mod filesystem;
pub(crate) mod identity;
mod limits;
mod link;
mod location;
mod put;
mod settings;
mod siblings;
mod signed;
mod tag;
mod verified;

#[cfg(test)]
mod corruption_tests;
#[cfg(test)]
mod tests;

pub use cloud::{CloudCredential, CloudCredentialKind, NativeAccess, StoreAccess};
pub(crate) use filesystem::{BACKEND as BACKEND_FILESYSTEM, Checked};
pub use identity::HashedState;
pub use limits::RemoteLimits;
pub use settings::{StoreLimits, StoresConfig};
pub use siblings::Sibling;
pub use signed::SignedHeaders;
pub(crate) use tag::Keeper;

use crate::body::ArtifactBody;
use crate::egress::EgressPolicy;
use crate::error::Error;
use crate::fetch::{FetchLimits, Fetcher};
use crate::metric::timed;
use cloud::CloudStore;
use filesystem::FileStore;
use http_body_util::BodyExt as _;
use location::{Key, Remote, Scheme};
use opendepot_domain::placement::{NativePlan, SignedRequest};
use opendepot_domain::{Placement, Sha256, Transfer};
use signed::SignedStore;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::AsyncWriteExt as _;
use url::Url;

/// What the record says about an object's bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Expected {
    /// Size in bytes.
    pub size: u64,
    /// Digest of the bytes.
    pub sha256: Sha256,
}

/// A file to be put. It stays where it is; its owner must be done with changing it.
#[derive(Clone, Copy, Debug)]
pub struct Source<'a> {
    /// The file.
    pub path: &'a Path,
    /// The state in which it was hashed, where that is known. A file in that state on the store's
    /// own disk gets a second name; any other is copied and hashed on the way.
    pub hashed: Option<HashedState>,
}

impl<'a> From<&'a Path> for Source<'a> {
    fn from(path: &'a Path) -> Self {
        Self { path, hashed: None }
    }
}

/// How a put ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Put {
    /// The object is new.
    Created,
    /// The object was there with the same bytes.
    AlreadyThere,
    /// There was an object, which may be any bytes: only reading it tells.
    Occupied,
}

/// One range of an object, both ends included as in HTTP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ByteRange {
    /// The first byte.
    pub start: u64,
    /// The last byte.
    pub end_inclusive: u64,
}

/// Every store that plans may name. Cheap to clone.
#[derive(Clone)]
pub struct Stores {
    files: Arc<Inner>,
    signed: Option<Arc<SignedStore>>,
    cloud: Option<Arc<CloudStore>>,
}

struct Inner {
    /// The filesystem root first, then the further directories.
    directories: Vec<FileStore>,
    max_object_bytes: u64,
}

/// Where an object is: a store and a key in it, both checked; or a request that reaches it.
enum Object<'a> {
    File(&'a FileStore, Key),
    Signed(&'a SignedStore, &'a SignedRequest),
    Cloud(&'a CloudStore, &'a NativePlan, &'static str),
}

impl Stores {
    /// Opens the filesystem root, creating it (mode 0700) when it is missing, and the further
    /// directories, which must exist; removes temporary files that a crash left. Blocks, and
    /// walks the stores' directories.
    ///
    /// # Errors
    /// [`Error::Settings`] with every directory that is a symbolic link, missing, `/`, or not
    /// absolute where it must be, and every limit that is zero.
    pub fn open(config: StoresConfig) -> Result<Self, Error> {
        let (directories, max_object_bytes) = settings::open(config)?;
        Ok(Self {
            files: Arc::new(Inner {
                directories,
                max_object_bytes,
            }),
            signed: None,
            cloud: None,
        })
    }

    /// Performs signed requests too, through a fetcher whose policy is that of plugins, with
    /// headers that `headers` fills in.
    #[must_use]
    pub fn with_signed(
        mut self,
        fetcher: Fetcher,
        headers: Arc<dyn SignedHeaders>,
        limits: RemoteLimits,
    ) -> Self {
        self.signed = Some(Arc::new(SignedStore::new(fetcher, headers, limits)));
        self
    }

    /// Reaches `s3://`, `gs://` and `az://` stores too: each through a client of its own under this
    /// policy, and under whatever endpoint `access` says.
    #[must_use]
    pub fn with_cloud(
        mut self,
        policy: EgressPolicy,
        fetch_limits: FetchLimits,
        access: Arc<dyn NativeAccess>,
        limits: RemoteLimits,
    ) -> Self {
        let store = CloudStore::new(policy, fetch_limits, access, limits);
        self.cloud = Some(Arc::new(store));
        self
    }

    /// A link with which a client reads an object from its store, for `ttl` at most. The link is a
    /// secret.
    ///
    /// # Errors
    /// [`Error::Invalid`] for a plan whose store makes no links, [`Error::Unavailable`] and
    /// [`Error::Denied`] when no credential can be had.
    pub async fn presign(&self, plan: &Transfer, ttl: Duration) -> Result<Url, Error> {
        match self.object(plan)? {
            Object::Cloud(store, plan, backend) => {
                timed(backend, "presign", store.presign(plan, ttl)).await
            }
            Object::Signed(_, request) => Url::parse(&request.url)
                .map_err(|_| Error::invalid("make a link", "its plan has none")),
            Object::File(..) => Err(Error::invalid(
                "make a link",
                "the file system cannot make links for clients",
            )),
        }
    }

    /// Makes exist what must exist before the first put.
    ///
    /// # Errors
    /// [`Error::Invalid`] for a plan that is none for this, [`Error::Unavailable`] and
    /// [`Error::Denied`] as the server has it.
    pub async fn prepare(&self, plan: &Transfer) -> Result<(), Error> {
        match plan {
            Transfer::Nothing => Ok(()),
            Transfer::Native(_) => match self.object(plan)? {
                Object::Cloud(store, plan, backend) => {
                    timed(backend, "prepare", store.prepare(plan)).await
                }
                Object::File(..) | Object::Signed(..) => Err(Error::invalid(
                    "perform a plan",
                    "this kind of store has no containers to be created",
                )),
            },
            Transfer::Signed(request) => {
                let store = self.signed()?;
                timed(signed::BACKEND, "prepare", store.prepare(request)).await
            }
        }
    }

    /// Writes `source` as a new object and makes it durable; never overwrites. Two writers of
    /// the same bytes both succeed.
    ///
    /// # Errors
    /// [`Error::Corrupt`] when the source is not what is expected, [`Error::Conflict`] when the
    /// key holds other bytes, [`Error::Invalid`] for a plan, key or size that is refused,
    /// [`Error::Unavailable`] when the disk is full or fails.
    pub async fn put(
        &self,
        plan: &Transfer,
        source: Source<'_>,
        expected: Expected,
    ) -> Result<Put, Error> {
        self.check_size(expected.size)?;
        match self.object(plan)? {
            Object::File(store, key) => {
                timed(filesystem::BACKEND, "put", store.put(key, source, expected)).await
            }
            Object::Signed(store, request) => {
                timed(signed::BACKEND, "put", store.put(request, source, expected)).await
            }
            Object::Cloud(store, plan, backend) => {
                timed(backend, "put", store.put(plan, source, expected)).await
            }
        }
    }

    /// Opens an object, or one range of it, for reading. The bytes were verified against
    /// `expected` when this returns, or are while they stream.
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::Corrupt`] when size or digest differ; [`Error::Invalid`]
    /// for a range outside the object; [`Error::Busy`] and [`Error::Unavailable`] when it cannot
    /// be verified in time.
    pub async fn open_body(
        &self,
        plan: &Transfer,
        expected: Expected,
        range: Option<ByteRange>,
    ) -> Result<ArtifactBody, Error> {
        self.check_size(expected.size)?;
        let bytes = match range {
            None => 0..expected.size,
            Some(range)
                if range.start <= range.end_inclusive && range.end_inclusive < expected.size =>
            {
                range.start..range.end_inclusive + 1
            }
            Some(range) => {
                return Err(Error::invalid(
                    "read a range",
                    format!(
                        "bytes {} to {} are outside an object of {} bytes",
                        range.start, range.end_inclusive, expected.size
                    ),
                ));
            }
        };
        match self.object(plan)? {
            Object::File(store, key) => {
                timed(
                    filesystem::BACKEND,
                    "get",
                    store.open_body(key, expected, bytes),
                )
                .await
            }
            Object::Signed(store, request) => {
                let opened = store.open_body(request, expected, bytes);
                timed(signed::BACKEND, "get", opened).await
            }
            Object::Cloud(store, plan, backend) => {
                timed(backend, "get", store.open_body(plan, expected, bytes)).await
            }
        }
    }

    /// Removes an object and the directories that it leaves empty. A missing object is success.
    ///
    /// # Errors
    /// [`Error::Invalid`] when the key is refused or is not a file, [`Error::Unavailable`].
    pub async fn delete(&self, plan: &Transfer) -> Result<(), Error> {
        match self.object(plan)? {
            Object::File(store, key) => {
                timed(filesystem::BACKEND, "delete", store.delete(key)).await
            }
            Object::Signed(store, request) => {
                timed(signed::BACKEND, "delete", store.delete(request)).await
            }
            Object::Cloud(store, plan, backend) => {
                timed(backend, "delete", store.delete(plan)).await
            }
        }
    }

    /// The size of an object in bytes; `None` when it is missing.
    ///
    /// # Errors
    /// [`Error::Invalid`] when the key is refused or is not a file, [`Error::Unavailable`].
    pub async fn head(&self, plan: &Transfer) -> Result<Option<u64>, Error> {
        match self.object(plan)? {
            Object::File(store, key) => timed(filesystem::BACKEND, "head", store.head(key)).await,
            Object::Signed(store, request) => {
                timed(signed::BACKEND, "head", store.head(request)).await
            }
            Object::Cloud(store, plan, backend) => timed(backend, "head", store.head(plan)).await,
        }
    }

    /// What lies in the folder of an object, whether it is there or not.
    ///
    /// # Errors
    /// [`Error::Invalid`] for a plan whose store cannot list, [`Error::Denied`] and
    /// [`Error::Unavailable`] as the store has it.
    pub async fn siblings(&self, plan: &Transfer) -> Result<Vec<Sibling>, Error> {
        match self.object(plan)? {
            Object::File(store, key) => {
                timed(filesystem::BACKEND, "list", store.siblings(key)).await
            }
            Object::Signed(..) => Err(Error::invalid(
                "list a folder",
                "what signed requests reach cannot be listed",
            )),
            Object::Cloud(store, plan, backend) => {
                timed(backend, "list", store.siblings(plan)).await
            }
        }
    }

    /// Hashes an object again from its first to its last byte, whatever is remembered of it.
    /// `progress` gets the bytes read so far.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::Corrupt`], [`Error::Invalid`], [`Error::Unavailable`].
    pub async fn verify(
        &self,
        plan: &Transfer,
        expected: Expected,
        progress: &(dyn Fn(u64) + Send + Sync),
    ) -> Result<(), Error> {
        match self.object(plan)? {
            Object::File(store, key) => {
                timed(
                    filesystem::BACKEND,
                    "verify",
                    store.verify(key, expected, progress),
                )
                .await
            }
            Object::Signed(store, request) => {
                let verified = store.verify(request, expected, progress);
                timed(signed::BACKEND, "verify", verified).await
            }
            Object::Cloud(store, plan, backend) => {
                let verified = store.verify(plan, expected, progress);
                timed(backend, "verify", verified).await
            }
        }
    }

    /// Writes an object to a file that is there and empty; whole and right, or an error.
    ///
    /// # Errors
    /// As [`Stores::open_body`] and its body; [`Error::Unavailable`] when the disk is full or fails.
    pub async fn copy_to(
        &self,
        plan: &Transfer,
        expected: Expected,
        path: &Path,
    ) -> Result<(), Error> {
        let attempt = || format!("write `{}`", path.display());
        let mut body = self.open_body(plan, expected, None).await?;
        let mut file = tokio::fs::OpenOptions::new()
            .write(true)
            .open(path)
            .await
            .map_err(|error| Error::io(attempt(), &error))?;
        while let Some(frame) = body.frame().await {
            if let Some(bytes) = frame?.data_ref() {
                let written = file.write_all(bytes).await;
                written.map_err(|error| Error::io(attempt(), &error))?;
            }
        }
        let flushed = file.flush().await;
        flushed.map_err(|error| Error::io(attempt(), &error))
    }

    fn check_size(&self, size: u64) -> Result<(), Error> {
        let max = self.files.max_object_bytes;
        if (1..=max).contains(&size) {
            Ok(())
        } else {
            Err(Error::invalid(
                "use an object",
                format!("its size of {size} bytes is not between 1 and {max}"),
            ))
        }
    }

    /// Finds the store of a plan. The directory of a `file://` store is `/` for the filesystem
    /// root, or an absolute path at or below a configured directory.
    fn object<'a>(&'a self, plan: &'a Transfer) -> Result<Object<'a>, Error> {
        let plan = match plan {
            Transfer::Native(plan) => plan,
            Transfer::Signed(request) => return Ok(Object::Signed(self.signed()?, request)),
            Transfer::Nothing => {
                return Err(Error::invalid(
                    "perform a plan",
                    "`nothing` is an answer to `prepare` only",
                ));
            }
        };
        let placement = &plan.placement;
        let (scheme, rest) = Scheme::parse(&placement.store)?;
        match scheme {
            Scheme::File => self.file_object(placement, rest),
            Scheme::Remote => {
                let backend = Remote::parse(&placement.store)?.label();
                let store = self.cloud.as_deref().ok_or_else(|| {
                    Error::invalid("perform a plan", "nothing here reaches stores of clouds")
                })?;
                Ok(Object::Cloud(store, plan, backend))
            }
        }
    }

    fn signed(&self) -> Result<&SignedStore, Error> {
        self.signed.as_deref().ok_or_else(|| {
            Error::invalid("perform a plan", "nothing here performs signed requests")
        })
    }

    fn file_object(&self, placement: &Placement, rest: &str) -> Result<Object<'_>, Error> {
        let store = &placement.store;
        let refuse = |reason: &str| Error::invalid(format!("use store `{store}`"), reason);
        if !placement.options.is_empty() || placement.credentials.is_some() {
            return Err(refuse(
                "a `file://` store takes no options and no credentials",
            ));
        }
        let directory = location::directory(store, rest)?;
        let directories = &self.files.directories;
        if rest == "/" {
            let root = directories
                .first()
                .ok_or_else(|| refuse("there is no root"))?;
            return Ok(Object::File(root, Key::new(Path::new(""), &placement.key)?));
        }
        // The innermost configured directory wins.
        let (file_store, prefix) = directories
            .iter()
            .filter_map(|candidate| {
                let prefix = directory.strip_prefix(candidate.path()).ok()?;
                Some((candidate, prefix))
            })
            .min_by_key(|(_, prefix)| prefix.components().count())
            .ok_or_else(|| refuse("it is outside every configured directory"))?;
        Ok(Object::File(file_store, Key::new(prefix, &placement.key)?))
    }
}

/// The metric label of whatever reaches `store`.
#[must_use]
pub fn backend_label(store: &str) -> &'static str {
    match Scheme::parse(store) {
        Ok((Scheme::File, _)) => filesystem::BACKEND,
        Ok((Scheme::Remote, _)) => Remote::parse(store).map_or("other", |remote| remote.label()),
        Err(_) => signed::BACKEND,
    }
}

impl std::fmt::Debug for Stores {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let paths = self.files.directories.iter().map(FileStore::path);
        f.debug_list().entries(paths).finish()
    }
}
