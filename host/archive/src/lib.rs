//! Inspects provider packages and repackages modules: zip and tar, read strictly, written
//! deterministically.
//!
//! What bounds it: [`Limits`] (packed and unpacked bytes, entries, name length, depth, ratio,
//! time) and a [`Cancel`] flag, both checked between chunks of 64 KiB. Content is streamed;
//! module content goes through one anonymous temporary file. Nothing is ever written to disk
//! under an entry's name.
//!
//! What it refuses: everything on which two parsers could disagree (reliability.md T24). A zip
//! must be local headers and data without gap or overlap from its first byte, then the central
//! directory, then the end record, each saying the same; a gzip must be one member that ends
//! with the file; a tar must end with zeros only. Names that could leave a folder on any system
//! are refused, as are encryption, sparse files, hard links and devices. A refused archive is
//! refused whole.
//!
//! What may surprise: every call blocks, so call it on the blocking pool. `.git` and
//! `.terraform` are left out of modules whatever the input is. Folders are not entries of a
//! repackaged module: clients make them as they need them. The same tree gives the same bytes
//! from a folder, a zip or a tar, as long as the same build writes them.

#![warn(missing_docs)]

mod error;
mod folder;
mod limits;
mod module;
mod name;
mod provider;
mod readme;
mod sniff;
mod spool;
mod tarfile;
#[cfg(test)]
mod tests;
mod tree;
mod write;
mod zipfile;

pub use error::Error;
pub use limits::{Cancel, Limits};
pub use module::{Format, ModuleInput, ModulePackage, Wrapper, package_module};
pub use provider::{ProviderInspection, copy_executable, inspect_provider};
pub use sniff::{Sniffed, sniff};
