//! Who carries out the plans can be at fault, too: a store that does wrong what can be done wrong.

use crate::broken::{fails, outcome, write};
use crate::guests::{Plan, place, storage};
use opendepot_conformance::{ByteStore, Outcome, StoreError, Stored};
use opendepot_domain::seam::BoxFuture;
use opendepot_domain::{Kind, Transfer};
use opendepot_transfer::{ByteRange, Expected};
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

/// Keeps bytes in memory, and does wrong what can be done wrong.
#[derive(Default)]
struct Careless {
    objects: Mutex<BTreeMap<String, Vec<u8>>>,
    num_puts: AtomicUsize,
}

fn key(plan: &Transfer) -> String {
    match plan {
        Transfer::Native(plan) => plan.placement.key.clone(),
        other => panic!("{other:?}"),
    }
}

impl ByteStore for Careless {
    fn carries(&self, plan: &Transfer) -> bool {
        matches!(plan, Transfer::Native(_))
    }

    /// Overwrites, and loses every fourth put.
    fn put<'a>(
        &'a self,
        plan: &'a Transfer,
        file: &'a Path,
        _: Expected,
    ) -> BoxFuture<'a, Result<Stored, StoreError>> {
        let content = std::fs::read(file).unwrap();
        if self.num_puts.fetch_add(1, Ordering::Relaxed) % 4 == 3 {
            let message = "somebody else is writing".to_owned();
            let kind = Kind::Conflict;
            return Box::pin(async move { Err(StoreError { kind, message }) });
        }
        self.objects.lock().unwrap().insert(key(plan), content);
        Box::pin(async { Ok(Stored::New) })
    }

    /// Ranges without their last byte; nothing where there is nothing.
    fn get<'a>(
        &'a self,
        plan: &'a Transfer,
        _: Expected,
        range: Option<ByteRange>,
    ) -> BoxFuture<'a, Result<Vec<u8>, StoreError>> {
        let content = self.objects.lock().unwrap().get(&key(plan)).cloned();
        let content = content.unwrap_or_default();
        let got = match range {
            None => content,
            Some(range) => content[range.start as usize..range.end_inclusive as usize].to_vec(),
        };
        Box::pin(async { Ok(got) })
    }

    fn head<'a>(&'a self, plan: &'a Transfer) -> BoxFuture<'a, Result<Option<u64>, StoreError>> {
        let size = self
            .objects
            .lock()
            .unwrap()
            .get(&key(plan))
            .map(|c| c.len() as u64);
        Box::pin(async move { Ok(size) })
    }

    fn delete<'a>(&'a self, plan: &'a Transfer) -> BoxFuture<'a, Result<(), StoreError>> {
        self.objects.lock().unwrap().remove(&key(plan));
        Box::pin(async { Ok(()) })
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bytes_that_go_wrong_are_found() {
    let here = place("s3://bucket", "vpc/x.zip");
    let folder = tempfile::tempdir().unwrap();
    let guest = storage(&here, &Plan::Native(here.clone()));
    write(folder.path(), "storage", &guest, "{}");
    let mut options = crate::options(Value::Null);
    let report = opendepot_conformance::run(folder.path(), &options)
        .await
        .unwrap();
    assert!(
        matches!(outcome(&report, "data"), Outcome::Skipped(_)),
        "{report}"
    );
    options.bytes = Some(Arc::new(Careless::default()));
    let report = opendepot_conformance::run(folder.path(), &options)
        .await
        .unwrap();
    for (check, expected) in [
        ("data-put-get-head-delete", "a second put of the same bytes"),
        ("data-range", "bytes 0 to 0"),
        ("data-no-overwrite", "put"),
        ("data-missing", "never stored"),
        ("data-concurrent-writers", "are all to succeed"),
    ] {
        fails(&report, check, expected);
    }
}
