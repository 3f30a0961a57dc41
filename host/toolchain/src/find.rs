//! The three ways of getting a compiler for the target.

use crate::command::{Stderr, clean, on_path, run};
use crate::error::Error;
use crate::{Library, TARGET, Toolchain};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Debian's compiler that can build for the web, its source, and a linker for WebAssembly.
const PACKAGES: [&str; 4] = ["rustc-web", "cargo-web", "rust-web-src", "lld-19"];

const ASK_TIMEOUT: Duration = Duration::from_secs(120);
const RUSTUP_TIMEOUT: Duration = Duration::from_secs(600);
const APT_TIMEOUT: Duration = Duration::from_secs(1200);

impl Toolchain {
    /// Finds a compiler for plugins, or installs one. `report` gets one sentence for each thing
    /// that is about to be installed, with the place, and one for what is used.
    ///
    /// # Errors
    /// [`Error::NoToolchain`] with what was tried and the remedy.
    pub fn find_or_install(report: &mut dyn FnMut(&str)) -> Result<Self, Error> {
        let mut tried = Vec::new();
        let found = active(&mut tried)
            .or_else(|| with_rustup(report, &mut tried))
            .or_else(|| debian(&mut tried))
            .or_else(|| with_apt(report, &mut tried));
        match found {
            Some(toolchain) => {
                report(&format!("plugins are built by {toolchain}"));
                Ok(toolchain)
            }
            None => Err(Error::NoToolchain {
                target: TARGET,
                packages: PACKAGES.join(" "),
                tried,
            }),
        }
    }
}

/// The active toolchain, when it has the target.
fn active(tried: &mut Vec<String>) -> Option<Toolchain> {
    let sysroot = match sysroot(Path::new("rustc")) {
        Ok(sysroot) => sysroot,
        Err(error) => {
            tried.push(error.to_string());
            return None;
        }
    };
    let library = sysroot.join("lib/rustlib").join(TARGET).join("lib");
    if !library.is_dir() {
        tried.push(format!("`{}` lacks the target", sysroot.display()));
        return None;
    }
    // The toolchain's own programs, so that no override in the guest's folder picks others. A
    // distribution may keep cargo elsewhere.
    let own = |name: &str| {
        let path = sysroot.join("bin").join(name);
        if path.is_file() { path } else { name.into() }
    };
    Some(Toolchain {
        cargo: own("cargo"),
        rustc: own("rustc"),
        library: Library::Installed,
    })
}

/// Adds the target to the active toolchain.
fn with_rustup(report: &mut dyn FnMut(&str), tried: &mut Vec<String>) -> Option<Toolchain> {
    if on_path("rustup").is_none() {
        tried.push("there is no rustup".to_owned());
        return None;
    }
    let sysroot = sysroot(Path::new("rustc")).ok()?;
    report(&format!(
        "installing the target {TARGET} with rustup into `{}`",
        sysroot.display()
    ));
    let mut command = clean(Path::new("rustup"));
    keep_active(&mut command).args(["target", "add", TARGET]);
    match run(&mut command, RUSTUP_TIMEOUT, Stderr::Kept) {
        Ok(_) => active(tried),
        Err(error) => {
            tried.push(error.to_string());
            None
        }
    }
}

/// Debian's packages, when they are there.
fn debian(tried: &mut Vec<String>) -> Option<Toolchain> {
    let (rustc, cargo) = (Path::new("/usr/bin/rustc"), Path::new("/usr/bin/cargo"));
    let source = "lib/rustlib/src/rust/library/Cargo.toml";
    let linker = PathBuf::from("/usr/bin/wasm-ld-19");
    let complete = rustc.is_file()
        && cargo.is_file()
        && linker.is_file()
        && sysroot(rustc).is_ok_and(|sysroot| sysroot.join(source).is_file());
    if !complete {
        tried.push("Debian's packages are not installed".to_owned());
        return None;
    }
    Some(Toolchain {
        cargo: cargo.to_owned(),
        rustc: rustc.to_owned(),
        library: Library::Built { linker },
    })
}

/// Installs Debian's packages; nothing is ever removed for them.
fn with_apt(report: &mut dyn FnMut(&str), tried: &mut Vec<String>) -> Option<Toolchain> {
    if on_path("apt-get").is_none() {
        tried.push("there is no apt-get".to_owned());
        return None;
    }
    let is_root = rustix::process::geteuid().is_root();
    if !is_root && on_path("sudo").is_none() {
        tried.push("apt-get needs root, and there is no sudo".to_owned());
        return None;
    }
    let apt = |arguments: &[&str]| {
        let mut command = if is_root {
            clean(Path::new("apt-get"))
        } else {
            let mut sudo = clean(Path::new("sudo"));
            // Never asks for a password: nobody may be there to answer.
            sudo.args(["-n", "apt-get"]);
            sudo
        };
        command
            .env("DEBIAN_FRONTEND", "noninteractive")
            .args(arguments);
        run(&mut command, APT_TIMEOUT, Stderr::Kept)
    };
    let mut install = vec!["install", "--yes", "--no-install-recommends", "--no-remove"];
    install.extend(PACKAGES);
    report(&format!(
        "installing the Debian packages {} with apt-get into `/usr`",
        PACKAGES.join(", ")
    ));
    // The lists may never have been fetched, or be older than the archive.
    let installed = apt(&install)
        .or_else(|_| apt(&["update"]))
        .and_then(|_| apt(&install));
    match installed {
        Ok(_) => debian(tried),
        Err(error) => {
            tried.push(error.to_string());
            None
        }
    }
}

fn sysroot(rustc: &Path) -> Result<PathBuf, Error> {
    let mut command = clean(rustc);
    keep_active(&mut command).args(["--print", "sysroot"]);
    let output = run(&mut command, ASK_TIMEOUT, Stderr::Kept)?;
    Ok(PathBuf::from(String::from_utf8_lossy(&output).trim()))
}

/// The active toolchain is what rustup made active for this process.
fn keep_active(command: &mut std::process::Command) -> &mut std::process::Command {
    if let Some(active) = std::env::var_os("RUSTUP_TOOLCHAIN") {
        command.env("RUSTUP_TOOLCHAIN", active);
    }
    command
}
