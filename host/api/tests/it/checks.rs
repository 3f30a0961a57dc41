//! Every route of the table asks what it says that it asks, and in the order of contract.md 4.

use crate::support::{Mode, NETWORK, Setup, WIDGET, World, run};
use http::Method;
use opendepot_api::routes::{Checks, TABLE};
use opendepot_domain::{Action, ArtifactKind, Decision, Purpose, Target};
use std::collections::BTreeMap;
use std::sync::atomic::Ordering;

/// An address of a published thing for each route of the table; a new route must be added here.
fn published(path: &str) -> Vec<String> {
    let modules = "/opendepot/modules/v1";
    let backend = |backend: &str, version: &str| {
        vec![format!(
            "{modules}/download/{backend}/network/network-{version}.zip"
        )]
    };
    match path {
        "/.well-known/terraform.json" => vec![path.to_owned()],
        "/opendepot/modules/v1/{namespace}/{name}/{system}/versions" => {
            vec![format!("{modules}/team/network/aws/versions")]
        }
        "/opendepot/modules/v1/{namespace}/{name}/{system}/{version}/download" => {
            vec![format!("{modules}/team/network/aws/1.1.0/download")]
        }
        "/opendepot/modules/v1/download/azure/{*path}" => backend(
            "azure/sub/group/account/https%3A%2F%2Faccount%2Eexample%2F",
            "0.3.0",
        ),
        // The directory is a temp folder: asked for in `hostile`, where it is known.
        "/opendepot/modules/v1/download/fileSystem/{*path}" => Vec::new(),
        "/opendepot/modules/v1/download/gcs/{*path}" => backend("gcs/bucket", "0.2.0"),
        "/opendepot/modules/v1/download/plugin/{*path}" => vec![NETWORK.to_owned()],
        "/opendepot/modules/v1/download/s3/{*path}" => backend("s3/bucket/eu-west-1", "0.1.0"),
        "/opendepot/providers/v1/{namespace}/{type}/versions" => {
            vec!["/opendepot/providers/v1/team/widget/versions".to_owned()]
        }
        "/opendepot/providers/v1/{namespace}/{type}/{version}/download/{os}/{arch}" => {
            vec!["/opendepot/providers/v1/team/widget/1.2.0/download/linux/amd64".to_owned()]
        }
        "/opendepot/providers/v1/{namespace}/{type}/{version}/SHA256SUMS/{os}/{arch}" => {
            vec!["/opendepot/providers/v1/team/widget/1.2.0/SHA256SUMS/linux/amd64".to_owned()]
        }
        "/opendepot/providers/v1/{namespace}/{type}/{version}/SHA256SUMS.sig/{os}/{arch}" => {
            vec!["/opendepot/providers/v1/team/widget/1.2.0/SHA256SUMS.sig/linux/amd64".to_owned()]
        }
        "/opendepot/providers/v1/download/{namespace}/{type}/{version}" => vec![WIDGET.to_owned()],
        other => panic!("`{other}` is a new route: give it an address here"),
    }
}

fn file_system(world: &World) -> String {
    let catalog = world.registry.catalog();
    let entry = catalog.module("team", "network").unwrap();
    let version = entry.version(&"0.4.0".parse().unwrap()).unwrap();
    format!("/opendepot/modules/v1/download/{}", version.backend_path)
}

/// Every address of every route but discovery, with what the route checks.
fn addresses(world: &World) -> Vec<(String, Checks)> {
    let mut all = Vec::new();
    for route in TABLE {
        let mut targets = published(route.path);
        if targets.is_empty() {
            targets.push(file_system(world));
        }
        all.extend(targets.into_iter().map(|target| (target, route.checks)));
    }
    all
}

fn needs(checks: Checks) -> &'static [Action] {
    match checks {
        Checks::Nothing => &[],
        Checks::Grants(actions) => actions,
        Checks::CapabilityOrDownload => &[Action::Download],
    }
}

#[test]
fn without_a_credential_every_route_but_discovery_is_401() {
    run(async |pool| {
        let world = Setup::new(Mode::Token)
            .policy(|_, _, _| Decision::Allow)
            .start(&pool)
            .await;
        let unknown = format!("Bearer odp_{}", "A".repeat(43));
        for (target, checks) in addresses(&world) {
            let answer = world.get(&target).await;
            if checks == Checks::Nothing {
                assert_eq!(answer.code(), 200, "{target}");
                continue;
            }
            answer.assert_error(401, &target);
            assert!(
                answer.header("www-authenticate").starts_with("Bearer"),
                "{target}"
            );
            for value in [unknown.as_str(), "Basic dXNlcjpwYXNz", "Bearer", ""] {
                let answer = world
                    .send(Method::GET, &target, &[("authorization", value)])
                    .await;
                answer.assert_error(401, &target);
            }
        }
        assert_eq!(
            world.policy.num_calls.load(Ordering::Relaxed),
            0,
            "strangers reach no policy"
        );
        assert_eq!(
            world.storage.num_plans.load(Ordering::Relaxed),
            0,
            "nor any storage plugin"
        );
    });
}

