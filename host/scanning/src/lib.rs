//! Where scanning will live. There is no scanner yet, and nothing here pretends to be one.
//!
//! What it is for: the reconciler asks through [`Scanner::scan`], so that the real thing, a
//! subprocess with limits that the scanner actor will own, changes no caller. Until then the one
//! state is [`ScannerState::Disabled`], the binary refuses the `scanning.*` switches by name
//! (contract.md 2), and versions are published without a scan report.
//!
//! What bounds it: nothing is run, opened or waited for.
//!
//! What it refuses: every scan. A refusal is an error, never an empty report, because a report
//! without findings would read as clean.

#![warn(missing_docs)]

use opendepot_domain::Kind;
use opendepot_domain::scan::{Report, Scope};
use std::path::PathBuf;

/// Whether there is a scanner.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum ScannerState {
    /// None is configured.
    #[default]
    Disabled,
}

/// One thing to look at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScanRequest {
    /// The archive, a temporary file of the caller's, which outlives the scan.
    pub file: PathBuf,
    /// What to look for in it.
    pub scope: Scope,
}

/// Why there is no report.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// No scanner is configured.
    #[error("cannot scan `{}`: no scanner is configured", file.display())]
    NotConfigured {
        /// The file that was to be scanned.
        file: PathBuf,
    },
}

impl Error {
    /// What the failure means to a caller.
    #[must_use]
    pub const fn kind(&self) -> Kind {
        match self {
            Self::NotConfigured { .. } => Kind::Invalid,
        }
    }
}

/// The scanner, as its owner holds it.
#[derive(Clone, Debug, Default)]
pub struct Scanner {
    state: ScannerState,
}

impl Scanner {
    /// The scanner of a process that has none.
    #[must_use]
    pub const fn disabled() -> Self {
        Self {
            state: ScannerState::Disabled,
        }
    }

    /// Whether there is a scanner: ask before fetching anything for its sake.
    #[must_use]
    pub const fn state(&self) -> ScannerState {
        self.state
    }

    /// Scans one file.
    ///
    /// # Errors
    /// [`Error::NotConfigured`], always, until a scanner exists.
    pub async fn scan(&self, request: ScanRequest) -> Result<Report, Error> {
        match self.state {
            ScannerState::Disabled => Err(Error::NotConfigured { file: request.file }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_disabled_scanner_refuses_and_reports_nothing() {
        let (file, scope) = (PathBuf::from("archive.zip"), Scope::Module);
        let error = Scanner::disabled().scan(ScanRequest { file, scope }).await;
        assert_eq!(error.unwrap_err().kind(), Kind::Invalid);
    }
}
