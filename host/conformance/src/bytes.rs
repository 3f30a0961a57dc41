//! Who carries out plans, and who follows links as a client does.

use http_body_util::BodyExt as _;
use opendepot_domain::Transfer;
use opendepot_domain::seam::{BoxFuture, SeamError};
use opendepot_transfer::{ByteRange, Expected, Put, Stores, StoresConfig};
use std::path::Path;
use url::Url;

/// Why bytes could not be moved.
pub type StoreError = SeamError;

/// Who carries out plans. Everybody answers as the registry's own client does: an object of no bytes
/// is `invalid`, one that is not there `not found`, one whose bytes are not the expected ones
/// `corrupt`, as is a source.
pub trait ByteStore: Send + Sync {
    /// Whether it can carry out a plan like this one.
    fn carries(&self, plan: &Transfer) -> bool;

    /// Why of two writers of other bytes both may be told that their object is new; `None` where
    /// only one is.
    fn why_writers_race(&self) -> Option<&str>;

    /// Makes exist what must exist before the first put.
    fn prepare<'a>(&'a self, plan: &'a Transfer) -> BoxFuture<'a, Result<(), StoreError>>;

    /// Writes a file as a new object.
    fn put<'a>(
        &'a self,
        plan: &'a Transfer,
        file: &'a Path,
        expected: Expected,
    ) -> BoxFuture<'a, Result<Stored, StoreError>>;

    /// Reads an object, or a range of it.
    fn get<'a>(
        &'a self,
        plan: &'a Transfer,
        expected: Expected,
        range: Option<ByteRange>,
    ) -> BoxFuture<'a, Result<Vec<u8>, StoreError>>;

    /// An object's size; `None` when there is none.
    fn head<'a>(&'a self, plan: &'a Transfer) -> BoxFuture<'a, Result<Option<u64>, StoreError>>;

    /// Removes an object; one that is gone is removed.
    fn delete<'a>(&'a self, plan: &'a Transfer) -> BoxFuture<'a, Result<(), StoreError>>;
}

/// How a put ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stored {
    /// The object is new.
    New,
    /// There was one; of a cloud's nobody knows which bytes before they are read.
    There,
}

/// Who makes links of plans, and follows them with no other credential.
pub trait Links: Send + Sync {
    /// The link of a plan to `presign`, which opens its object for this many seconds.
    fn link<'a>(
        &'a self,
        plan: &'a Transfer,
        seconds: u32,
    ) -> BoxFuture<'a, Result<Url, StoreError>>;

    /// Goes there: what was answered, or `None` when it was refused. An error is no answer at all.
    fn visit<'a>(
        &'a self,
        link: &'a Url,
        visit: Visit,
    ) -> BoxFuture<'a, Result<Option<Vec<u8>>, StoreError>>;
}

/// What is tried with a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Visit {
    /// GET.
    Read,
    /// PUT of a few bytes, with what headers the server wants.
    Write,
    /// DELETE.
    Remove,
}

/// Carries out plans with the registry's own client.
pub struct StoreBytes {
    stores: Stores,
    is_files_only: bool,
    race: Option<&'static str>,
}

impl StoreBytes {
    /// Whatever these stores reach.
    #[must_use]
    pub const fn new(stores: Stores) -> Self {
        Self {
            stores,
            is_files_only: false,
            race: None,
        }
    }

    /// `file:///` alone, below a folder that is created when it is missing. Blocks.
    ///
    /// # Errors
    /// When it cannot be opened.
    pub fn files(root: &Path) -> Result<Self, StoreError> {
        let stores = Stores::open(StoresConfig::new(root)).map_err(seam)?;
        Ok(Self {
            is_files_only: true,
            ..Self::new(stores)
        })
    }

    /// The server cannot keep two writers apart, and why.
    #[must_use]
    pub const fn racing(mut self, why: &'static str) -> Self {
        self.race = Some(why);
        self
    }
}

impl ByteStore for StoreBytes {
    fn carries(&self, plan: &Transfer) -> bool {
        let is_file = matches!(plan, Transfer::Native(plan) if plan.placement.store == "file:///");
        is_file || !self.is_files_only
    }

    fn why_writers_race(&self) -> Option<&str> {
        self.race
    }

    fn prepare<'a>(&'a self, plan: &'a Transfer) -> BoxFuture<'a, Result<(), StoreError>> {
        Box::pin(async move { self.stores.prepare(plan).await.map_err(seam) })
    }

    fn put<'a>(
        &'a self,
        plan: &'a Transfer,
        file: &'a Path,
        expected: Expected,
    ) -> BoxFuture<'a, Result<Stored, StoreError>> {
        Box::pin(async move {
            let put = self.stores.put(plan, file.into(), expected).await;
            Ok(match put.map_err(seam)? {
                Put::Created => Stored::New,
                Put::AlreadyThere | Put::Occupied => Stored::There,
            })
        })
    }

    fn get<'a>(
        &'a self,
        plan: &'a Transfer,
        expected: Expected,
        range: Option<ByteRange>,
    ) -> BoxFuture<'a, Result<Vec<u8>, StoreError>> {
        Box::pin(async move {
            let body = self.stores.open_body(plan, expected, range).await;
            let collected = body.map_err(seam)?.collect().await.map_err(seam)?;
            Ok(collected.to_bytes().to_vec())
        })
    }

    fn head<'a>(&'a self, plan: &'a Transfer) -> BoxFuture<'a, Result<Option<u64>, StoreError>> {
        Box::pin(async move { self.stores.head(plan).await.map_err(seam) })
    }

    fn delete<'a>(&'a self, plan: &'a Transfer) -> BoxFuture<'a, Result<(), StoreError>> {
        Box::pin(async move { self.stores.delete(plan).await.map_err(seam) })
    }
}

#[expect(clippy::needless_pass_by_value, reason = "it is a `map_err` argument")]
fn seam(error: opendepot_transfer::Error) -> StoreError {
    StoreError {
        kind: error.kind(),
        message: error.to_string(),
    }
}
