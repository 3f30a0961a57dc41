//! Every family of metrics that this process has: name, type, labels, help, and for histograms
//! the buckets (reliability.md 10.1). `host/METRICS.md` is this table as a page.
//!
//! A family that is recorded somewhere and is not listed here fails a test, and so does one that
//! is listed and recorded nowhere.

use metrics::{Unit, describe_counter, describe_gauge, describe_histogram};
use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder};

/// One family.
pub(crate) struct Family {
    pub(crate) name: &'static str,
    pub(crate) kind: Kind,
    pub(crate) unit: Unit,
    /// Names of labels. Their values are closed sets, or the operator's: plugins and keys.
    #[cfg_attr(
        not(test),
        expect(
            dead_code,
            reason = "for the tests that compare page, table and source"
        )
    )]
    pub(crate) labels: &'static [&'static str],
    pub(crate) help: &'static str,
}

/// What Prometheus calls its type.
#[derive(Clone, Copy)]
pub(crate) enum Kind {
    Counter,
    Gauge,
    /// With the upper bounds of its buckets, in seconds.
    Histogram(&'static [f64]),
}

/// An answer: 100 µs to 30 s.
const REQUEST: &[f64] = &[
    0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.01, 0.05, 0.25, 1.0, 5.0, 30.0,
];
/// A decision or a call in this process: 10 µs to 30 s.
const CALL: &[f64] = &[
    0.000_01, 0.000_025, 0.000_05, 0.0001, 0.00025, 0.001, 0.005, 0.02, 0.05, 0.1, 0.5, 2.0, 30.0,
];
/// Work on bytes and objects: 100 µs to 10 min.
const WORK: &[f64] = &[
    0.0001, 0.0005, 0.0025, 0.01, 0.05, 0.25, 1.0, 5.0, 15.0, 60.0, 300.0, 600.0,
];

const fn counter(
    name: &'static str,
    labels: &'static [&'static str],
    help: &'static str,
) -> Family {
    Family {
        name,
        kind: Kind::Counter,
        unit: Unit::Count,
        labels,
        help,
    }
}

const fn gauge(name: &'static str, labels: &'static [&'static str], help: &'static str) -> Family {
    Family {
        name,
        kind: Kind::Gauge,
        unit: Unit::Count,
        labels,
        help,
    }
}

const fn seconds(
    name: &'static str,
    buckets: &'static [f64],
    labels: &'static [&'static str],
    help: &'static str,
) -> Family {
    Family {
        name,
        kind: Kind::Histogram(buckets),
        unit: Unit::Seconds,
        labels,
        help,
    }
}

const fn measured_in(unit: Unit, family: Family) -> Family {
    Family { unit, ..family }
}

