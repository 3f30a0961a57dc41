//! From a path to a component that can be called.

use super::{ComponentFacts, Invoker, InvokerConfig};
use crate::breaker::Breaker;
use crate::call::{Caller, HostFunctions, Identity, Pace, SlowLane};
use crate::compile::{Compiler, blocking};
use crate::config::GrantsConfig;
use crate::denial::Denials;
use crate::engine::{self, Ticker};
use crate::error::LoadError;
use crate::grants::Grants;
use crate::link::{Linkers, pre};
use crate::load::read_whole;
use crate::manifest::{Manifest, Needs};
use crate::metric::Usage;
use crate::package;
use crate::world::{World, WorldError};
use opendepot_domain::{PluginId, Sha256};
use serde_json::Value;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;
use tokio::sync::Semaphore;

/// What was read of a path.
struct Found {
    name: PluginId,
    manifest: Option<Manifest>,
    bytes: Vec<u8>,
    digest: Sha256,
}

impl Invoker {
    /// Loads the folder of `plugin.yaml` and a component, or a bare component.
    ///
    /// Must run on the runtime that serves, as a host.
    ///
    /// # Errors
    /// [`LoadError`], except for what the guest would say: nothing of it is called.
    pub async fn open(path: &Path, config: InvokerConfig) -> Result<Self, LoadError> {
        let (owned, limit) = (path.to_owned(), config.limits.component_bytes);
        let found = blocking(move || read(&owned, limit)).await?;
        let manifest = found.manifest.as_ref();
        let defaults = manifest.map_or(&Value::Null, |manifest| &manifest.spec.settings);
        let settings = package::merge_settings(defaults, &config.settings)?;
        let (size_bytes, digest) = (found.bytes.len() as u64, found.digest);
        let caller = caller(&config)?;
        let started = Instant::now();
        let component = caller.compiler.compile(found.bytes, digest).await?;
        let compile_time = started.elapsed();
        let world = World::of(&caller.engine, &component)?;
        if let Some(manifest) = manifest
            && manifest.spec.world != world
        {
            return Err(LoadError::World(WorldError::Declared {
                declared: manifest.spec.world,
                exported: world,
            }));
        }
        let needs = match manifest {
            Some(manifest) => manifest.spec.needs.clone(),
            None => all_of(&config.grants),
        };
        let grants = Grants::new(&config.grants, &needs)?;
        let linkers = Linkers::new(&caller.engine).map_err(crate::link::mismatch)?;
        let linker = match world {
            World::Storage => &linkers.storage,
            World::Auth => &linkers.auth,
            World::Scan => &linkers.scan,
        };
        let pre = pre(linker, &component)?;
        let of_type = component.component_type();
        let imports = of_type.imports(&caller.engine);
        let facts = ComponentFacts {
            name: found.name.clone(),
            world,
            digest,
            size_bytes,
            imports: imports.map(|(name, _)| name.to_owned()).collect(),
            needs,
            compile_time,
        };
        let name: Arc<str> = Arc::from(found.name.as_str());
        let identity = Arc::new(Identity {
            id: found.name,
            usage: Usage::of(&name),
            name,
            digest: digest.to_string(),
            grants,
            permits: Arc::new(Semaphore::new(config.limits.num_instances_of_one())),
            breaker: Breaker::new(config.limits.breaker_faults, config.limits.breaker_pause),
            denials: Denials::default(),
            pace: Pace::default(),
        });
        Ok(Self {
            caller,
            identity,
            component,
            pre,
            facts,
            settings,
        })
    }
}

fn read(path: &Path, limit: u64) -> Result<Found, LoadError> {
    if path.is_dir() {
        let (manifest, component) = read_whole(path, limit)?;
        let (bytes, digest) = component?;
        return Ok(Found {
            name: manifest.metadata.name.clone(),
            manifest: Some(manifest),
            bytes,
            digest,
        });
    }
    let stem = path.file_stem().and_then(|stem| stem.to_str());
    let name = stem.and_then(|stem| PluginId::new(stem).ok());
    let unnamed = || PluginId::new("component").map_err(|e| LoadError::Settings(e.to_string()));
    let bytes = package::read(path, limit)?;
    Ok(Found {
        name: name.map_or_else(unnamed, Ok)?,
        manifest: None,
        digest: Sha256::of(&bytes),
        bytes,
    })
}

/// All that the operator grants, asked for.
fn all_of(grants: &GrantsConfig) -> Needs {
    Needs {
        hosts: true,
        secrets: grants.secrets.keys().cloned().collect(),
        judge_findings: true,
        claims: grants.claims.clone(),
    }
}

fn caller(config: &InvokerConfig) -> Result<Caller, LoadError> {
    let failed = |error: crate::error::Error| LoadError::Compile(error.to_string());
    let limits = Arc::new(config.limits.clone());
    let (engine, shape) = engine::build(&limits).map_err(failed)?;
    // It ends with the engine.
    Ticker::start(&engine).map_err(failed)?;
    let compiler = Compiler::new(&engine, shape, config.compile.clone());
    Ok(Caller {
        permits: Arc::new(Semaphore::new(limits.num_instances.max(1) as usize)),
        limits,
        slow_lane: SlowLane::start().map_err(failed)?,
        host: Arc::new(HostFunctions {
            http: config.http.clone(),
            secrets_dir: config.secrets_dir.clone(),
            io: tokio::runtime::Handle::current(),
        }),
        compiler: Arc::new(compiler),
        engine,
    })
}
