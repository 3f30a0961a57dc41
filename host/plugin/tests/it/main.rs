//! The plugin host against guests written as text: kind ones and hostile ones.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails loudly, in its helpers as well"
)]

mod auth;
mod built;
mod guests;
mod limits;
mod load;
mod reload;
mod scan;
mod signature;
mod storage;
mod support;
