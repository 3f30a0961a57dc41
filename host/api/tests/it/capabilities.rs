//! A capability opens one thing, for one purpose, for a while (contract.md 4, *Capabilities*).

use crate::facts::{module_id, package_bytes, provider_id};
use crate::support::{Answer, Mode, NETWORK, Setup, WIDGET, World, run, unix_now};
use http::Method;
use opendepot_domain::{ArtifactId, Capability, Decision, Purpose, Sha256};

const SUMS: &str = "/opendepot/providers/v1/team/widget/1.2.0/SHA256SUMS/linux/amd64";
const SIGNATURE: &str = "/opendepot/providers/v1/team/widget/1.2.0/SHA256SUMS.sig/linux/amd64";

fn with(target: &str, query: &str) -> String {
    format!(
        "{target}{}{query}",
        if target.contains('?') { '&' } else { '?' }
    )
}

/// Every route that takes capabilities, with a good one.
fn good(world: &World) -> Vec<(&'static str, String)> {
    vec![
        (NETWORK, world.network_query()),
        (WIDGET, world.widget_query(Purpose::Archive)),
        (SUMS, world.widget_query(Purpose::Sums)),
        (SIGNATURE, world.widget_query(Purpose::Signature)),
    ]
}

/// What `WIDGET` opens with.
struct Fields {
    purpose: Purpose,
    id: ArtifactId,
    release: String,
    sha256: Sha256,
    expires: u64,
}

impl Fields {
    fn widget(world: &World) -> Self {
        Self {
            purpose: Purpose::Archive,
            id: provider_id("widget", "1.2.0", "linux", "amd64"),
            release: world.release_id("1.2.0"),
            sha256: Sha256::of(&package_bytes("1.2.0", "linux")),
            expires: unix_now() + 300,
        }
    }

    fn network(world: &World) -> Self {
        Self {
            purpose: Purpose::Module,
            id: module_id("network", "1.1.0"),
            release: String::new(),
            sha256: Sha256::of(&world.bytes),
            expires: unix_now() + 300,
        }
    }

    fn query(&self, world: &World) -> String {
        world.query(&Capability {
            purpose: self.purpose,
            id: &self.id,
            release: &self.release,
            sha256: &self.sha256,
            expires: self.expires,
        })
    }

    async fn ask(&self, world: &World, target: &str) -> Answer {
        world.get(&with(target, &self.query(world))).await
    }
}

#[test]
fn the_links_of_the_documents_open_without_a_credential() {
    run(async |pool| {
        let world = Setup::new(Mode::Token)
            .policy(|_, _, _| Decision::Allow)
            .start(&pool)
            .await;
        let document = "/opendepot/providers/v1/team/widget/1.2.0/download/linux/amd64";
        let document = world.get_as_reader(document).await.json();
        for key in ["download_url", "shasums_url", "shasums_signature_url"] {
            let answer = world.get(document[key].as_str().unwrap()).await;
            assert_eq!(answer.code(), 200, "{key}");
            if key == "download_url" {
                assert_eq!(Sha256::of(&answer.body).to_string(), document["shasum"]);
            }
        }
        let download = "/opendepot/modules/v1/team/network/aws/1.1.0/download";
        let answer = world.get_as_reader(download).await;
        let location = answer.header("x-terraform-get").to_owned();
        assert_eq!(world.get(&location).await.body, world.bytes);
    });
}

#[test]
fn a_valid_capability_makes_authorization_moot_and_an_invalid_one_too() {
    run(async |pool| {
        let world = Setup::new(Mode::Token)
            .policy(|_, _, _| Decision::Allow)
            .start(&pool)
            .await;
        for (target, query) in good(&world) {
            let target = with(target, &query);
            for value in ["Basic bmV0cmM6c2VjcmV0", "Bearer garbage", ""] {
                let answer = world
                    .send(Method::GET, &target, &[("authorization", value)])
                    .await;
                assert_eq!(answer.code(), 200, "{target}");
            }
            // A good credential does not save a bad link.
            let bad = target.replace("signature=", "signature=x");
            world.get_as_reader(&bad).await.assert_error(403, &bad);
        }
    });
}

