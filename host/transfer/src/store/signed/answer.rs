//! What an answer means, by the three lists of its plan.

use crate::egress::redacted;
use crate::error::Error;
use crate::fetch::{answered, retry_after_seconds};
use http::header::{CONTENT_LENGTH, CONTENT_RANGE, HeaderMap};
use opendepot_domain::Operation;
use opendepot_domain::placement::SignedRequest;
use std::ops::Range;
use std::time::SystemTime;
use url::Url;

/// An answer that the plan knows.
pub(super) enum Answer {
    /// Done.
    Done(reqwest::Response),
    /// There is an object already.
    Exists,
    /// There is no such object.
    Missing,
}

/// A failed try, and whether another one at once may end better.
#[derive(Debug)]
pub(super) struct Failed {
    error: Error,
    is_passing: bool,
}

impl Failed {
    pub(super) const fn passing(error: Error) -> Self {
        Self {
            error,
            is_passing: true,
        }
    }

    pub(super) const fn lasting(error: Error) -> Self {
        Self {
            error,
            is_passing: false,
        }
    }

    pub(super) const fn is_passing(&self) -> bool {
        self.is_passing
    }
}

impl From<Failed> for Error {
    fn from(failed: Failed) -> Self {
        failed.error
    }
}

/// Reads an answer's status.
pub(super) fn judge(
    plan: &SignedRequest,
    operation: Operation,
    attempt: &str,
    url: &Url,
    response: reqwest::Response,
) -> Result<Answer, Failed> {
    let status = response.status().as_u16();
    // A part is done when the whole would be: it is the host that asks for parts.
    let is_part = operation == Operation::Get && status == 206 && plan.success.contains(&200);
    if is_part || plan.success.contains(&status) {
        return Ok(Answer::Done(response));
    }
    if plan.exists.contains(&status) {
        return Ok(Answer::Exists);
    }
    if plan.missing.contains(&status) {
        return Ok(Answer::Missing);
    }
    let waiting = retry_after_seconds(status, response.headers(), SystemTime::now());
    if let Some(seconds) = waiting {
        return Err(Failed::lasting(Error::RateLimited {
            url: redacted(url),
            retry_after_seconds: seconds,
        }));
    }
    Err(match status {
        401 | 403 => Failed::lasting(Error::Denied {
            attempt: attempt.to_owned(),
        }),
        408 | 425 | 500..=599 => {
            Failed::passing(Error::unavailable(attempt, answered(response.status())))
        }
        300..=399 => Failed::lasting(Error::unavailable(
            attempt,
            format!(
                "{}, and redirects are not followed",
                answered(response.status())
            ),
        )),
        _ => Failed::lasting(Error::unavailable(
            attempt,
            format!(
                "{}, which its plan does not list",
                answered(response.status())
            ),
        )),
    })
}

/// The announced length, also of an answer to `HEAD`.
pub(super) fn content_length(headers: &HeaderMap) -> Option<u64> {
    headers
        .get(CONTENT_LENGTH)?
        .to_str()
        .ok()?
        .trim()
        .parse()
        .ok()
}

/// The part that an answer carries, and the size of the whole.
pub(super) fn content_range(headers: &HeaderMap) -> Option<(Range<u64>, u64)> {
    let text = headers.get(CONTENT_RANGE)?.to_str().ok()?;
    let (range, size) = text.strip_prefix("bytes ")?.split_once('/')?;
    let (start, end) = range.split_once('-')?;
    let end: u64 = end.parse().ok()?;
    Some((start.parse().ok()?..end.checked_add(1)?, size.parse().ok()?))
}
