//! Dropping nulls and filling in defaults.

use super::compile::Node;
use serde_json::Value;

/// Drops the nulls of fields that neither allow null nor have a default: they say that nothing is
/// there.
pub(super) fn drop_nulls(node: &Node, value: &mut Value) {
    match value {
        Value::Object(map) => map.retain(|key, inner| {
            let Some(property) = node.property(key) else {
                return true;
            };
            if inner.is_null() && !property.is_nullable && property.default.is_none() {
                return false;
            }
            drop_nulls(property, inner);
            true
        }),
        Value::Array(list) => {
            if let Some(items) = &node.items {
                for inner in list {
                    drop_nulls(items, inner);
                }
            }
        }
        _ => {}
    }
}

/// Replaces absent fields, and nulls where null is not allowed, by their defaults.
pub(super) fn apply(node: &Node, value: &mut Value) {
    match value {
        Value::Object(map) => {
            for (key, property) in &node.properties {
                let Some(default) = &property.default else {
                    continue;
                };
                if !map.contains_key(key) {
                    map.insert(key.clone(), default.clone());
                }
            }
            for (key, inner) in map.iter_mut() {
                if let Some(property) = node.property(key) {
                    replace_null(property, inner);
                    apply(property, inner);
                }
            }
        }
        Value::Array(list) => {
            if let Some(items) = &node.items {
                for inner in list {
                    replace_null(items, inner);
                    apply(items, inner);
                }
            }
        }
        _ => {}
    }
}

fn replace_null(node: &Node, value: &mut Value) {
    if let Some(default) = &node.default
        && value.is_null()
        && !node.is_nullable
    {
        value.clone_from(default);
    }
}
