//! Reads the operator's rules and reports every problem in them.

use crate::glob;
use opendepot_plugin_sdk::auth::{Action, Error};
use opendepot_plugin_sdk::settings::{Object, Problems, hint, parse, shown};

const MAX_RULES: usize = 1000;
const MAX_ENTRIES: usize = 1000;
const MAX_GROUP_BYTES: usize = 256;

/// Everyone who has a credential, among groups; every known action, among actions.
pub(crate) const EVERY: &str = "*";

/// Whom a rule concerns.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Members {
    /// Whoever has a credential.
    Everyone,
    /// The members of any of these groups.
    Groups(Vec<String>),
}

/// One rule.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Rule {
    pub(crate) members: Members,
    /// A bit for each of [`Action::NAMES`].
    pub(crate) actions: u8,
    pub(crate) namespaces: Vec<String>,
    pub(crate) modules: Vec<String>,
    pub(crate) providers: Vec<String>,
}

/// Parses and checks the settings.
pub(crate) fn read(settings: &str) -> Result<Vec<Rule>, Error> {
    let problems = Problems::new();
    let value = parse(settings, "", &problems);
    let rules = value
        .as_ref()
        .and_then(|value| Object::new(value, "", &problems))
        .map(|root| read_rules(&root, &problems))
        .unwrap_or_default();
    problems.into_auth_result()?;
    Ok(rules)
}

fn read_rules(root: &Object<'_>, problems: &Problems) -> Vec<Rule> {
    root.deny_unknown(&["rules"]);
    if !root.has("rules") {
        root.problem("rules", "is required");
    }
    let rules = root.objects("rules").unwrap_or_default();
    if rules.len() > MAX_RULES {
        root.problem("rules", format!("more than {MAX_RULES} rules"));
        return Vec::new();
    }
    rules
        .iter()
        .map(|rule| {
            rule.deny_unknown(&["groups", "actions", "namespaces", "modules", "providers"]);
            let names_nothing = !rule.has("modules") && !rule.has("providers");
            let every = || vec![EVERY.to_owned()];
            let patterns = |key| patterns(rule, key, problems);
            let compiled = Rule {
                members: members(rule, problems),
                actions: actions(rule, problems),
                namespaces: patterns("namespaces").unwrap_or_else(every),
                modules: patterns("modules")
                    .unwrap_or_else(|| if names_nothing { every() } else { Vec::new() }),
                providers: patterns("providers")
                    .unwrap_or_else(|| if names_nothing { every() } else { Vec::new() }),
            };
            report_if_idle(rule);
            compiled
        })
        .collect()
}

/// An empty list means none; where that leaves nothing to match, it is a mistake.
fn report_if_idle(rule: &Object<'_>) {
    let empty = |key| rule.list(key).is_some_and(|entries| entries.is_empty());
    if empty("namespaces") {
        rule.problem("namespaces", "is empty: the rule can never match");
    }
    let none = |key| !rule.has(key) || empty(key);
    if (rule.has("modules") || rule.has("providers")) && none("modules") && none("providers") {
        let key = if rule.has("modules") {
            "modules"
        } else {
            "providers"
        };
        rule.problem(key, "names nothing: the rule can never match");
    }
}

fn members(rule: &Object<'_>, problems: &Problems) -> Members {
    let mut groups = Vec::new();
    let mut everyone = false;
    for (path, group) in required(rule, "groups") {
        if group == EVERY {
            everyone = true;
        } else if group.is_empty() || group.len() > MAX_GROUP_BYTES {
            problems.add(path, format!("must have 1 to {MAX_GROUP_BYTES} bytes"));
        } else if group.chars().any(char::is_control) {
            problems.add(
                path,
                format!("`{}` holds a control character", shown(group)),
            );
        } else if group.contains('*') {
            problems.add(
                path,
                format!("`{}`: groups are exact names, or `*` alone", shown(group)),
            );
        } else {
            groups.push(group.to_owned());
        }
    }
    if everyone {
        Members::Everyone
    } else {
        Members::Groups(groups)
    }
}

fn actions(rule: &Object<'_>, problems: &Problems) -> u8 {
    let mut mask = 0;
    for (path, name) in required(rule, "actions") {
        if name == EVERY {
            mask |= every_action();
        } else if let Some(bit) = action_bit(name) {
            mask |= bit;
        } else {
            problems.add(
                path,
                format!(
                    "unknown action `{}`{}",
                    shown(name),
                    hint(name, &Action::NAMES)
                ),
            );
        }
    }
    mask
}

/// The bit of a known action.
pub(crate) fn action_bit(name: &str) -> Option<u8> {
    let index = Action::NAMES.iter().position(|known| *known == name)?;
    1_u8.checked_shl(u32::try_from(index).ok()?)
}

fn every_action() -> u8 {
    Action::NAMES
        .iter()
        .filter_map(|name| action_bit(name))
        .fold(0, |mask, bit| mask | bit)
}

/// The entries of a list that must have some.
fn required<'a>(rule: &Object<'a>, key: &str) -> Vec<(String, &'a str)> {
    if !rule.has(key) {
        rule.problem(key, "is required");
    }
    let Some(entries) = rule.texts(key) else {
        return Vec::new();
    };
    if rule.list(key).is_some_and(|entries| entries.is_empty()) {
        rule.problem(key, "is empty: the rule can never match");
    }
    bounded(rule, key, entries)
}

/// The patterns of an optional list.
fn patterns(rule: &Object<'_>, key: &str, problems: &Problems) -> Option<Vec<String>> {
    if !rule.has(key) {
        return None;
    }
    let entries = rule.texts(key).unwrap_or_default();
    let mut patterns = Vec::with_capacity(entries.len());
    for (path, pattern) in bounded(rule, key, entries) {
        match glob::check(pattern) {
            Ok(()) => patterns.push(glob::normalised(pattern)),
            Err(reason) => problems.add(path, format!("`{}`: {reason}", shown(pattern))),
        }
    }
    Some(patterns)
}

fn bounded<'a>(
    rule: &Object<'_>,
    key: &str,
    entries: Vec<(String, &'a str)>,
) -> Vec<(String, &'a str)> {
    if entries.len() > MAX_ENTRIES {
        rule.problem(key, format!("more than {MAX_ENTRIES} entries"));
        return Vec::new();
    }
    entries
}
