//! Objects as an installation of the original stores them: they decode, and the schema takes them.

use opendepot_crds::{
    ConditionType, Depot, Error, GroupBinding, Module, ModuleOrigin, Provider, Version,
    VersionType, conditions,
};
use opendepot_domain::ArtifactKind;
use serde_json::{Value, json};

fn object(kind: &str, name: &str, spec: Value, status: Value) -> Value {
    json!({
        "apiVersion": "opendepot.defdev.io/v1alpha1",
        "kind": kind,
        "metadata": {"name": name, "namespace": "opendepot-system", "uid": "00000000-0000-0000-0000-000000000001"},
        "spec": spec,
        "status": status,
    })
}

#[track_caller]
fn accepted(kind: &str, value: &Value) {
    let found = crate::support::problems(kind, value, None);
    assert!(found.is_empty(), "{kind}: {found:?}");
}

#[test]
fn depot() {
    let value = object(
        "Depot",
        "all",
        json!({
            "global": {
                "githubClientConfig": {"useAuthenticatedClient": true},
                "moduleConfig": {"fileFormat": "zip", "immutable": true},
                "storageConfig": {"fileSystem": {"directoryPath": "/data/modules"}},
            },
            "moduleConfigs": [{"name": "terraform-aws-key-pair", "provider": "aws", "repoOwner": "terraform-aws-modules", "versionConstraints": "= 2.0.0", "versionHistoryLimit": 3}],
            "providerConfigs": [{"name": "random", "operatingSystems": ["linux"], "architectures": ["amd64"], "versionConstraints": "= 3.6.0"}],
            "pollingIntervalMinutes": 60,
        }),
        json!({"modules": ["terraform-aws-key-pair"], "providers": ["random"]}),
    );
    accepted("Depot", &value);
    let depot: Depot = serde_json::from_value(value).unwrap();
    let module = depot.spec.effective_module(&depot.spec.module_configs[0]);
    assert!(module.is_immutable() && module.storage_config.is_some());
    assert_eq!(depot.status.unwrap().modules, ["terraform-aws-key-pair"]);
}

#[test]
fn module_with_extra_fields_in_versions() {
    let value = object(
        "Module",
        "terraform-aws-key-pair",
        json!({
            "forceSync": false,
            "moduleConfig": {
                "name": "terraform-aws-key-pair", "provider": "aws", "repoOwner": "terraform-aws-modules", "fileFormat": "tar",
                "repoUrl": "https://github.com/terraform-aws-modules/terraform-aws-key-pair",
                "storageConfig": {"s3": {"bucket": "modules", "region": "eu-west-1", "key": "team"}, "presign": {"enabled": true, "ttl": "15m0s", "fallbackToProxy": true}},
            },
            "versions": [{"version": "v2.0.0", "name": "n", "fileName": "f.zip", "synced": true}, {"version": "2.0.1"}],
        }),
        json!({
            "latestVersion": "v2.0.1", "synced": true, "syncStatus": "Successfully synced module",
            "moduleVersionRefs": {"v2.0.0": {"name": "terraform-aws-key-pair-2-0-0", "fileName": "019726b3-0000-7000-8000-000000000000.tar"}},
        }),
    );
    accepted("Module", &value);
    let module: Module = serde_json::from_value(value).unwrap();
    assert_eq!(
        module.spec.versions[0].parsed().unwrap().to_string(),
        "2.0.0"
    );
    let ModuleOrigin::Github {
        owner, repository, ..
    } = module
        .spec
        .module_config
        .origin("terraform-aws-key-pair")
        .unwrap()
    else {
        panic!("not GitHub");
    };
    assert_eq!(
        (owner.as_str(), repository.as_str()),
        ("terraform-aws-modules", "terraform-aws-key-pair")
    );
    let status = module.status.unwrap();
    assert!(status.synced && status.conditions.is_empty());
    assert!(!conditions::is_true(
        &status.conditions,
        ConditionType::Ready
    ));
}

