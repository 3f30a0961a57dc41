//! Which kinds are served: the built-in ones and those of the resource definitions.

use crate::builtin::{self, Codec};
use crate::error::Error;
use crate::schema::Schema;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

/// A field that field selectors may name beyond name and namespace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Selectable {
    /// As selectors write it: `spec.type`.
    pub(crate) name: String,
    /// Its segments.
    pub(crate) path: Vec<String>,
}

impl Selectable {
    pub(crate) fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            path: name.split('.').map(str::to_owned).collect(),
        }
    }

    /// The field's value as selectors compare it; empty when absent.
    pub(crate) fn value_of(&self, object: &Value) -> String {
        let mut at = object;
        for segment in &self.path {
            match at.get(segment) {
                Some(next) => at = next,
                None => return String::new(),
            }
        }
        match at {
            Value::String(text) => text.clone(),
            Value::Bool(flag) => flag.to_string(),
            Value::Number(number) => number.to_string(),
            _ => String::new(),
        }
    }
}

/// How the body of a kind is checked.
#[derive(Debug)]
pub(crate) enum Body {
    /// By its typed definition.
    Builtin(Codec),
    /// By the schema of its definition.
    Custom(Box<Schema>),
}

/// One served kind.
#[derive(Debug)]
pub(crate) struct Resource {
    pub(crate) group: String,
    pub(crate) version: String,
    pub(crate) kind: String,
    pub(crate) list_kind: String,
    pub(crate) plural: String,
    pub(crate) singular: String,
    pub(crate) short_names: Vec<String>,
    pub(crate) categories: Vec<String>,
    pub(crate) is_namespaced: bool,
    /// Whether `/status` exists.
    pub(crate) has_status: bool,
    /// Whether a PUT may leave resourceVersion out.
    pub(crate) allows_unconditional_update: bool,
    pub(crate) selectable: Vec<Selectable>,
    pub(crate) body: Body,
}

impl Resource {
    /// `group/version`, or `v1` for the core group.
    pub(crate) fn api_version(&self) -> String {
        if self.group.is_empty() {
            self.version.clone()
        } else {
            format!("{}/{}", self.group, self.version)
        }
    }

    /// `plural.group`, as error messages name it.
    pub(crate) fn qualified(&self) -> String {
        if self.group.is_empty() {
            self.plural.clone()
        } else {
            format!("{}.{}", self.plural, self.group)
        }
    }

    /// `Kind.group`, as validation messages name it.
    pub(crate) fn qualified_kind(&self) -> String {
        if self.group.is_empty() {
            self.kind.clone()
        } else {
            format!("{}.{}", self.kind, self.group)
        }
    }

    pub(crate) fn is_namespace(&self) -> bool {
        self.group.is_empty() && self.kind == "Namespace"
    }

    pub(crate) fn is_event(&self) -> bool {
        self.kind == "Event" && matches!(self.group.as_str(), "" | "events.k8s.io")
    }
}

/// Every served kind, and the definitions as they are read back.
#[derive(Debug)]
pub(crate) struct Registry {
    resources: Vec<Arc<Resource>>,
    by_route: HashMap<(String, String, String), Arc<Resource>>,
    by_kind: HashMap<(String, String), Arc<Resource>>,
    by_storage: HashMap<(String, String), Arc<Resource>>,
    pub(crate) namespaces: Arc<Resource>,
    pub(crate) definitions: BTreeMap<String, Value>,
}

impl Registry {
    /// # Errors
    /// [`Error::Definition`] naming the first definition that cannot be served.
    pub(crate) fn new(crds: &[CustomResourceDefinition]) -> Result<Self, Error> {
        let namespaces = Arc::new(builtin::namespace());
        let mut resources = vec![Arc::clone(&namespaces)];
        resources.extend(builtin::namespaced().into_iter().map(Arc::new));
        let mut definitions = BTreeMap::new();
        for crd in crds {
            let resource = from_definition(crd)?;
            let name = format!("{}.{}", resource.plural, resource.group);
            let refuse = |message: String| Error::Definition {
                name: name.clone(),
                message,
            };
            if resources.iter().any(|other| {
                other.group == resource.group
                    && (other.plural == resource.plural || other.kind == resource.kind)
            }) {
                return Err(refuse("its kind or plural is served already".to_owned()));
            }
            let mut value = serde_json::to_value(crd).map_err(|error| refuse(error.to_string()))?;
            complete_definition(&mut value, &name, &resource);
            definitions.insert(name, value);
            resources.push(Arc::new(resource));
        }
        let key = |r: &Arc<Resource>| (r.group.clone(), r.version.clone(), r.plural.clone());
        Ok(Self {
            by_route: resources.iter().map(|r| (key(r), Arc::clone(r))).collect(),
            by_kind: resources
                .iter()
                .map(|r| ((r.group.clone(), r.kind.clone()), Arc::clone(r)))
                .collect(),
            by_storage: resources
                .iter()
                .map(|r| ((r.group.clone(), r.plural.clone()), Arc::clone(r)))
                .collect(),
            resources,
            namespaces,
            definitions,
        })
    }

