//! Reads the operator's rules and reports every problem in them.

use crate::selector::{self, Requirement};
use opendepot_plugin_sdk::auth::{Error, LABEL, NAMESPACE_LABEL};
use opendepot_plugin_sdk::rule::{ActionSet, Members};
use opendepot_plugin_sdk::settings::{self, Object};
use serde::{Deserialize, Serialize};

const MAX_RULES: usize = 200;
/// Ten thousand denials with the name in each must fit into what a call may answer.
const MAX_NAME_BYTES: usize = 40;

/// What follows when a rule matches.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Effect {
    Allow,
    Deny,
}

/// One rule.
#[derive(Debug)]
pub(crate) struct Rule {
    pub(crate) name: String,
    pub(crate) effect: Effect,
    /// Absent: everybody.
    pub(crate) members: Option<Members>,
    pub(crate) exempt: Members,
    pub(crate) actions: ActionSet,
    pub(crate) namespace: Vec<Requirement>,
    pub(crate) resource: Vec<Requirement>,
}

/// Parses and checks the settings.
pub(crate) fn read(settings: &str) -> Result<Vec<Rule>, Error> {
    Ok(settings::read(settings, |root| {
        root.deny_unknown(&["rules"]);
        root.few_objects("rules", MAX_RULES)
            .iter()
            .filter_map(read_rule)
            .collect()
    })?)
}

/// Nothing only where there is a problem.
fn read_rule(rule: &Object<'_>) -> Option<Rule> {
    rule.deny_unknown(&[
        "name",
        "effect",
        "groups",
        Members::EXEMPT,
        "actions",
        "namespace",
        "resource",
    ]);
    let name = rule.line("name", MAX_NAME_BYTES);
    let effect = rule
        .require("effect")
        .then(|| {
            rule.choice(
                "effect",
                &[("allow", Effect::Allow), ("deny", Effect::Deny)],
            )
        })
        .flatten();
    let members = (rule.has("groups") || effect == Some(Effect::Allow))
        .then(|| Members::read(rule, "groups"));
    if effect == Some(Effect::Allow) && rule.has(Members::EXEMPT) {
        rule.problem(
            Members::EXEMPT,
            "has no meaning where the effect is `allow`: leave these out of `groups`",
        );
    }
    if !rule.has("namespace") && !rule.has("resource") {
        rule.problem(
            "namespace",
            "is required, or `resource`: a rule is about labels",
        );
    }
    Some(Rule {
        members,
        exempt: Members::read_exempt(rule),
        actions: ActionSet::read(rule, "actions"),
        namespace: selector::read(rule, "namespace", NAMESPACE_LABEL),
        resource: selector::read(rule, "resource", LABEL),
        name: name?.to_owned(),
        effect: effect?,
    })
}
