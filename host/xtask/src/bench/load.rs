//! The load generator, wrk, and what it prints.

use crate::process::capture;
use anyhow::{Context, Result, bail};
use std::path::Path;
use std::process::Command;

/// What one run of wrk came to.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Load {
    /// Answers a second.
    pub(super) requests: f64,
    /// Bytes a second.
    pub(super) bytes: f64,
    /// 99th percentile of the time to an answer, in milliseconds.
    pub(super) p99_ms: f64,
}

/// Loads one URL. Answers other than 2xx, or broken connections, are an error.
pub(super) fn run(
    wrk: &Path,
    url: &str,
    headers: &[String],
    connections: u32,
    seconds: u32,
) -> Result<Load> {
    let mut command = Command::new(wrk);
    command
        .args(["--threads", "2", "--latency", "--timeout", "30s"])
        .args(["--connections", &connections.to_string()])
        .args(["--duration", &format!("{seconds}s")]);
    for header in headers {
        command.args(["--header", header]);
    }
    let text = capture(command.arg(url))?;
    parse(&text).with_context(|| format!("loading {url}"))
}

fn parse(text: &str) -> Result<Load> {
    for trouble in ["Non-2xx", "Socket errors"] {
        if let Some(line) = text.lines().find(|line| line.contains(trouble)) {
            bail!("{}", line.trim());
        }
    }
    let value = |label: &str| {
        text.lines()
            .find_map(|line| line.trim().strip_prefix(label))
            .map(str::trim)
            .with_context(|| format!("no `{label}` in:\n{text}"))
    };
    Ok(Load {
        requests: value("Requests/sec:")?.parse()?,
        bytes: quantity(value("Transfer/sec:")?)?,
        p99_ms: quantity(value("99%")?)?,
    })
}

/// A number with wrk's unit: bytes for sizes (binary multiples), milliseconds for times.
fn quantity(text: &str) -> Result<f64> {
    let at = text
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(at);
    let factor = match unit {
        "us" => 0.001,
        "ms" | "B" => 1.0,
        "s" => 1_000.0,
        "m" => 60_000.0,
        "KB" => 1_024.0,
        "MB" => 1_024.0 * 1_024.0,
        "GB" => 1_024.0 * 1_024.0 * 1_024.0,
        _ => bail!("unknown unit in `{text}`"),
    };
    Ok(number.parse::<f64>()? * factor)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SAID: &str = "Running 10s test @ http://127.0.0.1:1/\n  2 threads and 16 connections\n  \
        Latency Distribution\n     50%  263.00us\n     99%    1.39ms\n  \
        552342 requests in 10.00s, 6.5GB read\nRequests/sec:  55210.42\nTransfer/sec:      1.50MB\n";

    #[test]
    fn figures_are_read() {
        let load = parse(SAID).unwrap();
        assert_eq!(
            load,
            Load {
                requests: 55_210.42,
                bytes: 1.5 * 1_048_576.0,
                p99_ms: 1.39
            }
        );
    }

    #[test]
    fn errors_are_not_throughput() {
        assert!(parse(&format!("{SAID}  Non-2xx or 3xx responses: 5\n")).is_err());
        assert!(
            parse(&format!(
                "{SAID}  Socket errors: connect 0, read 3, write 0, timeout 0\n"
            ))
            .is_err()
        );
        assert!(parse("").is_err());
    }
}
