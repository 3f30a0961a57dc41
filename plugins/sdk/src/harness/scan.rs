//! The functions of the scan world.

use super::Component;
use super::json::{FromJson, ToJson, case, field, text_case, unexpected};
use crate::artifact::Artifact;
use crate::scan::{Context, Error, Finding, Judgement, Outcome, Report, Scope, Severity, Verdict};
use serde_json::{Value, json};

impl Component {
    /// Calls `process` of a scan plugin.
    ///
    /// # Errors
    /// What the plugin answers.
    ///
    /// # Panics
    /// When there is no answer.
    #[track_caller]
    pub fn process(
        &self,
        artifact: &Artifact,
        report: &Report,
        context: &Context,
    ) -> Result<Outcome, Error> {
        let mut arguments = self.arguments(true);
        arguments.insert("artifact".to_owned(), artifact.to_json());
        arguments.insert("report".to_owned(), report.to_json());
        arguments.insert("context".to_owned(), context.to_json());
        self.call("process", arguments)
    }

    /// Calls `validate` of a scan plugin.
    ///
    /// # Errors
    /// What the plugin answers.
    ///
    /// # Panics
    /// When there is no answer.
    #[track_caller]
    pub fn validate_scan(&self) -> Result<(), Error> {
        self.call("validate", self.arguments(false))
    }
}

impl ToJson for Severity {
    fn to_json(&self) -> Value {
        self.as_str().into()
    }
}

impl ToJson for Scope {
    fn to_json(&self) -> Value {
        let name = match self {
            Self::ProviderBinary => "provider-binary",
            Self::ProviderSource => "provider-source",
            Self::Module => "module",
            Self::Other(name) => return text_case("other", name),
        };
        name.into()
    }
}

impl ToJson for Finding {
    fn to_json(&self) -> Value {
        json!({
            "id": self.id,
            "package": self.package,
            "installed-version": self.installed_version,
            "fixed-version": self.fixed_version,
            "severity": self.severity.to_json(),
            "suppressed": self.suppressed,
            "title": self.title,
            "attributes": self.attributes.to_json(),
        })
    }
}

impl ToJson for Report {
    fn to_json(&self) -> Value {
        json!({
            "scanner": self.scanner,
            "scanned-at": self.scanned_at,
            "scope": self.scope.to_json(),
            "findings": self.findings.to_json(),
            "attributes": self.attributes.to_json(),
        })
    }
}

impl ToJson for Context {
    fn to_json(&self) -> Value {
        json!({
            "already-published": self.already_published,
            "trigger": self.trigger,
            "attributes": self.attributes.to_json(),
        })
    }
}

impl FromJson for Severity {
    fn from_json(value: &Value) -> Result<Self, String> {
        let found = Self::NAMES
            .into_iter()
            .find(|(name, _)| value.as_str() == Some(*name));
        found
            .map(|(_, severity)| severity)
            .ok_or_else(|| unexpected("a severity", value))
    }
}

impl FromJson for Judgement {
    fn from_json(value: &Value) -> Result<Self, String> {
        Ok(Self {
            finding: field(value, "finding")?,
            severity: field(value, "severity")?,
            suppressed: field(value, "suppressed")?,
        })
    }
}

impl FromJson for Verdict {
    fn from_json(value: &Value) -> Result<Self, String> {
        match case(value)? {
            ("publish", _) => Ok(Self::Publish),
            ("block", reason) => String::from_json(reason).map(Self::Block),
            ("abstain", _) => Ok(Self::Abstain),
            _ => Err(unexpected("a verdict", value)),
        }
    }
}

impl FromJson for Outcome {
    fn from_json(value: &Value) -> Result<Self, String> {
        Ok(Self {
            judgements: field(value, "judgements")?,
            verdict: field(value, "verdict")?,
        })
    }
}

impl FromJson for Error {
    fn from_json(value: &Value) -> Result<Self, String> {
        match case(value)? {
            ("invalid-settings", problems) => Vec::from_json(problems).map(Self::InvalidSettings),
            ("other", message) => String::from_json(message).map(Self::Other),
            _ => Err(unexpected("an error", value)),
        }
    }
}
