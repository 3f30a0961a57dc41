//! The finished CustomResourceDefinitions.

use crate::error::Error;
use crate::{Depot, GroupBinding, Module, Provider, Version};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    CustomResourceDefinition, JSONSchemaProps, JSONSchemaPropsOrArray, JSONSchemaPropsOrBool,
};
use kube::CustomResourceExt;

/// The definitions, in the order in which `opendepot crds` prints them.
///
/// What the derived schemas have too much is taken out: `nullable` (a null where a rule says
/// `has()` would pass as set), defaults that only say "empty", and number formats that the API
/// server does not know.
#[must_use]
pub fn all() -> Vec<CustomResourceDefinition> {
    [
        Depot::crd(),
        GroupBinding::crd(),
        Module::crd(),
        Provider::crd(),
        Version::crd(),
    ]
    .into_iter()
    .map(finish)
    .collect()
}

/// The definitions as one YAML stream; the same bytes on every call.
///
/// # Errors
/// [`Error::Yaml`] when the serialiser fails, which means a fault of ours.
pub fn to_yaml() -> Result<String, Error> {
    let mut stream = String::new();
    for crd in all() {
        let name = crd.metadata.name.clone().unwrap_or_default();
        let failed = |reason: String| Error::Yaml {
            name: name.clone(),
            reason,
        };
        // Through a JSON value: its maps are sorted, so the bytes depend on the content alone.
        let value = serde_json::to_value(&crd).map_err(|error| failed(error.to_string()))?;
        let text = serde_saphyr::to_string(&value).map_err(|error| failed(error.to_string()))?;
        stream.push_str("---\n");
        stream.push_str(text.trim_start_matches("---\n"));
        if !stream.ends_with('\n') {
            stream.push('\n');
        }
    }
    Ok(stream)
}

fn finish(mut crd: CustomResourceDefinition) -> CustomResourceDefinition {
    for version in &mut crd.spec.versions {
        if let Some(schema) = version
            .schema
            .as_mut()
            .and_then(|validation| validation.open_api_v3_schema.as_mut())
        {
            clean(schema);
        }
    }
    crd
}

fn clean(schema: &mut JSONSchemaProps) {
    schema.nullable = None;
    schema.title = None;
    if schema.default.as_ref().is_some_and(|value| {
        matches!(
            &value.0,
            serde_json::Value::Null | serde_json::Value::Bool(false)
        ) || value.0.as_str() == Some("")
            || value.0.as_array().is_some_and(Vec::is_empty)
            || value.0.as_object().is_some_and(serde_json::Map::is_empty)
    }) {
        schema.default = None;
    }
    if matches!(schema.format.as_deref(), Some("uint64" | "uint32")) {
        schema.format = Some("int64".to_owned());
    }
    for property in schema
        .properties
        .iter_mut()
        .flat_map(|map| map.values_mut())
    {
        clean(property);
    }
    match &mut schema.items {
        Some(JSONSchemaPropsOrArray::Schema(items)) => clean(items),
        Some(JSONSchemaPropsOrArray::Schemas(items)) => items.iter_mut().for_each(clean),
        None => {}
    }
    if let Some(JSONSchemaPropsOrBool::Schema(values)) = &mut schema.additional_properties {
        clean(values);
    }
}
