//! Google Cloud Storage.

mod access;
mod fault;

use crate::gcs_server::{Account, FIRST, GcsServer};
use crate::{Fixture, bytes, expected, plan};
use jiff::SignedDuration;
use opendepot_domain::{Kind, Transfer};
use opendepot_transfer::{ByteRange, Put, StoreAccess};

const STORE: &str = "gs://depot";
const KEY: &str = "vpc/0190-module.zip";
/// More than is put in one part.
const LARGE: usize = (20 << 20) + 7;

async fn started() -> (GcsServer, Fixture) {
    let server = GcsServer::start(&[FIRST]).await;
    let fixture = granted(&server, FIRST);
    (server, fixture)
}

fn access(server: &GcsServer, account: Account) -> StoreAccess {
    StoreAccess {
        endpoint: Some(server.endpoint.clone()),
        credential: Some(account.credential()),
        ..StoreAccess::default()
    }
}

fn granted(server: &GcsServer, account: Account) -> Fixture {
    Fixture::new(access(server, account))
}

/// The keys of all objects when nothing else is there.
fn objects(server: &GcsServer) -> Vec<String> {
    let (objects, uploads) = server.names();
    assert!(uploads.is_empty(), "{uploads:?}");
    objects
}

#[tokio::test]
async fn an_object_is_put_read_and_removed() {
    let (server, fixture) = started().await;
    let (mut plan, content) = (plan(STORE, KEY), bytes(300_000));
    let Transfer::Native(native) = &mut plan else {
        unreachable!("it is a native plan");
    };
    let note = ("note".to_owned(), "of ours".to_owned());
    native.placement.attributes.push(note);
    let expected = expected(&content);
    assert_eq!(fixture.stores.head(&plan).await.unwrap(), None);
    assert_eq!(fixture.put(&plan, &content).await.unwrap(), Put::Created);
    assert_eq!(objects(&server), [KEY], "the probe is gone");
    let object = server.object(KEY).unwrap();
    assert_eq!(object.headers["content-type"], "application/zip");
    assert_eq!(object.headers["x-goog-meta-note"], "of ours");
    assert_eq!(object.class, "STANDARD");
    assert_eq!(fixture.stores.head(&plan).await.unwrap(), Some(300_000));
    assert!(fixture.read(&plan, expected, None).await.unwrap() == content);
    let verified = fixture.stores.verify(&plan, expected, &|_| ());
    verified.await.unwrap();
    fixture.stores.delete(&plan).await.unwrap();
    fixture.stores.delete(&plan).await.unwrap();
    assert!(objects(&server).is_empty());
    let gone = fixture.read(&plan, expected, None).await.unwrap_err();
    assert_eq!(gone.kind(), Kind::NotFound);
}

#[tokio::test]
async fn no_artifact_is_empty_and_one_byte_is_enough() {
    let (server, fixture) = started().await;
    let plan = plan(STORE, KEY);
    let refused = fixture.put(&plan, b"").await.unwrap_err();
    assert_eq!(refused.kind(), Kind::Invalid, "{refused}");
    assert_eq!(server.counted(), []);
    assert_eq!(fixture.put(&plan, b"x").await.unwrap(), Put::Created);
    let read = fixture.read(&plan, expected(b"x"), None).await;
    assert_eq!(read.unwrap(), b"x");
    // Somebody empties it.
    server.place(KEY, "");
    assert_eq!(fixture.stores.head(&plan).await.unwrap(), Some(0));
    let read = fixture.read(&plan, expected(b"x"), None).await;
    assert_eq!(read.unwrap_err().kind(), Kind::Corrupt);
}

