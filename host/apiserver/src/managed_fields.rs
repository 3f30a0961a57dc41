//! Who wrote which fields last: `metadata.managedFields`, for readers of an object's history.
//!
//! Kept small: lists are one field, wide maps are one field, and there are at most ten entries.

use crate::object::{Object, now};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{FieldsV1, ManagedFieldsEntry};
use serde_json::{Map, Value, json};

const MAX_ENTRIES: usize = 10;
const MAX_DEPTH: usize = 6;
/// A map with more changed keys than this is recorded as one field.
const MAX_WIDTH: usize = 64;
const MAX_MANAGER: usize = 128;

/// Who writes, and through which door.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Author<'a> {
    pub(crate) manager: &'a str,
    pub(crate) api_version: &'a str,
    pub(crate) subresource: Option<&'a str>,
}

/// Records the difference between `old` and `new` in `new`.
pub(crate) fn record(old: Option<&Object>, new: &mut Object, author: Author<'_>) {
    let after = view(new);
    let changed = difference(old.map(view).as_ref(), Some(&after), 0);
    let Some(changed) = changed else {
        return;
    };
    let mut entries = old
        .and_then(|old| old.meta.managed_fields.clone())
        .unwrap_or_default();
    let manager: String = author.manager.chars().take(MAX_MANAGER).collect();
    let is_own = |entry: &ManagedFieldsEntry| {
        entry.manager.as_deref() == Some(manager.as_str())
            && entry.subresource.as_deref() == author.subresource
    };
    let mut own = Value::Object(Map::new());
    entries.retain_mut(|entry| {
        if is_own(entry) {
            if let Some(fields) = entry.fields_v1.take() {
                own = fields.0;
            }
            return false;
        }
        let Some(fields) = &mut entry.fields_v1 else {
            return false;
        };
        subtract(&mut fields.0, &changed);
        !is_leaf(&fields.0)
    });
    union(&mut own, &changed);
    keep_existing(&mut own, &after);
    if !is_leaf(&own) {
        entries.push(ManagedFieldsEntry {
            manager: Some(manager),
            operation: Some("Update".to_owned()),
            api_version: Some(author.api_version.to_owned()),
            time: Some(now()),
            fields_type: Some("FieldsV1".to_owned()),
            fields_v1: Some(FieldsV1(own)),
            subresource: author.subresource.map(str::to_owned),
        });
    }
    if entries.len() > MAX_ENTRIES {
        entries.drain(..entries.len() - MAX_ENTRIES);
    }
    new.meta.managed_fields = Some(entries);
}

/// The parts of an object that belong to writers.
fn view(object: &Object) -> Value {
    let mut out: Map<String, Value> = object
        .rest
        .iter()
        .filter(|(key, _)| !matches!(key.as_str(), "apiVersion" | "kind"))
        .map(|(key, value)| (key.clone(), value.clone()))
        .collect();
    let meta = &object.meta;
    let mut kept = Map::new();
    if let Some(labels) = &meta.labels {
        kept.insert("labels".to_owned(), json!(labels));
    }
    if let Some(annotations) = &meta.annotations {
        kept.insert("annotations".to_owned(), json!(annotations));
    }
    if let Some(finalizers) = &meta.finalizers {
        kept.insert("finalizers".to_owned(), json!(finalizers));
    }
    if let Some(owners) = &meta.owner_references {
        kept.insert("ownerReferences".to_owned(), json!(owners));
    }
    if !kept.is_empty() {
        out.insert("metadata".to_owned(), Value::Object(kept));
    }
    Value::Object(out)
}

fn is_leaf(tree: &Value) -> bool {
    tree.as_object().is_none_or(Map::is_empty)
}

