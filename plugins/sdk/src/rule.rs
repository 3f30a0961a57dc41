//! What auth plugins made of rules share: whom a rule concerns, which actions, which names; and a
//! compact form of these for the prepared state.
//!
//! **Hidden contract.** Ranges belong to the [`Table`] that made them; with another table they mean
//! other texts.

use crate::artifact::ArtifactKind;
use crate::auth::{Action, Authentication, Error, Subject, Target};
use crate::glob;
use crate::name::Names;
use crate::settings::{Object, check_line, hint, shown};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// The most entries of one list.
pub const MAX_ENTRIES: usize = 1000;
/// The longest name of a group, in bytes.
pub const MAX_GROUP_BYTES: usize = 256;

/// Everyone who has a credential, among groups; every action, among actions.
const EVERY: &str = "*";

/// Whom a rule concerns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Members {
    /// Whoever has a credential.
    Everyone,
    /// The members of any of these groups.
    Groups(Vec<String>),
}

impl Members {
    /// The key that [`Members::read_exempt`] reads.
    pub const EXEMPT: &'static str = "exemptGroups";

    /// Reads the groups at `key`, which must be there: exact names, or `*`.
    #[must_use]
    pub fn read(rule: &Object<'_>, key: &str) -> Self {
        let mut groups = Vec::new();
        let mut everyone = false;
        for (path, group) in required(rule, key) {
            if group == EVERY {
                everyone = true;
            } else if let Err(message) = check_line(group, MAX_GROUP_BYTES) {
                rule.problem_at(path, message);
            } else if group.contains('*') {
                rule.problem_at(
                    path,
                    format!("`{}`: groups are exact names, or `*` alone", shown(group)),
                );
            } else {
                groups.push(group.to_owned());
            }
        }
        if everyone {
            Self::Everyone
        } else {
            Self::Groups(groups)
        }
    }

    /// Reads whom a rule does not concern, from `exemptGroups`; nobody when it is absent.
    #[must_use]
    pub fn read_exempt(rule: &Object<'_>) -> Self {
        if rule.has(Self::EXEMPT) {
            Self::read(rule, Self::EXEMPT)
        } else {
            Self::Groups(Vec::new())
        }
    }

    /// The groups by name.
    #[must_use]
    pub fn groups(&self) -> &[String] {
        match self {
            Self::Everyone => &[],
            Self::Groups(groups) => groups,
        }
    }
}

/// Which actions a rule concerns: a bit for each of [`Action::NAMES`], and one for all others.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ActionSet(u8);

impl ActionSet {
    const OTHERS: u8 = 1 << Action::NAMES.len();

    /// Reads the actions at `key`, which must be there: names, or `*`.
    #[must_use]
    pub fn read(rule: &Object<'_>, key: &str) -> Self {
        let mut set = 0;
        for (path, name) in required(rule, key) {
            match (name, known_bit(name)) {
                (EVERY, _) => set = u8::MAX,
                (_, Some(bit)) => set |= bit,
                (_, None) => rule.problem_at(
                    path,
                    format!(
                        "unknown action `{}`{}",
                        shown(name),
                        hint(name, &Action::NAMES)
                    ),
                ),
            }
        }
        Self(set)
    }

    /// Whether a rule that allows may allow `action`: never one that this version does not know.
    #[must_use]
    pub fn allows(self, action: &Action) -> bool {
        // The name of an unknown action may be anything, a known one's included.
        !matches!(action, Action::Other(_)) && self.concerns(action)
    }

    /// Whether a rule that forbids concerns `action`: `*` means unknown ones too.
    #[must_use]
    pub fn concerns(self, action: &Action) -> bool {
        // By case, not by name: this is asked of every rule in every call.
        let bit = match action {
            Action::ListVersions => 1,
            Action::ReadPackage => 1 << 1,
            Action::Download => 1 << 2,
            Action::Browse => 1 << 3,
            Action::Publish => 1 << 4,
            Action::Administer => 1 << 5,
            Action::Other(_) => Self::OTHERS,
        };
        self.0 & bit != 0
    }
}

fn known_bit(name: &str) -> Option<u8> {
    let index = Action::NAMES.iter().position(|known| *known == name)?;
    1_u8.checked_shl(u32::try_from(index).ok()?)
}

/// The entries of a list that must have some.
fn required<'a>(rule: &Object<'a>, key: &str) -> Vec<(String, &'a str)> {
    rule.require(key);
    if rule.is_empty_list(key) {
        rule.problem(key, "is empty: the rule can never match");
    }
    rule.few_texts(key, MAX_ENTRIES).unwrap_or_default()
}

/// Every distinct group and pattern of a plugin's rules, once; rules hold places in it. Flat, so
/// that reading it from a state allocates three times and copies no text.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Table<'a> {
    /// Sorted, as `patterns`.
    #[serde(borrow)]
    groups: Vec<&'a str>,
    #[serde(borrow)]
    patterns: Vec<&'a str>,
    /// What ranges point into: places in `groups` or `patterns`.
    places: Vec<u16>,
}

/// A run of a [`Table`]'s places: start and length.
type Range = (u32, u16);

/// [`Members`] in a [`Table`].
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct MemberRange {
    everyone: bool,
    groups: Range,
}

/// [`Names`] in a [`Table`].
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct NameRange {
    namespaces: Range,
    modules: Range,
    providers: Range,
    has_every_kind: bool,
}

/// What of a [`Table`] one caller holds.
#[derive(Debug)]
pub struct Held {
    has_credential: bool,
    groups: Vec<bool>,
}

