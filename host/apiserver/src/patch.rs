//! JSON merge patch and JSON patch. Others are refused by name.

use crate::status_error::ApiError;
use serde_json::Value;

/// A JSON patch may have this many operations, as in a cluster.
const MAX_OPERATIONS: usize = 10_000;

/// A parsed patch.
#[derive(Clone, Debug)]
pub(crate) enum Patch {
    Merge(Value),
    Json(json_patch::Patch),
}

impl Patch {
    /// # Errors
    /// `UnsupportedMediaType` for server-side apply, strategic merge and unknown types;
    /// `BadRequest` when the body is not a patch of its type.
    pub(crate) fn parse(content_type: &str, body: &[u8]) -> Result<Self, ApiError> {
        let media = content_type.split(';').next().unwrap_or_default().trim();
        let broken = |error: serde_json::Error| {
            ApiError::bad_request(format!("error decoding patch: {error}"))
        };
        match media {
            "application/merge-patch+json" => {
                let patch: Value = serde_json::from_slice(body).map_err(broken)?;
                if !patch.is_object() {
                    return Err(ApiError::bad_request(
                        "error decoding patch: a merge patch must be a JSON object",
                    ));
                }
                Ok(Self::Merge(patch))
            }
            "application/json-patch+json" => {
                let operations: Vec<Value> = serde_json::from_slice(body).map_err(broken)?;
                if operations.len() > MAX_OPERATIONS {
                    return Err(ApiError::too_large(&format!(
                        "the allowed maximum operations in a JSON patch is {MAX_OPERATIONS}"
                    )));
                }
                serde_json::from_value(Value::Array(operations))
                    .map(Self::Json)
                    .map_err(|error| rejected(&error))
            }
            "application/apply-patch+yaml" | "application/apply-patch+cbor" => {
                Err(ApiError::unsupported_media_type(
                    "server-side apply is not supported by the embedded control plane; use application/merge-patch+json or application/json-patch+json",
                ))
            }
            other => Err(ApiError::unsupported_media_type(format!(
                "the body of the request was in an unknown format `{other}` - accepted media types include: application/json-patch+json, application/merge-patch+json"
            ))),
        }
    }

    /// # Errors
    /// `Invalid` when a JSON patch does not fit the object.
    pub(crate) fn apply(self, mut object: Value) -> Result<Value, ApiError> {
        match self {
            Self::Merge(patch) => json_patch::merge(&mut object, &patch),
            Self::Json(patch) => {
                json_patch::patch(&mut object, &patch).map_err(|error| rejected(&error))?;
            }
        }
        Ok(object)
    }
}

fn rejected(error: &dyn std::fmt::Display) -> ApiError {
    ApiError::unprocessable(format!(
        "the server rejected our request due to an error in our request: {error}"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn kinds_of_patches() {
        let refused = |kind: &str, body: &str| {
            Patch::parse(kind, body.as_bytes())
                .unwrap_err()
                .code
                .as_u16()
        };
        assert_eq!(refused("application/apply-patch+yaml", "{}"), 415);
        assert_eq!(refused("application/strategic-merge-patch+json", "{}"), 415);
        assert_eq!(refused("", "{}"), 415);
        assert_eq!(refused("application/merge-patch+json", "[]"), 400);
        assert_eq!(refused("application/json-patch+json", "{}"), 400);
        assert_eq!(
            refused(
                "application/json-patch+json",
                r#"[{"op":"swap","path":"/a"}]"#
            ),
            422
        );
        let merge = Patch::parse(
            "application/merge-patch+json; charset=utf-8",
            br#"{"a":null,"b":2}"#,
        )
        .unwrap();
        assert_eq!(merge.apply(json!({"a": 1})).unwrap(), json!({"b": 2}));
        let test = Patch::parse(
            "application/json-patch+json",
            br#"[{"op":"test","path":"/a","value":2}]"#,
        )
        .unwrap();
        assert_eq!(test.apply(json!({"a": 1})).unwrap_err().code.as_u16(), 422);
    }
}
