//! `serve`: wires the parts, waits for a signal, and ends without losing anything.

use crate::admin::{self, Observer, Problems, key_documents};
use crate::config::{AuthMode, Config, ControllerKind, Reload};
use crate::data::DataDir;
use crate::egress::Egress;
use crate::heartbeat::Heartbeats;
use crate::oci::Puller;
use crate::plugins::{self, Follower};
use crate::telemetry::{self, Freshness, Observed, Telemetry};
use crate::{control, limits, sources};
use anyhow::Context as _;
use opendepot_actors::reconciler::{ReconcilerOptions, Sources, Workshop};
use opendepot_actors::registry::{RegistryOptions, RenderContext};
use opendepot_actors::supervisor::Health;
use opendepot_actors::{Arbiters, ReconcilerHandle, RegistryHandle, ScannerHandle};
use opendepot_api::server::Server;
use opendepot_api::{Access, AccessOptions, ApiState, Damage, ModuleOptions, StateOptions};
use opendepot_apiserver::{Embedded, manifests};
use opendepot_controller::{Context, ContextOptions, Controllers, Feed};
use opendepot_domain::seam::{AccessPolicy, StorageDecisions};
use opendepot_identity::{TokenFile, Verifier};
use opendepot_plugin::PluginHost;
use opendepot_transfer::{Stores, StoresConfig};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

/// Watch events kept for a watcher to catch up.
const WATCH_HISTORY: usize = 10_000;
/// How long bytes stay where they were moved away from: those who were just told of it still read there.
const GRACE: Duration = Duration::from_secs(30);

/// Runs the registry to its end.
pub(crate) fn serve(config: Config, reload: Option<Reload>) -> anyhow::Result<ExitCode> {
    let telemetry = Arc::new(telemetry::install(&config.log_level, config.log_is_json)?);
    let runtime = Arc::new(Runtime::new().context("cannot start the runtime")?);
    let shared = Arc::clone(&runtime);
    // Arbiters find the System of this thread; everything else lives on the shared pool.
    let system = actix_rt::System::with_tokio_rt(move || shared);
    // The writer flushes when the last handle goes: ours, after everything has been said.
    let code = system.block_on(run(
        config,
        reload,
        Arc::clone(&runtime),
        Arc::clone(&telemetry),
    ));
    if let Err(error) = &code {
        tracing::error!("cannot go on: {error:#}");
    }
    drop(telemetry);
    code
}

