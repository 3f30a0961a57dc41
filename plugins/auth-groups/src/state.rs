//! The compiled rules: what `prepare` writes and every `authorize` reads.
//!
//! Four flat lists, so that reading them allocates four times and copies no text. Every distinct
//! group and pattern is there once; rules refer to them by index.

use crate::glob;
use crate::rule::{Members, Rule, action_bit};
use opendepot_plugin_sdk::ArtifactKind;
use opendepot_plugin_sdk::auth::{Action, Error, Subject, Target};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// Changes with the format; a state of another version is refused, never guessed at.
const VERSION: u8 = 1;

/// The compiled rules, borrowed from the state's bytes.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct State<'a> {
    version: u8,
    /// Sorted.
    #[serde(borrow)]
    groups: Vec<&'a str>,
    #[serde(borrow)]
    patterns: Vec<&'a str>,
    /// What the rules' ranges point into: indexes into `groups` or `patterns`.
    indexes: Vec<u16>,
    rules: Vec<Compiled>,
}

/// A run of `indexes`: start and length.
type Range = (u32, u16);

#[derive(Debug, Serialize, Deserialize)]
struct Compiled {
    actions: u8,
    everyone: bool,
    groups: Range,
    namespaces: Range,
    modules: Range,
    providers: Range,
}

/// Compiles rules into the state's bytes.
pub(crate) fn compile(rules: &[Rule]) -> Result<Vec<u8>, Error> {
    let mut groups = BTreeSet::new();
    let mut patterns = BTreeSet::new();
    for rule in rules {
        if let Members::Groups(names) = &rule.members {
            groups.extend(names.iter().map(String::as_str));
        }
        for list in [&rule.namespaces, &rule.modules, &rule.providers] {
            patterns.extend(list.iter().map(String::as_str));
        }
    }
    let groups: Vec<&str> = groups.into_iter().collect();
    let patterns: Vec<&str> = patterns.into_iter().collect();
    let mut indexes = Vec::new();
    let mut compiled = Vec::with_capacity(rules.len());
    for rule in rules {
        let names: &[String] = match &rule.members {
            Members::Everyone => &[],
            Members::Groups(names) => names,
        };
        compiled.push(Compiled {
            actions: rule.actions,
            everyone: rule.members == Members::Everyone,
            groups: append(&mut indexes, &groups, names)?,
            namespaces: append(&mut indexes, &patterns, &rule.namespaces)?,
            modules: append(&mut indexes, &patterns, &rule.modules)?,
            providers: append(&mut indexes, &patterns, &rule.providers)?,
        });
    }
    let state = State {
        version: VERSION,
        groups,
        patterns,
        indexes,
        rules: compiled,
    };
    postcard::to_allocvec(&state)
        .map_err(|error| Error::Other(format!("cannot write the state: {error}")))
}

/// Appends the places of `names` in the sorted `table`.
fn append(indexes: &mut Vec<u16>, table: &[&str], names: &[String]) -> Result<Range, Error> {
    let too_many = || Error::Other("more than 65535 groups or patterns".to_owned());
    let start = u32::try_from(indexes.len()).map_err(|_| too_many())?;
    for name in names {
        let place = table
            .binary_search(&name.as_str())
            .map_err(|_| too_many())?;
        indexes.push(u16::try_from(place).map_err(|_| too_many())?);
    }
    let length = u16::try_from(names.len()).map_err(|_| too_many())?;
    Ok((start, length))
}

impl<'a> State<'a> {
    /// Reads what [`compile`] wrote.
    pub(crate) fn read(bytes: &'a [u8]) -> Result<Self, Error> {
        let refuse = || Error::Other("the state is not one that this plugin prepared".to_owned());
        let (state, rest): (Self, _) = postcard::take_from_bytes(bytes).map_err(|_| refuse())?;
        if state.version == VERSION && rest.is_empty() {
            Ok(state)
        } else {
            Err(refuse())
        }
    }

    /// The rules that concern the caller and the action.
    pub(crate) fn grants(&self, subject: &Subject, action: &Action) -> Grants<'_> {
        let mut grants = Grants {
            state: self,
            rules: Vec::new(),
        };
        // The name of an unknown action may be anything, a known one's included.
        let bit = match action {
            Action::Other(_) => None,
            known => action_bit(known.as_str()),
        };
        let Some(bit) = bit else { return grants };
        if subject.is_anonymous() {
            return grants;
        }
        let mut held = vec![false; self.groups.len()];
        for group in &subject.groups {
            if let Ok(place) = self.groups.binary_search(&group.as_str())
                && let Some(flag) = held.get_mut(place)
            {
                *flag = true;
            }
        }
        let is_member = |rule: &Compiled| {
            rule.everyone
                || self
                    .run(rule.groups)
                    .iter()
                    .any(|place| held.get(usize::from(*place)) == Some(&true))
        };
        grants.rules = self
            .rules
            .iter()
            .filter(|rule| rule.actions & bit != 0 && is_member(rule))
            .collect();
        grants
    }

    fn run(&self, (start, length): Range) -> &[u16] {
        usize::try_from(start)
            .ok()
            .and_then(|start| {
                self.indexes
                    .get(start..start.checked_add(usize::from(length))?)
            })
            .unwrap_or(&[])
    }

    fn any_matches(&self, range: Range, name: &str) -> bool {
        self.run(range)
            .iter()
            .filter_map(|place| self.patterns.get(usize::from(*place)))
            .any(|pattern| glob::matches(pattern, name))
    }
}

/// The rules that concern one call.
pub(crate) struct Grants<'a> {
    state: &'a State<'a>,
    rules: Vec<&'a Compiled>,
}

impl Grants<'_> {
    /// Whether any of them allows `target`.
    pub(crate) fn allow(&self, target: &Target) -> bool {
        self.rules.iter().any(|rule| {
            let names = match &target.kind {
                ArtifactKind::Module => rule.modules,
                ArtifactKind::Provider => rule.providers,
                ArtifactKind::Other(_) => return false,
            };
            self.state.any_matches(rule.namespaces, &target.namespace)
                && self.state.any_matches(names, &target.name)
        })
    }
}
