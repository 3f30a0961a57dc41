//! The bytes: plans of a storage plugin carried out, where something here can carry them out.

use crate::planner::{Planner, domain_artifact};
use http_body_util::BodyExt as _;
use opendepot_domain::seam::{BoxFuture, SeamError};
use opendepot_domain::{Artifact, Kind, Operation, Sha256, Transfer};
use opendepot_transfer::{ByteRange, Expected, Put, Stores, StoresConfig};
use std::path::Path;

/// Why bytes could not be moved.
pub type StoreError = SeamError;

/// Who carries out plans.
pub trait ByteStore: Send + Sync {
    /// Whether it can carry out a plan like this one.
    fn carries(&self, plan: &Transfer) -> bool;

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
    /// There was one.
    There,
}

/// Carries out what the host's own stores can: `file:///` below a folder.
pub struct FileBytes {
    stores: Stores,
}

impl FileBytes {
    /// The root of `file:///`, created when it is missing. Blocks.
    ///
    /// # Errors
    /// When it cannot be opened.
    pub fn new(root: &Path) -> Result<Self, StoreError> {
        let stores = Stores::open(StoresConfig::new(root)).map_err(seam)?;
        Ok(Self { stores })
    }
}

impl ByteStore for FileBytes {
    fn carries(&self, plan: &Transfer) -> bool {
        matches!(plan, Transfer::Native(plan) if plan.placement.store == "file:///")
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
                _ => Stored::There,
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

/// Moves bytes as the plans say: what every store must do, whatever it is.
pub(crate) async fn check(
    planner: &Planner,
    bytes: &dyn ByteStore,
    folder: &Path,
) -> Vec<(&'static str, Result<(), String>)> {
    let mut results = Vec::new();
    let suite = Suite {
        planner,
        bytes,
        folder,
    };
    results.push(("data-put-get-head-delete", suite.life().await));
    results.push(("data-range", suite.ranges().await));
    results.push(("data-no-overwrite", suite.no_overwrite().await));
    results.push(("data-missing", suite.missing().await));
    results.push(("data-concurrent-writers", suite.writers().await));
    results
}

struct Suite<'a> {
    planner: &'a Planner,
    bytes: &'a dyn ByteStore,
    folder: &'a Path,
}

/// A file, what it holds, and where its plugin places it.
struct Object {
    artifact: Artifact,
    file: std::path::PathBuf,
    content: Vec<u8>,
    expected: Expected,
}

impl Suite<'_> {
    fn object(&self, number: usize, content: &[u8]) -> Result<Object, String> {
        let sha256 = Sha256::of(content);
        let size = content.len() as u64;
        let mut artifact = domain_artifact(&crate::sample::artifact())?;
        let name = format!("0190b5a0-0000-7000-9000-{number:012}.zip");
        artifact.file_name =
            opendepot_domain::FileName::new(name.as_str()).map_err(|e| e.to_string())?;
        (artifact.size, artifact.sha256) = (size, sha256);
        let file = self.folder.join(format!("{number}-{sha256}"));
        std::fs::write(&file, content).map_err(|e| format!("cannot write a file: {e}"))?;
        Ok(Object {
            artifact,
            file,
            content: content.to_vec(),
            expected: Expected { size, sha256 },
        })
    }

    async fn plan(&self, object: &Object, operation: Operation) -> Result<Transfer, String> {
        let placement = self.planner.locate(&object.artifact).await?;
        self.planner
            .plan(&placement, &object.artifact, operation)
            .await
    }

    async fn put(&self, object: &Object) -> Result<Stored, String> {
        let plan = self.plan(object, Operation::Put).await?;
        let put = self.bytes.put(&plan, &object.file, object.expected).await;
        put.map_err(|error| format!("put: {error}"))
    }

    async fn get(&self, object: &Object, range: Option<ByteRange>) -> Result<Vec<u8>, String> {
        let plan = self.plan(object, Operation::Get).await?;
        let got = self.bytes.get(&plan, object.expected, range).await;
        got.map_err(|error| format!("get: {error}"))
    }

