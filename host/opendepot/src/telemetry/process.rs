//! What the kernel knows of this process, under the names that every dashboard knows. Written as
//! text: the recorder's counters are whole numbers, and processor time is none.
//!
//! Where there is no `/proc`, only the start time is shown.

use rustix::process::{Resource, getrlimit};
use std::fmt::Write as _;
use std::fs;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// One figure: name, type, help, value.
type Figure = (&'static str, &'static str, &'static str, f64);

/// Prometheus text.
pub(super) fn text(started: SystemTime) -> String {
    let mut text = String::new();
    for (name, kind, help, value) in figures(started) {
        // Writing to a string does not fail.
        let _ = writeln!(
            text,
            "# HELP {name} {help}\n# TYPE {name} {kind}\n{name} {value}\n"
        );
    }
    text
}

fn figures(started: SystemTime) -> Vec<Figure> {
    let since = started.duration_since(UNIX_EPOCH).unwrap_or_default();
    let mut figures = vec![(
        "process_start_time_seconds",
        "gauge",
        "Start time of the process since unix epoch in seconds.",
        since.as_secs_f64(),
    )];
    if let Some((seconds, num_threads)) = stat() {
        figures.push((
            "process_cpu_seconds_total",
            "counter",
            "Total user and system CPU time spent in seconds.",
            seconds.as_secs_f64(),
        ));
        figures.push((
            "process_threads",
            "gauge",
            "Number of OS threads in the process.",
            num_threads,
        ));
    }
    if let Some((size, resident)) = memory() {
        figures.push((
            "process_virtual_memory_bytes",
            "gauge",
            "Virtual memory size in bytes.",
            size,
        ));
        figures.push((
            "process_resident_memory_bytes",
            "gauge",
            "Resident memory size in bytes.",
            resident,
        ));
    }
    if let Ok(entries) = fs::read_dir("/proc/self/fd") {
        figures.push((
            "process_open_fds",
            "gauge",
            "Number of open file descriptors.",
            entries.count() as f64,
        ));
        if let Some(most) = getrlimit(Resource::Nofile).current {
            figures.push((
                "process_max_fds",
                "gauge",
                "Maximum number of open file descriptors.",
                most as f64,
            ));
        }
    }
    figures
}

/// Processor time and threads. Fields are counted from behind the name, which may hold anything.
fn stat() -> Option<(Duration, f64)> {
    let stat = fs::read_to_string("/proc/self/stat").ok()?;
    let mut fields = stat.rsplit_once(") ")?.1.split_whitespace().skip(11);
    let user: u64 = fields.next()?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    let num_threads: f64 = fields.nth(4)?.parse().ok()?;
    let a_second = rustix::param::clock_ticks_per_second().max(1);
    let spent = Duration::from_millis((user + system).saturating_mul(1000) / a_second);
    Some((spent, num_threads))
}

/// Virtual and resident size in bytes.
fn memory() -> Option<(f64, f64)> {
    let statm = fs::read_to_string("/proc/self/statm").ok()?;
    let mut pages = statm
        .split_whitespace()
        .map_while(|field| field.parse::<f64>().ok());
    let page_bytes = rustix::param::page_size() as f64;
    Some((pages.next()? * page_bytes, pages.next()? * page_bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(target_os = "linux")]
    fn the_kernel_is_read_rightly() {
        let started = SystemTime::now();
        let mut spun = 0_u64;
        // Processor time is counted in ticks of a hundredth of a second.
        while figure("process_cpu_seconds_total", started) < 0.02 {
            spun = std::hint::black_box(spun.wrapping_add(1));
        }
        assert!(figure("process_threads", started) >= 1.0);
        let resident = figure("process_resident_memory_bytes", started);
        assert!(resident > 1e6 && resident <= figure("process_virtual_memory_bytes", started));
        let open = figure("process_open_fds", started);
        assert!(open >= 3.0 && open <= figure("process_max_fds", started));
        let text = text(started);
        assert_eq!(text.matches("# HELP ").count(), 7, "{text}");
    }

    #[cfg(target_os = "linux")]
    fn figure(name: &str, started: SystemTime) -> f64 {
        let mut figures = figures(started).into_iter();
        figures.find(|figure| figure.0 == name).unwrap().3
    }
}
