//! The controllers against the embedded control plane, with real stores in a temp folder, a
//! folder as the source, and storage decisions written by hand.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails loudly, in its helpers as well"
)]

mod bindings;
mod drift;
mod faults;
mod honest;
mod modules;
mod moves;
mod names;
mod providers;
mod quiet;
mod support;
mod unbuilt;
