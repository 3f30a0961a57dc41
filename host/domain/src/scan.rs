//! Scan reports, judgements and verdicts.

use crate::artifact::Artifact;
use serde::{Deserialize, Serialize};

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Severity {
    /// The scanner does not say.
    Unknown,
    /// Low.
    Low,
    /// Medium.
    Medium,
    /// High.
    High,
    /// Critical.
    Critical,
}

/// What was looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Scope {
    /// A provider's executable.
    ProviderBinary,
    /// A provider's source.
    ProviderSource,
    /// A module.
    Module,
}

/// One finding of a scanner.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Finding {
    /// CVE, GHSA or rule id.
    pub id: String,
    /// The package or resource concerned.
    pub package: String,
    /// The version found.
    pub installed_version: String,
    /// The version that fixes it.
    pub fixed_version: Option<String>,
    /// How bad.
    pub severity: Severity,
    /// Why it does not count, when a judgement suppressed it.
    pub suppressed: Option<String>,
    /// One line.
    pub title: String,
}

/// What a scanner said about one artifact.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// Name and version of the scanner.
    pub scanner: String,
    /// Unix seconds.
    pub scanned_at: u64,
    /// What was looked at.
    pub scope: Scope,
    /// The findings.
    pub findings: Vec<Finding>,
}

/// Why a report is being judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trigger {
    /// First look, before anything is stored.
    Ingest,
    /// A later scan.
    Rescan,
    /// A policy changed.
    Policy,
}

/// The circumstances of a judgement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Context {
    /// The artifact to be judged.
    pub artifact: Artifact,
    /// Whether clients can already have it.
    pub already_published: bool,
    /// Why now.
    pub trigger: Trigger,
}

/// The chain's answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// May be served.
    Publish,
    /// Must not be served.
    Block(String),
    /// The report says nothing usable: the failure policy decides.
    NotScanned(String),
}

/// Findings after all judgements, and the verdict.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// The findings with judgements applied.
    pub findings: Vec<Finding>,
    /// The verdict.
    pub verdict: Verdict,
}
