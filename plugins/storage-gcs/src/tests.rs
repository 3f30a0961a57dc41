use super::Gcs;
use opendepot_plugin_sdk::artifact::CONFIG_NAME;
use opendepot_plugin_sdk::fixture::storage::{artifact, configuration, problems};
use opendepot_plugin_sdk::storage::{Error, Operation, Placement, StoragePlugin, Transfer};
use opendepot_plugin_sdk::{Artifact, Attribute, key};
use proptest::prelude::*;

const DEPOT: &str = r#"{"bucket": "depot", "prefix": "/a//b/"}"#;
const OTHER: &str = r#"{"bucket": "other"}"#;

fn named(config_name: &str, file_name: &str) -> Artifact {
    Artifact {
        file_name: file_name.to_owned(),
        attributes: vec![Attribute::new(CONFIG_NAME, config_name)],
        ..artifact()
    }
}

fn plan(operator: &str, placement: Placement, operation: &Operation) -> Result<Transfer, Error> {
    let configuration = configuration(operator, None);
    Gcs::plan(
        &configuration,
        &named("eks", "a.tgz"),
        placement,
        operation,
        0,
    )
}

fn paths(operator: &str, backend: Option<&str>) -> Vec<String> {
    let found = problems::<Gcs>(&configuration(operator, backend));
    found.into_iter().map(|(path, _)| path).collect()
}

