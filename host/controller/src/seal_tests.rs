use super::*;
use serde_json::{Value, json};

fn keys() -> ArtifactKeys {
    let folder = tempfile::tempdir().unwrap();
    ArtifactKeys::generate(&folder.path().join("keys")).unwrap()
}

fn place(key: &str) -> Value {
    let digest = "a".repeat(64);
    json!({
        "plugin": "storage-fs", "store": "file:///", "key": key, "fileName": "f.zip",
        "mediaType": "application/zip", "size": 7, "sha256": digest,
    })
}

fn release(id: &str) -> Value {
    let file = json!({ "os": "linux", "arch": "amd64", "sha256": "b".repeat(64), "h1": "h1:x", "size": 7 });
    json!({
        "id": id.repeat(64), "signature": "c2ln", "keyId": "0123456789ABCDEF", "signedAt": 5,
        "files": [file],
    })
}

/// A Version in which everything that the seal covers is there, sealed.
fn sealed(keys: &ArtifactKeys) -> Value {
    let full = json!({
        "apiVersion": "opendepot.defdev.io/v1alpha1",
        "kind": "Version",
        "metadata": { "name": "widget-1-0-0", "namespace": "team", "uid": "u1", "resourceVersion": "1" },
        "spec": {
            "type": "Provider", "version": "1.0.0", "operatingSystem": "linux",
            "architecture": "amd64", "providerConfigRef": { "name": "widget" },
        },
        "status": {
            "synced": true, "syncStatus": "text", "sha256": "a".repeat(64), "h1": "h1:y",
            "publishedAt": "2026-01-01T00:00:00Z",
            "artifact": place("one"), "pending": place("two"), "previous": place("three"),
            "protocols": ["5.0", "6.0"],
            "releases": [release("1"), release("2")],
            "verdict": { "result": "Publish", "reason": "fine" },
            "conditions": [],
        },
    });
    let mut version: Version = serde_json::from_value(full).unwrap();
    let mut status = version.status.clone().unwrap();
    apply(keys, &version, &mut status);
    version.status = Some(status);
    assert_eq!(check(keys, &version), SealState::Current);
    serde_json::to_value(version).unwrap()
}

fn state(keys: &ArtifactKeys, version: &Value) -> SealState {
    check(keys, &serde_json::from_value(version.clone()).unwrap())
}

#[test]
fn every_field_that_serving_or_deletion_reads_is_covered() {
    let keys = keys();
    let honest = sealed(&keys);
    let mut alterations: Vec<(String, Value)> = vec![
        ("/metadata/name".into(), json!("other")),
        ("/metadata/namespace".into(), json!("other")),
        ("/spec/type".into(), json!("Module")),
        ("/spec/version".into(), json!("1.0.1")),
        ("/spec/operatingSystem".into(), json!("darwin")),
        ("/spec/architecture".into(), json!("arm64")),
        ("/status/sha256".into(), json!("c".repeat(64))),
        ("/status/h1".into(), json!("h1:other")),
        ("/status/publishedAt".into(), json!("2020-01-01T00:00:00Z")),
        ("/status/protocols".into(), json!(["5.0"])),
        ("/status/protocols".into(), json!(["6.0", "5.0"])),
        ("/status/protocols".into(), json!(["5.06.0"])),
        ("/status/releases".into(), json!([])),
        ("/status/releases".into(), json!([release("1")])),
        (
            "/status/releases".into(),
            json!([release("2"), release("1")]),
        ),
        ("/status/verdict".into(), Value::Null),
        ("/status/verdict/result".into(), json!("Block")),
        ("/status/verdict/reason".into(), json!("other")),
        ("/status/seal/mac".into(), json!("0".repeat(64))),
        ("/status/seal/keyId".into(), json!("00000000")),
        ("/status/seal".into(), Value::Null),
        // Places must not be able to change roles.
        ("/status/artifact".into(), place("two")),
    ];
    for at in ["artifact", "pending", "previous"] {
        alterations.push((format!("/status/{at}"), Value::Null));
        for (field, value) in [
            ("plugin", json!("other")),
            ("store", json!("file:///other")),
            ("key", json!("other")),
            ("fileName", json!("other.zip")),
            ("mediaType", json!("application/x-tar")),
            ("size", json!(8)),
            ("sha256", json!("d".repeat(64))),
        ] {
            alterations.push((format!("/status/{at}/{field}"), value));
        }
    }
    for (field, value) in [
        ("id", json!("3".repeat(64))),
        ("signature", json!("b3RoZXI=")),
        ("keyId", json!("FEDCBA9876543210")),
        ("signedAt", json!(6)),
        ("files", json!([])),
        ("files/0/os", json!("darwin")),
        ("files/0/arch", json!("arm64")),
        ("files/0/sha256", json!("e".repeat(64))),
        ("files/0/h1", json!("h1:z")),
        ("files/0/size", json!(9)),
    ] {
        alterations.push((format!("/status/releases/0/{field}"), value));
    }
    for (pointer, value) in alterations {
        let mut altered = honest.clone();
        let slot = altered
            .pointer_mut(&pointer)
            .unwrap_or_else(|| panic!("{pointer} is not there"));
        assert_ne!(*slot, value, "{pointer}");
        *slot = value;
        assert_eq!(state(&keys, &altered), SealState::Invalid, "{pointer}");
    }
}

#[test]
fn what_neither_reads_may_change_and_a_restored_backup_is_served() {
    let keys = keys();
    let honest = sealed(&keys);
    for (pointer, value) in [
        ("/metadata/uid", json!("u2")),
        ("/metadata/resourceVersion", json!("99")),
        ("/status/synced", json!(false)),
        ("/status/syncStatus", json!("other")),
    ] {
        let mut altered = honest.clone();
        *altered.pointer_mut(pointer).unwrap() = value;
        assert_eq!(state(&keys, &altered), SealState::Current, "{pointer}");
    }
}

#[test]
fn without_a_status_or_with_another_installations_key_nothing_is_ours() {
    let (keys, other) = (keys(), keys());
    let honest = sealed(&keys);
    assert_eq!(state(&other, &honest), SealState::Invalid);
    let mut bare = honest;
    bare.as_object_mut().unwrap().remove("status");
    assert_eq!(state(&keys, &bare), SealState::Invalid);
}
