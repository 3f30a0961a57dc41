//! Conditions of requests.

use super::bucket::Object;
use super::{Refusal, refuse};
use http::header::{HeaderMap, IF_MATCH, IF_NONE_MATCH};

/// For changes: the generation that an object must have, 0 for none.
pub(super) fn of_change(headers: &HeaderMap, object: Option<&Object>) -> Result<(), Refusal> {
    let generations = [
        (
            "x-goog-if-generation-match",
            object.map(|object| object.generation),
        ),
        (
            "x-goog-if-metageneration-match",
            object.map(|object| object.metageneration),
        ),
    ];
    for (name, actual) in generations {
        let Some(value) = headers.get(name) else {
            continue;
        };
        let wanted: u64 = value
            .to_str()
            .ok()
            .and_then(|text| text.parse().ok())
            .ok_or_else(|| refuse(400, "InvalidArgument", name))?;
        if wanted != actual.unwrap_or(0) {
            return Err(failed());
        }
    }
    Ok(())
}

/// For reads: also the tag that an object must have or must not have.
pub(super) fn of_read(headers: &HeaderMap, object: &Object) -> Result<(), Refusal> {
    of_change(headers, Some(object))?;
    let tags = |name| {
        let value = headers.get(name)?.to_str().ok()?;
        Some(
            value
                .split(',')
                .any(|tag| tag.trim() == "*" || tag.trim() == object.etag),
        )
    };
    if tags(IF_MATCH) == Some(false) {
        return Err(failed());
    }
    if tags(IF_NONE_MATCH) == Some(true) {
        return Err(refuse(304, "NotModified", ""));
    }
    Ok(())
}

fn failed() -> Refusal {
    refuse(412, "PreconditionFailed", "")
}
