//! The JSON documents, as clients get them.

use crate::support::{Mode, Setup, World, run, until};
use http::Method;
use opendepot_domain::Decision;

/// Pretty JSON with capabilities blanked out.
fn masked(value: &serde_json::Value) -> String {
    let text = serde_json::to_string_pretty(value).unwrap();
    let mut out = String::new();
    let mut rest = text.as_str();
    while let Some(at) = rest.find("expires=") {
        let (before, after) = rest.split_at(at);
        let end = after.find(['"', ' ']).unwrap_or(after.len());
        assert!(after[..end].contains("&signature="), "{after}");
        out.push_str(before);
        out.push_str("<capability>");
        rest = &after[end..];
    }
    out + rest
}

async fn document(world: &World, target: &str) -> String {
    let answer = world.get(target).await;
    assert_eq!(answer.code(), 200, "{target}");
    assert_eq!(
        answer.header("content-type"),
        "application/json",
        "{target}"
    );
    masked(&answer.json())
}

#[test]
fn snapshots_of_every_document() {
    run(async |pool| {
        let world = Setup::new(Mode::Anonymous).start(&pool).await;
        for (name, target) in [
            ("discovery", "/.well-known/terraform.json"),
            (
                "module_versions",
                "/opendepot/modules/v1/team/network/aws/versions",
            ),
            (
                "module_versions_empty",
                "/opendepot/modules/v1/team/empty/aws/versions",
            ),
            (
                "provider_versions",
                "/opendepot/providers/v1/team/widget/versions",
            ),
            (
                "provider_versions_empty",
                "/opendepot/providers/v1/team/unpublished/versions",
            ),
            (
                "package",
                "/opendepot/providers/v1/team/widget/1.2.0/download/linux/amd64",
            ),
        ] {
            insta::assert_snapshot!(name, document(&world, target).await);
        }
    });
}

#[test]
fn sums_list_every_platform_and_the_signature_is_binary() {
    run(async |pool| {
        let world = Setup::new(Mode::Anonymous).start(&pool).await;
        let sums = world
            .get("/opendepot/providers/v1/team/widget/1.2.0/SHA256SUMS/linux/amd64")
            .await;
        insta::assert_snapshot!("sums", String::from_utf8(sums.body.to_vec()).unwrap());
        let other = world
            .get("/opendepot/providers/v1/team/widget/1.2.0/SHA256SUMS/darwin/arm64")
            .await;
        assert_eq!(sums.body, other.body);
        let signature = world
            .get("/opendepot/providers/v1/team/widget/1.2.0/SHA256SUMS.sig/linux/amd64")
            .await;
        assert_eq!(&signature.body[..], b"\x88\x00binary signature");
        assert_eq!(signature.header("content-type"), "application/octet-stream");
    });
}

#[test]
fn nothing_authorised_may_be_kept_by_a_shared_cache() {
    run(async |pool| {
        let world = Setup::new(Mode::Token)
            .policy(|_, _, _| Decision::Allow)
            .start(&pool)
            .await;
        for target in [
            "/opendepot/modules/v1/team/network/aws/versions",
            "/opendepot/modules/v1/team/network/aws/1.1.0/download",
            "/opendepot/providers/v1/team/widget/versions",
            "/opendepot/providers/v1/team/widget/1.2.0/download/linux/amd64",
            "/opendepot/providers/v1/team/widget/1.2.0/SHA256SUMS/linux/amd64",
            "/opendepot/providers/v1/team/widget/1.2.0/SHA256SUMS.sig/linux/amd64",
        ] {
            let answer = world.get_as_reader(target).await;
            assert!(answer.status.is_success(), "{target}");
            assert_eq!(
                answer.header("cache-control"),
                "private, no-store",
                "{target}"
            );
            assert!(answer.header("vary").contains("Authorization"), "{target}");
            assert_eq!(
                answer.header("x-content-type-options"),
                "nosniff",
                "{target}"
            );
            assert!(answer.headers.get("set-cookie").is_none(), "{target}");
            // T18: capabilities go to nobody else by a referrer.
            if target.contains("/download") {
                let policy = answer.header("referrer-policy");
                assert_eq!(policy, "no-referrer", "{target}");
            }
        }
    });
}

