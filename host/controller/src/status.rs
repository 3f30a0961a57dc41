//! Status writes: JSON merge patches with the resourceVersion that was read and the
//! controller's field manager, and none at all when nothing would change (I8).

use crate::error::Error;
use crate::version::intent::Refusal;
use k8s_openapi::NamespaceResourceScope;
use kube::api::{Patch, PatchParams};
use kube::{Api, Resource, ResourceExt as _};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};

/// Patches the status of `object` from `before` to `after`; answers the new object, or nothing
/// when they are the same.
pub(crate) async fn patch<K, S>(
    api: &Api<K>,
    object: &K,
    before: Option<&S>,
    after: &S,
    manager: &'static str,
) -> Result<Option<K>, Error>
where
    K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>
        + Clone
        + DeserializeOwned
        + std::fmt::Debug,
    S: Serialize,
{
    let to_value = |status: &S| {
        serde_json::to_value(status).map_err(|error| Error::Internal {
            attempt: "write the status",
            reason: error.to_string(),
        })
    };
    let before = before.map(to_value).transpose()?.unwrap_or(Value::Null);
    let after = to_value(after)?;
    let Some(difference) = merge_difference(&before, &after) else {
        return Ok(None);
    };
    let patch = json!({
        "metadata": { "resourceVersion": object.resource_version() },
        "status": difference,
    });
    let params = PatchParams {
        field_manager: Some(manager.to_owned()),
        ..PatchParams::default()
    };
    opendepot_transfer::fault::point("api.patch-status");
    let patched = api
        .patch_status(&object.name_any(), &params, &Patch::Merge(&patch))
        .await
        .map_err(Error::api("write the status"))?;
    opendepot_transfer::fault::point("api.patch-status.done");
    Ok(Some(patched))
}

/// Logs, once, that an object cannot be worked on until its spec changes.
pub(crate) fn say_refused<K: Resource>(kind: &'static str, object: &K, refusal: &Refusal) {
    let (namespace, name) = (object.namespace().unwrap_or_default(), object.name_any());
    tracing::warn!(
        k8s.namespace = %namespace,
        k8s.name = %name,
        reason = refusal.reason.as_str(),
        "cannot publish {kind} `{namespace}/{name}`: {refusal}"
    );
}

/// The RFC 7386 patch that turns `before` into `after`; nothing when they are equal.
pub(crate) fn merge_difference(before: &Value, after: &Value) -> Option<Value> {
    if before == after {
        return None;
    }
    let (Value::Object(old), Value::Object(new)) = (before, after) else {
        return Some(after.clone());
    };
    let mut patch = Map::new();
    for (key, value) in new {
        match old.get(key) {
            None => {
                patch.insert(key.clone(), value.clone());
            }
            Some(previous) => {
                if let Some(inner) = merge_difference(previous, value) {
                    patch.insert(key.clone(), inner);
                }
            }
        }
    }
    for key in old.keys().filter(|key| !new.contains_key(*key)) {
        patch.insert(key.clone(), Value::Null);
    }
    Some(Value::Object(patch))
}

#[cfg(test)]
mod tests {
    use super::merge_difference;
    use proptest::prelude::*;
    use serde_json::{Value, json};

    #[test]
    fn only_what_differs_is_sent_and_what_went_is_null() {
        let before = json!({"a": 1, "b": {"c": 1, "d": 2}, "e": [1]});
        let after = json!({"a": 1, "b": {"c": 1}, "e": [1, 2]});
        assert_eq!(
            merge_difference(&before, &after),
            Some(json!({"b": {"d": null}, "e": [1, 2]}))
        );
        assert_eq!(merge_difference(&after, &after), None);
    }

    /// What RFC 7386 says a server does with a patch.
    fn apply(target: &mut Value, patch: &Value) {
        let Value::Object(patch) = patch else {
            *target = patch.clone();
            return;
        };
        if !target.is_object() {
            *target = json!({});
        }
        let object = target.as_object_mut().unwrap();
        for (key, value) in patch {
            if value.is_null() {
                object.remove(key);
            } else {
                apply(object.entry(key.clone()).or_insert(Value::Null), value);
            }
        }
    }

    /// Statuses have no nulls: what is not there is left out.
    fn value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            any::<bool>().prop_map(Value::from),
            (0..3_u8).prop_map(Value::from),
            "[ab]{0,2}".prop_map(Value::from)
        ];
        leaf.prop_recursive(3, 24, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..3).prop_map(Value::from),
                object_of(inner),
            ]
        })
    }

    fn object_of(inner: impl Strategy<Value = Value>) -> impl Strategy<Value = Value> {
        let members = prop::collection::btree_map("[abc]", inner, 0..4);
        members.prop_map(|map| Value::Object(map.into_iter().collect()))
    }

    proptest! {
        #[test]
        fn the_patch_turns_before_into_after(before in object_of(value()), after in object_of(value())) {
            let mut target = before.clone();
            match merge_difference(&before, &after) {
                Some(patch) => apply(&mut target, &patch),
                None => prop_assert_eq!(&before, &after),
            }
            prop_assert_eq!(target, after);
        }
    }
}
