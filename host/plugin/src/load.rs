//! From configuration to guests: reads, pins, compiles, links, validates. A plugin that fails
//! poisons only itself, and never by being left out: a listed policy that fails denies.

use crate::breaker::{Breaker, BreakerState};
use crate::call::{Caller, Identity};
use crate::config::{GrantsConfig, HostConfig, PluginEntry, Source, StoreGrantConfig};
use crate::engine;
use crate::error::{Error, LoadError};
use crate::grants::Grants;
use crate::info::{PluginInfo, PluginState};
use crate::link::{Linkers, mismatch, pre};
use crate::loaded::{Link, Loaded};
use crate::manifest::Needs;
use crate::metric::{self, Usage};
use crate::package::{self, Pin};
use crate::v0_1::auth::AuthPluginPre;
use crate::v0_1::scan::ScanPluginPre;
use crate::v0_1::storage::StoragePluginPre;
use crate::world::{World, WorldError};
use opendepot_domain::{PluginId, Sha256};
use serde_json::Value;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio::sync::Semaphore;
use wasmtime::component::Component;

/// The built-in that every host has.
const STORAGE_FS: &str = "storage-fs";
/// What the store `file:///` is matched by.
const FILE_STORE: &str = "file:///";
/// Where unlisted policies stand in their chain.
const UNLISTED_ORDER: i64 = 1000;
/// The most subfolders of a plugin folder that are looked at.
const MAX_SUBFOLDERS: usize = 256;

pub(crate) struct Loader<'a> {
    caller: &'a Caller,
    config: &'a HostConfig,
    linkers: Linkers,
}

/// A plugin to be loaded.
struct Candidate {
    name: PluginId,
    folder: PathBuf,
    source: String,
    pin: Pin,
    order: i64,
    settings: Value,
    grants: GrantsConfig,
    /// The world to assume when the plugin does not get as far as telling.
    presumed: World,
}

/// What was read from disk and compiled.
struct Prepared {
    component: Component,
    settings: Arc<str>,
}

impl<'a> Loader<'a> {
    pub(crate) fn new(caller: &'a Caller, config: &'a HostConfig) -> Result<Self, Error> {
        let linkers =
            Linkers::new(&caller.engine).map_err(|error| Error::Engine(format!("{error:#}")))?;
        Ok(Self {
            caller,
            config,
            linkers,
        })
    }

    /// Loads everything.
    pub(crate) async fn load(&self) -> Result<Loaded, Error> {
        let mut names = BTreeSet::new();
        for entry in &self.config.entries {
            if !names.insert(&entry.name) {
                return Err(Error::DuplicateEntry(entry.name.clone()));
            }
        }
        let mut loaded = Loaded {
            generation: 1,
            ..Loaded::default()
        };
        for entry in &self.config.entries {
            match self.candidate(entry) {
                Ok(candidate) => self.admit(&mut loaded, candidate).await,
                Err(error) => {
                    let Source::Oci(reference) = &entry.source else {
                        continue;
                    };
                    let info = blank(&entry.name, format!("oci {reference}"), entry.order);
                    fail(&mut loaded, info, presumed_world(entry), error);
                }
            }
        }
        if let Ok(name) = PluginId::new(STORAGE_FS)
            && !names.contains(&name)
        {
            let entry = default_entry(name);
            if let Ok(candidate) = self.candidate(&entry) {
                self.admit(&mut loaded, candidate).await;
            }
        }
        self.load_unlisted(&mut loaded).await;
        loaded.sort();
        Ok(loaded)
    }

    fn candidate(&self, entry: &PluginEntry) -> Result<Candidate, LoadError> {
        let mut settings = entry.settings.clone();
        let mut grants = entry.grants.clone();
        let (folder, source, pin) = match &entry.source {
            Source::Oci(reference) => {
                return Err(LoadError::Oci(crate::text::cut(reference, 200)));
            }
            Source::Folder(folder) => (
                folder.clone(),
                format!("folder {}", folder.display()),
                Pin::Required(entry.sha256),
            ),
            Source::Builtin(builtin) => {
                if builtin.as_str() == STORAGE_FS {
                    self.complete_storage_fs(&mut settings, &mut grants);
                }
                (
                    self.config.builtin_dir.join(builtin.as_str()),
                    format!("builtin {builtin}"),
                    Pin::Optional(entry.sha256),
                )
            }
        };
        Ok(Candidate {
            name: entry.name.clone(),
            folder,
            source,
            pin,
            order: entry.order,
            settings,
            grants,
            presumed: presumed_world(entry),
        })
    }

