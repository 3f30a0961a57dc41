//! Which statuses of the server mean what.

use opendepot_plugin_sdk::settings::Object;
use std::ops::RangeInclusive;

const MAX_STATUSES: usize = 16;
const SUCCESS: RangeInclusive<u64> = 200..=299;
const FAILURE: RangeInclusive<u64> = 400..=499;

/// The lists of the host's contract, by operation.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Statuses {
    pub(crate) put: Vec<u16>,
    /// For `head` too.
    pub(crate) get: Vec<u16>,
    pub(crate) delete: Vec<u16>,
    pub(crate) exists: Vec<u16>,
    pub(crate) missing: Vec<u16>,
}

impl Default for Statuses {
    fn default() -> Self {
        Self {
            put: vec![200, 201, 204],
            get: vec![200],
            delete: vec![200, 202, 204],
            exists: vec![412],
            missing: vec![404, 410],
        }
    }
}

impl Statuses {
    /// Reads the setting `statuses`; what it does not name stays as it is.
    pub(crate) fn read(object: &Object<'_>) -> Self {
        object.deny_unknown(&["put", "get", "delete", "exists", "missing"]);
        let list = |key: &str, within: &RangeInclusive<u64>, default: Vec<u16>| {
            statuses(object, key, within).unwrap_or(default)
        };
        let default = Self::default();
        let statuses = Self {
            put: list("put", &SUCCESS, default.put),
            get: list("get", &SUCCESS, default.get),
            delete: list("delete", &SUCCESS, default.delete),
            exists: list("exists", &FAILURE, default.exists),
            missing: list("missing", &FAILURE, default.missing),
        };
        for (key, list) in [
            ("put", &statuses.put),
            ("get", &statuses.get),
            ("delete", &statuses.delete),
        ] {
            if list.is_empty() {
                object.problem(key, "must name at least one status");
            }
        }
        if let Some(both) = statuses
            .exists
            .iter()
            .find(|s| statuses.missing.contains(s))
        {
            object.problem("exists", format!("{both} is in `missing` too"));
        }
        statuses
    }
}

fn statuses(object: &Object<'_>, key: &str, within: &RangeInclusive<u64>) -> Option<Vec<u16>> {
    let entries = object.list(key)?;
    if entries.len() > MAX_STATUSES {
        object.problem(key, format!("more than {MAX_STATUSES} entries"));
        return None;
    }
    let mut found = Vec::with_capacity(entries.len());
    for (path, entry) in entries {
        let status = entry.as_u64().filter(|status| within.contains(status));
        match status.and_then(|status| u16::try_from(status).ok()) {
            Some(status) => found.push(status),
            None => {
                let (least, most) = (within.start(), within.end());
                object.problem_at(path, format!("must be a status from {least} to {most}"));
            }
        }
    }
    Some(found)
}
