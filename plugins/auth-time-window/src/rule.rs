//! Reads the operator's rules and reports every problem in them.

use crate::window::{Dates, Weekly};
use crate::zone;
use opendepot_plugin_sdk::auth::Error;
use opendepot_plugin_sdk::name::Names;
use opendepot_plugin_sdk::rule::{ActionSet, Members};
use opendepot_plugin_sdk::settings::{self, Object};

const MAX_RULES: usize = 200;
const MAX_TIMES: usize = 100;
/// Ten thousand denials with the name in each must fit into what a call may answer.
const MAX_NAME_BYTES: usize = 40;

/// One rule.
#[derive(Debug)]
pub(crate) struct Rule {
    pub(crate) name: String,
    /// Whether it denies inside of its times, or outside of them.
    pub(crate) denies_inside: bool,
    pub(crate) weekly: Vec<Weekly>,
    pub(crate) dates: Vec<Dates>,
    /// A POSIX rule.
    pub(crate) zone: String,
    pub(crate) actions: ActionSet,
    pub(crate) names: Names,
    pub(crate) exempt: Members,
}

/// Parses and checks the settings.
pub(crate) fn read(settings: &str) -> Result<Vec<Rule>, Error> {
    Ok(settings::read(settings, |root| {
        root.deny_unknown(&["zone", "rules"]);
        let zone = read_zone(root).unwrap_or_else(|| "UTC0".to_owned());
        root.few_objects("rules", MAX_RULES)
            .iter()
            .filter_map(|rule| read_rule(rule, &zone))
            .collect()
    })?)
}

/// Nothing only where there is a problem.
fn read_rule(rule: &Object<'_>, zone: &str) -> Option<Rule> {
    const KEYS: [&str; 7] = [
        "name",
        "deny",
        "weekly",
        "dates",
        "zone",
        "actions",
        Members::EXEMPT,
    ];
    rule.deny_unknown(&[KEYS.as_slice(), &Names::KEYS].concat());
    let name = rule.line("name", MAX_NAME_BYTES);
    let denies_inside = rule
        .require("deny")
        .then(|| rule.choice("deny", &[("inside", true), ("outside", false)]))
        .flatten();
    let weekly = times(rule, "weekly", Weekly::read);
    let dates = times(rule, "dates", Dates::read);
    if !rule.has("weekly") && !rule.has("dates") {
        rule.problem("weekly", "is required, or `dates`: a rule is about times");
    }
    Some(Rule {
        zone: read_zone(rule).unwrap_or_else(|| zone.to_owned()),
        actions: ActionSet::read(rule, "actions"),
        names: Names::read(rule),
        exempt: Members::read_exempt(rule),
        weekly,
        dates,
        name: name?.to_owned(),
        denies_inside: denies_inside?,
    })
}

fn times<'a, T>(rule: &Object<'a>, key: &str, read: fn(&Object<'a>) -> Option<T>) -> Vec<T> {
    if !rule.has(key) {
        return Vec::new();
    }
    if rule.is_empty_list(key) {
        rule.problem(key, "is empty: leave it out, or say when");
    }
    rule.few_objects(key, MAX_TIMES)
        .iter()
        .filter_map(read)
        .collect()
}

fn read_zone(object: &Object<'_>) -> Option<String> {
    zone::rule_of(object.text("zone")?)
        .map_err(|message| object.problem("zone", message))
        .ok()
}
