//! `plugin build`: a folder of sources to the folder that a registry loads.

use super::{MANIFEST, Manifest, shown};
use crate::cli::PluginBuildArgs;
use anyhow::bail;
use opendepot_domain::{FileName, Sha256};
use opendepot_toolchain::write_whole;
use std::process::ExitCode;
use std::time::Instant;

/// Builds, and prints what came out and what to do next.
pub(crate) fn build(args: &PluginBuildArgs) -> anyhow::Result<ExitCode> {
    let folder = &args.folder;
    if !folder.is_dir() {
        bail!("there is no folder `{}`", folder.display());
    }
    let (Manifest { spec, .. }, manifest) = Manifest::read(folder)?;
    let started = Instant::now();
    let target = args.target_dir.clone();
    let target = target.unwrap_or_else(|| folder.join("target"));
    let mut report = |line: &str| eprintln!("{line}");
    let world = spec.world.to_string();
    let component = opendepot_toolchain::build(folder, &world, &target, &mut report)?;
    let dist = shown(folder).join("dist");
    let name = spec
        .component
        .as_ref()
        .map_or("plugin.wasm", FileName::as_str);
    // The component last: a registry that watches the folder then finds both.
    write_whole(&dist.join(MANIFEST), manifest.as_bytes())?;
    write_whole(&dist.join(name), &component)?;
    crate::say(&format!(
        "built `{}` in {:.1} s: {} bytes, sha256 {}\nnext: `opendepot plugin check {}`\n",
        dist.join(name).display(),
        started.elapsed().as_secs_f64(),
        component.len(),
        Sha256::of(&component),
        dist.display()
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::path::Path;

    fn build_in(folder: &Path) -> String {
        let args = PluginBuildArgs {
            folder: folder.to_owned(),
            target_dir: None,
        };
        format!("{:#}", build(&args).unwrap_err())
    }

    #[test]
    fn what_is_no_plugin_is_said_with_its_place() {
        let dir = tempfile::tempdir().unwrap();
        let error = build_in(&dir.path().join("nowhere"));
        assert!(error.contains("there is no folder"), "{error}");
        let error = build_in(dir.path());
        assert!(error.contains("plugin.yaml"), "{error}");
        let manifest = dir.path().join(MANIFEST);
        fs::write(&manifest, "metadata: { name: x }\nspec:\n  world: atuh\n").unwrap();
        let error = build_in(dir.path());
        assert!(error.contains("line 3"), "{error}");
        assert!(error.contains("auth"), "{error}");
        fs::write(
            &manifest,
            "metadata: { name: x }\nspec:\n  world: auth\n  component: ../x\n",
        )
        .unwrap();
        let error = build_in(dir.path());
        assert!(error.contains("line 4"), "{error}");
        fs::write(&manifest, "metadata: { name: x }\nspec:\n  world: auth\n").unwrap();
        let error = build_in(dir.path());
        assert!(error.contains("plugin new"), "{error}");
        assert!(!dir.path().join("dist").exists());
    }
}
