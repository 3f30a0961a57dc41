//! From `openAPIV3Schema` to a tree that is cheap to walk.

use super::cel::Rules;
use super::field_error::child;
use regex::Regex;
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// Deeper schemas are refused; kube-cel stops at the same depth.
const MAX_DEPTH: usize = 64;
/// A compiled pattern may take this many bytes.
const MAX_PATTERN_BYTES: usize = 1 << 20;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Type {
    Object,
    Array,
    String,
    Integer,
    Number,
    Boolean,
}

impl Type {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Object => "object",
            Self::Array => "array",
            Self::String => "string",
            Self::Integer => "integer",
            Self::Number => "number",
            Self::Boolean => "boolean",
        }
    }
}

/// What keys other than the named properties may hold.
#[derive(Debug)]
pub(super) enum Additional {
    /// Nothing: they are dropped.
    None,
    /// Anything.
    Any,
    /// Values of a schema.
    Schema(Box<Node>),
}

/// How the items of a list are told apart.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum ListType {
    Atomic,
    Set,
    Map(Vec<String>),
}

/// One node of a schema.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) kind: Option<Type>,
    pub(super) is_nullable: bool,
    pub(super) is_int_or_string: bool,
    pub(super) preserves_unknown: bool,
    pub(super) is_embedded: bool,
    pub(super) properties: BTreeMap<String, Self>,
    pub(super) additional: Additional,
    pub(super) items: Option<Box<Self>>,
    pub(super) list_type: ListType,
    pub(super) required: Vec<String>,
    pub(super) default: Option<Value>,
    pub(super) limits: Limits,
    pub(super) all_of: Vec<Self>,
    pub(super) any_of: Vec<Self>,
    pub(super) one_of: Vec<Self>,
    pub(super) not: Option<Box<Self>>,
    pub(super) rules: Rules,
    /// Whether this node or one below it has rules.
    pub(super) has_rules: bool,
}