impl<'a> Table<'a> {
    /// Collects the texts of all rules.
    pub fn new(
        members: impl IntoIterator<Item = &'a Members>,
        names: impl IntoIterator<Item = &'a Names>,
    ) -> Self {
        let groups: BTreeSet<&str> = members
            .into_iter()
            .flat_map(Members::groups)
            .map(String::as_str)
            .collect();
        let patterns: BTreeSet<&str> = names
            .into_iter()
            .flat_map(|names| [&names.namespaces, &names.modules, &names.providers])
            .flatten()
            .map(String::as_str)
            .collect();
        Self {
            groups: groups.into_iter().collect(),
            patterns: patterns.into_iter().collect(),
            places: Vec::new(),
        }
    }

    /// The places of a rule's groups, all of which [`Table::new`] was given.
    ///
    /// # Errors
    /// [`Error::Other`] above 65,536 distinct groups.
    pub fn members(&mut self, members: &Members) -> Result<MemberRange, Error> {
        Ok(MemberRange {
            everyone: *members == Members::Everyone,
            groups: append(&mut self.places, &self.groups, members.groups())?,
        })
    }

    /// The places of a rule's patterns, all of which [`Table::new`] was given.
    ///
    /// # Errors
    /// [`Error::Other`] above 65,536 distinct patterns.
    pub fn names(&mut self, names: &Names) -> Result<NameRange, Error> {
        let mut append = |list| append(&mut self.places, &self.patterns, list);
        Ok(NameRange {
            namespaces: append(&names.namespaces)?,
            modules: append(&names.modules)?,
            providers: append(&names.providers)?,
            has_every_kind: names.has_every_kind,
        })
    }

    /// Which of the groups the caller has; an anonymous one has none, whatever the subject says.
    /// Neither has one whose way of proof this version does not know: it is trusted least.
    #[must_use]
    pub fn held(&self, subject: &Subject) -> Held {
        let mut groups = vec![false; self.groups.len()];
        let is_known = !matches!(subject.authentication, Authentication::Other(_));
        let has_credential = is_known && !subject.is_anonymous();
        for group in subject.groups.iter().filter(|_| has_credential) {
            if let Ok(place) = self.groups.binary_search(&group.as_str())
                && let Some(flag) = groups.get_mut(place)
            {
                *flag = true;
            }
        }
        Held {
            has_credential,
            groups,
        }
    }

    /// Whether the caller is among the members.
    #[must_use]
    pub fn includes(&self, members: MemberRange, held: &Held) -> bool {
        let is_held = |place: &u16| held.groups.get(usize::from(*place)) == Some(&true);
        (members.everyone && held.has_credential) || self.run(members.groups).iter().any(is_held)
    }

    /// Whether the target is meant.
    #[must_use]
    pub fn matches(&self, names: NameRange, target: &Target) -> bool {
        self.any_matches(names.namespaces, &target.namespace)
            && match &target.kind {
                ArtifactKind::Module => self.any_matches(names.modules, &target.name),
                ArtifactKind::Provider => self.any_matches(names.providers, &target.name),
                ArtifactKind::Other(_) => names.has_every_kind,
            }
    }

    fn any_matches(&self, range: Range, name: &str) -> bool {
        self.run(range)
            .iter()
            .filter_map(|place| self.patterns.get(usize::from(*place)))
            .any(|pattern| glob::matches(pattern, name))
    }

    fn run(&self, (start, length): Range) -> &[u16] {
        usize::try_from(start)
            .ok()
            .and_then(|start| {
                self.places
                    .get(start..start.checked_add(usize::from(length))?)
            })
            .unwrap_or(&[])
    }
}

/// Appends the places of `names` in the sorted `table`.
fn append(places: &mut Vec<u16>, table: &[&str], names: &[String]) -> Result<Range, Error> {
    let too_many = || Error::Other("more than 65536 distinct groups or patterns".to_owned());
    let start = u32::try_from(places.len()).map_err(|_| too_many())?;
    for name in names {
        let place = table
            .binary_search(&name.as_str())
            .map_err(|_| too_many())?;
        places.push(u16::try_from(place).map_err(|_| too_many())?);
    }
    let length = u16::try_from(names.len()).map_err(|_| too_many())?;
    Ok((start, length))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::{Problems, parse};

    fn set(text: &str) -> ActionSet {
        let problems = Problems::new();
        let value = parse(text, "", &problems).unwrap();
        ActionSet::read(&Object::new(&value, "", &problems).unwrap(), "actions")
    }

    #[test]
    fn an_unknown_action_is_never_allowed_and_a_star_forbids_it() {
        let unknown = Action::Other("download".to_owned());
        let every = set(r#"{"actions": ["*"]}"#);
        assert!(every.allows(&Action::Download) && every.concerns(&Action::Administer));
        assert!(!every.allows(&unknown) && every.concerns(&unknown));
        let named = set(r#"{"actions": ["download", "browse"]}"#);
        assert!(named.allows(&Action::Download) && named.concerns(&Action::Browse));
        assert!(!named.allows(&Action::Publish) && !named.concerns(&unknown));
        assert!(!set("{}").concerns(&Action::Download));
        for (index, name) in Action::NAMES.iter().enumerate() {
            let set = set(&format!(r#"{{"actions": ["{name}"]}}"#));
            let concerned = [
                Action::ListVersions,
                Action::ReadPackage,
                Action::Download,
                Action::Browse,
                Action::Publish,
                Action::Administer,
            ]
            .map(|action| set.concerns(&action));
            let alone: Vec<bool> = (0..6).map(|place| place == index).collect();
            assert_eq!(concerned.as_slice(), alone, "{name}");
        }
    }
}
