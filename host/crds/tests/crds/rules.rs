//! Every rule, with what it lets through and what it refuses.

use crate::support::{accepts, object, problems, refuses};
use serde_json::{Value, json};

fn module(config: Value) -> Value {
    json!({"moduleConfig": config, "versions": [{"version": "1.0.0"}]})
}

fn provider(config: Value) -> Value {
    json!({"providerConfig": config, "versions": [{"version": "1.0.0"}]})
}

fn storage(block: Value) -> Value {
    module(json!({"storageConfig": block}))
}

fn versions(list: &[&str]) -> Value {
    let list: Vec<Value> = list.iter().map(|v| json!({"version": v})).collect();
    json!({"moduleConfig": {}, "versions": list})
}

#[test]
fn at_most_one_storage_backend() {
    accepts("Module", storage(json!({})));
    accepts(
        "Module",
        storage(json!({"gcs": {"bucket": "b-1"}, "presign": {"enabled": true}})),
    );
    let backends = [
        ("s3", json!({"bucket": "b-1", "region": "eu-west-1"})),
        (
            "azureStorage",
            json!({"accountName": "acc", "accountUrl": "https://acc.blob.core.windows.net/", "subscriptionID": "0-1", "resourceGroup": "g"}),
        ),
        ("gcs", json!({"bucket": "b-1"})),
        ("fileSystem", json!({"directoryPath": "/data/modules"})),
        ("plugin", json!({"name": "webdav"})),
    ];
    for (first, block) in &backends {
        accepts("Module", storage(json!({*first: block})));
        accepts(
            "Provider",
            provider(json!({"storageConfig": {*first: block}})),
        );
        for (second, other) in &backends {
            if first != second {
                refuses(
                    "Module",
                    storage(json!({*first: block, *second: other})),
                    "at most one storage backend",
                );
            }
        }
    }
    let two = json!({"gcs": {"bucket": "b-1"}, "plugin": {"name": "x"}});
    refuses(
        "Depot",
        json!({"global": {"storageConfig": two}}),
        "at most one",
    );
    refuses(
        "Depot",
        json!({"moduleConfigs": [{"storageConfig": two}]}),
        "at most one",
    );
    refuses(
        "Version",
        json!({"type": "Module", "version": "1.0.0", "moduleConfigRef": {"storageConfig": two}}),
        "at most one",
    );
}

#[test]
fn storage_paths_stay_where_they_are() {
    for good in ["/", "/data/modules", "/data/my modules"] {
        accepts(
            "Module",
            storage(json!({"fileSystem": {"directoryPath": good}})),
        );
    }
    accepts("Module", storage(json!({"fileSystem": {}})));
    for bad in ["data", "./data", "/data/../etc", "/data/modules/.."] {
        refuses(
            "Module",
            storage(json!({"fileSystem": {"directoryPath": bad}})),
            "directoryPath must be absolute",
        );
    }
    for bad in ["/a\u{0}b", "/a\nb", "/a\\b", ""] {
        refuses(
            "Module",
            storage(json!({"fileSystem": {"directoryPath": bad}})),
            "directoryPath",
        );
    }
    let s3 = |key: &str| storage(json!({"s3": {"bucket": "b-1", "region": "r-1", "key": key}}));
    for good in ["", "prefix", "a/b/", "team a/b"] {
        accepts("Module", s3(good));
    }
    for bad in ["/a", "a//b", "../a", "a/../b"] {
        refuses("Module", s3(bad), "key must not start");
    }
}

#[test]
fn presign_lasts_from_a_second_to_an_hour() {
    let presign = |ttl: &str| storage(json!({"presign": {"enabled": true, "ttl": ttl}}));
    for good in ["1s", "15m", "1h", "15m0s", "1h0m0s", "59m59s", "1500ms"] {
        accepts("Module", presign(good));
    }
    for bad in ["999ms", "0s", "1h1s", "24h"] {
        refuses("Module", presign(bad), "from 1s to 1h");
    }
    for bad in ["-15m", "15", "soon", "1d", ""] {
        refuses("Module", presign(bad), "ttl");
    }
}

#[test]
fn versions_are_semver() {
    accepts(
        "Module",
        versions(&[
            "1.0.0",
            "v1.2.3",
            "1.0.0-rc.1",
            "2.0.0+build.5",
            "0.0.1-alpha-x",
        ]),
    );
    for bad in [
        "", "1", "v1.2", "1.2.3.4", "01.2.3", "latest", "1.0.0/..", "vv1.0.0", "1.0.0 ", "1.0.0-",
    ] {
        refuses("Module", versions(&[bad]), "version");
    }
    refuses(
        "Module",
        versions(&[&format!("1.0.0-{}", "a".repeat(80))]),
        "maxLength",
    );
    refuses(
        "Module",
        json!({"moduleConfig": {}}),
        "\"versions\" is required",
    );
    refuses(
        "Module",
        json!({"moduleConfig": {}, "versions": null}),
        "not a array",
    );
    accepts("Module", versions(&[]));
}

