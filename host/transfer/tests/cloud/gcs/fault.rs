//! Servers that do not do as they should.

use super::{KEY, LARGE, STORE, access, objects, started};
use crate::gcs_server::{BodyFault, FIRST, GcsServer};
use crate::{Fixture, bytes, expected, plan};
use http_body_util::BodyExt as _;
use opendepot_domain::Kind;
use opendepot_transfer::{
    ByteRange, EgressConfig, FetchLimits, Put, RemoteLimits, Stores, StoresConfig,
};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Numbers that look random and are the same every time (xorshift).
struct Dice(u64);

impl Dice {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % end as u64) as usize
    }

    /// The content with one damage.
    #[expect(clippy::indexing_slicing, reason = "helpers of tests are tests")]
    fn damage(&mut self, content: &[u8]) -> Vec<u8> {
        let mut damaged = content.to_vec();
        let at = self.below(content.len());
        match self.below(6) {
            0 => damaged[at] ^= 1 << self.below(8),
            1 => damaged.truncate(at),
            2 => damaged.insert(at, 7),
            3 => damaged.rotate_left(at.max(1)),
            4 => damaged[at..].fill(0),
            _ => {
                damaged.remove(at);
                damaged.push(!content[at]);
            }
        }
        // Some change nothing, such as zeros over a zero.
        if damaged == content {
            damaged[at] ^= 1;
        }
        damaged
    }
}

#[tokio::test]
async fn damage_never_ends_as_a_whole_body() {
    let (server, fixture) = started().await;
    let (plan, content) = (plan(STORE, KEY), bytes(70_000));
    fixture.put(&plan, &content).await.unwrap();
    let expected = expected(&content);
    let range = ByteRange {
        start: 10,
        end_inclusive: 1_000,
    };
    let mut dice = Dice(0x9e37_79b9_7f4a_7c15);
    for step in 0..1_000 {
        let damaged = dice.damage(&content);
        // On the disk, under the tag that it had; or by somebody, under another.
        let ranges: &[_] = match step % 2 {
            0 => {
                server.damage(KEY, damaged);
                &[None]
            }
            _ => {
                server.place(KEY, damaged);
                &[None, Some(range)]
            }
        };
        for range in ranges {
            let read = fixture.read(&plan, expected, *range).await;
            assert_eq!(read.unwrap_err().kind(), Kind::Corrupt, "{step} {range:?}");
        }
        if step % 100 == 0 {
            server.place(KEY, content.clone());
            assert!(fixture.read(&plan, expected, None).await.unwrap() == content);
        }
    }
}

#[tokio::test]
async fn wrong_bytes_of_the_right_length_are_found_out() {
    let (server, fixture) = started().await;
    let (plan, content) = (plan(STORE, KEY), bytes(200_000));
    fixture.put(&plan, &content).await.unwrap();
    server.faults().set_body(BodyFault::Wrong);
    let read = fixture.read(&plan, expected(&content), None).await;
    assert_eq!(read.unwrap_err().kind(), Kind::Corrupt);
    let verified = fixture.stores.verify(&plan, expected(&content), &|_| ());
    assert_eq!(verified.await.unwrap_err().kind(), Kind::Corrupt);
}

#[tokio::test]
async fn a_body_that_breaks_off_goes_on_where_it_ended() {
    let (server, fixture) = started().await;
    let (plan, content) = (plan(STORE, KEY), bytes(2_000_000));
    fixture.put(&plan, &content).await.unwrap();
    server.counted();
    server.faults().set_body(BodyFault::Half);
    let read = fixture.read(&plan, expected(&content), None).await;
    assert_eq!(read.unwrap_err().kind(), Kind::Unavailable);
    assert_eq!(server.counted(), [("GET object", 3)]);
    let body = fixture.stores.open_body(&plan, expected(&content), None);
    let body = body.await.unwrap();
    server.faults().set_body(BodyFault::None);
    assert!(body.collect().await.unwrap().to_bytes() == content);
    assert_eq!(server.counted(), [("GET object", 2)]);
    // Another object in the meantime is not the rest of this one.
    server.faults().set_body(BodyFault::Half);
    let body = fixture.stores.open_body(&plan, expected(&content), None);
    let body = body.await.unwrap();
    server.faults().set_body(BodyFault::None);
    server.place(KEY, vec![1; content.len()]);
    body.collect().await.unwrap_err();
}

/// Limits that a test can wait for.
fn impatient(server: &GcsServer) -> Fixture {
    let fixture = Fixture::new(access(server, FIRST));
    let egress = EgressConfig {
        allow_http: vec!["127.0.0.1".to_owned()],
        ..EgressConfig::default()
    };
    let stores = StoresConfig::new(fixture.folder.path().join("impatient"));
    let stores = Stores::open(stores).unwrap().with_cloud(
        egress.policy().unwrap().of_granted_hosts(),
        FetchLimits::default(),
        Arc::clone(&fixture.operator) as _,
        RemoteLimits {
            read_timeout: Duration::from_secs(1),
            sync_timeout: Duration::from_secs(1),
            idle_timeout: Duration::from_millis(500),
            ..RemoteLimits::default()
        },
    );
    Fixture { stores, ..fixture }
}

