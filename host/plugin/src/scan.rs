//! The scan world: the chain of post-processors behind [`ScanPolicy`].

use crate::auth::problems_text;
use crate::call::{CallState, Caller, Function, Identity};
use crate::error::{Fault, LoadError};
use crate::host::PluginHost;
use crate::loaded::Link;
use crate::text;
use crate::v0_1::host::types::Artifact as WitArtifact;
use crate::v0_1::scan::ScanPluginPre;
use crate::v0_1::scan::opendepot::scan::types as wit;
use opendepot_domain::scan::{
    Context, Finding, Outcome, Report, Scope, Severity, Trigger, Verdict,
};
use opendepot_domain::seam::{BoxFuture, ScanPolicy};
use std::collections::BTreeSet;
use std::sync::Arc;

impl wit::Host for CallState {}

/// A loaded scan plugin.
pub(crate) struct ScanGuest {
    pub(crate) identity: Arc<Identity>,
    pub(crate) settings: Arc<str>,
    pub(crate) pre: ScanPluginPre<CallState>,
}

impl Caller {
    /// Validates settings.
    pub(crate) async fn load_scan(
        &self,
        identity: Arc<Identity>,
        settings: Arc<str>,
        pre: ScanPluginPre<CallState>,
    ) -> Result<ScanGuest, LoadError> {
        let (own, text) = (pre.clone(), Arc::clone(&settings));
        let function = Function::Validate.label();
        self.call(&identity, Function::Validate, move |mut store| {
            Box::pin(async move {
                let guest = own.instantiate_async(&mut store).await?;
                let processor = guest.opendepot_scan_post_processor();
                processor.call_validate(&mut store, &text).await
            })
        })
        .await
        .map_err(|fault| LoadError::Call { function, fault })?
        .map_err(|error| LoadError::Guest {
            function,
            message: error_text(&error),
        })?;
        Ok(ScanGuest {
            identity,
            settings,
            pre,
        })
    }

    async fn process(
        &self,
        guest: &Arc<ScanGuest>,
        artifact: WitArtifact,
        report: wit::Report,
        context: wit::Context,
        now: u64,
    ) -> Result<wit::Outcome, Fault> {
        let own = Arc::clone(guest);
        self.call(&guest.identity, Function::Process, move |mut store| {
            Box::pin(async move {
                let instance = own.pre.instantiate_async(&mut store).await?;
                let processor = instance.opendepot_scan_post_processor();
                processor
                    .call_process(&mut store, &own.settings, &artifact, &report, &context, now)
                    .await
            })
        })
        .await?
        .map_err(|error| Fault::Malformed(error_text(&error)))
    }
}

impl ScanPolicy for PluginHost {
    fn process<'a>(
        &'a self,
        report: Report,
        context: &'a Context,
        now: u64,
    ) -> BoxFuture<'a, Outcome> {
        Box::pin(async move {
            let loaded = self.inner.loaded.load_full();
            let mut report = report;
            let mut block: Option<String> = None;
            let mut failure: Option<String> = None;
            for link in &loaded.scan {
                match self.judge(link, &mut report, context, now).await {
                    Ok(None) => {}
                    Ok(Some(reason)) => {
                        block.get_or_insert(format!("`{}`: {reason}", link.id));
                    }
                    Err(reason) => {
                        tracing::warn!(
                            plugin.name = link.id.as_str(),
                            "scan plugin `{}` gave no judgement: {reason}",
                            link.id
                        );
                        failure.get_or_insert(format!("`{}`: {reason}", link.id));
                    }
                }
            }
            // A block stands even when another plugin failed: it is the stricter answer.
            let verdict = match (block, failure) {
                (Some(reason), _) => Verdict::Block(reason),
                (None, Some(reason)) => Verdict::NotScanned(reason),
                (None, None) => Verdict::Publish,
            };
            Outcome {
                findings: report.findings,
                verdict,
            }
        })
    }
}

