//! The bytes: ranges, conditions, headers, permits (H12, H17, H19, H25).

use crate::facts::package_bytes;
use crate::support::{Mode, NETWORK, Setup, WIDGET, run, until};
use http::Method;
use opendepot_domain::Sha256;

const DISCOVERY: &str = "/.well-known/terraform.json";
const SUMS: &str = "/opendepot/providers/v1/team/widget/1.2.0/SHA256SUMS/linux/amd64";

#[test]
fn a_module_archive_is_what_was_stored() {
    run(async |pool| {
        let world = Setup::new(Mode::Anonymous).start(&pool).await;
        let answer = world.get(NETWORK).await;
        assert_eq!((answer.code(), &answer.body), (200, &world.bytes));
        assert_eq!(answer.header("content-type"), "application/zip");
        assert_eq!(answer.header("content-length"), "5000");
        assert_eq!(
            answer.header("etag"),
            format!("\"{}\"", Sha256::of(&world.bytes))
        );
        assert_eq!(answer.header("accept-ranges"), "bytes");
        assert_eq!(
            answer.header("cache-control"),
            "private, max-age=31536000, immutable"
        );
        assert_eq!(answer.header("x-content-type-options"), "nosniff");
        for absent in [
            "set-cookie",
            "content-encoding",
            "location",
            "x-terraform-get",
            "access-control-allow-origin",
        ] {
            assert!(answer.headers.get(absent).is_none(), "{absent}");
        }
        let tar =
            "/opendepot/modules/v1/download/plugin/storage-fs/anysystem/anysystem-2.0.0.tar.gz";
        assert_eq!(
            world.get(tar).await.header("content-type"),
            "application/x-tar"
        );
    });
}

#[test]
fn a_provider_package_has_its_conventional_name_and_its_own_platforms_bytes() {
    run(async |pool| {
        let world = Setup::new(Mode::Anonymous).start(&pool).await;
        for (os, arch) in [("linux", "amd64"), ("darwin", "arm64")] {
            let target =
                format!("/opendepot/providers/v1/download/team/widget/1.2.0?os={os}&arch={arch}");
            let answer = world.get(&target).await;
            assert_eq!(answer.body, package_bytes("1.2.0", os));
            let name =
                format!("attachment; filename=\"terraform-provider-widget_1.2.0_{os}_{arch}.zip\"");
            assert_eq!(answer.header("content-disposition"), name);
        }
    });
}

#[test]
fn ranges() {
    run(async |pool| {
        let world = Setup::new(Mode::Anonymous).start(&pool).await;
        let all = &world.bytes;
        for (range, first, last) in [
            ("bytes=0-0", 0, 0),
            ("bytes=0-4999", 0, 4999),
            ("bytes=100-199", 100, 199),
            ("bytes=4999-", 4999, 4999),
            ("bytes=4000-99999", 4000, 4999),
            ("bytes=-1", 4999, 4999),
            ("bytes=-5000", 0, 4999),
            ("bytes=-99999", 0, 4999),
        ] {
            let answer = world.send(Method::GET, NETWORK, &[("range", range)]).await;
            assert_eq!(answer.code(), 206, "{range}");
            assert_eq!(answer.body, &all[first..=last], "{range}");
            assert_eq!(
                answer.header("content-range"),
                format!("bytes {first}-{last}/5000"),
                "{range}"
            );
            assert_eq!(
                answer.header("content-length"),
                (last - first + 1).to_string(),
                "{range}"
            );
        }
        for range in [
            "bytes=5000-",
            "bytes=5000-6000",
            "bytes=-0",
            "bytes=99999999-",
        ] {
            let answer = world.send(Method::GET, NETWORK, &[("range", range)]).await;
            answer.assert_error(416, range);
            assert_eq!(answer.header("content-range"), "bytes */5000", "{range}");
        }
        let many = format!("bytes={}", vec!["0-0"; 1000].join(","));
        for range in [
            "bytes=0-1,3-4",
            "bytes=5-1",
            "lines=0-1",
            "bytes=a-b",
            "bytes=",
            "bytes=0",
            &many,
        ] {
            let answer = world.send(Method::GET, NETWORK, &[("range", range)]).await;
            assert_eq!((answer.code(), &answer.body), (200, all), "{range}");
            assert!(answer.headers.get("content-range").is_none(), "{range}");
        }
        let twice = [("range", "bytes=0-0"), ("range", "bytes=1-1")];
        assert_eq!(world.send(Method::GET, NETWORK, &twice).await.code(), 200);
    });
}

