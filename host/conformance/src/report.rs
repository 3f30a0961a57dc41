//! What came of the checks.

use opendepot_domain::PluginId;
use opendepot_plugin::World;
use serde::Serialize;
use std::fmt;

/// What a suite found out.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// The plugin; absent when it does not load.
    pub plugin: Option<PluginId>,
    /// Its world; absent when it does not load.
    pub world: Option<World>,
    /// Every check, in the order in which they ran.
    pub checks: Vec<Check>,
}

/// One check.
#[derive(Clone, Debug, Serialize)]
pub struct Check {
    /// Its name: words joined by hyphens.
    pub name: &'static str,
    /// What came of it.
    #[serde(flatten)]
    pub outcome: Outcome,
}

/// How a check ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase", tag = "result", content = "reason")]
pub enum Outcome {
    /// The plugin does what is demanded.
    Passed,
    /// What was demanded, and what came.
    Failed(String),
    /// It does not apply, and why.
    Skipped(String),
}

impl Report {
    /// Whether no check failed.
    #[must_use]
    pub fn is_ok(&self) -> bool {
        self.failures().next().is_none()
    }

    /// The checks that failed, with the reasons.
    pub fn failures(&self) -> impl Iterator<Item = (&'static str, &str)> {
        self.checks.iter().filter_map(|check| match &check.outcome {
            Outcome::Failed(reason) => Some((check.name, reason.as_str())),
            Outcome::Passed | Outcome::Skipped(_) => None,
        })
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for check in &self.checks {
            match &check.outcome {
                Outcome::Passed => writeln!(f, "ok    {}", check.name)?,
                Outcome::Failed(reason) => writeln!(f, "FAIL  {}: {reason}", check.name)?,
                Outcome::Skipped(reason) => writeln!(f, "skip  {}: {reason}", check.name)?,
            }
        }
        let count = |is: fn(&Outcome) -> bool| {
            let checks = self.checks.iter();
            checks.filter(|check| is(&check.outcome)).count()
        };
        writeln!(
            f,
            "{} passed, {} failed, {} skipped",
            count(|outcome| matches!(outcome, Outcome::Passed)),
            count(|outcome| matches!(outcome, Outcome::Failed(_))),
            count(|outcome| matches!(outcome, Outcome::Skipped(_))),
        )
    }
}
