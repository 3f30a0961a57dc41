//! What an author of a plugin does, from an empty folder to a registry that obeys: every language
//! and world of `opendepot plugin new`, by the commands that it prints.
//!
//! What may surprise: JavaScript and Python fetch their tools once a run, from wherever `npm` and
//! `pip` of this machine fetch. Rust is built without a network, after one `cargo fetch`.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests: the way they report is to panic with what they saw"
)]

mod author;
mod javascript;
mod journey;
mod python;
mod refused;
mod rust;
