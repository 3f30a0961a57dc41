//! Log lines as JSON objects, the form of `tracing-subscriber` with flattened fields, without
//! spans.
//!
//! Every request has a line, so what a line costs every request pays: one buffer a thread, bytes
//! straight into it, and the second of a timestamp written once (adr/014).

use super::lines::Lines;
use jiff::Timestamp;
use std::cell::RefCell;
use std::fmt::{self, Write as _};
use std::io::Write as _;
use std::time::{SystemTime, UNIX_EPOCH};
use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_log::NormalizeEvent as _;
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;

/// A burst's memory is given back.
const KEPT_BYTES: usize = 16 << 10;

/// Writes each event as a line.
pub(super) struct Json(pub(super) Lines);

thread_local! {
    static BUFFER: RefCell<Buffer> = RefCell::new(Buffer::default());
}

#[derive(Default)]
struct Buffer {
    line: Vec<u8>,
    /// A value on its way through its `Display` or `Debug`.
    value: String,
    second: u64,
    second_text: String,
}

impl<S: Subscriber> Layer<S> for Json {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let now = SystemTime::now();
        BUFFER.with(|buffer| match buffer.try_borrow_mut() {
            Ok(mut buffer) => buffer.write(event, now, &self.0),
            // A value that logs while it is being written: its line has a buffer of its own.
            Err(_) => Buffer::default().write(event, now, &self.0),
        });
    }
}

impl Buffer {
    fn write(&mut self, event: &Event<'_>, now: SystemTime, mut lines: &Lines) {
        let normalized = event.normalized_metadata();
        let metadata = normalized.as_ref().unwrap_or_else(|| event.metadata());
        self.line.clear();
        self.line.extend_from_slice(b"{\"timestamp\":\"");
        self.timestamp(now);
        self.line.extend_from_slice(b"\",\"level\":\"");
        self.line
            .extend_from_slice(metadata.level().as_str().as_bytes());
        self.line.push(b'"');
        event.record(self);
        self.name("target");
        self.string(metadata.target());
        self.line.extend_from_slice(b"}\n");
        // Lines that do not fit are counted there.
        let _ = lines.write_all(&self.line);
        self.line.shrink_to(KEPT_BYTES);
        self.value.shrink_to(KEPT_BYTES);
    }

    fn timestamp(&mut self, now: SystemTime) {
        let since = now.duration_since(UNIX_EPOCH).unwrap_or_default();
        if self.second != since.as_secs() || self.second_text.is_empty() {
            self.second = since.as_secs();
            let second = i64::try_from(self.second).ok();
            let second = second.and_then(|second| Timestamp::from_second(second).ok());
            self.second_text = second
                .unwrap_or_default()
                .strftime("%Y-%m-%dT%H:%M:%S")
                .to_string();
        }
        self.line.extend_from_slice(self.second_text.as_bytes());
        self.number(format_args!(".{:06}Z", since.subsec_micros()));
    }

    fn name(&mut self, name: &str) {
        self.line.push(b',');
        self.string(name);
        self.line.push(b':');
    }

    fn string(&mut self, text: &str) {
        // Writing to a vector does not fail.
        let _ = serde_json::to_writer(&mut self.line, text);
    }

    fn number(&mut self, text: fmt::Arguments<'_>) {
        let _ = self.line.write_fmt(text);
    }
}

impl Visit for Buffer {
    fn record_str(&mut self, field: &Field, value: &str) {
        if is_shown(field) {
            self.name(field.name());
            self.string(value);
        }
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.name(field.name());
        self.number(format_args!("{value}"));
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.name(field.name());
        self.number(format_args!("{value}"));
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.name(field.name());
        self.number(format_args!("{value}"));
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.name(field.name());
        // `null` for what JSON has no number for.
        let _ = serde_json::to_writer(&mut self.line, &value);
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if !is_shown(field) {
            return;
        }
        let mut text = std::mem::take(&mut self.value);
        text.clear();
        if write!(text, "{value:?}").is_ok() {
            self.name(field.name());
            self.string(&text);
        }
        self.value = text;
    }
}

/// What the `log` crate's records say of their origin is in the line's own fields.
fn is_shown(field: &Field) -> bool {
    !field.name().starts_with("log.")
}

#[cfg(test)]
mod tests {
    use super::*;
    use parking_lot::Mutex;
    use std::io;
    use std::sync::Arc;
    use tracing_subscriber::layer::SubscriberExt as _;

    struct Kept(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Kept {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// What is logged by `log`, as lines.
    fn lines(log: impl FnOnce()) -> Vec<serde_json::Value> {
        let kept = Arc::new(Mutex::new(Vec::new()));
        let (lines, guard) = Lines::start(Kept(Arc::clone(&kept))).unwrap();
        let subscriber = tracing_subscriber::registry().with(Json(lines));
        tracing::subscriber::with_default(subscriber, log);
        drop(guard);
        let text = String::from_utf8(kept.lock().clone()).unwrap();
        let parse = |line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}"));
        text.lines().map(parse).collect()
    }

    #[test]
    fn every_kind_of_value_is_json() {
        struct Shown;
        impl fmt::Display for Shown {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("a \"quoted\"\nvalue \u{1}")
            }
        }
        let none: Option<&str> = None;
        let lines = lines(|| {
            tracing::info!(
                target: "a::target",
                text = "line\nbreak \u{7f} \u{1f600} \\",
                shown = %Shown, debug = ?[1, 2], none, number = 7_u16, less = -3_i64,
                yes = true, ratio = 0.5, not = f64::NAN, http.status = 200_u64,
                "said {}", 1
            );
        });
        let [line] = lines.as_slice() else {
            panic!("{lines:?}");
        };
        let timestamp = line["timestamp"].as_str().unwrap();
        assert_eq!(timestamp.len(), "2026-11-27T10:29:44.754874Z".len());
        let told: Timestamp = timestamp.parse().unwrap();
        assert!(
            Timestamp::now()
                .duration_since(told)
                .unsigned_abs()
                .as_secs()
                < 60,
            "{told}"
        );
        let mut line = line.clone();
        line.as_object_mut().unwrap().remove("timestamp");
        assert_eq!(
            line,
            serde_json::json!({
                "level": "INFO", "message": "said 1", "text": "line\nbreak \u{7f} \u{1f600} \\",
                "shown": "a \"quoted\"\nvalue \u{1}", "debug": "[1, 2]", "number": 7, "less": -3,
                "yes": true, "ratio": 0.5, "not": null, "http.status": 200, "target": "a::target",
            })
        );
    }

    #[test]
    fn what_is_logged_while_a_line_is_written_has_a_line() {
        let lines = lines(|| {
            BUFFER.with(|buffer| {
                let _writing = buffer.borrow_mut();
                tracing::warn!("on the way");
            });
        });
        assert_eq!(lines.len(), 1);
        assert_eq!(lines[0]["message"], "on the way");
    }
}
