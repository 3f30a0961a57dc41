//! A folder of manifests, applied and watched.
//!
//! Applying an object is a three-way merge: what the file says, what it said last time (kept in an
//! annotation), and what is stored. Fields that nobody wrote in a file are left alone, status
//! always. What the files say already is not written again.
//!
//! **What bounds it.** 10 000 files, 4 MiB each, 16 levels; YAML aliases are bounded by the parser.
//!
//! **What it refuses.** Duplicate keys, unknown fields, kinds that are not served, objects without
//! a name, the second of two definitions of one object. A problem is reported with file and line
//! and harms no other file. Hidden files and symbolic links are passed over.
//!
//! **What may surprise.** Removing a file removes nothing unless `prune` is set, and then only
//! objects that came from that file. While anything in the folder cannot be read, nothing is
//! removed at all; nor is what a broken or an empty file once defined. JSON with neither `kind` nor
//! `apiVersion` is another program's.

mod apply;
mod merge;
mod read;
mod sources;
mod watch;

pub use watch::run;

use crate::Embedded;
use std::fmt;
use std::path::PathBuf;

/// Where the manifests are.
#[derive(Clone, Debug)]
pub struct Options {
    /// The folder; read recursively: `.yaml`, `.yml`, `.json`.
    pub dir: PathBuf,
    /// Whether an object goes when its file, or its document, is gone.
    pub prune: bool,
}

/// Something in the folder that could not be applied.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Problem {
    /// The file, relative to the folder, with `/`; `.` for the folder itself.
    pub file: String,
    /// The line, from 1, where one is known; of the document when the server refused it.
    pub line: Option<usize>,
    /// What is wrong, on one line.
    pub message: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            Some(line) => write!(f, "{}:{line}: {}", self.file, self.message),
            None => write!(f, "{}: {}", self.file, self.message),
        }
    }
}

/// What one pass over the folder did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Objects created or changed.
    pub applied: usize,
    /// Objects that were as their files say.
    pub unchanged: usize,
    /// Objects deleted because their file or document is gone.
    pub pruned: usize,
    /// What could not be applied.
    pub problems: Vec<Problem>,
}

/// Reads the folder and applies it once.
pub async fn apply_once(embedded: &Embedded, options: &Options) -> Report {
    apply::apply(embedded, options).await
}
