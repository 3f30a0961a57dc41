//! The plugin host against guests written as text: kind ones and hostile ones.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails loudly, in its helpers as well"
)]

mod abi;
mod audit;
mod auth;
mod built;
mod footprint;
mod guests;
mod hostile;
mod invoke;
mod isolation;
mod limits;
mod load;
mod readme;
mod reload;
mod scan;
mod signature;
mod storage;
mod supply;
mod support;