#[tokio::test]
async fn no_more_is_asked_than_is_needed() {
    let (server, fixture) = started().await;
    let (plan, content) = (plan(STORE, KEY), bytes(300_000));
    fixture.put(&plan, &content).await.unwrap();
    let probe = [("DELETE object", 1), ("PUT object", 3)];
    assert_eq!(server.counted(), probe, "two tries of the condition");
    fixture.put(&plan, &content).await.unwrap();
    assert_eq!(server.counted(), [("PUT object", 1)]);
    for _ in 0..2 {
        let read = fixture.read(&plan, expected(&content), None).await;
        assert!(read.unwrap() == content);
        assert_eq!(server.counted(), [("GET object", 1)]);
    }
    fixture.stores.head(&plan).await.unwrap();
    assert_eq!(server.counted(), [("HEAD object", 1)]);
    let ttl = std::time::Duration::from_secs(60);
    fixture.stores.presign(&plan, ttl).await.unwrap();
    assert_eq!(server.counted(), [], "a link is signed here");
}

#[tokio::test]
async fn an_object_is_never_overwritten() {
    let (server, fixture) = started().await;
    let plan = plan(STORE, KEY);
    fixture.put(&plan, &bytes(500)).await.unwrap();
    let generation = server.object(KEY).unwrap().generation;
    for len in [1_000, LARGE] {
        let put = fixture.put(&plan, &bytes(len)).await;
        assert_eq!(put.unwrap(), Put::Occupied);
        assert_eq!(objects(&server), [KEY], "nothing is staged");
    }
    let object = server.object(KEY).unwrap();
    assert_eq!((object.generation, object.metageneration), (generation, 1));
    assert!(object.content == bytes(500));
}

#[tokio::test]
async fn of_two_writers_one_creates_the_object() {
    let server = GcsServer::start(&[FIRST]).await;
    let (one, other) = (granted(&server, FIRST), granted(&server, FIRST));
    for (round, len) in std::iter::repeat_n(10_000, 20).chain([LARGE]).enumerate() {
        let key = format!("vpc/{round}.zip");
        let plan = plan(STORE, &key);
        let contents = [bytes(len), bytes(len + 1)];
        let puts = tokio::join!(one.put(&plan, &contents[0]), other.put(&plan, &contents[1]));
        let winner = match (puts.0.unwrap(), puts.1.unwrap()) {
            (Put::Created, Put::Occupied) => 0,
            (Put::Occupied, Put::Created) => 1,
            both => panic!("{both:?}"),
        };
        assert!(server.object(&key).unwrap().content == contents[winner]);
        let (objects, uploads) = server.names();
        assert_eq!((objects.len(), uploads.len()), (round + 1, 0));
    }
}

#[tokio::test]
async fn a_large_object_goes_in_parts_and_leaves_nothing_else() {
    let server = GcsServer::start(&[FIRST]).await;
    let fixture = Fixture::new(StoreAccess {
        options: [("storage-class".to_owned(), "NEARLINE".to_owned())].into(),
        ..access(&server, FIRST)
    });
    let (plan, content) = (plan(STORE, KEY), bytes(LARGE));
    assert_eq!(fixture.put(&plan, &content).await.unwrap(), Put::Created);
    let counted = server.counted();
    for asked in [("POST upload", 1), ("POST uploads", 1), ("PUT part", 3)] {
        assert!(counted.contains(&asked), "{asked:?} {counted:?}");
    }
    assert_eq!(objects(&server), [KEY]);
    let object = server.object(KEY).unwrap();
    assert_eq!(object.headers["content-type"], "application/zip");
    assert_eq!(object.class, "NEARLINE");
    assert!(object.etag.starts_with("\"-"), "{}", object.etag);
    let read = fixture.read(&plan, expected(&content), None).await;
    assert!(read.unwrap() == content);
}

#[tokio::test]
async fn what_a_killed_upload_left_goes_with_the_next_one_or_with_the_object() {
    let (server, fixture) = started().await;
    server.set_page(2);
    let hours = SignedDuration::from_hours;
    let leave = |name: &str| {
        server.place(&format!("{KEY}.upload-{name}"), "left");
        server.begin_upload(&format!("{KEY}.upload-{name}"));
    };
    server.set_clock(hours(-2));
    (0..2).for_each(|n| leave(&format!("old-{n}")));
    server.place("vpc/0190-other.zip", "of another");
    server.begin_upload("vpc/0190-other.zip.upload-1");
    server.set_clock(hours(0));
    leave("young");
    let (plan, content) = (plan(STORE, KEY), bytes(LARGE));
    fixture.put(&plan, &content).await.unwrap();
    let young = format!("{KEY}.upload-young");
    let (objects, uploads) = server.names();
    assert_eq!(objects, [KEY, &young, "vpc/0190-other.zip"]);
    assert_eq!(uploads, ["vpc/0190-other.zip.upload-1", &young]);
    fixture.stores.delete(&plan).await.unwrap();
    let (objects, uploads) = server.names();
    assert_eq!(objects, ["vpc/0190-other.zip"]);
    assert_eq!(uploads, ["vpc/0190-other.zip.upload-1"]);
}

