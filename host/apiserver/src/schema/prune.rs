//! Dropping what the schema does not know.

use super::compile::{Additional, Node};
use super::field_error::{child, item};
use serde_json::Value;

/// Paths beyond these are dropped without being listed.
const MAX_LISTED: usize = 50;

/// Drops unknown fields in place; `apiVersion`, `kind` and `metadata` stay at the root.
pub(super) fn prune(root: &Node, object: &mut Value) -> Vec<String> {
    let mut dropped = Vec::new();
    walk(root, object, "", Place::Resource, &mut dropped);
    dropped
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Resource,
    Inner,
}

fn walk(node: &Node, value: &mut Value, path: &str, place: Place, dropped: &mut Vec<String>) {
    match value {
        Value::Object(map) => {
            let is_resource = place == Place::Resource || node.is_embedded;
            map.retain(|key, inner| {
                if is_resource && matches!(key.as_str(), "apiVersion" | "kind" | "metadata") {
                    return true;
                }
                if let Some(schema) = node.property(key) {
                    walk(schema, inner, &child(path, key), Place::Inner, dropped);
                    return true;
                }
                let keep = node.keeps_unknown()
                    // A node without any structure (a value check only) keeps what it gets.
                    || (node.kind.is_none() && node.properties.is_empty()
                        && matches!(node.additional, Additional::None) && place == Place::Inner);
                if !keep && dropped.len() < MAX_LISTED {
                    dropped.push(child(path, key));
                }
                keep
            });
        }
        Value::Array(list) => {
            if let Some(schema) = &node.items {
                for (index, inner) in list.iter_mut().enumerate() {
                    walk(schema, inner, &item(path, index), Place::Inner, dropped);
                }
            }
        }
        _ => {}
    }
}