#[test]
fn the_answer_to_a_module_download_depends_on_the_client() {
    run(async |pool| {
        let world = Setup::new(Mode::Anonymous).start(&pool).await;
        let target = "/opendepot/modules/v1/team/network/aws/1.1.0/download";
        let path = "/opendepot/modules/v1/download/plugin/storage-fs/network/network-1.1.0.zip";
        let digest = opendepot_domain::Sha256::of(&world.bytes);
        for (agent, is_direct) in [
            ("OpenTofu/1.12.0", true),
            ("OpenTofu/1.12.6 (+https://opentofu.example)", true),
            ("OpenTofu/2.0.1", true),
            ("OpenTofu/1.11.5", false),
            ("Terraform/1.12.0", false),
            ("curl/8.0", false),
            ("", false),
        ] {
            let answer = world
                .send(Method::GET, target, &[("user-agent", agent)])
                .await;
            assert!(answer.header("vary").contains("User-Agent"), "{agent}");
            let location = answer.header("x-terraform-get");
            assert!(
                location.starts_with(&format!("{path}?")),
                "{agent}: {location}"
            );
            assert!(
                location.contains(&format!("checksum=sha256:{digest}")),
                "{location}"
            );
            assert!(location.contains("archive=zip"), "{location}");
            if is_direct {
                assert_eq!(answer.code(), 200, "{agent}");
                let json = answer.json();
                assert_eq!(
                    json["location"], path,
                    "no capability in what that client logs"
                );
                assert_eq!(json["use_registry_credentials"], true);
            } else {
                assert_eq!((answer.code(), answer.body.len()), (204, 0), "{agent}");
            }
        }
        let tar = world
            .get("/opendepot/modules/v1/team/anysystem/whatever/2.0.0/download")
            .await;
        assert!(tar.header("x-terraform-get").contains("archive=tar.gz"));
    });
}

#[test]
fn the_direct_form_can_be_turned_off_and_ends_at_its_size() {
    run(async |pool| {
        let target = "/opendepot/modules/v1/team/network/aws/1.1.0/download";
        let agent = [("user-agent", "OpenTofu/1.12.0")];
        for (direct_download, max_bytes, code) in [
            (true, 5_000, 200),
            (true, 4_999, 204),
            (false, 100_000, 204),
        ] {
            let mut setup = Setup::new(Mode::Anonymous);
            setup.modules.direct_download = direct_download;
            setup.modules.direct_download_max_bytes = max_bytes;
            let world = setup.start(&pool).await;
            assert_eq!(
                world.send(Method::GET, target, &agent).await.code(),
                code,
                "{direct_download} {max_bytes}"
            );
        }
    });
}

#[test]
fn versions_are_asked_for_with_or_without_v_and_build_metadata() {
    run(async |pool| {
        let world = Setup::new(Mode::Anonymous).start(&pool).await;
        for version in ["1.1.0", "v1.1.0", "1.1.0+anything"] {
            let answer = world
                .get(&format!(
                    "/opendepot/modules/v1/team/network/aws/{version}/download"
                ))
                .await;
            assert!(
                answer
                    .header("x-terraform-get")
                    .contains("network-1.1.0.zip"),
                "{version}"
            );
        }
    });
}

#[test]
fn reads_go_on_while_the_actor_is_stopped() {
    run(async |pool| {
        let world = Setup::new(Mode::Anonymous).start(&pool).await;
        assert_eq!(world.get(crate::support::NETWORK).await.code(), 200);
        world.registry.stop();
        until("the stop", || {
            world.registry.health() == opendepot_actors::supervisor::Health::Stopped
        })
        .await;
        assert_eq!(
            world
                .get("/opendepot/modules/v1/team/network/aws/versions")
                .await
                .code(),
            200
        );
        assert_eq!(
            world.get(crate::support::NETWORK).await.code(),
            200,
            "its plan is remembered"
        );
        // A plan that is not known needs the actor.
        world
            .get(crate::support::WIDGET)
            .await
            .assert_error(503, "no actor");
    });
}
