//! A small API server's view of one object: the schema's own keywords and its CEL rules.

use kube_cel::Validator;
use regex::Regex;
use serde_json::{Value, json};

/// The OpenAPI schema of one kind, as JSON.
pub(crate) fn schema(kind: &str) -> Value {
    let crd = opendepot_crds::all()
        .into_iter()
        .find(|crd| crd.spec.names.kind == kind)
        .unwrap();
    let version = &crd.spec.versions[0];
    serde_json::to_value(
        version
            .schema
            .as_ref()
            .unwrap()
            .open_api_v3_schema
            .as_ref()
            .unwrap(),
    )
    .unwrap()
}

/// Every reason why a new object, or a change of an old one, is refused.
pub(crate) fn problems(kind: &str, new: &Value, old: Option<&Value>) -> Vec<String> {
    let schema = schema(kind);
    let mut problems = Vec::new();
    structural(&schema, new, "", &mut problems);
    if let Err(errors) = Validator::new().validate_with_defaults(&schema, new, old) {
        problems.extend(
            errors
                .iter()
                .map(|e| format!("{}: {}", e.field_path, e.message)),
        );
    }
    problems
}

pub(crate) fn object(kind: &str, spec: Value) -> Value {
    json!({
        "apiVersion": "opendepot.defdev.io/v1alpha1",
        "kind": kind,
        "metadata": {"name": "example", "namespace": "default"},
        "spec": spec,
    })
}

#[track_caller]
pub(crate) fn accepts(kind: &str, spec: Value) {
    let found = problems(kind, &object(kind, spec.clone()), None);
    assert!(found.is_empty(), "{spec}: {found:?}");
}

#[track_caller]
pub(crate) fn refuses(kind: &str, spec: Value, with: &str) {
    let found = problems(kind, &object(kind, spec.clone()), None);
    assert!(
        found.iter().any(|problem| problem.contains(with)),
        "{spec}: expected {with:?}, got {found:?}"
    );
}

fn structural(schema: &Value, value: &Value, path: &str, out: &mut Vec<String>) {
    let type_ = schema["type"].as_str().unwrap_or_default();
    let fits = match type_ {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "integer" => value.is_i64() || value.is_u64(),
        "boolean" => value.is_boolean(),
        other => panic!("{path}: schema type {other:?}"),
    };
    if !fits {
        out.push(format!("{path}: not a {type_}"));
        return;
    }
    if let Some(choices) = schema["enum"].as_array()
        && !choices.contains(value)
    {
        out.push(format!("{path}: not one of {choices:?}"));
    }
    let mut bound = |keyword: &str, measure: Option<f64>, lower: bool| {
        if let (Some(limit), Some(measure)) = (schema[keyword].as_f64(), measure)
            && (if lower {
                measure < limit
            } else {
                measure > limit
            })
        {
            out.push(format!("{path}: {keyword} {limit}, is {measure}"));
        }
    };
    let count = |n: usize| Some(n as f64);
    bound(
        "maxLength",
        value.as_str().and_then(|s| count(s.chars().count())),
        false,
    );
    bound(
        "minLength",
        value.as_str().and_then(|s| count(s.chars().count())),
        true,
    );
    bound(
        "maxItems",
        value.as_array().and_then(|a| count(a.len())),
        false,
    );
    bound(
        "maxProperties",
        value.as_object().and_then(|o| count(o.len())),
        false,
    );
    bound("maximum", value.as_f64(), false);
    bound("minimum", value.as_f64(), true);
    if let (Some(pattern), Some(text)) = (schema["pattern"].as_str(), value.as_str())
        && !Regex::new(pattern).unwrap().is_match(text)
    {
        out.push(format!("{path}: does not match {pattern}"));
    }
    if let Some(object) = value.as_object() {
        for required in schema["required"].as_array().into_iter().flatten() {
            if !object.contains_key(required.as_str().unwrap()) {
                out.push(format!("{path}: {required} is required"));
            }
        }
        for (name, member) in object {
            let member_schema = match &schema["properties"][name] {
                Value::Null => &schema["additionalProperties"],
                found => found,
            };
            if member_schema.is_object() && path != "/metadata" && name != "metadata" {
                structural(member_schema, member, &format!("{path}/{name}"), out);
            }
        }
    }
    if let Some(items) = value.as_array() {
        for (index, item) in items.iter().enumerate() {
            structural(&schema["items"], item, &format!("{path}/{index}"), out);
        }
        let keys: Vec<String> = items
            .iter()
            .map(
                |item| match schema["x-kubernetes-list-map-keys"].as_array() {
                    Some(names) => names
                        .iter()
                        .map(|name| item[name.as_str().unwrap()].to_string())
                        .collect(),
                    None => item.to_string(),
                },
            )
            .collect();
        let unique = matches!(
            schema["x-kubernetes-list-type"].as_str(),
            Some("map" | "set")
        );
        for (index, key) in keys.iter().enumerate() {
            if unique && keys[..index].contains(key) {
                out.push(format!("{path}: duplicate {key}"));
            }
        }
    }
}
