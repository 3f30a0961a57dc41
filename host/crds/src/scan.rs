//! Scan results as statuses carry them.

use crate::error::Error;
use crate::limits;
use crate::time::{rfc3339, unix_seconds};
use kube::KubeSchema;
use opendepot_domain::scan::{Finding, Report, Scope, Severity};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// One finding.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SecurityFinding {
    /// CVE, GHSA or rule id.
    #[serde(rename = "vulnerabilityID", default)]
    #[schemars(length(max = 128))]
    pub vulnerability_id: String,
    /// The package or resource concerned.
    #[serde(default)]
    #[schemars(length(max = 512))]
    pub pkg_name: String,
    /// The version found; empty for misconfigurations.
    #[serde(default)]
    #[schemars(length(max = 256))]
    pub installed_version: String,
    /// The version that fixes it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 512))]
    pub fixed_version: Option<String>,
    /// `CRITICAL`, `HIGH`, `MEDIUM`, `LOW` or `UNKNOWN`.
    #[serde(default)]
    #[schemars(length(max = 16), extend("enum" = ["CRITICAL", "HIGH", "MEDIUM", "LOW", "UNKNOWN"]))]
    pub severity: String,
    /// Why the finding does not count, when a judgement suppressed it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub suppressed: Option<String>,
    /// One line.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub title: Option<String>,
}

impl SecurityFinding {
    /// The severity; what is not one of the five is [`Severity::Unknown`].
    #[must_use]
    pub fn severity(&self) -> Severity {
        match self.severity.as_str() {
            "CRITICAL" => Severity::Critical,
            "HIGH" => Severity::High,
            "MEDIUM" => Severity::Medium,
            "LOW" => Severity::Low,
            _ => Severity::Unknown,
        }
    }
}

impl From<&Finding> for SecurityFinding {
    /// Cuts what is longer than the schema allows, at character boundaries.
    fn from(finding: &Finding) -> Self {
        Self {
            vulnerability_id: cut(&finding.id, 128),
            pkg_name: cut(&finding.package, 512),
            installed_version: cut(&finding.installed_version, 256),
            fixed_version: finding.fixed_version.as_deref().map(|text| cut(text, 512)),
            severity: match finding.severity {
                Severity::Critical => "CRITICAL",
                Severity::High => "HIGH",
                Severity::Medium => "MEDIUM",
                Severity::Low => "LOW",
                Severity::Unknown => "UNKNOWN",
            }
            .to_owned(),
            suppressed: finding.suppressed.as_deref().map(|text| cut(text, 1024)),
            title: Some(cut(&finding.title, 1024)).filter(|title| !title.is_empty()),
        }
    }
}

impl From<&SecurityFinding> for Finding {
    fn from(finding: &SecurityFinding) -> Self {
        Self {
            id: finding.vulnerability_id.clone(),
            package: finding.pkg_name.clone(),
            installed_version: finding.installed_version.clone(),
            fixed_version: finding.fixed_version.clone(),
            severity: finding.severity(),
            suppressed: finding.suppressed.clone(),
            title: finding.title.clone().unwrap_or_default(),
        }
    }
}

/// The schema counts characters, as Kubernetes does.
fn cut(text: &str, chars: usize) -> String {
    text.chars().take(chars).collect()
}

/// One scan of one artifact.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Scan {
    /// When the scan was done, RFC 3339.
    #[serde(default)]
    #[schemars(length(max = 64))]
    pub scanned_at: String,
    /// The worst findings first, at most 500.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = limits::FINDINGS))]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub findings: Vec<SecurityFinding>,
}

/// A provider's source scan, as the seed version of the original keeps it on the Provider.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct ProviderSourceScan {
    /// When the scan was done, RFC 3339.
    #[serde(default)]
    #[schemars(length(max = 64))]
    pub scanned_at: String,
    /// The version that was scanned.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = limits::VERSION_CHARS))]
    pub version: Option<String>,
    /// The worst findings first, at most 500.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = limits::FINDINGS))]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub findings: Vec<SecurityFinding>,
}

impl Scan {
    /// Writes a report: the worst 500 findings, the worst first.
    #[must_use]
    pub fn of(report: &Report) -> Self {
        Self::new(report.scanned_at, &report.findings)
    }

    /// Writes findings that judgements have been applied to: the worst 500, the worst first.
    #[must_use]
    pub fn new(scanned_at: u64, findings: &[Finding]) -> Self {
        let mut sorted: Vec<&Finding> = findings.iter().collect();
        sorted
            .sort_by(|a, b| (b.severity, &a.id, &a.package).cmp(&(a.severity, &b.id, &b.package)));
        Self {
            scanned_at: rfc3339(scanned_at),
            findings: sorted
                .into_iter()
                .take(limits::FINDINGS as usize)
                .map(SecurityFinding::from)
                .collect(),
        }
    }

    /// Reads the scan back.
    ///
    /// # Errors
    /// [`Error::Value`] when `scannedAt` is not a time.
    pub fn report(&self, scanner: &str, scope: Scope) -> Result<Report, Error> {
        Ok(Report {
            scanner: scanner.to_owned(),
            scanned_at: unix_seconds(&self.scanned_at)?,
            scope,
            findings: self.findings.iter().map(Finding::from).collect(),
        })
    }
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
            title: "ä".repeat(2_000),
        }
    }

    #[test]
    fn the_worst_findings_survive_the_cap() {
        let mut findings: Vec<_> = (0..600)
            .map(|n| finding(&format!("CVE-{n:04}"), Severity::Low))
            .collect();
        findings.push(finding("CVE-9999", Severity::Critical));
        let scan = Scan::new(0, &findings);
        assert_eq!(scan.findings.len(), 500);
        assert_eq!(scan.findings[0].vulnerability_id, "CVE-9999");
        assert_eq!(scan.findings[1].vulnerability_id, "CVE-0000");
        assert_eq!(
            scan.findings[0].title.as_ref().unwrap().chars().count(),
            1024
        );
        let report = scan.report("trivy", Scope::Module).unwrap();
        assert_eq!(report.findings[0].severity, Severity::Critical);
    }

    #[test]
    fn an_empty_installed_version_is_written() {
        let scan = Scan::new(0, &[finding("x", Severity::High)]);
        let value = serde_json::to_value(&scan).unwrap();
        assert_eq!(value["findings"][0]["installedVersion"], "");
    }
}