#[test]
fn parameters_in_any_order_and_those_that_clients_drop_do_not_matter() {
    run(async |pool| {
        let world = Setup::new(Mode::Token).start(&pool).await;
        let (expires, signature) = world
            .network_query()
            .split_once('&')
            .map(|(a, b)| (a.to_owned(), b.to_owned()))
            .unwrap();
        for query in [
            format!("{signature}&{expires}"),
            format!("archive=zip&checksum=sha256:00&{signature}&{expires}"),
            format!("{expires}&zzz=1&{signature}&aaa=%20"),
        ] {
            assert_eq!(
                world.get(&with(NETWORK, &query)).await.code(),
                200,
                "{query}"
            );
        }
        // go-getter writes `+` and `/` of the checksum escaped or not.
        let checksum = Sha256::of(&world.bytes).to_base64();
        let escaped = checksum
            .replace('+', "%2B")
            .replace('/', "%2F")
            .replace('=', "%3D");
        for checksum in [checksum.clone(), escaped] {
            let query = format!("fileChecksum={checksum}&{expires}&{signature}");
            assert_eq!(
                world.get(&with(NETWORK, &query)).await.code(),
                200,
                "{query}"
            );
        }
    });
}

#[test]
fn every_altered_text_is_403() {
    run(async |pool| {
        for mode in [Mode::Token, Mode::Anonymous] {
            let world = Setup::new(mode).start(&pool).await;
            for (target, query) in good(&world) {
                let (expires, signature) = query
                    .split_once('&')
                    .map(|(a, b)| {
                        (
                            a.trim_start_matches("expires=").to_owned(),
                            b.trim_start_matches("signature=").to_owned(),
                        )
                    })
                    .unwrap();
                let later = (expires.parse::<u64>().unwrap() + 300).to_string();
                let (id, mac) = signature.split_once('.').unwrap();
                let mut cases = vec![
                    ("no signature", format!("expires={expires}")),
                    ("no expiry", format!("signature={signature}")),
                    ("empty signature", format!("expires={expires}&signature=")),
                    ("empty expiry", format!("expires=&signature={signature}")),
                    ("later", format!("expires={later}&signature={signature}")),
                    (
                        "leading zero",
                        format!("expires=0{expires}&signature={signature}"),
                    ),
                    (
                        "sign",
                        format!("expires=%2B{expires}&signature={signature}"),
                    ),
                    (
                        "blank",
                        format!("expires=%20{expires}&signature={signature}"),
                    ),
                    (
                        "huge",
                        format!("expires=99999999999999999999&signature={signature}"),
                    ),
                    (
                        "extended",
                        format!("expires={expires}&signature={signature}A"),
                    ),
                    (
                        "padded",
                        format!("expires={expires}&signature={signature}%3D"),
                    ),
                    ("no key", format!("expires={expires}&signature={mac}")),
                    (
                        "other key",
                        format!("expires={expires}&signature=00000000.{mac}"),
                    ),
                    (
                        "upper key",
                        format!(
                            "expires={expires}&signature={}.{mac}",
                            id.to_uppercase() + "A"
                        ),
                    ),
                    ("empty mac", format!("expires={expires}&signature={id}.")),
                    (
                        "blank after",
                        format!("expires={expires}&signature={signature}%20"),
                    ),
                    (
                        "nul after",
                        format!("expires={expires}&signature={signature}%00"),
                    ),
                ];
                for end in 0..signature.len() {
                    cases.push((
                        "cut",
                        format!("expires={expires}&signature={}", &signature[..end]),
                    ));
                }
                for at in 0..signature.len() {
                    let mut bytes = signature.clone().into_bytes();
                    bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
                    let changed = String::from_utf8(bytes).unwrap();
                    // The last sextet has two spare bits: only the exact text may pass.
                    cases.push(("changed", format!("expires={expires}&signature={changed}")));
                }
                for (name, query) in cases {
                    let target = with(target, &query);
                    world
                        .get(&target)
                        .await
                        .assert_error(403, &format!("{name}: {target}"));
                }
                for (name, query) in [
                    (
                        "two signatures",
                        format!("expires={expires}&signature={signature}&signature={signature}"),
                    ),
                    (
                        "two expiries",
                        format!("expires={expires}&expires={expires}&signature={signature}"),
                    ),
                ] {
                    let target = with(target, &query);
                    world.get(&target).await.assert_error(400, name);
                }
            }
        }
    });
}

