//! cargo-deny, from source.

use super::cache::Cache;
use super::{Found, How};
use crate::process::{on_path, output, run};
use anyhow::Result;
use std::path::Path;
use std::process::Command;

const VERSION: &str = "0.20.2";

/// cargo-deny: on PATH in this version, cached, or compiled.
pub(super) fn cargo_deny(cache: &Cache) -> Result<Found> {
    let found = |path: &Path, how| Found {
        version: VERSION.to_owned(),
        path: path.to_owned(),
        how,
    };
    if let Some(path) = on_path("cargo-deny").filter(|path| is_right(path)) {
        return Ok(found(&path, How::OnPath));
    }
    let (dir, is_new) = cache.make(&format!("cargo-deny-{VERSION}"), |dir| {
        eprintln!("compiling cargo-deny {VERSION}: a few minutes, once");
        // A target folder of its own, so that the clone's is not locked meanwhile.
        run(Command::new("cargo")
            .args([
                "install",
                "--locked",
                "--quiet",
                "cargo-deny",
                "--version",
                VERSION,
            ])
            .arg("--root")
            .arg(dir)
            .env("CARGO_TARGET_DIR", dir.join("target"))
            .current_dir(dir))?;
        Ok(std::fs::remove_dir_all(dir.join("target"))?)
    })?;
    let how = if is_new { How::Built } else { How::Cached };
    Ok(found(&dir.join("bin/cargo-deny"), how))
}

fn is_right(path: &Path) -> bool {
    output(Command::new(path).arg("--version")).is_ok_and(|said| {
        String::from_utf8_lossy(&said.stdout).trim() == format!("cargo-deny {VERSION}")
    })
}
