//! The release build of the product: the plugins, then the binary that finds them beside itself.

use crate::process::{cargo, run, shown};
use crate::workspace;
use anyhow::{Context, Result};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Builds the plugins, by this program's own command.
pub(crate) fn plugins() -> Result<()> {
    let own = std::env::current_exe().context("cannot find this program")?;
    run(Command::new(own).arg("plugins")).context("cannot build the plugins")
}

/// Builds the plugins and the release binary; returns the binary. With `OPENDEPOT_BIN` set,
/// nothing is built and that binary is taken.
pub(crate) fn release(root: &Path) -> Result<PathBuf> {
    if let Some(binary) = std::env::var_os("OPENDEPOT_BIN").filter(|path| !path.is_empty()) {
        return Ok(root.join(binary));
    }
    plugins()?;
    let mut command = cargo();
    command
        .args(["build", "--release", "--package", "opendepot"])
        .current_dir(root);
    eprintln!("running {} (some minutes the first time)", shown(&command));
    run(&mut command)?;
    Ok(workspace::target(root).join("release/opendepot"))
}

/// What the feature `fault-injection` compiles anew: in seconds, without optimising it.
const FAULTY: [&str; 6] = [
    "opendepot",
    "opendepot-actors",
    "opendepot-api",
    "opendepot-controller",
    "opendepot-transfer",
    "opendepot-upstream",
];

/// Builds the binary that kills itself at a chosen step; returns it. With `OPENDEPOT_FAULT_BIN`
/// set, nothing is built and that binary is taken.
///
/// It takes every other crate from the release build. Only the result goes elsewhere, so that
/// nobody ever finds it in the product's place.
pub(crate) fn fault_injecting(root: &Path) -> Result<PathBuf> {
    if let Some(binary) = std::env::var_os("OPENDEPOT_FAULT_BIN").filter(|path| !path.is_empty()) {
        return Ok(root.join(binary));
    }
    let target = workspace::target(root);
    let folder = target.join("fault-injection");
    let mut command = cargo();
    command
        .args(["build", "--release", "--package", "opendepot"])
        .args(["--features", "fault-injection", "--target-dir"])
        .arg(&folder)
        .args(FAULTY.iter().flat_map(|name| {
            let option = |text| {
                [
                    "--config".to_owned(),
                    format!("profile.release.package.{name}.{text}"),
                ]
            };
            [option("opt-level=0"), option("debug=false")].concat()
        }))
        .env("CARGO_BUILD_BUILD_DIR", &target)
        .current_dir(root);
    eprintln!(
        "building `{}` from the release build and crates with the feature fault-injection",
        folder.join("opendepot").display()
    );
    run(&mut command)?;
    // The built-in plugins are looked for one folder above the binary.
    let (from, binary) = (folder.join("release/opendepot"), folder.join("opendepot"));
    std::fs::copy(&from, &binary).with_context(|| format!("cannot copy `{}`", from.display()))?;
    Ok(binary)
}
