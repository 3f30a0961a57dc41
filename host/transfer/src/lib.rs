//! Moves, hashes and ranges bytes: the filesystem store, the stores of the clouds, signed requests,
//! and the one HTTP client through which anything leaves the process.
//!
//! It never decides *where*: a storage plugin's plan ([`opendepot_domain::Transfer`]) says that,
//! and an operator's [`EgressPolicy`] says what may be reached.
//!
//! What bounds it: every fetch has a size cap, a connect, an idle and a total timeout
//! ([`FetchLimits`]); files that are hashed, or wait for it, are counted ([`StoreLimits`]). How
//! many puts, fetches and bodies there are at a time is up to the permits of the callers: a put
//! holds 1 MiB, a fetch at most 2 MiB, a body one buffer of [`BUFFER_BYTES`] besides the frames
//! that the server has not yet written. Bodies never wait for a buffer.
//!
//! What it refuses: keys and stores that leave their root, through `..` or a symbolic link;
//! overwriting; serving bytes whose digest is not the recorded one; addresses that are not
//! public, redirects off the allowed hosts, credentials for another origin, proxies from the
//! environment.
//!
//! What may surprise:
//! - The first download of a file after a start hashes the file first. Its identity (device,
//!   inode, size, mtime, ctime) is then remembered, so later downloads do not.
//! - A body ends with an error, never normally, when the file changed under it. Deleting a file,
//!   or changing its mode or owner, is such a change. Hidden contract: the server must reset the
//!   connection when the body fails.
//! - A store keeps its root directory open. Remounting it needs a restart.
//! - A domain name is checked against the policy at connect time, on the address that is then
//!   connected to; a pooled connection is not checked again.

#![warn(missing_docs)]

mod body;
mod egress;
mod error;
pub mod fault;
mod fetch;
mod metric;
mod store;
mod sweep;

pub use body::{ArtifactBody, BUFFER_BYTES};
pub use egress::{EgressConfig, EgressPolicy, HostPattern, InvalidPattern};
pub use error::{Damage, Error};
pub use fetch::{
    Credential, Downloaded, ExchangeRequest, FetchLimits, FetchRequest, Fetched, Fetcher,
    HostClass, Lookup, LookupFuture, Secret, SystemLookup,
};
pub use store::{
    ByteRange, CloudCredential, CloudCredentialKind, Expected, HashedState, NativeAccess, Put,
    RemoteLimits, Sibling, SignedHeaders, Source, StoreAccess, StoreLimits, Stores, StoresConfig,
    backend_label,
};
pub use sweep::sweep_directory;
