//! Finds or installs what builds plugins, builds them, and turns core modules into components.
//!
//! Plugins in JavaScript and Python are built by the tools that their folders pin, which are never
//! installed from here.
//!
//! Used by `cargo xtask plugins` and by `opendepot plugin`. It knows the ways of getting a
//! compiler for `wasm32-unknown-unknown`, in this order: the active toolchain has the target;
//! `rustup target add` installs it; Debian's packages, whose standard library is built from
//! source.
//!
//! **What bounds it.** Every command it starts has a deadline and its captured output a size;
//! core modules above [`MAX_MODULE_BYTES`] are refused.
//!
//! **What it refuses.** A module that imports anything but `opendepot:` interfaces: no world
//! offers WASI, so such a plugin could never be loaded.
//!
//! **What may surprise.** It installs software, and says what and where before it does. Cargo sets
//! variables for the programs that it runs, and people set `RUSTFLAGS`; inner builds start without
//! them, because flags for the host's target break a guest. Only `RUSTUP_TOOLCHAIN` is heeded,
//! when looking for the active toolchain.

mod build;
mod command;
mod component;
mod error;
mod file;
mod find;
mod script;

pub use component::{MAX_MODULE_BYTES, componentize};
pub use error::Error;
pub use file::write_whole;
pub use script::{Language, build};

use std::path::PathBuf;

/// The target of every plugin.
pub const TARGET: &str = "wasm32-unknown-unknown";

/// A compiler for plugins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Toolchain {
    cargo: PathBuf,
    rustc: PathBuf,
    library: Library,
}

/// Where the target's standard library comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Library {
    /// The toolchain has it.
    Installed,
    /// It is built from the toolchain's own source and linked with this linker.
    Built { linker: PathBuf },
}

impl std::fmt::Display for Toolchain {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "`{}`", self.rustc.display())?;
        match self.library {
            Library::Installed => write!(f, " with its target {TARGET}"),
            Library::Built { .. } => write!(f, " with a standard library built for {TARGET}"),
        }
    }
}