#[test]
fn provider_of_the_seed_version() {
    let value = object(
        "Provider",
        "null",
        json!({
            "providerConfig": {"name": "null", "namespace": "hashicorp", "operatingSystems": ["linux", "darwin"], "architectures": ["amd64", "arm64"], "sourceRepository": "https://github.com/hashicorp/terraform-provider-null"},
            "versions": [{"version": "3.2.3", "operatingSystem": "linux", "architecture": "amd64"}],
        }),
        json!({
            "latestVersion": "v3.2.3", "synced": true, "syncStatus": "Successfully synced provider",
            "providerVersionRefs": {"3.2.3-linux-amd64": {"name": "null-3-2-3-linux-amd64", "version": "3.2.3", "operatingSystem": "linux", "architecture": "amd64"}},
            "sourceScan": {"scannedAt": "2026-01-01T00:00:00Z", "version": "3.2.3", "findings": [{"vulnerabilityID": "CVE-2024-1", "pkgName": "golang.org/x/net", "installedVersion": "v0.1.0", "severity": "HIGH"}]},
        }),
    );
    accepted("Provider", &value);
    let provider: Provider = serde_json::from_value(value).unwrap();
    assert_eq!(
        provider
            .status
            .unwrap()
            .source_scan
            .unwrap()
            .version
            .as_deref(),
        Some("3.2.3")
    );
}

#[test]
fn module_version_with_a_full_config() {
    let digest = opendepot_domain::Sha256::of(b"bytes");
    let value = object(
        "Version",
        "terraform-aws-key-pair-2-0-0",
        json!({
            "type": "Module", "version": "2.0.0", "fileName": "019726b3-0000-7000-8000-000000000000.zip", "forceSync": false,
            "moduleConfigRef": {
                "name": "terraform-aws-key-pair", "provider": "aws", "repoOwner": "terraform-aws-modules", "fileFormat": "zip", "immutable": false,
                "versionHistoryLimit": 2, "githubClientConfig": {"useAuthenticatedClient": false},
                "storageConfig": {"fileSystem": {"directoryPath": "/data/modules"}},
            },
        }),
        json!({
            "synced": true, "syncStatus": "Successfully synced version", "checksum": digest.to_base64(), "archiveSizeBytes": 4711,
            "sourceScan": {"scannedAt": "2026-01-01T00:00:00Z", "findings": [{"vulnerabilityID": "AVD-AWS-0057", "pkgName": "aws_iam_policy.x", "installedVersion": "", "severity": "HIGH", "title": "t"}]},
            "readmeConfigMapRef": {"name": "terraform-aws-key-pair-2-0-0-readme", "key": "README.md"},
        }),
    );
    accepted("Version", &value);
    let version: Version = serde_json::from_value(value.clone()).unwrap();
    assert_eq!(version.spec.kind().unwrap(), ArtifactKind::Module);
    assert_eq!(version.spec.platform().unwrap(), None);
    let status = version.status.clone().unwrap();
    assert_eq!(status.digest().unwrap(), Some(digest));
    assert!(status.seal.is_none() && status.artifact.is_none());
    // What we write back says the same.
    let written = serde_json::to_value(&version).unwrap();
    assert_eq!(
        written["spec"]["moduleConfigRef"],
        value["spec"]["moduleConfigRef"]
    );
    assert_eq!(written["status"], value["status"]);
}

#[test]
fn versions_that_are_half_written_or_odd() {
    let partial = object(
        "Version",
        "x",
        json!({"type": "Provider", "version": "3.2.3", "providerConfigRef": {}}),
        json!({"checksum": "abc123"}),
    );
    let version: Version = serde_json::from_value(partial).unwrap();
    let status = version.status.unwrap();
    assert!(!status.synced && status.sync_status.is_empty());
    assert!(status.digest().is_err());
    assert!(matches!(
        version.spec.platform(),
        Err(Error::Missing { .. })
    ));

    let odd = object(
        "Version",
        "x",
        json!({"type": "Other", "version": "latest", "moduleConfigRef": {}, "providerConfigRef": {}}),
        json!({"verdict": {"result": "?"}, "conditions": []}),
    );
    let version: Version = serde_json::from_value(odd).unwrap();
    assert_eq!(version.spec.type_, VersionType::Unknown);
    assert!(version.spec.kind().is_err() && version.spec.parsed().is_err());
    assert!(version.spec.has_both_refs());
}

#[test]
fn group_binding_of_the_original_covers_every_namespace() {
    let value = object(
        "GroupBinding",
        "platform",
        json!({"expression": "\"platform\" in groups", "moduleResources": ["*"], "providerResources": ["aws"]}),
        json!({"conditions": []}),
    );
    accepted("GroupBinding", &value);
    let binding: GroupBinding = serde_json::from_value(value).unwrap();
    assert_eq!(binding.spec.namespaces, None);
}
