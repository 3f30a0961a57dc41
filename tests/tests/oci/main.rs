//! Plugins from a real OCI registry.

#![expect(
    clippy::unwrap_used,
    reason = "tests: the way they report is to panic with what they saw"
)]

mod pull;
mod serve;
mod token;
