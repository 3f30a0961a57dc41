//! What every server is asked.

use super::Site;
use crate::{Fixture, bytes, expected, plan};
use http_body_util::BodyExt as _;
use opendepot_domain::{Kind, Transfer};
use opendepot_transfer::{ByteRange, Put, StoreAccess};
use std::time::Duration;

/// More than one part.
const LARGE: usize = (20 << 20) + 7;
const KEY: &str = "vpc/0190-module.zip";
/// Keys in which something must be escaped, and one that looks as if it were already.
const KEYS: [&str; 4] = [
    "vpc/ünï 1.zip",
    "a+b&c%41.zip",
    "a+b/c=d;e'f(g)!~*.zip",
    "x y/#?.zip",
];

/// Each case as a test, with a server of its own.
macro_rules! tests {
    ($started:ident: all) => {
        tests! { $started:
            an_object_is_put_read_and_removed,
            an_object_has_the_attributes_of_its_plan,
            an_object_is_never_overwritten,
            a_large_object_goes_in_parts,
            of_two_writers_one_wins,
            an_empty_object_is_refused_and_one_byte_is_not,
            ranges_are_those_of_the_object,
            any_key_names_one_object,
            any_key_takes_an_object_in_parts,
            another_content_is_never_read,
            a_wrong_credential_is_denied_and_not_shown,
            a_link_opens_one_object_for_reading,
            a_missing_store_is_no_missing_object,
        }
    };
    ($started:ident: $($case:ident),+ $(,)?) => {$(
        #[tokio::test]
        async fn $case() {
            crate::real_servers::suite::$case(&$started().await).await;
        }
    )+};
}

pub(super) async fn an_object_is_put_read_and_removed(site: &Site) {
    let (plan, content) = (site.plan(KEY), bytes(300_000));
    let (expected, stores) = (expected(&content), &site.fixture.stores);
    assert_eq!(stores.head(&plan).await.unwrap(), None);
    let missing = site.fixture.read(&plan, expected, None).await;
    assert_eq!(missing.unwrap_err().kind(), Kind::NotFound);
    let put = site.fixture.put(&plan, &content).await;
    assert_eq!(put.unwrap(), Put::Created);
    assert_eq!(stores.head(&plan).await.unwrap(), Some(300_000));
    let read = site.fixture.read(&plan, expected, None).await;
    assert!(read.unwrap() == content);
    stores.verify(&plan, expected, &|_| ()).await.unwrap();
    stores.delete(&plan).await.unwrap();
    stores.delete(&plan).await.unwrap();
    assert_eq!(stores.head(&plan).await.unwrap(), None);
    let gone = site.fixture.read(&plan, expected, None).await;
    assert_eq!(gone.unwrap_err().kind(), Kind::NotFound);
}

pub(super) async fn an_object_has_the_attributes_of_its_plan(site: &Site) {
    for len in [1_000, LARGE] {
        let mut plan = site.plan(&format!("vpc/{len}.zip"));
        let Transfer::Native(native) = &mut plan else {
            panic!("a plan of another kind");
        };
        for (name, value) in [("cache-control", "max-age=60"), ("origin", "depot")] {
            let attributes = &mut native.placement.attributes;
            attributes.push((name.to_owned(), value.to_owned()));
        }
        let put = site.fixture.put(&plan, &bytes(len)).await;
        assert_eq!(put.unwrap(), Put::Created);
        let linked = site.fixture.stores.presign(&plan, Duration::from_secs(60));
        let got = reqwest::get(linked.await.unwrap()).await.unwrap();
        let header = |name: &str| got.headers().get(name).map(|value| value.to_str().unwrap());
        assert_eq!(header("content-type"), Some("application/zip"), "{len}");
        assert_eq!(header("cache-control"), Some("max-age=60"), "{len}");
        let origin = header("x-amz-meta-origin").or_else(|| header("x-ms-meta-origin"));
        assert_eq!(origin, Some("depot"), "{len}");
    }
}

pub(super) async fn an_object_is_never_overwritten(site: &Site) {
    let content = bytes(500);
    let plan = site.fill(KEY, &content).await;
    for len in [1, 500, 1_000, LARGE] {
        let put = site.fixture.put(&plan, &bytes(len)).await;
        assert_eq!(put.unwrap(), Put::Occupied, "{len}");
        let read = site.fixture.read(&plan, expected(&content), None).await;
        assert!(read.unwrap() == content, "{len}");
    }
}

