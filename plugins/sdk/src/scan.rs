//! The scan world: what a scan report means.
//!
//! An outcome speaks of findings by their index in the report: a plugin cannot invent one.
//! Changing a severity and suppressing a finding need the grant `judge-findings`.

pub use crate::bindings::scan::opendepot::scan::types::{
    Context, Error, Finding, Judgement, Outcome, Report, Scope, Severity, Verdict,
};

use crate::artifact::{Artifact, Problem};
use crate::bindings::scan::exports::opendepot::scan::post_processor::Guest;
use crate::settings::Problems;
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
