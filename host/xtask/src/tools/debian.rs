//! Programs that the system's package manager provides.

use super::{Found, How};
use crate::process::{on_path, output, run};
use anyhow::{Context, Result, bail};
use std::process::Command;

/// The program `name`: on PATH, or from the Debian package `package`, which only root can install.
pub(super) fn package(name: &str, package: &str, version_flag: &str) -> Result<Found> {
    let mut how = How::OnPath;
    let path = match on_path(name) {
        Some(path) => path,
        None => {
            install(name, package)?;
            how = How::Installed;
            on_path(name).with_context(|| format!("`{package}` holds no `{name}`"))?
        }
    };
    let said = output(Command::new(&path).arg(version_flag))?;
    let text = [said.stdout, said.stderr].concat();
    let version = version_in(&String::from_utf8_lossy(&text));
    Ok(Found { version, path, how })
}

fn install(name: &str, package: &str) -> Result<()> {
    let Some(apt) = on_path("apt-get").filter(|_| rustix::process::geteuid().is_root()) else {
        bail!("`{name}` is not on PATH; install it, on Debian by `apt-get install {package}`");
    };
    eprintln!("installing the Debian package {package}");
    let install = || {
        run(Command::new(&apt)
            .args([
                "install",
                "--yes",
                "--quiet",
                "--no-install-recommends",
                package,
            ])
            .env("DEBIAN_FRONTEND", "noninteractive"))
    };
    // The lists are often missing in containers; they are fetched only when needed.
    if install().is_err() {
        run(Command::new(&apt).args(["update", "--quiet"]))?;
        install()?;
    }
    Ok(())
}

/// The first thing that looks like `1.2` or `1.2.3`.
fn version_in(text: &str) -> String {
    text.split(|c: char| !c.is_ascii_digit() && c != '.')
        .find(|part| part.contains('.') && part.starts_with(|c: char| c.is_ascii_digit()))
        .map_or_else(
            || "unknown".to_owned(),
            |part| part.trim_matches('.').to_owned(),
        )
}

#[cfg(test)]
mod tests {
    use super::version_in;

    #[test]
    fn versions_are_found_in_banners() {
        assert_eq!(version_in("nginx version: nginx/1.22.1\n"), "1.22.1");
        assert_eq!(version_in("wrk debian/4.1.0-3+b2 [epoll]"), "4.1.0");
        assert_eq!(version_in("nothing"), "unknown");
    }
}
