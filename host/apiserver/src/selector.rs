//! Label and field selectors.

use crate::names;
use crate::resource::Resource;
use crate::status_error::ApiError;
use serde::Deserialize;
use serde_json::Value;
use std::collections::BTreeMap;

/// A selector may have this many requirements.
const MAX_REQUIREMENTS: usize = 64;

/// What selectors look at.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Facts {
    pub(crate) labels: BTreeMap<String, String>,
    /// Values of the selectable fields, in the order of the resource.
    pub(crate) fields: Vec<String>,
}

#[derive(Deserialize)]
struct Labels {
    #[serde(default)]
    metadata: LabelsOnly,
}

#[derive(Default, Deserialize)]
struct LabelsOnly {
    #[serde(default)]
    labels: Option<BTreeMap<String, String>>,
}

impl Facts {
    pub(crate) fn of(resource: &Resource, object: &Value) -> Self {
        let labels = object
            .pointer("/metadata/labels")
            .and_then(Value::as_object)
            .into_iter()
            .flatten()
            .filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned())))
            .collect();
        let fields = resource
            .selectable
            .iter()
            .map(|field| field.value_of(object))
            .collect();
        Self { labels, fields }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Operator {
    In(Vec<String>),
    NotIn(Vec<String>),
    Exists,
    Absent,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Field {
    Name,
    Namespace,
    Selectable(usize),
}

/// Both selectors of a request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Selector {
    labels: Vec<(String, Operator)>,
    fields: Vec<(Field, bool, String)>,
}

impl Selector {
    /// # Errors
    /// `BadRequest` naming what cannot be parsed or is not selectable.
    pub(crate) fn parse(
        resource: &Resource,
        labels: Option<&str>,
        fields: Option<&str>,
    ) -> Result<Self, ApiError> {
        Ok(Self {
            labels: parse_labels(labels.unwrap_or_default())?,
            fields: parse_fields(resource, fields.unwrap_or_default())?,
        })
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.labels.is_empty() && self.fields.is_empty()
    }

    fn matches_key(&self, namespace: &str, name: &str) -> bool {
        self.fields
            .iter()
            .all(|(field, equal, wanted)| match field {
                Field::Name => (name == wanted) == *equal,
                Field::Namespace => (namespace == wanted) == *equal,
                Field::Selectable(_) => true,
            })
    }

    pub(crate) fn matches(&self, namespace: &str, name: &str, facts: &Facts) -> bool {
        self.matches_key(namespace, name)
            && self.matches_labels(&facts.labels)
            && self
                .fields
                .iter()
                .all(|(field, equal, wanted)| match field {
                    Field::Selectable(index) => {
                        (facts.fields.get(*index).map_or("", String::as_str) == wanted) == *equal
                    }
                    Field::Name | Field::Namespace => true,
                })
    }

    fn matches_labels(&self, labels: &BTreeMap<String, String>) -> bool {
        self.labels.iter().all(|(key, operator)| {
            let found = labels.get(key);
            match operator {
                Operator::In(values) => found.is_some_and(|value| values.contains(value)),
                Operator::NotIn(values) => found.is_none_or(|value| !values.contains(value)),
                Operator::Exists => found.is_some(),
                Operator::Absent => found.is_none(),
            }
        })
    }

    /// Judges stored bytes, decoding no more than the selector needs.
    pub(crate) fn matches_bytes(
        &self,
        resource: &Resource,
        namespace: &str,
        name: &str,
        bytes: &[u8],
    ) -> Result<bool, ApiError> {
        if !self.matches_key(namespace, name) {
            return Ok(false);
        }
        let broken = |error: serde_json::Error| ApiError::internal("read a stored object", &error);
        if self
            .fields
            .iter()
            .any(|(field, _, _)| matches!(field, Field::Selectable(_)))
        {
            let value: Value = serde_json::from_slice(bytes).map_err(broken)?;
            return Ok(self.matches(namespace, name, &Facts::of(resource, &value)));
        }
        if self.labels.is_empty() {
            return Ok(true);
        }
        let labels: Labels = serde_json::from_slice(bytes).map_err(broken)?;
        Ok(self.matches_labels(&labels.metadata.labels.unwrap_or_default()))
    }
}

/// Splits at commas that are not inside parentheses.
fn split_outside(text: &str) -> Vec<&str> {
    let mut parts = Vec::new();
    let mut depth = 0_usize;
    let mut start = 0;
    for (index, byte) in text.bytes().enumerate() {
        match byte {
            b'(' => depth += 1,
            b')' => depth = depth.saturating_sub(1),
            b',' if depth == 0 => {
                parts.push(text.get(start..index).unwrap_or_default());
                start = index + 1;
            }
            _ => {}
        }
    }
    parts.push(text.get(start..).unwrap_or_default());
    parts
}

fn parse_labels(text: &str) -> Result<Vec<(String, Operator)>, ApiError> {
    if text.trim().is_empty() {
        return Ok(Vec::new());
    }
    let parts = split_outside(text);
    if parts.len() > MAX_REQUIREMENTS {
        return Err(ApiError::bad_request(format!(
            "unable to parse requirement: more than {MAX_REQUIREMENTS} requirements"
        )));
    }
    parts.into_iter().map(parse_requirement).collect()
}

