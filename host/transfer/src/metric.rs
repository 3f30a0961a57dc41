//! The metrics of storage (reliability.md 10.1). Labels come from closed sets only.

use crate::error::{Damage, Error};
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