#[tokio::test]
async fn a_server_that_does_not_go_on_is_given_up() {
    let (server, fixture) = started().await;
    let (plan, content) = (plan(STORE, KEY), bytes(200_000));
    fixture.put(&plan, &content).await.unwrap();
    server.faults().set_body(BodyFault::Slow);
    let read = fixture.read(&plan, expected(&content), None).await;
    assert!(read.unwrap() == content, "slow is not still");
    let fixture = impatient(&server);
    server.faults().set_body(BodyFault::Stalled);
    let read = fixture.read(&plan, expected(&content), None).await;
    assert_eq!(read.unwrap_err().kind(), Kind::Unavailable);
    server.faults().be_silent();
    for error in [
        fixture
            .read(&plan, expected(&content), None)
            .await
            .unwrap_err(),
        fixture.put(&plan, &content).await.unwrap_err(),
        fixture.stores.delete(&plan).await.unwrap_err(),
    ] {
        assert_eq!(error.kind(), Kind::Unavailable, "{error}");
    }
}

#[tokio::test]
async fn a_store_that_is_down_is_given_up_in_time() {
    let (server, fixture) = started().await;
    let (plan, content) = (plan(STORE, KEY), bytes(100));
    fixture.put(&plan, &content).await.unwrap();
    drop(server);
    let began = Instant::now();
    let read = fixture.read(&plan, expected(&content), None);
    assert_eq!(read.await.unwrap_err().kind(), Kind::Unavailable);
    assert!(began.elapsed() < Duration::from_secs(8));
}

#[tokio::test]
async fn a_server_that_is_busy_is_asked_again_a_few_times() {
    let (server, fixture) = started().await;
    let (plan, content) = (plan(STORE, KEY), bytes(1_000));
    server.faults().be_unavailable(2);
    assert_eq!(fixture.put(&plan, &content).await.unwrap(), Put::Created);
    server.faults().be_unavailable(2);
    let read = fixture.read(&plan, expected(&content), None).await;
    assert!(read.unwrap() == content);
    server.faults().be_unavailable(3);
    let read = fixture.read(&plan, expected(&content), None).await;
    let error = read.unwrap_err();
    assert_eq!(error.kind(), Kind::Unavailable);
    assert!(
        error.to_string().contains("503 (ServiceUnavailable)"),
        "{error}"
    );
}

#[tokio::test]
async fn an_answer_that_was_lost_leaves_no_other_object_and_no_part() {
    let (server, fixture) = started().await;
    let content = bytes(LARGE);
    // The probe has been made.
    fixture.put(&plan(STORE, "first"), b"x").await.unwrap();
    let plan = plan(STORE, KEY);
    for (lost, len) in [
        ("PUT object", 1_000),
        ("PUT part", LARGE),
        ("POST upload", LARGE),
        ("PUT copy", LARGE),
        ("DELETE object", LARGE),
    ] {
        server.faults().lose_answer_to(lost);
        let put = fixture.put(&plan, &content[..len]).await;
        // It is told that there is an object, which is ours, or to try again.
        match put.map_err(|error| error.kind()) {
            Ok(_) => {
                let object = server.object(KEY).unwrap();
                assert!(object.content == content[..len], "{lost}");
                assert_eq!(objects(&server), ["first", KEY], "{lost}");
            }
            Err(Kind::Unavailable) => assert_eq!(objects(&server), ["first"], "{lost}"),
            Err(kind) => panic!("{lost}: {kind:?}"),
        }
        fixture.stores.delete(&plan).await.unwrap();
        assert_eq!(objects(&server), ["first"], "{lost}");
    }
}

#[tokio::test]
async fn a_server_that_ignores_conditions_is_found_out() {
    let (server, fixture) = started().await;
    server.faults().ignore_conditions();
    let (plan, content) = (plan(STORE, KEY), bytes(1_000));
    assert_eq!(fixture.put(&plan, &content).await.unwrap(), Put::Created);
    for len in [2_000, LARGE] {
        let put = fixture.put(&plan, &bytes(len)).await;
        assert_eq!(put.unwrap(), Put::Occupied);
        assert!(server.object(KEY).unwrap().content == content);
        assert_eq!(objects(&server), [KEY]);
    }
    // Nor is a part trusted that is one of another object.
    let read = fixture.read(&plan, expected(&content), None).await;
    assert!(read.unwrap() == content);
    server.place(KEY, vec![1; content.len()]);
    let range = ByteRange {
        start: 1,
        end_inclusive: 9,
    };
    let part = fixture.read(&plan, expected(&content), Some(range)).await;
    assert_eq!(part.unwrap_err().kind(), Kind::Corrupt);
}