async fn run(
    config: Config,
    reload: Option<Reload>,
    runtime: Arc<Runtime>,
    telemetry: Arc<Telemetry>,
) -> anyhow::Result<ExitCode> {
    let mut signals = Signals::install()?;
    let data = DataDir::create(&config.data_dir)?;
    let embedded = data.open_store(WATCH_HISTORY)?;
    data.sweep()?;
    let (plugins_changed, follow_plugins) = watch::channel(0);
    let parts = Parts::build(&config, &data, &embedded, &runtime, follow_plugins).await?;
    let (stop, stopped) = watch::channel(false);

    // Ports are taken before anything runs, so that a taken one is a start-up error.
    let registry_listener = match config.serve_registry {
        true => Some(bind(config.listen).await?),
        false => None,
    };
    let admin_listener = bind(config.admin_listen).await?;
    let socket = control::listen(&data.socket())?;
    let tls = data.certificate(&config)?;

    let mut background = tokio::task::JoinSet::new();
    let (report_problems, manifest_problems) = watch::channel(Vec::new());
    background.spawn(control::serve(
        socket,
        embedded.clone(),
        manifest_problems.clone(),
        ended(stopped.clone()),
    ));
    if let AuthMode::TokenFile(_) = &config.auth
        && let Some(tokens) = &parts.tokens
    {
        background.spawn(Arc::clone(tokens).watch(ended(stopped.clone())));
    }
    if let Some(certificate) = &tls {
        background.spawn(Arc::clone(certificate).watch(ended(stopped.clone())));
    }
    let (config_problem, config_problems) = watch::channel(None);
    let follower = Follower {
        plugins: parts.plugins.clone(),
        reload,
        config: config.clone(),
        changed: plugins_changed,
        problem: config_problem,
    };
    background.spawn(follower.run(ended(stopped.clone())));
    let upkeep = Arc::clone(&telemetry);
    background.spawn(async move {
        loop {
            tokio::time::sleep(Duration::from_secs(5)).await;
            upkeep.upkeep();
        }
    });
    let freshness = Freshness::new();
    let observed = Observed::noting(embedded.service(), &freshness);
    let (feed, registry, client) = (
        parts.feed.clone(),
        parts.registry.clone(),
        kube::Client::new(observed, "default"),
    );
    let namespace = config.watch_namespace.clone();
    let end = ended(stopped.clone());
    background.spawn(async move { feed.run(client, namespace.as_deref(), registry, end).await });
    let which = Controllers {
        module: config.controllers.contains(&ControllerKind::Module),
        provider: config.controllers.contains(&ControllerKind::Provider),
        version: config.controllers.contains(&ControllerKind::Version),
    };
    let (context, feed, ended_early) = (
        Arc::clone(&parts.context),
        parts.feed.clone(),
        ended(stopped.clone()),
    );
    let stopping = stopped.clone();
    let controllers = tokio::spawn(async move {
        // The registry's index first: what is published is served before anything else is done.
        tokio::select! {
            () = feed.synced() => opendepot_controller::run(context, which, stopping).await,
            () = ended_early => {}
        }
    });
    if let Some(dir) = &config.manifests {
        let options = manifests::Options {
            dir: dir.clone(),
            prune: config.manifests_prune,
        };
        let (embedded, end) = (embedded.clone(), ended(stopped.clone()));
        background.spawn(async move {
            if let Err(error) = manifests::run(embedded, options, report_problems, end).await {
                tracing::error!("the manifests folder is no longer watched: {error}");
            }
        });
    }

    let (reports, mut damages) = mpsc::channel(64);
    parts.api.report_damage_to(reports);
    let context = Arc::clone(&parts.context);
    background.spawn(async move {
        while let Some(Damage {
            namespace,
            object_name,
            is_missing,
        }) = damages.recv().await
        {
            if let Err(error) =
                opendepot_controller::damage::mark(&context, &namespace, &object_name, is_missing)
                    .await
            {
                tracing::warn!("cannot mark `{namespace}/{object_name}` as damaged: {error}");
            }
        }
    });

    let (http_stop, http_stopped) = watch::channel(false);
    let http = match registry_listener {
        None => None,
        Some(listener) => {
            let server = Server {
                listener,
                answers: opendepot_api::Public::new(parts.api.clone())?,
                tls: tls
                    .as_ref()
                    .map(|certificate| certificate.server_config())
                    .transpose()?,
                limits: config.file.limits.http.clone(),
                grace: config.download_grace.max(config.grace),
            };
            Some(tokio::spawn(async move {
                server.run(ended(http_stopped)).await
            }))
        }
    };
    let observer = parts.observer(
        &config,
        telemetry,
        Problems {
            manifests: manifest_problems,
            config: config_problems,
        },
        freshness,
        http.as_ref(),
    );
    observer.show_constants();
    let (admin_stop, admin_stopped) = watch::channel(false);
    let admin = Server {
        listener: admin_listener,
        answers: opendepot_api::admin::router(Arc::new(observer)),
        tls: None,
        limits: config.file.limits.http.clone(),
        grace: Duration::from_secs(1),
    };
    let admin = tokio::spawn(async move { admin.run(ended(admin_stopped)).await });
    let scheme = if tls.is_some() { "https" } else { "http" };
    tracing::info!(
        listen = %config.listen, admin = %config.admin_listen,
        "serving {scheme}://{}, health and metrics at http://{}", config.listen, config.admin_listen
    );

    let code = tokio::select! {
        () = signals.first() => ExitCode::SUCCESS,
        name = essential_gave_up(&parts) => {
            tracing::error!("actor `{name}` has given up, so this process ends");
            ExitCode::FAILURE
        }
    };

    // architecture.md 5: readiness, drain, requests in flight, controllers, jobs, actors.
    tracing::info!("stopping: requests in flight may end, a second signal ends them");
    parts.api.start_draining();
    let finish = async {
        tokio::time::sleep(config.drain_delay).await;
        http_stop.send_replace(true);
        if let Some(http) = http
            && !http.await.unwrap_or(false)
        {
            tracing::warn!("some requests did not end within their grace");
        }
        stop.send_replace(true);
        let _ = tokio::time::timeout(config.grace, controllers).await;
        parts.reconciler.stop();
        parts.scanner.stop();
        parts.registry.stop();
    };
    tokio::select! {
        () = finish => {}
        () = signals.first() => tracing::warn!("second signal: ending now"),
    }
    admin_stop.send_replace(true);
    let _ = admin.await;
    background.shutdown().await;
    embedded.shutdown();
    parts.arbiters.stop();
    let _ = std::fs::remove_file(data.socket());
    tracing::info!("stopped");
    Ok(code)
}

