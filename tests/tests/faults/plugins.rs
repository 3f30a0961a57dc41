//! `plugin check` says what a registry would do with a plugin, and why.

use opendepot_tests::server::binary;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The built-in plugins, which are folders like anybody's.
pub(crate) fn built(name: &str) -> PathBuf {
    let binary = binary();
    let folders = binary.ancestors().map(|dir| dir.join("plugins").join(name));
    let mut there = folders.filter(|folder| folder.join("plugin.yaml").exists());
    there.next().unwrap()
}

/// Exit code and all that is printed.
fn check(folder: &Path, more: &[&str]) -> (Option<i32>, String) {
    let output = Command::new(binary())
        .args(["plugin", "check"])
        .arg(folder)
        .args(more)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let said = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8(said).unwrap())
}

#[test]
fn a_plugin_is_described_and_its_entry_is_one_that_loads() {
    let folder = built("auth-groups");
    let (code, said) = check(&folder, &[]);
    assert_eq!(code, Some(0), "{said}");
    for part in [
        "world     auth",
        "imports   `opendepot:host/log@0.1.0`",
        "would load it",
    ] {
        assert!(said.contains(part), "{part}: {said}");
    }
    // What it prints is what an operator pastes.
    let dir = tempfile::tempdir().unwrap();
    let config = dir.path().join("config.yaml");
    let entry = said.split_once("plugins:\n").unwrap().1;
    fs::write(&config, format!("plugins:\n{entry}")).unwrap();
    let output = Command::new(binary())
        .args(["check-config", "--config"])
        .arg(&config)
        .arg("--data-dir")
        .arg(dir.path().join("data"))
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
}

#[test]
fn what_would_be_refused_is_refused_with_its_reason() {
    let dir = tempfile::tempdir().unwrap();
    let settings = dir.path().join("settings.yaml");
    let settings_at = ["--settings", settings.to_str().unwrap()];
    let storage = built("storage-fs");
    let (code, said) = check(&storage, &[]);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("operator.root: is required"), "{said}");
    assert!(said.contains("--settings FILE"), "{said}");
    fs::write(&settings, "root: /srv/artifacts\n").unwrap();
    let (code, said) = check(&storage, &settings_at);
    assert_eq!(code, Some(0), "{said}");
    fs::write(&settings, "root: [\n").unwrap();
    let (code, said) = check(&storage, &settings_at);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("settings.yaml"), "{said}");

    let junk = dir.path().join("junk");
    fs::create_dir(&junk).unwrap();
    let (code, said) = check(&junk, &[]);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("plugin.yaml"), "{said}");
    fs::copy(
        built("auth-groups").join("plugin.yaml"),
        junk.join("plugin.yaml"),
    )
    .unwrap();
    let wasm = fs::read_dir(built("auth-groups"))
        .unwrap()
        .find_map(|entry| {
            let path = entry.unwrap().path();
            (path.extension()? == "wasm").then_some(path)
        });
    fs::write(junk.join(wasm.unwrap().file_name().unwrap()), "junk").unwrap();
    let (code, said) = check(&junk, &[]);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("not a wasm component"), "{said}");
    let (code, said) = check(&dir.path().join("nowhere"), &[]);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("nowhere"), "{said}");
}

#[test]
fn a_component_alone_is_described() {
    let component = built("auth-groups").join("plugin.wasm");
    let (code, said) = check(&component, &[]);
    assert_eq!(code, Some(0), "{said}");
    for part in [
        "world     auth, `opendepot:auth/policy@0.1.0`",
        "sha256    ",
        "imports   `opendepot:host/log@0.1.0`",
        "needs     settings: rules: is required",
        "a registry would load it",
    ] {
        assert!(said.contains(part), "{part}: {said}");
    }
    let dir = tempfile::tempdir().unwrap();
    let settings = dir.path().join("settings.yaml");
    let settings_at = ["--settings", settings.to_str().unwrap()];
    fs::write(&settings, "rules: []\n").unwrap();
    let (code, said) = check(&component, &settings_at);
    assert_eq!(code, Some(0), "{said}");
    assert!(!said.contains("needs"), "{said}");
    fs::write(&settings, "rulez: []\n").unwrap();
    let (code, said) = check(&component, &settings_at);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("did you mean `rules`?"), "{said}");
}

#[test]
fn a_component_of_no_known_world_is_told_what_would_be_accepted() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("plugin.wasm");
    let accepted = "accepted is exactly one of `opendepot:storage/backend@0.1.0`, `opendepot:auth/policy@0.1.0` \
                    and `opendepot:scan/post-processor@0.1.0`";
    for (exports, imports, expected) in [
        (&[][..], "", "exports no known world"),
        (
            &[
                "opendepot:auth/policy@0.1.0",
                "opendepot:scan/post-processor@0.1.0",
            ],
            "",
            "exports both the auth and the scan world",
        ),
        (
            &["opendepot:auth/policy@0.2.0"],
            "",
            "exports `opendepot:auth/policy@0.2.0`, a version that this host does not speak",
        ),
        (
            &["opendepot:auth/policy@0.1.0"],
            r#"(import "wasi:cli/environment@0.2.0" (instance))"#,
            "imports `wasi:cli/environment@0.2.0`",
        ),
    ] {
        let exports: String = exports
            .iter()
            .map(|name| format!("(export \"{name}\" (instance $i))"))
            .collect();
        let text = format!("(component {imports} (instance $i) {exports})");
        fs::write(&file, wat::parse_str(&text).unwrap()).unwrap();
        let (code, said) = check(&file, &[]);
        assert_eq!(code, Some(1), "{said}");
        assert!(said.contains(expected), "{expected}: {said}");
        assert!(said.contains(accepted) || !imports.is_empty(), "{said}");
    }
}