#[test]
fn conditions_go_by_the_digest() {
    run(async |pool| {
        let world = Setup::new(Mode::Anonymous).start(&pool).await;
        let etag = format!("\"{}\"", Sha256::of(&world.bytes));
        let (weak, list) = (format!("W/{etag}"), format!("\"other\", {etag}"));
        for value in [etag.as_str(), &weak, &list, "*"] {
            for method in [Method::GET, Method::HEAD] {
                let answer = world
                    .send(
                        method,
                        NETWORK,
                        &[("if-none-match", value), ("range", "bytes=0-0")],
                    )
                    .await;
                assert_eq!((answer.code(), answer.body.len()), (304, 0), "{value}");
                assert_eq!(answer.header("etag"), etag);
                assert_eq!(
                    answer.header("cache-control"),
                    "private, max-age=31536000, immutable"
                );
            }
        }
        let answer = world
            .send(Method::GET, NETWORK, &[("if-none-match", "\"other\"")])
            .await;
        assert_eq!(answer.code(), 200);
        for (condition, code) in [
            (etag.as_str(), 206),
            ("\"other\"", 200),
            (&weak, 200),
            ("Tue, 01 Jan 2030 00:00:00 GMT", 200),
        ] {
            let headers = [("range", "bytes=0-9"), ("if-range", condition)];
            assert_eq!(
                world.send(Method::GET, NETWORK, &headers).await.code(),
                code,
                "{condition}"
            );
        }
        let lines = [("if-none-match", "\"other\""), ("if-none-match", &etag)];
        let answer = world.send(Method::GET, NETWORK, &lines).await;
        assert_eq!(answer.code(), 304, "in the second line");
        // RFC 9110 section 13.1.1: compared strongly, and before everything else.
        for (condition, code) in [
            (&*etag, 304),
            (&list, 304),
            ("*", 304),
            (&weak, 412),
            ("\"other\"", 412),
            ("", 412),
        ] {
            let headers = [("if-match", condition), ("if-none-match", &etag)];
            let answer = world.send(Method::GET, NETWORK, &headers).await;
            assert_eq!(answer.code(), code, "{condition}");
            if code == 412 {
                answer.assert_error(412, condition);
            }
        }
        // A condition is no way around the checks.
        let world = Setup::new(Mode::Token).start(&pool).await;
        let answer = world
            .send(Method::GET, NETWORK, &[("if-none-match", "*")])
            .await;
        answer.assert_error(401, "a condition without a credential");
    });
}

#[test]
fn head_has_the_headers_of_get_and_no_body() {
    run(async |pool| {
        let world = Setup::new(Mode::Anonymous).start(&pool).await;
        let targets = [
            DISCOVERY,
            NETWORK,
            WIDGET,
            SUMS,
            "/opendepot/modules/v1/team/network/aws/versions",
            "/opendepot/modules/v1/team/network/aws/1.1.0/download",
            "/opendepot/providers/v1/team/widget/versions",
            "/opendepot/providers/v1/team/widget/1.2.0/download/linux/amd64",
            "/opendepot/providers/v1/team/widget/1.2.0/SHA256SUMS.sig/linux/amd64",
            "/opendepot/modules/v1/team/no-such/aws/versions",
            "/no/such/route",
        ];
        for target in targets {
            let plans = world
                .storage
                .num_plans
                .load(std::sync::atomic::Ordering::Relaxed);
            let head = world.send(Method::HEAD, target, &[]).await;
            assert_eq!(head.body.len(), 0, "{target}");
            assert_eq!(
                world
                    .storage
                    .num_plans
                    .load(std::sync::atomic::Ordering::Relaxed),
                plans,
                "HEAD asks no storage plugin: {target}"
            );
            let mut get = world.get(target).await;
            assert_eq!(head.status, get.status, "{target}");
            if get.code() != 204 {
                // Whoever sends a body says how long it is.
                let length = get.body.len().into();
                get.headers
                    .entry(http::header::CONTENT_LENGTH)
                    .or_insert(length);
            }
            for (name, value) in &get.headers {
                if name != "x-request-id" {
                    assert_eq!(head.headers.get(name), Some(value), "{name} of {target}");
                }
            }
            assert_eq!(head.headers.len(), get.headers.len(), "{target}: {head:?}");
        }
        // Range is defined for GET only (RFC 9110 section 14.2).
        let head = world
            .send(Method::HEAD, NETWORK, &[("range", "bytes=0-9")])
            .await;
        assert_eq!((head.code(), head.header("content-length")), (200, "5000"));
    });
}

