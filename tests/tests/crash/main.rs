//! kill -9 at every step of a sync, of the signing of a release and of a deletion (R-01, C01), what
//! a crash or a bad disk may leave behind (U10), and panics (C11).
//!
//! Needs a binary with numbered points at which it kills itself, which `cargo xtask test --only
//! crash` builds; `OPENDEPOT_FAULT_BIN` names another. With `OPENDEPOT_NIGHTLY` set, every point
//! is tried twenty times.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "tests: the way they report is to panic with what they saw"
)]

mod cloud;
mod damage;
mod fixture;
mod matrix;
mod observe;
mod panics;
mod points;
mod run;
mod server;
mod state;
