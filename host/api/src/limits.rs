//! The HTTP limits, with the defaults of reliability.md section 2.

use serde::{Deserialize, Serialize};
use std::time::Duration;

/// Limits of the HTTP edge; keys of `limits.http`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Limits {
    /// Longest request target.
    pub uri_bytes: usize,
    /// Largest header block.
    pub header_bytes: usize,
    /// Most header fields.
    pub num_headers: usize,
    /// Time from a head's first byte to its last, in seconds.
    pub header_read_seconds: u64,
    /// How long an idle connection is kept, in seconds.
    pub idle_seconds: u64,
    /// Slowest download, bytes a second over any `progress_window_seconds`.
    pub progress_bytes_per_second: u64,
    /// The window of the progress rule, in seconds.
    pub progress_window_seconds: u64,
    /// Metadata requests in flight; more are shed.
    pub num_metadata: usize,
    /// Downloads in flight; more wait.
    pub num_downloads: usize,
    /// How long a download waits for its permit, in seconds.
    pub download_wait_seconds: u64,
    /// Open connections; more wait in the listener's backlog.
    pub num_connections: usize,
    /// HTTP/2 streams a connection.
    pub num_h2_streams: u32,
}

impl Limits {
    pub(crate) const fn progress_window(&self) -> Duration {
        Duration::from_secs(self.progress_window_seconds)
    }

    pub(crate) const fn progress_bytes_per_window(&self) -> u64 {
        self.progress_bytes_per_second
            .saturating_mul(self.progress_window_seconds)
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            uri_bytes: 8 * 1024,
            header_bytes: 32 * 1024,
            num_headers: 100,
            header_read_seconds: 10,
            idle_seconds: 75,
            progress_bytes_per_second: 1024,
            progress_window_seconds: 30,
            num_metadata: 512,
            num_downloads: 256,
            download_wait_seconds: 30,
            num_connections: 16_384,
            num_h2_streams: 128,
        }
    }
}
