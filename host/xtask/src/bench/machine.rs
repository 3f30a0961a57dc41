//! What the figures are measured on.

use serde::Serialize;
use std::fs;

/// Above this load average, before anything has started, figures say little.
const NOISY: f64 = 1.0;

/// The machine before the start; what cannot be read stays empty.
#[derive(Clone, Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Machine {
    processors: usize,
    model: String,
    memory_mib: u64,
    kernel: String,
    /// Of the last minute.
    load_average: f64,
}

impl Machine {
    /// Looks at this machine as it is now.
    pub(super) fn now() -> Self {
        let read = |path| fs::read_to_string(path).unwrap_or_default();
        Self {
            processors: std::thread::available_parallelism().map_or(0, usize::from),
            model: field(&read("/proc/cpuinfo"), "model name").to_owned(),
            memory_mib: first_number(field(&read("/proc/meminfo"), "MemTotal")) / 1024,
            kernel: read("/proc/sys/kernel/osrelease").trim().to_owned(),
            load_average: read("/proc/loadavg")
                .split_whitespace()
                .next()
                .and_then(|text| text.parse().ok())
                .unwrap_or(0.0),
        }
    }

    /// What it is, in one line.
    pub(super) fn shown(&self) -> String {
        format!(
            "{} processors ({}), {:.0} GiB, Linux {}",
            self.processors,
            self.model,
            self.memory_mib as f64 / 1024.0,
            self.kernel
        )
    }

    /// Why the figures may be worse than the program, if so.
    pub(super) fn noise(&self) -> Option<String> {
        (self.load_average > NOISY).then(|| {
            format!(
                "Noisy: the load average was {:.2} before the start; something else was running.",
                self.load_average
            )
        })
    }
}

/// The value of the first line `name : value`.
pub(super) fn field<'a>(text: &'a str, name: &str) -> &'a str {
    text.lines()
        .filter_map(|line| line.split_once(':'))
        .find(|(key, _)| key.trim() == name)
        .map_or("", |(_, value)| value.trim())
}

/// The number at the start of `12 kB`, or 0.
pub(super) fn first_number(text: &str) -> u64 {
    text.split_whitespace()
        .next()
        .and_then(|number| number.parse().ok())
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_found() {
        let text = "model name\t: A: B\nRssAnon:\t  123 kB\n";
        assert_eq!(field(text, "model name"), "A: B");
        assert_eq!(first_number(field(text, "RssAnon")), 123);
        assert_eq!(first_number(field(text, "absent")), 0);
    }

    #[test]
    fn a_loaded_machine_is_said_to_be_noisy() {
        let mut machine = Machine::default();
        assert_eq!(machine.noise(), None);
        machine.load_average = 1.5;
        assert!(machine.noise().unwrap().contains("1.50"));
    }
}