#[test]
fn archives_are_never_transformed_and_lists_are_compressed_for_who_asks() {
    run(async |pool| {
        let world = Setup::new(Mode::Anonymous).start(&pool).await;
        let all = [("accept-encoding", "br, gzip, zstd")];
        for target in [
            NETWORK,
            WIDGET,
            SUMS,
            "/opendepot/providers/v1/team/widget/1.2.0/download/linux/amd64",
        ] {
            let answer = world.send(Method::GET, target, &all).await;
            assert!(answer.headers.get("content-encoding").is_none(), "{target}");
        }
        // Enough versions that it pays.
        world
            .change(|facts| {
                let old = facts
                    .versions
                    .iter()
                    .find(|version| version.id.name.as_str() == "network")
                    .unwrap()
                    .clone();
                for patch in 0..200_u32 {
                    let mut version = (*old).clone();
                    version.id.version = format!("7.0.{patch}").parse().unwrap();
                    version.object_name = format!("network-7-0-{patch}");
                    version.backend_path = format!("plugin/storage-fs/network/{patch}.zip");
                    facts.versions.push(std::sync::Arc::new(version));
                }
            })
            .await;
        let target = "/opendepot/modules/v1/team/network/aws/versions";
        let plain = world.get(target).await;
        assert!(plain.headers.get("content-encoding").is_none());
        for (accepts, is_gzip) in [
            ("gzip", true),
            ("br, gzip;q=0.5", true),
            ("gzip;q=0", false),
            ("identity", false),
            ("x-gzip-not", false),
        ] {
            let answer = world
                .send(Method::GET, target, &[("accept-encoding", accepts)])
                .await;
            assert_eq!(
                answer.header("content-encoding") == "gzip",
                is_gzip,
                "{accepts}"
            );
            if is_gzip {
                assert!(answer.body.len() < plain.body.len());
                assert_eq!(answer.header("vary"), "Authorization, Accept-Encoding");
            } else {
                assert_eq!(answer.body, plain.body, "{accepts}");
            }
        }
        assert_eq!(plain.header("vary"), "Authorization, Accept-Encoding");
    });
}

#[test]
fn downloads_wait_for_a_permit_and_metadata_is_shed_at_once() {
    run(async |pool| {
        let mut setup = Setup::new(Mode::Anonymous);
        setup.limits.num_downloads = 1;
        setup.limits.download_wait_seconds = 1;
        setup.limits.num_metadata = 0;
        let world = setup.start(&pool).await;
        let answer = world
            .get("/opendepot/modules/v1/team/network/aws/versions")
            .await;
        answer.assert_error(503, "metadata");
        assert_eq!(answer.header("retry-after"), "1");
        assert_eq!(
            world.get(DISCOVERY).await.code(),
            200,
            "discovery takes no permit"
        );

        let body = {
            let request = http::Request::get(NETWORK)
                .header("host", "localhost")
                .body(axum::body::Body::empty())
                .unwrap();
            let peer = opendepot_api::routes::Peer("127.0.0.1".parse().unwrap());
            world.public.answer(peer, request).await.into_body()
        };
        assert_eq!(
            world.state.num_active_downloads(),
            1,
            "an unread body holds its permit"
        );
        let answer = world.get(NETWORK).await;
        answer.assert_error(503, "the second download");
        assert_eq!(answer.header("retry-after"), "5");
        drop(body);
        until("the permit", || world.state.num_active_downloads() == 0).await;
        assert_eq!(world.get(NETWORK).await.code(), 200);
        // Neither a condition nor HEAD nor a refusal keeps one.
        for headers in [[("if-none-match", "*")], [("range", "bytes=9999-")]] {
            world.send(Method::GET, NETWORK, &headers).await;
            assert_eq!(world.state.num_active_downloads(), 0);
        }
        world.send(Method::HEAD, NETWORK, &[]).await;
        assert_eq!(world.state.num_active_downloads(), 0);
        assert_eq!(world.state.num_active_metadata(), 0);
    });
}
