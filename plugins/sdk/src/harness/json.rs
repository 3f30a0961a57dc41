//! Values as the command `opendepot plugin run` reads and writes them: records are objects with
//! the names of the WIT text, a case is its name or, with a payload, `{"name": payload}`, bytes
//! are base64 text, and an option that is absent is `null`.

use crate::artifact::{Artifact, ArtifactKind, Attribute, Problem};
use serde_json::{Value, json};

/// What can be an argument.
pub(super) trait ToJson {
    fn to_json(&self) -> Value;
}

/// What can be an answer.
pub(super) trait FromJson: Sized {
    /// Why it is none, when the host's answer is of another shape.
    fn from_json(value: &Value) -> Result<Self, String>;
}

/// An answer of a shape that no host of this version gives.
pub(super) fn unexpected(wanted: &str, value: &Value) -> String {
    format!("expected {wanted}, found `{value}`; are binary and SDK of the same version?")
}

/// The member `name` of a record.
pub(super) fn field<T: FromJson>(value: &Value, name: &str) -> Result<T, String> {
    T::from_json(value.get(name).unwrap_or(&Value::Null))
        .map_err(|error| format!("`{name}`: {error}"))
}

/// A variant's case and its payload; `null` for none.
pub(super) fn case(value: &Value) -> Result<(&str, &Value), String> {
    match value {
        Value::String(name) => Ok((name, &Value::Null)),
        Value::Object(members) => match members.iter().next() {
            Some((name, payload)) if members.len() == 1 => Ok((name, payload)),
            _ => Err(unexpected("one case", value)),
        },
        _ => Err(unexpected("a case", value)),
    }
}

/// A case that carries a text, as the open sets end in.
pub(super) fn text_case(name: &str, text: &str) -> Value {
    json!({ name: text })
}

impl<T: ToJson> ToJson for [T] {
    fn to_json(&self) -> Value {
        self.iter().map(ToJson::to_json).collect()
    }
}

impl FromJson for () {
    fn from_json(value: &Value) -> Result<Self, String> {
        match value {
            Value::Null => Ok(()),
            _ => Err(unexpected("nothing", value)),
        }
    }
}

impl FromJson for String {
    fn from_json(value: &Value) -> Result<Self, String> {
        let text = value.as_str().ok_or_else(|| unexpected("text", value))?;
        Ok(text.to_owned())
    }
}

impl FromJson for u64 {
    fn from_json(value: &Value) -> Result<Self, String> {
        value
            .as_u64()
            .ok_or_else(|| unexpected("a whole number", value))
    }
}

macro_rules! smaller_numbers {
    ($($number:ty),*) => {$(
        impl FromJson for $number {
            fn from_json(value: &Value) -> Result<Self, String> {
                u64::from_json(value)?
                    .try_into()
                    .map_err(|_| unexpected("a smaller number", value))
            }
        }
    )*};
}

smaller_numbers!(u16, u32);

impl<T: FromJson> FromJson for Vec<T> {
    fn from_json(value: &Value) -> Result<Self, String> {
        let entries = value
            .as_array()
            .ok_or_else(|| unexpected("a list", value))?;
        entries.iter().map(T::from_json).collect()
    }
}

impl<T: FromJson> FromJson for Option<T> {
    fn from_json(value: &Value) -> Result<Self, String> {
        match value {
            Value::Null => Ok(None),
            value => T::from_json(value).map(Some),
        }
    }
}

impl ToJson for Attribute {
    fn to_json(&self) -> Value {
        json!({ "name": self.name, "value": self.value })
    }
}

impl FromJson for Attribute {
    fn from_json(value: &Value) -> Result<Self, String> {
        Ok(Self {
            name: field(value, "name")?,
            value: field(value, "value")?,
        })
    }
}

impl FromJson for Problem {
    fn from_json(value: &Value) -> Result<Self, String> {
        Ok(Self {
            path: field(value, "path")?,
            message: field(value, "message")?,
        })
    }
}

impl ToJson for ArtifactKind {
    fn to_json(&self) -> Value {
        match self {
            Self::Other(name) => text_case("other", name),
            known => known.as_str().into(),
        }
    }
}

impl ToJson for Artifact {
    fn to_json(&self) -> Value {
        json!({
            "namespace": self.namespace,
            "kind": self.kind.to_json(),
            "name": self.name,
            "version": self.version,
            "os": self.os,
            "arch": self.arch,
            "file-name": self.file_name,
            "media-type": self.media_type,
            "size": self.size,
            "sha256": self.sha256,
            "attributes": self.attributes.to_json(),
        })
    }
}
