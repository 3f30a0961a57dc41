//! vegeta, a load generator that keeps to a rate: built with Go.

use super::cache::Cache;
use super::{Found, How};
use crate::process::{capture, on_path};
use anyhow::{Result, bail};
use std::fs;
use std::process::Command;

const VERSION: &str = "12.13.0";
const GO_MOD: &str = include_str!("../../tools/vegeta/go.mod");
const GO_SUM: &str = include_str!("../../tools/vegeta/go.sum");
const GO_FILE: &str = include_str!("../../tools/vegeta/tools.go");

/// vegeta: on PATH in this version, cached, or built.
pub(super) fn vegeta(cache: &Cache) -> Result<Found> {
    let found = |path, how| Found {
        version: VERSION.to_owned(),
        path,
        how,
    };
    let is_right = |path: &std::path::PathBuf| {
        let said = capture(Command::new(path).arg("-version")).unwrap_or_default();
        said.lines()
            .any(|line| line.ends_with(&format!(" {VERSION}")))
    };
    if let Some(path) = on_path("vegeta").filter(is_right) {
        return Ok(found(path, How::OnPath));
    }
    let (dir, is_new) = cache.make(&format!("vegeta-{VERSION}"), |dir| {
        let Some(go) = on_path("go") else {
            bail!(
                "neither vegeta {VERSION} nor Go is on PATH; install Go 1.24 or newer (go.dev/dl), \
                 then run this again"
            );
        };
        eprintln!("building vegeta {VERSION} with Go: half a minute, once");
        let source = dir.join("source");
        fs::create_dir(&source)?;
        for (file, text) in [
            ("go.mod", GO_MOD),
            ("go.sum", GO_SUM),
            ("tools.go", GO_FILE),
        ] {
            fs::write(source.join(file), text)?;
        }
        let flags = format!("-s -w -X main.Version={VERSION}");
        capture(
            Command::new(go)
                .args(["build", "-ldflags", &flags, "-o"])
                .arg(dir.join("vegeta"))
                .arg("github.com/tsenart/vegeta/v12")
                .env_remove("GOOS")
                .env_remove("GOARCH")
                .current_dir(&source),
        )?;
        fs::remove_dir_all(source)?;
        Ok(())
    })?;
    let how = if is_new { How::Built } else { How::Cached };
    Ok(found(dir.join("vegeta"), how))
}
