//! What a Module or Provider says about its Versions as a whole.

use crate::index::Summary;
use crate::owned::Applied;
use opendepot_crds::Reason;
use std::sync::Arc;

/// The conditions' input.
pub(crate) struct Readiness {
    pub(crate) is_ready: bool,
    pub(crate) reason: Reason,
    pub(crate) message: String,
    /// Whether time alone may bring it further.
    pub(crate) is_progressing: bool,
    /// As in the original: Versions exist for every entry; whether they are published is Ready's.
    pub(crate) is_synced: bool,
}

impl Readiness {
    /// Sums up `num_desired` Versions, which are called `noun`; `more` are problems that no single
    /// Version has.
    pub(crate) fn of(noun: &str, num_desired: usize, applied: &Applied, more: Vec<String>) -> Self {
        let num_coming = applied.num_coming;
        let mut problems = problems(applied.versions.values());
        problems.extend(more);
        problems.extend(applied.refused.iter().cloned());
        if num_coming > 0 {
            problems.push(format!("to be created: {num_coming}"));
        }
        let num_absent = applied
            .versions
            .values()
            .filter(|version| version.is_unavailable)
            .count();
        let (is_ready, reason, message) = if num_desired == 0 {
            let message = "the spec lists no versions".to_owned();
            (true, Reason::NoVersions, message)
        } else if problems.is_empty() {
            let num_published = num_desired.saturating_sub(num_absent);
            let absent = match num_absent {
                0 => String::new(),
                num_absent => format!(", {num_absent} not at the source"),
            };
            let drifted = drifted(applied.versions.values());
            let message = format!("{noun} published: {num_published}{absent}{drifted}");
            (true, Reason::Succeeded, message)
        } else {
            let reason = if applied.refused.is_empty() {
                Reason::VersionsNotReady
            } else {
                Reason::WriteRefused
            };
            let shown: Vec<&str> = problems.iter().take(3).map(String::as_str).collect();
            let (num_problems, shown) = (problems.len(), shown.join("; "));
            let message = format!("{num_problems} of {num_desired} not ready: {shown}");
            (false, reason, message)
        };
        Self {
            is_ready,
            reason,
            message: message.chars().take(4_000).collect(),
            is_progressing: num_coming > 0
                || applied
                    .versions
                    .values()
                    .any(|version| version.is_progressing),
            is_synced: num_coming == 0 && applied.refused.is_empty(),
        }
    }
}

/// Why Versions are not ready, sorted, with their names. What the source does not have for one
/// platform is no problem of the others.
fn problems<'a>(versions: impl Iterator<Item = &'a Arc<Summary>>) -> Vec<String> {
    let problem =
        |version: &Arc<Summary>| Some(format!("{}: {}", version.name, version.problem.as_ref()?));
    let mut problems: Vec<String> = versions
        .filter(|version| !version.is_unavailable)
        .filter_map(problem)
        .collect();
    problems.sort();
    problems
}

/// Good bytes stay when their source changes, so that is no problem; it must be seen all the same.
fn drifted<'a>(versions: impl Iterator<Item = &'a Arc<Summary>>) -> String {
    let drifted = versions.filter(|version| version.has_drifted);
    let mut names: Vec<&str> = drifted.map(|version| version.name.as_str()).collect();
    if names.is_empty() {
        return String::new();
    }
    names.sort_unstable();
    let (num, shown) = (names.len(), names.into_iter().take(3).collect::<Vec<_>>());
    format!(
        "; other content at the source of {num}, see ContentDrift: {}",
        shown.join(", ")
    )
}
