//! Logs and metrics.

use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use std::io::IsTerminal as _;
use std::sync::atomic::{AtomicUsize, Ordering};
use tracing_appender::non_blocking::{NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::filter::{FilterExt as _, Targets, filter_fn};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{Layer as _, fmt};

/// Lines that may wait for a slow reader; more are dropped and counted.
const BUFFERED_LINES: usize = 16_384;

/// Keeps the log writer alive; flushes on drop.
pub(crate) struct Telemetry {
    _writer: WorkerGuard,
    dropped: tracing_appender::non_blocking::ErrorCounter,
    counted: AtomicUsize,
    metrics: PrometheusHandle,
}

/// Installs the log subscriber and the metrics recorder.
///
/// # Errors
/// When either was installed before, or the directives do not parse.
pub(crate) fn install(level: &str, is_json: Option<bool>) -> anyhow::Result<Telemetry> {
    let (writer, guard) = NonBlockingBuilder::default()
        .buffered_lines_limit(BUFFERED_LINES)
        .lossy(true)
        .finish(std::io::stderr());
    let dropped = writer.error_counter();
    let targets: Targets = level.parse()?;
    let is_json = is_json.unwrap_or_else(|| !std::io::stderr().is_terminal());
    let layer = if is_json {
        fmt::layer()
            .json()
            .flatten_event(true)
            .with_current_span(false)
            .with_span_list(false)
            .with_writer(writer)
            .boxed()
    } else {
        fmt::layer()
            .compact()
            .with_ansi(std::io::stderr().is_terminal())
            .with_writer(writer)
            .boxed()
    };
    tracing_subscriber::registry()
        .with(layer.with_filter(targets.and(filter_fn(may_be_logged))))
        .try_init()?;

    const SECONDS: &[f64] = &[
        0.0001, 0.0005, 0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 30.0, 300.0,
    ];
    let metrics = PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), SECONDS)?
        .install_recorder()?;
    metrics::gauge!("opendepot_build_info", "version" => env!("CARGO_PKG_VERSION")).set(1.0);
    Ok(Telemetry {
        _writer: guard,
        dropped,
        counted: AtomicUsize::new(0),
        metrics,
    })
}

/// The OpenPGP library logs secret key bytes at debug level: no directive may turn that on (A38).
fn may_be_logged(metadata: &tracing::Metadata<'_>) -> bool {
    let is_pgp = metadata.target() == "pgp" || metadata.target().starts_with("pgp::");
    !is_pgp || *metadata.level() <= tracing::Level::WARN
}

impl Telemetry {
    /// Prometheus text, process facts included.
    pub(crate) fn render(&self) -> String {
        let dropped = self.dropped.dropped_lines();
        let before = self.counted.swap(dropped, Ordering::Relaxed);
        metrics::counter!("opendepot_log_dropped_total")
            .increment(dropped.saturating_sub(before) as u64);
        process_facts();
        self.metrics.render()
    }

    /// Folds histograms' samples; to be called now and then when nobody scrapes.
    pub(crate) fn upkeep(&self) {
        self.metrics.run_upkeep();
    }
}

/// Memory and descriptors, from the kernel's own accounts.
fn process_facts() {
    if let Ok(statm) = std::fs::read_to_string("/proc/self/statm") {
        let pages: Option<f64> = statm
            .split_whitespace()
            .nth(1)
            .and_then(|pages| pages.parse().ok());
        if let Some(pages) = pages {
            let page_bytes = rustix::param::page_size() as f64;
            metrics::gauge!("process_resident_memory_bytes").set(pages * page_bytes);
        }
    }
    if let Ok(entries) = std::fs::read_dir("/proc/self/fd") {
        metrics::gauge!("process_open_fds").set(entries.count() as f64);
    }
}
