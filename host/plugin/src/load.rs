//! From a candidate to a guest: reads, pins, compiles, links, validates. A plugin that fails
//! poisons only itself, and never by being left out: a listed policy that fails denies.

use crate::auth::AuthGuest;
use crate::breaker::{Breaker, BreakerState};
use crate::call::{Caller, Identity, Pace};
use crate::candidate::{self, Candidate, Origin};
use crate::compile::blocking;
use crate::config::HostConfig;
use crate::denial::Denials;
use crate::error::{Error, LoadError};
use crate::grants::Grants;
use crate::host::Services;
use crate::info::{PluginInfo, PluginState};
use crate::link::{Linkers, mismatch, pre};
use crate::loaded::{Link, Member, Place};
use crate::manifest::{Manifest, Needs};
use crate::metric::Usage;
use crate::package::{self, Pin};
use crate::stamp::Stamp;
use crate::v0_1::auth::AuthPluginPre;
use crate::v0_1::scan::ScanPluginPre;
use crate::v0_1::storage::StoragePluginPre;
use crate::world::{World, WorldError};
use opendepot_domain::seam::Binding;
use opendepot_domain::{PluginId, Sha256};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::Semaphore;
use wasmtime::component::Component;

/// After what may have been the moment's fault: a registry that is down, a busy machine.
const RETRY: Duration = Duration::from_secs(30);
const NO_PULLER: &str =
    "this build does not speak to OCI registries; use a `folder` or a `builtin` source";

pub(crate) struct Loader<'a> {
    caller: &'a Caller,
    services: &'a Services,
    config: &'a HostConfig,
    linkers: Linkers,
}

/// What became of a candidate.
pub(crate) enum Outcome {
    /// A plugin, serving or not.
    Member(Box<Member>),
    /// A folder that nobody listed and that is no plugin, and why not.
    NoPlugin(Box<Origin>, LoadError),
}

/// What was read from disk and compiled.
struct Prepared {
    component: Component,
    settings: Arc<str>,
}

impl<'a> Loader<'a> {
    pub(crate) fn new(
        caller: &'a Caller,
        services: &'a Services,
        config: &'a HostConfig,
    ) -> Result<Self, Error> {
        let mut names = BTreeSet::new();
        for entry in &config.entries {
            if !names.insert(&entry.name) {
                return Err(Error::DuplicateEntry(entry.name.clone()));
            }
        }
        let linkers =
            Linkers::new(&caller.engine).map_err(|error| Error::Engine(format!("{error:#}")))?;
        Ok(Self {
            caller,
            services,
            config,
            linkers,
        })
    }

    /// Whether folders that no entry lists are loaded at all.
    pub(crate) const fn allows_unlisted(&self) -> bool {
        self.config.policy.allow_unlisted
    }

    /// Loads one candidate, or notes why not. `taken` are the names of other plugins.
    pub(crate) async fn load(
        &self,
        origin: Origin,
        bindings: &[Binding],
        taken: &BTreeSet<PluginId>,
    ) -> Outcome {
        let candidate = &origin.candidate;
        if let Some(name) = candidate.name.clone() {
            let info = blank(&name, candidate.source.clone(), candidate.order);
            let member = self.admit(origin, info, bindings).await;
            return Outcome::Member(Box::new(member));
        }
        let candidate::Place::Folder(folder) = candidate.place.clone() else {
            let error = LoadError::Unsettled(PathBuf::from(&candidate.source));
            return Outcome::NoPlugin(Box::new(origin), error);
        };
        let limit = self.caller.limits.component_bytes;
        let read = blocking(move || {
            let manifest = package::read_manifest(&folder)?;
            let (_, digest) = package::read_component(&folder, &manifest, limit)?;
            Ok((manifest, digest))
        });
        let (manifest, digest) = match read.await {
            Ok(read) => read,
            Err(error) => return Outcome::NoPlugin(Box::new(origin), error),
        };
        let name = manifest.metadata.name.clone();
        let mut info = blank(&name, candidate.source.clone(), candidate.order);
        let refused = if taken.contains(&name) {
            LoadError::NameTaken(name)
        } else if !self.config.policy.allow_unlisted {
            LoadError::Unlisted(digest)
        } else {
            tracing::warn!(
                plugin.name = name.as_str(),
                plugin.digest = %digest,
                "plugin `{name}` is not listed and gets no grants"
            );
            info.world = Some(manifest.spec.world);
            let member = self.admit(origin, info, bindings).await;
            return Outcome::Member(Box::new(member));
        };
        // Nobody asked for it, so it has no place in a chain.
        info.version = Some(manifest.metadata.version);
        info.world = Some(manifest.spec.world);
        info.digest = Some(digest);
        info.needs = manifest.spec.needs;
        note_failure(&mut info, &refused);
        Outcome::Member(Box::new(Member {
            info,
            place: None,
            origin,
            retry: None,
        }))
    }

