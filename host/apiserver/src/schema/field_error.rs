//! One problem with one field, in the words of an API server.

use crate::status_error::Cause;
use serde_json::Value;

/// More problems than these help nobody.
pub(crate) const MAX_ERRORS: usize = 50;
/// A value in a message is cut after so many characters.
const MAX_SHOWN: usize = 256;

/// A problem with one field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct FieldError {
    pub(crate) field: String,
    reason: &'static str,
    message: String,
}

impl FieldError {
    pub(crate) fn required(field: String, detail: &str) -> Self {
        Self::new(field, "FieldValueRequired", "Required value", detail)
    }

    pub(crate) fn invalid(field: String, value: &Value, detail: &str) -> Self {
        let head = format!("Invalid value: {}", shown(value));
        Self::new(field, "FieldValueInvalid", &head, detail)
    }

    pub(crate) fn invalid_type(field: String, value: &Value, detail: &str) -> Self {
        let head = format!("Invalid value: {}", shown(value));
        Self::new(field, "FieldValueTypeInvalid", &head, detail)
    }

    pub(crate) fn not_supported(field: String, value: &Value, allowed: &[Value]) -> Self {
        let allowed: Vec<String> = allowed.iter().map(shown).collect();
        let head = format!("Unsupported value: {}", shown(value));
        let detail = format!("supported values: {}", allowed.join(", "));
        Self::new(field, "FieldValueNotSupported", &head, &detail)
    }

    pub(crate) fn duplicate(field: String, value: &Value) -> Self {
        let head = format!("Duplicate value: {}", shown(value));
        Self::new(field, "FieldValueDuplicate", &head, "")
    }

    pub(crate) fn forbidden(field: String, detail: &str) -> Self {
        Self::new(field, "FieldValueForbidden", "Forbidden", detail)
    }

    pub(crate) fn too_long(field: String, detail: &str) -> Self {
        Self::new(field, "FieldValueTooLong", "Too long", detail)
    }

    pub(crate) fn too_many(field: String, count: usize, limit: usize) -> Self {
        let head = format!("Too many: {count}");
        Self::new(
            field,
            "FieldValueTooMany",
            &head,
            &format!("must have at most {limit} items"),
        )
    }

    fn new(field: String, reason: &'static str, head: &str, detail: &str) -> Self {
        let message = if detail.is_empty() {
            head.to_owned()
        } else {
            format!("{head}: {detail}")
        };
        Self {
            field,
            reason,
            message,
        }
    }

    pub(crate) fn into_cause(self) -> Cause {
        Cause {
            reason: self.reason,
            field: self.field,
            message: self.message,
        }
    }
}

fn shown(value: &Value) -> String {
    let text = match value {
        // Like a cluster: the kind of a composite value, not its content.
        Value::Object(_) => "\"object\"".to_owned(),
        Value::Array(_) => "\"array\"".to_owned(),
        other => other.to_string(),
    };
    if text.chars().count() > MAX_SHOWN {
        text.chars().take(MAX_SHOWN).chain("…".chars()).collect()
    } else {
        text
    }
}

/// Appends a property to a path.
pub(crate) fn child(path: &str, name: &str) -> String {
    if path.is_empty() {
        name.to_owned()
    } else {
        format!("{path}.{name}")
    }
}

/// Appends a map's key to a path.
pub(crate) fn entry(path: &str, key: &str) -> String {
    format!("{path}[{key}]")
}

/// Appends a list's index to a path.
pub(crate) fn item(path: &str, index: usize) -> String {
    format!("{path}[{index}]")
}
