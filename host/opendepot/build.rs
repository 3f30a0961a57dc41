//! Puts what `opendepot plugin new` writes into the binary: the SDK, the contract and the
//! templates.
//!
//! A list of files rather than a macro over a folder: it leaves out what using a folder leaves in
//! it (`target`, `node_modules`, caches), and a new file is noticed.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::{env, fs, io};

/// The folders, below the root of the clone, and the lock file that pins the SDK's crates.
const INPUTS: [&str; 4] = [
    "plugins/sdk",
    "plugins/template",
    "plugins/Cargo.lock",
    "wit",
];
/// What is no source, wherever it is. Hidden files are none either.
const LEFT_OUT: [&str; 4] = ["target", "node_modules", "dist", "__pycache__"];

fn main() -> io::Result<()> {
    let missing = |name| io::Error::other(format!("cargo sets `{name}`"));
    let own = env::var_os("CARGO_MANIFEST_DIR").ok_or_else(|| missing("CARGO_MANIFEST_DIR"))?;
    let out = env::var_os("OUT_DIR").ok_or_else(|| missing("OUT_DIR"))?;
    let root = Path::new(&own).join("../..").canonicalize()?;
    let mut files = Vec::new();
    for input in INPUTS {
        let path = root.join(input);
        println!("cargo::rerun-if-changed={}", path.display());
        collect(&path, &mut files)?;
    }
    files.sort();
    let mut list = String::from("&[\n");
    for file in files {
        let name = file.strip_prefix(&root).map_err(io::Error::other)?;
        let (name, path) = (name.to_string_lossy(), file.to_string_lossy());
        // Writing to a text cannot fail.
        let _ = writeln!(list, "    ({name:?}, include_str!({path:?})),");
    }
    list.push_str("]\n");
    fs::write(Path::new(&out).join("template.rs"), list)
}

fn collect(path: &Path, files: &mut Vec<PathBuf>) -> io::Result<()> {
    if path.is_file() {
        files.push(path.to_owned());
        return Ok(());
    }
    for entry in fs::read_dir(path)? {
        let entry = entry?;
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if !name.starts_with('.') && !LEFT_OUT.contains(&name.as_ref()) {
            collect(&entry.path(), files)?;
        }
    }
    Ok(())
}
