//! Web identity: the token of a service account, exchanged at the security token service.

use super::Keys;
use super::s3::Bucket;
use super::sts::{ROLE, Sts};
use crate::credentials::listener::Listener;
use crate::credentials::service::Mode;
use crate::credentials::{TokenFile, all_read, filled, pass, puts_and_reads, read, unavailable};
use crate::{Fixture, bytes, plan};
use opendepot_domain::Kind;
use opendepot_transfer::{CloudCredential, CloudCredentialKind, StoreAccess};
use std::time::Duration;
use url::Url;

const STORE: &str = "s3://depot";
const TOKEN: &str = "pod-token.one.two";
const HOUR: i64 = 3_600_000;

struct Site {
    keys: Keys,
    sts: Sts,
    bucket: Bucket,
    file: TokenFile,
    fixture: Fixture,
}

/// Sessions live for so many milliseconds.
async fn started(life: i64) -> Site {
    let keys = Keys::living(life);
    let (sts, bucket) = (Sts::start(&keys, TOKEN).await, Bucket::start(&keys).await);
    let file = TokenFile::new(TOKEN);
    let fixture = Fixture::new(access(&sts, &bucket, &file));
    Site {
        keys,
        sts,
        bucket,
        file,
        fixture,
    }
}

fn access(sts: &Sts, bucket: &Bucket, file: &TokenFile) -> StoreAccess {
    let options = [
        ("role-arn", ROLE.to_owned()),
        ("sts-endpoint", sts.service.url.clone()),
        ("token-file", file.text()),
    ];
    StoreAccess {
        endpoint: Some(bucket.server.endpoint.clone()),
        options: options.map(|(name, value)| (name.to_owned(), value)).into(),
        credential: Some(CloudCredential {
            kind: CloudCredentialKind::AwsWebIdentity,
            secret: None,
        }),
        ..StoreAccess::default()
    }
}

#[tokio::test]
async fn an_object_is_put_and_read_with_one_session() {
    let site = started(HOUR).await;
    puts_and_reads(&site.fixture, STORE).await;
    let plan = plan(STORE, "vpc/large.zip");
    site.fixture.put(&plan, &bytes(9 << 20)).await.unwrap();
    assert_eq!(site.sts.service.asked(), ["POST /"]);
    assert_eq!(site.bucket.seen(), (vec!["ASIAKEY1".to_owned()], 0));
}

#[tokio::test]
async fn a_session_is_replaced_before_its_end() {
    let site = started(1_000).await;
    let plan = filled(&site.fixture, STORE).await;
    pass(550).await;
    read(&site.fixture, &plan).await.unwrap();
    pass(550).await;
    read(&site.fixture, &plan).await.unwrap();
    let ids = ["ASIAKEY1", "ASIAKEY2", "ASIAKEY3"].map(str::to_owned);
    assert_eq!(site.bucket.seen(), (ids.to_vec(), 0));
}

#[tokio::test]
async fn many_callers_share_one_exchange() {
    let site = started(1_000).await;
    let plan = filled(&site.fixture, STORE).await;
    site.sts.service.set(Mode::Slow);
    pass(550).await;
    all_read(&site.fixture, &plan, 30).await;
    assert_eq!(site.keys.num(), 2);
    pass(1_010).await;
    all_read(&site.fixture, &plan, 30).await;
    assert_eq!((site.keys.num(), site.bucket.seen().1), (3, 0));
}

#[tokio::test]
async fn what_was_revoked_is_replaced_once_for_all() {
    let site = started(HOUR).await;
    let plan = filled(&site.fixture, STORE).await;
    site.keys.revoke();
    all_read(&site.fixture, &plan, 30).await;
    assert_eq!(site.keys.num(), 2);
    // An answer without a body does not say why.
    site.keys.revoke();
    assert_eq!(site.fixture.stores.head(&plan).await.unwrap(), Some(100));
    site.keys.revoke();
    site.fixture.stores.delete(&plan).await.unwrap();
    assert_eq!(site.keys.num(), 4);
}

#[tokio::test]
async fn while_the_service_is_down_a_session_is_used_to_its_end_and_no_longer() {
    for mode in [Mode::Failing, Mode::Babbling] {
        let site = started(3_000).await;
        let plan = filled(&site.fixture, STORE).await;
        site.sts.service.set(mode);
        pass(2_000).await;
        all_read(&site.fixture, &plan, 10).await;
        let asked = site.sts.service.asked();
        assert!((2..=6).contains(&asked.len()), "{asked:?}");
        pass(1_010).await;
        let text = unavailable(read(&site.fixture, &plan)).await;
        site.keys.unshown(&text);
        assert!(!text.contains("hunter2") && !text.contains(TOKEN), "{text}");
        assert_eq!(site.bucket.seen(), (vec!["ASIAKEY1".to_owned()], 0));
        site.sts.service.set(Mode::Up);
        read(&site.fixture, &plan).await.unwrap();
    }
}

