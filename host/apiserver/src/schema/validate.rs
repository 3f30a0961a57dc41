//! Values against the schema.

use super::compile::{Additional, Bound, ListType, Node, Type, correlate, map_key};
use super::field_error::{FieldError, MAX_ERRORS, child, entry, item};
use super::format;
use serde_json::{Map, Value};
use std::collections::HashSet;

pub(super) fn validate(root: &Node, object: &Value, old: Option<&Value>) -> Vec<FieldError> {
    let mut errors = Vec::new();
    walk(root, object, old, "", &mut errors);
    errors.truncate(MAX_ERRORS);
    errors
}

fn walk(node: &Node, value: &Value, old: Option<&Value>, path: &str, errors: &mut Vec<FieldError>) {
    // Ratcheting: what did not change is not judged again.
    if old == Some(value) || errors.len() >= MAX_ERRORS {
        return;
    }
    if value.is_null() {
        if !node.is_nullable && node.kind.is_some() && !node.preserves_unknown {
            errors.push(wrong_type(node, value, path));
        }
        return;
    }
    if !has_type(node, value) {
        errors.push(wrong_type(node, value, path));
        return;
    }
    if let Some(allowed) = &node.limits.enumeration
        && !allowed.contains(value)
    {
        errors.push(FieldError::not_supported(path.to_owned(), value, allowed));
    }
    match value {
        Value::String(text) => check_text(node, text, value, path, errors),
        Value::Number(number) => check_number(node, number, value, path, errors),
        Value::Array(list) => check_list(node, list, old.and_then(Value::as_array), path, errors),
        Value::Object(map) => check_map(node, map, old.and_then(Value::as_object), path, errors),
        Value::Null | Value::Bool(_) => {}
    }
    check_branches(node, value, old, path, errors);
}

fn wrong_type(node: &Node, value: &Value, path: &str) -> FieldError {
    let expected = if node.is_int_or_string {
        "integer or string"
    } else {
        node.kind.map_or("value", Type::name)
    };
    let found = match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(number) if number.is_f64() => "number",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    };
    FieldError::invalid_type(
        path.to_owned(),
        &Value::from(found),
        &format!("{path} in body must be of type {expected}: \"{found}\""),
    )
}

fn has_type(node: &Node, value: &Value) -> bool {
    if node.is_int_or_string {
        return value.is_string() || is_integer(value);
    }
    match node.kind {
        None => true,
        Some(Type::Object) => value.is_object(),
        Some(Type::Array) => value.is_array(),
        Some(Type::String) => value.is_string(),
        Some(Type::Boolean) => value.is_boolean(),
        Some(Type::Number) => value.is_number(),
        Some(Type::Integer) => is_integer(value),
    }
}

fn is_integer(value: &Value) -> bool {
    value.is_i64()
        || value.is_u64()
        || value
            .as_f64()
            .is_some_and(|number| number.fract() == 0.0 && number.abs() < 9_007_199_254_740_992.0)
}

fn check_text(node: &Node, text: &str, value: &Value, path: &str, errors: &mut Vec<FieldError>) {
    let limits = &node.limits;
    let length = text.chars().count();
    if let Some(max) = limits.max_length
        && length > max
    {
        errors.push(FieldError::too_long(
            path.to_owned(),
            &format!("may not be longer than {max}"),
        ));
        // A pattern over an overlong text would only repeat the news.
        return;
    }
    let mut complain = |detail: &str| {
        errors.push(FieldError::invalid(path.to_owned(), value, detail));
    };
    if let Some(min) = limits.min_length
        && length < min
    {
        complain(&format!(
            "{path} in body should be at least {min} chars long"
        ));
    }
    if let Some(pattern) = &limits.pattern
        && !pattern.is_match(text)
    {
        complain(&format!("{path} in body should match '{pattern}'"));
    }
    if let Some(format) = &limits.format
        && !node.is_int_or_string
        && !format::matches(format, text)
    {
        complain(&format!("{path} in body must be of type {format}: {value}"));
    }
}

fn check_number(
    node: &Node,
    number: &serde_json::Number,
    value: &Value,
    path: &str,
    errors: &mut Vec<FieldError>,
) {
    let limits = &node.limits;
    let found = number.as_f64().unwrap_or(f64::NAN);
    let mut complain = |detail: &str| {
        errors.push(FieldError::invalid(
            path.to_owned(),
            value,
            &format!("{path} in body should be {detail}"),
        ));
    };
    match limits.minimum {
        Some((min, Bound::Inclusive)) if found < min => {
            complain(&format!("greater than or equal to {min}"));
        }
        Some((min, Bound::Exclusive)) if found <= min => complain(&format!("greater than {min}")),
        _ => {}
    }
    match limits.maximum {
        Some((max, Bound::Inclusive)) if found > max => {
            complain(&format!("less than or equal to {max}"));
        }
        Some((max, Bound::Exclusive)) if found >= max => complain(&format!("less than {max}")),
        _ => {}
    }
    if let Some(step) = limits.multiple_of
        && step > 0.0
        && (found / step).fract() != 0.0
    {
        complain(&format!("a multiple of {step}"));
    }
    let fits = match limits.format.as_deref() {
        Some("int32") => number.as_i64().is_some_and(|n| i32::try_from(n).is_ok()),
        Some("int64") if !number.is_f64() => number.as_i64().is_some(),
        _ => true,
    };
    if !fits {
        let format = limits.format.as_deref().unwrap_or_default();
        complain(&format!("a valid {format}"));
    }
}