/// In the order of reliability.md 10.1.
#[rustfmt::skip]
pub(crate) static TABLE: &[Family] = &[
    // HTTP
    seconds("opendepot_http_server_request_duration_seconds", REQUEST, &["route", "method", "code"],
        "Time from a request's head to its response's head, by route template."),
    gauge("opendepot_http_server_active_requests", &["class"],
        "Requests in flight that hold a permit: metadata until answered, download to the body's end."),
    counter("opendepot_http_server_rejected_total", &["reason"],
        "Requests that were refused for their form or for want of room: limit, overload, malformed, slow."),
    gauge("opendepot_http_server_connections", &["state"],
        "Connections of both listeners: handshake, open."),
    counter("opendepot_tls_reload_failures_total", &[],
        "Changed certificate files that could not be used; the last good certificate stays."),
    // Downloads
    measured_in(Unit::Bytes, counter("opendepot_download_bytes_total", &["kind", "backend", "mode"],
        "Bytes of artifacts that were handed to connections (proxy), or that links were given for (presign).")),
    counter("opendepot_download_aborted_total", &["cause"],
        "Downloads that ended before their end: client, slow (the client took too little), storage, corrupt."),
    counter("opendepot_artifact_integrity_failures_total", &["backend", "kind"],
        "Stored or fetched bytes that were not what their record says, by kind: size, digest, changed."),
    // Access
    counter("opendepot_authn_total", &["mode", "result", "reason"],
        "Credentials that were looked at."),
    counter("opendepot_authz_total", &["engine", "decision"],
        "Access decisions, remembered ones included, by plugins or by the mode alone."),
    counter("opendepot_authz_cache_total", &["result"],
        "Decisions of plugins that were remembered (hit) or asked for (miss)."),
    seconds("opendepot_authz_duration_seconds", CALL, &[],
        "Time of a decision that had to be asked for, over the whole chain of plugins."),
    // Index
    gauge("opendepot_index_objects", &["kind"],
        "Objects in the served index."),
    measured_in(Unit::Seconds, gauge("opendepot_index_staleness_seconds", &["kind"],
        "Time since the index last heard of the control plane, a bookmark included.")),
    counter("opendepot_watch_restarts_total", &["kind", "reason"],
        "Watches of the index that broke off and began again."),
    gauge("opendepot_invalid_objects", &["kind"],
        "Objects whose name cannot be published, or whose recorded status this registry did not seal."),
    // Controllers
    counter("opendepot_controller_reconcile_total", &["controller", "result"],
        "Reconciles by how they ended: success, or the kind of failure."),
    counter("opendepot_controller_reconcile_errors_total", &["controller"],
        "Reconciles that failed; being told to come back is none."),
    counter("opendepot_controller_reconcile_panics_total", &["controller"],
        "Reconciles that panicked."),
    seconds("opendepot_controller_reconcile_time_seconds", WORK, &["controller"],
        "Time of one reconcile."),
    gauge("opendepot_controller_active_workers", &["controller"],
        "Reconciles that run at this moment."),
    counter("opendepot_workqueue_retries_total", &["controller"],
        "Objects that were put back to be tried again after a failure."),
    counter("opendepot_rest_client_requests_total", &["code", "verb"],
        "Requests of controllers and index to the control plane."),
    seconds("opendepot_rest_client_request_duration_seconds", CALL, &["verb"],
        "Time to the head of the control plane's answer."),
    // Sync
    seconds("opendepot_sync_stage_duration_seconds", WORK, &["stage"],
        "Time of one stage of a sync: resolve, fetch, inspect, store, publish; and sign, once a release."),
    counter("opendepot_sync_outcome_total", &["stage", "reason"],
        "Ends of a sync's stages, by condition reason; of publish by kind of failure."),
    counter("opendepot_upstream_requests_total", &["host_class", "code"],
        "Requests to sources and, as plugin, to hosts of plugins, redirects included; error is no answer, refused is the egress policy."),
    gauge("opendepot_upstream_ratelimit_remaining", &[],
        "Requests that GitHub last said are left."),
    gauge("opendepot_versions", &["kind", "state"],
        "Versions: ready, pending, failing, stalled, unavailable (the source has no such platform), drifted, damaged, deleting."),
    measured_in(Unit::Seconds, gauge("opendepot_oldest_pending_sync_seconds", &[],
        "How long the Version that has waited longest is pending or failing; 0 when none is.")),
    // Storage
    seconds("opendepot_storage_op_duration_seconds", WORK, &["backend", "op", "result"],
        "Time of a storage operation; of a read until its first byte can be sent."),
    // Plugins
    seconds("opendepot_plugin_call_duration_seconds", CALL, &["plugin", "func", "result"],
        "Time of one call into a guest, its wait for an instance included."),
    counter("opendepot_plugin_traps_total", &["plugin", "class"],
        "Guests that were stopped: deadline, memory, stack, fuel, abi, guest."),
    counter("opendepot_plugin_denied_hostcalls_total", &["plugin", "import"],
        "Host calls, and plans, that grants do not cover."),
    gauge("opendepot_plugin_breaker_state", &["plugin"],
        "1 while a plugin that failed too often in a row is not called."),
    gauge("opendepot_plugin_instances", &["plugin", "state"],
        "Instances that run at this moment."),
    measured_in(Unit::Bytes, gauge("opendepot_plugin_memory_bytes", &["plugin"],
        "Linear memory of the instances that run at this moment.")),
    seconds("opendepot_plugin_compile_duration_seconds", WORK, &[],
        "Time to compile one component."),
    gauge("opendepot_plugin_info", &["plugin", "digest", "world"],
        "1 for each plugin that is loaded; 0 for one that another version took the place of."),
    counter("opendepot_plugin_reloads_total", &["result"],
        "Changed plugins: loaded, refused (what served before serves on), failed, removed."),
    measured_in(Unit::Seconds, gauge("opendepot_epoch_ticker_lag_seconds", &[],
        "How late the last epoch was: guests are stopped that much after their deadline.")),
    // Actors
    gauge("opendepot_actor_mailbox_depth", &["actor"],
        "Calls that are queued or running."),
    counter("opendepot_actor_mailbox_dropped_total", &["actor"],
        "Calls that were refused because the actor had enough to do."),
    counter("opendepot_actor_restarts_total", &["actor"],
        "Restarts after a panic or an end that nobody asked for."),
    seconds("opendepot_actor_handle_duration_seconds", WORK, &["actor"],
        "Time from a call to its reply, its wait for a turn included."),
    // Signing
    counter("opendepot_sign_operations_total", &["result"],
        "Releases that were signed, or could not be."),
    measured_in(Unit::Seconds, gauge("opendepot_signing_key_expiry_timestamp_seconds", &["key_id"],
        "When an advertised key ends, Unix time; absent for a key without an end.")),
    // Logs
    counter("opendepot_log_dropped_total", &[],
        "Log lines that were dropped because their reader was too slow."),
    // Process
    gauge("opendepot_build_info", &["version"],
        "1; which release this is."),
    gauge("opendepot_tokio_workers", &[],
        "Worker threads of the runtime."),
    gauge("opendepot_tokio_alive_tasks", &[],
        "Tasks that have not ended."),
    gauge("opendepot_tokio_global_queue_depth", &[],
        "Tasks that wait for any worker."),
];

/// Gives every histogram its buckets, so that none is rendered as a summary.
pub(super) fn with_buckets(builder: PrometheusBuilder) -> Result<PrometheusBuilder, BuildError> {
    TABLE
        .iter()
        .try_fold(builder, |builder, family| match family.kind {
            Kind::Histogram(buckets) => {
                builder.set_buckets_for_metric(Matcher::Full(family.name.to_owned()), buckets)
            }
            Kind::Counter | Kind::Gauge => Ok(builder),
        })
}

/// Hands help and unit of every family to the installed recorder.
pub(super) fn describe() {
    for family in TABLE {
        match family.kind {
            Kind::Counter => describe_counter!(family.name, family.unit, family.help),
            Kind::Gauge => describe_gauge!(family.name, family.unit, family.help),
            Kind::Histogram(_) => describe_histogram!(family.name, family.unit, family.help),
        }
    }
}

#[cfg(test)]
#[path = "family_tests.rs"]
mod tests;
