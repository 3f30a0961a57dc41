//! The vocabulary of OpenDepot: names, versions, digests, platforms, placements, access
//! decisions, verdicts, and the pure rules over them.
//!
//! What bounds it: no runtime, no I/O, no clock, no wasm, no Kubernetes. Times are Unix seconds
//! handed in by the caller. Only the three seam traits in [`seam`] return futures.
//!
//! What it refuses: every newtype validates on construction, so a value of the type is safe to
//! put into an URL, a storage key, a Kubernetes name or a log line as its documentation says.

#![warn(missing_docs)]

pub mod access;
pub mod artifact;
pub mod canonical;
pub mod capability;
pub mod constraint;
pub mod digest;
pub mod error;
pub mod name;
pub mod placement;
pub mod platform;
pub mod release;
pub mod scan;
pub mod seam;
pub mod version;

pub use access::{Action, Authentication, Decision, Subject, Target};
pub use artifact::{Artifact, ArtifactId, ArtifactKind, ArtifactRecord};
pub use capability::{Capability, Purpose};
pub use constraint::Constraints;
pub use digest::{H1, Sha256};
pub use error::Kind;
pub use name::{ConfigName, FileName, Namespace, PluginId, ResourceName};
pub use placement::{NativePlan, Operation, Placement, Presign, Transfer};
pub use platform::Platform;
pub use release::{Release, ReleaseFile};
pub use version::Version;