#[tokio::test]
async fn ranges_are_those_of_the_object() {
    let (server, fixture) = started().await;
    let (plan, content) = (plan(STORE, KEY), bytes(400_000));
    fixture.put(&plan, &content).await.unwrap();
    server.counted();
    let parts = [(100_000, 250_000), (0, 0), (399_999, 399_999), (0, 399_998)];
    // First out of the whole, which is hashed on the way, then as a part.
    for (start, end_inclusive) in parts.into_iter().chain(parts) {
        let range = ByteRange {
            start,
            end_inclusive,
        };
        let part = fixture.read(&plan, expected(&content), Some(range)).await;
        assert!(part.unwrap() == content[start as usize..=end_inclusive as usize]);
        assert_eq!(server.counted(), [("GET object", 1)]);
    }
    // The same object under another tag is read as a whole again.
    server.place(KEY, content.clone());
    let range = ByteRange {
        start: 5,
        end_inclusive: 9,
    };
    let part = fixture.read(&plan, expected(&content), Some(range)).await;
    assert!(part.unwrap() == content[5..=9]);
}

#[tokio::test]
async fn a_source_that_changed_is_not_published() {
    let (server, fixture) = started().await;
    let plan = plan(STORE, KEY);
    for len in [1_000, LARGE] {
        let file = fixture.file(&bytes(len));
        let mut other = bytes(len);
        other[len - 1] ^= 1;
        let put = fixture
            .stores
            .put(&plan, file.as_path().into(), expected(&other));
        assert_eq!(put.await.unwrap_err().kind(), Kind::Corrupt, "{len}");
        assert!(objects(&server).is_empty());
    }
}

#[tokio::test]
async fn keys_may_hold_what_urls_and_documents_use() {
    let (server, fixture) = started().await;
    let names = [
        "ünï 1.zip",
        "a+b%41&c=d.zip",
        "what?#%2F.zip",
        "~'()*!@:;,$[x]<y>\".zip",
    ];
    let client = reqwest::Client::new();
    for name in names {
        for len in [1_000, 9 << 20] {
            let (key, content) = (format!("vpc/{name}"), bytes(len));
            let plan = plan(STORE, &key);
            server.place(&format!("{key}.upload-1"), "left");
            server.begin_upload(&format!("{key}.upload-2"));
            assert_eq!(fixture.put(&plan, &content).await.unwrap(), Put::Created);
            assert!(server.object(&key).unwrap().content == content, "{key}");
            let read = fixture.read(&plan, expected(&content), None).await;
            assert!(read.unwrap() == content);
            let ttl = std::time::Duration::from_secs(60);
            let link = fixture.stores.presign(&plan, ttl).await.unwrap();
            let answer = client.get(link.clone()).send().await.unwrap();
            assert_eq!(answer.status(), 200, "{link}");
            fixture.stores.delete(&plan).await.unwrap();
            assert!(objects(&server).is_empty(), "{key}");
        }
    }
}

#[tokio::test]
async fn a_bucket_that_is_not_there_is_no_missing_object() {
    let (_server, fixture) = started().await;
    let (plan, content) = (plan("gs://other", KEY), bytes(100));
    for error in [
        fixture.put(&plan, &content).await.unwrap_err(),
        fixture
            .read(&plan, expected(&content), None)
            .await
            .unwrap_err(),
        fixture.stores.delete(&plan).await.unwrap_err(),
    ] {
        assert_eq!(error.kind(), Kind::Unavailable, "{error}");
        assert!(error.to_string().contains("there is no `gs://other`"));
    }
}
