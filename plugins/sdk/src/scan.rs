//! The scan world: what a scan report means.
//!
//! An outcome speaks of findings by their index in the report: a plugin cannot invent one.
//! Changing a severity and suppressing a finding need the grant `judge-findings`.

pub use crate::bindings::scan::opendepot::scan::types::{
    Context, Error, Finding, Judgement, Outcome, Report, Scope, Severity, Verdict,
};

use crate::artifact::{Artifact, Problem};
use crate::bindings::scan::exports::opendepot::scan::post_processor::Guest;
use crate::settings::{Problems, shown};
use std::marker::PhantomData;

/// A scan plugin. Every function gets all that it needs; keep nothing between calls.
pub trait ScanPlugin {
    /// Checks the settings. Report every problem, not the first: see [`crate::settings`].
    ///
    /// # Errors
    /// [`Error::InvalidSettings`] with all problems.
    fn validate(settings: &str) -> Result<(), Error> {
        let _ = settings;
        Ok(())
    }

    /// Judges one report. The findings show the judgements of earlier plugins.
    ///
    /// # Errors
    /// Any [`Error`], which the host takes as "not scanned".
    fn process(
        settings: &str,
        artifact: &Artifact,
        report: &Report,
        context: &Context,
        now: u64,
    ) -> Result<Outcome, Error>;
}

impl Severity {
    /// Every severity with its name, least first.
    pub const NAMES: [(&'static str, Self); 5] = [
        ("unknown", Self::Unknown),
        ("low", Self::Low),
        ("medium", Self::Medium),
        ("high", Self::High),
        ("critical", Self::Critical),
    ];

    /// The severity's name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
            Self::Critical => "critical",
        }
    }
}

impl Finding {
    /// Whether no plugin before this one suppressed it.
    #[must_use]
    pub const fn counts(&self) -> bool {
        self.suppressed.is_none()
    }
}

/// The worst of `findings` by name, for a reason: `CVE-1 (critical, openssl) and 2 more`. What the
/// scanner wrote is escaped and cut.
#[must_use]
pub fn worst<'a>(findings: impl IntoIterator<Item = &'a Finding>) -> String {
    const SHOWN: usize = 5;
    let mut findings: Vec<&Finding> = findings.into_iter().collect();
    // Stable: among equals the scanner's order stays.
    findings.sort_by_key(|finding| std::cmp::Reverse(finding.severity));
    let mut list: Vec<String> = findings
        .iter()
        .take(SHOWN)
        .map(|finding| {
            let (id, package) = (shown(&finding.id), shown(&finding.package));
            format!("{id} ({}, {package})", finding.severity.as_str())
        })
        .collect();
    if findings.len() > SHOWN {
        list.push(format!("{} more", findings.len() - SHOWN));
    }
    match list.split_last() {
        Some((last, [])) => last.clone(),
        Some((last, first)) => format!("{} and {last}", first.join(", ")),
        None => String::new(),
    }
}

impl Outcome {
    /// A verdict without judgements.
    #[must_use]
    pub const fn new(verdict: Verdict) -> Self {
        Self {
            judgements: Vec::new(),
            verdict,
        }
    }
}

impl From<Vec<Problem>> for Error {
    fn from(problems: Vec<Problem>) -> Self {
        Self::InvalidSettings(problems)
    }
}

impl Problems {
    /// Nothing, or all problems as the scan world's error.
    ///
    /// # Errors
    /// [`Error::InvalidSettings`] when there is any problem.
    pub fn into_scan_result(self) -> Result<(), Error> {
        if self.is_empty() {
            Ok(())
        } else {
            Err(self.into_vec().into())
        }
    }
}

/// What [`crate::register_scan!`] exports.
#[doc(hidden)]
pub struct Adapter<T>(PhantomData<T>);

impl<T: ScanPlugin> Guest for Adapter<T> {
    fn validate(settings: String) -> Result<(), Error> {
        crate::log::report_panics();
        T::validate(&settings)
    }

    fn process(
        settings: String,
        artifact: Artifact,
        report: Report,
        context: Context,
        now: u64,
    ) -> Result<Outcome, Error> {
        crate::log::report_panics();
        T::process(&settings, &artifact, &report, &context, now)
    }
}

/// Makes a [`ScanPlugin`] the component's one export. Call it once, at the crate's root.
#[macro_export]
macro_rules! register_scan {
    ($plugin:ty) => {
        #[cfg(target_family = "wasm")]
        const _: () = {
            type Registered = $crate::scan::Adapter<$plugin>;
            $crate::bindings::scan::__export_scan_plugin!(
                Registered with_types_in $crate::bindings::scan
            );
        };
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    fn finding(id: &str, severity: Severity) -> Finding {
        Finding {
            id: id.to_owned(),
            package: "p".to_owned(),
            installed_version: String::new(),
            fixed_version: None,
            severity,
            suppressed: None,
            title: String::new(),
            attributes: Vec::new(),
        }
    }

    #[test]
    fn the_worst_come_first_and_the_rest_is_counted() {
        assert_eq!(worst([]), "");
        let low = finding("A", Severity::Low);
        let high = finding("B", Severity::High);
        assert_eq!(worst([&low]), "A (low, p)");
        assert_eq!(worst([&low, &high]), "B (high, p) and A (low, p)");
        let many = vec![low; 9];
        assert!(worst(&many).ends_with("A (low, p) and 4 more"));
        let hostile = finding(&"\n\u{202e}".repeat(5000), Severity::Unknown);
        let text = worst([&hostile]);
        assert!(text.len() < 200 && !text.contains('\n'), "{text}");
    }

    #[test]
    fn severities_are_in_order_and_have_their_names() {
        assert!(Severity::NAMES.windows(2).all(|pair| pair[0].1 < pair[1].1));
        assert!(
            Severity::NAMES
                .iter()
                .all(|(name, one)| one.as_str() == *name)
        );
    }
}
