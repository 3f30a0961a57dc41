//! Builds a plugin's crate to a core module.

use crate::command::{Stderr, clean, run};
use crate::error::Error;
use crate::{Library, TARGET, Toolchain};
use serde::Deserialize;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// A first build may fetch crates and build the standard library.
const BUILD_TIMEOUT: Duration = Duration::from_secs(3600);

impl Toolchain {
    /// Builds the crate in `crate_dir` in release mode and returns its core module. The
    /// compiler's messages go to standard error.
    ///
    /// Use one `target_dir` for all plugins: a standard library that was built for one serves all.
    ///
    /// # Errors
    /// [`Error::Failed`] when the crate does not build, [`Error::NoModule`] when it builds no
    /// module, [`Error::Start`] and [`Error::Timeout`].
    pub fn build_guest(&self, crate_dir: &Path, target_dir: &Path) -> Result<PathBuf, Error> {
        let read = |path: &Path, source| Error::Read {
            path: path.to_owned(),
            source,
        };
        let crate_dir = crate_dir
            .canonicalize()
            .map_err(|source| read(crate_dir, source))?;
        // Cargo runs in the crate's folder, so a relative folder would mean another one there.
        let target_dir =
            std::path::absolute(target_dir).map_err(|source| read(target_dir, source))?;
        let output = run(
            &mut self.cargo_build(&crate_dir, &target_dir),
            BUILD_TIMEOUT,
            Stderr::Shown,
        )?;
        module_of(&output, &crate_dir.join("Cargo.toml")).ok_or(Error::NoModule { crate_dir })
    }

    fn cargo_build(&self, crate_dir: &Path, target_dir: &Path) -> Command {
        let mut command = clean(&self.cargo);
        command
            .current_dir(crate_dir)
            .args(["build", "--release", "--lib", "--target", TARGET])
            .args(["--message-format", "json-render-diagnostics"])
            .arg("--target-dir")
            .arg(target_dir)
            .env("RUSTC", &self.rustc);
        if let Some(flags) = remap_registry() {
            command.env("CARGO_ENCODED_RUSTFLAGS", flags);
        }
        if let Library::Built { linker } = &self.library {
            command
                .arg("-Zbuild-std=std,panic_abort")
                .env("RUSTC_BOOTSTRAP", "1")
                .env("CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER", linker);
        }
        command
    }
}

/// Panic messages name source files; without this flag they, and so the component's digest, would
/// depend on whose home folder the crates were fetched to.
fn remap_registry() -> Option<OsString> {
    let home = std::env::var_os("CARGO_HOME").map_or_else(
        || std::env::var_os("HOME").map(|home| Path::new(&home).join(".cargo")),
        |home| Some(home.into()),
    )?;
    let mut flag = OsString::from("--remap-path-prefix=");
    flag.push(home);
    flag.push("=/cargo");
    Some(flag)
}

#[derive(Deserialize)]
struct Message {
    reason: String,
    #[serde(default)]
    manifest_path: PathBuf,
    #[serde(default)]
    filenames: Vec<PathBuf>,
}

/// The module among cargo's messages that comes from the crate with this manifest.
fn module_of(messages: &[u8], manifest: &Path) -> Option<PathBuf> {
    messages
        .split(|byte| *byte == b'\n')
        .filter_map(|line| serde_json::from_slice::<Message>(line).ok())
        .filter(|message| {
            message.reason == "compiler-artifact" && message.manifest_path == manifest
        })
        .flat_map(|message| message.filenames)
        .find(|file| {
            file.extension()
                .is_some_and(|extension| extension == "wasm")
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_module_is_the_crates_own() {
        let messages = concat!(
            "{\"reason\":\"compiler-artifact\",\"manifest_path\":\"/a/sdk/Cargo.toml\",",
            "\"filenames\":[\"/t/sdk.wasm\"]}\n",
            "not json\n",
            "{\"reason\":\"build-script-executed\",\"package_id\":\"x\"}\n",
            "{\"reason\":\"compiler-artifact\",\"manifest_path\":\"/a/p/Cargo.toml\",",
            "\"filenames\":[\"/t/p.rlib\",\"/t/p.wasm\"]}\n",
        );
        let module = |manifest: &str| module_of(messages.as_bytes(), Path::new(manifest));
        assert_eq!(module("/a/p/Cargo.toml").unwrap(), Path::new("/t/p.wasm"));
        assert_eq!(module("/a/q/Cargo.toml"), None);
    }

    #[test]
    fn a_built_library_needs_the_linker_and_an_installed_one_does_not() {
        let toolchain = |library| Toolchain {
            cargo: "cargo".into(),
            rustc: "rustc".into(),
            library,
        };
        let built = toolchain(Library::Built {
            linker: "/usr/bin/wasm-ld-19".into(),
        })
        .cargo_build(Path::new("/a"), Path::new("/t"));
        assert!(
            built
                .get_args()
                .any(|arg| arg == "-Zbuild-std=std,panic_abort")
        );
        assert!(
            built
                .get_envs()
                .any(|(name, value)| name == "RUSTC_BOOTSTRAP" && value.is_some())
        );
        let installed = toolchain(Library::Installed).cargo_build(Path::new("/a"), Path::new("/t"));
        assert!(
            !installed
                .get_args()
                .any(|arg| arg.to_string_lossy().starts_with("-Z"))
        );
    }
}
