//! Paths and queries made to reach something else (H01–H03, H08, H23).

use crate::support::{Mode, NETWORK, Setup, WIDGET, run};
use opendepot_api::routes::TABLE;
use std::sync::atomic::Ordering;

/// Segments that no name, version or platform may have.
const HOSTILE: &[(&str, &str)] = &[
    ("dot dot", ".."),
    ("escaped dot dot", "%2e%2e"),
    ("escaped dot dot slash", "%2E%2E%2F"),
    ("dot", "%2e"),
    ("dot dot semicolon", "..;"),
    ("escaped slashes", "%2F%2F"),
    ("escaped backslash", "%5c"),
    ("nul", "a%00b"),
    ("overlong slash", "%c0%af"),
    ("overlong dots", "%c0%ae%c0%ae"),
    ("not utf-8", "%ff"),
    ("cut escape", "a%2"),
    ("sub-resource", "x%2Fstatus"),
    ("query", "x%3Fwatch=true"),
    ("fragment", "x%23y"),
    ("climb", "a%2f..%2fb"),
    ("twice escaped", "%252e%252e%252f"),
    ("header", "x%0d%0aSet-Cookie:%20a=b"),
    ("right to left", "x%E2%80%AEy"),
    ("blank", "%20"),
    ("plus", "+"),
    (
        "long",
        "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
    ),
];

fn fill(template: &str, hostile_at: usize, hostile: &str) -> Option<String> {
    let mut index = 0;
    let mut was_used = false;
    let segments = template.split('/').map(|segment| {
        if !segment.starts_with('{') {
            return segment.to_owned();
        }
        let good = match segment {
            "{namespace}" => "team",
            "{name}" => "network",
            "{type}" => "widget",
            "{system}" => "aws",
            "{version}" => "1.2.0",
            "{os}" => "linux",
            "{arch}" => "amd64",
            "{*path}" => "storage-fs/network/network-1.1.0.zip",
            other => panic!("`{other}` is a new parameter"),
        };
        let here = index == hostile_at;
        index += 1;
        was_used |= here;
        if here {
            hostile.to_owned()
        } else {
            good.to_owned()
        }
    });
    let path = segments.collect::<Vec<_>>().join("/");
    was_used.then_some(path)
}

#[test]
fn hostile_segments_are_refused_in_every_parameter_of_every_route() {
    run(async |pool| {
        for mode in [Mode::Anonymous, Mode::Token] {
            let world = Setup::new(mode).start(&pool).await;
            let mut num_asked = 0;
            for route in TABLE {
                let is_wildcard = route.path.contains("{*path}");
                for (name, hostile) in HOSTILE {
                    for position in 0.. {
                        let Some(target) = fill(route.path, position, hostile) else {
                            break;
                        };
                        let answer = world.get(&target).await;
                        let context = format!("{name} in {target}");
                        // Backend paths are opaque: compared with records, never taken apart.
                        let allowed: &[u16] = if is_wildcard {
                            &[400, 401, 403, 404]
                        } else {
                            &[400]
                        };
                        assert!(
                            allowed.contains(&answer.code()),
                            "{context}: {}",
                            answer.code()
                        );
                        assert!(answer.headers.get("set-cookie").is_none(), "{context}");
                        num_asked += 1;
                    }
                }
            }
            assert!(num_asked > 300, "{num_asked}");
            assert_eq!(
                world.storage.num_plans.load(Ordering::Relaxed),
                0,
                "nothing reached storage"
            );
        }
    });
}

#[test]
fn dot_and_empty_segments_meet_no_route() {
    run(async |pool| {
        let world = Setup::new(Mode::Anonymous).start(&pool).await;
        for target in [
            "/",
            "//",
            "/opendepot//modules/v1/team/network/aws/versions",
            "/opendepot/modules/v1//network/aws/versions",
            "/opendepot/modules/v1/team/network/aws/versions/",
            "/opendepot/modules/v1/team/network/versions",
            "/opendepot/modules/v1/team/network/aws/VERSIONS",
            "/opendepot/providers/v1/team/widget/1.2.0/sha256sums/linux/amd64",
            "/opendepot/modules/v1/download/ftp/x/y",
            "/opendepot/modules/v1/download/plugin/",
            "/.well-known/",
            "/.well-known/terraform.json/",
            "/metrics",
            "/debug/pprof",
            "/livez",
        ] {
            let answer = world.get(target).await;
            assert!(
                matches!(answer.code(), 400 | 404),
                "{target}: {}",
                answer.code()
            );
            answer.assert_error(answer.code(), target);
        }
    });
}

