//! Sources outside: a stand-in for GitHub and for a provider registry, and (`live`) the real ones
//! where a network exists.

#![expect(
    clippy::unwrap_used,
    reason = "tests: the way they report is to panic with what they saw"
)]

mod github;
mod live;
mod registry;

use opendepot_tests::Setup;
use opendepot_tests::fixture::{NAMESPACE, write};
use std::fmt::Write as _;

/// Writes a Module whose source is GitHub.
fn github_module(setup: &Setup, name: &str, source: &str, versions: &[&str]) {
    let mut yaml = format!(
        "apiVersion: opendepot.defdev.io/v1alpha1\nkind: Module\nmetadata:\n  name: \"{name}\"\n  \
         namespace: {NAMESPACE}\nspec:\n  moduleConfig:\n    name: {name}\n    provider: local\n    \
         source:\n      github: {source}\n  versions:\n"
    );
    for version in versions {
        writeln!(yaml, "    - version: \"{version}\"").unwrap();
    }
    write(
        &setup.manifests().join(format!("{name}.yaml")),
        yaml.as_bytes(),
    );
}

/// Writes a Provider that is mirrored from the configured provider registry.
fn mirrored_provider(setup: &Setup, name: &str, organisation: &str, more: &str, versions: &[&str]) {
    let mut yaml = format!(
        "apiVersion: opendepot.defdev.io/v1alpha1\nkind: Provider\nmetadata:\n  name: \"{name}\"\n  \
         namespace: {NAMESPACE}\nspec:\n  providerConfig:\n    name: \"{name}\"\n    \
         namespace: {organisation}\n    operatingSystems: [linux]\n    \
         architectures: [amd64, arm64]\n{more}  versions:\n"
    );
    for version in versions {
        writeln!(yaml, "    - version: \"{version}\"").unwrap();
    }
    write(
        &setup.manifests().join(format!("{name}.yaml")),
        yaml.as_bytes(),
    );
}
