//! Reads what `cargo test` prints and adds it up.

use crate::process::shown;
use anyhow::{Context, Result};
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

/// What all runs came to.
#[derive(Debug, Default)]
pub(super) struct Report {
    passed: usize,
    failed: usize,
    skipped: usize,
    failures: Vec<String>,
    skips: Vec<String>,
}

impl Report {
    /// Runs one `cargo test`, shows its output and counts its results.
    pub(super) fn run(&mut self, area: &str, command: &mut Command) -> Result<()> {
        println!("running {}", shown(command));
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .context("cannot start cargo")?;
        let before = self.failed;
        if let Some(stdout) = child.stdout.take() {
            for line in BufReader::new(stdout).split(b'\n') {
                let line = line?;
                let line = String::from_utf8_lossy(&line);
                println!("{line}");
                self.line(area, &line);
            }
        }
        let status = child.wait()?;
        if !status.success() && self.failed == before {
            // It did not build, or a test took its whole program down.
            self.failed += 1;
            self.failures
                .push(format!("{area}: {} ended with {status}", shown(command)));
        }
        Ok(())
    }

    /// Reads one line of output.
    fn line(&mut self, area: &str, line: &str) {
        if let Some(rest) = line.strip_prefix("test result: ") {
            self.passed += count(rest, "passed");
            self.failed += count(rest, "failed");
            let ignored = count(rest, "ignored");
            if ignored > 0 {
                self.skip(ignored, area, "marked as ignored in the source");
            }
        } else if let Some(name) = line
            .strip_prefix("test ")
            .and_then(|l| l.strip_suffix(" ... FAILED"))
        {
            self.failures.push(format!("{area}: {name}"));
        }
    }

    /// Notes an area whose tests could not be started.
    pub(super) fn fail(&mut self, area: &str, error: &anyhow::Error) {
        eprintln!("error: {error:#}");
        self.failed += 1;
        self.failures.push(format!("{area}: could not be started"));
    }

    /// Notes tests that are left out.
    pub(super) fn skip(&mut self, num: usize, what: &str, reason: &str) {
        self.skipped += num;
        self.skips.push(format!("{num} of {what} ({reason})"));
    }

    /// Prints the failures and, last, the one line that sums up.
    pub(super) fn print(&self) {
        println!();
        for failure in &self.failures {
            println!("failed: {failure}");
        }
        println!("{}", self.summary());
    }

    fn summary(&self) -> String {
        let Self {
            passed,
            failed,
            skipped,
            ..
        } = self;
        let named = match self.skips.is_empty() {
            true => String::new(),
            false => format!(": {}", self.skips.join(", ")),
        };
        format!("{passed} passed, {failed} failed, {skipped} skipped{named}")
    }

    /// Whether anything failed, or nothing ran at all.
    pub(super) fn is_failed(&self) -> bool {
        self.failed > 0 || self.passed == 0
    }
}

/// The number before a word: `12` for `passed` in `ok. 12 passed; 0 failed`.
fn count(line: &str, word: &str) -> usize {
    let words: Vec<&str> = line
        .split([' ', ';', '.'])
        .filter(|w| !w.is_empty())
        .collect();
    let found = words.windows(2).find_map(|pair| match pair {
        [number, name] if *name == word => number.parse().ok(),
        _ => None,
    });
    found.unwrap_or(0)
}

/// How many tests `--list --format terse` printed.
pub(super) fn count_listed(text: &str) -> usize {
    text.lines().filter(|line| line.ends_with(": test")).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn result_lines_are_added_up_and_skips_are_named() {
        let mut report = Report::default();
        for line in [
            "test a::b ... ok",
            "test a::c ... FAILED",
            "test result: FAILED. 11 passed; 1 failed; 2 ignored; 0 measured; 3 filtered out; finished in 0.10s",
            "test result: ok. 5 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.10s",
            "a test that prints: test result",
        ] {
            report.line("unit", line);
        }
        report.skip(9, "clients::terraform", "terraform is not on PATH");
        assert_eq!(
            report.summary(),
            "16 passed, 1 failed, 11 skipped: 2 of unit (marked as ignored in the source), \
             9 of clients::terraform (terraform is not on PATH)"
        );
        assert_eq!(report.failures, ["unit: a::c"]);
        assert!(report.is_failed());
    }

    #[test]
    fn a_run_that_did_not_happen_is_a_failure() {
        let mut report = Report::default();
        assert!(report.is_failed());
        report
            .run("unit", Command::new("sh").args(["-c", "exit 101"]))
            .unwrap();
        assert_eq!((report.failed, report.failures.len()), (1, 1));
    }

    #[test]
    fn listed_tests_are_counted() {
        assert_eq!(
            count_listed("a::b: test\na::c: test\n\n2 tests, 0 benchmarks\n"),
            2
        );
    }
}
