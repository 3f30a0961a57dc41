//! Links that a user delegation key signs.

use super::{STORE, Site, started, unshown};
use crate::credentials::listener::Listener;
use crate::credentials::service::{Mode, fields};
use crate::credentials::{filled, unavailable};
use jiff::{SignedDuration, Timestamp};
use opendepot_domain::Transfer;
use reqwest::{Client, Method};
use std::time::Duration;
use url::Url;

async fn link(site: &Site, plan: &Transfer, seconds: u64) -> Url {
    let link = site
        .fixture
        .stores
        .presign(plan, Duration::from_secs(seconds));
    link.await.unwrap()
}

fn time(link: &Url, name: &str) -> Timestamp {
    let query = fields(link.query().unwrap().as_bytes());
    query[name].parse().unwrap()
}

async fn status(method: Method, link: &Url) -> u16 {
    let sent = Client::new().request(method, link.clone()).body("x");
    sent.send().await.unwrap().status().as_u16()
}

#[tokio::test]
async fn a_link_opens_one_object_for_reading() {
    let listener = Listener::start();
    let site = started(3_600).await;
    let one = filled(&site.fixture, STORE).await;
    let Transfer::Native(mut other) = one.clone() else {
        unreachable!("it is a native plan");
    };
    other.placement.key = "vpc/ü 1+%41.zip".to_owned();
    let other = Transfer::Native(other);
    site.fixture.put(&other, &crate::bytes(100)).await.unwrap();
    for plan in [&one, &other] {
        let link = link(&site, plan, 60).await;
        assert_eq!(status(Method::GET, &link).await, 200, "{link}");
        assert_eq!(status(Method::PUT, &link).await, 403);
        assert_eq!(status(Method::DELETE, &link).await, 403);
        let begin = time(&link, "st");
        assert!(begin <= Timestamp::now() - SignedDuration::from_mins(14));
    }
    let link = link(&site, &one, 60).await;
    let mut moved = link.clone();
    moved.set_path("/depotacct/depot/vpc/%C3%BC%201+%2541.zip");
    assert_eq!(status(Method::GET, &moved).await, 403);
    for (from, to) in [
        ("sp=r", "sp=rw"),
        ("se=2", "se=3"),
        ("sr=b", "sr=c"),
        ("ske=2", "ske=3"),
    ] {
        let changed = link.as_str().replacen(from, to, 1);
        assert_ne!(changed, link.as_str());
        let changed = Url::parse(&changed).unwrap();
        assert_eq!(status(Method::GET, &changed).await, 403, "{changed}");
    }
    unshown(&listener.heard());
}

#[tokio::test]
async fn a_link_ends_in_time_and_clocks_may_differ() {
    let site = started(3_600).await;
    let plan = filled(&site.fixture, STORE).await;
    let link = link(&site, &plan, 60).await;
    let left = time(&link, "se").duration_since(Timestamp::now()).as_secs();
    assert!((58..=60).contains(&left), "{left}");
    for (seconds, said) in [(-800, 200), (0, 200), (55, 200), (61, 403), (-1_000, 403)] {
        site.blobs.set_clock(seconds);
        assert_eq!(status(Method::GET, &link).await, said, "{seconds}");
    }
}

#[tokio::test]
async fn a_link_ends_with_its_key_or_before() {
    let site = started(3_600).await;
    let plan = filled(&site.fixture, STORE).await;
    site.blobs.set_longest_key(600);
    for (ttl, least, most) in [(60, 58, 60), (3_600, 595, 600)] {
        let link = link(&site, &plan, ttl).await;
        let (end, key_end) = (time(&link, "se"), time(&link, "ske"));
        let left = end.duration_since(Timestamp::now()).as_secs();
        assert!((least..=most).contains(&left) && end <= key_end, "{link}");
        assert_eq!(status(Method::GET, &link).await, 200);
    }
}

#[tokio::test]
async fn a_key_is_kept_and_outlives_its_links() {
    let site = started(3_600).await;
    let plan = filled(&site.fixture, STORE).await;
    let is_key = |asked: &String| asked.starts_with("POST");
    site.blobs.service.asked();
    for seconds in [60, 900, 3_600, 1] {
        let link = link(&site, &plan, seconds).await;
        let (end, key_end) = (time(&link, "se"), time(&link, "ske"));
        let left = end.duration_since(Timestamp::now()).as_secs();
        assert!(
            left + 2 >= seconds.cast_signed() && end <= key_end,
            "{link}"
        );
    }
    let asked = site.blobs.service.asked();
    assert_eq!(asked.iter().filter(|asked| is_key(asked)).count(), 1);
    // It signs also while the service is down.
    site.blobs.service.set(Mode::Failing);
    link(&site, &plan, 60).await;
}

#[tokio::test]
async fn without_a_key_there_is_no_link() {
    let site = started(3_600).await;
    let plan = filled(&site.fixture, STORE).await;
    for mode in [Mode::Failing, Mode::Babbling, Mode::Silent] {
        site.blobs.service.set(mode);
        let link = site.fixture.stores.presign(&plan, Duration::from_secs(60));
        unshown(&unavailable(link).await);
    }
    site.blobs.service.set(Mode::Up);
    site.blobs.set_longest_key(0);
    let ended = site.fixture.stores.presign(&plan, Duration::from_secs(60));
    unavailable(ended).await;
    site.blobs.set_longest_key(600);
    link(&site, &plan, 60).await;
}
