use super::{FileSystem, STORE};
use opendepot_plugin_sdk::artifact::CONFIG_NAME;
use opendepot_plugin_sdk::storage::{
    Configuration, Error, Operation, Placement, StoragePlugin, StoreOption, Transfer,
};
use opendepot_plugin_sdk::{Artifact, ArtifactKind, Attribute};
use proptest::prelude::*;

const ROOT: &str = r#"{"root": "/data/modules"}"#;

fn configuration(operator: &str, backend: Option<&str>) -> Configuration {
    Configuration {
        operator: operator.to_owned(),
        backend: backend.map(str::to_owned),
        attributes: Vec::new(),
    }
}

fn artifact(name: &str, config_name: Option<&str>, file_name: &str) -> Artifact {
    Artifact {
        namespace: "default".to_owned(),
        kind: ArtifactKind::Module,
        name: name.to_owned(),
        version: "1.2.3".to_owned(),
        os: None,
        arch: None,
        file_name: file_name.to_owned(),
        media_type: "application/zip".to_owned(),
        size: 1,
        sha256: "0".repeat(64),
        attributes: config_name
            .map(|value| Attribute::new(CONFIG_NAME, value))
            .into_iter()
            .collect(),
    }
}

fn located(backend: Option<&str>, artifact: &Artifact) -> String {
    let placement = FileSystem::locate(&configuration(ROOT, backend), artifact).unwrap();
    assert_eq!(placement.store, STORE);
    assert_eq!(
        placement,
        Placement::new(STORE, &placement.key),
        "no options"
    );
    placement.key
}

fn plan(placement: Placement, operation: &Operation) -> Result<Transfer, Error> {
    let artifact = artifact("eks", None, "a.zip");
    FileSystem::plan(
        &configuration(ROOT, None),
        &artifact,
        placement,
        operation,
        0,
    )
}

fn problem_paths(result: Result<(), Error>) -> Vec<String> {
    match result {
        Err(Error::InvalidSettings(problems)) => {
            problems.into_iter().map(|problem| problem.path).collect()
        }
        other => panic!("expected problems, got {other:?}"),
    }
}

