//! Programs that are built with Go, each from a module of ours that pins all they consist of.

mod recipe;

pub(super) use recipe::{FAKE_GCS_SERVER, KUBERNETES, TOFU, VEGETA, VERSITYGW};

use super::cache::Cache;
use super::{Found, How, Tool};
use crate::process::{capture, on_path, output};
use anyhow::{Context, Result, bail};
use std::fs;
use std::path::Path;
use std::process::Command;

/// What is built in one go: most of what its programs consist of is shared.
pub(super) struct Module {
    name: &'static str,
    programs: &'static [Program],
    packages: &'static [&'static str],
    sources: &'static [(&'static str, &'static str)],
    /// What the linker sets; `{}` is the first program's version.
    flags: &'static str,
    /// The oldest Go that builds it.
    go: &'static str,
    /// What building it takes.
    effort: &'static str,
}

struct Program {
    name: &'static str,
    version: &'static str,
    /// The argument that asks for the version, and what stands before it in the line that tells.
    /// Without, the program does not tell, and one on PATH is not taken.
    tells: Option<(&'static str, &'static str)>,
}

impl Module {
    /// The program of that name: on PATH in exactly its version, cached, or built.
    ///
    /// # Errors
    /// Without Go, and when the build fails.
    pub(super) fn program(&self, cache: &Cache, tool: Tool) -> Result<Found> {
        let name = tool.to_string();
        let program = self.programs.iter().find(|program| program.name == name);
        let program = program.context("its module has no such program")?;
        let found = |path: &Path, how| Found {
            version: program.version.to_owned(),
            path: path.to_owned(),
            how,
        };
        let installed = on_path(&name).filter(|_| program.tells.is_some());
        if let Some(path) = installed.filter(|path| program.is(path)) {
            return Ok(found(&path, How::OnPath));
        }
        let folder = format!("{}-{}", self.name, self.version());
        let (dir, is_new) = cache.make(&folder, |dir| self.build(dir))?;
        let how = if is_new { How::Built } else { How::Cached };
        Ok(found(&dir.join(name), how))
    }

    fn version(&self) -> &str {
        self.programs.first().map_or("", |program| program.version)
    }

    fn build(&self, dir: &Path) -> Result<()> {
        let (oldest, effort) = (self.go, self.effort);
        let programs = self.programs.iter();
        let programs: Vec<String> = programs
            .map(|p| format!("{} {}", p.name, p.version))
            .collect();
        let what = programs.join(", ");
        let Some(go) = on_path("go") else {
            bail!(
                "neither {what} nor Go is on PATH; install that, or Go {oldest} or newer \
                 (go.dev/dl), then run this again"
            );
        };
        eprintln!("building {what} with Go: {effort}");
        let source = dir.join("source");
        for (file, text) in self.sources {
            let file = source.join(file);
            fs::create_dir_all(file.parent().unwrap_or(&source))?;
            fs::write(file, text)?;
        }
        let flags = format!("-s -w {}", self.flags.replace("{}", self.version()));
        capture(
            Command::new(go)
                .args(["build", "-ldflags", &flags, "-o"])
                .arg(dir)
                .args(self.packages)
                .env_remove("GOOS")
                .env_remove("GOARCH")
                .current_dir(&source),
        )?;
        fs::remove_dir_all(source)?;
        for program in self.programs {
            let Program { name, version, .. } = program;
            if !program.is(&dir.join(name)) {
                bail!("the {name} that was built does not say that it is version {version}");
            }
        }
        Ok(())
    }
}

impl Program {
    fn is(&self, path: &Path) -> bool {
        let Some((argument, before)) = self.tells else {
            return path.is_file();
        };
        let mut asked = Command::new(path);
        asked.arg(argument).current_dir(std::env::temp_dir());
        let expected = format!("{before}{}", self.version);
        output(&mut asked).is_ok_and(|said| {
            let said = String::from_utf8_lossy(&said.stdout);
            said.lines().any(|line| line.trim() == expected)
        })
    }
}
