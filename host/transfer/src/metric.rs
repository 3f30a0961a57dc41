//! The metrics of storage and of upstream requests (reliability.md 10.1). Labels come from closed
//! sets only: a server that answers with codes of its own makes no series of its own.

use crate::error::{Damage, Error};
use crate::fetch::HostClass;
use std::time::Instant;

/// Runs one storage operation and records how long it took and how it ended. For a body the
/// time ends when the first byte can be read.
pub(crate) async fn timed<T>(
    backend: &'static str,
    operation: &'static str,
    work: impl Future<Output = Result<T, Error>>,
) -> Result<T, Error> {
    let started = Instant::now();
    let outcome = work.await;
    let result = match &outcome {
        Ok(_) => "ok",
        Err(error) => error.kind().label(),
    };
    metrics::histogram!(
        "opendepot_storage_op_duration_seconds",
        "backend" => backend, "op" => operation, "result" => result
    )
    .record(started.elapsed().as_secs_f64());
    outcome
}

/// Counts bytes that were not what their record says and returns the error for them.
pub(crate) fn corrupt(backend: &'static str, what: String, damage: Damage) -> Error {
    metrics::counter!(
        "opendepot_artifact_integrity_failures_total",
        "backend" => backend, "kind" => damage.label()
    )
    .increment(1);
    Error::Corrupt { what, damage }
}

/// Counts a request to an upstream that was answered, redirects included; nothing for one that
/// was not.
pub(crate) fn asked(class: HostClass, answer: Option<&reqwest::Response>) {
    let code = answer.map_or("error", |answer| code(answer.status().as_u16()));
    count(class, code);
    let remaining = answer
        .filter(|_| class == HostClass::Github)
        .and_then(|answer| answer.headers().get("x-ratelimit-remaining"))
        .and_then(|value| value.to_str().ok()?.trim().parse::<u32>().ok());
    if let Some(remaining) = remaining {
        metrics::gauge!("opendepot_upstream_ratelimit_remaining").set(f64::from(remaining));
    }
}

/// Counts a request that the egress policy refused before it was sent.
pub(crate) fn refused(class: HostClass) {
    count(class, "refused");
}

fn count(class: HostClass, code: &'static str) {
    metrics::counter!(
        "opendepot_upstream_requests_total", "host_class" => class.label(), "code" => code
    )
    .increment(1);
}

/// The codes that tell an operator something; the others by their first digit.
const fn code(status: u16) -> &'static str {
    match status {
        200 => "200",
        301 => "301",
        302 => "302",
        304 => "304",
        307 => "307",
        401 => "401",
        403 => "403",
        404 => "404",
        429 => "429",
        500 => "500",
        502 => "502",
        503 => "503",
        504 => "504",
        other => match other / 100 {
            2 => "2xx",
            3 => "3xx",
            4 => "4xx",
            5 => "5xx",
            _ => "other",
        },
    }
}
