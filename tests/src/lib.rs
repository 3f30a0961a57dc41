//! Black-box tests of the `opendepot` binary: it is started as a user starts it and judged by
//! what it answers, what it writes and how it ends.
//!
//! What bounds it: every server, client and stand-in has a folder and ports of its own, every
//! wait has a deadline, and every child is killed when its owner is dropped. What it refuses:
//! sleeping instead of waiting for a condition; skipping a check because a tool is missing (the
//! panic names the command that installs it; `cargo xtask test` alone decides what may be
//! skipped). What may surprise: it needs a release build of the binary and of the plugins, which
//! `cargo xtask test` makes first, or the path of a binary in `OPENDEPOT_BIN`.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a test harness: the way it reports is to panic with what it saw"
)]

pub mod client;
pub mod docker_registry;
pub mod fixture;
pub mod object_server;
pub mod raw;
pub mod s3;
pub mod server;
pub mod upstream;
pub mod wait;

pub use client::{Client, Kind};
pub use fixture::{Module, Release};
pub use server::{Registry, Setup};
pub use wait::wait_until;

use sha2::Digest;

/// SHA-256 in lower-case hex.
pub fn sha256(bytes: &[u8]) -> String {
    hex::encode(sha2::Sha256::digest(bytes))
}

/// What the tests run against rustls with; repeated calls are harmless.
pub(crate) fn install_crypto() {
    // An error means that it is installed already.
    let _installed = rustls::crypto::ring::default_provider().install_default();
}
