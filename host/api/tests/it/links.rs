//! Downloads that are answered with links to the store (OD-1.7; S19 to S21, T18).

use crate::support::{Mode, NETWORK, Setup, WIDGET, World, run};
use http::Method;
use opendepot_domain::{Decision, Presign, Sha256};
use std::sync::Arc;
use std::sync::atomic::Ordering;

const LOCATION: &str = "/opendepot/modules/v1/team/network/aws/1.1.0/download";
const DOCUMENT: &str = "/opendepot/providers/v1/team/widget/1.2.0/download/linux/amd64";

/// Everything is answered with links.
async fn links(world: &World, falls_back: bool) {
    let presign = Some(Presign {
        ttl_seconds: 60,
        falls_back,
    });
    world
        .change(|snapshot| {
            for version in &mut snapshot.versions {
                Arc::make_mut(version).presign = presign;
            }
        })
        .await;
}

#[test]
fn a_download_is_a_link_to_the_store() {
    run(async |pool| {
        let world = Setup::new(Mode::Anonymous).start(&pool).await;
        links(&world, true).await;
        for target in [NETWORK, WIDGET] {
            let answer = world.get(target).await;
            assert_eq!((answer.code(), answer.body.len()), (307, 0), "{target}");
            let link = answer.header("location");
            assert!(link.starts_with("https://s3.example/depot/"), "{link}");
            for part in [
                "X-Amz-Expires=60",
                "X-Amz-Signature=",
                "X-Amz-SignedHeaders=host",
            ] {
                assert!(link.contains(part), "{link}");
            }
            assert!(!link.contains("c4n4ry"), "{link}");
            assert_eq!(answer.header("cache-control"), "no-store");
            assert_eq!(answer.header("referrer-policy"), "no-referrer");
            // What a link does not allow is answered here, as without links.
            let head = world.send(Method::HEAD, target, &[]).await;
            assert_eq!((head.code(), head.header("location")), (200, ""));
            let tag = head.header("etag").to_owned();
            let asked = [("if-none-match", tag.as_str())];
            let known = world.send(Method::GET, target, &asked).await;
            assert_eq!(known.code(), 304);
            let asked = [("if-match", "\"x\"")];
            let other = world.send(Method::GET, target, &asked).await;
            assert_eq!(other.code(), 412);
        }
    });
}

#[test]
fn nobody_gets_a_link_who_would_not_get_the_bytes() {
    run(async |pool| {
        let setup = Setup::new(Mode::Token).policy(|_, _, _| Decision::Allow);
        let world = setup.start(&pool).await;
        links(&world, true).await;
        for target in [NETWORK, WIDGET] {
            let answer = world.get(target).await;
            assert_eq!((answer.code(), answer.header("location")), (401, ""));
            assert_eq!(world.get_as_reader(target).await.code(), 307);
        }
    });
}

#[test]
fn a_plugin_is_asked_once_for_many_links() {
    run(async |pool| {
        let world = Setup::new(Mode::Anonymous).start(&pool).await;
        links(&world, true).await;
        for _ in 0..10 {
            assert_eq!(world.get(NETWORK).await.code(), 307);
        }
        assert_eq!(world.storage.num_plans.load(Ordering::Relaxed), 1);
    });
}

#[test]
fn without_a_link_the_bytes_are_proxied_or_refused_as_the_resource_says() {
    run(async |pool| {
        let world = Setup::new(Mode::Anonymous).start(&pool).await;
        world.storage.makes_no_links.store(true, Ordering::Relaxed);
        links(&world, true).await;
        let answer = world.get(NETWORK).await;
        assert_eq!((answer.code(), &answer.body), (200, &world.bytes));
        links(&world, false).await;
        for target in [NETWORK, WIDGET] {
            let answer = world.get(target).await;
            answer.assert_error(502, target);
            let shown = String::from_utf8_lossy(&answer.body);
            assert!(shown.contains("fallbackToProxy"), "{shown}");
            assert!(!shown.contains("secret detail"), "{shown}");
        }
    });
}

#[test]
fn the_location_of_a_linked_module_has_the_checksum_that_clients_verify() {
    run(async |pool| {
        let world = Setup::new(Mode::Anonymous).start(&pool).await;
        let newest = [("user-agent", "OpenTofu/1.12.6")];
        let direct = world.send(Method::GET, LOCATION, &newest).await;
        assert_eq!(direct.code(), 200, "the direct form has none");
        links(&world, true).await;
        let answer = world.send(Method::GET, LOCATION, &newest).await;
        assert_eq!(answer.code(), 204);
        let checksum = format!("checksum=sha256:{}", Sha256::of(&world.bytes));
        let location = answer.header("x-terraform-get");
        assert!(location.contains(&checksum), "{location}");
        // A provider's own document has the digest, and leads here first.
        let document = world.get(DOCUMENT).await.json();
        let url = document["download_url"].as_str().unwrap();
        assert!(url.contains("/opendepot/providers/v1/download/"), "{url}");
    });
}