    async fn head(&self, object: &Object) -> Result<Option<u64>, String> {
        let plan = self.plan(object, Operation::Head).await?;
        self.bytes
            .head(&plan)
            .await
            .map_err(|error| format!("head: {error}"))
    }

    async fn delete(&self, object: &Object) -> Result<(), String> {
        let plan = self.plan(object, Operation::Delete).await?;
        self.bytes
            .delete(&plan)
            .await
            .map_err(|error| format!("delete: {error}"))
    }

    async fn life(&self) -> Result<(), String> {
        let object = self.object(1, b"what is stored is what comes back")?;
        expect("the first put", self.put(&object).await?, Stored::New)?;
        expect(
            "head",
            self.head(&object).await?,
            Some(object.expected.size),
        )?;
        expect(
            "get",
            self.get(&object, None).await?,
            object.content.clone(),
        )?;
        expect(
            "a second put of the same bytes",
            self.put(&object).await?,
            Stored::There,
        )?;
        self.delete(&object).await?;
        expect("head after delete", self.head(&object).await?, None)?;
        self.delete(&object)
            .await
            .map_err(|error| format!("a second delete is to succeed: {error}"))
    }

    async fn ranges(&self) -> Result<(), String> {
        let content: Vec<u8> = (0..100_000_u32).map(|at| (at % 251) as u8).collect();
        let object = self.object(2, &content)?;
        self.put(&object).await?;
        for (start, end_inclusive) in [(0, 0), (1, 10), (65_535, 65_537), (99_999, 99_999)] {
            let range = ByteRange {
                start,
                end_inclusive,
            };
            let got = self.get(&object, Some(range)).await?;
            let wanted = content.get(start as usize..=end_inclusive as usize);
            if Some(got.as_slice()) != wanted {
                return Err(format!(
                    "bytes {start} to {end_inclusive} are to come back as they are, got {} bytes",
                    got.len()
                ));
            }
        }
        self.delete(&object).await
    }

    async fn no_overwrite(&self) -> Result<(), String> {
        let first = self.object(3, b"the first")?;
        let second = self.object(3, b"the second, which is longer")?;
        if self.planner.locate(&first.artifact).await?
            != self.planner.locate(&second.artifact).await?
        {
            // Keys that follow from the bytes cannot collide.
            return Ok(());
        }
        self.put(&first).await?;
        let outcome = self.put(&second).await;
        if outcome == Ok(Stored::New) {
            return Err("a put over other bytes is to be refused, it created an object".to_owned());
        }
        expect(
            "get after the refused put",
            self.get(&first, None).await?,
            first.content.clone(),
        )?;
        self.delete(&first).await
    }

    async fn missing(&self) -> Result<(), String> {
        let object = self.object(4, b"never stored")?;
        expect(
            "head of what was never stored",
            self.head(&object).await?,
            None,
        )?;
        let plan = self.plan(&object, Operation::Get).await?;
        let got = self.bytes.get(&plan, object.expected, None).await;
        let kind = got.err().map(|error| error.kind);
        expect("get of what was never stored", kind, Some(Kind::NotFound))
    }

    async fn writers(&self) -> Result<(), String> {
        const NUM_WRITERS: usize = 8;
        let object = self.object(5, &vec![b'x'; 200_000])?;
        let writers = (0..NUM_WRITERS).map(|_| self.put(&object));
        let outcomes = futures::future::join_all(writers).await;
        for outcome in outcomes {
            outcome.map_err(|error| {
                format!("writers of the same bytes are all to succeed: {error}")
            })?;
        }
        expect(
            "get",
            self.get(&object, None).await?.len(),
            object.content.len(),
        )?;
        self.delete(&object).await
    }
}

fn expect<T: PartialEq + std::fmt::Debug>(what: &str, got: T, wanted: T) -> Result<(), String> {
    if got == wanted {
        return Ok(());
    }
    Err(format!("{what}: expected {wanted:?}, got {got:?}"))
}