/// The parts that outlive a request.
struct Parts {
    arbiters: Arbiters,
    feed: Feed,
    registry: RegistryHandle,
    reconciler: ReconcilerHandle,
    scanner: ScannerHandle,
    plugins: PluginHost,
    api: ApiState,
    context: Arc<Context>,
    tokens: Option<Arc<TokenFile>>,
    public_keys: Vec<opendepot_signing::PublicKey>,
    signing_problem: Option<String>,
}

impl Parts {
    async fn build(
        config: &Config,
        data: &DataDir,
        embedded: &Embedded,
        runtime: &Arc<Runtime>,
        plugins_changed: watch::Receiver<u64>,
    ) -> anyhow::Result<Self> {
        let keys = data.artifact_keys(config)?;
        let signing = data.signing_keys(config)?;
        let filesystem_root = config.filesystem_root.clone();
        let mut stores_config = StoresConfig::new(&filesystem_root);
        stores_config.limits.max_object_bytes = config.file.limits.archives.provider_packed_bytes;
        let stores = Stores::open(stores_config)?;
        let (egress, puller) = (Egress::new(config)?, Puller::new(config)?);
        let services = puller.with(egress.services());
        let plugins = PluginHost::load_with(plugins::host_config(config)?, services).await?;
        puller.forget_others(&config.plugins).await;
        let stores = egress.stores(stores, &plugins);
        let storage: Arc<dyn StorageDecisions> = Arc::new(plugins.clone());
        let policy: Arc<dyn AccessPolicy> = Arc::new(plugins.clone());

        let arbiters = Arbiters::start(runtime);
        let feed = Feed::new(Arc::clone(&keys), config.default_storage.clone());
        let documents = key_documents(&signing.public, signing.source_url.as_ref());
        let registry = RegistryHandle::start(
            arbiters.registry(),
            RegistryOptions {
                source: Arc::new(feed.clone()),
                storage: Arc::clone(&storage),
                context: RenderContext {
                    base_url: config.public_url.clone().unwrap_or_default(),
                    artifact_keys: Arc::clone(&keys),
                    signing_keys: Arc::new(documents),
                },
                num_cached_plans: 100_000,
            },
        );
        let workshop = Workshop {
            sources: Sources::new(sources::options(config, crate::progress::watcher())?)?,
            storage,
            stores: stores.clone(),
            temp_dir: data.temp(),
            module_limits: limits::modules(config),
            provider_limits: limits::providers(config),
        };
        let jobs = &config.file.limits.jobs;
        let reconciler = ReconcilerHandle::start(
            arbiters.reconciler(),
            ReconcilerOptions {
                workshop,
                num_fetches: jobs.num_fetches,
                num_stores: jobs.num_stores,
            },
        );
        let scanner = ScannerHandle::start(arbiters.scanner());
        let (verifier, tokens, local_only) = match &config.auth {
            AuthMode::Anonymous { local_only } => (Verifier::Anonymous, None, *local_only),
            AuthMode::TokenFile(path) => {
                let tokens = Arc::new(TokenFile::open(path).with_context(|| {
                    format!(
                        "cannot use the token file `{}`; `opendepot token create` makes one",
                        path.display()
                    )
                })?);
                (
                    Verifier::TokenFile(Arc::clone(&tokens)),
                    Some(tokens),
                    false,
                )
            }
        };
        let base = verifier.base();
        let api = ApiState::new(StateOptions {
            registry: registry.clone(),
            access: Access::new(AccessOptions {
                verifier,
                policy,
                labels: Arc::new(feed.clone()),
                base,
                local_only,
            }),
            stores,
            artifact_keys: Arc::clone(&keys),
            limits: config.file.limits.http.clone(),
            modules: ModuleOptions {
                direct_download: config.file.modules.direct_download,
                direct_download_max_bytes: config.file.modules.direct_download_max_bytes,
            },
            allow_unsigned: config.file.artifacts.allow_unsigned,
            filesystem_root,
        });
        let signing_problem = signing.signer.as_ref().err().cloned();
        let manifests = config
            .manifests
            .as_ref()
            .map(std::fs::canonicalize)
            .transpose()?;
        let context = Arc::new(Context::new(
            ContextOptions {
                client: kube::Client::new(Observed::new(embedded.service()), "default"),
                reconciler: reconciler.clone(),
                scanner: scanner.clone(),
                policies: Arc::new(plugins.clone()),
                policies_changed: plugins_changed,
                artifact_keys: keys,
                signer: signing.signer,
                default_storage: config.default_storage.clone(),
                manifests,
                allowed_paths: config.file.sources.allowed_paths.clone(),
                provider_registry: config.file.sources.provider_registry.url.clone(),
                require_signature: config.file.sources.provider_registry.require_signature,
                watch_namespace: config.watch_namespace.clone(),
                grace: opendepot_transfer::fault::pause(GRACE),
            },
            feed.clone(),
        ));
        let public_keys = signing.public;
        Ok(Self {
            arbiters,
            feed,
            registry,
            reconciler,
            scanner,
            plugins,
            api,
            context,
            tokens,
            public_keys,
            signing_problem,
        })
    }

