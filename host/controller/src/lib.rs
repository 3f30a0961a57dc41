//! The reconcilers of Module, Provider and Version, what gives the auth plugins the GroupBindings,
//! what says that nobody acts on a Depot yet, and the feed of the registry.
//!
//! What bounds it: a controller never overlaps one object; heavy work takes the reconciler
//! actor's permits; a failing object backs off alone, with jitter, to five minutes at most; a
//! panic in one reconcile costs that object its turn. What it refuses: writing a field that a
//! user owns, deleting what its own status does not record, serving a status without a valid
//! seal. What may surprise: with nothing to do it writes nothing: a status is patched only when
//! it would change.

mod alone;
mod backoff;
pub mod bindings;
mod census;
mod claims;
mod context;
pub mod damage;
mod doomed;
mod error;
mod events;
mod facts;
mod feed;
mod index;
mod labels;
mod metric;
mod module;
mod owned;
mod provider;
mod readiness;
mod readme;
mod release;
mod run;
pub mod seal;
mod shelf;
mod status;
mod throttle;
mod unbuilt;
mod version;
mod watched;

/// Objects a page of a list. A page is decoded whole, so small ones keep the peak low; the control
/// plane is in this process, so more of them cost next to nothing.
const PAGE_SIZE: u32 = 100;

pub use context::{Context, ContextOptions};
pub use error::Error;
pub use feed::Feed;
pub use run::{Controllers, run};
pub use version::intent::{Refusal, identity};