/// What is changed, and how.
type Alteration = (&'static str, fn(&mut Fields));

#[test]
fn a_capability_for_anything_else_is_403() {
    run(async |pool| {
        let world = Setup::new(Mode::Anonymous).start(&pool).await;
        assert_eq!(Fields::widget(&world).ask(&world, WIDGET).await.code(), 200);
        assert_eq!(
            Fields::network(&world).ask(&world, NETWORK).await.code(),
            200
        );
        let alterations: &[Alteration] = &[
            ("namespace", |fields| {
                fields.id.namespace = "other".parse().unwrap()
            }),
            ("name", |fields| fields.id.name = "other".parse().unwrap()),
            ("version", |fields| {
                fields.id.version = "1.3.0".parse().unwrap()
            }),
            ("build metadata", |fields| {
                fields.id.version = format!("{}+b", fields.id.version).parse().unwrap()
            }),
            ("kind", |fields| {
                use opendepot_domain::ArtifactKind::{Module, Provider};
                fields.id.kind = if fields.id.kind == Module {
                    Provider
                } else {
                    Module
                };
            }),
            ("os", |fields| {
                fields.id.platform =
                    Some(opendepot_domain::Platform::new("darwin", "amd64").unwrap())
            }),
            ("arch", |fields| {
                fields.id.platform =
                    Some(opendepot_domain::Platform::new("linux", "arm64").unwrap())
            }),
            ("release", |fields| {
                fields.release = Sha256::of(b"another release").to_string()
            }),
            ("no release", |fields| {
                fields.release = if fields.release.is_empty() {
                    "x".into()
                } else {
                    String::new()
                }
            }),
            ("digest", |fields| {
                fields.sha256 = Sha256::of(b"other bytes")
            }),
            ("purpose sums", |fields| fields.purpose = Purpose::Sums),
            ("purpose signature", |fields| {
                fields.purpose = Purpose::Signature
            }),
            ("purpose", |fields| {
                fields.purpose = if fields.purpose == Purpose::Module {
                    Purpose::Archive
                } else {
                    Purpose::Module
                };
            }),
            ("expired", |fields| fields.expires = unix_now() - 31),
            ("long expired", |fields| fields.expires = 1),
        ];
        for (name, alter) in alterations {
            for (target, mut fields) in [
                (WIDGET, Fields::widget(&world)),
                (NETWORK, Fields::network(&world)),
            ] {
                alter(&mut fields);
                fields
                    .ask(&world, target)
                    .await
                    .assert_error(403, &format!("{name} at {target}"));
            }
        }
        // A replica whose clock is a little behind still lets the end of the window through.
        let mut fields = Fields::widget(&world);
        fields.expires = unix_now() - 5;
        assert_eq!(fields.ask(&world, WIDGET).await.code(), 200);
    });
}

#[test]
fn every_capability_opens_its_own_route_only() {
    run(async |pool| {
        let world = Setup::new(Mode::Anonymous).start(&pool).await;
        let all = good(&world);
        let others = [
            "/opendepot/modules/v1/download/plugin/storage-fs/network/network-1.0.0.zip",
            "/opendepot/providers/v1/download/team/widget/1.2.0?os=darwin&arch=arm64",
            "/opendepot/providers/v1/download/team/widget/1.3.0?os=linux&arch=amd64",
            "/opendepot/providers/v1/team/widget/1.2.0/SHA256SUMS/darwin/arm64",
            "/opendepot/providers/v1/team/widget/1.3.0/SHA256SUMS/linux/amd64",
        ];
        for (own, query) in &all {
            assert_eq!(world.get(&with(own, query)).await.code(), 200, "{own}");
            let foreign = all
                .iter()
                .map(|(target, _)| *target)
                .filter(|target| target != own)
                .chain(others);
            for target in foreign {
                let target = with(target, query);
                world.get(&target).await.assert_error(403, &target);
            }
        }
    });
}

#[test]
fn what_is_no_longer_published_is_410_for_its_holders_alone() {
    run(async |pool| {
        let world = Setup::new(Mode::Anonymous).start(&pool).await;
        let links = good(&world);
        world
            .change(|facts| {
                facts.versions.retain(|version| {
                    version.id != module_id("network", "1.1.0")
                        && !(version.id.name.as_str() == "widget"
                            && version.id.version.to_string() == "1.2.0")
                });
            })
            .await;
        for (target, query) in &links {
            let link = with(target, query);
            world.get(&link).await.assert_error(410, &link);
            let tampered = link.replace("signature=", "signature=x");
            world.get(&tampered).await.assert_error(403, &tampered);
            world.get(target).await.assert_error(404, target);
        }
        let mut fields = Fields::network(&world);
        fields.expires = unix_now() - 5;
        fields
            .ask(&world, NETWORK)
            .await
            .assert_error(403, "expired and gone");
        // Published again: the same link opens again.
        let world = Setup::new(Mode::Anonymous).start(&pool).await;
        let removed = std::sync::Mutex::new(None);
        world
            .change(|facts| {
                let at = facts
                    .versions
                    .iter()
                    .position(|version| version.id == module_id("network", "1.1.0"))
                    .unwrap();
                *removed.lock().unwrap() = Some(facts.versions.remove(at));
            })
            .await;
        let link = with(NETWORK, &world.network_query());
        world.get(&link).await.assert_error(410, &link);
        world
            .change(|facts| facts.versions.push(removed.lock().unwrap().take().unwrap()))
            .await;
        assert_eq!(world.get(&link).await.code(), 200);
    });
}
