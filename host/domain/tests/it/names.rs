//! Names and bytes to be hashed: nothing hostile gets in, nothing different comes out the same.

use opendepot_domain::artifact::{
    collision_suffix, derived_file_name, module_version_name, provider_file_name,
    provider_version_name,
};
use opendepot_domain::canonical::Canonical;
use opendepot_domain::{
    ArtifactId, ArtifactKind, ConfigName, FileName, Namespace, Platform, PluginId, ResourceName,
    Sha256, Version,
};
use proptest::prelude::*;
use std::path::{Component, Path};

/// Text in which accepted characters and hostile ones are both common.
fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        "[a-zA-Z0-9._-]{0,70}",
        "[a-z0-9-]{0,70}",
        "[a-z./\\\\%?#\\x00\\n: ~]{0,12}",
        "\\PC{0,20}",
        "[a-z0-9._-]{120,135}"
    ]
}

fn is_safe(name: &str) -> Result<(), TestCaseError> {
    prop_assert!(!name.is_empty() && name.len() <= 128);
    prop_assert!(name.is_ascii() && !name.contains(".."));
    prop_assert!(!name.chars().any(char::is_control));
    prop_assert!(!name.contains(['/', '\\', '%', '?', '#', ':', ' ', '"', '\'', '&', '=', '+']));
    prop_assert!(!name.starts_with(['.', '-', '_']));
    // One plain segment of a path.
    let components: Vec<_> = Path::new(name).components().collect();
    prop_assert_eq!(components, [Component::Normal(name.as_ref())]);
    Ok(())
}

fn label() -> impl Strategy<Value = String> {
    "[a-z0-9]([a-z0-9-]{0,8}[a-z0-9])?"
}

fn id() -> impl Strategy<Value = ArtifactId> {
    let platform = prop::option::of((
        prop::sample::select(vec!["linux", "darwin"]),
        prop::sample::select(vec!["amd64", "arm64"]),
    ));
    (
        label(),
        label(),
        (0..3_u8, 0..3_u8, 0..3_u8),
        prop::option::of("[a-z]{1,3}"),
        platform,
    )
        .prop_map(|(namespace, name, (major, minor, patch), pre, platform)| {
            let pre = pre.map(|pre| format!("-{pre}")).unwrap_or_default();
            ArtifactId {
                namespace: Namespace::new(namespace).unwrap(),
                kind: if platform.is_some() {
                    ArtifactKind::Provider
                } else {
                    ArtifactKind::Module
                },
                name: ResourceName::new(name).unwrap(),
                version: Version::parse(&format!("{major}.{minor}.{patch}{pre}")).unwrap(),
                platform: platform.map(|(os, arch)| Platform::new(os, arch).unwrap()),
            }
        })
}

proptest! {
    #[test]
    fn what_a_name_type_accepts_is_safe_anywhere(text in text()) {
        let labels = [
            Namespace::new(text.clone()).map(String::from),
            ResourceName::new(text.clone()).map(String::from),
            PluginId::new(text.clone()).map(String::from),
        ];
        for name in labels.into_iter().flatten() {
            is_safe(&name)?;
            prop_assert!(name.len() <= 63 && !name.ends_with('-'));
            prop_assert!(name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-'));
        }
        for name in [ConfigName::new(text.clone()).map(String::from), FileName::new(text.clone()).map(String::from)].into_iter().flatten() {
            is_safe(&name)?;
            prop_assert_eq!(&name, &text);
        }
        if let Ok(platform) = Platform::new(&text, &text) {
            is_safe(platform.os())?;
            prop_assert!(!platform.os().contains(['_', '-', '.']));
        }
    }

    #[test]
    fn what_is_refused_says_so_without_repeating_control_characters(text in "\\PC{0,10}[\\x00-\\x1f]{1,3}\\PC{0,200}") {
        let error = Namespace::new(text).unwrap_err();
        let said = error.to_string();
        prop_assert!(!said.chars().any(char::is_control), "{:?}", said);
        prop_assert!(error.value.chars().count() <= 80);
    }

    #[test]
    fn different_fields_are_different_bytes(
        one in prop::collection::vec("[ab\\x00]{0,3}", 0..5),
        other in prop::collection::vec("[ab\\x00]{0,3}", 0..5),
    ) {
        let bytes = |fields: &[String]| {
            let mut canonical = Canonical::new("t");
            for field in fields {
                canonical.field(field);
            }
            canonical.as_bytes().to_vec()
        };
        prop_assert_eq!(bytes(&one) == bytes(&other), one == other);
        // A domain is no field of another's.
        let mut shifted = Canonical::new("");
        shifted.field("t");
        prop_assert_ne!(bytes(&one), shifted.as_bytes());
    }

    #[test]
    fn suffixes_and_file_names_are_of_one_artifact_alone(one in id(), other in id(), bytes in any::<[u8; 32]>()) {
        let digest = Sha256::from_bytes(bytes);
        let suffix = collision_suffix(&one);
        prop_assert_eq!(suffix.len(), 8);
        prop_assert!(suffix.bytes().all(|byte| byte.is_ascii_hexdigit() && !byte.is_ascii_uppercase()));
        prop_assert_eq!(collision_suffix(&one), suffix);
        let file = derived_file_name(&one, &digest, "zip").unwrap();
        is_safe(file.as_str())?;
        prop_assert_eq!(derived_file_name(&one, &digest, "zip").unwrap(), file.clone());
        prop_assert_eq!(derived_file_name(&other, &digest, "zip").unwrap() == file, one == other);
        let another = derived_file_name(&one, &Sha256::of(&bytes), "zip").unwrap();
        prop_assert_ne!(another, file);
        // The suffix tells owners and versions apart; the namespace is the object's own.
        let same = (&one.kind, &one.name, &one.version, &one.platform) == (&other.kind, &other.name, &other.version, &other.platform);
        prop_assert_eq!(collision_suffix(&other) == collision_suffix(&one), same);
    }

    #[test]
    fn object_names_are_kubernetes_names(config in "[a-zA-Z0-9]([a-zA-Z0-9_-]|\\.[a-zA-Z0-9]){0,20}", id in id()) {
        let Ok(config) = ConfigName::new(config) else { return Ok(()) };
        let platform = Platform::new("linux", "amd64").unwrap();
        for name in [module_version_name(&config, &id.version), provider_version_name(&config, &id.version, &platform)] {
            prop_assert!(name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-'), "{}", name);
            prop_assert!(name.starts_with(|first: char| first.is_ascii_alphanumeric()));
            prop_assert!(name.ends_with(|last: char| last.is_ascii_alphanumeric()));
        }
        let file = provider_file_name(&id.name, &id.version, &platform);
        prop_assert!(file.starts_with("terraform-provider-") && file.ends_with("_linux_amd64.zip"));
        prop_assert!(!file.contains(['/', ' ', '"', '\n']));
    }

    #[test]
    fn digests_are_read_as_they_are_printed(bytes in any::<[u8; 32]>(), text in "\\PC{0,70}") {
        let digest = Sha256::from_bytes(bytes);
        prop_assert_eq!(Sha256::from_hex(&digest.to_string()).unwrap(), digest);
        prop_assert_eq!(Sha256::from_base64(&digest.to_base64()).unwrap(), digest);
        let _ = (Sha256::from_hex(&text), Sha256::from_base64(&text));
    }
}