#[test]
fn backend_paths_are_compared_as_written() {
    run(async |pool| {
        let world = Setup::new(Mode::Anonymous).start(&pool).await;
        assert_eq!(world.get(NETWORK).await.code(), 200);
        let base = "/opendepot/modules/v1/download/plugin";
        for other in [
            format!("{base}/storage-fs/network/../network/network-1.1.0.zip"),
            format!("{base}/storage-fs/network/%6eetwork-1.1.0.zip"),
            format!("{base}/storage-fs/network//network-1.1.0.zip"),
            format!("{base}/storage-fs/network/network-1.1.0.zip/"),
            format!("{base}/storage-s3/network/network-1.1.0.zip"),
            format!("{base}/storage-fs/anysystem/network-1.1.0.zip"),
            // Coordinates that exist in the store but belong to no module.
            format!("{base}/storage-fs/widget/1.2.0-linux-amd64.zip"),
            "/opendepot/modules/v1/download/s3/other-bucket/eu-west-1/network/network-0.1.0.zip"
                .to_owned(),
            "/opendepot/modules/v1/download/gcs/bucket/network/network-0.1.0.zip".to_owned(),
        ] {
            world.get(&other).await.assert_error(404, &other);
        }
        assert_eq!(world.storage.num_plans.load(Ordering::Relaxed), 1);
    });
}

#[test]
fn a_directory_outside_the_mount_is_403_for_the_anonymous() {
    run(async |pool| {
        use base64::Engine as _;
        let encode = |path: &str| base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(path);
        let world = Setup::new(Mode::Anonymous).start(&pool).await;
        let root = world.root.to_str().unwrap().to_owned();
        let ask = async |directory: &str| {
            let target = format!(
                "/opendepot/modules/v1/download/fileSystem/{}/network/x.zip",
                encode(directory)
            );
            world.get(&target).await.code()
        };
        assert_eq!(ask(&root).await, 404);
        assert_eq!(ask(&format!("{root}/sub")).await, 404);
        for outside in [
            "/etc",
            "/",
            "relative",
            &format!("{root}/../.."),
            &format!("{root}-not"),
        ] {
            assert_eq!(ask(outside).await, 403, "{outside}");
        }
    });
}

#[test]
fn queries_cannot_change_a_decision_or_a_header() {
    run(async |pool| {
        let world = Setup::new(Mode::Anonymous).start(&pool).await;
        let plain = world.get(NETWORK).await;
        for query in [
            "archive=false",
            "terraform-get=1",
            "checksum=sha256:0000",
            "x=%0d%0aSet-Cookie:%20a=b",
            "bucket=other&key=../../etc/passwd",
            "a=1&a=2",
            "&&&",
            "=",
            "%00=%ff",
        ] {
            let answer = world.get(&format!("{NETWORK}?{query}")).await;
            assert_eq!(answer.code(), 200, "{query}");
            assert_eq!(answer.body, plain.body, "{query}");
            assert_eq!(answer.headers.len(), plain.headers.len(), "{query}");
            assert!(answer.headers.get("x-terraform-get").is_none(), "{query}");
        }
        for query in [
            "os=linux",
            "arch=amd64",
            "os=linux&arch=amd64&os=darwin",
            "os=..&arch=amd64",
            "os=%ff&arch=amd64",
            "os=linux%2f&arch=amd64",
            "os=&arch=",
        ] {
            let target = format!("/opendepot/providers/v1/download/team/widget/1.2.0?{query}");
            world.get(&target).await.assert_error(400, &target);
        }
        // The platform of a version that has only one may be left out, of another not.
        let several = "/opendepot/providers/v1/download/team/widget/1.2.0";
        let answer = world.get(several).await;
        answer.assert_error(400, several);
        let text = answer.json().to_string();
        assert!(
            text.contains("darwin_arm64") && text.contains("linux_amd64"),
            "{text}"
        );
        assert_eq!(
            world
                .get("/opendepot/providers/v1/download/team/widget/1.3.0")
                .await
                .code(),
            200
        );
        assert_eq!(world.get(WIDGET).await.code(), 200);
    });
}