fn check_list(
    node: &Node,
    list: &[Value],
    old: Option<&Vec<Value>>,
    path: &str,
    errors: &mut Vec<FieldError>,
) {
    if let Some(max) = node.limits.max_items
        && list.len() > max
    {
        errors.push(FieldError::too_many(path.to_owned(), list.len(), max));
        return;
    }
    if let Some(min) = node.limits.min_items
        && list.len() < min
    {
        errors.push(FieldError::invalid(
            path.to_owned(),
            &Value::from(list.len()),
            &format!("{path} in body should have at least {min} items"),
        ));
    }
    if let Some(items) = &node.items {
        for (index, value) in list.iter().enumerate() {
            let before = correlate(node, value, old);
            walk(items, value, before, &item(path, index), errors);
        }
    }
    let mut seen = HashSet::new();
    for (index, value) in list.iter().enumerate() {
        let id = match &node.list_type {
            ListType::Map(keys) => format!("{:?}", map_key(node, keys, value)),
            ListType::Set => value.to_string(),
            ListType::Atomic if node.limits.unique_items.is_some() => value.to_string(),
            ListType::Atomic => break,
        };
        if !seen.insert(id) {
            let shown = match &node.list_type {
                ListType::Map(keys) => {
                    let parts: Map<String, Value> = keys
                        .iter()
                        .filter_map(|key| Some((key.clone(), value.get(key)?.clone())))
                        .collect();
                    Value::String(Value::Object(parts).to_string())
                }
                _ => value.clone(),
            };
            errors.push(FieldError::duplicate(item(path, index), &shown));
        }
    }
}

fn check_map(
    node: &Node,
    map: &Map<String, Value>,
    old: Option<&Map<String, Value>>,
    path: &str,
    errors: &mut Vec<FieldError>,
) {
    for name in &node.required {
        if !map.contains_key(name) {
            errors.push(FieldError::required(child(path, name), ""));
        }
    }
    let limits = &node.limits;
    if let Some(max) = limits.max_properties
        && map.len() > max
    {
        errors.push(FieldError::too_many(path.to_owned(), map.len(), max));
        return;
    }
    if let Some(min) = limits.min_properties
        && map.len() < min
    {
        errors.push(FieldError::invalid(
            path.to_owned(),
            &Value::from(map.len()),
            &format!("{path} in body should have at least {min} properties"),
        ));
    }
    for (key, value) in map {
        let before = old.and_then(|old| old.get(key));
        if let Some(property) = node.properties.get(key) {
            walk(property, value, before, &child(path, key), errors);
        } else if let Additional::Schema(schema) = &node.additional {
            walk(schema, value, before, &entry(path, key), errors);
        }
    }
}

fn passes(node: &Node, value: &Value, old: Option<&Value>, path: &str) -> bool {
    let mut inner = Vec::new();
    walk(node, value, old, path, &mut inner);
    inner.is_empty()
}

fn check_branches(
    node: &Node,
    value: &Value,
    old: Option<&Value>,
    path: &str,
    errors: &mut Vec<FieldError>,
) {
    for branch in &node.all_of {
        walk(branch, value, old, path, errors);
    }
    let mut complain = |detail: &str| {
        errors.push(FieldError::invalid(path.to_owned(), value, detail));
    };
    if !node.any_of.is_empty() && !node.any_of.iter().any(|b| passes(b, value, None, path)) {
        complain(&format!(
            "{path} in body must validate at least one schema (anyOf)"
        ));
    }
    if !node.one_of.is_empty() {
        let valid = node
            .one_of
            .iter()
            .filter(|b| passes(b, value, None, path))
            .count();
        if valid != 1 {
            let found = if valid == 0 {
                "Found none valid".to_owned()
            } else {
                format!("Found {valid} valid alternatives")
            };
            complain(&format!(
                "{path} in body must validate one and only one schema (oneOf). {found}"
            ));
        }
    }
    if let Some(not) = &node.not
        && passes(not, value, None, path)
    {
        complain(&format!(
            "{path} in body must not validate the schema (not)"
        ));
    }
}
