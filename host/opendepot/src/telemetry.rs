//! Logs and metrics.

mod control_plane;
mod family;
mod json;
mod lines;
mod process;

pub(crate) use control_plane::{Freshness, Observed};

use lines::{Lines, LinesGuard};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use std::io::IsTerminal as _;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::SystemTime;
use tracing_subscriber::filter::{FilterExt as _, Targets, filter_fn};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{Layer as _, fmt};

/// Keeps the log writer alive; flushes on drop.
pub(crate) struct Telemetry {
    _writer: LinesGuard,
    lines: Lines,
    counted: AtomicUsize,
    metrics: PrometheusHandle,
    started: SystemTime,
}

/// Installs the log subscriber and the metrics recorder.
///
/// # Errors
/// When either was installed before, or the directives do not parse.
pub(crate) fn install(level: &str, is_json: Option<bool>) -> anyhow::Result<Telemetry> {
    let (lines, guard) = Lines::start(std::io::stderr())?;
    let targets: Targets = level.parse()?;
    let is_json = is_json.unwrap_or_else(|| !std::io::stderr().is_terminal());
    let layer = if is_json {
        json::Json(lines.clone()).boxed()
    } else {
        fmt::layer()
            .compact()
            .with_ansi(std::io::stderr().is_terminal())
            .with_writer(lines.clone())
            .boxed()
    };
    tracing_subscriber::registry()
        .with(layer.with_filter(targets.and(filter_fn(may_be_logged))))
        .try_init()?;

    let metrics = family::with_buckets(PrometheusBuilder::new())?.install_recorder()?;
    family::describe();
    metrics::gauge!("opendepot_build_info", "version" => env!("CARGO_PKG_VERSION")).set(1.0);
    Ok(Telemetry {
        _writer: guard,
        lines,
        counted: AtomicUsize::new(0),
        metrics,
        started: SystemTime::now(),
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
        let dropped = self.lines.num_dropped();
        let before = self.counted.swap(dropped, Ordering::Relaxed);
        metrics::counter!("opendepot_log_dropped_total")
            .increment(dropped.saturating_sub(before) as u64);
        runtime_facts();
        let mut text = self.metrics.render();
        text.push_str(&process::text(self.started));
        text
    }

    /// Folds histograms' samples; to be called now and then when nobody scrapes.
    pub(crate) fn upkeep(&self) {
        self.metrics.run_upkeep();
    }
}

/// What the runtime tells at no cost.
fn runtime_facts() {
    let Ok(runtime) = tokio::runtime::Handle::try_current() else {
        return;
    };
    let runtime = runtime.metrics();
    metrics::gauge!("opendepot_tokio_workers").set(runtime.num_workers() as f64);
    metrics::gauge!("opendepot_tokio_alive_tasks").set(runtime.num_alive_tasks() as f64);
    metrics::gauge!("opendepot_tokio_global_queue_depth").set(runtime.global_queue_depth() as f64);
}