pub(super) async fn a_large_object_goes_in_parts(site: &Site) {
    let content = bytes(LARGE);
    let (plan, expected) = (site.fill(KEY, &content).await, expected(&content));
    let (fixture, size) = (&site.fixture, LARGE as u64);
    assert_eq!(fixture.stores.head(&plan).await.unwrap(), Some(size));
    assert!(fixture.read(&plan, expected, None).await.unwrap() == content);
    fixture.stores.delete(&plan).await.unwrap();
    assert_eq!(fixture.stores.head(&plan).await.unwrap(), None);
    // The name is free again, for another content too.
    site.fill(KEY, &bytes(10)).await;
}

pub(super) async fn of_two_writers_one_wins(site: &Site) {
    for (round, len) in [1, 1_000, 1_000, 1_000, 1_000, LARGE]
        .into_iter()
        .enumerate()
    {
        let plan = &site.plan(&format!("vpc/{round}.zip"));
        let mut contents = [bytes(len), bytes(len)];
        contents[1][len - 1] ^= 1;
        let writers = [0, 1].map(|writer| {
            let (content, fixture) = (&contents[writer], &site.fixture);
            let file = fixture.folder.path().join(format!("writer-{writer}"));
            std::fs::write(&file, content).unwrap();
            async move {
                let source = file.as_path().into();
                fixture.stores.put(plan, source, expected(content)).await
            }
        });
        let puts = futures::future::join_all(writers).await;
        let winner = match puts.as_slice() {
            [Ok(Put::Created), Ok(Put::Occupied)] => &contents[0],
            [Ok(Put::Occupied), Ok(Put::Created)] => &contents[1],
            _ => panic!("{len}: {puts:?}"),
        };
        let read = site.fixture.read(plan, expected(winner), None).await;
        assert!(read.unwrap() == *winner, "{len}");
    }
}

pub(super) async fn an_empty_object_is_refused_and_one_byte_is_not(site: &Site) {
    let plan = site.plan(KEY);
    let put = site.fixture.put(&plan, b"").await;
    assert_eq!(put.unwrap_err().kind(), Kind::Invalid);
    assert_eq!(site.fixture.stores.head(&plan).await.unwrap(), None);
    site.fill(KEY, b"x").await;
    assert_eq!(site.fixture.stores.head(&plan).await.unwrap(), Some(1));
    let read = site.fixture.read(&plan, expected(b"x"), None).await;
    assert_eq!(read.unwrap(), b"x");
}

pub(super) async fn ranges_are_those_of_the_object(site: &Site) {
    let content = bytes(400_000);
    let plan = site.fill(KEY, &content).await;
    for (start, end_inclusive) in [(100_000, 250_000), (0, 0), (399_999, 399_999), (1, 399_999)] {
        let range = ByteRange {
            start: start as u64,
            end_inclusive: end_inclusive as u64,
        };
        // First out of the whole, which is hashed on the way, then as a part.
        for _ in 0..2 {
            let part = site.fixture.read(&plan, expected(&content), Some(range));
            assert!(part.await.unwrap() == content[start..=end_inclusive]);
        }
    }
}

/// What one key names is not what its escaped or unescaped form names.
pub(super) async fn any_key_names_one_object(site: &Site) {
    for (n, key) in KEYS.into_iter().enumerate() {
        let content = bytes(1_000 + n);
        let (plan, expected) = (site.fill(key, &content).await, expected(&content));
        let size = Some(expected.size);
        assert_eq!(
            site.fixture.stores.head(&plan).await.unwrap(),
            size,
            "{key}"
        );
        let read = site.fixture.read(&plan, expected, None).await;
        assert!(read.unwrap() == content, "{key}");
        for other in [
            "a b&c%41.zip",
            "a+b&cA.zip",
            "a%2Bb&c%41.zip",
            "vpc/ünï+1.zip",
        ] {
            let head = site.fixture.stores.head(&site.plan(other)).await;
            assert_eq!(head.unwrap(), None, "{key} {other}");
        }
        site.fixture.stores.delete(&plan).await.unwrap();
        assert_eq!(
            site.fixture.stores.head(&plan).await.unwrap(),
            None,
            "{key}"
        );
    }
}

