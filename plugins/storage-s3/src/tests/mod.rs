mod settings;

use super::S3;
use opendepot_plugin_sdk::artifact::CONFIG_NAME;
use opendepot_plugin_sdk::fixture::storage::{artifact, configuration, problems};
use opendepot_plugin_sdk::storage::{Error, Operation, Placement, StoragePlugin, Transfer};
use opendepot_plugin_sdk::{Artifact, Attribute, key};
use proptest::prelude::*;

const DEPOT: &str = r#"{"bucket": "depot", "region": "eu-1", "prefix": "p"}"#;
const OTHER: &str = r#"{"bucket": "other", "region": "us-2"}"#;

fn named(config_name: &str, file_name: &str) -> Artifact {
    Artifact {
        file_name: file_name.to_owned(),
        attributes: vec![Attribute::new(CONFIG_NAME, config_name)],
        ..artifact()
    }
}

fn locate(operator: &str, backend: Option<&str>) -> Result<Placement, Error> {
    S3::locate(&configuration(operator, backend), &named("eks", "a.zip"))
}

fn plan(operator: &str, placement: Placement, operation: &Operation) -> Result<Transfer, Error> {
    let artifact = named("eks", "a.zip");
    S3::plan(
        &configuration(operator, None),
        &artifact,
        placement,
        operation,
        0,
    )
}

fn paths(operator: &str, backend: Option<&str>) -> Vec<String> {
    let found = problems::<S3>(&configuration(operator, backend));
    found.into_iter().map(|(path, _)| path).collect()
}

#[test]
fn the_block_comes_over_the_operators_settings() {
    for (name, operator, backend, store, key, region) in [
        (
            "no block",
            DEPOT,
            None,
            "depot",
            "p/eks/a.zip",
            Some("eu-1"),
        ),
        (
            "an empty block",
            DEPOT,
            Some("{}"),
            "depot",
            "p/eks/a.zip",
            Some("eu-1"),
        ),
        (
            "all of it",
            DEPOT,
            Some(r#"{"bucket": "other", "region": "us-2", "key": "k"}"#),
            "other",
            "k/eks/a.zip",
            Some("us-2"),
        ),
        (
            "no operator",
            "{}",
            Some(OTHER),
            "other",
            "eks/a.zip",
            Some("us-2"),
        ),
        (
            "no region",
            r#"{"bucket": "depot"}"#,
            None,
            "depot",
            "eks/a.zip",
            None,
        ),
        (
            "another bucket's region",
            DEPOT,
            Some(r#"{"bucket": "other"}"#),
            "other",
            "p/eks/a.zip",
            None,
        ),
        (
            "the same bucket's region",
            DEPOT,
            Some(r#"{"bucket": "depot"}"#),
            "depot",
            "p/eks/a.zip",
            Some("eu-1"),
        ),
        (
            "a region alone",
            DEPOT,
            Some(r#"{"region": "us-2"}"#),
            "depot",
            "p/eks/a.zip",
            Some("us-2"),
        ),
        (
            "null",
            DEPOT,
            Some(r#"{"key": null}"#),
            "depot",
            "p/eks/a.zip",
            Some("eu-1"),
        ),
        (
            "no prefix",
            DEPOT,
            Some(r#"{"key": ""}"#),
            "depot",
            "eks/a.zip",
            Some("eu-1"),
        ),
        (
            "slashes",
            DEPOT,
            Some(r#"{"key": "//a//b/"}"#),
            "depot",
            "a/b/eks/a.zip",
            Some("eu-1"),
        ),
        (
            "slashes of the operator",
            r#"{"bucket": "depot", "prefix": "/a/"}"#,
            None,
            "depot",
            "a/eks/a.zip",
            None,
        ),
    ] {
        let expected = Placement::new(format!("s3://{store}"), key);
        let expected = match region {
            Some(region) => expected.with_option("region", region),
            None => expected,
        };
        assert_eq!(locate(operator, backend), Ok(expected), "{name}");
    }
    let resource = S3::locate(&configuration(DEPOT, None), &artifact()).unwrap();
    assert!(resource.key.starts_with("p/aws/"), "{resource:?}");
}

#[test]
fn a_put_alone_carries_what_is_for_writing() {
    let operator = r#"{"bucket": "depot", "region": "eu-1", "storageClass": "STANDARD_IA",
        "serverSideEncryption": "aws:kms", "kmsKeyId": "arn:aws:kms:eu-1:1:key/a-b", "bucketKey": true}"#;
    let place = Placement::new("s3://depot", "team/eks/a.zip");
    let read = place.clone().with_option("region", "eu-1");
    let written = read
        .clone()
        .with_attribute("content-type", "application/zip")
        .with_option("storage-class", "STANDARD_IA")
        .with_option("server-side-encryption", "aws:kms")
        .with_option("sse-kms-key-id", "arn:aws:kms:eu-1:1:key/a-b")
        .with_option("sse-bucket-key-enabled", "true");
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
        assert_eq!(
            plan(operator, given, &operation),
            Ok(Transfer::Native(read.clone()))
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
fn recorded_artifacts_stay_where_they_are() {
    // The operator moved: the new bucket's region says nothing about the old one.
    let place = Placement::new("s3://old-depot", "eks/a.zip");
    for operation in [Operation::Get, Operation::Delete, Operation::Presign(60)] {
        let planned = plan(DEPOT, place.clone(), &operation);
        assert_eq!(planned, Ok(Transfer::Native(place.clone())));
    }
}

#[test]
fn foreign_placements_are_denied() {
    let deep = ["a"; 17].join("/");
    for (name, store, key) in [
        ("another service", "gs://depot", "eks/a.zip"),
        ("a folder", "file:///depot", "eks/a.zip"),
        ("a server", "https://depot.example", "eks/a.zip"),
        ("another spelling", "S3://depot", "eks/a.zip"),
        ("final slash", "s3://depot/", "eks/a.zip"),
        ("a key in the store", "s3://depot/eks", "a.zip"),
        ("empty store", "", "eks/a.zip"),
        ("empty key", "s3://depot", ""),
        ("absolute key", "s3://depot", "/eks/a.zip"),
        ("climbing key", "s3://depot", "eks/../../a.zip"),
        ("line break", "s3://depot", "eks/a\r\nx"),
        ("too deep", "s3://depot", deep.as_str()),
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
        bucket in prop::option::of("[a-z0-9.-]{0,8}[A-Z/@:]?"),
        folder in prop::option::of("[a-z./\\\\]{0,12}"),
        config_name in "[a-z./:@]{0,6}",
        file_name in "[a-z./:@]{0,6}",
    ) {
        let mut fields: Vec<String> = Vec::new();
        fields.extend(bucket.iter().map(|bucket| format!(r#""bucket": "{bucket}""#)));
        let folder = folder.map(|folder| folder.replace('\\', "\\\\"));
        fields.extend(folder.map(|folder| format!(r#""key": "{folder}""#)));
        let block = format!("{{{}}}", fields.join(", "));
        let artifact = named(&config_name, &file_name);
        if let Ok(placement) = S3::locate(&configuration(DEPOT, Some(&block)), &artifact) {
            let bucket = bucket.unwrap_or("depot".to_owned());
            prop_assert_eq!(&placement.store, &format!("s3://{bucket}"));
            prop_assert!(!bucket.contains(['/', ':', '@']));
            prop_assert_eq!(key::check(&placement.key), Ok(()));
            let suffix = format!("{config_name}/{file_name}");
            prop_assert!(placement.key.ends_with(&suffix));
            prop_assert!(plan(DEPOT, placement, &Operation::Get).is_ok());
        }
    }
}
