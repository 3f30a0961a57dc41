//! Pulls plugins from OCI registries, by digest.
//!
//! What it is for: [`OciPuller::pull`] turns `registry/repository@sha256:…` into a folder like any
//! plugin's, in a cache from which a restart works without the registry.
//!
//! What bounds it: two pulls at a time; a manifest of 1 MiB, a `plugin.yaml` of 64 KiB, a signature
//! of 16 KiB, a component of the configured size, each no larger than the manifest says; 2 minutes
//! a request and the caller's deadline over all; every request passes the egress policy, each
//! redirect anew.
//!
//! What it refuses: references without a digest; manifests, layers and answers of other media types
//! than a plugin's ([`ArtifactError`]); bytes of another digest or size; content encodings;
//! credential helpers; login data for a token server on another host that the operator did not
//! name.
//!
//! What may surprise: a registry that the egress policy lists for plain HTTP is spoken to without
//! TLS, credentials included. A registry's host is all hosts it may ask to be logged in at, so
//! Docker Hub's token server needs an entry of its own in the docker configuration file. What a
//! component is worth is not judged here: the pin, the signature and the list of denied digests are
//! the loader's.

#![warn(missing_docs)]

mod artifact;
mod cache;
mod challenge;
mod docker;
mod error;
mod pull;
mod reference;
mod session;

pub use artifact::{ArtifactError, Part};
pub use docker::DockerError;
pub use error::OciError;
pub use pull::{OciConfig, OciPuller};
pub use reference::{Reference, ReferenceError};
