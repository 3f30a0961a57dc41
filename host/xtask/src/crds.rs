//! `cargo xtask crds`: the CustomResourceDefinitions, printed or as files.

use crate::{process, workspace};
use anyhow::{Context, Result};
use std::fs;
use std::path::PathBuf;

/// The command's arguments.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Writes one file a definition into this folder instead of printing them.
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
}

/// Prints or writes the definitions.
///
/// # Errors
/// When they cannot be built or written.
pub(crate) fn run(args: Args) -> Result<()> {
    let mut command = process::cargo();
    command
        .args(["run", "--quiet", "--package", "opendepot-crds"])
        .args(["--example", "definitions"])
        .current_dir(workspace::root()?);
    let stream = process::capture(&mut command)?;
    let Some(dir) = args.dir else {
        print!("{stream}");
        return Ok(());
    };
    fs::create_dir_all(&dir).with_context(|| format!("cannot create `{}`", dir.display()))?;
    for definition in stream.split("---\n").filter(|text| !text.trim().is_empty()) {
        let name = definition
            .lines()
            .find_map(|line| line.strip_prefix("  name: "))
            .context("a definition has no name")?;
        let file = dir.join(format!("{name}.yaml"));
        fs::write(&file, definition)
            .with_context(|| format!("cannot write `{}`", file.display()))?;
        println!("Written: {}", file.display());
    }
    Ok(())
}