#[test]
fn one_release_is_listed_once() {
    accepts(
        "Module",
        versions(&["1.0.0", "v1.0.1", "1.0.2+a", "11.0.0", "v11.0.1"]),
    );
    accepts("Module", versions(&["1.0.0-vv1", "1.0.0-v1"]));
    for twins in [
        &["1.0.0", "v1.0.0"][..],
        &["1.0.0+a", "1.0.0+b"],
        &["1.0.0", "1.0.0+b"],
        &["v1.0.0+a", "1.0.0"],
        &["v1.0.0", "v1.0.0+a", "v2.0.0"],
    ] {
        refuses("Module", versions(twins), "are one version");
        let list: Vec<Value> = twins.iter().map(|v| json!({"version": v})).collect();
        refuses(
            "Provider",
            json!({"providerConfig": {}, "versions": list}),
            "are one version",
        );
    }
    refuses("Module", versions(&["1.0.0", "1.0.0"]), "duplicate");
}

#[test]
fn a_long_list_of_versions_fits() {
    let plain: Vec<String> = (0..1_000).map(|n| format!("1.{n}.0")).collect();
    accepts(
        "Module",
        versions(&plain.iter().map(String::as_str).collect::<Vec<_>>()),
    );
    let more: Vec<String> = (0..1_001).map(|n| format!("1.{n}.0")).collect();
    refuses(
        "Module",
        versions(&more.iter().map(String::as_str).collect::<Vec<_>>()),
        "maxItems",
    );
}

#[test]
fn names_of_modules_and_providers_are_labels() {
    for kind in ["Module", "Provider"] {
        let spec = if kind == "Module" {
            module(json!({}))
        } else {
            provider(json!({}))
        };
        let named = |name: &str| {
            let mut object = object(kind, spec.clone());
            object["metadata"]["name"] = name.into();
            problems(kind, &object, None)
        };
        for good in ["a", "terraform-aws-vpc", &"a".repeat(63)] {
            assert!(named(good).is_empty(), "{good}");
        }
        for bad in ["a.b", "A", "-a", "a-", "a_b", &"a".repeat(64)] {
            assert!(named(bad)[0].contains("registry address"), "{bad}");
        }
    }
    // The controller answers a dot in a Version's name with a status, as the original does.
    let mut version = object(
        "Version",
        json!({"type": "Module", "version": "1.0.0", "moduleConfigRef": {}}),
    );
    version["metadata"]["name"] = "invalid.version.name".into();
    assert!(problems("Version", &version, None).is_empty());
}

#[test]
fn config_names_fit_urls_and_keys() {
    for good in ["vpc", "terraform-aws-vpc", "Terraform_AWS.eks"] {
        accepts("Module", module(json!({"name": good})));
        accepts("Provider", provider(json!({"name": good})));
    }
    for bad in [
        "", "..", "a/b", "a%2fb", "a..b", "-a", "a b", ".hidden", "a.",
    ] {
        refuses("Module", module(json!({"name": bad})), "name");
        refuses("Provider", provider(json!({"name": bad})), "name");
        refuses("Module", module(json!({"provider": bad})), "provider");
    }
    for bad in ["", "a/b", "../a", "-x"] {
        refuses("Provider", provider(json!({"namespace": bad})), "namespace");
        refuses("Module", module(json!({"repoOwner": bad})), "repoOwner");
    }
}

#[test]
fn addresses_are_https() {
    accepts(
        "Module",
        module(json!({"repoUrl": "https://github.com/acme/terraform-aws-vpc"})),
    );
    accepts(
        "Provider",
        provider(
            json!({"sourceRepository": "https://github.com/hashicorp/terraform-provider-aws"}),
        ),
    );
    for bad in [
        "http://github.com/a/b",
        "javascript:alert(1)",
        "https://user:pw@h/",
        "git@github.com:a/b",
        "https://",
    ] {
        refuses("Module", module(json!({"repoUrl": bad})), "repoUrl");
        refuses(
            "Provider",
            provider(json!({"sourceRepository": bad})),
            "sourceRepository",
        );
    }
}

