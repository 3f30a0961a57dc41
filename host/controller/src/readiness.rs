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
        let num_problems = problems.len() + num_coming;
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
            let shown = shown.join("; ");
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::{HashMap, HashSet};

    fn applied(num_coming: usize, refused: &[&str]) -> Applied {
        Applied {
            versions: HashMap::new(),
            num_coming,
            incomplete: HashSet::new(),
            is_deleting: false,
            refused: refused.iter().map(|text| (*text).to_owned()).collect(),
        }
    }

    #[test]
    fn what_is_not_ready_is_counted_and_named() {
        let of = |num_desired, applied: &Applied| {
            let readiness = Readiness::of("versions", num_desired, applied, Vec::new());
            let Readiness {
                is_ready,
                reason,
                message,
                is_progressing,
                is_synced,
            } = readiness;
            (is_ready, reason, message, is_progressing, is_synced)
        };
        let coming = "9 of 10 not ready: to be created: 9".to_owned();
        assert_eq!(
            of(10, &applied(9, &[])),
            (false, Reason::VersionsNotReady, coming, true, false)
        );
        let refused = "1 of 2 not ready: a: too long".to_owned();
        assert_eq!(
            of(2, &applied(0, &["a: too long"])),
            (false, Reason::WriteRefused, refused, false, false)
        );
        let none = "the spec lists no versions".to_owned();
        assert_eq!(
            of(0, &applied(0, &[])),
            (true, Reason::NoVersions, none, false, true)
        );
        let many = "x".repeat(9_000);
        let long = of(1, &applied(0, &[&many])).2;
        assert_eq!(long.chars().count(), 4_000, "`syncStatus` takes 4 096");
    }
}
