//! The puller against registries in this process, most of which lie.

#![expect(
    clippy::unwrap_used,
    reason = "a test fails loudly, in its helpers as well"
)]

mod fake;
mod pull;
