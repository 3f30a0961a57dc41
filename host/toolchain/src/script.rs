//! Builds a plugin's folder to a component, whatever its language.
//!
//! JavaScript and Python are made components by the tool that the folder pins (`package.json`,
//! `requirements.txt`): the interpreter itself becomes part of the component, with what it would
//! ask of WASI left out or stubbed.

use crate::command::{Stderr, clean, on_path, run};
use crate::component::read_component;
use crate::error::Error;
use crate::{Toolchain, componentize};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// Both tools take some seconds; the first time, they may prepare a cache.
const SCRIPT_TIMEOUT: Duration = Duration::from_secs(600);

const NODE_TOOL: &str = "@bytecodealliance/componentize-js";
const PYTHON_TOOL: &str = "componentize-py";
/// Where `python3 -m venv .venv` puts it.
const VENV: &str = ".venv";

/// What a plugin is written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Language {
    /// A crate.
    Rust,
    /// Modules with a `build.mjs`.
    JavaScript,
    /// Modules with an `app.py`.
    Python,
}

impl Language {
    /// Each language with the file that tells it.
    const FILES: [(&'static str, Self); 3] = [
        ("Cargo.toml", Self::Rust),
        ("build.mjs", Self::JavaScript),
        ("app.py", Self::Python),
    ];

    /// The language of the plugin in `dir`, told by its files.
    ///
    /// # Errors
    /// [`Error::NoLanguage`] when none or more than one is there.
    pub fn of(dir: &Path) -> Result<Self, Error> {
        let mut found = Self::FILES
            .into_iter()
            .filter(|(file, _)| dir.join(file).is_file());
        let refuse = |found| Error::NoLanguage {
            dir: dir.to_owned(),
            found,
        };
        let (_, language) = found.next().ok_or_else(|| refuse("none"))?;
        match found.next() {
            None => Ok(language),
            Some(_) => Err(refuse("more than one")),
        }
    }
}

/// Builds the plugin in `dir`, which is for `world` (`auth`, `scan` or `storage`), and returns its
/// component. What the tools say goes to standard error; `report` gets one sentence for each thing
/// that is about to be installed, with the place, and one for what is used. For Rust, cargo builds
/// in `target_dir`.
///
/// # Errors
/// [`Error::NoLanguage`], [`Error::NoProgram`] and [`Error::NotInstalled`] with the remedy, and
/// what the build of the language fails with.
pub fn build(
    dir: &Path,
    world: &str,
    target_dir: &Path,
    report: &mut dyn FnMut(&str),
) -> Result<Vec<u8>, Error> {
    let language = Language::of(dir)?;
    if language == Language::Rust {
        let toolchain = Toolchain::find_or_install(report)?;
        return componentize(&toolchain.build_guest(dir, target_dir)?);
    }
    let dir = &dir.canonicalize().map_err(|source| Error::Read {
        path: dir.to_owned(),
        source,
    })?;
    let output = Output::new(dir)?;
    let mut command = match language {
        Language::Python => python(dir, world, &output.0)?,
        _ => node(dir, &output.0)?,
    };
    report(&format!(
        "the component is made by `{}`, which takes some seconds",
        Path::new(command.get_program()).display()
    ));
    run(command.current_dir(dir), SCRIPT_TIMEOUT, Stderr::Shown)?;
    read_component(&output.0)
}

/// Where a tool writes: beside the result, removed when it was read.
struct Output(PathBuf);

impl Output {
    fn new(dir: &Path) -> Result<Self, Error> {
        let folder = dir.join("dist");
        let failed = |source| Error::Write {
            path: folder.clone(),
            source,
        };
        std::fs::create_dir_all(&folder).map_err(failed)?;
        let name = format!(".building.{}.wasm", std::process::id());
        Ok(Self(folder.join(name)))
    }
}

impl Drop for Output {
    fn drop(&mut self) {
        // Absent when the tool failed.
        let _ = std::fs::remove_file(&self.0);
    }
}

fn node(dir: &Path, output: &Path) -> Result<Command, Error> {
    let node = on_path("node").ok_or(Error::NoProgram {
        program: "node",
        remedy: "install Node.js 20 or newer",
    })?;
    if !dir.join("node_modules").join(NODE_TOOL).is_dir() {
        return Err(Error::NotInstalled {
            tool: NODE_TOOL,
            dir: dir.to_owned(),
            command: "npm ci",
        });
    }
    let mut command = clean(&node);
    command.arg("build.mjs").arg(output);
    Ok(command)
}

fn python(dir: &Path, world: &str, output: &Path) -> Result<Command, Error> {
    let own = dir.join(VENV).join("bin").join(PYTHON_TOOL);
    let is_own = own.is_file();
    let tool = is_own.then_some(own).or_else(|| on_path(PYTHON_TOOL));
    let tool = tool.ok_or_else(|| Error::NotInstalled {
        tool: PYTHON_TOOL,
        dir: dir.to_owned(),
        command: "python3 -m venv .venv && .venv/bin/pip install -r requirements.txt",
    })?;
    let mut command = clean(&tool);
    if is_own {
        // It looks here for what the plugin imports.
        command.env("VIRTUAL_ENV", dir.join(VENV));
    }
    command
        .args(["--quiet", "--wit-path", "wit", "--world"])
        .arg(format!("{world}-plugin"))
        // Nothing that the interpreter would ask of WASI is there: asking is a trap.
        .args(["componentize", "--stub-wasi", "--python-path", ".", "app"])
        .arg("--output")
        .arg(output);
    Ok(command)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(files: &[&str]) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        for file in files {
            let path = dir.path().join(file);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, "").unwrap();
        }
        dir
    }

    #[test]
    fn files_tell_the_language() {
        let of = |files: &[&str]| Language::of(folder(files).path());
        assert_eq!(of(&["Cargo.toml", "x"]).unwrap(), Language::Rust);
        assert_eq!(of(&["build.mjs"]).unwrap(), Language::JavaScript);
        assert_eq!(of(&["app.py"]).unwrap(), Language::Python);
        let error = of(&["main.go"]).unwrap_err().to_string();
        assert!(error.contains("none of"), "{error}");
        let error = of(&["app.py", "build.mjs"]).unwrap_err().to_string();
        assert!(error.contains("more than one of"), "{error}");
    }

    #[test]
    fn what_is_not_installed_is_named_with_the_command() {
        let dir = folder(&["build.mjs"]);
        let build = |dir: &Path| build(dir, "auth", dir, &mut |_| ()).unwrap_err();
        if on_path("node").is_some() {
            let error = build(dir.path()).to_string();
            assert!(error.contains("run `npm ci`"), "{error}");
        }
        // What a person has on the PATH counts too, so ask for the command itself.
        let own = folder(&["app.py", ".venv/bin/componentize-py"]);
        let command = python(own.path(), "scan", Path::new("out.wasm")).unwrap();
        assert!(Path::new(command.get_program()).starts_with(own.path()));
        assert!(command.get_args().any(|arg| arg == "scan-plugin"));
        assert!(command.get_args().any(|arg| arg == "--stub-wasi"));
    }

    #[test]
    fn nothing_is_left_of_a_build_that_fails() {
        let dir = folder(&["app.py"]);
        let tool = dir.path().join(".venv/bin/componentize-py");
        std::fs::create_dir_all(tool.parent().unwrap()).unwrap();
        // The last argument is where it writes; this is no component.
        std::os::unix::fs::symlink("/bin/sh", &tool).unwrap();
        let error = build(dir.path(), "auth", dir.path(), &mut |_| ()).unwrap_err();
        assert!(matches!(error, Error::Failed { .. }), "{error}");
        let left = std::fs::read_dir(dir.path().join("dist")).unwrap();
        assert_eq!(left.count(), 0);
    }
}