#[tokio::test]
async fn a_service_that_says_nothing_holds_nobody_up() {
    let site = started(12_000).await;
    let plan = filled(&site.fixture, STORE).await;
    // Due, and for long enough good: one waits, and the others do not.
    site.keys.set_life(3_000);
    site.keys.revoke();
    read(&site.fixture, &plan).await.unwrap();
    pass(1_600).await;
    site.sts.service.set(Mode::Silent);
    let waits = read(&site.fixture, &plan);
    let others = async {
        pass(100).await;
        let all = all_read(&site.fixture, &plan, 10);
        tokio::time::timeout(Duration::from_secs(1), all).await
    };
    let (waited, others) = tokio::join!(waits, others);
    others.unwrap();
    // By then it has ended.
    assert_eq!(waited.unwrap_err().kind(), Kind::Unavailable);
    let readers = (0..5).map(|_| unavailable(read(&site.fixture, &plan)));
    futures::future::join_all(readers).await;
    site.sts.service.set(Mode::Up);
    read(&site.fixture, &plan).await.unwrap();
}

#[tokio::test]
async fn a_service_that_is_gone_is_given_up_in_time() {
    let Site {
        sts,
        bucket,
        file,
        fixture,
        ..
    } = started(HOUR).await;
    let plan = plan(STORE, "any.zip");
    drop(sts);
    unavailable(read(&fixture, &plan)).await;
    unavailable(fixture.stores.presign(&plan, Duration::from_secs(60))).await;
    assert_eq!(bucket.seen().0, Vec::<String>::new());
    drop(file);
}

#[tokio::test]
async fn the_token_is_read_anew_for_each_exchange() {
    let site = started(400).await;
    let plan = filled(&site.fixture, STORE).await;
    site.file.write("pod-token.three.four");
    site.sts.set_token("pod-token.three.four");
    pass(410).await;
    read(&site.fixture, &plan).await.unwrap();
    assert!(site.keys.num() > 1);
    std::fs::remove_file(site.file.path()).unwrap();
    pass(410).await;
    unavailable(read(&site.fixture, &plan)).await;
    site.file.write("pod-token.three.four");
    read(&site.fixture, &plan).await.unwrap();
}

#[tokio::test]
async fn who_is_refused_is_told_so_and_nothing_is_shown() {
    let listener = Listener::start();
    let site = started(HOUR).await;
    let (good, plan) = (&site.fixture, plan(STORE, "any.zip"));
    let mut texts = Vec::new();
    for (option, value) in [
        ("role-arn", "arn:aws:iam::123456789012:role/other"),
        ("token-file", ""),
    ] {
        let mut access = good.operator.0.lock().unwrap().clone();
        let other = TokenFile::new("pod-token.of.another");
        let value = if value.is_empty() {
            other.text()
        } else {
            value.to_owned()
        };
        access.options.insert(option.to_owned(), value);
        texts.push(format!("{access:?}"));
        let refused = Fixture::new(access);
        for error in [
            refused.put(&plan, b"x").await.unwrap_err(),
            refused.stores.head(&plan).await.unwrap_err(),
            read(&refused, &plan).await.unwrap_err(),
            refused
                .stores
                .presign(&plan, Duration::from_secs(60))
                .await
                .unwrap_err(),
        ] {
            assert!(
                matches!(error.kind(), Kind::Denied | Kind::Unavailable),
                "{error}"
            );
            texts.push(format!("{error} {error:?}"));
        }
    }
    puts_and_reads(good, STORE).await;
    good.stores
        .presign(&plan, Duration::from_secs(60))
        .await
        .unwrap();
    site.keys.revoke();
    site.sts.service.set(Mode::Failing);
    texts.push(unavailable(good.stores.head(&plan)).await);
    assert_eq!(site.bucket.seen().1, 2, "without a body, then with one");
    let heard = listener.heard();
    // The store's own failure would not say who it was.
    assert!(heard.contains("`127.0.0.1` answered 403"), "{heard}");
    for text in texts.iter().chain([&heard]) {
        site.keys.unshown(text);
        assert!(
            !text.contains("pod-token") && !text.contains("hunter2"),
            "{text}"
        );
    }
}

/// How many seconds a link is good for.
fn life(link: &Url) -> u64 {
    let mut query = link.query_pairs();
    let life = query.find(|(name, _)| name == "X-Amz-Expires");
    life.unwrap().1.parse().unwrap()
}

#[tokio::test]
async fn a_link_ends_with_the_session_or_before() {
    let site = started(600_000).await;
    let plan = filled(&site.fixture, STORE).await;
    for (ttl, least, most) in [(60, 60, 60), (3_600, 590, 600)] {
        let link = site.fixture.stores.presign(&plan, Duration::from_secs(ttl));
        let link = link.await.unwrap();
        assert!((least..=most).contains(&life(&link)), "{link}");
        assert_eq!(reqwest::get(link.clone()).await.unwrap().status(), 200);
        let without = link.as_str().replace("X-Amz-Security-Token", "X-Amz-Other");
        assert_eq!(reqwest::get(without).await.unwrap().status(), 403);
    }
    // One that ends soon is replaced first, so that links are as long as they can be.
    site.keys.set_life(7_200_000);
    let other = Fixture::new(site.fixture.operator.0.lock().unwrap().clone());
    let link = other
        .stores
        .presign(&plan, Duration::from_secs(3_600))
        .await
        .unwrap();
    assert_eq!(life(&link), 3_600);
}

#[tokio::test]
async fn no_link_is_made_with_a_session_that_ends_now() {
    let site = started(900).await;
    let plan = filled(&site.fixture, STORE).await;
    unavailable(site.fixture.stores.presign(&plan, Duration::from_secs(60))).await;
    site.keys.set_life(10_000);
    pass(500).await;
    let link = site
        .fixture
        .stores
        .presign(&plan, Duration::from_secs(60))
        .await
        .unwrap();
    assert!((5..10).contains(&life(&link)), "{link}");
}
