//! Keeps to findings that a newer version fixes.
//!
//! ```yaml
//! settings:
//!   mode: suppress        # findings that no version fixes do not count
//!   upTo: high            # up to this severity; default critical: all of them
//! ---
//! settings:
//!   mode: block           # blocks when there is a finding that a version fixes
//!   from: medium          # of at least this severity; default unknown: any
//! ```
//!
//! With `suppress` the verdict is left to others: put it before those that block, and grant it
//! `judge-findings`. With `block` it changes no finding and needs no grant; findings that an earlier
//! plugin suppressed do not count.
//!
//! **What bounds it.** One pass over the findings; a reason names five of them.
//!
//! **What it refuses.** Unknown keys, modes and severities, with the nearest known one; `upTo` in the
//! mode `block` and `from` in the mode `suppress`. All problems are reported at once.
//!
//! **What may surprise.** A critical finding that nothing fixes yet is suppressed too, unless `upTo`
//! says `high`. Whether something is fixed is what the scanner's database says at the time of the
//! scan: an old database suppresses more. A version of blanks is none.

use opendepot_plugin_sdk::scan::{
    Context, Error, Finding, Judgement, Outcome, Report, ScanPlugin, Severity, Verdict, worst,
};
use opendepot_plugin_sdk::settings;
use opendepot_plugin_sdk::{Artifact, register_scan};

/// The plugin.
pub struct FixableOnly;

#[derive(Clone, Copy, Debug)]
enum Mode {
    /// Suppresses what nothing fixes, up to this severity.
    Suppress(Severity),
    /// Blocks on what a version fixes, from this severity on.
    Block(Severity),
}

impl Mode {
    fn read(text: &str) -> Result<Self, Error> {
        let mode = settings::read(text, |root| {
            root.deny_unknown(&["mode", "upTo", "from"]);
            let up_to = root.choice("upTo", &Severity::NAMES);
            let from = root.choice("from", &Severity::NAMES);
            let suppress = Self::Suppress(up_to.unwrap_or(Severity::Critical));
            let block = Self::Block(from.unwrap_or(Severity::Unknown));
            root.require("mode");
            let mode = root.choice("mode", &[("suppress", suppress), ("block", block)]);
            let (other, name) = match mode {
                Some(Self::Suppress(_)) => ("from", "suppress"),
                Some(Self::Block(_)) => ("upTo", "block"),
                None => return None,
            };
            if root.has(other) {
                root.problem(other, format!("has no meaning in the mode `{name}`"));
            }
            mode
        })?;
        mode.ok_or_else(|| Error::Other("the settings name no mode".to_owned()))
    }
}

impl ScanPlugin for FixableOnly {
    fn validate(settings: &str) -> Result<(), Error> {
        Mode::read(settings).map(drop)
    }

    fn process(
        settings: &str,
        _artifact: &Artifact,
        report: &Report,
        _context: &Context,
        _now: u64,
    ) -> Result<Outcome, Error> {
        let mode = Mode::read(settings)?;
        let counting = report
            .findings
            .iter()
            .zip(0_u32..)
            .filter(|(finding, _)| finding.counts());
        Ok(match mode {
            Mode::Suppress(up_to) => Outcome {
                judgements: counting
                    .filter(|(finding, _)| !is_fixable(finding) && finding.severity <= up_to)
                    .map(|(_, index)| Judgement {
                        finding: index,
                        severity: None,
                        suppressed: Some("no version fixes it yet".to_owned()),
                    })
                    .collect(),
                verdict: Verdict::Abstain,
            },
            Mode::Block(from) => {
                let blocking: Vec<&Finding> = counting
                    .map(|(finding, _)| finding)
                    .filter(|finding| is_fixable(finding) && finding.severity >= from)
                    .collect();
                if blocking.is_empty() {
                    Outcome::new(Verdict::Publish)
                } else {
                    let reason = format!("a newer version fixes {}", worst(blocking));
                    Outcome::new(Verdict::Block(reason))
                }
            }
        })
    }
}

fn is_fixable(finding: &Finding) -> bool {
    let version = finding.fixed_version.as_deref();
    version.is_some_and(|version| !version.trim().is_empty())
}

register_scan!(FixableOnly);

#[cfg(test)]
mod tests;
