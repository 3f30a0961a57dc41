//! The kinds that need no definition: Namespace, ConfigMap, Secret, Lease and both Events.

use crate::resource::{Body, Resource, Selectable};
use base64::Engine as _;
use k8s_openapi::api::{coordination, core, events};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

/// Checks and normalises a whole object: wrong types are errors, unknown fields go.
pub(crate) type Codec = fn(Value) -> Result<Value, serde_json::Error>;

fn typed<T: DeserializeOwned + Serialize>(value: Value) -> Result<Value, serde_json::Error> {
    serde_json::to_value(serde_json::from_value::<T>(value)?)
}

fn secret(mut value: Value) -> Result<Value, serde_json::Error> {
    // `stringData` is written only; it is merged into `data`, as a cluster does.
    if let Some(object) = value.as_object_mut() {
        if let Some(Value::Object(texts)) = object.remove("stringData") {
            let data = object
                .entry("data")
                .or_insert_with(|| Value::Object(Map::new()));
            if data.is_null() {
                *data = Value::Object(Map::new());
            }
            if let Some(data) = data.as_object_mut() {
                for (key, text) in texts {
                    let text: String = serde_json::from_value(text)?;
                    let encoded = base64::engine::general_purpose::STANDARD.encode(text);
                    data.insert(key, Value::String(encoded));
                }
            }
        }
        object
            .entry("type")
            .or_insert_with(|| Value::from("Opaque"));
    }
    typed::<core::v1::Secret>(value)
}

fn base(group: &str, version: &str, kind: &str, plural: &str, codec: Codec) -> Resource {
    Resource {
        group: group.to_owned(),
        version: version.to_owned(),
        kind: kind.to_owned(),
        list_kind: format!("{kind}List"),
        plural: plural.to_owned(),
        singular: kind.to_lowercase(),
        short_names: Vec::new(),
        categories: Vec::new(),
        is_namespaced: true,
        has_status: false,
        allows_unconditional_update: true,
        selectable: Vec::new(),
        body: Body::Builtin(codec),
    }
}

fn select(mut resource: Resource, fields: &[&str]) -> Resource {
    resource.selectable = fields.iter().map(|field| Selectable::new(field)).collect();
    resource
}

pub(crate) fn namespace() -> Resource {
    let mut resource = base(
        "",
        "v1",
        "Namespace",
        "namespaces",
        typed::<core::v1::Namespace>,
    );
    resource.is_namespaced = false;
    resource.has_status = true;
    resource.short_names = vec!["ns".to_owned()];
    select(resource, &["status.phase"])
}

pub(crate) fn namespaced() -> Vec<Resource> {
    let mut config_map = base(
        "",
        "v1",
        "ConfigMap",
        "configmaps",
        typed::<core::v1::ConfigMap>,
    );
    config_map.short_names = vec!["cm".to_owned()];
    let mut lease = base(
        "coordination.k8s.io",
        "v1",
        "Lease",
        "leases",
        typed::<coordination::v1::Lease>,
    );
    lease.allows_unconditional_update = false;
    let mut event = base("", "v1", "Event", "events", typed::<core::v1::Event>);
    event.short_names = vec!["ev".to_owned()];
    vec![
        config_map,
        select(base("", "v1", "Secret", "secrets", secret), &["type"]),
        lease,
        select(
            event,
            &[
                "involvedObject.kind",
                "involvedObject.namespace",
                "involvedObject.name",
                "involvedObject.uid",
                "involvedObject.apiVersion",
                "reason",
                "type",
            ],
        ),
        select(
            base(
                "events.k8s.io",
                "v1",
                "Event",
                "events",
                typed::<events::v1::Event>,
            ),
            &[
                "regarding.kind",
                "regarding.namespace",
                "regarding.name",
                "regarding.uid",
                "regarding.apiVersion",
                "reason",
                "type",
            ],
        ),
    ]
}
