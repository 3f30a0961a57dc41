//! Filling in defaults.

use super::compile::Node;
use serde_json::Value;

/// Replaces absent fields, and nulls where null is not allowed, by their defaults.
pub(super) fn apply(node: &Node, value: &mut Value) {
    match value {
        Value::Object(map) => {
            for (key, property) in &node.properties {
                let Some(default) = &property.default else {
                    continue;
                };
                let is_missing = match map.get(key) {
                    None => true,
                    Some(Value::Null) => !property.is_nullable,
                    Some(_) => false,
                };
                if is_missing {
                    map.insert(key.clone(), default.clone());
                }
            }
            for (key, inner) in map.iter_mut() {
                if let Some(property) = node.property(key) {
                    apply(property, inner);
                }
            }
        }
        Value::Array(list) => {
            if let Some(items) = &node.items {
                for inner in list {
                    apply(items, inner);
                }
            }
        }
        _ => {}
    }
}