    async fn admit(&self, origin: Origin, mut info: PluginInfo, bindings: &[Binding]) -> Member {
        let mut retry = None;
        let place = match self.try_admit(&origin.candidate, &mut info, bindings).await {
            Ok(place) => place,
            Err(error) => {
                if error.may_pass() {
                    retry = Some(Instant::now() + RETRY);
                }
                let error = missing_builtin(&origin.candidate, error);
                // In doubt a policy, which denies.
                let world = info.world.or(origin.candidate.presumed);
                note_failure(&mut info, &error);
                Place::failed(world.unwrap_or(World::Auth), &info, &error.to_string())
            }
        };
        Member {
            info,
            place: Some(place),
            origin,
            retry,
        }
    }

    async fn try_admit(
        &self,
        candidate: &Candidate,
        info: &mut PluginInfo,
        bindings: &[Binding],
    ) -> Result<Place, LoadError> {
        let folder = self.folder(candidate).await?;
        let Prepared {
            component,
            settings,
        } = self.prepare(candidate, folder, info).await?;
        let grants = Grants::new(&candidate.grants, &info.needs)?;
        info.grants = grants.summary();
        let name: Arc<str> = Arc::from(info.name.as_str());
        let identity = Arc::new(Identity {
            id: info.name.clone(),
            usage: Usage::of(&name),
            name,
            digest: info.digest.map(|d| d.to_string()).unwrap_or_default(),
            grants,
            permits: Arc::new(Semaphore::new(self.caller.limits.num_instances_of_one())),
            breaker: Breaker::new(
                self.caller.limits.breaker_faults,
                self.caller.limits.breaker_pause,
            ),
            denials: Denials::default(),
            pace: Pace::default(),
        });
        let (id, order) = (info.name.clone(), candidate.order);
        let world = World::of(&self.caller.engine, &component)?;
        let place = match world {
            World::Storage => {
                let pre = StoragePluginPre::new(pre(&self.linkers.storage, &component)?);
                let pre = pre.map_err(mismatch)?;
                let guest = self.caller.load_storage(identity, settings, pre).await?;
                let guest = Ok(Arc::new(guest));
                Place::Storage(Link { id, order, guest })
            }
            World::Auth => {
                let pre = AuthPluginPre::new(pre(&self.linkers.auth, &component)?);
                let pre = pre.map_err(mismatch)?;
                let guest = self.caller.load_auth(identity, settings, pre, bindings);
                let guest: Arc<AuthGuest> = Arc::new(guest.await?);
                let guest = Ok(guest);
                Place::Auth(Link { id, order, guest })
            }
            World::Scan => {
                let pre = ScanPluginPre::new(pre(&self.linkers.scan, &component)?);
                let pre = pre.map_err(mismatch)?;
                let guest = self.caller.load_scan(identity, settings, pre).await?;
                let guest = Ok(Arc::new(guest));
                Place::Scan(Link { id, order, guest })
            }
        };
        info.state = PluginState::Serving;
        Ok(place)
    }

