mod urls;

use super::{Azure, account};
use opendepot_plugin_sdk::artifact::CONFIG_NAME;
use opendepot_plugin_sdk::fixture::storage::{artifact, configuration, problems};
use opendepot_plugin_sdk::storage::{Error, Operation, Placement, StoragePlugin, Transfer};
use opendepot_plugin_sdk::{Artifact, Attribute, key};
use proptest::prelude::*;

const DEPOT: &str = r#"{"account": "depot"}"#;
const ORIGINAL: &str = r#"{"accountName": "other", "accountUrl": "https://other.blob.core.windows.net/",
    "subscriptionID": "0190b5a0-0000", "resourceGroup": "rg_(1)"}"#;

fn named(config_name: &str, file_name: &str) -> Artifact {
    Artifact {
        file_name: file_name.to_owned(),
        attributes: vec![Attribute::new(CONFIG_NAME, config_name)],
        ..artifact()
    }
}

fn plan(operator: &str, placement: Placement, operation: &Operation) -> Result<Transfer, Error> {
    let configuration = configuration(operator, None);
    Azure::plan(
        &configuration,
        &named("eks", "a.tar.gz"),
        placement,
        operation,
        0,
    )
}

fn paths(operator: &str, backend: Option<&str>) -> Vec<String> {
    let found = problems::<Azure>(&configuration(operator, backend));
    found.into_iter().map(|(path, _)| path).collect()
}

