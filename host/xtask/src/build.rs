//! The release build of the product: the plugins, then the binary that finds them beside itself.

use crate::process::{run, shown};
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
    let mut command = Command::new("cargo");
    command
        .args(["build", "--release", "--package", "opendepot"])
        .current_dir(root);
    eprintln!("running {} (some minutes the first time)", shown(&command));
    run(&mut command)?;
    Ok(workspace::target(root).join("release/opendepot"))
}

/// Builds, unoptimised, the binary that kills itself at a chosen step; returns it.
pub(crate) fn fault_injecting(root: &Path) -> Result<PathBuf> {
    let mut command = Command::new("cargo");
    command
        .args([
            "build",
            "--package",
            "opendepot",
            "--features",
            "fault-injection",
        ])
        .current_dir(root);
    eprintln!("running {}", shown(&command));
    run(&mut command)?;
    Ok(workspace::target(root).join("debug/opendepot"))
}
