//! Properties of the vocabulary, over values that nobody thought of.

#![expect(
    clippy::unwrap_used,
    reason = "a test fails loudly, in its helpers as well"
)]

mod names;
mod releases;
mod versions;