    pub(crate) fn all(&self) -> &[Arc<Resource>] {
        &self.resources
    }

    pub(crate) fn by_route(
        &self,
        group: &str,
        version: &str,
        plural: &str,
    ) -> Option<&Arc<Resource>> {
        self.by_route
            .get(&(group.to_owned(), version.to_owned(), plural.to_owned()))
    }

    /// Finds a kind by `apiVersion` and `kind`; the version must be the served one.
    pub(crate) fn by_kind(&self, api_version: &str, kind: &str) -> Option<&Arc<Resource>> {
        let (group, version) = api_version.rsplit_once('/').unwrap_or(("", api_version));
        self.by_kind
            .get(&(group.to_owned(), kind.to_owned()))
            .filter(|resource| resource.version == version)
    }

    /// Finds an owner's kind; any version of its group will do.
    pub(crate) fn owner_kind(&self, api_version: &str, kind: &str) -> Option<&Arc<Resource>> {
        let group = api_version.rsplit_once('/').map_or("", |(group, _)| group);
        self.by_kind.get(&(group.to_owned(), kind.to_owned()))
    }

    pub(crate) fn by_storage(&self, group: &str, plural: &str) -> Option<&Arc<Resource>> {
        self.by_storage.get(&(group.to_owned(), plural.to_owned()))
    }

    /// Group to version, core group left out.
    pub(crate) fn groups(&self) -> BTreeMap<String, BTreeSet<String>> {
        let mut groups: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for resource in &self.resources {
            if !resource.group.is_empty() {
                groups
                    .entry(resource.group.clone())
                    .or_default()
                    .insert(resource.version.clone());
            }
        }
        groups
            .entry("apiextensions.k8s.io".to_owned())
            .or_default()
            .insert("v1".to_owned());
        groups
    }
}

fn from_definition(crd: &CustomResourceDefinition) -> Result<Resource, Error> {
    let names = &crd.spec.names;
    let name = format!("{}.{}", names.plural, crd.spec.group);
    let refuse = |message: String| Error::Definition {
        name: name.clone(),
        message,
    };
    let mut served = crd.spec.versions.iter().filter(|version| version.served);
    let (Some(version), None) = (served.next(), served.next()) else {
        return Err(refuse(
            "exactly one served version is supported, there is no conversion".to_owned(),
        ));
    };
    let schema = version
        .schema
        .as_ref()
        .and_then(|schema| schema.open_api_v3_schema.as_ref())
        .ok_or_else(|| refuse("it has no schema".to_owned()))?;
    let schema = serde_json::to_value(schema).map_err(|error| refuse(error.to_string()))?;
    let schema = Schema::compile(&schema).map_err(&refuse)?;
    let is_namespaced = match crd.spec.scope.as_str() {
        "Namespaced" => true,
        "Cluster" => false,
        other => return Err(refuse(format!("`{other}` is not a scope"))),
    };
    let selectable = version
        .selectable_fields
        .iter()
        .flatten()
        .map(|field| Selectable::new(field.json_path.trim_start_matches('.')))
        .collect();
    Ok(Resource {
        group: crd.spec.group.clone(),
        version: version.name.clone(),
        kind: names.kind.clone(),
        list_kind: names
            .list_kind
            .clone()
            .unwrap_or_else(|| format!("{}List", names.kind)),
        plural: names.plural.clone(),
        singular: names
            .singular
            .clone()
            .unwrap_or_else(|| names.kind.to_lowercase()),
        short_names: names.short_names.clone().unwrap_or_default(),
        categories: names.categories.clone().unwrap_or_default(),
        is_namespaced,
        has_status: version
            .subresources
            .as_ref()
            .is_some_and(|subresources| subresources.status.is_some()),
        allows_unconditional_update: false,
        selectable,
        body: Body::Custom(Box::new(schema)),
    })
}

/// Adds what a cluster adds once it serves a definition, so that clients that wait for
/// `Established` go on.
fn complete_definition(value: &mut Value, name: &str, resource: &Resource) {
    let Some(object) = value.as_object_mut() else {
        return;
    };
    let metadata = object
        .entry("metadata")
        .or_insert_with(|| Value::Object(serde_json::Map::new()));
    if let Some(metadata) = metadata.as_object_mut() {
        metadata.insert("name".to_owned(), Value::from(name));
        metadata.insert("resourceVersion".to_owned(), Value::from("1"));
        metadata.insert("generation".to_owned(), Value::from(1));
    }
    let condition = |kind: &str| {
        serde_json::json!({"type": kind, "status": "True", "reason": kind,
            "lastTransitionTime": "1970-01-01T00:00:00Z", "message": "served by the embedded control plane"})
    };
    object.insert(
        "status".to_owned(),
        serde_json::json!({
            "acceptedNames": {"kind": resource.kind, "listKind": resource.list_kind, "plural": resource.plural,
                "singular": resource.singular, "shortNames": resource.short_names, "categories": resource.categories},
            "conditions": [condition("NamesAccepted"), condition("Established")],
            "storedVersions": [resource.version],
        }),
    );
}
