//! Metrics of reliability.md 10.1, family *Plugins*.

use crate::call::Function;
use crate::error::{Fault, TrapClass};
use metrics::{Gauge, Histogram, counter, gauge, histogram};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

pub(crate) fn epoch_ticker_lag() -> Gauge {
    gauge!("opendepot_epoch_ticker_lag_seconds")
}

pub(crate) fn compiled(elapsed: Duration) {
    histogram!("opendepot_plugin_compile_duration_seconds").record(elapsed.as_secs_f64());
}

pub(crate) fn loaded(plugin: &Arc<str>, digest: &str, world: &'static str) {
    gauge!(
        "opendepot_plugin_info",
        "plugin" => Arc::clone(plugin), "digest" => digest.to_owned(), "world" => world
    )
    .set(1.0);
}

/// Another version runs in its place, or none.
pub(crate) fn unloaded(plugin: &Arc<str>, digest: &str, world: &'static str) {
    gauge!(
        "opendepot_plugin_info",
        "plugin" => Arc::clone(plugin), "digest" => digest.to_owned(), "world" => world
    )
    .set(0.0);
}

/// Counts a changed folder or configuration by what became of it: `loaded`, `refused` (an older
/// one serves on), `failed`, `removed`.
pub(crate) fn reloaded(result: &'static str) {
    counter!("opendepot_plugin_reloads_total", "result" => result).increment(1);
}

/// Records one call. A call that ended with an answer pays for no labels: a decision takes
/// microseconds.
pub(crate) fn called(
    plugin: &Arc<str>,
    usage: &Usage,
    function: Function,
    elapsed: Duration,
    fault: Option<&Fault>,
) {
    let seconds = elapsed.as_secs_f64();
    match fault {
        None => usage.answered(plugin, function).record(seconds),
        Some(fault) => calls(plugin, function, fault.label()).record(seconds),
    }
    if let Some(Fault::Trap { class, .. }) = fault {
        trapped(plugin, *class);
    }
}

fn calls(plugin: &Arc<str>, function: Function, result: &'static str) -> Histogram {
    histogram!(
        "opendepot_plugin_call_duration_seconds",
        "plugin" => Arc::clone(plugin), "func" => function.label(), "result" => result
    )
}

fn trapped(plugin: &Arc<str>, class: TrapClass) {
    counter!(
        "opendepot_plugin_traps_total",
        "plugin" => Arc::clone(plugin), "class" => class.label()
    )
    .increment(1);
}

/// 0: called, 1: not called.
pub(crate) fn breaker(plugin: &Arc<str>, is_open: bool) {
    gauge!("opendepot_plugin_breaker_state", "plugin" => Arc::clone(plugin)).set(if is_open {
        1.0
    } else {
        0.0
    });
}

/// `import` is the host function, or `plan` for a refused plan.
pub(crate) fn denied(plugin: &Arc<str>, import: &'static str) {
    counter!(
        "opendepot_plugin_denied_hostcalls_total",
        "plugin" => Arc::clone(plugin), "import" => import
    )
    .increment(1);
}

/// Handles of one plugin, looked up once.
#[derive(Clone)]
pub(crate) struct Usage {
    pub(crate) instances: Gauge,
    pub(crate) memory_bytes: Gauge,
    answered: Arc<[OnceLock<Histogram>; Function::ALL.len()]>,
}

impl Usage {
    pub(crate) fn of(plugin: &Arc<str>) -> Self {
        Self {
            instances: gauge!(
                "opendepot_plugin_instances", "plugin" => Arc::clone(plugin), "state" => "running"
            ),
            memory_bytes: gauge!("opendepot_plugin_memory_bytes", "plugin" => Arc::clone(plugin)),
            answered: Arc::default(),
        }
    }

    /// Calls of `function` that ended with an answer. A series begins with its first call.
    fn answered(&self, plugin: &Arc<str>, function: Function) -> Histogram {
        let position = Function::ALL.iter().position(|other| *other == function);
        match position.and_then(|position| self.answered.get(position)) {
            Some(slot) => slot.get_or_init(|| calls(plugin, function, "ok")).clone(),
            None => calls(plugin, function, "ok"),
        }
    }
}
