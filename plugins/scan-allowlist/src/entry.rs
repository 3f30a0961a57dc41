//! The accepted findings, as the operator wrote them.

use opendepot_plugin_sdk::Artifact;
use opendepot_plugin_sdk::date::Date;
use opendepot_plugin_sdk::name::Names;
use opendepot_plugin_sdk::scan::{Error, Finding};
use opendepot_plugin_sdk::settings::{self, Object, shown};
use std::collections::BTreeMap;

const MAX_ENTRIES: usize = 1000;
const MAX_ID_BYTES: usize = 128;
const MAX_PACKAGE_BYTES: usize = 512;
const MAX_REASON_BYTES: usize = 512;

/// One accepted finding.
#[derive(Debug)]
pub(crate) struct Entry {
    id: String,
    reason: String,
    /// The last day on which it counts.
    pub(crate) expires: Date,
    package: Option<String>,
    names: Names,
}

impl Entry {
    /// Why a finding does not count.
    pub(crate) fn reason_with_date(&self) -> String {
        format!("accepted until {}: {}", self.expires, self.reason)
    }

    fn concerns(&self, artifact: &Artifact, finding: &Finding) -> bool {
        let package = self.package.as_ref();
        package.is_none_or(|package| *package == finding.package)
            && self
                .names
                .matches(&artifact.namespace, &artifact.kind, &artifact.name)
    }
}

/// All accepted findings, by id.
#[derive(Debug)]
pub(crate) struct Accepted(BTreeMap<String, Vec<Entry>>);

impl Accepted {
    /// Parses and checks the settings.
    pub(crate) fn read(text: &str) -> Result<Self, Error> {
        let entries: Vec<Entry> = settings::read(text, |root| {
            root.deny_unknown(&["accepted"]);
            root.few_objects("accepted", MAX_ENTRIES)
                .iter()
                .filter_map(read_entry)
                .collect()
        })?;
        let mut accepted: BTreeMap<String, Vec<Entry>> = BTreeMap::new();
        for entry in entries {
            accepted.entry(key(&entry.id)).or_default().push(entry);
        }
        Ok(Self(accepted))
    }

    /// The entry for this finding of this artifact that lasts longest.
    pub(crate) fn longest(&self, artifact: &Artifact, finding: &Finding) -> Option<&Entry> {
        let entries = self.0.get(&key(&finding.id))?;
        entries
            .iter()
            .filter(|entry| entry.concerns(artifact, finding))
            .max_by_key(|entry| entry.expires)
    }
}

/// Identifiers of the same finding differ in case from one database to another.
fn key(id: &str) -> String {
    id.to_ascii_lowercase()
}

/// Nothing only where there is a problem.
fn read_entry(entry: &Object<'_>) -> Option<Entry> {
    const KEYS: [&str; 4] = ["id", "reason", "expires", "package"];
    entry.deny_unknown(&[KEYS.as_slice(), &Names::KEYS].concat());
    let id = entry.line("id", MAX_ID_BYTES);
    let reason = entry.line("reason", MAX_REASON_BYTES);
    let expires = entry.required_text("expires").and_then(|text| {
        Date::parse(text)
            .map_err(|reason| entry.problem("expires", format!("`{}`: {reason}", shown(text))))
            .ok()
    });
    let package = entry
        .has("package")
        .then(|| entry.line("package", MAX_PACKAGE_BYTES));
    Some(Entry {
        names: Names::read(entry),
        id: id?.to_owned(),
        reason: reason?.to_owned(),
        expires: expires?,
        package: match package {
            Some(package) => Some(package?.to_owned()),
            None => None,
        },
    })
}
