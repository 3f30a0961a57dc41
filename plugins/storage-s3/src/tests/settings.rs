//! Settings that are wrong.

use super::*;

#[test]
fn a_bucket_must_be_named_somewhere() {
    // The settings alone are good: every resource may name its own.
    assert!(paths("{}", None).is_empty());
    assert_eq!(paths("{}", Some("{}")), ["backend.bucket"]);
    for (backend, path) in [(None, "operator.bucket"), (Some("{}"), "backend.bucket")] {
        let Err(Error::InvalidSettings(problems)) = locate("{}", backend) else {
            panic!("{backend:?}");
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
    let recorded = Placement::new("s3://depot", "eks/a.zip");
    assert!(plan("{}", recorded, &Operation::Get).is_ok());
}

#[test]
fn buckets_have_names_by_s3s_rules() {
    let long = "a".repeat(64);
    for name in [
        "",
        "ab",
        long.as_str(),
        "Depot",
        "de_pot",
        "de pot",
        "-depot",
        "depot-",
        ".depot",
        "depot.",
        "de..pot",
        "192.168.5.4",
        "999.1.2.3",
        "depot/x",
        "depot:9000",
        "user@depot",
        "../depot",
        "depot?x",
        "dépot",
    ] {
        let block = format!(r#"{{"bucket": "{name}"}}"#);
        assert_eq!(paths("{}", Some(&block)), ["backend.bucket"], "{name}");
        assert_eq!(paths(&block, None), ["operator.bucket"], "{name}");
        let placement = Placement::new(format!("s3://{name}"), "eks/a.zip");
        let planned = plan("{}", placement, &Operation::Get);
        assert!(
            matches!(planned, Err(Error::Denied(_))),
            "{name}: {planned:?}"
        );
    }
    for name in [
        "abc",
        &long[1..],
        "1.2.3",
        "de.p-o.t",
        "a.2.3.4",
        "1-2.3.4.5",
    ] {
        let block = format!(r#"{{"bucket": "{name}"}}"#);
        assert_eq!(
            locate("{}", Some(&block)).unwrap().store,
            format!("s3://{name}")
        );
    }
}

#[test]
fn every_problem_of_both_documents_is_listed() {
    let operator = r#"{"buckett": 1, "bucket": "A", "region": "eu.1", "prefix": "..",
        "storageClass": "", "serverSideEncryption": "aes", "kmsKeyId": "a b", "bucketKey": 1}"#;
    let backend = r#"{"prefix": "", "bucket": 7, "region": "", "key": "a\\b"}"#;
    let mut found = paths(operator, Some(backend));
    found.sort();
    found.dedup();
    assert_eq!(
        found,
        [
            "backend.bucket",
            "backend.key",
            "backend.prefix",
            "backend.region",
            "operator.bucket",
            "operator.bucketKey",
            "operator.buckett",
            "operator.kmsKeyId",
            "operator.prefix",
            "operator.region",
            "operator.serverSideEncryption",
            "operator.storageClass",
        ]
    );
    let messages = problems::<S3>(&configuration(operator, Some(backend)));
    let of_unknown = messages.iter().find(|(path, _)| path == "operator.buckett");
    assert_eq!(of_unknown.unwrap().1, "unknown key, did you mean `bucket`?");
}

#[test]
fn hostile_settings_are_problems() {
    let long = "a".repeat(65);
    let long_key = "a".repeat(257);
    let deep = ["a"; 17].join("/");
    for (setting, value) in [
        ("region", "eu-1.evil.example"),
        ("region", "eu-1/x"),
        ("region", long.as_str()),
        ("prefix", "a/../b"),
        ("prefix", "a\\u0000"),
        ("prefix", "a\\nb"),
        ("prefix", deep.as_str()),
        ("storageClass", "STANDARD IA"),
        ("storageClass", "GLACIER"),
        ("storageClass", "DEEP_ARCHIVE"),
        ("serverSideEncryption", "sse-c"),
    ] {
        let operator = format!(r#"{{"bucket": "depot", "{setting}": "{value}"}}"#);
        assert_eq!(
            paths(&operator, None),
            [format!("operator.{setting}")],
            "{value}"
        );
    }
    for (more, path) in [
        (r#""kmsKeyId": "alias/a""#, "operator.kmsKeyId"),
        (
            r#""kmsKeyId": "alias/a", "serverSideEncryption": "AES256""#,
            "operator.kmsKeyId",
        ),
        (
            r#""kmsKeyId": "", "serverSideEncryption": "aws:kms""#,
            "operator.kmsKeyId",
        ),
        (
            r#""kmsKeyId": "a?b", "serverSideEncryption": "aws:kms""#,
            "operator.kmsKeyId",
        ),
        (
            &format!(r#""kmsKeyId": "{long_key}", "serverSideEncryption": "aws:kms""#),
            "operator.kmsKeyId",
        ),
        (r#""bucketKey": true"#, "operator.bucketKey"),
        (
            r#""bucketKey": true, "serverSideEncryption": "AES256""#,
            "operator.bucketKey",
        ),
        (
            r#""bucketKey": true, "serverSideEncryption": "aws:kms:dsse""#,
            "operator.bucketKey",
        ),
    ] {
        let operator = format!(r#"{{"bucket": "depot", {more}}}"#);
        assert_eq!(paths(&operator, None), [path], "{more}");
    }
    assert_eq!(
        paths(r#"{"region": "eu-1"}"#, None),
        ["operator.region"],
        "of no bucket"
    );
    for text in ["", "[]", "null", "{"] {
        assert_eq!(paths(text, None), ["operator"], "{text}");
        assert_eq!(paths(DEPOT, Some(text)), ["backend"], "{text}");
    }
}