#[test]
fn without_the_grant_every_route_is_403_and_with_it_it_answers() {
    run(async |pool| {
        for missing in Action::ALL {
            let setup = Setup::new(Mode::Token).policy(move |_, action, _| {
                if action == missing {
                    Decision::Abstain
                } else {
                    Decision::Allow
                }
            });
            let world = setup.start(&pool).await;
            for (target, checks) in addresses(&world) {
                let answer = world.get_as_reader(&target).await;
                if needs(checks).contains(&missing) {
                    answer.assert_error(403, &format!("{target} without {}", missing.as_str()));
                } else {
                    assert!(answer.status.is_success(), "{target}: {answer:?}");
                }
            }
        }
    });
}

#[test]
fn a_denial_wins_and_an_odd_answer_is_a_denial() {
    run(async |pool| {
        let odd: [fn() -> Vec<Decision>; 4] = [
            Vec::new,
            || vec![Decision::deny("secret reason")],
            || vec![Decision::Allow, Decision::Allow],
            || vec![Decision::Abstain],
        ];
        for answers in odd {
            let world = Setup::new(Mode::Token)
                .raw_policy(move |_, _, _| answers())
                .start(&pool)
                .await;
            for (target, checks) in addresses(&world) {
                if checks != Checks::Nothing {
                    let answer = world.get_as_reader(&target).await;
                    answer.assert_error(403, &target);
                    assert!(!String::from_utf8_lossy(&answer.body).contains("secret reason"));
                }
            }
        }
        // Without a policy the base of the mode decides.
        let world = Setup::new(Mode::Token).start(&pool).await;
        for (target, checks) in addresses(&world) {
            if checks != Checks::Nothing {
                world
                    .get_as_reader(&target)
                    .await
                    .assert_error(403, &target);
            }
        }
    });
}

#[test]
fn in_anonymous_mode_every_route_answers_and_a_denial_still_counts() {
    run(async |pool| {
        let world = Setup::new(Mode::Anonymous).start(&pool).await;
        for (target, _) in addresses(&world) {
            let answer = world.get(&target).await;
            assert!(answer.status.is_success(), "{target}: {answer:?}");
            let garbage = [("authorization", "Bearer garbage")];
            let answer = world.send(Method::GET, &target, &garbage).await;
            assert!(
                answer.status.is_success(),
                "{target} with a credential: {answer:?}"
            );
        }
        let deny = |_: &_, _, _: &_| Decision::deny("no");
        let world = Setup::new(Mode::Anonymous).policy(deny).start(&pool).await;
        for (target, checks) in addresses(&world) {
            if checks != Checks::Nothing {
                world.get(&target).await.assert_error(403, &target);
            }
        }
    });
}

#[test]
fn the_policy_is_asked_about_exactly_what_is_asked_for() {
    run(async |pool| {
        use std::sync::{Arc, Mutex};
        let seen: Arc<Mutex<Vec<(Action, Target)>>> = Arc::default();
        let log = Arc::clone(&seen);
        let setup = Setup::new(Mode::Token).policy(move |subject, action, target| {
            assert_eq!((subject.name.as_str(), subject.groups.len()), ("reader", 1));
            assert_eq!(subject.client_address, "127.0.0.1");
            log.lock().unwrap().push((action, target.clone()));
            Decision::Allow
        });
        let world = setup.start(&pool).await;
        let asked = async |target: &str| {
            let answer = world.get_as_reader(target).await;
            assert!(answer.status.is_success(), "{target}: {answer:?}");
            std::mem::take(&mut *seen.lock().unwrap())
        };
        // A list is decided once for all versions, so that it can stay rendered.
        for (target, kind) in [
            (
                "/opendepot/modules/v1/team/network/aws/versions",
                ArtifactKind::Module,
            ),
            (
                "/opendepot/providers/v1/team/widget/versions",
                ArtifactKind::Provider,
            ),
        ] {
            let [(action, about)] = asked(target).await.try_into().unwrap();
            assert_eq!(
                (action, about.kind, about.version, about.platform),
                (Action::ListVersions, kind, None, None)
            );
        }
        let calls = asked("/opendepot/providers/v1/team/widget/1.2.0/download/linux/amd64").await;
        assert_eq!(calls.len(), 2);
        for (call, action) in calls.iter().zip([Action::ReadPackage, Action::Download]) {
            assert_eq!(call.0, action);
            assert_eq!(call.1.name.as_str(), "widget");
            assert_eq!(call.1.version.as_ref().unwrap().to_string(), "1.2.0");
            assert_eq!(call.1.platform.as_ref().unwrap().to_string(), "linux_amd64");
        }
        // The byte route of modules carries no address: it is the record's.
        let [(action, about)] = asked(NETWORK).await.try_into().unwrap();
        assert_eq!((action, about.name.as_str()), (Action::Download, "network"));
        assert_eq!(about.version.unwrap().to_string(), "1.1.0");
    });
}

