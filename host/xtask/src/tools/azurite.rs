//! Azurite, which answers as Azure Blob Storage does: from the npm registry.

use super::cache::Cache;
use super::{Found, How};
use crate::process::{capture, on_path};
use anyhow::{Result, bail};
use std::fs;
use std::path::Path;
use std::process::Command;

const VERSION: &str = "3.37.0";
/// Everything that it consists of, with a digest each.
const SOURCES: [(&str, &str); 2] = [
    (
        "package.json",
        include_str!("../../tools/azurite/package.json"),
    ),
    (
        "package-lock.json",
        include_str!("../../tools/azurite/package-lock.json"),
    ),
];
const PROGRAM: &str = "azurite-blob";

/// `azurite-blob`: on PATH in this version, cached, or fetched.
pub(super) fn azurite(cache: &Cache) -> Result<Found> {
    let found = |path: &Path, how| Found {
        version: VERSION.to_owned(),
        path: path.to_owned(),
        how,
    };
    if let Some(path) = on_path(PROGRAM).filter(|path| is_right(path)) {
        return Ok(found(&path, How::OnPath));
    }
    let (dir, is_new) = cache.make(&format!("azurite-{VERSION}"), |dir| {
        let Some(npm) = on_path("npm") else {
            // It asks for Node.js 22, for parts of it that do not run here.
            bail!("npm is not on PATH; install Node.js 20 or newer, then run this again");
        };
        eprintln!("fetching Azurite {VERSION} (npm package azurite and 450 that it needs)");
        for (file, text) in SOURCES {
            fs::write(dir.join(file), text)?;
        }
        capture(
            Command::new(npm)
                .args(["ci", "--ignore-scripts", "--no-audit", "--no-fund"])
                .current_dir(dir),
        )?;
        if !is_right(&program(dir)) {
            bail!("the Azurite that was fetched does not say that it is version {VERSION}");
        }
        Ok(())
    })?;
    let how = if is_new { How::Fetched } else { How::Cached };
    Ok(found(&program(&dir), how))
}

/// A script that node runs.
fn program(dir: &Path) -> std::path::PathBuf {
    dir.join("node_modules/.bin").join(PROGRAM)
}

fn is_right(path: &Path) -> bool {
    let said = capture(Command::new(path).arg("--version"));
    said.is_ok_and(|said| said.lines().any(|line| line.trim() == VERSION))
}
