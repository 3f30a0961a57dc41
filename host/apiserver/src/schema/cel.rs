//! `x-kubernetes-validations`: the rules of a schema, by `kube-cel`.
//!
//! `kube-cel` pairs the items of lists by position. A cluster pairs them by key, and leaves lists
//! without keys unpaired. So the walk is ours, and `kube-cel` judges one node at a time.

use super::compile::{Additional, Node, correlate};
use super::field_error::{FieldError, MAX_ERRORS, child, entry, item};
use kube_cel::{CompiledSchema, compile_schema, validate_compiled};
use serde_json::Value;

/// The rules of one node.
#[derive(Debug, Default)]
pub(super) struct Rules {
    /// Those that look at the new value only; not asked again while it stays the same.
    plain: Option<Box<CompiledSchema>>,
    /// Those that compare with `oldSelf`; asked on every update.
    transition: Option<Box<CompiledSchema>>,
}

impl Rules {
    pub(super) fn compile(schema: &Value, path: &str) -> Result<Self, String> {
        if !has_rules(schema) {
            return Ok(Self::default());
        }
        let own = without_inner_rules(schema);
        let compile = |wanted: bool| -> Result<Option<Box<CompiledSchema>>, String> {
            let mut compiled = compile_schema(&own);
            if let Some(error) = compiled.compilation_errors().first() {
                return Err(format!("a rule at `{path}` cannot be used: {error}"));
            }
            compiled.validations.retain(|rule| {
                rule.as_ref()
                    .is_ok_and(|rule| rule.is_transition_rule == wanted)
            });
            Ok((!compiled.validations.is_empty()).then(|| Box::new(compiled)))
        };
        Ok(Self {
            plain: compile(false)?,
            transition: compile(true)?,
        })
    }

    pub(super) fn is_empty(&self) -> bool {
        self.plain.is_none() && self.transition.is_none()
    }
}

const KEY: &str = "x-kubernetes-validations";

fn has_rules(schema: &Value) -> bool {
    schema
        .get(KEY)
        .and_then(Value::as_array)
        .is_some_and(|rules| !rules.is_empty())
}

/// The node with its own rules, and the nodes below it with none.
fn without_inner_rules(schema: &Value) -> Value {
    let mut own = schema.clone();
    let rules = own.get(KEY).cloned();
    strip(&mut own);
    if let (Some(object), Some(rules)) = (own.as_object_mut(), rules) {
        object.insert(KEY.to_owned(), rules);
    }
    own
}

fn strip(schema: &mut Value) {
    let Some(map) = schema.as_object_mut() else {
        return;
    };
    map.remove(KEY);
    for key in ["items", "additionalProperties", "not"] {
        if let Some(inner) = map.get_mut(key) {
            strip(inner);
        }
    }
    for key in ["allOf", "anyOf", "oneOf"] {
        for inner in map
            .get_mut(key)
            .and_then(Value::as_array_mut)
            .into_iter()
            .flatten()
        {
            strip(inner);
        }
    }
    for (_, inner) in map
        .get_mut("properties")
        .and_then(Value::as_object_mut)
        .into_iter()
        .flatten()
    {
        strip(inner);
    }
}

pub(super) fn validate(root: &Node, object: &Value, old: Option<&Value>) -> Vec<FieldError> {
    let mut errors = Vec::new();
    walk(root, object, old, "", &mut errors);
    errors.truncate(MAX_ERRORS);
    errors
}

fn walk(node: &Node, value: &Value, old: Option<&Value>, path: &str, errors: &mut Vec<FieldError>) {
    if !node.has_rules || value.is_null() || errors.len() >= MAX_ERRORS {
        return;
    }
    let is_unchanged = old == Some(value);
    if let Some(rules) = &node.rules.plain
        && !is_unchanged
    {
        judge(rules, value, old, path, errors);
    }
    if let Some(rules) = &node.rules.transition {
        judge(rules, value, old, path, errors);
    }
    match value {
        Value::Object(map) => {
            for (key, inner) in map {
                let before = old.and_then(|old| old.get(key));
                if let Some(property) = node.properties.get(key) {
                    walk(property, inner, before, &child(path, key), errors);
                } else if let Additional::Schema(schema) = &node.additional {
                    walk(schema, inner, before, &entry(path, key), errors);
                }
            }
        }
        Value::Array(list) => {
            if let Some(items) = &node.items {
                let before = old.and_then(Value::as_array);
                for (index, inner) in list.iter().enumerate() {
                    let before = correlate(node, inner, before);
                    walk(items, inner, before, &item(path, index), errors);
                }
            }
        }
        _ => {}
    }
}

fn judge(
    rules: &CompiledSchema,
    value: &Value,
    old: Option<&Value>,
    path: &str,
    errors: &mut Vec<FieldError>,
) {
    let Err(found) = validate_compiled(rules, value, old) else {
        return;
    };
    for error in found {
        let field = match error.field_path.as_str() {
            "" => path.to_owned(),
            below => {
                let joined = format!(
                    "{path}{}{below}",
                    if below.starts_with(['.', '[']) {
                        ""
                    } else {
                        "."
                    }
                );
                joined.trim_start_matches('.').to_owned()
            }
        };
        errors.push(match error.reason.as_deref() {
            Some("FieldValueRequired") => FieldError::required(field, &error.message),
            Some("FieldValueForbidden") => FieldError::forbidden(field, &error.message),
            Some("FieldValueDuplicate") => FieldError::duplicate(field, value),
            _ => FieldError::invalid(field, value, &error.message),
        });
    }
}
