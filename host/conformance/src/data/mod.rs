//! The bytes: plans of a storage plugin carried out, where something here can carry them out. What
//! every store must do, whatever it is.
//!
//! A put is what a registry makes of it: what must exist is made first; where a server is asked by
//! signed requests, the host looks before it writes and reads back what it wrote; what was there
//! already is compared.
//!
//! What may surprise: plans are asked for at the time of the clock, as what is signed must be good
//! now. A case that a plugin or a store cannot be held to is skipped by name and says why.

mod fault;
mod link;
mod name;
mod object;
mod writer;

use crate::bytes::{ByteStore, Links, StoreError, Stored};
use crate::planner::{Planner, domain_artifact};
use crate::report::{Check, Outcome};
use futures::future::BoxFuture;
use opendepot_domain::{Artifact, FileName, Kind, Operation, Placement, Sha256, Transfer};
use opendepot_transfer::{ByteRange, Expected};
use std::path::{Path, PathBuf};

/// How a case ended that did not pass.
#[derive(Debug)]
pub(crate) enum Unmet {
    /// What was demanded, and what came.
    Failed(String),
    /// It does not apply, and why.
    Skipped(String),
}

impl From<String> for Unmet {
    fn from(reason: String) -> Self {
        Self::Failed(reason)
    }
}

type Case = Result<(), Unmet>;

/// Moves bytes as the plans say.
pub(crate) async fn check(
    planner: &Planner,
    bytes: &dyn ByteStore,
    links: Option<&dyn Links>,
    folder: &Path,
) -> Vec<Check> {
    let suite = Suite {
        planner,
        bytes,
        folder,
    };
    let cases: [(&'static str, BoxFuture<'_, Case>); 15] = [
        ("data-put-get-head-delete", Box::pin(object::life(&suite))),
        ("data-range", Box::pin(object::ranges(&suite))),
        ("data-no-overwrite", Box::pin(writer::no_overwrite(&suite))),
        ("data-missing", Box::pin(object::missing(&suite))),
        ("data-concurrent-writers", Box::pin(writer::alike(&suite))),
        ("data-one-writer-wins", Box::pin(writer::one_wins(&suite))),
        ("data-empty", Box::pin(object::empty(&suite))),
        ("data-sizes", Box::pin(object::sizes(&suite))),
        ("data-file-names", Box::pin(name::files(&suite))),
        ("data-odd-keys", Box::pin(name::odd_keys(&suite))),
        ("data-hostile-keys", Box::pin(name::hostile_keys(&suite))),
        ("data-wrong-bytes", Box::pin(fault::wrong_bytes(&suite))),
        ("data-put-cut-off", Box::pin(fault::cut_off(&suite))),
        ("data-link", Box::pin(link::scope(&suite, links))),
        ("data-link-life", Box::pin(link::life(&suite, links))),
    ];
    let mut checks = Vec::new();
    for (name, case) in cases {
        let outcome = match case.await {
            Ok(()) => Outcome::Passed,
            Err(Unmet::Failed(reason)) => Outcome::Failed(reason),
            Err(Unmet::Skipped(reason)) => Outcome::Skipped(reason),
        };
        checks.push(Check { name, outcome });
    }
    checks
}

struct Suite<'a> {
    planner: &'a Planner,
    bytes: &'a dyn ByteStore,
    folder: &'a Path,
}

/// A file, what it holds, and where its plugin places it.
struct Object {
    artifact: Artifact,
    place: Placement,
    file: PathBuf,
    content: Vec<u8>,
    expected: Expected,
}

impl Object {
    fn named(&self) -> String {
        format!("`{}`", self.place.key)
    }
}

