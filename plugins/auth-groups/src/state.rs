//! The compiled rules: what `prepare` writes and every `authorize` reads.

use crate::rule::Rule;
use opendepot_plugin_sdk::ArtifactKind;
use opendepot_plugin_sdk::auth::{Action, Error, Subject, Target};
use opendepot_plugin_sdk::rule::{ActionSet, MemberRange, NameRange, Table};
use opendepot_plugin_sdk::state;
use serde::{Deserialize, Serialize};

/// Changes with the format.
const VERSION: u8 = 2;

/// The compiled rules, borrowed from the state's bytes.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct State<'a> {
    #[serde(borrow)]
    table: Table<'a>,
    rules: Vec<Compiled>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Compiled {
    actions: ActionSet,
    members: MemberRange,
    names: NameRange,
}

/// Compiles rules into the state's bytes.
pub(crate) fn compile(rules: &[Rule]) -> Result<Vec<u8>, Error> {
    let mut table = Table::new(
        rules.iter().map(|rule| &rule.members),
        rules.iter().map(|rule| &rule.names),
    );
    let mut compiled = Vec::with_capacity(rules.len());
    for rule in rules {
        compiled.push(Compiled {
            actions: rule.actions,
            members: table.members(&rule.members)?,
            names: table.names(&rule.names)?,
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

    /// The rules that concern the caller and the action.
    pub(crate) fn grants(&self, subject: &Subject, action: &Action) -> Grants<'_> {
        let held = self.table.held(subject);
        let rules = self
            .rules
            .iter()
            .filter(|rule| rule.actions.allows(action) && self.table.includes(rule.members, &held))
            .collect();
        Grants { state: self, rules }
    }
}

/// The rules that concern one call.
pub(crate) struct Grants<'a> {
    state: &'a State<'a>,
    rules: Vec<&'a Compiled>,
}

impl Grants<'_> {
    /// Whether any of them allows `target`; never one of a kind that this version does not know.
    pub(crate) fn allow(&self, target: &Target) -> bool {
        !matches!(target.kind, ArtifactKind::Other(_))
            && self
                .rules
                .iter()
                .any(|rule| self.state.table.matches(rule.names, target))
    }
}
