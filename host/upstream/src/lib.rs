//! Finds sources: tags of GitHub repositories, releases of provider registries, folders of this
//! machine. The answer is a place to fetch from and the identity that later fetches must have.
//!
//! What it is for: a [`ModuleOrigin`] or [`ProviderOrigin`] holds everything that the fetch needs
//! and everything that is worth pinning: commit, repository number, digest, signing key. Nothing
//! is stored here, and nothing is downloaded but small documents; [`fetch_module`] and
//! [`fetch_package`] move the bytes through `transfer` and check them.
//!
//! What bounds it: `transfer`'s limits on every request (time, redirects, egress policy), 8 MiB a
//! document, 1 MiB a SHA256SUMS, 10 000 names a folder.
//!
//! What it refuses: a tag that does not exist with or without `v`; refs, names and paths outside
//! their grammar; a digest that is absent, malformed, listed twice or different; a package that is
//! by its name another version's; a release without a signature unless that is allowed, and a
//! wrong signature always; links and `..` beneath a root; anything that is no archive by its first
//! bytes.
//!
//! What may surprise: a token goes to the API's origin only, so the archive host never sees it.
//! A signature is judged by the keys that the registry lists, so without named or pinned keys it
//! proves that the registry and the release agree, no more. Folder functions block: call them on
//! the blocking pool.

#![warn(missing_docs)]

mod answer;
mod container;
mod error;
mod folder;
mod github;
mod name;
mod registry;
mod sums;

#[cfg(test)]
mod testing;

pub use container::{ArchiveFormat, fetch_module};
pub use error::Error;
pub use folder::{LocalPackage, ModuleFolder, ReleaseFolder};
pub use github::{Github, ModuleOrigin};
pub use name::{ProviderAddress, Repository};
pub use registry::{ProviderOrigin, ProviderRegistry, Trust, UpstreamVersion, fetch_package};
pub use sums::listed_digest;
