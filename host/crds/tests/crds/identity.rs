//! The rules of Version and GroupBinding: identity never changes, texts have their form.

use crate::support::{accepts, object, problems, refuses};
use serde_json::{Value, json};

fn module_version() -> Value {
    json!({"type": "Module", "version": "1.0.0", "moduleConfigRef": {"name": "vpc"}})
}

fn provider_version() -> Value {
    json!({"type": "Provider", "version": "1.0.0", "operatingSystem": "linux", "architecture": "amd64", "providerConfigRef": {"name": "null"}})
}

#[test]
fn a_version_has_the_reference_of_its_type() {
    accepts("Version", module_version());
    accepts("Version", provider_version());
    accepts(
        "Version",
        json!({"type": "Module", "version": "4.3.0", "moduleConfigRef": {}}),
    );
    let with = |mut spec: Value, field: &str, value: Value| {
        spec[field] = value;
        spec
    };
    refuses(
        "Version",
        with(module_version(), "providerConfigRef", json!({})),
        "of type Module has",
    );
    refuses(
        "Version",
        with(provider_version(), "moduleConfigRef", json!({})),
        "of type Module has",
    );
    refuses(
        "Version",
        with(module_version(), "type", json!("Provider")),
        "of type Module has",
    );
    refuses(
        "Version",
        json!({"type": "Module", "version": "1.0.0"}),
        "of type Module has",
    );
    refuses(
        "Version",
        with(module_version(), "type", json!("Other")),
        "not one of",
    );
    for bad in ["../x", "a/b", "x\r\ny", "\"q\""] {
        refuses(
            "Version",
            with(module_version(), "fileName", json!(bad)),
            "fileName",
        );
    }
}

#[test]
fn what_a_version_is_never_changes() {
    let change = |old: Value, path: &str, value: Value| {
        let old = object("Version", old);
        let mut new = old.clone();
        match value {
            Value::Null => {
                let (parent, field) = path.rsplit_once('/').unwrap();
                new.pointer_mut(parent)
                    .unwrap()
                    .as_object_mut()
                    .unwrap()
                    .remove(field);
            }
            value => {
                let (parent, field) = path.rsplit_once('/').unwrap();
                new.pointer_mut(parent).unwrap()[field] = value;
            }
        }
        problems("Version", &new, Some(&old))
    };
    assert!(change(module_version(), "/spec/forceSync", json!(true)).is_empty());
    assert!(change(module_version(), "/spec/fileName", json!("x.zip")).is_empty());
    assert!(
        change(
            module_version(),
            "/spec/moduleConfigRef/immutable",
            json!(true)
        )
        .is_empty()
    );
    for (path, value, message) in [
        ("/spec/version", json!("1.0.1"), "version is immutable"),
        ("/spec/version", json!("v1.0.0"), "version is immutable"),
        (
            "/spec/moduleConfigRef/name",
            json!("other"),
            "moduleConfigRef.name is immutable",
        ),
        (
            "/spec/moduleConfigRef/name",
            Value::Null,
            "moduleConfigRef.name is immutable",
        ),
        ("/spec/type", json!("Provider"), "type is immutable"),
    ] {
        let found = change(module_version(), path, value);
        assert!(
            found.iter().any(|p| p.contains(message)),
            "{path}: {found:?}"
        );
    }
    for (path, value, message) in [
        (
            "/spec/providerConfigRef/name",
            json!("other"),
            "providerConfigRef.name is immutable",
        ),
        (
            "/spec/operatingSystem",
            json!("darwin"),
            "operatingSystem and architecture are immutable",
        ),
        (
            "/spec/architecture",
            Value::Null,
            "operatingSystem and architecture are immutable",
        ),
    ] {
        let found = change(provider_version(), path, value);
        assert!(
            found.iter().any(|p| p.contains(message)),
            "{path}: {found:?}"
        );
    }
    // The original leaves the name out at first; a controller may fill it in once.
    let nameless = json!({"type": "Provider", "version": "1.0.0", "providerConfigRef": {}});
    assert!(change(nameless, "/spec/providerConfigRef/name", json!("null")).is_empty());
}

#[test]
fn bindings_are_bounded() {
    let binding = json!({"expression": "\"platform\" in groups", "moduleResources": ["*"], "providerResources": ["aws"], "namespaces": ["team-*"]});
    accepts("GroupBinding", binding.clone());
    accepts(
        "GroupBinding",
        json!({"expression": "this is [[ not valid expr"}),
    );
    for (field, value) in [
        ("expression", json!("")),
        ("expression", json!("x".repeat(4_097))),
        ("moduleResources", json!(vec!["a"; 257])),
        ("providerResources", json!(["a".repeat(254)])),
        ("namespaces", json!([""])),
    ] {
        let mut spec = binding.clone();
        spec[field] = value;
        refuses("GroupBinding", spec, field);
    }
    refuses("GroupBinding", json!({}), "\"expression\" is required");
}

#[test]
fn digests_in_status_have_their_form() {
    let with = |status: Value| {
        let mut object = object("Version", module_version());
        object["status"] = status;
        problems("Version", &object, None)
    };
    let digest = opendepot_domain::Sha256::of(b"x");
    assert!(with(json!({"synced": true, "syncStatus": "s", "checksum": digest.to_base64(), "sha256": digest.to_string()})).is_empty());
    assert!(!with(json!({"checksum": digest.to_string()})).is_empty());
    assert!(!with(json!({"sha256": digest.to_string().to_uppercase()})).is_empty());
    assert!(!with(json!({"checksum": "abc"})).is_empty());
    assert!(!with(json!({"verdict": {"result": "Maybe"}})).is_empty());
    assert!(!with(json!({"releases": [{"id": digest.to_string()}]})).is_empty());
}