#[test]
fn keys_are_the_originals() {
    let plain = artifact("eks", None, "a.zip");
    let named = artifact("eks", Some("terraform-aws-eks"), "a.zip");
    let directory = |path: &str| Some(format!(r#"{{"directoryPath": "{path}"}}"#));
    let cases = [
        ("no block", None, &plain, "eks/a.zip"),
        ("empty block", Some("{}".to_owned()), &plain, "eks/a.zip"),
        (
            "null directory",
            Some(r#"{"directoryPath": null}"#.to_owned()),
            &plain,
            "eks/a.zip",
        ),
        ("the root", directory("/data/modules"), &plain, "eks/a.zip"),
        (
            "below the root",
            directory("/data/modules/team/a"),
            &named,
            "team/a/terraform-aws-eks/a.zip",
        ),
        (
            "empty parts",
            directory("//data/modules//team/"),
            &plain,
            "team/eks/a.zip",
        ),
    ];
    for (name, backend, artifact, key) in cases {
        assert_eq!(located(backend.as_deref(), artifact), key, "{name}");
    }
}

#[test]
fn hostile_directories_are_problems() {
    let long = format!("/data/modules/{}", "a".repeat(256));
    for (name, path) in [
        ("relative", "data/modules"),
        ("empty", ""),
        ("parent", "/data/modules/../../etc"),
        ("parent at the end", "/data/modules/x/.."),
        ("dot", "/data/modules/./x"),
        ("sibling with the same prefix", "/data/modules-evil"),
        ("above the root", "/data"),
        ("file system root", "/"),
        ("elsewhere", "/etc"),
        ("nul", "/data/modules/a\\u0000b"),
        ("new line", "/data/modules/a\\nb"),
        ("backslash", "/data/modules/a\\\\b"),
        ("windows", "C:\\\\data"),
        ("uri", "file:///data/modules"),
        ("long segment", long.as_str()),
    ] {
        let backend = format!(r#"{{"directoryPath": "{path}"}}"#);
        let result = FileSystem::validate(&configuration(ROOT, Some(&backend)));
        assert_eq!(problem_paths(result), ["backend.directoryPath"], "{name}");
        let placed = FileSystem::locate(
            &configuration(ROOT, Some(&backend)),
            &artifact("eks", None, "a.zip"),
        );
        assert!(matches!(placed, Err(Error::InvalidSettings(_))), "{name}");
    }
}

#[test]
fn every_problem_of_both_documents_is_listed() {
    let result = FileSystem::validate(&configuration(
        r#"{"rooot": "/x"}"#,
        Some(r#"{"directoryPath": 7, "directory": "/x"}"#),
    ));
    let mut paths = problem_paths(result);
    paths.sort();
    assert_eq!(
        paths,
        [
            "backend.directory",
            "backend.directoryPath",
            "operator.rooot",
            "operator.root",
        ]
    );
}

#[test]
fn hostile_operator_settings_are_problems() {
    for (name, text) in [
        ("nothing", ""),
        ("not an object", "[]"),
        ("no root", "{}"),
        ("root of the file system", r#"{"root": "/"}"#),
        ("slashes only", r#"{"root": "///"}"#),
        ("relative", r#"{"root": "data"}"#),
        ("climbs", r#"{"root": "/data/.."}"#),
        ("of another type", r#"{"root": ["/data"]}"#),
        ("empty", r#"{"root": ""}"#),
    ] {
        let result = FileSystem::validate(&configuration(text, None));
        assert_eq!(problem_paths(result).len(), 1, "{name}");
    }
    assert!(FileSystem::validate(&configuration(ROOT, None)).is_ok());
}

#[test]
fn hostile_names_are_not_placed() {
    let long = "a".repeat(256);
    for (name, config_name, file_name) in [
        ("slash in the file", None, "a/b.zip"),
        ("parent as the file", None, ".."),
        ("no file", None, ""),
        ("slash in the config name", Some("a/../b"), "a.zip"),
        ("parent as the config name", Some(".."), "a.zip"),
        ("empty config name", Some(""), "a.zip"),
        ("control character", Some("a\u{7}"), "a.zip"),
        ("long file", None, long.as_str()),
    ] {
        let artifact = artifact("eks", config_name, file_name);
        let placed = FileSystem::locate(&configuration(ROOT, None), &artifact);
        assert!(matches!(placed, Err(Error::Other(_))), "{name}: {placed:?}");
    }
}

#[test]
fn a_recorded_placement_is_kept_without_extras() {
    let mut placement = Placement::new(STORE, "team/eks/a.zip");
    placement.options.push(StoreOption {
        name: "endpoint".to_owned(),
        value: opendepot_plugin_sdk::storage::OptionValue::Plain("x".to_owned()),
    });
    placement.credentials = Some("prod".to_owned());
    for operation in [
        Operation::Put,
        Operation::Get,
        Operation::Head,
        Operation::Delete,
    ] {
        assert_eq!(
            plan(placement.clone(), &operation).unwrap(),
            Transfer::Native(Placement::new(STORE, "team/eks/a.zip"))
        );
    }
    assert_eq!(
        plan(placement, &Operation::Prepare).unwrap(),
        Transfer::Nothing
    );
}

#[test]
fn what_it_cannot_do_is_unsupported() {
    for operation in [Operation::Presign(60), Operation::Other("copy".to_owned())] {
        let result = plan(Placement::new(STORE, "eks/a.zip"), &operation);
        assert!(matches!(result, Err(Error::Unsupported(_))), "{result:?}");
    }
}

#[test]
fn foreign_placements_are_denied() {
    let deep = ["a"; 17].join("/");
    let long = ["a".repeat(250).as_str(); 5].join("/");
    for (name, store, key) in [
        ("another scheme", "s3://bucket", "eks/a.zip"),
        ("another folder", "file:///etc", "passwd"),
        ("empty store", "", "eks/a.zip"),
        ("empty key", STORE, ""),
        ("absolute key", STORE, "/etc/passwd"),
        ("climbing key", STORE, "eks/../../etc/passwd"),
        ("trailing slash", STORE, "eks/"),
        ("backslash", STORE, "eks\\..\\x"),
        ("nul", STORE, "eks/a\0.zip"),
        ("too deep", STORE, deep.as_str()),
        ("too long", STORE, long.as_str()),
    ] {
        for operation in [Operation::Get, Operation::Prepare, Operation::Presign(1)] {
            let result = plan(Placement::new(store, key), &operation);
            assert!(
                matches!(result, Err(Error::Denied(_))),
                "{name}: {result:?}"
            );
        }
    }
}

proptest! {
    #[test]
    fn whatever_is_placed_stays_beneath_and_can_be_planned(
        directory in "(/data/modules)?(/(data|modules|\\.|\\.\\.|[a-z]{0,3})){0,5}",
        config_name in "[a-z./]{0,6}",
        file_name in "[a-z./]{0,6}",
    ) {
        let backend = backend_with(&directory);
        let artifact = artifact("eks", Some(&config_name), &file_name);
        if let Ok(placement) =
            FileSystem::locate(&configuration(ROOT, Some(&backend)), &artifact)
        {
            let suffix = format!("{config_name}/{file_name}");
            prop_assert!(placement.key.ends_with(&suffix));
            prop_assert!(placement.key.split('/').all(|part| !matches!(part, "" | "." | "..")));
            prop_assert!(plan(placement, &Operation::Get).is_ok());
        }
    }
}

fn backend_with(directory: &str) -> String {
    format!(r#"{{"directoryPath": "{directory}"}}"#)
}
