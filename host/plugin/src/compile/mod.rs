//! From a component's bytes to code that can be called.
//!
//! Compiling takes time and memory that a hostile component decides (T43, W21), so it happens in a
//! process of its own, under limits and at the lowest priority. What was compiled is kept on disk,
//! authenticated (T44): nothing that others compiled is ever loaded.

mod cache;
mod worker;

pub use worker::{WORKER_COMMAND, compile_worker};

use crate::engine::Shape;
use crate::error::LoadError;
use crate::metric;
use cache::Cache;
use opendepot_domain::Sha256;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::Semaphore;
use wasmtime::Engine;
use wasmtime::component::Component;

/// Compilations at a time; each may use both halves of a small machine, at the lowest priority.
pub(crate) const NUM_COMPILATIONS: usize = 2;

/// Where and how components are compiled.
#[derive(Clone, Debug)]
pub struct CompileConfig {
    /// The executable that answers [`WORKER_COMMAND`] by [`compile_worker`]; absent: compile in
    /// this process, without limits of time and memory, which suits tests only.
    pub worker: Option<PathBuf>,
    /// The folder where compiled code is kept, made with mode 0700; absent: compile at each load.
    pub cache: Option<PathBuf>,
    /// How long one compilation may take.
    pub timeout: Duration,
    /// Address space of one compilation, in bytes.
    pub memory_bytes: u64,
    /// How far it gives way to everything else on the machine, from 0 to 19.
    pub niceness: i32,
}

impl Default for CompileConfig {
    /// The limits of reliability.md 2, no worker and no cache, and the lowest priority: compiling
    /// must not slow down serving.
    fn default() -> Self {
        Self {
            worker: None,
            cache: None,
            timeout: Duration::from_secs(30),
            memory_bytes: 1 << 30,
            niceness: 19,
        }
    }
}

/// Compiles components for one engine.
pub(crate) struct Compiler {
    engine: Engine,
    shape: Shape,
    config: CompileConfig,
    cache: Option<Cache>,
    permits: Semaphore,
}

impl Compiler {
    pub(crate) fn new(engine: &Engine, shape: Shape, config: CompileConfig) -> Self {
        let cache = config
            .cache
            .as_deref()
            .and_then(|folder| Cache::open(folder, engine));
        Self {
            engine: engine.clone(),
            shape,
            config,
            cache,
            permits: Semaphore::new(NUM_COMPILATIONS),
        }
    }

    /// The component in callable form. Trusts nothing: only the binary component format is
    /// accepted, so neither text nor code that somebody else compiled.
    pub(crate) async fn compile(
        self: &Arc<Self>,
        bytes: Vec<u8>,
        digest: Sha256,
    ) -> Result<Component, LoadError> {
        check_format(&bytes).map_err(LoadError::Compile)?;
        let own = Arc::clone(self);
        let cached = blocking(move || Ok(own.cached(&digest))).await?;
        if let Some(component) = cached {
            return Ok(component);
        }
        let _permit = self
            .permits
            .acquire()
            .await
            .map_err(|_| LoadError::Compile("the host is shutting down".to_owned()))?;
        let own = Arc::clone(self);
        blocking(move || own.fresh(&bytes, &digest)).await
    }

    fn cached(&self, digest: &Sha256) -> Option<Component> {
        let code = self.cache.as_ref()?.get(digest)?;
        match deserialize(&self.engine, &code) {
            Ok(component) => Some(component),
            Err(error) => {
                tracing::warn!("will compile again what was kept for `{digest}`: {error}");
                None
            }
        }
    }

    fn fresh(&self, bytes: &[u8], digest: &Sha256) -> Result<Component, LoadError> {
        let started = Instant::now();
        let code = match &self.config.worker {
            Some(executable) => worker::run(executable, &self.config, self.shape, bytes)?,
            None => precompile(&self.engine, bytes).map_err(LoadError::Compile)?,
        };
        metric::compiled(started.elapsed());
        if let Some(cache) = &self.cache {
            cache.put(digest, &code);
        }
        deserialize(&self.engine, &code).map_err(LoadError::Compile)
    }
}

/// Runs a blocking step of a load off the threads that serve.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, LoadError> + Send + 'static,
) -> Result<T, LoadError> {
    tokio::task::spawn_blocking(work)
        .await
        .unwrap_or_else(|_| Err(LoadError::Compile("the compiler panicked".to_owned())))
}

fn check_format(bytes: &[u8]) -> Result<(), String> {
    const COMPONENT: &[u8] = b"\0asm\x0d\0\x01\0";
    const MODULE: &[u8] = b"\0asm\x01\0\0\0";
    if bytes.starts_with(MODULE) {
        return Err("it is a core module, not a component".to_owned());
    }
    if bytes.starts_with(b"\x7fELF") {
        return Err("it is precompiled code, which is never loaded".to_owned());
    }
    if !bytes.starts_with(COMPONENT) {
        return Err("it is not a wasm component".to_owned());
    }
    Ok(())
}

fn precompile(engine: &Engine, bytes: &[u8]) -> Result<Vec<u8>, String> {
    engine
        .precompile_component(bytes)
        .map_err(|error| crate::text::shown(&format!("{error:#}")))
}

fn deserialize(engine: &Engine, code: &[u8]) -> Result<Component, String> {
    #[allow(
        unsafe_code,
        reason = "the code is our own compiler's, straight from it or authenticated by the cache"
    )]
    // SAFETY: `code` is what `Engine::precompile_component` wrote, here or in the worker that this
    // process started; code from the cache carries a MAC that only we can make.
    let component = unsafe { Component::deserialize(engine, code) };
    let component = component.map_err(|error| crate::text::shown(&format!("{error:#}")))?;
    // A failure here only makes the first call slower.
    let _ = component.initialize_copy_on_write_image();
    Ok(component)
}
