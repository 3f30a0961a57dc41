//! Answers, and what their status means.

use super::{fetch, rate};
use crate::egress::redacted;
use crate::error::Error;
use bytes::Bytes;
use http::HeaderMap;
use std::fmt;
use std::time::SystemTime;
use url::Url;

/// An answer that is whole in memory.
#[derive(Clone)]
pub struct Fetched {
    /// The HTTP status.
    pub status: u16,
    /// The headers of the last hop.
    pub headers: HeaderMap,
    /// The body; of an error at most 64 KiB.
    pub body: Bytes,
    /// Where the answer came from. Its query may hold a secret.
    pub final_url: Url,
}

impl Fetched {
    /// Turns every status but 2xx into the error that it means.
    ///
    /// # Errors
    /// [`Error::NotFound`] for 404 and 410, [`Error::RateLimited`] for 429 and for a 403 that
    /// says so, [`Error::Denied`] for 401 and 403, [`Error::Unavailable`] for the rest.
    pub fn success(self) -> Result<Self, Error> {
        check_status(self.status, &self.headers, &self.final_url)?;
        Ok(self)
    }

    /// Seconds to wait when the answer is a rate limit.
    #[must_use]
    pub fn rate_limited_seconds(&self) -> Option<u64> {
        rate::retry_after_seconds(self.status, &self.headers, SystemTime::now())
    }
}

impl fmt::Debug for Fetched {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fetched")
            .field("status", &self.status)
            .field("final_url", &redacted(&self.final_url))
            .field("body_bytes", &self.body.len())
            .finish_non_exhaustive()
    }
}

/// The error that a status means; `Ok` for 2xx.
pub(super) fn check_status(status: u16, headers: &HeaderMap, url: &Url) -> Result<(), Error> {
    if let Some(seconds) = rate::retry_after_seconds(status, headers, SystemTime::now()) {
        return Err(Error::RateLimited {
            url: redacted(url),
            retry_after_seconds: seconds,
        });
    }
    match status {
        200..=299 => Ok(()),
        404 | 410 => Err(Error::NotFound {
            what: format!("`{}`", redacted(url)),
        }),
        401 | 403 => Err(Error::Denied {
            attempt: fetch(url),
        }),
        _ => Err(Error::unavailable(
            fetch(url),
            format!("it answered {status}"),
        )),
    }
}
