//! What the scenarios publish and take away.

use crate::observe::Names;
use opendepot_tests::{Module, Release, Setup};
use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use tempfile::TempDir;

/// One module with a README and one provider of two platforms; it asks for a third that its
/// source does not have.
pub(crate) fn write_new(setup: &Setup) {
    tool().write(&setup.manifests());
    note(&["1.0.0"]).write(&setup.manifests());
}

/// The module alone.
pub(crate) fn write_tool(setup: &Setup) {
    tool().write(&setup.manifests());
}

/// The same module with other content.
pub(crate) fn write_other_tool(setup: &Setup) {
    write_other_source(&setup.manifests());
    let yaml = tool().yaml();
    fs::write(setup.manifests().join("tool.yaml"), yaml).unwrap();
}

/// Changes the content of the module's version.
pub(crate) fn write_other_source(manifests: &Path) {
    let other = tool()
        .file("README.md", "# Another tool\n")
        .file("more.tf", "locals {}\n");
    other.write_sources(manifests, "1.0.0");
}

pub(crate) fn tool() -> Module {
    Module::new("tool").file("README.md", "# A tool\n")
}

pub(crate) fn note(versions: &[&str]) -> Release {
    Release::new("note")
        .versions(versions)
        .platforms(&[("linux", "amd64"), ("darwin", "amd64")])
}

fn pair(versions: &[&str]) -> Module {
    Module::new("pair")
        .versions(versions)
        .file("README.md", "# A pair\n")
}

/// What the deletion starts from.
pub(crate) fn write_full(setup: &Setup) {
    let manifests = setup.manifests();
    tool().write(&manifests);
    pair(&["1.0.0", "1.1.0"]).write(&manifests);
    let note = note(&["1.0.0", "1.1.0"]);
    note.write(&manifests);
    write_note(&manifests, &note);
}

/// The resource without the platform that its source does not have: it adds points of kinds that
/// there are many of.
fn write_note(manifests: &Path, note: &Release) {
    let yaml = note.yaml().replace(", windows]", "]");
    fs::write(manifests.join("note.yaml"), yaml).unwrap();
}

/// Takes away a module, a version of another, a version of a provider, and one of its platforms,
/// so that the version that stays is signed anew.
pub(crate) fn take_away(setup: &Setup) {
    let manifests = setup.manifests();
    fs::remove_file(manifests.join("tool.yaml")).unwrap();
    let less = pair(&["1.1.0"]).yaml();
    fs::write(manifests.join("pair.yaml"), less).unwrap();
    let less = note(&["1.1.0"]).platforms(&[("linux", "amd64")]);
    write_note(&manifests, &less);
}

/// A second backend.
pub(crate) const ELSEWHERE: &str = "plugins:\n  - name: elsewhere\n    source: { builtin: storage-fs }\n    settings: { root: /depot }\n";

/// The module is to be kept there.
pub(crate) fn move_tool(setup: &Setup) {
    let place = "{ plugin: { name: elsewhere, settings: { directoryPath: /depot/moved } } }";
    let moved = tool().config(&format!("storageConfig: {place}"));
    fs::write(setup.manifests().join("tool.yaml"), moved.yaml()).unwrap();
}

pub(crate) fn names_new() -> Names {
    Names {
        modules: vec!["tool"],
        providers: vec!["note"],
        going: BTreeSet::new(),
    }
}

pub(crate) fn names_tool() -> Names {
    Names {
        providers: Vec::new(),
        ..names_new()
    }
}

pub(crate) fn names_full() -> Names {
    Names {
        modules: vec!["tool", "pair"],
        ..names_new()
    }
}

/// A folder on another disk than the one that setups are on.
pub(crate) fn other_disk() -> TempDir {
    let device = |path: &Path| fs::metadata(path).map(|found| found.dev()).ok();
    let own = device(&std::env::temp_dir());
    let others = ["/dev/shm", "/run", env!("CARGO_TARGET_TMPDIR")].map(Path::new);
    others
        .into_iter()
        .filter(|path| device(path).is_some_and(|other| Some(other) != own))
        .find_map(|path| {
            tempfile::Builder::new()
                .prefix("opendepot-")
                .tempdir_in(path)
                .ok()
        })
        .unwrap_or_else(|| panic!("no folder on another disk among {others:?}"))
}

/// Copies a folder; sockets are left out.
pub(crate) fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    fs::set_permissions(to, fs::metadata(from).unwrap().permissions()).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        let kind = entry.file_type().unwrap();
        if kind.is_dir() {
            copy(&entry.path(), &target);
        } else if kind.is_file() {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// What `take_away` takes away.
pub(crate) fn going() -> BTreeSet<String> {
    let names = [
        "module tool 1.0.0",
        "module pair 1.0.0",
        "provider note 1.0.0",
        "provider note 1.0.0 linux_amd64",
        "provider note 1.0.0 darwin_amd64",
        "provider note 1.1.0 darwin_amd64",
    ];
    names.map(str::to_owned).into()
}
