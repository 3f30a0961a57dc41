//! `cargo xtask wit_frozen`.

use anyhow::{Result, bail};

/// The command's arguments.
#[derive(clap::Args)]
pub(crate) struct Args {}

/// Runs the command.
///
/// # Errors
/// Always: the command does not exist yet.
pub(crate) fn run(_args: Args) -> Result<()> {
    bail!("`cargo xtask wit_frozen` is not built yet")
}