pub(super) async fn any_key_takes_an_object_in_parts(site: &Site) {
    let content = bytes(LARGE);
    for key in KEYS {
        let plan = site.fill(key, &content).await;
        let read = site.fixture.read(&plan, expected(&content), None).await;
        assert!(read.unwrap() == content, "{key}");
        site.fixture.stores.delete(&plan).await.unwrap();
    }
}

pub(super) async fn another_content_is_never_read(site: &Site) {
    let content = bytes(100_000);
    let plan = site.fill(KEY, &content).await;
    let mut other = content.clone();
    other[99_999] ^= 1;
    for other in [&other, &content[..99_999], &bytes(100_001)] {
        let read = site.fixture.read(&plan, expected(other), None).await;
        assert_eq!(read.unwrap_err().kind(), Kind::Corrupt);
    }
}

pub(super) async fn a_wrong_credential_is_denied_and_not_shown(site: &Site) {
    let content = bytes(1_000);
    let (there, new) = (site.fill(KEY, &content).await, site.plan("new.zip"));
    let (credential, secret) = site.wrong.clone().unwrap();
    let access = StoreAccess {
        credential: Some(credential),
        ..site.fixture.operator.0.lock().unwrap().clone()
    };
    let other = Fixture::new(access);
    let errors = [
        other.put(&new, &content).await.unwrap_err(),
        other.put(&new, &bytes(LARGE)).await.unwrap_err(),
        other
            .read(&there, expected(&content), None)
            .await
            .unwrap_err(),
        other.stores.head(&there).await.unwrap_err(),
        other.stores.delete(&there).await.unwrap_err(),
    ];
    for error in errors {
        let text = format!("{error} {error:?}");
        assert_eq!(error.kind(), Kind::Denied, "{text}");
        assert!(!text.contains(secret), "{text}");
    }
    let stores = &site.fixture.stores;
    assert_eq!(stores.head(&new).await.unwrap(), None);
    assert_eq!(stores.head(&there).await.unwrap(), Some(1_000));
}

pub(super) async fn a_link_opens_one_object_for_reading(site: &Site) {
    let (client, mut first) = (reqwest::Client::new(), None);
    for (n, key) in [KEY].into_iter().chain(KEYS).enumerate() {
        let content = bytes(1_000 + n);
        let plan = site.fill(key, &content).await;
        let linked = site.fixture.stores.presign(&plan, Duration::from_secs(60));
        let link = linked.await.unwrap();
        let got = client.get(link.clone()).send().await.unwrap();
        assert_eq!(got.status(), 200, "{key}");
        let body = reqwest::Body::from(got).collect().await.unwrap();
        assert!(body.to_bytes() == content, "{key}");
        let put = client
            .put(link.clone())
            .header("x-ms-blob-type", "BlockBlob");
        let put = put.body("x").send().await.unwrap();
        assert_eq!(put.status(), 403, "{key}");
        let removed = client.delete(link.clone()).send().await.unwrap();
        assert_eq!(removed.status(), 403, "{key}");
        let read = site.fixture.read(&plan, expected(&content), None).await;
        assert!(read.unwrap() == content, "{key}");
        let first = first.get_or_insert_with(|| link.path().to_owned());
        if n > 0 {
            let mut other = link;
            other.set_path(first);
            assert_eq!(client.get(other).send().await.unwrap().status(), 403);
        }
    }
}

pub(super) async fn a_missing_store_is_no_missing_object(site: &Site) {
    let (plan, content) = (plan(&site.missing, KEY), bytes(1_000));
    let fixture = &site.fixture;
    let errors = [
        fixture
            .read(&plan, expected(&content), None)
            .await
            .unwrap_err(),
        fixture.stores.head(&plan).await.unwrap_err(),
        fixture.put(&plan, &content).await.unwrap_err(),
        fixture.put(&plan, &bytes(LARGE)).await.unwrap_err(),
        fixture.stores.delete(&plan).await.unwrap_err(),
    ];
    for error in errors {
        assert_eq!(error.kind(), Kind::Unavailable, "{error}");
        assert!(error.to_string().contains(&site.missing), "{error}");
    }
}