    /// One in each event loop that others wait for.
    fn heartbeats(&self) -> Heartbeats {
        let mut heartbeats = Heartbeats::new();
        tokio::spawn(heartbeats.of("event-loop"));
        let (registry, reconciler) = (self.arbiters.registry(), self.arbiters.reconciler());
        registry.spawn(heartbeats.of("registry-loop"));
        reconciler.spawn(heartbeats.of("reconciler-loop"));
        heartbeats
    }

    fn observer(
        &self,
        config: &Config,
        telemetry: Arc<Telemetry>,
        problems: Problems,
        freshness: Arc<Freshness>,
        listener: Option<&JoinHandle<bool>>,
    ) -> Observer {
        Observer {
            telemetry,
            freshness,
            heartbeats: self.heartbeats(),
            listener: listener.map(JoinHandle::abort_handle),
            api: self.api.clone(),
            feed: self.feed.clone(),
            registry: self.registry.clone(),
            reconciler: self.reconciler.clone(),
            scanner: self.scanner.clone(),
            plugins: self.plugins.clone(),
            public_keys: self.public_keys.clone(),
            problems,
            tokens: self.tokens.clone(),
            signing_problem: self.signing_problem.clone(),
            limits: limits::reported(config),
            features: admin::features(config),
            serves_registry: config.serve_registry,
        }
    }
}

async fn bind(address: std::net::SocketAddr) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address)
        .await
        .with_context(|| format!("cannot listen on `{address}`"))
}

/// Resolves when the channel turns true, or its sender is gone.
async fn ended(mut stop: watch::Receiver<bool>) {
    let _ = stop.wait_for(|stop| *stop).await;
}

/// Resolves with the name of an essential actor that spent its restart budget.
async fn essential_gave_up(parts: &Parts) -> &'static str {
    let gave_up = |mut health: watch::Receiver<Health>, name| async move {
        if health
            .wait_for(|health| *health == Health::GivenUp)
            .await
            .is_err()
        {
            std::future::pending::<()>().await;
        }
        name
    };
    tokio::select! {
        name = gave_up(parts.registry.watch_health(), "registry") => name,
        name = gave_up(parts.reconciler.watch_health(), "reconciler") => name,
    }
}

/// SIGTERM and SIGINT, caught from the start.
struct Signals {
    terminate: tokio::signal::unix::Signal,
    interrupt: tokio::signal::unix::Signal,
}

impl Signals {
    fn install() -> anyhow::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    async fn first(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}
