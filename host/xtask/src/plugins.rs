//! `cargo xtask plugins`: every folder of `plugins/` that has a `plugin.yaml` becomes
//! `target/plugins/<name>/{plugin.wasm,plugin.yaml}`.
//!
//! A plugin is built again only when its inputs changed: its own folder, the SDK, the lock file,
//! the workspace's manifest, the WIT text and the compiler's channel. Files appear whole, by
//! renaming, because a running host may be watching the folder. A component that is already as it
//! should be is not touched.

use crate::workspace;
use anyhow::{Context, Result, bail, ensure};
use opendepot_toolchain::{Toolchain, componentize, write_whole as write};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::fs;
use std::path::{Path, PathBuf};

/// What every plugin is made of besides its own folder, relative to the root of the clone.
const SHARED_INPUTS: [&str; 6] = [
    "plugins/Cargo.toml",
    "plugins/Cargo.lock",
    "plugins/sdk",
    "wit",
    "rust-toolchain.toml",
    "host/toolchain/src",
];

/// The files of a plugin, as hosts expect them.
const COMPONENT: &str = "plugin.wasm";
const MANIFEST: &str = "plugin.yaml";

/// The largest input file that is read, in bytes; a larger one is no source.
const MAX_INPUT_BYTES: u64 = 64 << 20;

/// The command's arguments.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// The plugins to build, by folder; without any, all of them.
    names: Vec<String>,
    /// Builds them even when nothing changed.
    #[arg(long)]
    force: bool,
}

/// Builds what changed, and prints each plugin's name, size and digest.
///
/// # Errors
/// When there is no compiler for the target, or a plugin does not build.
pub(crate) fn run(args: Args) -> Result<()> {
    let root = workspace::root()?;
    let target = workspace::target(&root);
    let names = chosen(&root.join("plugins"), &args.names)?;
    let shared = digest_of(&root, &SHARED_INPUTS.map(PathBuf::from))?;
    let mut toolchain = None;
    for name in &names {
        let plugin = Plugin::new(&root, &target, name);
        let inputs = plugin.inputs(&root, &shared)?;
        let (state, stamp) = match plugin.up_to_date(&inputs) {
            Some(stamp) if !args.force => ("unchanged", stamp),
            _ => {
                let toolchain = match &toolchain {
                    Some(found) => found,
                    None => toolchain.insert(Toolchain::find_or_install(&mut |line| {
                        eprintln!("{line}");
                    })?),
                };
                // Left behind by a failure, the old stamp would call the old component current.
                plugin.forget()?;
                // One target folder for all plugins, kept between runs.
                let built = root.join("plugins/target");
                ("built", plugin.build(toolchain, &built, inputs)?)
            }
        };
        println!(
            "{name:<16} {state:<10} {:>8} bytes  sha256:{}",
            stamp.size, stamp.sha256
        );
    }
    println!("plugins are in {}", target.join("plugins").display());
    Ok(())
}

/// The plugins of the folder, sorted, or those asked for.
fn chosen(plugins: &Path, asked: &[String]) -> Result<Vec<String>> {
    let mut all = Vec::new();
    let entries =
        fs::read_dir(plugins).with_context(|| format!("cannot list `{}`", plugins.display()))?;
    for entry in entries {
        let entry = entry?;
        if entry.path().join(MANIFEST).is_file() {
            all.push(entry.file_name().to_string_lossy().into_owned());
        }
    }
    all.sort();
    if asked.is_empty() {
        return Ok(all);
    }
    for name in asked {
        ensure!(
            all.contains(name),
            "there is no plugin `{name}`: `{}` are there",
            all.join("`, `")
        );
    }
    all.retain(|name| asked.contains(name));
    Ok(all)
}

/// What a build was made of, and what came out.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Stamp {
    inputs: String,
    sha256: String,
    size: u64,
}

/// The places of one plugin.
struct Plugin {
    source: PathBuf,
    output: PathBuf,
    stamp: PathBuf,
}

impl Plugin {
    fn new(root: &Path, target: &Path, name: &str) -> Self {
        Self {
            source: root.join("plugins").join(name),
            output: target.join("plugins").join(name),
            // Beside the folder of plugins, not in it: a host reads every folder there.
            stamp: target.join("plugins.stamps").join(name),
        }
    }

    fn inputs(&self, root: &Path, shared: &str) -> Result<String> {
        let own = self
            .source
            .strip_prefix(root)
            .context("a plugin outside of the clone")?;
        let own = digest_of(root, &[own.to_owned()])?;
        Ok(hex::encode(Sha256::digest(format!("{shared} {own}"))))
    }

    /// The last build's stamp, when its inputs are the same and its files are still there.
    fn up_to_date(&self, inputs: &str) -> Option<Stamp> {
        let stamp: Stamp = serde_json::from_slice(&fs::read(&self.stamp).ok()?).ok()?;
        let component = fs::read(self.output.join(COMPONENT)).ok()?;
        let same_manifest = fs::read(self.source.join(MANIFEST)).ok()?
            == fs::read(self.output.join(MANIFEST)).ok()?;
        let intact = hex::encode(Sha256::digest(&component)) == stamp.sha256;
        (stamp.inputs == inputs && intact && same_manifest).then_some(stamp)
    }