impl Suite<'_> {
    /// An object with a file name of its own: the same for the same number.
    async fn object(&self, number: usize, content: &[u8]) -> Result<Object, String> {
        let name = format!("0190b5a0-0000-7000-9000-{number:012}.zip");
        self.object_named(&name, content).await
    }

    async fn object_named(&self, name: &str, content: &[u8]) -> Result<Object, String> {
        let sha256 = Sha256::of(content);
        let size = content.len() as u64;
        let mut artifact = domain_artifact(&crate::sample::artifact())?;
        artifact.file_name = FileName::new(name).map_err(|e| e.to_string())?;
        (artifact.size, artifact.sha256) = (size, sha256);
        let file = self.folder.join(sha256.to_string());
        std::fs::write(&file, content).map_err(|e| format!("cannot write a file: {e}"))?;
        Ok(Object {
            place: self.planner.locate(&artifact).await?,
            artifact,
            file,
            content: content.to_vec(),
            expected: Expected { size, sha256 },
        })
    }

    async fn plan(&self, object: &Object, operation: Operation) -> Result<Transfer, String> {
        let Object {
            place, artifact, ..
        } = object;
        self.planner.plan_now(place, artifact, operation).await
    }

    /// As a registry puts it. The outer error is that there is no plan.
    async fn try_put(&self, object: &Object) -> Result<Result<Stored, StoreError>, String> {
        let prepare = self.plan(object, Operation::Prepare).await?;
        if prepare != Transfer::Nothing
            && let Err(error) = self.bytes.prepare(&prepare).await
        {
            return Ok(Err(error));
        }
        let plan = self.plan(object, Operation::Put).await?;
        let is_trusted = !matches!(plan, Transfer::Signed(_));
        let stored = if !is_trusted && self.head(object).await?.is_some() {
            Ok(Stored::There)
        } else {
            self.bytes.put(&plan, &object.file, object.expected).await
        };
        let Ok(stored) = stored else {
            return Ok(stored);
        };
        if is_trusted && stored == Stored::New {
            return Ok(Ok(stored));
        }
        let get = self.plan(object, Operation::Get).await?;
        let kind = match self.bytes.get(&get, object.expected, None).await {
            Ok(bytes) if bytes == object.content => return Ok(Ok(stored)),
            Err(error) if error.kind != Kind::Corrupt => return Ok(Err(error)),
            _ if stored == Stored::There => Kind::Conflict,
            _ => Kind::Corrupt,
        };
        let message = "other bytes are there".to_owned();
        Ok(Err(StoreError { kind, message }))
    }

    async fn put(&self, object: &Object) -> Result<Stored, String> {
        let put = self.try_put(object).await?;
        put.map_err(|error| format!("put of {}: {error}", object.named()))
    }

    /// As [`Self::put`], of what must not be there yet.
    async fn put_new(&self, object: &Object) -> Result<(), String> {
        let what = format!("the first put of {}", object.named());
        expect(&what, self.put(object).await?, Stored::New)
    }

    async fn try_get(
        &self,
        object: &Object,
        expected: Expected,
        range: Option<ByteRange>,
    ) -> Result<Result<Vec<u8>, StoreError>, String> {
        let plan = self.plan(object, Operation::Get).await?;
        Ok(self.bytes.get(&plan, expected, range).await)
    }

    async fn get(&self, object: &Object, range: Option<ByteRange>) -> Result<Vec<u8>, String> {
        let got = self.try_get(object, object.expected, range).await?;
        got.map_err(|error| format!("get of {}: {error}", object.named()))
    }

    async fn head(&self, object: &Object) -> Result<Option<u64>, String> {
        let plan = self.plan(object, Operation::Head).await?;
        let size = self.bytes.head(&plan).await;
        size.map_err(|error| format!("head of {}: {error}", object.named()))
    }

    async fn delete(&self, object: &Object) -> Result<(), String> {
        let plan = self.plan(object, Operation::Delete).await?;
        let deleted = self.bytes.delete(&plan).await;
        deleted.map_err(|error| format!("delete of {}: {error}", object.named()))
    }

    /// The object is there, with all of its bytes and no other.
    async fn is_whole(&self, object: &Object) -> Result<(), String> {
        let name = object.named();
        let size = self.head(object).await?;
        expect(&format!("head of {name}"), size, Some(object.expected.size))?;
        let got = self.get(object, None).await?;
        if got == object.content {
            return Ok(());
        }
        Err(format!(
            "what is stored at {name} is to come back, {} bytes; got {} bytes that are others",
            object.content.len(),
            got.len()
        ))
    }

    async fn is_gone(&self, object: &Object) -> Result<(), String> {
        let what = format!("head of {}, where there is nothing", object.named());
        expect(&what, self.head(object).await?, None)
    }
}

/// Bytes in which no part is like its neighbours.
fn pattern(len: usize) -> Vec<u8> {
    let period: Vec<u8> = (0..251_usize).map(|at| (at * 31 % 251) as u8).collect();
    let mut bytes = period.repeat(len / period.len() + 1);
    bytes.truncate(len);
    bytes
}

/// Why cases of two contents at one place do not apply, where they do not.
fn of_one_place(first: &Object, second: &Object) -> Result<(), Unmet> {
    let place = |object: &Object| (object.place.store.clone(), object.place.key.clone());
    if place(first) == place(second) {
        return Ok(());
    }
    let why = "its keys follow from the bytes, so other bytes have another place";
    Err(Unmet::Skipped(why.to_owned()))
}

fn expect<T: PartialEq + std::fmt::Debug>(what: &str, got: T, wanted: T) -> Result<(), String> {
    if got == wanted {
        return Ok(());
    }
    Err(format!("{what}: expected {wanted:?}, got {got:?}"))
}