    /// The file system's defaults, where the operator's entry leaves them out.
    fn complete_storage_fs(&self, settings: &mut Value, grants: &mut GrantsConfig) {
        if settings.is_null() {
            *settings = Value::Object(serde_json::Map::new());
        }
        if let Value::Object(settings) = settings {
            let root = self.config.filesystem_root.to_string_lossy().into_owned();
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

    /// Loads one candidate into its world, or notes why not.
    async fn admit(&self, loaded: &mut Loaded, candidate: Candidate) {
        let mut info = blank(&candidate.name, candidate.source.clone(), candidate.order);
        // What is missing is the folder's plugin, whatever the entry calls it.
        let folder = candidate.folder.file_name().and_then(|name| name.to_str());
        let builtin = folder
            .and_then(|name| PluginId::new(name).ok())
            .unwrap_or_else(|| candidate.name.clone());
        let (presumed, is_builtin) = (
            candidate.presumed,
            matches!(candidate.pin, Pin::Optional(_)),
        );
        if let Err(error) = self.try_admit(loaded, candidate, &mut info).await {
            let world = info.world.unwrap_or(presumed);
            let error = match error {
                LoadError::Read { source, .. }
                    if is_builtin && source.kind() == std::io::ErrorKind::NotFound =>
                {
                    LoadError::MissingBuiltin(builtin)
                }
                other => other,
            };
            fail(loaded, info, world, error);
        }
    }

    async fn try_admit(
        &self,
        loaded: &mut Loaded,
        candidate: Candidate,
        info: &mut PluginInfo,
    ) -> Result<(), LoadError> {
        let Prepared {
            component,
            settings,
        } = self.prepare(&candidate, info).await?;
        let grants = Grants::new(&candidate.grants, &info.needs)?;
        info.grants = grants.summary();
        let name: Arc<str> = Arc::from(candidate.name.as_str());
        let digest = info.digest.map(|d| d.to_string()).unwrap_or_default();
        let identity = Arc::new(Identity {
            id: candidate.name.clone(),
            usage: Usage::of(&name),
            name,
            digest,
            grants,
            permits: Arc::new(Semaphore::new(self.caller.limits.num_instances_of_one())),
            breaker: Breaker::new(
                self.caller.limits.breaker_faults,
                self.caller.limits.breaker_pause,
            ),
        });
        let (id, order) = (candidate.name.clone(), candidate.order);
        let Some(world) = info.world else {
            return Ok(());
        };
        match world {
            World::Storage => {
                let pre = StoragePluginPre::new(pre(&self.linkers.storage, &component)?);
                let pre = pre.map_err(mismatch)?;
                let guest = self
                    .caller
                    .load_storage(Arc::clone(&identity), settings, pre);
                let guest = Ok(Arc::new(guest.await?));
                loaded.storage.insert(id.clone(), Link { id, order, guest });
            }
            World::Auth => {
                let pre = AuthPluginPre::new(pre(&self.linkers.auth, &component)?);
                let pre = pre.map_err(mismatch)?;
                let guest = self.caller.load_auth(Arc::clone(&identity), settings, pre);
                let guest = Ok(Arc::new(guest.await?));
                loaded.auth.push(Link { id, order, guest });
            }
            World::Scan => {
                let pre = ScanPluginPre::new(pre(&self.linkers.scan, &component)?);
                let pre = pre.map_err(mismatch)?;
                let guest = self.caller.load_scan(Arc::clone(&identity), settings, pre);
                let guest = Ok(Arc::new(guest.await?));
                loaded.scan.push(Link { id, order, guest });
            }
        }
        metric::loaded(&identity.name, &identity.digest, world.as_str());
        metric::breaker(&identity.name, false);
        tracing::info!(
            plugin.name = &*identity.name,
            plugin.digest = identity.digest.as_str(),
            plugin.world = world.as_str(),
            "loaded {world} plugin `{}` from {}",
            identity.name,
            info.source
        );
        info.state = PluginState::Serving;
        loaded.infos.push(info.clone());
        Ok(())
    }

    /// Reads, pins and compiles off the async threads; fills `info` as far as it gets.
    async fn prepare(
        &self,
        candidate: &Candidate,
        info: &mut PluginInfo,
    ) -> Result<Prepared, LoadError> {
        let (folder, pin) = (candidate.folder.clone(), candidate.pin);
        let limit = self.caller.limits.component_bytes;
        let read = blocking(move || {
            let manifest = package::read_manifest(&folder)?;
            let component = package::read_component(&folder, &manifest, limit);
            Ok((manifest, component))
        });
        let (manifest, component) = read.await?;
        info.version = Some(manifest.metadata.version.clone());
        info.needs = manifest.spec.needs.clone();
        info.world = Some(manifest.spec.world);
        let (bytes, digest) = component?;
        info.digest = Some(digest);
        info.size_bytes = Some(bytes.len() as u64);
        package::check_pin(pin, digest)?;
        let settings = package::merge_settings(&manifest.spec.settings, &candidate.settings)?;
        let engine = self.caller.engine.clone();
        let component =
            blocking(move || engine::compile(&engine, &bytes).map_err(LoadError::Compile)).await?;
        let of_type = component.component_type();
        let imports = of_type.imports(&self.caller.engine);
        info.imports = imports
            .map(|(name, _)| crate::text::cut(name, 120))
            .collect();
        let exported = World::of(&self.caller.engine, &component)?;
        if exported != manifest.spec.world {
            return Err(LoadError::World(WorldError::Declared {
                declared: manifest.spec.world,
                exported,
            }));
        }
        Ok(Prepared {
            component,
            settings: settings.into(),
        })
    }

    /// Folders that no entry lists: loaded without grants, or named with what would list them.
    async fn load_unlisted(&self, loaded: &mut Loaded) {
        for dir in &self.config.plugin_dirs {
            let (dir, listed) = (dir.clone(), self.listed_folders());
            let folders = blocking(move || Ok(subfolders(&dir, &listed))).await;
            for folder in folders.unwrap_or_default() {
                self.admit_unlisted(loaded, folder).await;
            }
        }
    }

    async fn admit_unlisted(&self, loaded: &mut Loaded, folder: PathBuf) {
        let limit = self.caller.limits.component_bytes;
        let own = folder.clone();
        let read = blocking(move || {
            let manifest = package::read_manifest(&own)?;
            let (_, digest) = package::read_component(&own, &manifest, limit)?;
            Ok((manifest, digest))
        });
        let (manifest, digest) = match read.await {
            Ok(read) => read,
            Err(error) => {
                tracing::warn!("ignored `{}`, not a plugin: {error}", folder.display());
                return;
            }
        };
        let name = manifest.metadata.name.clone();
        let source = format!("unlisted folder {}", folder.display());
        let refused = if loaded.has(&name) {
            Some(LoadError::NameTaken(name.clone()))
        } else if self.config.policy.allow_unlisted {
            None
        } else {
            Some(LoadError::Unlisted(digest))
        };
        if let Some(error) = refused {
            // Nobody asked for it, so it has no place in a chain.
            let mut info = blank(&name, source, UNLISTED_ORDER);
            info.version = Some(manifest.metadata.version);
            info.world = Some(manifest.spec.world);
            info.digest = Some(digest);
            info.needs = manifest.spec.needs;
            note_failure(loaded, info, &error);
            return;
        }
        tracing::warn!(
            plugin.name = name.as_str(),
            plugin.digest = %digest,
            "plugin `{name}` is not listed and gets no grants"
        );
        let candidate = Candidate {
            name,
            folder,
            source,
            pin: Pin::Unlisted,
            order: UNLISTED_ORDER,
            settings: Value::Null,
            grants: GrantsConfig::default(),
            presumed: manifest.spec.world,
        };
        self.admit(loaded, candidate).await;
    }

    fn listed_folders(&self) -> Vec<PathBuf> {
        self.config
            .entries
            .iter()
            .filter_map(|entry| match &entry.source {
                Source::Folder(folder) => Some(folder.clone()),
                Source::Builtin(_) | Source::Oci(_) => None,
            })
            .collect()
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, LoadError> + Send + 'static,
) -> Result<T, LoadError> {
    tokio::task::spawn_blocking(work)
        .await
        .unwrap_or_else(|_| Err(LoadError::Compile("the compiler panicked".to_owned())))
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
        tracing::warn!(
            "only the first {MAX_SUBFOLDERS} folders of `{}` are looked at",
            dir.display()
        );
        folders.truncate(MAX_SUBFOLDERS);
    }
    folders
}

fn default_entry(name: PluginId) -> PluginEntry {
    PluginEntry {
        source: Source::Builtin(name.clone()),
        name,
        sha256: None,
        order: 100,
        settings: Value::Null,
        grants: GrantsConfig::default(),
    }
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

fn blank(name: &PluginId, source: String, order: i64) -> PluginInfo {
    PluginInfo {
        name: name.clone(),
        version: None,
        world: None,
        digest: None::<Sha256>,
        size_bytes: None,
        imports: Vec::new(),
        source,
        order,
        needs: Needs::default(),
        grants: Vec::new(),
        state: PluginState::Failed("not loaded".to_owned()),
        breaker: BreakerState::Closed,
    }
}

/// Gives a failed plugin its place, from which it denies.
fn fail(loaded: &mut Loaded, info: PluginInfo, world: World, error: LoadError) {
    let (id, order) = (info.name.clone(), info.order);
    let reason = error.to_string();
    match world {
        World::Storage => {
            let guest = Err(reason);
            loaded.storage.insert(id.clone(), Link { id, order, guest });
        }
        World::Auth => loaded.auth.push(Link {
            id,
            order,
            guest: Err(reason),
        }),
        World::Scan => loaded.scan.push(Link {
            id,
            order,
            guest: Err(reason),
        }),
    }
    note_failure(loaded, info, &error);
}

fn note_failure(loaded: &mut Loaded, mut info: PluginInfo, error: &LoadError) {
    tracing::error!(
        plugin.name = info.name.as_str(),
        "cannot load plugin `{}` from {}: {error}",
        info.name,
        info.source
    );
    info.state = PluginState::Failed(error.to_string());
    loaded.infos.push(info);
}
