//! Requests that are sent one at a time at even distances, from threads that only wait, so that an
//! answer's time is the server's and not that of a queue.

use anyhow::{Context, Result, bail};
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::thread;
use std::time::{Duration, Instant};

/// Each has a connection of its own.
const NUM_THREADS: u32 = 4;
const TIMEOUT: Duration = Duration::from_secs(10);
const MAX_HEADERS: usize = 64;

/// The times of all answers, shortest first.
pub(super) struct Times(Vec<Duration>);

impl Times {
    /// The nearest rank, in microseconds; NaN for nothing.
    pub(super) fn percentile_us(&self, share: f64) -> f64 {
        let rank = (self.0.len() as f64 * share).ceil() as usize;
        let found = self.0.get(rank.saturating_sub(1));
        found.map_or(f64::NAN, |time| time.as_secs_f64() * 1e6)
    }
}

/// Asks for each path once, `rate` in a second, over plain HTTP; each answer must have this status.
pub(super) fn run(port: u16, paths: &[String], rate: u32, status: u16) -> Result<Times> {
    let distance = Duration::from_secs(1) / rate;
    let start = Instant::now() + distance;
    let mut times = thread::scope(|scope| {
        let threads: Vec<_> = (0..NUM_THREADS)
            .map(|first| {
                scope.spawn(move || {
                    let mine = paths.iter().enumerate().skip(first as usize);
                    let mine = mine.step_by(NUM_THREADS as usize);
                    let mut connection = Connection::open(port)?;
                    let mut times = Vec::new();
                    for (number, path) in mine {
                        let due = start + distance * u32::try_from(number)?;
                        // One that is late already is sent at once.
                        thread::sleep(due.saturating_duration_since(Instant::now()));
                        times.push(connection.ask(path, status)?);
                    }
                    Ok(times)
                })
            })
            .collect();
        let mut all = Vec::new();
        for thread in threads {
            let times: Result<Vec<Duration>> =
                thread.join().unwrap_or_else(|_| bail!("a sender panicked"));
            all.extend(times?);
        }
        anyhow::Ok(all)
    })?;
    times.sort_unstable();
    Ok(Times(times))
}

struct Connection {
    stream: TcpStream,
    port: u16,
    buffer: Vec<u8>,
}

impl Connection {
    fn open(port: u16) -> Result<Self> {
        let stream = TcpStream::connect(("127.0.0.1", port))?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(TIMEOUT))?;
        let buffer = Vec::new();
        Ok(Self {
            stream,
            port,
            buffer,
        })
    }

    /// The time from sending to the last byte of the answer.
    fn ask(&mut self, path: &str, status: u16) -> Result<Duration> {
        let request = format!(
            "GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{}\r\n\r\n",
            self.port
        );
        self.buffer.clear();
        let started = Instant::now();
        self.stream.write_all(request.as_bytes())?;
        let mut chunk = [0; 4096];
        while !is_whole(&self.buffer, status)? {
            let len = self.stream.read(&mut chunk).context("no answer came")?;
            if len == 0 {
                bail!("the server closed the connection");
            }
            self.buffer.extend(chunk.iter().take(len));
        }
        Ok(started.elapsed())
    }
}

/// Whether this is an answer to its end.
fn is_whole(bytes: &[u8], status: u16) -> Result<bool> {
    let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
    let mut answer = httparse::Response::new(&mut headers);
    let httparse::Status::Complete(head) = answer.parse(bytes)? else {
        return Ok(false);
    };
    if answer.code != Some(status) {
        bail!("answered {:?} and not {status}", answer.code);
    }
    // No body and no length (RFC 9110 section 8.6).
    if status == 204 {
        return Ok(true);
    }
    let mut headers = answer.headers.iter();
    let length = headers.find(|header| header.name.eq_ignore_ascii_case("content-length"));
    let length = length.context("an answer without `content-length`")?;
    let length: usize = std::str::from_utf8(length.value)?.parse()?;
    Ok(bytes.len() >= head + length)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_end_where_they_say() {
        let answer = b"HTTP/1.1 404 Not Found\r\nContent-Length: 3\r\n\r\nabc";
        for len in 0..answer.len() {
            assert!(!is_whole(&answer[..len], 404).unwrap(), "{len}");
        }
        assert!(is_whole(answer, 404).unwrap());
        assert!(is_whole(answer, 200).is_err());
        assert!(is_whole(b"HTTP/1.1 200 OK\r\n\r\n", 200).is_err());
    }

    #[test]
    fn percentiles_are_of_single_answers() {
        let times = Times((1..=100).map(Duration::from_micros).collect());
        assert!((times.percentile_us(0.5) - 50.0).abs() < 0.01);
        assert!((times.percentile_us(0.99) - 99.0).abs() < 0.01);
        assert!(Times(Vec::new()).percentile_us(0.5).is_nan());
    }
}