    async fn folder(&self, candidate: &Candidate) -> Result<PathBuf, LoadError> {
        let reference = match &candidate.place {
            candidate::Place::Folder(folder) => return Ok(folder.clone()),
            candidate::Place::Oci(reference) => reference,
        };
        let refused = |reason: String| LoadError::Oci {
            reference: crate::text::cut(reference, 300),
            reason,
        };
        let Some(puller) = &self.services.puller else {
            return Err(refused(NO_PULLER.to_owned()));
        };
        let docker_config = self.config.policy.docker_config.as_deref();
        let pulled = puller.pull(reference, docker_config).await;
        pulled.map_err(refused)
    }

    /// Reads, pins and compiles off the async threads; fills `info` as far as it gets.
    async fn prepare(
        &self,
        candidate: &Candidate,
        folder: PathBuf,
        info: &mut PluginInfo,
    ) -> Result<Prepared, LoadError> {
        let limit = self.caller.limits.component_bytes;
        let own = folder.clone();
        let read = blocking(move || read_whole(&own, limit));
        let (manifest, component) = read.await?;
        info.version = Some(manifest.metadata.version.clone());
        info.needs = manifest.spec.needs.clone();
        info.world = Some(manifest.spec.world);
        let (bytes, digest) = component?;
        info.digest = Some(digest);
        info.size_bytes = Some(bytes.len() as u64);
        if self.config.policy.denied_digests.contains(&digest) {
            return Err(LoadError::Denied(digest));
        }
        package::check_pin(candidate.pin, digest)?;
        let (keys, pin) = (self.config.policy.public_keys.clone(), candidate.pin);
        let signed = blocking(move || {
            package::check_signature(&keys, &folder, &bytes, pin)?;
            Ok(bytes)
        });
        let bytes = signed.await?;
        let settings = package::merge_settings(&manifest.spec.settings, &candidate.settings)?;
        let component = self.caller.compiler.compile(bytes, digest).await?;
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
}

/// The component's bytes and digest, or why there are none although the manifest is good.
pub(crate) type Whole = Result<(Vec<u8>, Sha256), LoadError>;

/// Reads manifest and component that belong together: a folder may be swapped in between.
pub(crate) fn read_whole(folder: &Path, limit: u64) -> Result<(Manifest, Whole), LoadError> {
    const NUM_TRIES: usize = 3;
    let mut read = Err(LoadError::Unsettled(folder.to_owned()));
    for _ in 0..NUM_TRIES {
        let before = Stamp::of(folder);
        read = package::read_manifest(folder).map(|manifest| {
            let component = package::read_component(folder, &manifest, limit);
            (manifest, component)
        });
        if Stamp::of(folder) == before {
            return read;
        }
        read = Err(LoadError::Unsettled(folder.to_owned()));
    }
    read
}

/// What is missing is the folder's plugin, whatever the entry calls it.
fn missing_builtin(candidate: &Candidate, error: LoadError) -> LoadError {
    let candidate::Place::Folder(folder) = &candidate.place else {
        return error;
    };
    let name = folder.file_name().and_then(|name| name.to_str());
    let name = name.and_then(|name| PluginId::new(name).ok());
    match (error, name) {
        (LoadError::Read { source, .. }, Some(name))
            if matches!(candidate.pin, Pin::Optional(_))
                && source.kind() == std::io::ErrorKind::NotFound =>
        {
            LoadError::MissingBuiltin(name)
        }
        (other, _) => other,
    }
}

fn blank(name: &PluginId, source: String, order: i64) -> PluginInfo {
    PluginInfo {
        name: name.clone(),
        version: None,
        world: None,
        digest: None,
        size_bytes: None,
        imports: Vec::new(),
        source,
        order,
        needs: Needs::default(),
        grants: Vec::new(),
        state: PluginState::Failed("not loaded".to_owned()),
        refused: None,
        breaker: BreakerState::Closed,
    }
}

fn note_failure(info: &mut PluginInfo, error: &LoadError) {
    info.state = PluginState::Failed(error.to_string());
}