#[test]
fn each_config_has_a_container() {
    for (name, operator, backend, store) in [
        ("no block", DEPOT, None, "az://depot/eks"),
        ("an empty block", DEPOT, Some("{}"), "az://depot/eks"),
        (
            "the original's block",
            DEPOT,
            Some(ORIGINAL),
            "az://other/eks",
        ),
        ("no operator", "{}", Some(ORIGINAL), "az://other/eks"),
        (
            "null",
            DEPOT,
            Some(r#"{"accountName": null}"#),
            "az://depot/eks",
        ),
    ] {
        let placed = Azure::locate(&configuration(operator, backend), &named("eks", "a.zip"));
        assert_eq!(placed, Ok(Placement::new(store, "eks/a.zip")), "{name}");
    }
    let resource = Azure::locate(&configuration(DEPOT, None), &artifact()).unwrap();
    assert_eq!(resource.store, "az://depot/aws");
}

#[test]
fn configs_whose_names_are_none_of_a_container_are_denied() {
    let long = "a".repeat(64);
    let hostile = [
        "", "ab", &long, "EKS", "a_b", "a.b", "-abc", "abc-", "a--b", "$root", "a/b", "..", "a\0b",
        "dépot",
    ];
    for name in hostile {
        let placed = Azure::locate(&configuration(DEPOT, None), &named(name, "a.zip"));
        let Err(Error::Denied(reason)) = placed else {
            panic!("{name:?}: {placed:?}");
        };
        assert!(
            reason.contains("it must") && reason.contains("another"),
            "{reason}"
        );
    }
    for name in ["abc", &long[1..], "a-b-c", "1-2"] {
        let placed = Azure::locate(&configuration(DEPOT, None), &named(name, "a.zip"));
        assert_eq!(placed.unwrap().store, format!("az://depot/{name}"));
    }
    for file in ["", "..", "a/b.zip", "a\\b", "a\u{7}"] {
        let placed = Azure::locate(&configuration(DEPOT, None), &named("eks", file));
        assert!(
            matches!(placed, Err(Error::Other(_))),
            "{file:?}: {placed:?}"
        );
    }
}

#[test]
fn an_account_must_be_named_somewhere() {
    // The settings alone are good: every resource may name its own.
    assert!(paths("{}", None).is_empty());
    assert_eq!(paths("{}", Some("{}")), ["backend.accountName"]);
    for (backend, path) in [
        (None, "operator.account"),
        (Some("{}"), "backend.accountName"),
    ] {
        let placed = Azure::locate(&configuration("{}", backend), &artifact());
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
    let recorded = Placement::new("az://depot/eks", "eks/a.zip");
    assert!(plan("{}", recorded, &Operation::Get).is_ok());
}

#[test]
fn every_problem_of_both_documents_is_listed() {
    let operator = r#"{"accont": 1, "account": "A", "storageClass": "hot"}"#;
    let backend = r#"{"account": "x", "accountName": "a-b", "accountUrl": 1, "subscriptionID": 2,
        "resourceGroup": []}"#;
    let found = problems::<Azure>(&configuration(operator, Some(backend)));
    let mut sorted: Vec<&str> = found.iter().map(|(path, _)| path.as_str()).collect();
    sorted.sort_unstable();
    assert_eq!(
        sorted,
        [
            "backend.account",
            "backend.accountName",
            "backend.accountUrl",
            "backend.resourceGroup",
            "backend.subscriptionID",
            "operator.accont",
            "operator.account",
            "operator.storageClass",
        ]
    );
    let of_unknown = found.iter().find(|(path, _)| path == "operator.accont");
    assert_eq!(
        of_unknown.unwrap().1,
        "unknown key, did you mean `account`?"
    );
    for account in [
        "",
        "ab",
        "Depot",
        "de-pot",
        "de.pot",
        "depot/x",
        "a@b",
        &"a".repeat(25),
    ] {
        let operator = format!(r#"{{"account": "{account}"}}"#);
        assert_eq!(paths(&operator, None), ["operator.account"], "{account}");
    }
    for class in ["Archive", "archive", "", "STANDARD"] {
        let operator = format!(r#"{{"storageClass": "{class}"}}"#);
        assert_eq!(paths(&operator, None), ["operator.storageClass"], "{class}");
    }
    for text in ["", "[]", "null", "{"] {
        assert_eq!(paths(text, None), ["operator"], "{text}");
        assert_eq!(paths(DEPOT, Some(text)), ["backend"], "{text}");
    }
}

#[test]
fn a_record_is_planned_where_it_is() {
    // Also one of another account than the operator's of today.
    let place = Placement::new("az://old/eks", "eks/a.tar.gz");
    let operator = r#"{"account": "depot", "storageClass": "Cool"}"#;
    let written = place
        .clone()
        .with_attribute("content-type", "application/gzip")
        .with_option("storage-class", "Cool");
    assert_eq!(
        plan(operator, place.clone(), &Operation::Put),
        Ok(Transfer::Native(written))
    );
    for operation in [
        Operation::Prepare,
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
    let unknown = plan(operator, place, &Operation::Other("copy".to_owned()));
    assert!(matches!(unknown, Err(Error::Unsupported(_))), "{unknown:?}");
}

#[test]
fn foreign_placements_are_denied() {
    for (name, store, key) in [
        ("another service", "s3://depot", "eks/a.zip"),
        ("a folder", "file:///depot", "eks/a.zip"),
        ("an account alone", "az://depot", "eks/a.zip"),
        ("a bad account", "az://de-pot/eks", "eks/a.zip"),
        (
            "a host",
            "az://depot.blob.core.windows.net/eks",
            "eks/a.zip",
        ),
        ("a bad container", "az://depot/$root", "eks/a.zip"),
        ("a key in the store", "az://depot/eks/eks", "a.zip"),
        ("empty store", "", "eks/a.zip"),
        ("empty key", "az://depot/eks", ""),
        ("absolute key", "az://depot/eks", "/eks/a.zip"),
        ("climbing key", "az://depot/eks", "eks/../../a.zip"),
        ("line break", "az://depot/eks", "eks/a\r\nx"),
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
    fn whatever_is_placed_is_in_a_named_account_and_can_be_planned(
        account in prop::option::of("[a-z0-9]{0,8}[A-Z./@:-]?"),
        config_name in "[a-z0-9./:@-]{0,6}",
        file_name in "[a-z./:@]{0,6}",
    ) {
        let block = match &account {
            Some(account) => format!(r#"{{"accountName": "{account}"}}"#),
            None => "{}".to_owned(),
        };
        let artifact = named(&config_name, &file_name);
        if let Ok(placement) = Azure::locate(&configuration(DEPOT, Some(&block)), &artifact) {
            let account = account.unwrap_or("depot".to_owned());
            prop_assert_eq!(&placement.store, &format!("az://{account}/{config_name}"));
            prop_assert_eq!(placement.store.matches('/').count(), 3);
            prop_assert_eq!(&placement.key, &format!("{config_name}/{file_name}"));
            prop_assert_eq!(key::check(&placement.key), Ok(()));
            prop_assert!(plan(DEPOT, placement, &Operation::Get).is_ok());
        }
    }
}
