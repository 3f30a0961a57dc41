//! Reads the operator's rules and reports every problem in them.

use opendepot_plugin_sdk::auth::Error;
use opendepot_plugin_sdk::name::Names;
use opendepot_plugin_sdk::rule::{ActionSet, Members};
use opendepot_plugin_sdk::settings::{self, Object};

const MAX_RULES: usize = 1000;

/// One rule.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Rule {
    pub(crate) members: Members,
    pub(crate) actions: ActionSet,
    pub(crate) names: Names,
}

/// Parses and checks the settings.
pub(crate) fn read(settings: &str) -> Result<Vec<Rule>, Error> {
    Ok(settings::read(settings, read_rules)?)
}

fn read_rules(root: &Object<'_>) -> Vec<Rule> {
    root.deny_unknown(&["rules"]);
    root.few_objects("rules", MAX_RULES)
        .iter()
        .map(|rule| {
            rule.deny_unknown(&[&["groups", "actions"], Names::KEYS.as_slice()].concat());
            Rule {
                members: Members::read(rule, "groups"),
                actions: ActionSet::read(rule, "actions"),
                names: Names::read(rule),
            }
        })
        .collect()
}
