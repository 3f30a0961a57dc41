//! `GroupBinding`: which groups may read which modules and providers.

use crate::limits;
use crate::schema;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{CustomResource, KubeSchema};
use serde::{Deserialize, Serialize};

/// A grant to everybody whose groups satisfy the expression.
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[kube(
    group = "opendepot.defdev.io",
    version = "v1alpha1",
    kind = "GroupBinding",
    plural = "groupbindings",
    singular = "groupbinding",
    shortname = "gb",
    category = "opendepot",
    namespaced,
    derive = "Default",
    derive = "PartialEq",
    status = "GroupBindingStatus",
    doc = "A GroupBinding lets those whose groups satisfy its expression read what it lists.",
    printcolumn(
        name = "Accepted",
        type_ = "string",
        json_path = r#".status.conditions[?(@.type=="Accepted")].status"#
    ),
    printcolumn(
        name = "Reason",
        type_ = "string",
        json_path = r#".status.conditions[?(@.type=="Accepted")].reason"#
    ),
    printcolumn(
        name = "Expression",
        type_ = "string",
        json_path = ".spec.expression",
        priority = 1
    ),
    printcolumn(
        name = "Age",
        type_ = "date",
        json_path = ".metadata.creationTimestamp"
    )
)]
pub struct GroupBindingSpec {
    /// An expression over `groups`, such as `"platform" in groups`.
    #[schemars(length(min = 1, max = 4096))]
    pub expression: String,
    /// Globs over module names.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "module_resources")]
    pub module_resources: Vec<String>,
    /// Provider names, or `*`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "provider_resources")]
    pub provider_resources: Vec<String>,
    /// Globs over namespaces; absent means all of them, an empty list none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "namespaces")]
    pub namespaces: Option<Vec<String>>,
}

fn globs(description: &str) -> schemars::Schema {
    schemars::json_schema!({
        "type": "array",
        "description": description,
        "maxItems": limits::BINDING_RESOURCES,
        "x-kubernetes-list-type": "atomic",
        "items": { "type": "string", "minLength": 1, "maxLength": 253 },
    })
}

fn module_resources(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    globs("Globs over module names.")
}

fn provider_resources(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    globs("Provider names, or `*`.")
}

fn namespaces(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    globs("Globs over namespaces; absent means all of them, an empty list none.")
}

/// Whether the binding is in force.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct GroupBindingStatus {
    /// The generation that this status is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = limits::GENERATION))]
    pub observed_generation: Option<i64>,
    /// The latest observations.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "schema::conditions")]
    pub conditions: Vec<Condition>,
}
