//! The example provider as goreleaser would release it: for each version a folder with a zip a
//! platform, SHA256SUMS and the manifest.

use super::cache::Cache;
use super::{Found, How};
use crate::process::{capture, on_path};
use crate::workspace;
use anyhow::{Context, Result, bail};
use sha2::{Digest, Sha256};
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use zip::write::SimpleFileOptions;

/// The versions that are released; two, so that an upgrade can be tried.
const PROVIDER_VERSIONS: [&str; 2] = ["1.0.0", "1.1.0"];

const MANIFEST: &str = r#"{"version": 1, "metadata": {"protocol_versions": ["6.0"]}}"#;
/// Raised when the layout below changes, so that old folders are not reused.
const LAYOUT: &str = "1";

/// The folder that holds `1.0.0/` and `1.1.0/`. The cache's name of it is the digest of the
/// sources, so an edit builds it anew.
pub(super) fn provider(cache: &Cache) -> Result<Found> {
    let sources = workspace::root()?.join("examples/provider");
    let digest = digest(&sources)?;
    let (dir, is_new) = cache.make(&format!("example-provider-{digest}"), |dir| {
        let Some(go) = on_path("go") else {
            bail!("Go is not on PATH; install Go 1.25 or newer (go.dev/dl), then run this again");
        };
        eprintln!("building the example provider with Go: about a minute the first time");
        for version in PROVIDER_VERSIONS {
            release(&go, &sources, version, &dir.join(version))?;
        }
        Ok(())
    })?;
    Ok(Found {
        version: PROVIDER_VERSIONS.join(","),
        path: dir,
        how: if is_new { How::Built } else { How::Cached },
    })
}

/// This platform as Go names it, and one other.
fn platforms() -> Result<[(&'static str, &'static str); 2]> {
    let os = match std::env::consts::OS {
        "macos" => "darwin",
        os => os,
    };
    let (arch, other) = match std::env::consts::ARCH {
        "x86_64" => ("amd64", "arm64"),
        "aarch64" => ("arm64", "amd64"),
        arch => bail!("no name of the architecture `{arch}` in Go is known here"),
    };
    Ok([(os, arch), (os, other)])
}

fn release(go: &Path, sources: &Path, version: &str, dir: &Path) -> Result<()> {
    fs::create_dir(dir)?;
    let mut sums = Vec::new();
    for (os, arch) in platforms()? {
        let program = dir.join("program");
        capture(
            Command::new(go)
                .args(["build", "-trimpath", "-ldflags"])
                .arg(format!("-s -w -X main.version={version}"))
                .arg("-o")
                .args([program.as_os_str(), ".".as_ref()])
                .envs([("GOOS", os), ("GOARCH", arch), ("CGO_ENABLED", "0")])
                .current_dir(sources),
        )?;
        let name = format!("terraform-provider-example_{version}_{os}_{arch}.zip");
        let mut zip = zip::ZipWriter::new(fs::File::create(dir.join(&name))?);
        zip.start_file(
            format!("terraform-provider-example_v{version}"),
            SimpleFileOptions::default().unix_permissions(0o755),
        )?;
        zip.write_all(&fs::read(&program)?)?;
        zip.finish()?;
        fs::remove_file(program)?;
        sums.push(name);
    }
    let manifest = format!("terraform-provider-example_{version}_manifest.json");
    fs::write(dir.join(&manifest), MANIFEST)?;
    sums.push(manifest);
    let mut text = String::new();
    for name in &sums {
        let digest = hex::encode(Sha256::digest(fs::read(dir.join(name))?));
        text.push_str(&format!("{digest}  {name}\n"));
    }
    let name = format!("terraform-provider-example_{version}_SHA256SUMS");
    Ok(fs::write(dir.join(name), text)?)
}

fn digest(sources: &Path) -> Result<String> {
    let mut files: Vec<PathBuf> = fs::read_dir(sources)
        .with_context(|| format!("cannot read `{}`", sources.display()))?
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<std::io::Result<_>>()?;
    files.sort();
    let mut hash = Sha256::new();
    hash.update(LAYOUT);
    for file in files.iter().filter(|file| file.is_file()) {
        let name = file.file_name().unwrap_or_default().to_string_lossy();
        let bytes = fs::read(file)?;
        hash.update(format!("{name}\0{}\0", bytes.len()));
        hash.update(&bytes);
    }
    Ok(hex::encode(hash.finalize()).chars().take(12).collect())
}
