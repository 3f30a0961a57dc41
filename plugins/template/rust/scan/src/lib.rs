//! Blocks an artifact with findings at or above a severity, but for the identifiers in `except`.
//!
//! ```yaml
//! settings:
//!   block: high                 # low, medium, high, critical
//!   except: [CVE-2026-1234]
//! ```

use opendepot_plugin_sdk::scan::{
    Context, Error, Finding, Outcome, Report, ScanPlugin, Severity, Verdict, worst,
};
use opendepot_plugin_sdk::{Artifact, register_scan, settings};

/// The plugin. It keeps nothing: a fresh instance may serve each call.
pub struct Plugin;

struct Settings {
    block: Severity,
    except: Vec<String>,
}

impl Settings {
    /// Reads them so that the operator sees every mistake at once, each with its path.
    fn read(text: &str) -> Result<Self, Error> {
        Ok(settings::read(text, |root| {
            root.deny_unknown(&["block", "except"]);
            root.require("block");
            // The first is `unknown`: what the scanner gives no severity never blocks.
            let [_, choices @ ..] = Severity::NAMES;
            let except = root.texts("except").unwrap_or_default();
            Self {
                block: root.choice("block", &choices).unwrap_or(Severity::Critical),
                except: except.into_iter().map(|(_, id)| id.to_owned()).collect(),
            }
        })?)
    }
}

impl ScanPlugin for Plugin {
    fn validate(settings: &str) -> Result<(), Error> {
        Settings::read(settings).map(|_| ())
    }

    fn process(
        settings: &str,
        _artifact: &Artifact,
        report: &Report,
        _context: &Context,
        _now: u64,
    ) -> Result<Outcome, Error> {
        let Settings { block, except } = Settings::read(settings)?;
        // What an earlier plugin suppressed does not count.
        let blocks = |finding: &&Finding| {
            finding.counts() && finding.severity >= block && !except.contains(&finding.id)
        };
        let blocking: Vec<&Finding> = report.findings.iter().filter(blocks).collect();
        Ok(Outcome::new(if blocking.is_empty() {
            Verdict::Publish
        } else {
            Verdict::Block(worst(blocking))
        }))
    }
}

register_scan!(Plugin);

#[cfg(test)]
mod tests {
    use super::*;
    use opendepot_plugin_sdk::fixture::scan::{artifact, context, finding, problems, report};

    const SETTINGS: &str = r#"{"block": "high", "except": ["CVE-2"]}"#;

    fn verdict(findings: Vec<Finding>) -> Verdict {
        let answer = Plugin::process(SETTINGS, &artifact(), &report(findings), &context(), 0);
        answer.unwrap().verdict
    }

    #[test]
    fn what_is_bad_enough_blocks() {
        let suppressed = Finding {
            suppressed: Some("allowlist: accepted".to_owned()),
            ..finding("CVE-1", Severity::Critical)
        };
        for (findings, is_blocked) in [
            (vec![], false),
            (vec![finding("CVE-1", Severity::Medium)], false),
            (vec![finding("CVE-1", Severity::Unknown)], false),
            (vec![finding("CVE-1", Severity::High)], true),
            (vec![finding("CVE-2", Severity::Critical)], false),
            (vec![suppressed], false),
            (
                vec![
                    finding("CVE-2", Severity::High),
                    finding("CVE-3", Severity::Critical),
                ],
                true,
            ),
        ] {
            let shown = worst(&findings);
            let blocked = matches!(verdict(findings), Verdict::Block(_));
            assert_eq!(blocked, is_blocked, "{shown}");
        }
    }

    #[test]
    fn every_mistake_is_reported_with_its_path() {
        assert_eq!(problems::<Plugin>(SETTINGS), []);
        for (settings, path) in [
            ("[]", ""),
            ("{}", "block"),
            (r#"{"block": "bad"}"#, "block"),
            (r#"{"block": "low", "except": [1]}"#, "except[0]"),
            (r#"{"block": "low", "expect": []}"#, "expect"),
        ] {
            let found = problems::<Plugin>(settings);
            assert_eq!(found.first().map(|(path, _)| path.as_str()), Some(path));
        }
    }
}
