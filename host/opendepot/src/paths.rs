//! Where the executable's own files are.

use anyhow::bail;
use std::path::PathBuf;

/// The folder of built-in plugins: `plugins/` beside the executable, then `../plugins`.
///
/// # Errors
/// When neither is there, with the command that builds them.
pub(crate) fn builtin_plugins() -> anyhow::Result<PathBuf> {
    let executable = std::env::current_exe()?;
    let beside = executable.parent().map(|folder| folder.join("plugins"));
    let above = executable
        .parent()
        .and_then(|folder| folder.parent())
        .map(|folder| folder.join("plugins"));
    for folder in [beside, above].into_iter().flatten() {
        if folder.is_dir() {
            return Ok(folder);
        }
    }
    bail!(
        "there are no built-in plugins beside `{}`: build them with `cargo xtask plugins`",
        executable.display()
    )
}