#[test]
fn numbers_and_formats() {
    for good in ["zip", "tar", "tar.gz"] {
        accepts("Module", module(json!({"fileFormat": good})));
    }
    refuses("Module", module(json!({"fileFormat": "rar"})), "fileFormat");
    for (limit, fits) in [
        (1, true),
        (1_000, true),
        (0, false),
        (1_001, false),
        (-1, false),
    ] {
        let found = problems(
            "Module",
            &object("Module", module(json!({"versionHistoryLimit": limit}))),
            None,
        );
        assert_eq!(found.is_empty(), fits, "{limit}");
    }
    for (minutes, fits) in [
        (0, true),
        (1, true),
        (10_080, true),
        (10_081, false),
        (-1, false),
    ] {
        let found = problems(
            "Depot",
            &object("Depot", json!({"pollingIntervalMinutes": minutes})),
            None,
        );
        assert_eq!(found.is_empty(), fits, "{minutes}");
    }
    for bad in ["Linux", "linux/amd64", ""] {
        refuses(
            "Provider",
            provider(json!({"operatingSystems": [bad]})),
            "operatingSystems",
        );
    }
    refuses(
        "Provider",
        provider(json!({"architectures": ["amd64", "amd64"]})),
        "duplicate",
    );
}

#[test]
fn sources_name_exactly_one_place() {
    let github = json!({"owner": "acme", "repository": "monorepo", "tagPrefix": "vpc/", "subdirectory": "modules/vpc"});
    accepts("Module", module(json!({"source": {"github": github}})));
    accepts(
        "Module",
        module(json!({"source": {"path": "modules/vpc/{version}"}})),
    );
    accepts(
        "Module",
        module(json!({"source": {"path": "/srv/{namespace}/vpc-{version}"}})),
    );
    refuses("Module", module(json!({"source": {}})), "exactly one");
    refuses(
        "Module",
        module(json!({"source": {"path": "{version}", "github": github}})),
        "exactly one",
    );
    let registry = json!({"host": "registry.example.com:8443", "keyIds": ["34365D9472D7468F"]});
    accepts(
        "Provider",
        provider(json!({"source": {"registry": registry}})),
    );
    accepts(
        "Provider",
        provider(json!({"source": {"path": "dist/{version}"}})),
    );
    refuses("Provider", provider(json!({"source": {}})), "exactly one");
    refuses(
        "Provider",
        provider(json!({"source": {"path": "{version}", "registry": registry}})),
        "exactly one",
    );
}

#[test]
fn source_paths_have_a_version_and_do_not_climb() {
    for kind in ["Module", "Provider"] {
        let with = |path: &str| {
            let config = json!({"source": {"path": path}});
            if kind == "Module" {
                module(config)
            } else {
                provider(config)
            }
        };
        accepts(kind, with("a..b/{version}"));
        refuses(kind, with("modules/vpc"), "must contain the placeholder");
        for bad in ["../{version}", "a/../{version}", "{version}/.."] {
            refuses(kind, with(bad), "must not climb");
        }
        refuses(kind, with("a\\{version}"), "path");
    }
}

#[test]
fn git_names_stay_within_their_grammar() {
    let with = |field: &str, value: &str| {
        let mut github = json!({"owner": "acme", "repository": "r"});
        github[field] = value.into();
        module(json!({"source": {"github": github}}))
    };
    for (field, bad) in [
        ("owner", "--upload-pack=x"),
        ("owner", "a/b"),
        ("repository", ".."),
        ("repository", "a/b"),
        ("repository", "r?x="),
        ("tagPrefix", "--upload-pack=x"),
        ("tagPrefix", "../"),
        ("tagPrefix", "a//b"),
        ("tagPrefix", "HEAD~"),
        ("tagPrefix", "a?x="),
        ("tagPrefix", "a@{1}"),
        ("subdirectory", "../x"),
        ("subdirectory", "/abs"),
        ("subdirectory", "a//b"),
    ] {
        refuses("Module", with(field, bad), field);
    }
    accepts("Module", with("repository", ".github"));
    for bad in ["https://h", "h/path", "user@h", "h:", "-h"] {
        refuses(
            "Provider",
            provider(json!({"source": {"registry": {"host": bad}}})),
            "host",
        );
    }
    refuses(
        "Provider",
        provider(json!({"source": {"registry": {"host": "h", "keyIds": ["xyz"]}}})),
        "keyIds",
    );
}

#[test]
fn plugin_settings_are_bounded() {
    let with =
        |settings: Value| storage(json!({"plugin": {"name": "webdav", "settings": settings}}));
    accepts("Module", with(json!({"folder": "x"})));
    refuses(
        "Module",
        with(json!({"k".repeat(129): "x"})),
        "1 to 128 characters",
    );
    refuses("Module", with(json!({"k": "v".repeat(1_025)})), "maxLength");
    let many: serde_json::Map<String, Value> =
        (0..65).map(|n| (format!("k{n}"), json!("v"))).collect();
    refuses("Module", with(Value::Object(many)), "maxProperties");
    refuses(
        "Module",
        storage(json!({"plugin": {"name": "a/b"}})),
        "name",
    );
}