#[test]
fn the_block_comes_over_the_operators_settings() {
    for (name, operator, backend, store, key) in [
        ("no block", DEPOT, None, "gs://depot", "a/b/eks/a.zip"),
        (
            "an empty block",
            DEPOT,
            Some("{}"),
            "gs://depot",
            "a/b/eks/a.zip",
        ),
        (
            "null",
            DEPOT,
            Some(r#"{"bucket": null}"#),
            "gs://depot",
            "a/b/eks/a.zip",
        ),
        (
            "another bucket",
            DEPOT,
            Some(OTHER),
            "gs://other",
            "a/b/eks/a.zip",
        ),
        ("no operator", "{}", Some(OTHER), "gs://other", "eks/a.zip"),
        (
            "no prefix",
            r#"{"bucket": "depot", "prefix": ""}"#,
            None,
            "gs://depot",
            "eks/a.zip",
        ),
    ] {
        let placed = Gcs::locate(&configuration(operator, backend), &named("eks", "a.zip"));
        assert_eq!(placed, Ok(Placement::new(store, key)), "{name}");
    }
    let resource = Gcs::locate(&configuration(DEPOT, None), &artifact()).unwrap();
    assert!(resource.key.starts_with("a/b/aws/"), "{resource:?}");
}

#[test]
fn a_bucket_must_be_named_somewhere() {
    // The settings alone are good: every resource may name its own.
    assert!(paths("{}", None).is_empty());
    assert_eq!(paths("{}", Some("{}")), ["backend.bucket"]);
    for (backend, path) in [(None, "operator.bucket"), (Some("{}"), "backend.bucket")] {
        let placed = Gcs::locate(&configuration("{}", backend), &artifact());
        let Err(Error::InvalidSettings(problems)) = placed else {
            panic!("{backend:?}: {placed:?}");
        };
        let [problem] = &problems[..] else {
            panic!("{problems:?}");
        };
        assert_eq!(problem.path, path);
        assert!(problem.message.contains("resource's block"), "{problem:?}");
        assert!(
            problem.message.contains("operator's settings"),
            "{problem:?}"
        );
    }
    let recorded = Placement::new("gs://depot", "eks/a.zip");
    assert!(plan("{}", recorded, &Operation::Get).is_ok());
}

#[test]
fn buckets_have_names_by_the_services_rules() {
    let (long, longest) = ("a".repeat(64), "a".repeat(63));
    let dotted = [longest.as_str(); 4].join(".");
    for name in [
        "",
        "ab",
        long.as_str(),
        dotted.as_str(),
        &format!("{long}.a"),
        "Depot",
        "de pot",
        "-depot",
        "depot-",
        "_depot",
        "depot_",
        ".depot",
        "depot.",
        "de..pot",
        "192.168.5.4",
        "goog",
        "google-depot",
        "googdepot",
        "depot/x",
        "depot:443",
        "user@depot",
        "../depot",
        "depot?x",
        "dépot",
    ] {
        let block = format!(r#"{{"bucket": "{name}"}}"#);
        assert_eq!(paths("{}", Some(&block)), ["backend.bucket"], "{name}");
        assert_eq!(paths(&block, None), ["operator.bucket"], "{name}");
        let placement = Placement::new(format!("gs://{name}"), "eks/a.zip");
        let planned = plan("{}", placement, &Operation::Get);
        assert!(
            matches!(planned, Err(Error::Denied(_))),
            "{name}: {planned:?}"
        );
    }
    for name in [
        "abc",
        &longest,
        &dotted[33..],
        "1.2.3",
        "d_e-p.o_t",
        "goo",
        "my-goog",
    ] {
        let block = format!(r#"{{"bucket": "{name}"}}"#);
        let placed = Gcs::locate(&configuration("{}", Some(&block)), &artifact());
        assert_eq!(placed.unwrap().store, format!("gs://{name}"));
    }
}

#[test]
fn every_problem_of_both_documents_is_listed() {
    let operator = r#"{"buckett": 1, "bucket": "A", "prefix": "..", "storageClass": "FAST"}"#;
    let backend = r#"{"prefix": "", "bucket": 7}"#;
    let found = problems::<Gcs>(&configuration(operator, Some(backend)));
    let mut sorted: Vec<&str> = found.iter().map(|(path, _)| path.as_str()).collect();
    sorted.sort_unstable();
    assert_eq!(
        sorted,
        [
            "backend.bucket",
            "backend.prefix",
            "operator.bucket",
            "operator.buckett",
            "operator.prefix",
            "operator.storageClass",
        ]
    );
    let of_unknown = found.iter().find(|(path, _)| path == "operator.buckett");
    assert_eq!(of_unknown.unwrap().1, "unknown key, did you mean `bucket`?");
    let deep = ["a"; 17].join("/");
    for prefix in ["a/../b", ".", "a\\\\b", "a\\u0000", "a\\nb", &deep] {
        let operator = format!(r#"{{"prefix": "{prefix}"}}"#);
        assert_eq!(paths(&operator, None), ["operator.prefix"], "{prefix}");
    }
    for text in ["", "[]", "null", "{"] {
        assert_eq!(paths(text, None), ["operator"], "{text}");
        assert_eq!(paths(DEPOT, Some(text)), ["backend"], "{text}");
    }
}

#[test]
fn a_record_is_planned_where_it_is() {
    // Also one of another bucket than the operator's of today.
    let place = Placement::new("gs://old-depot", "eks/a.tgz");
    let operator = r#"{"bucket": "depot", "storageClass": "NEARLINE"}"#;
    let written = place
        .clone()
        .with_attribute("content-type", "application/gzip")
        .with_option("storage-class", "NEARLINE");
    assert_eq!(
        plan(operator, place.clone(), &Operation::Put),
        Ok(Transfer::Native(written))
    );
    for operation in [
        Operation::Get,
        Operation::Head,
        Operation::Delete,
        Operation::Presign(60),
    ] {
        // Nothing of what comes with a placement is handed on but store and key.
        let mut given = place
            .clone()
            .with_option("endpoint", "x")
            .with_attribute("a", "b");
        given.credentials = Some("prod".to_owned());
        let planned = plan(operator, given, &operation);
        assert_eq!(
            planned,
            Ok(Transfer::Native(place.clone())),
            "{operation:?}"
        );
    }
    assert_eq!(
        plan(operator, place.clone(), &Operation::Prepare),
        Ok(Transfer::Nothing)
    );
    let unknown = plan(operator, place, &Operation::Other("copy".to_owned()));
    assert!(matches!(unknown, Err(Error::Unsupported(_))), "{unknown:?}");
}

#[test]
fn foreign_placements_are_denied() {
    for (name, store, key) in [
        ("another service", "s3://depot", "eks/a.zip"),
        ("a folder", "file:///depot", "eks/a.zip"),
        ("final slash", "gs://depot/", "eks/a.zip"),
        ("a key in the store", "gs://depot/eks", "a.zip"),
        ("empty store", "", "eks/a.zip"),
        ("empty key", "gs://depot", ""),
        ("absolute key", "gs://depot", "/eks/a.zip"),
        ("climbing key", "gs://depot", "eks/../../a.zip"),
        ("line break", "gs://depot", "eks/a\r\nx"),
    ] {
        for operation in [Operation::Get, Operation::Prepare, Operation::Presign(1)] {
            let planned = plan(DEPOT, Placement::new(store, key), &operation);
            assert!(
                matches!(planned, Err(Error::Denied(_))),
                "{name}: {planned:?}"
            );
        }
    }
}

proptest! {
    #[test]
    fn whatever_is_placed_is_in_a_named_bucket_and_can_be_planned(
        bucket in prop::option::of("[a-z0-9._-]{0,8}[A-Z/@:]?"),
        config_name in "[a-z./:@]{0,6}",
        file_name in "[a-z./:@]{0,6}",
    ) {
        let block = match &bucket {
            Some(bucket) => format!(r#"{{"bucket": "{bucket}"}}"#),
            None => "{}".to_owned(),
        };
        let artifact = named(&config_name, &file_name);
        if let Ok(placement) = Gcs::locate(&configuration(DEPOT, Some(&block)), &artifact) {
            let bucket = bucket.unwrap_or("depot".to_owned());
            prop_assert_eq!(&placement.store, &format!("gs://{bucket}"));
            prop_assert!(!bucket.contains(['/', ':', '@']));
            prop_assert_eq!(&placement.key, &format!("a/b/{config_name}/{file_name}"));
            prop_assert_eq!(key::check(&placement.key), Ok(()));
            prop_assert!(plan(DEPOT, placement, &Operation::Get).is_ok());
        }
    }
}
