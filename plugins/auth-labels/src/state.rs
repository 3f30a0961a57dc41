//! The compiled rules: what `prepare` writes and every `authorize` reads.

use crate::rule::{Effect, Rule};
use crate::selector::Requirement;
use opendepot_plugin_sdk::auth::{
    Action, Decision, Error, LABELS, LABELS_KNOWN, NAMESPACE_LABELS, Subject, Target,
};
use opendepot_plugin_sdk::rule::{ActionSet, MemberRange, Table};
use opendepot_plugin_sdk::state;
use serde::{Deserialize, Serialize};

/// Changes with the format.
const VERSION: u8 = 1;

/// The compiled rules, borrowed from the state's bytes.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct State<'a> {
    #[serde(borrow)]
    table: Table<'a>,
    #[serde(borrow)]
    rules: Vec<Compiled<'a>>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Compiled<'a> {
    name: &'a str,
    effect: Effect,
    members: Option<MemberRange>,
    exempt: MemberRange,
    actions: ActionSet,
    namespace: Vec<Requirement>,
    resource: Vec<Requirement>,
}

/// Compiles rules into the state's bytes.
pub(crate) fn compile(rules: &[Rule]) -> Result<Vec<u8>, Error> {
    let exempt = rules.iter().map(|rule| &rule.exempt);
    let members = rules.iter().filter_map(|rule| rule.members.as_ref());
    let mut table = Table::new(exempt.chain(members), []);
    let mut compiled = Vec::with_capacity(rules.len());
    for rule in rules {
        compiled.push(Compiled {
            name: &rule.name,
            effect: rule.effect,
            members: match &rule.members {
                Some(members) => Some(table.members(members)?),
                None => None,
            },
            exempt: table.members(&rule.exempt)?,
            actions: rule.actions,
            namespace: rule.namespace.clone(),
            resource: rule.resource.clone(),
        });
    }
    let rules = compiled;
    state::write(VERSION, &State { table, rules })
}

impl<'a> State<'a> {
    /// Reads what [`compile`] wrote.
    pub(crate) fn read(bytes: &'a [u8]) -> Result<Self, Error> {
        state::read(VERSION, bytes)
    }

    /// The rules that concern the caller and the action, those that deny first.
    pub(crate) fn concerning(&self, subject: &Subject, action: &Action) -> Rules<'_> {
        let held = self.table.held(subject);
        let concerns = |rule: &&Compiled<'_>| {
            let acts = match rule.effect {
                Effect::Allow => rule.actions.allows(action),
                Effect::Deny => rule.actions.concerns(action),
            };
            acts && rule
                .members
                .is_none_or(|members| self.table.includes(members, &held))
                && !self.table.includes(rule.exempt, &held)
        };
        let (deny, allow) = self
            .rules
            .iter()
            .filter(concerns)
            .partition(|rule| rule.effect == Effect::Deny);
        Rules { deny, allow }
    }
}

/// The rules of one call.
pub(crate) struct Rules<'a> {
    deny: Vec<&'a Compiled<'a>>,
    allow: Vec<&'a Compiled<'a>>,
}

/// Whether a rule's selectors fit a target.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Match {
    Yes,
    No,
    /// The host did not pass the labels that it takes to say.
    Unknown,
}

impl Rules<'_> {
    /// The answer for one target.
    pub(crate) fn decide(&self, target: &Target) -> Decision {
        for rule in &self.deny {
            match rule.matches(target) {
                Match::Yes => return Decision::Deny(format!("by rule `{}`", rule.name)),
                Match::Unknown => {
                    let reason = format!("labels unknown, by rule `{}`", rule.name);
                    return Decision::Deny(reason);
                }
                Match::No => {}
            }
        }
        if self
            .allow
            .iter()
            .any(|rule| rule.matches(target) == Match::Yes)
        {
            Decision::Allow
        } else {
            Decision::Abstain
        }
    }
}

impl Compiled<'_> {
    fn matches(&self, target: &Target) -> Match {
        let mut answer = Match::Yes;
        for (requirements, marker) in [
            (&self.namespace, NAMESPACE_LABELS),
            (&self.resource, LABELS),
        ] {
            if requirements.is_empty() {
                continue;
            }
            if target.attribute(marker) != Some(LABELS_KNOWN) {
                answer = Match::Unknown;
            } else if !requirements.iter().all(|one| one.is_met(target)) {
                // What is known not to fit needs no other labels.
                return Match::No;
            }
        }
        answer
    }
}
