//! Blocks what has findings at or above a severity.
//!
//! ```yaml
//! settings:
//!   block: high                 # low, medium, high, critical, or none: block nothing
//!   scopes:                     # in place of `block`, for what was scanned
//!     provider-binary: critical
//!     provider-source: none
//!     module: medium
//!   unscored: medium            # what a finding without a severity counts as; absent: it never blocks
//!   withdraw: false             # leave what clients can have already; default true: withdraw it
//! ```
//!
//! Findings that a plugin before it suppressed do not count, and severities are those that earlier
//! plugins left: put it behind them, with the highest `order`. It changes no finding, so it needs no
//! grant.
//!
//! **What bounds it.** One pass over the findings; a reason names five of them.
//!
//! **What it refuses.** Unknown keys, scopes and severities, with the nearest known one. All problems
//! are reported at once.
//!
//! **What may surprise.** A scope that this version does not know is judged by `block`. With
//! `withdraw: false` new findings in a published artifact are logged and nothing else: pair it with
//! somebody who reads the log.

use opendepot_plugin_sdk::scan::{
    Context, Error, Finding, Outcome, Report, ScanPlugin, Scope, Severity, Verdict, worst,
};
use opendepot_plugin_sdk::settings::{self, Object};
use opendepot_plugin_sdk::{Artifact, log, register_scan};

/// The plugin.
pub struct Threshold;

/// The least severity that blocks; absent: none does.
type Limit = Option<Severity>;

#[derive(Debug)]
struct Settings {
    block: Limit,
    provider_binary: Limit,
    provider_source: Limit,
    module: Limit,
    unscored: Severity,
    withdraws: bool,
}

impl Settings {
    fn read(text: &str) -> Result<Self, Error> {
        Ok(settings::read(text, |root| {
            root.deny_unknown(&["block", "scopes", "unscored", "withdraw"]);
            root.require("block");
            let block = limit(root, "block").flatten();
            let scopes = root.object("scopes");
            if let Some(scopes) = &scopes {
                scopes.deny_unknown(&["provider-binary", "provider-source", "module"]);
            }
            let of_scope = |key| {
                let own = scopes.as_ref().and_then(|scopes| limit(scopes, key));
                own.unwrap_or(block)
            };
            let [_, scored @ ..] = Severity::NAMES;
            Self {
                block,
                provider_binary: of_scope("provider-binary"),
                provider_source: of_scope("provider-source"),
                module: of_scope("module"),
                unscored: root
                    .choice("unscored", &scored)
                    .unwrap_or(Severity::Unknown),
                withdraws: root.flag("withdraw").unwrap_or(true),
            }
        })?)
    }

    const fn limit(&self, scope: &Scope) -> Limit {
        match scope {
            Scope::ProviderBinary => self.provider_binary,
            Scope::ProviderSource => self.provider_source,
            Scope::Module => self.module,
            Scope::Other(_) => self.block,
        }
    }

    fn severity(&self, finding: &Finding) -> Severity {
        match finding.severity {
            Severity::Unknown => self.unscored,
            known => known,
        }
    }
}

/// The limit at `key`, when one is written there.
fn limit(object: &Object<'_>, key: &str) -> Option<Limit> {
    let [_, scored @ ..] = Severity::NAMES.map(|(name, severity)| (name, Some(severity)));
    let [low, medium, high, critical] = scored;
    object.choice(key, &[("none", None), low, medium, high, critical])
}

impl ScanPlugin for Threshold {
    fn validate(settings: &str) -> Result<(), Error> {
        Settings::read(settings).map(drop)
    }

    fn process(
        settings: &str,
        artifact: &Artifact,
        report: &Report,
        context: &Context,
        _now: u64,
    ) -> Result<Outcome, Error> {
        let settings = Settings::read(settings)?;
        let Some(limit) = settings.limit(&report.scope) else {
            return Ok(Outcome::new(Verdict::Abstain));
        };
        // What has no severity is below every limit, unless the operator says otherwise.
        let blocking: Vec<&Finding> = report
            .findings
            .iter()
            .filter(|finding| finding.counts() && settings.severity(finding) >= limit)
            .collect();
        if blocking.is_empty() {
            return Ok(Outcome::new(Verdict::Publish));
        }
        let reason = format!(
            "{} at or above `{}`: {}",
            findings(blocking.len()),
            limit.as_str(),
            worst(blocking)
        );
        if context.already_published && !settings.withdraws {
            let fields = [
                ("artifact.namespace", artifact.namespace.as_str()),
                ("artifact.name", artifact.name.as_str()),
                ("artifact.version", artifact.version.as_str()),
                ("reason", reason.as_str()),
            ];
            log::warn("left published, though it would be blocked now", &fields);
            return Ok(Outcome::new(Verdict::Publish));
        }
        Ok(Outcome::new(Verdict::Block(reason)))
    }
}

fn findings(count: usize) -> String {
    if count == 1 {
        "1 finding".to_owned()
    } else {
        format!("{count} findings")
    }
}

register_scan!(Threshold);

#[cfg(test)]
mod tests;
