//! What can go wrong, with the remedy.

use opendepot_domain::Kind;
use std::path::PathBuf;
use std::process::ExitStatus;

/// A failure of finding, installing or using the toolchain.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No way led to a compiler for the target.
    #[error(
        "cannot find or install a Rust compiler for `{target}`: {}; install rustup and run \
         `rustup target add {target}`, or on Debian run as root `apt-get install {packages}`",
        .tried.join("; ")
    )]
    NoToolchain {
        /// The target.
        target: &'static str,
        /// The Debian packages that would do.
        packages: String,
        /// What was tried, and why it did not work.
        tried: Vec<String>,
    },
    /// A folder is no plugin, or of two languages.
    #[error(
        "cannot tell the language of `{}`: {found} of `Cargo.toml` (Rust), `build.mjs` \
         (JavaScript) and `app.py` (Python) is there; `opendepot plugin new` writes a folder to \
         begin with", .dir.display()
    )]
    NoLanguage {
        /// The folder.
        dir: PathBuf,
        /// How many of the files are there, in words.
        found: &'static str,
    },
    /// A language's own program is not there.
    #[error("`{program}` is not on the PATH: {remedy}")]
    NoProgram {
        /// The program.
        program: &'static str,
        /// What to do.
        remedy: &'static str,
    },
    /// What the folder pins is not installed.
    #[error("`{tool}` is not installed for `{}`: run `{command}` there", .dir.display())]
    NotInstalled {
        /// The tool.
        tool: &'static str,
        /// The plugin's folder.
        dir: PathBuf,
        /// The one command that installs it.
        command: &'static str,
    },
    /// A file cannot be written.
    #[error("cannot write `{}`: {source}", .path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A program cannot be started.
    #[error("cannot start `{command}`: {source}")]
    Start {
        /// The command line.
        command: String,
        /// Why.
        source: std::io::Error,
    },
    /// A program ran and failed.
    #[error("`{command}` failed with {status}{}", said(.output))]
    Failed {
        /// The command line.
        command: String,
        /// How it ended.
        status: ExitStatus,
        /// The end of what it wrote; empty where it wrote to the terminal itself.
        output: String,
    },
    /// A program was ended at its deadline.
    #[error("`{command}` did not finish within {seconds} s and was ended")]
    Timeout {
        /// The command line.
        command: String,
        /// The deadline in seconds.
        seconds: u64,
    },
    /// A crate built, but not to a module.
    #[error(
        "building `{}` gave no WebAssembly module: its Cargo.toml needs \
         `[lib] crate-type = [\"cdylib\"]`", .crate_dir.display()
    )]
    NoModule {
        /// The crate.
        crate_dir: PathBuf,
    },
    /// A file cannot be read.
    #[error("cannot read `{}`: {source}", .path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A module is too large.
    #[error("`{}` is larger than {limit} bytes", .path.display())]
    TooLarge {
        /// The module.
        path: PathBuf,
        /// The limit in bytes.
        limit: u64,
    },
    /// A module is no plugin.
    #[error(
        "cannot make a component of `{}`: {reason}; does the plugin export one of the worlds (in Rust: \
         call one of the SDK's registration macros), and nothing that needs WASI or JavaScript?", .path.display()
    )]
    Encode {
        /// The module.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// A component imports what no world offers.
    #[error(
        "the component of `{}` imports `{import}`, which no world offers: only \
         `opendepot:` interfaces can be imported", .path.display()
    )]
    ForeignImport {
        /// The module.
        path: PathBuf,
        /// The import.
        import: String,
    },
}

impl Error {
    /// What the failure means to a caller.
    #[must_use]
    pub const fn kind(&self) -> Kind {
        match self {
            Self::NoToolchain { .. }
            | Self::NoProgram { .. }
            | Self::NotInstalled { .. }
            | Self::Write { .. }
            | Self::Start { .. }
            | Self::Timeout { .. } => Kind::Unavailable,
            Self::Read { .. } => Kind::NotFound,
            Self::NoLanguage { .. }
            | Self::Failed { .. }
            | Self::NoModule { .. }
            | Self::TooLarge { .. }
            | Self::Encode { .. }
            | Self::ForeignImport { .. } => Kind::Invalid,
        }
    }
}

fn said(output: &str) -> String {
    if output.is_empty() {
        String::new()
    } else {
        format!(": {output}")
    }
}