    fn forget(&self) -> Result<()> {
        match fs::remove_file(&self.stamp) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(error).with_context(|| format!("cannot remove `{}`", self.stamp.display()))
            }
            _ => Ok(()),
        }
    }

    fn build(&self, toolchain: &Toolchain, built: &Path, inputs: String) -> Result<Stamp> {
        let module = toolchain.build_guest(&self.source, built)?;
        let component = componentize(&module)?;
        let manifest = self.source.join(MANIFEST);
        let manifest =
            fs::read(&manifest).with_context(|| format!("cannot read `{}`", manifest.display()))?;
        let stamp = Stamp {
            inputs,
            sha256: hex::encode(Sha256::digest(&component)),
            size: component.len() as u64,
        };
        write(&self.output.join(MANIFEST), &manifest)?;
        write(&self.output.join(COMPONENT), &component)?;
        write(&self.stamp, &serde_json::to_vec(&stamp)?)?;
        Ok(stamp)
    }
}

/// The digest over the names and contents of files, and of all files below folders. Hidden files
/// and `target` folders are no inputs.
fn digest_of(root: &Path, inputs: &[PathBuf]) -> Result<String> {
    let mut files = Vec::new();
    for input in inputs {
        collect(&root.join(input), &mut files)?;
    }
    files.sort();
    let mut hasher = Sha256::new();
    for file in files {
        let name = file.strip_prefix(root).unwrap_or(&file).to_string_lossy();
        let size = fs::metadata(&file)?.len();
        if size > MAX_INPUT_BYTES {
            bail!("`{}` is too large to be an input", file.display());
        }
        let bytes = fs::read(&file).with_context(|| format!("cannot read `{}`", file.display()))?;
        // Lengths first, so that no two sets of files give the same bytes.
        hasher.update((name.len() as u64).to_be_bytes());
        hasher.update(name.as_bytes());
        hasher.update((bytes.len() as u64).to_be_bytes());
        hasher.update(&bytes);
    }
    Ok(hex::encode(hasher.finalize()))
}

fn collect(path: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    let context = || format!("cannot read `{}`", path.display());
    if fs::metadata(path).with_context(context)?.is_file() {
        files.push(path.to_owned());
        return Ok(());
    }
    for entry in fs::read_dir(path).with_context(context)? {
        let entry = entry?;
        let name = entry.file_name();
        if !name.to_string_lossy().starts_with('.') && name != "target" {
            collect(&entry.path(), files)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(files: &[(&str, &str)]) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        for (name, content) in files {
            write(&dir.path().join(name), content.as_bytes()).unwrap();
        }
        dir
    }

    fn digest(files: &[(&str, &str)]) -> String {
        digest_of(tree(files).path(), &[PathBuf::from("p")]).unwrap()
    }

    #[test]
    fn the_digest_follows_names_and_contents_and_nothing_else() {
        let one = digest(&[("p/a.rs", "1"), ("p/src/b.rs", "2")]);
        assert_eq!(one, digest(&[("p/src/b.rs", "2"), ("p/a.rs", "1")]));
        assert_eq!(
            one,
            digest(&[
                ("p/a.rs", "1"),
                ("p/src/b.rs", "2"),
                ("p/target/x", "3"),
                ("p/.hidden", "4"),
                ("other", "5"),
            ])
        );
        assert_ne!(one, digest(&[("p/a.rs", "1"), ("p/src/b.rs", "3")]));
        assert_ne!(one, digest(&[("p/a.rs", "1"), ("p/src/c.rs", "2")]));
        assert_ne!(one, digest(&[("p/a.rs", "12"), ("p/src/b.rs", "")]));
    }

    #[test]
    fn a_build_is_current_until_anything_of_it_changes() {
        let dir = tree(&[
            ("plugins/x/plugin.yaml", "m"),
            ("out/plugins/x/plugin.yaml", "m"),
            ("out/plugins/x/plugin.wasm", "c"),
        ]);
        let plugin = Plugin::new(dir.path(), &dir.path().join("out"), "x");
        assert_eq!(plugin.up_to_date("i"), None, "never built");
        let stamp = Stamp {
            inputs: "i".to_owned(),
            sha256: hex::encode(Sha256::digest("c")),
            size: 1,
        };
        write(&plugin.stamp, &serde_json::to_vec(&stamp).unwrap()).unwrap();
        assert_eq!(plugin.up_to_date("i"), Some(stamp));
        assert_eq!(plugin.up_to_date("j"), None, "other inputs");
        write(&plugin.output.join(COMPONENT), b"d").unwrap();
        assert_eq!(plugin.up_to_date("i"), None, "a damaged component");
        write(&plugin.output.join(COMPONENT), b"c").unwrap();
        write(&plugin.output.join(MANIFEST), b"n").unwrap();
        assert_eq!(plugin.up_to_date("i"), None, "another manifest");
        plugin.forget().unwrap();
        plugin.forget().unwrap();
    }

    #[test]
    fn an_unknown_plugin_is_an_error_that_lists_the_known() {
        let dir = tree(&[("b/plugin.yaml", ""), ("a/plugin.yaml", ""), ("sdk/x", "")]);
        assert_eq!(chosen(dir.path(), &[]).unwrap(), ["a", "b"]);
        let error = chosen(dir.path(), &["c".to_owned()]).unwrap_err();
        assert!(error.to_string().contains("`a`, `b`"), "{error}");
    }
}
