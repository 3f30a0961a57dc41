//! The plugin host: what the rest of the program holds.

use crate::call::{Caller, HostFunctions, SlowLane};
use crate::compile::Compiler;
use crate::config::{CredentialConfig, HostConfig};
use crate::egress::{self, HeaderText, HttpSender};
use crate::engine::{self, Ticker};
use crate::error::Error;
use crate::info::PluginInfo;
use crate::loaded::{Loaded, Place};
use crate::plan;
use crate::reload::Watched;
use crate::secret::SecretError;
use arc_swap::ArcSwap;
use opendepot_domain::PluginId;
use opendepot_domain::placement::SignedRequest;
use opendepot_domain::seam::{Binding, BindingProblem, BoxFuture};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::{Mutex, Semaphore};
use zeroize::Zeroizing;

/// All plugins of a process. Cloning shares them.
#[derive(Clone)]
pub struct PluginHost {
    pub(crate) inner: Arc<Inner>,
}

pub(crate) struct Inner {
    pub(crate) caller: Caller,
    pub(crate) services: Services,
    pub(crate) loaded: ArcSwap<Loaded>,
    /// Held while plugins are loaded, which may take as long as compiling does.
    pub(crate) reloading: Mutex<Reloading>,
    /// What every auth plugin prepares with. Held while a snapshot is replaced, so that none is
    /// lost; never while anything is compiled, because a binding that is revoked must not wait.
    pub(crate) bindings: Mutex<Vec<Binding>>,
    ticker: Ticker,
}

/// What the next look begins with.
pub(crate) struct Reloading {
    pub(crate) config: HostConfig,
    pub(crate) watched: Watched,
}

/// What a host needs of the rest of the program. Without one of them, what needs it is refused.
#[derive(Clone, Default)]
pub struct Services {
    /// Sends the requests of guests.
    pub http: Option<Arc<dyn HttpSender>>,
    /// Brings plugins of OCI registries to disk.
    pub puller: Option<Arc<dyn PluginPuller>>,
}

/// Brings plugins of OCI registries to disk.
pub trait PluginPuller: Send + Sync {
    /// The folder with `plugin.yaml`, `plugin.wasm` and, where it is signed, `plugin.wasm.sig` of a
    /// reference that carries a digest; `docker_config` is a file with credentials. What was pulled
    /// once is not pulled again. An error says why not, in words; it is asked again after a while.
    ///
    /// Folders and configuration are not looked at meanwhile, so it may take seconds, no longer.
    fn pull<'a>(
        &'a self,
        reference: &'a str,
        docker_config: Option<&'a Path>,
    ) -> BoxFuture<'a, Result<PathBuf, String>>;
}

/// How the host reaches a store that a placement names: the operator's side of a plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoreAccess {
    /// Another endpoint than the cloud's own.
    pub endpoint: Option<String>,
    /// The region.
    pub region: Option<String>,
    /// Client options, the operator's word.
    pub options: BTreeMap<String, String>,
    /// The credential: the placement's, else the grant's.
    pub credential: Option<Credential>,
}

/// A granted credential.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Credential {
    /// The name under `grants.credentials`.
    pub name: String,
    /// Kind and secret name.
    pub config: CredentialConfig,
    /// The secret's file, for kinds that have one.
    pub secret_file: Option<PathBuf>,
}

impl Credential {
    /// Reads the secret's file: text, for kinds that have one. Blocks.
    ///
    /// # Errors
    /// [`SecretError`] when there is no such file, or it is no text of at most 64 KiB.
    pub fn read(&self) -> Result<HeaderText, SecretError> {
        let name = self.config.secret.as_deref().ok_or(SecretError::Missing)?;
        let dir = self.secret_file.as_deref().and_then(Path::parent);
        let content = crate::secret::read(dir, name)?;
        let text = std::str::from_utf8(&content).map_err(|_| SecretError::Malformed)?;
        Ok(HeaderText(Zeroizing::new(text.to_owned())))
    }
}

impl PluginHost {
    /// Loads every plugin of the configuration. A plugin that fails poisons only itself: see
    /// [`Self::describe`]. Plugins get no HTTP; see [`Self::load_with`].
    ///
    /// Must run on the runtime that serves: host functions do their I/O there.
    ///
    /// # Errors
    /// [`Error`] when the engine cannot start, two entries share a name, or the folder of
    /// built-ins is missing.
    pub async fn load(config: HostConfig) -> Result<Self, Error> {
        Self::load_with(config, Services::default()).await
    }

