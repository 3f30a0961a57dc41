//! S3.

use crate::server::S3Server;
use crate::{Fixture, bytes, expected, key_pair, plan};
use http_body_util::BodyExt as _;
use opendepot_domain::Kind;
use opendepot_transfer::{ByteRange, Put, StoreAccess};
use std::time::Duration;

const KEY: &str = "vpc/0190-module.zip";

async fn started() -> (S3Server, Fixture) {
    let server = S3Server::start(&[("id", "secret"), ("new", "other")]).await;
    let fixture = Fixture::new(StoreAccess {
        endpoint: Some(server.endpoint.clone()),
        credential: Some(key_pair("id", "secret")),
        ..StoreAccess::default()
    });
    (server, fixture)
}

#[tokio::test]
async fn an_object_is_put_read_and_removed() {
    let (server, fixture) = started().await;
    let (plan, content) = (plan("s3://depot", KEY), bytes(300_000));
    let expected = expected(&content);
    assert_eq!(fixture.stores.head(&plan).await.unwrap(), None);
    assert_eq!(fixture.put(&plan, &content).await.unwrap(), Put::Created);
    assert_eq!(
        server.names("vpc"),
        ["0190-module.zip"],
        "the probe is gone"
    );
    assert_eq!(fixture.stores.head(&plan).await.unwrap(), Some(300_000));
    assert!(fixture.read(&plan, expected, None).await.unwrap() == content);
    fixture
        .stores
        .verify(&plan, expected, &|_| ())
        .await
        .unwrap();
    fixture.stores.delete(&plan).await.unwrap();
    fixture.stores.delete(&plan).await.unwrap();
    let gone = fixture.read(&plan, expected, None).await.unwrap_err();
    assert_eq!(gone.kind(), Kind::NotFound);
}

#[tokio::test]
async fn an_object_is_never_overwritten() {
    let (server, fixture) = started().await;
    let plan = plan("s3://depot", KEY);
    for len in [1_000, 20 << 20] {
        fixture.put(&plan, &bytes(500)).await.unwrap();
        assert_eq!(
            fixture.put(&plan, &bytes(len)).await.unwrap(),
            Put::Occupied
        );
        assert_eq!(std::fs::read(server.object(KEY)).unwrap(), bytes(500));
    }
    assert_eq!(
        server.names("vpc"),
        ["0190-module.zip"],
        "nothing is staged"
    );
}

#[tokio::test]
async fn a_large_object_goes_in_parts_and_leaves_nothing_else() {
    let (server, fixture) = started().await;
    let (plan, content) = (plan("s3://depot", KEY), bytes((20 << 20) + 7));
    assert_eq!(fixture.put(&plan, &content).await.unwrap(), Put::Created);
    assert_eq!(server.names("vpc"), ["0190-module.zip"]);
    assert!(fixture.read(&plan, expected(&content), None).await.unwrap() == content);
    fixture.stores.delete(&plan).await.unwrap();
    assert!(server.names("vpc").is_empty(), "{:?}", server.names("vpc"));
}

#[tokio::test]
async fn ranges_are_those_of_the_object() {
    let (_server, fixture) = started().await;
    let (plan, content) = (plan("s3://depot", KEY), bytes(400_000));
    fixture.put(&plan, &content).await.unwrap();
    let range = ByteRange {
        start: 100_000,
        end_inclusive: 250_000,
    };
    // First out of the whole, which is hashed on the way, then as a part.
    for _ in 0..2 {
        let part = fixture.read(&plan, expected(&content), Some(range)).await;
        assert!(part.unwrap() == content[100_000..=250_000]);
    }
}

#[tokio::test]
async fn damage_never_ends_as_a_whole_body() {
    let (server, fixture) = started().await;
    let (plan, content) = (plan("s3://depot", KEY), bytes(200_000));
    fixture.put(&plan, &content).await.unwrap();
    let file = server.object(KEY);
    let range = ByteRange {
        start: 0,
        end_inclusive: 1_000,
    };
    for step in 0..50 {
        let mut damaged = content.clone();
        match step % 3 {
            0 => damaged[step * 3_999] ^= 1 << (step % 8),
            1 => damaged.truncate(200_000 - step),
            _ => damaged.push(7),
        }
        std::fs::write(&file, &damaged).unwrap();
        for range in [None, Some(range)] {
            let read = fixture.read(&plan, expected(&content), range).await;
            assert_eq!(read.unwrap_err().kind(), Kind::Corrupt, "{step} {range:?}");
        }
    }
}

