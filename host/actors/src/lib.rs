//! The actors: registry, reconciler, scanner, their supervisor and their handles.
//!
//! What bounds it: every call takes a permit of its handle first and keeps it to the reply, so
//! queued and running calls together never exceed the number of permits; the reconciler's jobs
//! hold further permits for fetches and uploads. What it refuses: a call beyond that, with
//! [`Error::Busy`] at once. What may surprise: the catalog lives outside its actor, in an
//! `ArcSwap`; reads neither send a message nor notice a restart.
//!
//! Callers see the handles: plain structs with async methods. No `Addr`, no message and nothing
//! of actix leaves this crate, but for [`supervisor::supervise`]'s bounds.

mod error;
mod mailbox;
pub mod reconciler;
pub mod registry;
pub mod runtime;
pub mod scanner;
pub mod supervisor;
#[cfg(test)]
mod testing;

pub use error::Error;
pub use reconciler::ReconcilerHandle;
pub use registry::RegistryHandle;
pub use runtime::Arbiters;
pub use scanner::ScannerHandle;
