//! The compiled rules: what `prepare` writes and every `authorize` reads.

use crate::rule::Rule;
use crate::window::{self, Dates, Weekly};
use crate::zone;
use opendepot_plugin_sdk::auth::{Action, Error, Subject, Target};
use opendepot_plugin_sdk::date::Date;
use opendepot_plugin_sdk::rule::{ActionSet, MemberRange, NameRange, Table};
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
    denies_inside: bool,
    weekly: Vec<Weekly>,
    dates: Vec<Dates>,
    zone: &'a str,
    actions: ActionSet,
    names: NameRange,
    exempt: MemberRange,
}

/// Compiles rules into the state's bytes.
pub(crate) fn compile(rules: &[Rule]) -> Result<Vec<u8>, Error> {
    let mut table = Table::new(
        rules.iter().map(|rule| &rule.exempt),
        rules.iter().map(|rule| &rule.names),
    );
    let mut compiled = Vec::with_capacity(rules.len());
    for rule in rules {
        compiled.push(Compiled {
            name: &rule.name,
            denies_inside: rule.denies_inside,
            weekly: rule.weekly.clone(),
            dates: rule.dates.clone(),
            zone: &rule.zone,
            actions: rule.actions,
            names: table.names(&rule.names)?,
            exempt: table.members(&rule.exempt)?,
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

    /// The rules that deny the caller and the action now.
    pub(crate) fn denials(
        &self,
        subject: &Subject,
        action: &Action,
        now: u64,
    ) -> Result<Denials<'_>, Error> {
        let held = self.table.held(subject);
        let concerned = self.rules.iter().filter(|rule| {
            rule.actions.concerns(action) && !self.table.includes(rule.exempt, &held)
        });
        let mut denying = Vec::new();
        for rule in concerned {
            let (date, minute) = wall_clock(rule.zone, now)?;
            if rule.is_inside(date, minute) == rule.denies_inside {
                let clock = window::clock(date, minute);
                let reason = format!("not at {clock}, by rule `{}`", rule.name);
                denying.push((rule.names, reason));
            }
        }
        Ok(Denials {
            table: &self.table,
            denying,
        })
    }
}

fn wall_clock(zone: &str, now: u64) -> Result<(Date, u16), Error> {
    zone::local(zone, now)
        .map(zone::day_and_minute)
        .and_then(|(day, minute)| Some((Date::from_days(day)?, minute)))
        .ok_or_else(|| Error::Other(format!("there is no calendar for the time {now}")))
}

impl Compiled<'_> {
    fn is_inside(&self, date: Date, minute: u16) -> bool {
        self.weekly
            .iter()
            .any(|window| window.contains(date, minute))
            || self.dates.iter().any(|dates| dates.contains(date))
    }
}

/// What is denied in one call.
pub(crate) struct Denials<'a> {
    table: &'a Table<'a>,
    denying: Vec<(NameRange, String)>,
}

impl Denials<'_> {
    /// Why `target` is denied, if it is: by the first rule.
    pub(crate) fn reason(&self, target: &Target) -> Option<&str> {
        self.denying
            .iter()
            .find(|(names, _)| self.table.matches(*names, target))
            .map(|(_, reason)| reason.as_str())
    }
}