impl PluginHost {
    /// Lets one plugin judge, and applies its judgements to the report. `Some` blocks.
    async fn judge(
        &self,
        link: &Link<ScanGuest>,
        report: &mut Report,
        context: &Context,
        now: u64,
    ) -> Result<Option<String>, String> {
        let guest = link.guest.as_ref().map_err(Clone::clone)?;
        let outcome = self
            .inner
            .caller
            .process(
                guest,
                (&context.artifact).into(),
                wit_report(report),
                wit_context(context),
                now,
            )
            .await
            .map_err(|fault| fault.to_string())?;
        let may_judge = guest.identity.grants.may_judge_findings;
        check_judgements(&outcome.judgements, report.findings.len(), may_judge)?;
        for judgement in outcome.judgements {
            let index = usize::try_from(judgement.finding).unwrap_or(usize::MAX);
            let Some(finding) = report.findings.get_mut(index) else {
                continue;
            };
            if let Some(severity) = judgement.severity {
                finding.severity = severity.into();
            }
            if let Some(reason) = judgement.suppressed {
                finding.suppressed = Some(format!("{}: {}", link.id, text::shown(&reason)));
            }
            tracing::info!(
                plugin.name = link.id.as_str(),
                plugin.digest = guest.identity.digest.as_str(),
                finding.id = text::cut(&finding.id, 80),
                finding.severity = ?finding.severity,
                finding.suppressed = finding.suppressed.is_some(),
                "plugin `{}` judged finding {index} of {}",
                link.id,
                context.artifact.id
            );
        }
        Ok(match outcome.verdict {
            wit::Verdict::Publish | wit::Verdict::Abstain => None,
            wit::Verdict::Block(reason) => Some(text::shown(&reason)),
        })
    }
}

/// A plugin cannot invent a finding, judge one twice, or judge without the grant. An answer that
/// does is not well-formed, so none of it is used.
fn check_judgements(
    judgements: &[wit::Judgement],
    num_findings: usize,
    may_judge: bool,
) -> Result<(), String> {
    if !may_judge && !judgements.is_empty() {
        return Err("it judges findings without the grant `judge-findings`".to_owned());
    }
    let mut seen = BTreeSet::new();
    for judgement in judgements {
        let index = judgement.finding;
        if usize::try_from(index).map_or(true, |index| index >= num_findings) {
            return Err(format!(
                "it judges finding {index} of a report with {num_findings}"
            ));
        }
        if !seen.insert(index) {
            return Err(format!("it judges finding {index} twice"));
        }
    }
    Ok(())
}

fn error_text(error: &wit::Error) -> String {
    match error {
        wit::Error::InvalidSettings(problems) => problems_text(problems),
        wit::Error::Other(message) => text::shown(message),
    }
}

fn wit_report(report: &Report) -> wit::Report {
    wit::Report {
        scanner: report.scanner.clone(),
        scanned_at: report.scanned_at,
        scope: match report.scope {
            Scope::ProviderBinary => wit::Scope::ProviderBinary,
            Scope::ProviderSource => wit::Scope::ProviderSource,
            Scope::Module => wit::Scope::Module,
        },
        findings: report.findings.iter().map(Into::into).collect(),
        attributes: Vec::new(),
    }
}

fn wit_context(context: &Context) -> wit::Context {
    wit::Context {
        already_published: context.already_published,
        trigger: match context.trigger {
            Trigger::Ingest => "ingest",
            Trigger::Rescan => "rescan",
            Trigger::Policy => "policy",
        }
        .to_owned(),
        attributes: Vec::new(),
    }
}

impl From<&Finding> for wit::Finding {
    fn from(finding: &Finding) -> Self {
        Self {
            id: finding.id.clone(),
            package: finding.package.clone(),
            installed_version: finding.installed_version.clone(),
            fixed_version: finding.fixed_version.clone(),
            severity: finding.severity.into(),
            suppressed: finding.suppressed.clone(),
            title: finding.title.clone(),
            attributes: Vec::new(),
        }
    }
}

impl From<Severity> for wit::Severity {
    fn from(severity: Severity) -> Self {
        match severity {
            Severity::Unknown => Self::Unknown,
            Severity::Low => Self::Low,
            Severity::Medium => Self::Medium,
            Severity::High => Self::High,
            Severity::Critical => Self::Critical,
        }
    }
}

impl From<wit::Severity> for Severity {
    fn from(severity: wit::Severity) -> Self {
        match severity {
            wit::Severity::Unknown => Self::Unknown,
            wit::Severity::Low => Self::Low,
            wit::Severity::Medium => Self::Medium,
            wit::Severity::High => Self::High,
            wit::Severity::Critical => Self::Critical,
        }
    }
}
