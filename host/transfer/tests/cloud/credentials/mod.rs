//! Credentials that end: where they come from, how long they are used, and that nobody sees them. The
//! services are small ones of our own, written from what the clouds document, that refuse what is
//! not as documented.
#![expect(clippy::indexing_slicing, reason = "helpers of tests are tests")]

mod alone;
mod aws;
mod azure;
mod gcp;
mod listener;
mod rotation;
mod service;

use crate::{Fixture, bytes, expected, plan};
use opendepot_domain::{Kind, Transfer};
use opendepot_transfer::{EgressConfig, Error, Put, RemoteLimits, StoreAccess};
use std::future::Future;
use std::path::PathBuf;
use std::time::{Duration, Instant};

const KEY: &str = "vpc/0190-module.zip";
/// A client waits 10 s, and the plan takes its time.
const IN_TIME: Duration = Duration::from_secs(8);

/// A store at a test's own endpoint, where services on loopback may be asked too.
fn fixture(access: StoreAccess) -> Fixture {
    let egress = EgressConfig {
        allow_private: vec!["127.0.0.1/32".to_owned()],
        ..EgressConfig::default()
    };
    Fixture::with(access, egress, RemoteLimits::default())
}

/// A file with a token, as a cluster projects it: with the end of a line.
struct TokenFile(tempfile::TempDir);

impl TokenFile {
    fn new(token: &str) -> Self {
        let file = Self(tempfile::tempdir().unwrap());
        file.write(token);
        file
    }

    fn write(&self, token: &str) {
        std::fs::write(self.path(), format!("{token}\n")).unwrap();
    }

    fn path(&self) -> PathBuf {
        self.0.path().join("token")
    }

    fn text(&self) -> String {
        self.path().to_str().unwrap().to_owned()
    }
}

/// Puts an object, looks at it, reads it and removes it.
async fn puts_and_reads(fixture: &Fixture, store: &str) {
    let (plan, content) = (plan(store, "vpc/one.zip"), bytes(1_000));
    assert_eq!(fixture.put(&plan, &content).await.unwrap(), Put::Created);
    assert_eq!(fixture.put(&plan, &content).await.unwrap(), Put::Occupied);
    assert_eq!(fixture.stores.head(&plan).await.unwrap(), Some(1_000));
    let read = fixture.read(&plan, expected(&content), None).await;
    assert!(read.unwrap() == content);
    fixture.stores.delete(&plan).await.unwrap();
    assert_eq!(fixture.stores.head(&plan).await.unwrap(), None);
}

/// An object that is there, to be read.
async fn filled(fixture: &Fixture, store: &str) -> Transfer {
    let plan = plan(store, KEY);
    assert_eq!(fixture.put(&plan, &bytes(100)).await.unwrap(), Put::Created);
    plan
}

async fn read(fixture: &Fixture, plan: &Transfer) -> Result<(), Error> {
    let read = fixture.read(plan, expected(&bytes(100)), None).await?;
    assert!(read == bytes(100));
    Ok(())
}

/// Many readers at once, all of whom succeed.
async fn all_read(fixture: &Fixture, plan: &Transfer, num: usize) {
    let readers = (0..num).map(|_| read(fixture, plan));
    for read in futures::future::join_all(readers).await {
        read.unwrap();
    }
}

/// Fails in time, as what will pass.
async fn unavailable<T: std::fmt::Debug>(work: impl Future<Output = Result<T, Error>>) -> String {
    let began = Instant::now();
    let error = work.await.unwrap_err();
    assert!(began.elapsed() < IN_TIME, "{:?}", began.elapsed());
    assert_eq!(error.kind(), Kind::Unavailable, "{error}");
    format!("{error} {error:?}")
}

async fn pass(millis: u64) {
    assert!(millis <= 2_000, "nobody wants to wait so long");
    tokio::time::sleep(Duration::from_millis(millis)).await;
}