#[tokio::test]
async fn a_source_that_changed_is_not_published() {
    let (server, fixture) = started().await;
    let plan = plan("s3://depot", KEY);
    for len in [1_000, 20 << 20] {
        let file = fixture.file(&bytes(len));
        let mut other = bytes(len);
        other[len - 1] ^= 1;
        let put = fixture
            .stores
            .put(&plan, file.as_path().into(), expected(&other));
        assert_eq!(put.await.unwrap_err().kind(), Kind::Corrupt, "{len}");
        assert!(server.names("vpc").is_empty(), "{:?}", server.names("vpc"));
    }
}

#[tokio::test]
async fn failures_say_what_they_are() {
    let (_server, fixture) = started().await;
    let content = bytes(100);
    fixture.operator.0.lock().unwrap().credential = Some(key_pair("id", "wrong"));
    let refused = Fixture::new(fixture.operator.0.lock().unwrap().clone());
    let error = refused
        .put(&plan("s3://depot", KEY), &content)
        .await
        .unwrap_err();
    assert_eq!(error.kind(), Kind::Denied, "{error}");
    assert!(!error.to_string().contains("wrong"), "{error}");
    for key in ["../x", "a//b", "/a", "a/./b", ""] {
        let error = fixture.stores.head(&plan("s3://depot", key)).await;
        assert_eq!(error.unwrap_err().kind(), Kind::Invalid, "{key}");
    }
    // An endpoint that the egress policy does not let plain HTTP go to.
    let access = StoreAccess {
        endpoint: Some("http://169.254.169.254".to_owned()),
        ..StoreAccess::default()
    };
    let error = Fixture::new(access)
        .stores
        .head(&plan("s3://depot", KEY))
        .await;
    assert_eq!(error.unwrap_err().kind(), Kind::Denied);
}

#[tokio::test]
async fn a_store_that_is_down_is_given_up_in_time() {
    let (server, fixture) = started().await;
    drop(server);
    let began = std::time::Instant::now();
    let (plan, content) = (plan("s3://depot", KEY), bytes(100));
    let read = fixture.read(&plan, expected(&content), None);
    assert_eq!(read.await.unwrap_err().kind(), Kind::Unavailable);
    assert!(began.elapsed() < Duration::from_secs(8));
}

#[tokio::test]
async fn a_credential_that_was_replaced_is_taken_up_when_the_old_one_is_refused() {
    let (_server, fixture) = started().await;
    let (plan, content) = (plan("s3://depot", KEY), bytes(1_000));
    fixture.put(&plan, &content).await.unwrap();
    // Remembered for a while, and refused by the server.
    let stale = Fixture::new(StoreAccess {
        credential: Some(key_pair("gone", "x")),
        ..fixture.operator.0.lock().unwrap().clone()
    });
    let read = stale.read(&plan, expected(&content), None).await;
    assert_eq!(read.unwrap_err().kind(), Kind::Denied);
    stale.operator.0.lock().unwrap().credential = Some(key_pair("new", "other"));
    assert!(stale.read(&plan, expected(&content), None).await.unwrap() == content);
}

#[tokio::test]
async fn a_link_opens_one_object_for_reading() {
    let (_server, fixture) = started().await;
    let (plan, content) = (plan("s3://depot", KEY), bytes(1_000));
    fixture.put(&plan, &content).await.unwrap();
    let link = fixture
        .stores
        .presign(&plan, Duration::from_secs(60))
        .await
        .unwrap();
    let client = reqwest::Client::new();
    let got = client.get(link.clone()).send().await.unwrap();
    assert_eq!(got.status(), 200);
    let body: reqwest::Body = got.into();
    assert!(body.collect().await.unwrap().to_bytes() == content);
    let mut other = link.clone();
    other.set_path("/depot/vpc/other.zip");
    assert_eq!(client.get(other).send().await.unwrap().status(), 403);
    assert_eq!(
        client.put(link).body("x").send().await.unwrap().status(),
        403
    );
}
