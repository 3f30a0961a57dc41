//! Schema parts that several types share.

use crate::limits;
use schemars::{Schema, SchemaGenerator, json_schema};

/// `status.conditions`: a list-map by type with bounds, which the upstream type lacks.
pub(crate) fn conditions(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "array",
        "description": "The latest observations of the object's state.",
        "maxItems": limits::CONDITIONS,
        "x-kubernetes-list-type": "map",
        "x-kubernetes-list-map-keys": ["type"],
        "items": {
            "type": "object",
            "required": ["type", "status", "lastTransitionTime", "reason", "message"],
            "properties": {
                "type": { "type": "string", "maxLength": 316, "minLength": 1 },
                "status": { "type": "string", "enum": ["True", "False", "Unknown"] },
                "observedGeneration": { "type": "integer", "format": "int64", "minimum": 0, "maximum": limits::GENERATION },
                "lastTransitionTime": { "type": "string", "format": "date-time", "maxLength": 64 },
                "reason": { "type": "string", "maxLength": 128, "minLength": 1, "pattern": "^[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?$" },
                "message": { "type": "string", "maxLength": 32_768 }
            }
        }
    })
}

/// A list of text values that are all different.
pub(crate) fn text_set(description: &str, items: u32, item: Schema) -> Schema {
    json_schema!({
        "type": "array",
        "description": description,
        "maxItems": items,
        "x-kubernetes-list-type": "set",
        "items": item,
    })
}

/// A text with a pattern.
pub(crate) fn text(chars: u32, pattern: &str) -> Schema {
    json_schema!({ "type": "string", "maxLength": chars, "pattern": pattern })
}