/// The tree of changed fields; `None` when nothing differs.
fn difference(old: Option<&Value>, new: Option<&Value>, depth: usize) -> Option<Value> {
    if old == new {
        return None;
    }
    let empty = Map::new();
    let (before, after) = match (old, new) {
        (Some(Value::Object(before)), Some(Value::Object(after))) => (before, after),
        (None, Some(Value::Object(after))) => (&empty, after),
        _ => return Some(json!({})),
    };
    if depth >= MAX_DEPTH {
        return Some(json!({}));
    }
    let mut tree = Map::new();
    for (key, value) in after {
        if let Some(inner) = difference(before.get(key), Some(value), depth + 1) {
            tree.insert(format!("f:{key}"), inner);
        }
    }
    for key in before.keys().filter(|key| !after.contains_key(*key)) {
        tree.insert(format!("f:{key}"), json!({}));
    }
    if tree.len() > MAX_WIDTH {
        tree.clear();
    }
    Some(Value::Object(tree))
}

fn subtract(tree: &mut Value, changed: &Value) {
    let (Some(tree), Some(changed)) = (tree.as_object_mut(), changed.as_object()) else {
        return;
    };
    tree.retain(|key, inner| match changed.get(key) {
        None => true,
        Some(taken) if is_leaf(taken) => false,
        Some(taken) => {
            if is_leaf(inner) {
                return true;
            }
            subtract(inner, taken);
            !is_leaf(inner)
        }
    });
}

fn union(tree: &mut Value, changed: &Value) {
    let (Some(tree), Some(changed)) = (tree.as_object_mut(), changed.as_object()) else {
        return;
    };
    for (key, inner) in changed {
        match tree.get_mut(key) {
            Some(found) if !is_leaf(found) && !is_leaf(inner) => union(found, inner),
            _ => {
                tree.insert(key.clone(), inner.clone());
            }
        }
    }
}

fn keep_existing(tree: &mut Value, object: &Value) {
    let Some(tree) = tree.as_object_mut() else {
        return;
    };
    tree.retain(|key, inner| {
        let Some(value) = key.strip_prefix("f:").and_then(|key| object.get(key)) else {
            return false;
        };
        if is_leaf(inner) {
            return true;
        }
        keep_existing(inner, value);
        !is_leaf(inner)
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(value: Value) -> Object {
        Object::from_value(value).unwrap()
    }

    fn author(manager: &str) -> Author<'_> {
        Author {
            manager,
            api_version: "a/v1",
            subresource: None,
        }
    }

    fn fields(object: &Object, manager: &str) -> Option<Value> {
        object
            .meta
            .managed_fields
            .iter()
            .flatten()
            .find(|entry| entry.manager.as_deref() == Some(manager))
            .and_then(|entry| entry.fields_v1.clone())
            .map(|fields| fields.0)
    }

    #[test]
    fn a_field_belongs_to_its_last_writer() {
        let mut one = object(json!({"spec": {"a": 1, "b": [1]}}));
        record(None, &mut one, author("x"));
        assert_eq!(
            fields(&one, "x"),
            Some(json!({"f:spec": {"f:a": {}, "f:b": {}}}))
        );
        let mut two = one.clone();
        two.rest
            .insert("spec".to_owned(), json!({"a": 2, "b": [1]}));
        record(Some(&one), &mut two, author("y"));
        assert_eq!(fields(&two, "x"), Some(json!({"f:spec": {"f:b": {}}})));
        assert_eq!(fields(&two, "y"), Some(json!({"f:spec": {"f:a": {}}})));
        let mut three = two.clone();
        three.rest.insert("spec".to_owned(), json!({"a": 2}));
        record(Some(&two), &mut three, author("y"));
        assert_eq!(fields(&three, "x"), None);
        assert_eq!(fields(&three, "y"), Some(json!({"f:spec": {"f:a": {}}})));
    }

    #[test]
    fn entries_are_bounded() {
        let mut current = object(json!({"spec": {}}));
        for number in 0..30 {
            let mut next = current.clone();
            next.rest.insert(
                "spec".to_owned(),
                json!({format!("k{number}"): 1, "n": number}),
            );
            record(Some(&current), &mut next, author(&format!("m{number}")));
            current = next;
        }
        assert!(current.meta.managed_fields.unwrap().len() <= MAX_ENTRIES);
    }
}