/// The value checks of a node.
#[derive(Debug, Default)]
pub(super) struct Limits {
    pub(super) enumeration: Option<Vec<Value>>,
    pub(super) pattern: Option<Regex>,
    pub(super) format: Option<String>,
    pub(super) minimum: Option<(f64, Bound)>,
    pub(super) maximum: Option<(f64, Bound)>,
    pub(super) multiple_of: Option<f64>,
    pub(super) min_length: Option<usize>,
    pub(super) max_length: Option<usize>,
    pub(super) min_items: Option<usize>,
    pub(super) max_items: Option<usize>,
    pub(super) unique_items: Option<()>,
    pub(super) min_properties: Option<usize>,
    pub(super) max_properties: Option<usize>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Bound {
    Inclusive,
    Exclusive,
}

fn flag(schema: &Map<String, Value>, key: &str) -> bool {
    schema.get(key).and_then(Value::as_bool).unwrap_or(false)
}

fn size(schema: &Map<String, Value>, key: &str) -> Option<usize> {
    schema
        .get(key)
        .and_then(Value::as_u64)
        .map(|number| usize::try_from(number).unwrap_or(usize::MAX))
}

fn strings(schema: &Map<String, Value>, key: &str) -> Vec<String> {
    schema
        .get(key)
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(|value| value.as_str().map(str::to_owned))
        .collect()
}

fn bound(schema: &Map<String, Value>, key: &str, exclusive: &str) -> Option<(f64, Bound)> {
    let limit = schema.get(key).and_then(Value::as_f64)?;
    let bound = if flag(schema, exclusive) {
        Bound::Exclusive
    } else {
        Bound::Inclusive
    };
    Some((limit, bound))
}

impl Limits {
    fn compile(schema: &Map<String, Value>, path: &str) -> Result<Self, String> {
        let pattern = match schema.get("pattern").and_then(Value::as_str) {
            Some(text) => Some(
                regex::RegexBuilder::new(text)
                    .size_limit(MAX_PATTERN_BYTES)
                    .build()
                    .map_err(|error| {
                        format!("the pattern `{text}` at `{path}` is not usable: {error}")
                    })?,
            ),
            None => None,
        };
        Ok(Self {
            enumeration: schema.get("enum").and_then(Value::as_array).cloned(),
            pattern,
            format: schema
                .get("format")
                .and_then(Value::as_str)
                .map(str::to_owned),
            minimum: bound(schema, "minimum", "exclusiveMinimum"),
            maximum: bound(schema, "maximum", "exclusiveMaximum"),
            multiple_of: schema.get("multipleOf").and_then(Value::as_f64),
            min_length: size(schema, "minLength"),
            max_length: size(schema, "maxLength"),
            min_items: size(schema, "minItems"),
            max_items: size(schema, "maxItems"),
            unique_items: flag(schema, "uniqueItems").then_some(()),
            min_properties: size(schema, "minProperties"),
            max_properties: size(schema, "maxProperties"),
        })
    }
}

impl Node {
    pub(super) fn compile(schema: &Value, path: &str, depth: usize) -> Result<Self, String> {
        if depth > MAX_DEPTH {
            return Err(format!(
                "the schema at `{path}` is nested deeper than {MAX_DEPTH} levels"
            ));
        }
        let Some(map) = schema.as_object() else {
            return Err(format!("the schema at `{path}` is not an object"));
        };
        if map.contains_key("$ref") {
            return Err(format!("the schema at `{path}` uses `$ref`"));
        }
        let kind = match map.get("type").and_then(Value::as_str) {
            None => None,
            Some("object") => Some(Type::Object),
            Some("array") => Some(Type::Array),
            Some("string") => Some(Type::String),
            Some("integer") => Some(Type::Integer),
            Some("number") => Some(Type::Number),
            Some("boolean") => Some(Type::Boolean),
            Some(other) => return Err(format!("`{other}` at `{path}` is not a type")),
        };
        let mut properties = BTreeMap::new();
        for (name, property) in map
            .get("properties")
            .and_then(Value::as_object)
            .into_iter()
            .flatten()
        {
            let node = Self::compile(property, &child(path, name), depth + 1)?;
            properties.insert(name.clone(), node);
        }
        let additional = match map.get("additionalProperties") {
            None | Some(Value::Null | Value::Bool(false)) => Additional::None,
            Some(Value::Bool(true)) => Additional::Any,
            Some(schema) => Additional::Schema(Box::new(Self::compile(schema, path, depth + 1)?)),
        };
        let items = match map.get("items") {
            None | Some(Value::Null) => None,
            Some(schema) => Some(Box::new(Self::compile(schema, path, depth + 1)?)),
        };
        let list_type = match map
            .get("x-kubernetes-list-type")
            .and_then(Value::as_str)
            .unwrap_or("atomic")
        {
            "atomic" => ListType::Atomic,
            "set" => ListType::Set,
            "map" => ListType::Map(strings(map, "x-kubernetes-list-map-keys")),
            other => return Err(format!("`{other}` at `{path}` is not a list type")),
        };
        let branches = |key: &str| -> Result<Vec<Self>, String> {
            map.get(key)
                .and_then(Value::as_array)
                .into_iter()
                .flatten()
                .map(|schema| Self::compile(schema, path, depth + 1))
                .collect()
        };
        let not = match map.get("not") {
            None | Some(Value::Null) => None,
            Some(schema) => Some(Box::new(Self::compile(schema, path, depth + 1)?)),
        };
        let rules = Rules::compile(schema, path)?;
        let has_rules = !rules.is_empty()
            || properties.values().any(|node| node.has_rules)
            || items.as_ref().is_some_and(|node| node.has_rules)
            || matches!(&additional, Additional::Schema(node) if node.has_rules);
        Ok(Self {
            kind,
            is_nullable: flag(map, "nullable"),
            is_int_or_string: flag(map, "x-kubernetes-int-or-string"),
            preserves_unknown: flag(map, "x-kubernetes-preserve-unknown-fields"),
            is_embedded: flag(map, "x-kubernetes-embedded-resource"),
            properties,
            additional,
            items,
            list_type,
            required: strings(map, "required"),
            default: map.get("default").filter(|value| !value.is_null()).cloned(),
            limits: Limits::compile(map, path)?,
            all_of: branches("allOf")?,
            any_of: branches("anyOf")?,
            one_of: branches("oneOf")?,
            not,
            rules,
            has_rules,
        })
    }

    /// The schema of one key of an object.
    pub(super) fn property(&self, key: &str) -> Option<&Self> {
        self.properties.get(key).or(match &self.additional {
            Additional::Schema(node) => Some(node),
            Additional::None | Additional::Any => None,
        })
    }

    /// Whether keys without a schema stay.
    pub(super) fn keeps_unknown(&self) -> bool {
        self.preserves_unknown || matches!(self.additional, Additional::Any)
    }
}

/// The item of `old` that `new` continues: by key for a list map, by value for nothing else.
pub(super) fn correlate<'a>(
    node: &Node,
    new: &Value,
    old: Option<&'a Vec<Value>>,
) -> Option<&'a Value> {
    match &node.list_type {
        ListType::Map(keys) => {
            let id = map_key(node, keys, new);
            old?.iter().find(|item| map_key(node, keys, item) == id)
        }
        ListType::Set => old?.iter().find(|item| *item == new),
        ListType::Atomic => None,
    }
}

/// The key of one item of a list map; defaults stand in for absent parts.
pub(super) fn map_key<'a>(
    node: &'a Node,
    keys: &[String],
    item: &'a Value,
) -> Vec<Option<&'a Value>> {
    keys.iter()
        .map(|key| {
            item.get(key).or_else(|| {
                node.items
                    .as_ref()
                    .and_then(|items| items.properties.get(key))
                    .and_then(|property| property.default.as_ref())
            })
        })
        .collect()
}
