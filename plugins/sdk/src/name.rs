//! Which resources a rule concerns: patterns of namespaces and names, as settings say it.
//!
//! ```yaml
//! namespaces: [team-*]      # absent: every namespace
//! modules: [aws-*]          # absent, with `providers` absent too: every resource; else none
//! providers: ["null"]
//! ```
//!
//! What bounds it: [`MAX_PATTERNS`] a list. What it refuses: patterns that no name matches, and
//! lists that leave nothing to match.

use crate::artifact::ArtifactKind;
use crate::glob;
use crate::settings::{Object, shown};

/// The most patterns of one list.
pub const MAX_PATTERNS: usize = 1000;

/// The pattern that every name matches.
const EVERY: &str = "*";

/// Patterns of namespaces, modules and providers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Names {
    /// Of namespaces.
    pub namespaces: Vec<String>,
    /// Of modules.
    pub modules: Vec<String>,
    /// Of providers.
    pub providers: Vec<String>,
    /// Whether neither list was given: then kinds that this version does not know are meant too.
    pub has_every_kind: bool,
}

impl Names {
    /// The keys that [`Names::read`] reads.
    pub const KEYS: [&'static str; 3] = ["namespaces", "modules", "providers"];

    /// Reads the three lists of `rule`; problems go to it.
    #[must_use]
    pub fn read(rule: &Object<'_>) -> Self {
        let has_every_kind = !rule.has("modules") && !rule.has("providers");
        let every = || vec![EVERY.to_owned()];
        let of_kind = |key| match patterns(rule, key) {
            Some(patterns) => patterns,
            None if has_every_kind => every(),
            None => Vec::new(),
        };
        let names = Self {
            namespaces: patterns(rule, "namespaces").unwrap_or_else(every),
            modules: of_kind("modules"),
            providers: of_kind("providers"),
            has_every_kind,
        };
        report_if_idle(rule);
        names
    }

    /// Whether the resource is meant.
    #[must_use]
    pub fn matches(&self, namespace: &str, kind: &ArtifactKind, name: &str) -> bool {
        let any = |patterns: &[String], name: &str| {
            patterns.iter().any(|pattern| glob::matches(pattern, name))
        };
        any(&self.namespaces, namespace)
            && match kind {
                ArtifactKind::Module => any(&self.modules, name),
                ArtifactKind::Provider => any(&self.providers, name),
                ArtifactKind::Other(_) => self.has_every_kind,
            }
    }
}

/// An empty list means none; where that leaves nothing to match, it is a mistake.
fn report_if_idle(rule: &Object<'_>) {
    if rule.is_empty_list("namespaces") {
        rule.problem("namespaces", "is empty: the rule can never match");
    }
    let none = |key| !rule.has(key) || rule.is_empty_list(key);
    if (rule.has("modules") || rule.has("providers")) && none("modules") && none("providers") {
        let key = if rule.has("modules") {
            "modules"
        } else {
            "providers"
        };
        rule.problem(key, "names nothing: the rule can never match");
    }
}

/// The patterns of an optional list.
fn patterns(rule: &Object<'_>, key: &str) -> Option<Vec<String>> {
    if !rule.has(key) {
        return None;
    }
    let mut patterns = Vec::new();
    for (path, pattern) in rule.few_texts(key, MAX_PATTERNS).unwrap_or_default() {
        match glob::check(pattern) {
            Ok(()) => patterns.push(glob::normalised(pattern)),
            Err(reason) => rule.problem_at(path, format!("`{}`: {reason}", shown(pattern))),
        }
    }
    Some(patterns)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::{Problems, parse};

    fn read(text: &str) -> (Names, usize) {
        let problems = Problems::new();
        let value = parse(text, "", &problems).unwrap();
        let names = Names::read(&Object::new(&value, "", &problems).unwrap());
        (names, problems.into_vec().len())
    }

    #[test]
    fn absent_lists_mean_everything_and_a_given_one_excludes_the_other_kind() {
        let other = ArtifactKind::Other("dataset".to_owned());
        for (text, module, provider, unknown) in [
            ("{}", true, true, true),
            (r#"{"modules": ["b"]}"#, true, false, false),
            (r#"{"providers": ["*"]}"#, false, true, false),
            (r#"{"namespaces": ["x*"]}"#, false, false, false),
            (r#"{"namespaces": ["a"]}"#, true, true, true),
        ] {
            let (names, num_problems) = read(text);
            assert_eq!(num_problems, 0, "{text}");
            let matches = |kind: &ArtifactKind| names.matches("a", kind, "b");
            assert_eq!(matches(&ArtifactKind::Module), module, "{text}");
            assert_eq!(matches(&ArtifactKind::Provider), provider, "{text}");
            assert_eq!(matches(&other), unknown, "{text}");
        }
    }

    #[test]
    fn hostile_lists_are_problems() {
        let many = format!(r#"{{"modules": [{}]}}"#, vec!["\"a\""; 1001].join(","));
        for text in [
            r#"{"namespaces": []}"#,
            r#"{"modules": []}"#,
            r#"{"modules": [], "providers": []}"#,
            r#"{"modules": ["A"]}"#,
            r#"{"modules": "a"}"#,
            many.as_str(),
        ] {
            assert_eq!(read(text).1, 1, "{text:.40}");
        }
    }
}
