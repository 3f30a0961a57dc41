//! The bodies of our own errors (H22).

use crate::support::{Answer, Mode, NETWORK, Setup, WIDGET, run};
use http::Method;

fn shown(answer: &Answer) -> String {
    answer.assert_error(answer.code(), "an error");
    let mut json = answer.json();
    json["requestId"] = "<id>".into();
    format!(
        "{}\n{}",
        answer.code(),
        serde_json::to_string_pretty(&json).unwrap()
    )
}

#[test]
fn snapshots_of_every_error() {
    run(async |pool| {
        let world = Setup::new(Mode::Anonymous).start(&pool).await;
        let modules = "/opendepot/modules/v1";
        let providers = "/opendepot/providers/v1";
        let mut all = String::new();
        for (name, target, headers) in [
            ("no route", "/nothing".to_owned(), None),
            (
                "bad namespace",
                format!("{modules}/TEAM/network/aws/versions"),
                None,
            ),
            (
                "bad version",
                format!("{modules}/team/network/aws/latest/download"),
                None,
            ),
            (
                "bad platform",
                format!("{providers}/team/widget/1.2.0/download/Linux/amd64"),
                None,
            ),
            (
                "no module",
                format!("{modules}/team/nothing/aws/versions"),
                None,
            ),
            (
                "other system",
                format!("{modules}/team/network/gcp/versions"),
                None,
            ),
            (
                "no version",
                format!("{modules}/team/network/aws/9.9.9/download"),
                None,
            ),
            (
                "no provider",
                format!("{providers}/team/nothing/versions"),
                None,
            ),
            (
                "no provider version",
                format!("{providers}/team/widget/9.9.9/download/linux/amd64"),
                None,
            ),
            (
                "no platform",
                format!("{providers}/team/widget/1.2.0/download/plan9/amd64"),
                None,
            ),
            (
                "which platform",
                format!("{providers}/download/team/widget/1.2.0"),
                None,
            ),
            (
                "half a platform",
                format!("{providers}/download/team/widget/1.2.0?os=linux"),
                None,
            ),
            (
                "no such bytes",
                format!("{modules}/download/s3/a/b/c/d.zip"),
                None,
            ),
            ("bad link", format!("{WIDGET}&expires=1&signature=x"), None),
            ("other checksum", format!("{NETWORK}?fileChecksum=x"), None),
            (
                "bad range",
                NETWORK.to_owned(),
                Some(("range", "bytes=9999-")),
            ),
            ("too long", format!("/{}", "a".repeat(9_000)), None),
        ] {
            let answer = world.send(Method::GET, &target, headers.as_slice()).await;
            all.push_str(&format!("# {name}: {}\n\n", shown(&answer)));
        }
        let world = Setup::new(Mode::Token).start(&pool).await;
        let answer = world.get(NETWORK).await;
        all.push_str(&format!("# no credential: {}\n\n", shown(&answer)));
        let answer = world.get_as_reader(NETWORK).await;
        all.push_str(&format!("# no grant: {}\n\n", shown(&answer)));
        let answer = world.send(Method::POST, NETWORK, &[]).await;
        all.push_str(&format!("# method: {}\n", shown(&answer)));
        insta::assert_snapshot!("errors", all);
    });
}

#[test]
fn other_methods_are_405_and_say_which_are_allowed() {
    run(async |pool| {
        for mode in [Mode::Anonymous, Mode::Token] {
            let world = Setup::new(mode).start(&pool).await;
            for method in [
                "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PROPFIND",
            ] {
                for target in [
                    "/.well-known/terraform.json",
                    "/opendepot/modules/v1/team/network/aws/versions",
                    "/opendepot/modules/v1/team/network/aws/1.1.0/download",
                    NETWORK,
                    WIDGET,
                ] {
                    let answer = world
                        .send(
                            method.parse().unwrap(),
                            target,
                            &[("origin", "https://a.example")],
                        )
                        .await;
                    answer.assert_error(405, &format!("{method} {target}"));
                    assert_eq!(answer.header("allow"), "GET,HEAD", "{method} {target}");
                    assert!(answer.headers.get("access-control-allow-origin").is_none());
                }
            }
        }
    });
}

#[test]
fn request_ids_are_ours_and_each_is_another() {
    run(async |pool| {
        let world = Setup::new(Mode::Anonymous).start(&pool).await;
        let mut seen = std::collections::HashSet::new();
        for target in [
            NETWORK,
            "/nothing",
            "/.well-known/terraform.json",
            "/opendepot/modules/v1/team/x/y/versions",
        ] {
            let answer = world
                .send(Method::GET, target, &[("x-request-id", "forged")])
                .await;
            let id = answer.header("x-request-id").to_owned();
            assert_eq!(id.len(), 32, "{target}: {id}");
            assert!(seen.insert(id), "{target}");
        }
    });
}