#[test]
fn a_decision_is_remembered_until_the_policy_changes() {
    run(async |pool| {
        let world = Setup::new(Mode::Token)
            .policy(|_, _, _| Decision::Allow)
            .start(&pool)
            .await;
        let list = "/opendepot/modules/v1/team/network/aws/versions";
        let calls = || world.policy.num_calls.load(Ordering::Relaxed);
        for _ in 0..5 {
            assert_eq!(world.get_as_reader(list).await.code(), 200);
        }
        assert_eq!(calls(), 1);
        // Another target is another decision.
        assert_eq!(
            world
                .get_as_reader("/opendepot/modules/v1/team/anysystem/x/versions")
                .await
                .code(),
            200
        );
        assert_eq!(calls(), 2);
        world.policy.generation.fetch_add(1, Ordering::Relaxed);
        assert_eq!(world.get_as_reader(list).await.code(), 200);
        assert_eq!(calls(), 3);
        // Labels are what a policy may decide by.
        let labels = BTreeMap::from([("tier".to_owned(), "gold".to_owned())]);
        world.labels.0.lock().unwrap().resource = Some(labels.into());
        for _ in 0..2 {
            assert_eq!(world.get_as_reader(list).await.code(), 200);
        }
        assert_eq!(calls(), 4);
    });
}

#[test]
fn checks_come_in_their_order() {
    run(async |pool| {
        // Grants for `network` and `widget` only.
        let setup = Setup::new(Mode::Token).policy(|_, _, target| {
            if matches!(target.name.as_str(), "network" | "widget" | "granted") {
                Decision::Allow
            } else {
                Decision::Abstain
            }
        });
        let world = setup.start(&pool).await;
        let modules = "/opendepot/modules/v1";
        let providers = "/opendepot/providers/v1";
        // Grammar comes before the credential.
        for target in [
            format!("{modules}/team/BAD_NAME/aws/versions"),
            format!("{modules}/team/network/aws/not-a-version/download"),
            format!("{providers}/team/widget/latest/download/linux/amd64"),
            format!("{providers}/team/widget/1.2.0/download/LINUX/amd64"),
            format!("{providers}/download/team/widget/1.2.0?os=linux"),
            format!("{providers}/download/team/widget/1.2.0?os=linux&os=linux&arch=amd64"),
            format!("{NETWORK}?fileChecksum=a&fileChecksum=b"),
        ] {
            world.get(&target).await.assert_error(400, &target);
            world
                .get_as_reader(&target)
                .await
                .assert_error(400, &target);
        }
        // The grant comes before existence: who may not, does not learn what is there.
        for (target, without, with) in [
            (format!("{modules}/team/anysystem/x/versions"), 401, 403),
            (format!("{modules}/team/no-such/x/versions"), 401, 403),
            (format!("{modules}/team/granted/x/versions"), 401, 404),
            (
                format!("{modules}/team/network/aws/9.9.9/download"),
                401,
                404,
            ),
            (
                format!("{modules}/team/network/azurerm/1.0.0/download"),
                401,
                404,
            ),
            (format!("{providers}/team/no-such/versions"), 401, 403),
            (format!("{providers}/team/granted/versions"), 401, 404),
            (
                format!("{providers}/team/widget/9.9.9/download/linux/amd64"),
                401,
                404,
            ),
            (
                format!("{providers}/team/widget/1.2.0/download/plan9/amd64"),
                401,
                404,
            ),
            (
                format!("{providers}/team/widget/1.2.0/SHA256SUMS/plan9/amd64"),
                401,
                404,
            ),
            (
                format!("{providers}/download/team/widget/9.9.9?os=linux&arch=amd64"),
                401,
                404,
            ),
            (
                format!("{modules}/download/plugin/storage-fs/network/no-such.zip"),
                401,
                403,
            ),
            // The checksum comes after existence.
            (format!("{NETWORK}?fileChecksum=AAAA"), 401, 409),
            (format!("{WIDGET}&fileChecksum=AAAA"), 401, 409),
            (
                format!(
                    "{providers}/download/team/widget/9.9.9?os=linux&arch=amd64&fileChecksum=AAAA"
                ),
                401,
                404,
            ),
        ] {
            world.get(&target).await.assert_error(without, &target);
            world
                .get_as_reader(&target)
                .await
                .assert_error(with, &target);
        }
        // A capability is judged before existence, and by itself alone.
        let query = world.widget_query(Purpose::Archive);
        for target in [
            format!("{providers}/download/team/widget/9.9.9?os=linux&arch=amd64&{query}"),
            format!("{providers}/download/team/no-such/1.2.0?os=linux&arch=amd64&{query}"),
            format!("{modules}/download/plugin/storage-fs/network/no-such.zip?{query}"),
        ] {
            world.get(&target).await.assert_error(403, &target);
            world
                .get_as_reader(&target)
                .await
                .assert_error(403, &target);
        }
        let target = format!("{WIDGET}&{query}&fileChecksum=AAAA");
        world.get(&target).await.assert_error(409, &target);
    });
}

