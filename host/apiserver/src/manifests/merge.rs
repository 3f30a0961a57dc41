//! The three-way merge as a JSON merge patch.

use serde_json::{Map, Value};

/// The merge patch that brings `current` to `desired`, removing what `last` had and `desired` has
/// not. `None` when there is nothing to do.
pub(super) fn patch(last: &Value, desired: &Value, current: &Value) -> Option<Value> {
    let empty = Map::new();
    let (Value::Object(desired), Value::Object(current)) = (desired, current) else {
        return (desired != current).then(|| desired.clone());
    };
    let last = last.as_object().unwrap_or(&empty);
    let mut out = Map::new();
    for (key, value) in desired {
        match current.get(key) {
            None => {
                out.insert(key.clone(), value.clone());
            }
            Some(found) => {
                let before = last.get(key).unwrap_or(&Value::Null);
                if let Some(inner) = patch(before, value, found) {
                    out.insert(key.clone(), inner);
                }
            }
        }
    }
    for key in last.keys() {
        if !desired.contains_key(key) && current.contains_key(key) {
            out.insert(key.clone(), Value::Null);
        }
    }
    (!out.is_empty()).then_some(Value::Object(out))
}

/// Drops nulls from mappings: in a file, `key:` says nothing.
pub(super) fn without_nulls(value: &mut Value) {
    match value {
        Value::Object(map) => {
            map.retain(|_, inner| !inner.is_null());
            map.values_mut().for_each(without_nulls);
        }
        Value::Array(list) => list.iter_mut().for_each(without_nulls),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn merges() {
        for (name, last, desired, current, expected) in [
            (
                "same",
                json!({"a": 1}),
                json!({"a": 1}),
                json!({"a": 1, "other": 2}),
                None,
            ),
            (
                "changed",
                json!({"a": 1}),
                json!({"a": 2}),
                json!({"a": 1}),
                Some(json!({"a": 2})),
            ),
            (
                "drifted",
                json!({"a": 1}),
                json!({"a": 1}),
                json!({"a": 3}),
                Some(json!({"a": 1})),
            ),
            (
                "removed",
                json!({"a": 1, "b": 2}),
                json!({"a": 1}),
                json!({"a": 1, "b": 2, "c": 3}),
                Some(json!({"b": null})),
            ),
            (
                "removed already",
                json!({"b": 2}),
                json!({}),
                json!({"c": 3}),
                None,
            ),
            (
                "nested",
                json!({"s": {"x": 1, "y": 2}}),
                json!({"s": {"x": 1}}),
                json!({"s": {"x": 1, "y": 2, "z": 3}}),
                Some(json!({"s": {"y": null}})),
            ),
            (
                "lists are whole",
                json!({"l": [1]}),
                json!({"l": [1, 2]}),
                json!({"l": [1]}),
                Some(json!({"l": [1, 2]})),
            ),
            (
                "another type",
                json!({}),
                json!({"a": {"b": 1}}),
                json!({"a": 5}),
                Some(json!({"a": {"b": 1}})),
            ),
            (
                "an unknown last",
                Value::Null,
                json!({"a": 1}),
                json!({"a": 1, "b": 2}),
                None,
            ),
        ] {
            assert_eq!(patch(&last, &desired, &current), expected, "{name}");
        }
    }

    proptest::proptest! {
        /// Whatever was there, applying the patch yields what the file says for every key it names,
        /// and a second application has nothing left to do.
        #[test]
        fn a_patch_converges(last in tree(), desired in tree(), current in tree()) {
            let mut merged = current;
            if let Some(patch) = patch(&last, &desired, &merged) {
                json_patch::merge(&mut merged, &patch);
            }
            proptest::prop_assert_eq!(patch(&desired, &desired, &merged), None);
        }
    }

    fn tree() -> impl proptest::strategy::Strategy<Value = Value> {
        use proptest::prelude::*;
        let leaf = prop_oneof![(0..3_i32).prop_map(|n| json!(n)), Just(json!([1]))];
        let inner = proptest::collection::btree_map("[abc]", leaf, 0..3).prop_map(|map| json!(map));
        proptest::collection::btree_map(
            "[abc]",
            prop_oneof![inner, (0..3_i32).prop_map(|n| json!(n))],
            0..4,
        )
        .prop_map(|map| json!(map))
    }
}
