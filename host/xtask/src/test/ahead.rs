//! Makes the tools of a run ahead of the areas that need them.
//!
//! What bounds it: one process of the lowest priority, which has what compilers and tests leave of
//! the machine, and ends with this one, however this one ends. It refuses to make a run fail: an
//! area that comes to a tool waits for it, or makes it, and tells what went wrong. What the
//! system's package manager installs is left to the areas, because installing is not for two at a
//! time.

use super::Area;
use crate::{tools, workspace};
use anyhow::{Context, Result};
use std::fs;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};

/// The process; ended when dropped.
pub(super) struct Ahead(Child);

impl Ahead {
    /// Starts it, where there is something to be made.
    pub(super) fn start(areas: &[Area], root: &Path) -> Option<Self> {
        let started = Self::try_start(areas, root);
        started.unwrap_or_else(|error| {
            eprintln!("tools are made when they are needed, not ahead: {error:#}");
            None
        })
    }

    fn try_start(areas: &[Area], root: &Path) -> Result<Option<Self>> {
        let mut needed = Vec::new();
        for tool in areas.iter().flat_map(|area| area.tools()) {
            if !needed.contains(tool) {
                needed.push(*tool);
            }
        }
        let names: Vec<String> = tools::unmade(needed)?
            .iter()
            .map(ToString::to_string)
            .collect();
        if names.is_empty() {
            return Ok(None);
        }
        let target = workspace::target(root);
        fs::create_dir_all(&target)?;
        let path = target.join("tools.log");
        let log = fs::File::create(&path).context("cannot create its log")?;
        println!(
            "making {} beside what follows; what is said of it is in {}",
            names.join(", "),
            path.display()
        );
        let child = Command::new("nice")
            .args(["-n", "19"])
            .arg(std::env::current_exe()?)
            .args(["tools", "--while-stdin-is-open"])
            .args(names)
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .context("cannot start `nice`")?;
        Ok(Some(Self(child)))
    }
}

impl Drop for Ahead {
    fn drop(&mut self) {
        drop(self.0.stdin.take());
        // An error means that it has ended already.
        let _reaped = self.0.wait();
    }
}
