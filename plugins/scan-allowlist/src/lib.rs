//! Suppresses findings that the operator accepts, each with a reason and an end.
//!
//! ```yaml
//! settings:
//!   accepted:
//!     - id: CVE-2026-1234                # as the scanner writes it; case does not matter
//!       reason: the vulnerable call is never made, see SEC-77
//!       expires: "2027-03-31"            # its last day, in UTC
//!       package: golang.org/x/net        # absent: in whatever package it is found
//!       namespaces: [team-*]             # with `modules` and `providers`: in which artifacts;
//!       providers: [aws]                 # absent: in all of them
//! ```
//!
//! A suppressed finding stays in the resource's status with the reason. An entry that has expired no
//! longer counts, and the log says so whenever a finding would have been suppressed by it. The verdict
//! is left to others: put it before those that block. It needs the grant `judge-findings`.
//!
//! **What bounds it.** 1000 entries; a finding costs one look-up and the entries of its id. 20 lines
//! of log a call, then a count.
//!
//! **What it refuses.** Unknown keys; an entry without id, reason or date; dates that do not exist. All
//! problems are reported at once. A clock after the year 9999 is an error: not scanned.
//!
//! **What may surprise.** Nothing is accepted for ever: write a far date. A finding that an earlier
//! plugin suppressed keeps that plugin's reason. An expired entry blocks nothing before the next scan
//! or change of policy looks again.

mod entry;

use entry::Accepted;
use opendepot_plugin_sdk::date::Date;
use opendepot_plugin_sdk::scan::{Context, Error, Judgement, Outcome, Report, ScanPlugin, Verdict};
use opendepot_plugin_sdk::settings::shown;
use opendepot_plugin_sdk::{Artifact, log, register_scan};

/// The most lines of log of one call about expired entries.
const MAX_LINES: usize = 20;

/// The plugin.
pub struct Allowlist;

impl ScanPlugin for Allowlist {
    fn validate(settings: &str) -> Result<(), Error> {
        Accepted::read(settings).map(drop)
    }

    fn process(
        settings: &str,
        artifact: &Artifact,
        report: &Report,
        _context: &Context,
        now: u64,
    ) -> Result<Outcome, Error> {
        let accepted = Accepted::read(settings)?;
        let today = Date::from_unix(now)
            .ok_or_else(|| Error::Other(format!("there is no calendar for the time {now}")))?;
        let mut judgements = Vec::new();
        let mut num_expired = 0_usize;
        for (finding, index) in report.findings.iter().zip(0_u32..) {
            if !finding.counts() {
                continue;
            }
            // The entry that lasts longest, so that an expired one hides no other.
            let Some(entry) = accepted.longest(artifact, finding) else {
                continue;
            };
            if entry.expires >= today {
                judgements.push(Judgement {
                    finding: index,
                    severity: None,
                    suppressed: Some(entry.reason_with_date()),
                });
                continue;
            }
            num_expired += 1;
            if num_expired <= MAX_LINES {
                log::warn(
                    "a finding is no longer accepted: its entry has expired",
                    &[
                        ("finding.id", &shown(&finding.id)),
                        ("finding.package", &shown(&finding.package)),
                        ("expired", &entry.expires.to_string()),
                        ("artifact.namespace", &artifact.namespace),
                        ("artifact.name", &artifact.name),
                    ],
                );
            }
        }
        if num_expired > MAX_LINES {
            let count = num_expired.to_string();
            log::warn("more findings are no longer accepted", &[("count", &count)]);
        }
        Ok(Outcome {
            judgements,
            verdict: Verdict::Abstain,
        })
    }
}

register_scan!(Allowlist);

#[cfg(test)]
mod tests;
