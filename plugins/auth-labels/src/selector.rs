//! Label selectors, as Kubernetes writes them.

use opendepot_plugin_sdk::auth::Target;
use opendepot_plugin_sdk::settings::{Object, shown};
use serde::{Deserialize, Serialize};

const MAX_REQUIREMENTS: usize = 50;
const MAX_VALUES: usize = 100;
const MAX_NAME_BYTES: usize = 63;
const MAX_PREFIX_BYTES: usize = 253;

/// What a requirement says about its label.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Operator {
    /// It is there, with one of the values.
    In,
    /// It is not there, or with another value.
    NotIn,
    /// It is there.
    Exists,
    /// It is not there.
    DoesNotExist,
}

impl Operator {
    const NAMES: [(&'static str, Self); 4] = [
        ("In", Self::In),
        ("NotIn", Self::NotIn),
        ("Exists", Self::Exists),
        ("DoesNotExist", Self::DoesNotExist),
    ];

    const fn takes_values(self) -> bool {
        matches!(self, Self::In | Self::NotIn)
    }
}

/// One line of a selector.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Requirement {
    /// The name of the attribute that holds the label: what begins a kind of label, and its key.
    attribute: String,
    operator: Operator,
    values: Vec<String>,
}

impl Requirement {
    /// Whether the target's labels are as required.
    pub(crate) fn is_met(&self, target: &Target) -> bool {
        let label = target.attribute(&self.attribute);
        let is_listed = |value: &str| self.values.iter().any(|listed| listed == value);
        match self.operator {
            Operator::In => label.is_some_and(is_listed),
            Operator::NotIn => !label.is_some_and(is_listed),
            Operator::Exists => label.is_some(),
            Operator::DoesNotExist => label.is_none(),
        }
    }
}

/// Reads the selector at `key`, whose labels are in attributes that begin with `prefix`; empty when
/// there is none, and only then or where there is a problem.
pub(crate) fn read(rule: &Object<'_>, key: &str, prefix: &str) -> Vec<Requirement> {
    let Some(selector) = rule.object(key) else {
        return Vec::new();
    };
    selector.deny_unknown(&["matchLabels", "matchExpressions"]);
    let mut requirements = Vec::new();
    if let Some(labels) = selector.object("matchLabels") {
        for label in labels.keys() {
            check_key(label, |message| labels.problem(&shown(label), message));
            requirements.push(Requirement {
                attribute: format!("{prefix}{label}"),
                operator: Operator::In,
                values: labels
                    .text(label)
                    .filter(|value| check_value(value, |m| labels.problem(&shown(label), m)))
                    .map(str::to_owned)
                    .into_iter()
                    .collect(),
            });
        }
    }
    if selector.has("matchExpressions") {
        let expressions = selector.few_objects("matchExpressions", MAX_REQUIREMENTS);
        requirements.extend(
            expressions
                .iter()
                .filter_map(|expression| read_expression(expression, prefix)),
        );
    }
    if !selector.has("matchExpressions") && requirements.is_empty()
        || selector.is_empty_list("matchExpressions")
    {
        rule.problem(key, "requires nothing: it would match everything");
    }
    if requirements.len() > MAX_REQUIREMENTS {
        rule.problem(key, format!("more than {MAX_REQUIREMENTS} requirements"));
    }
    requirements
}

/// Nothing only where there is a problem.
fn read_expression(expression: &Object<'_>, prefix: &str) -> Option<Requirement> {
    expression.deny_unknown(&["key", "operator", "values"]);
    let key = expression.required_text("key");
    if let Some(key) = key {
        check_key(key, |message| expression.problem("key", message));
    }
    let operator = expression
        .require("operator")
        .then(|| expression.choice("operator", &Operator::NAMES))
        .flatten();
    let values = expression.few_texts("values", MAX_VALUES);
    match operator {
        Some(operator) if operator.takes_values() => {
            expression.require("values");
            if expression.is_empty_list("values") {
                expression.problem("values", "is empty: name at least one value");
            }
        }
        Some(_) if expression.has("values") && !expression.is_empty_list("values") => {
            expression.problem("values", "has no meaning with this operator: leave it out");
        }
        _ => {}
    }
    Some(Requirement {
        attribute: format!("{prefix}{}", key?),
        operator: operator?,
        values: values
            .unwrap_or_default()
            .into_iter()
            .filter(|(path, value)| check_value(value, |m| expression.problem_at(path, m)))
            .map(|(_, value)| value.to_owned())
            .collect(),
    })
}

/// Reports a key that Kubernetes would not accept.
fn check_key(key: &str, report: impl FnOnce(String)) {
    let (prefix, name) = match key.split_once('/') {
        Some((prefix, name)) => (Some(prefix), name),
        None => (None, key),
    };
    let is_domain = |prefix: &str| {
        prefix.len() <= MAX_PREFIX_BYTES
            && prefix.split('.').all(|label| {
                is_word(label)
                    && !label
                        .bytes()
                        .any(|byte| byte.is_ascii_uppercase() || byte == b'_')
            })
    };
    if !is_word(name) || !prefix.is_none_or(is_domain) {
        report(format!(
            "`{}` is no label key: write `team`, or `example.com/team`",
            shown(key)
        ));
    }
}

/// Whether Kubernetes would accept the value; reports it if not.
fn check_value(value: &str, report: impl FnOnce(String)) -> bool {
    let is_good = value.is_empty() || is_word(value);
    if !is_good {
        report(format!("`{}` is no label value", shown(value)));
    }
    is_good
}

/// Up to 63 letters, digits, `-`, `_` and `.`, a letter or digit at both ends.
fn is_word(text: &str) -> bool {
    let bytes = text.as_bytes();
    let is_end = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_alphanumeric);
    bytes.len() <= MAX_NAME_BYTES
        && is_end(bytes.first())
        && is_end(bytes.last())
        && bytes
            .iter()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'))
}
