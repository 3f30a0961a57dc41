//! The public edge in process, and the server on real sockets.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails loudly, in its helpers as well"
)]

mod bytes;
mod capabilities;
mod checks;
mod damage;
mod documents;
mod errors;
mod facts;
mod fake;
mod hostile;
mod links;
mod local;
mod server;
mod socket;
mod support;
mod wire;
