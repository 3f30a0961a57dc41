//! Which plugins there are to load: those that entries list, the built-in that every host has, and
//! folders that no entry lists.

use crate::config::{GrantsConfig, HostConfig, PluginEntry, Source, StoreGrantConfig};
use crate::package::Pin;
use crate::stamp::Stamp;
use crate::world::World;
use opendepot_domain::PluginId;
use serde_json::Value;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// The built-in that every host has.
const STORAGE_FS: &str = "storage-fs";
/// What the store `file:///` is matched by.
const FILE_STORE: &str = "file:///";
/// Where unlisted policies stand in their chain.
pub(crate) const UNLISTED_ORDER: i64 = 1000;
/// The most subfolders of a plugin folder that are looked at.
const MAX_SUBFOLDERS: usize = 256;

/// Where a candidate's files are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// In this folder.
    Folder(PathBuf),
    /// To be pulled first.
    Oci(String),
}

/// What an entry, or the lack of one, says about a plugin: everything but its files.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Candidate {
    /// Its name in this host; of an unlisted folder its `plugin.yaml` says it.
    pub(crate) name: Option<PluginId>,
    pub(crate) place: Place,
    /// For people.
    pub(crate) source: String,
    pub(crate) pin: Pin,
    pub(crate) order: i64,
    pub(crate) settings: Value,
    pub(crate) grants: GrantsConfig,
    /// The world to assume when the plugin does not get as far as telling; none for a folder
    /// that nobody asked for.
    pub(crate) presumed: Option<World>,
}

/// What a plugin was made from. The same origin need not be loaded again.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Origin {
    pub(crate) candidate: Candidate,
    pub(crate) stamp: Stamp,
}

/// All candidates: entries in their order, then the rest. Blocking.
pub(crate) fn all(config: &HostConfig) -> Vec<Candidate> {
    let mut candidates: Vec<Candidate> = config
        .entries
        .iter()
        .map(|entry| of_entry(config, entry))
        .collect();
    let is_listed = |name: &str| config.entries.iter().any(|e| e.name.as_str() == name);
    if let Ok(name) = PluginId::new(STORAGE_FS)
        && !is_listed(STORAGE_FS)
    {
        let entry = PluginEntry {
            source: Source::Builtin(name.clone()),
            name,
            sha256: None,
            order: 100,
            settings: Value::Null,
            grants: GrantsConfig::default(),
        };
        candidates.push(of_entry(config, &entry));
    }
    let listed = listed_folders(config);
    for dir in &config.plugin_dirs {
        candidates.extend(subfolders(dir, &listed).into_iter().map(unlisted));
    }
    candidates
}

fn of_entry(config: &HostConfig, entry: &PluginEntry) -> Candidate {
    let mut settings = entry.settings.clone();
    let mut grants = entry.grants.clone();
    let (place, source, pin) = match &entry.source {
        Source::Oci(reference) => (
            Place::Oci(reference.clone()),
            format!("oci {}", crate::text::cut(reference, 300)),
            Pin::Required(entry.sha256),
        ),
        Source::Folder(folder) => (
            Place::Folder(folder.clone()),
            format!("folder {}", folder.display()),
            Pin::Required(entry.sha256),
        ),
        Source::Builtin(builtin) => {
            if builtin.as_str() == STORAGE_FS {
                complete_storage_fs(config, &mut settings, &mut grants);
            }
            (
                Place::Folder(config.builtin_dir.join(builtin.as_str())),
                format!("builtin {builtin}"),
                Pin::Optional(entry.sha256),
            )
        }
    };
    Candidate {
        name: Some(entry.name.clone()),
        place,
        source,
        pin,
        order: entry.order,
        settings,
        grants,
        presumed: Some(presumed_world(entry)),
    }
}

fn unlisted(folder: PathBuf) -> Candidate {
    Candidate {
        name: None,
        source: format!("unlisted folder {}", folder.display()),
        place: Place::Folder(folder),
        pin: Pin::Unlisted,
        order: UNLISTED_ORDER,
        settings: Value::Null,
        grants: GrantsConfig::default(),
        presumed: None,
    }
}

/// The file system's defaults, where the operator's entry leaves them out.
fn complete_storage_fs(config: &HostConfig, settings: &mut Value, grants: &mut GrantsConfig) {
    if settings.is_null() {
        *settings = Value::Object(serde_json::Map::new());
    }
    if let Value::Object(settings) = settings {
        let root = config.filesystem_root.to_string_lossy().into_owned();
        settings.entry("root").or_insert(Value::String(root));
    }
    if grants.stores.is_empty() {
        grants.stores.push(StoreGrantConfig {
            pattern: FILE_STORE.to_owned(),
            endpoint: None,
            region: None,
            options: Default::default(),
            credentials: None,
        });
    }
}

fn listed_folders(config: &HostConfig) -> Vec<PathBuf> {
    let entries = config.entries.iter();
    entries
        .filter_map(|entry| match &entry.source {
            Source::Folder(folder) => Some(folder.clone()),
            Source::Builtin(_) | Source::Oci(_) => None,
        })
        .collect()
}

fn subfolders(dir: &Path, listed: &[PathBuf]) -> Vec<PathBuf> {
    let resolve = |path: &Path| std::fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let listed: BTreeSet<PathBuf> = listed.iter().map(|path| resolve(path)).collect();
    let Ok(entries) = std::fs::read_dir(dir) else {
        tracing::debug!("no plugin folder `{}`", dir.display());
        return Vec::new();
    };
    let mut folders: Vec<PathBuf> = entries
        .flatten()
        // Kubernetes keeps its atomic updates in dotted folders.
        .filter(|entry| !entry.file_name().to_string_lossy().starts_with('.'))
        .map(|entry| entry.path())
        .filter(|path| path.is_dir() && !listed.contains(&resolve(path)))
        .collect();
    folders.sort();
    if folders.len() > MAX_SUBFOLDERS {
        tracing::debug!(
            "only the first {MAX_SUBFOLDERS} folders of `{}` are looked at",
            dir.display()
        );
        folders.truncate(MAX_SUBFOLDERS);
    }
    folders
}

/// The world to assume of an entry whose plugin cannot be read. In doubt it is a policy: one that
/// is listed and cannot be asked must deny, not be left out.
fn presumed_world(entry: &PluginEntry) -> World {
    let grants = &entry.grants;
    let name = match &entry.source {
        Source::Builtin(name) => name.as_str(),
        Source::Folder(_) | Source::Oci(_) => entry.name.as_str(),
    };
    let is_storage = !grants.stores.is_empty()
        || !grants.hosts.is_empty()
        || !grants.credentials.is_empty()
        || !grants.secrets.is_empty()
        || grants.create_containers
        || name.starts_with("storage-");
    if is_storage {
        World::Storage
    } else if grants.judge_findings || name.starts_with("scan-") {
        World::Scan
    } else {
        World::Auth
    }
}
