//! What the server is and what it serves.

use super::path::Page;
use crate::resource::{Registry, Resource};
use crate::status_error::ApiError;
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// The API level that is claimed.
const MAJOR: &str = "1";
const MINOR: &str = "33";
const VERBS: [&str; 8] = [
    "create",
    "delete",
    "deletecollection",
    "get",
    "list",
    "patch",
    "update",
    "watch",
];

pub(super) fn answer(registry: &Registry, page: &Page) -> Result<Value, ApiError> {
    match page {
        Page::Version => Ok(json!({
            "major": MAJOR, "minor": MINOR,
            "gitVersion": format!("v{MAJOR}.{MINOR}.0+opendepot.{}", env!("CARGO_PKG_VERSION")),
            "gitCommit": "", "gitTreeState": "", "buildDate": "1970-01-01T00:00:00Z", "goVersion": "",
            "compiler": "rustc", "platform": format!("{}/{}", std::env::consts::OS, std::env::consts::ARCH),
        })),
        Page::Health => Ok(json!("ok")),
        Page::CoreVersions => Ok(json!({
            "kind": "APIVersions", "versions": ["v1"], "serverAddressByClientCIDRs": [],
        })),
        Page::Groups => {
            let groups: Vec<Value> = registry
                .groups()
                .iter()
                .map(|(name, versions)| group(name, versions))
                .collect();
            Ok(json!({"kind": "APIGroupList", "apiVersion": "v1", "groups": groups}))
        }
        Page::Group(name) => {
            let groups = registry.groups();
            let versions = groups.get(name).ok_or_else(ApiError::no_route)?;
            let mut value = group(name, versions);
            if let Some(object) = value.as_object_mut() {
                object.insert("kind".to_owned(), json!("APIGroup"));
                object.insert("apiVersion".to_owned(), json!("v1"));
            }
            Ok(value)
        }
        Page::Resources { group, version } => resources(registry, group, version),
        Page::Definition(name) => registry
            .definitions
            .get(name)
            .cloned()
            .ok_or_else(ApiError::no_route),
        // A list, answered in `definitions.rs`.
        Page::Definitions => Err(ApiError::no_route()),
    }
}

fn group(name: &str, versions: &BTreeSet<String>) -> Value {
    let versions: Vec<Value> = versions
        .iter()
        .rev()
        .map(|version| json!({"groupVersion": format!("{name}/{version}"), "version": version}))
        .collect();
    json!({"name": name, "preferredVersion": versions.first(), "versions": versions})
}

fn resources(registry: &Registry, group: &str, version: &str) -> Result<Value, ApiError> {
    let mut entries = Vec::new();
    for resource in registry.all() {
        if resource.group == group && resource.version == version {
            entries.push(entry(resource));
            if resource.has_status {
                entries.push(json!({
                    "name": format!("{}/status", resource.plural), "singularName": "",
                    "namespaced": resource.is_namespaced, "kind": resource.kind,
                    "verbs": ["get", "patch", "update"],
                }));
            }
        }
    }
    if group == "apiextensions.k8s.io" && version == "v1" {
        entries.push(json!({
            "name": "customresourcedefinitions", "singularName": "customresourcedefinition",
            "namespaced": false, "kind": "CustomResourceDefinition", "verbs": ["get", "list"],
            "shortNames": ["crd", "crds"],
        }));
    }
    if entries.is_empty() {
        return Err(ApiError::no_route());
    }
    let group_version = if group.is_empty() {
        version.to_owned()
    } else {
        format!("{group}/{version}")
    };
    Ok(json!({
        "kind": "APIResourceList", "apiVersion": "v1",
        "groupVersion": group_version, "resources": entries,
    }))
}

fn entry(resource: &Resource) -> Value {
    let mut value = json!({
        "name": resource.plural, "singularName": resource.singular,
        "namespaced": resource.is_namespaced, "kind": resource.kind, "verbs": VERBS,
    });
    if let Some(object) = value.as_object_mut() {
        if !resource.short_names.is_empty() {
            object.insert("shortNames".to_owned(), json!(resource.short_names));
        }
        if !resource.categories.is_empty() {
            object.insert("categories".to_owned(), json!(resource.categories));
        }
    }
    value
}