    /// As [`Self::load`], with what the rest of the program supplies.
    ///
    /// # Errors
    /// As [`Self::load`].
    pub async fn load_with(config: HostConfig, services: Services) -> Result<Self, Error> {
        if !config.builtin_dir.is_dir() {
            return Err(Error::BuiltinDir(config.builtin_dir));
        }
        let limits = Arc::new(config.limits.clone());
        let (engine, shape) = engine::build(&limits)?;
        let ticker = Ticker::start(&engine)?;
        let compiler = Compiler::new(&engine, shape, config.compile.clone());
        let caller = Caller {
            permits: Arc::new(Semaphore::new(limits.num_instances.max(1) as usize)),
            limits,
            slow_lane: SlowLane::start()?,
            host: Arc::new(HostFunctions {
                http: services.http.clone(),
                secrets_dir: config.policy.secrets_dir.clone(),
                io: tokio::runtime::Handle::current(),
            }),
            compiler: Arc::new(compiler),
            engine,
        };
        let host = Self {
            inner: Arc::new(Inner {
                caller,
                services,
                loaded: ArcSwap::from_pointee(Loaded::default()),
                reloading: Mutex::new(Reloading {
                    config: config.clone(),
                    watched: Watched::default(),
                }),
                bindings: Mutex::new(Vec::new()),
                ticker,
            }),
        };
        host.load_all(config).await?;
        Ok(host)
    }

    /// Every plugin, serving or not, by name.
    #[must_use]
    pub fn describe(&self) -> Vec<PluginInfo> {
        let loaded = self.inner.loaded.load();
        let now = Instant::now();
        let members = loaded.members.iter().map(|member| {
            let mut info = member.info.clone();
            if let Some(identity) = member.identity() {
                info.breaker = identity.breaker.state(now);
            }
            info
        });
        members.collect()
    }

    /// How many auth plugins are asked, those included that failed to load and therefore deny.
    #[must_use]
    pub fn auth_chain_len(&self) -> usize {
        self.inner.loaded.load().auth.len()
    }

    /// Since when the epoch has not advanced: more than a second means that guests can no longer
    /// be interrupted and the process should be restarted.
    #[must_use]
    pub fn epoch_ticker_age(&self) -> Duration {
        self.inner.ticker.age()
    }

    /// Prepares every auth plugin with these bindings and swaps the result in.
    pub(crate) async fn rebind(&self, bindings: &[Binding]) -> Vec<BindingProblem> {
        let mut in_force = self.inner.bindings.lock().await;
        *in_force = bindings.to_vec();
        let old = self.inner.loaded.load_full();
        let mut problems = Vec::new();
        let mut members = old.members.clone();
        for member in &mut members {
            let Some(Place::Auth(link)) = &mut member.place else {
                continue;
            };
            let caller = &self.inner.caller;
            *link = caller.rebind(link, bindings, &mut problems).await;
            member.note_prepared();
        }
        let loaded = Loaded::new(old.generation + 1, members);
        self.inner.loaded.store(Arc::new(loaded));
        problems
    }

    /// How to open a store that a plan of `plugin` names; `None` when no grant covers it.
    ///
    /// `credentials` is the placement's. The store `file:///` is the configured file system root.
    #[must_use]
    pub fn store_access(
        &self,
        plugin: &PluginId,
        store: &str,
        credentials: Option<&str>,
    ) -> Option<StoreAccess> {
        let loaded = self.inner.loaded.load();
        let guest = loaded.storage.get(plugin)?.guest.as_ref().ok()?;
        let grants = &guest.identity.grants;
        crate::pattern::parse_store(store).ok()?;
        let grant = grants.store(store)?;
        let credential = match credentials.or(grant.credentials.as_deref()) {
            None => None,
            Some(name) => {
                let config = grants.credentials.get(name)?;
                let dir = self.inner.caller.host.secrets_dir.as_ref();
                Some(Credential {
                    name: name.to_owned(),
                    config: config.clone(),
                    secret_file: config
                        .secret
                        .as_ref()
                        .and_then(|secret| Some(dir?.join(secret))),
                })
            }
        };
        Some(StoreAccess {
            endpoint: grant.endpoint.clone(),
            region: grant.region.clone(),
            options: grant.options.clone(),
            credential,
        })
    }

    /// The headers of a signed request with secrets filled in, checked once more against the
    /// plugin's grants. Reads secret files, so it is to be called just before sending.
    ///
    /// # Errors
    /// [`Error`] when a secret is not granted for the request's host or cannot be read.
    pub async fn signed_headers(
        &self,
        plugin: &PluginId,
        request: &SignedRequest,
    ) -> Result<Vec<(String, HeaderText)>, Error> {
        let guest = self.storage_guest(plugin)?;
        let grants = &guest.identity.grants;
        let refused = |reason| Error::Refused {
            plugin: plugin.clone(),
            function: "plan",
            reason: Box::new(reason),
        };
        let url = plan::check_url(grants, &request.url).map_err(refused)?;
        let named = request.headers.iter().map(|(n, v)| (n.as_str(), v));
        plan::check_headers(grants, &url, named).map_err(refused)?;
        let (host, headers) = (Arc::clone(&self.inner.caller.host), request.headers.clone());
        let filled = tokio::task::spawn_blocking(move || {
            egress::fill_headers(host.secrets_dir.as_deref(), headers)
        });
        match filled.await {
            Ok(Ok(headers)) => Ok(headers),
            Ok(Err(reason)) => Err(Error::Secret {
                plugin: plugin.clone(),
                name: "of a signed request".to_owned(),
                reason,
            }),
            Err(_) => Err(Error::Engine("the host is shutting down".to_owned())),
        }
    }
}
