//! What a cluster checks in the built-in kinds beyond the types of their fields.
//!
//! Of the types of Secrets, only the keys that each must have.

use crate::object::Object;
use crate::resource::Resource;
use crate::schema::FieldError;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::{Map, Value};

/// All values of a ConfigMap or Secret together; encoded ones count as what they stand for.
const MAX_DATA_BYTES: usize = 1024 * 1024;
const MAX_KEY: usize = 253;
const TEXTS: &str = "data";
const BYTES: &str = "binaryData";
/// The keys that a Secret of a type must have.
const SECRET_KEYS: [(&str, &[&str]); 4] = [
    ("kubernetes.io/tls", &["tls.crt", "tls.key"]),
    ("kubernetes.io/ssh-auth", &["ssh-privatekey"]),
    ("kubernetes.io/dockercfg", &[".dockercfg"]),
    ("kubernetes.io/dockerconfigjson", &[".dockerconfigjson"]),
];

/// Every problem of an object of a built-in kind; `old` is its state before an update.
pub(crate) fn validate(
    resource: &Resource,
    object: &Object,
    old: Option<&Object>,
) -> Vec<FieldError> {
    let mut errors = Vec::new();
    match resource.kind.as_str() {
        "ConfigMap" => {
            let texts = check_keys(object, TEXTS, &mut errors, str::len);
            let bytes = check_keys(object, BYTES, &mut errors, decoded_len);
            check_size(texts + bytes, &mut errors);
            for key in fields(object, BYTES).map(|(key, _)| key) {
                if fields(object, TEXTS).any(|(other, _)| other == key) {
                    let why = format!("duplicate of key present in {TEXTS}");
                    errors.push(FieldError::invalid(entry(BYTES, key), &shown(key), &why));
                }
            }
            check_frozen(object, old, &[TEXTS, BYTES], &mut errors);
        }
        "Secret" => {
            let bytes = check_keys(object, TEXTS, &mut errors, decoded_len);
            check_size(bytes, &mut errors);
            check_secret_type(object, old, &mut errors);
            check_frozen(object, old, &[TEXTS], &mut errors);
        }
        "Lease" => check_lease(object, &mut errors),
        "Event" => check_event(object, &mut errors),
        _ => {}
    }
    errors
}

fn fields<'a>(object: &'a Object, field: &str) -> impl Iterator<Item = (&'a String, &'a Value)> {
    let map = object.rest.get(field).and_then(Value::as_object);
    map.into_iter().flat_map(Map::iter)
}

fn entry(field: &str, key: &str) -> String {
    format!("{field}[{key}]")
}

fn shown(text: &str) -> Value {
    Value::from(text)
}

fn decoded_len(text: &str) -> usize {
    BASE64.decode(text).map_or(0, |bytes| bytes.len())
}

/// Checks the keys of a map and adds up its values.
fn check_keys(
    object: &Object,
    field: &str,
    errors: &mut Vec<FieldError>,
    len: impl Fn(&str) -> usize,
) -> usize {
    let mut size = 0;
    for (key, value) in fields(object, field) {
        let is_valid = (1..=MAX_KEY).contains(&key.len())
            && !matches!(key.as_str(), "." | "..")
            && !key.starts_with("..")
            && key
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'));
        if !is_valid {
            let why = "a valid config key must consist of alphanumeric characters, '-', '_' or '.'";
            errors.push(FieldError::invalid(entry(field, key), &shown(key), why));
        }
        size += value.as_str().map_or(0, &len);
    }
    size
}

fn check_size(size: usize, errors: &mut Vec<FieldError>) {
    if size > MAX_DATA_BYTES {
        let limit = format!("may not be more than {MAX_DATA_BYTES} bytes");
        errors.push(FieldError::too_long(TEXTS.to_owned(), &limit));
    }
}

/// What says that it is immutable stays as it is.
fn check_frozen(
    object: &Object,
    old: Option<&Object>,
    names: &[&str],
    errors: &mut Vec<FieldError>,
) {
    let Some(old) = old.filter(|old| old.rest.get("immutable") == Some(&Value::Bool(true))) else {
        return;
    };
    for name in ["immutable"].iter().chain(names) {
        if object.rest.get(*name) != old.rest.get(*name) {
            let why = "field is immutable when `immutable` is set";
            errors.push(FieldError::forbidden((*name).to_owned(), why));
        }
    }
}

fn check_secret_type(object: &Object, old: Option<&Object>, errors: &mut Vec<FieldError>) {
    let found = object.rest.get("type");
    if let (Some(old), Some(found)) = (old.and_then(|old| old.rest.get("type")), found)
        && old != found
    {
        let error = FieldError::invalid("type".to_owned(), found, "field is immutable");
        errors.push(error);
    }
    let found = found.and_then(Value::as_str);
    for (_, keys) in SECRET_KEYS.iter().filter(|(kind, _)| found == Some(*kind)) {
        for wanted in *keys {
            if !fields(object, TEXTS).any(|(key, _)| key == wanted) {
                errors.push(FieldError::required(entry(TEXTS, wanted), ""));
            }
        }
    }
}

fn check_lease(object: &Object, errors: &mut Vec<FieldError>) {
    let spec = |field: &str| object.rest.get("spec").and_then(|spec| spec.get(field));
    for (field, least, why) in [
        ("leaseDurationSeconds", 1, "must be greater than 0"),
        ("leaseTransitions", 0, "must be greater than or equal to 0"),
    ] {
        if let Some(value) = spec(field)
            && value.as_i64().is_some_and(|number| number < least)
        {
            errors.push(FieldError::invalid(format!("spec.{field}"), value, why));
        }
    }
}

/// An event is where the object is that it tells about; cluster-wide ones are in `default`.
fn check_event(object: &Object, errors: &mut Vec<FieldError>) {
    for field in ["involvedObject", "regarding"] {
        let Some(about) = object.rest.get(field) else {
            continue;
        };
        let found = about.get("namespace").and_then(Value::as_str).unwrap_or("");
        let expected = object.meta.namespace.as_deref().unwrap_or("");
        if found != expected && !(found.is_empty() && expected == "default") {
            let why = "does not match event.namespace";
            let path = format!("{field}.namespace");
            errors.push(FieldError::invalid(path, &shown(found), why));
        }
    }
}
