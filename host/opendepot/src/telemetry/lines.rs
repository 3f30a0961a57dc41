//! Log lines on their way out: gathered under one lock, written in batches by one thread.
//!
//! A line costs its writer a copy. Handing each to another thread costs an allocation, and a wake
//! of that thread for each (adr/013).
//!
//! **What bounds it.** [`MAX_WAITING_BYTES`]; what does not fit is dropped and counted. A line
//! waits at most [`GATHER`] for others. Dropping the guard writes what waits.

use parking_lot::{Condvar, Mutex};
use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;
use tracing_subscriber::fmt::MakeWriter;

/// Bytes that may wait for a slow reader.
const MAX_WAITING_BYTES: usize = 8 << 20;
const GATHER: Duration = Duration::from_millis(5);
/// A burst's memory is given back.
const KEPT_BYTES: usize = 256 << 10;

/// Where lines are put. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Lines(Arc<Shared>);

struct Shared {
    waiting: Mutex<Waiting>,
    is_needed: Condvar,
    num_dropped: AtomicUsize,
}

#[derive(Default)]
struct Waiting {
    bytes: Vec<u8>,
    is_ended: bool,
}

/// Keeps the writing thread; ends it, and writes what waits, when dropped.
pub(crate) struct LinesGuard {
    lines: Lines,
    thread: Option<JoinHandle<()>>,
}

impl Lines {
    /// Starts the thread that writes to `output`.
    ///
    /// # Errors
    /// When there is no thread to be had.
    pub(crate) fn start(output: impl Write + Send + 'static) -> io::Result<(Self, LinesGuard)> {
        let lines = Self(Arc::new(Shared {
            waiting: Mutex::new(Waiting::default()),
            is_needed: Condvar::new(),
            num_dropped: AtomicUsize::new(0),
        }));
        let own = lines.clone();
        let thread = std::thread::Builder::new()
            .name("log".to_owned())
            .spawn(move || own.write_out(output))?;
        let guard = LinesGuard {
            lines: lines.clone(),
            thread: Some(thread),
        };
        Ok((lines, guard))
    }

    /// Lines that were dropped because too many waited.
    pub(crate) fn num_dropped(&self) -> usize {
        self.0.num_dropped.load(Ordering::Relaxed)
    }

    fn write_out(&self, mut output: impl Write) {
        let mut batch = Vec::new();
        loop {
            let mut waiting = self.0.waiting.lock();
            while waiting.bytes.is_empty() && !waiting.is_ended {
                self.0.is_needed.wait(&mut waiting);
            }
            if !waiting.is_ended {
                // Others come soon, or the end does.
                self.0.is_needed.wait_for(&mut waiting, GATHER);
            }
            std::mem::swap(&mut batch, &mut waiting.bytes);
            let is_ended = waiting.is_ended;
            drop(waiting);
            // Nobody is left to be told that the log cannot be written.
            let _ = output.write_all(&batch).and_then(|()| output.flush());
            batch.clear();
            batch.shrink_to(KEPT_BYTES);
            if is_ended {
                return;
            }
        }
    }
}

impl Write for &Lines {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let mut waiting = self.0.waiting.lock();
        if waiting.bytes.len() + line.len() > MAX_WAITING_BYTES {
            self.0.num_dropped.fetch_add(1, Ordering::Relaxed);
        } else {
            let is_first = waiting.bytes.is_empty();
            waiting.bytes.extend_from_slice(line);
            if is_first {
                self.0.is_needed.notify_one();
            }
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Lines {
    type Writer = &'a Self;

    fn make_writer(&'a self) -> Self::Writer {
        self
    }
}

impl Drop for LinesGuard {
    fn drop(&mut self) {
        self.lines.0.waiting.lock().is_ended = true;
        self.lines.0.is_needed.notify_one();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;

    /// Takes nothing until it is let.
    struct Gate {
        opened: mpsc::Receiver<()>,
        is_open: bool,
        written: Arc<Mutex<Vec<u8>>>,
    }

    impl Write for Gate {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            if !self.is_open {
                self.opened.recv().unwrap();
                self.is_open = true;
            }
            self.written.lock().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn lines_come_out_whole_and_in_order_and_the_end_loses_none() {
        let (open, opened) = mpsc::channel();
        let written = Arc::new(Mutex::new(Vec::new()));
        let gate = Gate {
            opened,
            is_open: false,
            written: Arc::clone(&written),
        };
        let (lines, guard) = Lines::start(gate).unwrap();
        let mut expected = String::new();
        for number in 0..1000 {
            let line = format!("line {number}\n");
            lines.make_writer().write_all(line.as_bytes()).unwrap();
            expected.push_str(&line);
        }
        open.send(()).unwrap();
        drop(guard);
        assert_eq!(String::from_utf8(written.lock().clone()).unwrap(), expected);
        assert_eq!(lines.num_dropped(), 0);
    }

    #[test]
    fn a_reader_that_stands_still_costs_lines_and_no_memory() {
        let (open, opened) = mpsc::channel();
        let written = Arc::new(Mutex::new(Vec::new()));
        let gate = Gate {
            opened,
            is_open: false,
            written: Arc::clone(&written),
        };
        let (lines, guard) = Lines::start(gate).unwrap();
        let line = vec![b'x'; 1 << 20];
        for _ in 0..40 {
            lines.make_writer().write_all(&line).unwrap();
        }
        // One batch is being written, one waits.
        let most = 2 * MAX_WAITING_BYTES / line.len();
        assert!(lines.num_dropped() >= 40 - most, "{}", lines.num_dropped());
        open.send(()).unwrap();
        drop(guard);
        let num_kept = 40 - lines.num_dropped();
        assert_eq!(written.lock().len(), num_kept * line.len());
    }
}
