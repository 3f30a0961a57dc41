//! The metrics of a sync's stages (reliability.md 10.1). Stages and reasons are closed sets.

use super::failure::JobError;
use std::time::Instant;

/// Runs one stage: how long it took, and how it ended.
pub(super) async fn stage<T, E: Into<JobError>>(
    stage: &'static str,
    work: impl Future<Output = Result<T, E>>,
) -> Result<T, JobError> {
    let started = Instant::now();
    let outcome = work.await.map_err(Into::into);
    let reason = outcome
        .as_ref()
        .map_or_else(JobError::reason, |_| "Succeeded");
    metrics::histogram!("opendepot_sync_stage_duration_seconds", "stage" => stage)
        .record(started.elapsed().as_secs_f64());
    count(stage, reason);
    outcome
}

/// Counts the end of a stage.
pub(super) fn count(stage: &'static str, reason: &'static str) {
    metrics::counter!("opendepot_sync_outcome_total", "stage" => stage, "reason" => reason)
        .increment(1);
}
