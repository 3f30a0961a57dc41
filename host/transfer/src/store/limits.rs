//! How long requests to a store on the network may take.

use std::time::Duration;

/// Limits of stores on the network (reliability.md 2, storage).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RemoteLimits {
    /// Opening a body for a client, all tries included. Clients give up after 10 s, and the plan
    /// takes its time too.
    pub read_timeout: Duration,
    /// Tries of a read after the first.
    pub num_read_retries: usize,
    /// Anything in the background, all tries included.
    pub sync_timeout: Duration,
    /// Tries in the background after the first; the caller then tries again later.
    pub num_sync_retries: usize,
    /// Waiting for the head of an answer without a body to send first, or for the next bytes.
    pub idle_timeout: Duration,
    /// How long the operator's word on a store is remembered: a rotated credential is in use after
    /// this.
    pub access_for: Duration,
}

impl Default for RemoteLimits {
    fn default() -> Self {
        Self {
            read_timeout: Duration::from_secs(7),
            num_read_retries: 2,
            sync_timeout: Duration::from_secs(10 * 60),
            num_sync_retries: 3,
            idle_timeout: Duration::from_secs(30),
            access_for: Duration::from_secs(30),
        }
    }
}
