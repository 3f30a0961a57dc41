//! The HTTP edge: registry protocols, artifact bytes, admin endpoints, TLS, and the accept loop.
//!
//! What bounds it: the limits of [`Limits`] (reliability.md section 2): header size and time,
//! requests in flight, downloads in flight, minimum progress. What it refuses: a name that the
//! grammar does not allow (before anything else looks at it), a route that is not in
//! [`routes::TABLE`], a body it was not asked for. What may surprise: discovery is answered
//! before every check, also while draining, because clients never retry it; artifact routes wait
//! for a permit while metadata is shed at once, because most clients never retry an archive.

mod access;
pub mod admin;
mod artifacts;
mod connection;
mod delivery;
mod documents;
mod error;
mod grammar;
mod instrument;
mod limits;
mod links;
mod metric;
mod modules;
mod providers;
mod public;
mod range;
pub mod routes;
pub mod server;
mod state;
pub mod tls;

pub use access::{Access, AccessOptions};
pub use error::ApiError;
pub use limits::Limits;
pub use public::Public;
pub use state::{ApiState, Damage, ModuleOptions, StateOptions};