#[test]
fn bare_links_are_served_to_anybody_only_where_the_operator_says_so() {
    run(async |pool| {
        let mut setup = Setup::new(Mode::Token);
        setup.allow_unsigned = true;
        let world = setup.start(&pool).await;
        for (target, checks) in addresses(&world) {
            let answer = world.get(&target).await;
            match checks {
                Checks::Grants(_) => answer.assert_error(401, &target),
                Checks::Nothing | Checks::CapabilityOrDownload => {
                    assert!(answer.status.is_success(), "{target}: {answer:?}");
                }
            }
            // A credential that is shown is checked all the same.
            if checks == Checks::CapabilityOrDownload {
                world
                    .get_as_reader(&target)
                    .await
                    .assert_error(403, &target);
                let bad = format!(
                    "{target}{}signature=x&expires=1",
                    if target.contains('?') { '&' } else { '?' }
                );
                world.get(&bad).await.assert_error(403, &bad);
            }
        }
        for missing in [
            NETWORK.replace("1.1.0", "9.9.9"),
            WIDGET.replace("1.2.0", "9.9.9"),
        ] {
            world.get(&missing).await.assert_error(404, &missing);
        }
    });
}

#[test]
fn a_link_without_a_valid_signature_is_told_nothing_of_what_there_is() {
    run(async |pool| {
        for mode in [Mode::Token, Mode::Anonymous] {
            let world = Setup::new(mode).start(&pool).await;
            let base = "/opendepot/providers/v1/download/team/widget";
            let valid = world.widget_query(Purpose::Archive);
            for query in ["expires=1&signature=x", "signature=x", "expires=1", &valid] {
                let existing = world.get(&format!("{base}/1.2.0?{query}")).await;
                let missing = world.get(&format!("{base}/9.9.9?{query}")).await;
                existing.assert_error(403, query);
                missing.assert_error(403, query);
                assert_eq!(
                    existing.json()["errors"],
                    missing.json()["errors"],
                    "{query}"
                );
            }
        }
    });
}

#[test]
fn the_only_platform_is_asked_about_as_well() {
    run(async |pool| {
        for (denied, code) in [("darwin", 200), ("linux", 403)] {
            let setup =
                Setup::new(Mode::Token).policy(move |_, _, target| match &target.platform {
                    Some(platform) if platform.os() == denied => Decision::deny(""),
                    _ => Decision::Allow,
                });
            let world = setup.start(&pool).await;
            let answer = world
                .get_as_reader("/opendepot/providers/v1/download/team/widget/1.3.0")
                .await;
            assert_eq!(answer.code(), code, "without {denied}");
        }
    });
}

#[test]
fn what_was_published_until_lately_is_404_for_who_might_have_it() {
    run(async |pool| {
        let setup = Setup::new(Mode::Token).policy(|subject, _, _| {
            if subject.name == "reader" {
                Decision::Allow
            } else {
                Decision::Abstain
            }
        });
        let world = setup.start(&pool).await;
        let unpublish = |facts: &mut opendepot_actors::registry::Snapshot| {
            facts
                .versions
                .retain(|version| version.id.name.as_str() != "network");
        };
        assert_eq!(world.get_as_reader(NETWORK).await.code(), 200);
        world.change(unpublish).await;
        world.get_as_reader(NETWORK).await.assert_error(404, "gone");
        world.get(NETWORK).await.assert_error(401, "gone");
        let world = Setup::new(Mode::Token).start(&pool).await;
        world.change(unpublish).await;
        world.get_as_reader(NETWORK).await.assert_error(403, "gone");
    });
}