fn parse_requirement(text: &str) -> Result<(String, Operator), ApiError> {
    let text = text.trim();
    let refuse = || ApiError::bad_request(format!("unable to parse requirement: `{text}`"));
    let (key, operator) = if let Some((key, value)) = text.split_once("!=") {
        (key, Operator::NotIn(vec![value.trim().to_owned()]))
    } else if let Some((key, value)) = text.split_once("==").or_else(|| text.split_once('=')) {
        (key, Operator::In(vec![value.trim().to_owned()]))
    } else if let Some(key) = text.strip_prefix('!') {
        (key, Operator::Absent)
    } else if let Some(open) = text.find('(') {
        let (head, list) = text.split_at(open);
        let list = list
            .strip_prefix('(')
            .and_then(|list| list.strip_suffix(')'))
            .ok_or_else(refuse)?;
        let values: Vec<String> = list
            .split(',')
            .map(|value| value.trim().to_owned())
            .collect();
        let (key, word) = head
            .trim()
            .rsplit_once(char::is_whitespace)
            .ok_or_else(refuse)?;
        match word {
            "in" => (key, Operator::In(values)),
            "notin" => (key, Operator::NotIn(values)),
            _ => return Err(refuse()),
        }
    } else {
        (text, Operator::Exists)
    };
    let key = key.trim();
    let values_are_valid = match &operator {
        Operator::In(values) | Operator::NotIn(values) => {
            values.iter().all(|value| names::is_label_value(value))
        }
        Operator::Exists | Operator::Absent => true,
    };
    if !names::is_qualified(key) || !values_are_valid {
        return Err(refuse());
    }
    Ok((key.to_owned(), operator))
}

fn parse_fields(resource: &Resource, text: &str) -> Result<Vec<(Field, bool, String)>, ApiError> {
    let mut out = Vec::new();
    for part in text.split(',').filter(|part| !part.trim().is_empty()) {
        if out.len() >= MAX_REQUIREMENTS {
            return Err(ApiError::bad_request(format!(
                "more than {MAX_REQUIREMENTS} field requirements"
            )));
        }
        let (key, equal, value) = if let Some((key, value)) = part.split_once("!=") {
            (key, false, value)
        } else if let Some((key, value)) = part.split_once("==").or_else(|| part.split_once('=')) {
            (key, true, value)
        } else {
            return Err(ApiError::bad_request(format!(
                "invalid selector: `{part}`; can't understand it"
            )));
        };
        let key = key.trim();
        let field = match key {
            "metadata.name" => Field::Name,
            "metadata.namespace" => Field::Namespace,
            other => resource
                .selectable
                .iter()
                .position(|field| field.name == other)
                .map(Field::Selectable)
                .ok_or_else(|| {
                    ApiError::bad_request(format!("field label not supported: {other}"))
                })?,
        };
        out.push((field, equal, value.trim().to_owned()));
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(text: &str, pairs: &[(&str, &str)]) -> Result<bool, ApiError> {
        let selector = Selector::parse(&crate::builtin::namespace(), Some(text), None)?;
        let facts = Facts {
            labels: pairs
                .iter()
                .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
                .collect(),
            fields: Vec::new(),
        };
        Ok(selector.matches("", "x", &facts))
    }

    #[test]
    fn label_requirements() {
        let pairs = [("env", "prod"), ("a.io/team", "red")];
        for (text, expected) in [
            ("", true),
            ("env=prod", true),
            ("env==prod", true),
            ("env = prod , a.io/team", true),
            ("env!=prod", false),
            ("other!=x", true),
            ("env in (dev, prod)", true),
            ("env in (dev),a.io/team=red", false),
            ("env notin (dev)", true),
            ("missing notin (dev)", true),
            ("!missing", true),
            ("!env", false),
        ] {
            assert_eq!(labels(text, &pairs), Ok(expected), "{text}");
        }
    }

    #[test]
    fn nonsense_is_refused() {
        for text in [
            "env in dev",
            "env like (x)",
            "=x",
            "in (x)",
            "a=b c",
            "env in (a",
            "a b",
            "a=b=c",
            ",",
        ] {
            assert!(labels(text, &[]).is_err(), "{text}");
        }
    }

    #[test]
    fn field_requirements() {
        let namespaces = crate::builtin::namespace();
        let parse = |text: &str| Selector::parse(&namespaces, None, Some(text));
        let facts = Facts {
            labels: BTreeMap::new(),
            fields: vec!["Active".to_owned()],
        };
        for (text, expected) in [
            ("metadata.name=x", true),
            ("metadata.name!=x", false),
            ("status.phase=Active,metadata.name==x", true),
            ("status.phase!=Active", false),
        ] {
            assert_eq!(
                parse(text).unwrap().matches("", "x", &facts),
                expected,
                "{text}"
            );
        }
        assert!(parse("spec.nothing=1").is_err());
        assert!(parse("metadata.name").is_err());
    }
}
