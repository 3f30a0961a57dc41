//! The metrics of controllers, of the feed's watches and of publishing (reliability.md 10.1).
//! Labels come from enums and names of ours.

use crate::error::Error;
use kube::runtime::watcher;
use metrics::{Counter, Gauge, Histogram, counter, gauge, histogram};
use opendepot_crds::Reason;
use opendepot_domain::Kind;
use std::future::Future;
use std::time::Instant;

/// Handles of one controller, looked up once.
#[derive(Clone)]
pub(crate) struct Meter {
    controller: &'static str,
    succeeded: Counter,
    failed: Counter,
    panicked: Counter,
    retried: Counter,
    seconds: Histogram,
    active: Gauge,
}

impl Meter {
    pub(crate) fn of(controller: &'static str) -> Self {
        let meter = Self {
            controller,
            succeeded: ended(controller, "success"),
            failed: counter!("opendepot_controller_reconcile_errors_total", "controller" => controller),
            panicked: counter!("opendepot_controller_reconcile_panics_total", "controller" => controller),
            retried: counter!("opendepot_workqueue_retries_total", "controller" => controller),
            seconds: histogram!("opendepot_controller_reconcile_time_seconds", "controller" => controller),
            active: gauge!("opendepot_controller_active_workers", "controller" => controller),
        };
        meter.active.set(0.0);
        meter
    }

    /// A reconcile begins; it ends when the guard is dropped.
    pub(crate) fn begin(&self) -> Working {
        self.active.increment(1.0);
        Working(self.active.clone())
    }

    pub(crate) fn panicked(&self) {
        self.panicked.increment(1);
    }

    pub(crate) fn retried(&self) {
        self.retried.increment(1);
    }

    /// A reconcile that began at `started` ended.
    pub(crate) fn ended<T>(&self, outcome: &Result<T, Error>, started: Instant) {
        match outcome.as_ref().map_err(Error::kind) {
            Ok(_) => self.succeeded.increment(1),
            Err(kind) => {
                ended(self.controller, kind.label()).increment(1);
                if !is_no_failure(kind) {
                    self.failed.increment(1);
                }
            }
        }
        self.seconds.record(started.elapsed().as_secs_f64());
    }
}

/// Being told to come back is no failure of the object.
pub(crate) const fn is_no_failure(kind: Kind) -> bool {
    matches!(kind, Kind::Conflict | Kind::Busy)
}

fn ended(controller: &'static str, result: &'static str) -> Counter {
    counter!("opendepot_controller_reconcile_total", "controller" => controller, "result" => result)
}

/// Counts itself off when it is dropped.
pub(crate) struct Working(Gauge);

impl Drop for Working {
    fn drop(&mut self) {
        self.0.decrement(1.0);
    }
}

/// Counts a watch that broke off.
pub(crate) fn watch_restarted(kind: &'static str, error: &watcher::Error) {
    let reason = match error {
        watcher::Error::WatchError(status) if status.code == 410 => "expired",
        watcher::Error::InitialListFailed(_) => "list",
        watcher::Error::WatchStartFailed(_) => "start",
        _ => "broken",
    };
    counter!("opendepot_watch_restarts_total", "kind" => kind, "reason" => reason).increment(1);
}

/// Runs the write that makes a Version published: the last stage of a sync.
pub(crate) async fn publish<T>(work: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
    let started = Instant::now();
    let outcome = work.await;
    let reason = outcome
        .as_ref()
        .map_or_else(|error| error.kind().label(), |_| Reason::Succeeded.as_str());
    stage("publish", reason, started);
    outcome
}

/// A release was signed, or could not be.
pub(crate) fn signed(is_signed: bool, started: Instant) {
    let (result, reason) = if is_signed {
        ("ok", Reason::Succeeded)
    } else {
        ("failed", Reason::SigningKeyUnusable)
    };
    counter!("opendepot_sign_operations_total", "result" => result).increment(1);
    stage("sign", reason.as_str(), started);
}

fn stage(stage: &'static str, reason: &'static str, started: Instant) {
    counter!("opendepot_sync_outcome_total", "stage" => stage, "reason" => reason).increment(1);
    histogram!("opendepot_sync_stage_duration_seconds", "stage" => stage)
        .record(started.elapsed().as_secs_f64());
}
