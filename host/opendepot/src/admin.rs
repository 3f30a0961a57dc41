//! What the admin listener shows.

use crate::config::{AuthMode, Config, TlsMode};
use crate::control::ManifestProblems;
use crate::heartbeat::Heartbeats;
use crate::telemetry::{Freshness, Telemetry};
use opendepot_actors::registry::SigningKeyDocument;
use opendepot_actors::supervisor::Health;
use opendepot_actors::{ReconcilerHandle, RegistryHandle, ScannerHandle};
use opendepot_api::ApiState;
use opendepot_api::admin::{Admin, Check};
use opendepot_controller::Feed;
use opendepot_identity::TokenFile;
use opendepot_plugin::{BreakerState, PluginHost, PluginState};
use opendepot_signing::PublicKey;
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::AbortHandle;

/// What is wrong with files that are followed.
pub(crate) struct Problems {
    pub(crate) manifests: ManifestProblems,
    pub(crate) config: watch::Receiver<Option<String>>,
}

/// Everything that health depends on.
pub(crate) struct Observer {
    pub(crate) telemetry: Arc<Telemetry>,
    pub(crate) freshness: Arc<Freshness>,
    pub(crate) heartbeats: Heartbeats,
    /// The accept loop, where a registry is served.
    pub(crate) listener: Option<AbortHandle>,
    pub(crate) api: ApiState,
    pub(crate) feed: Feed,
    pub(crate) registry: RegistryHandle,
    pub(crate) reconciler: ReconcilerHandle,
    pub(crate) scanner: ScannerHandle,
    pub(crate) plugins: PluginHost,
    pub(crate) public_keys: Vec<PublicKey>,
    pub(crate) problems: Problems,
    pub(crate) tokens: Option<Arc<TokenFile>>,
    pub(crate) signing_problem: Option<String>,
    /// Of `/version`.
    pub(crate) limits: Value,
    pub(crate) features: Value,
    pub(crate) serves_registry: bool,
}

/// What is switched on here, and which surfaces there are.
pub(crate) fn features(config: &Config) -> Value {
    let authentication = match &config.auth {
        AuthMode::Anonymous { local_only: true } => "anonymous-on-loopback",
        AuthMode::Anonymous { local_only: false } => "anonymous",
        AuthMode::TokenFile(_) => "token-file",
    };
    let tls = match &config.tls {
        TlsMode::Off => "off",
        TlsMode::Development => "development",
        TlsMode::Files { .. } => "files",
    };
    let controllers: Vec<String> = config
        .controllers
        .iter()
        .map(|kind| format!("{kind:?}").to_lowercase())
        .collect();
    json!({
        "controlPlane": "embedded",
        "controllers": controllers,
        "registry": config.serve_registry,
        "authentication": authentication,
        "tls": tls,
        "manifests": config.manifests.is_some(),
        "manifestsPrune": config.manifests_prune,
        "watchNamespace": config.watch_namespace,
        "unsignedLinks": config.file.artifacts.allow_unsigned,
        "surfaces": {
            "modules.v1": config.serve_registry,
            "providers.v1": config.serve_registry,
            "directModuleDownload": config.serve_registry && config.file.modules.direct_download,
        },
    })
}

fn check(name: &'static str, is_required: bool, problem: Option<String>) -> Check {
    Check {
        name,
        problem,
        is_required,
    }
}

fn unless(is_well: bool, problem: &str) -> Option<String> {
    (!is_well).then(|| problem.to_owned())
}

impl Observer {
    /// Sets what does not change while the process runs.
    pub(crate) fn show_constants(&self) {
        for key in &self.public_keys {
            if let Some(expires_at) = key.expires_at {
                metrics::gauge!("opendepot_signing_key_expiry_timestamp_seconds", "key_id" => key.key_id.clone())
                    .set(expires_at as f64);
            }
        }
    }

    fn actors(&self) -> [(&'static str, Health); 3] {
        [
            ("registry", self.registry.health()),
            ("reconciler", self.reconciler.health()),
            ("scanner", self.scanner.health()),
        ]
    }

    /// The first file that cannot be applied, and how many more there are.
    fn manifest_problem(&self) -> Option<String> {
        let problems = self.problems.manifests.borrow();
        let first = problems.first()?;
        let more = match problems.len() {
            1 => String::new(),
            num => format!(" (and {} more; see `opendepot status`)", num - 1),
        };
        Some(format!("{first}{more}"))
    }

    /// A stored release must verify with an advertised key, or every provider install would fail.
    fn release_problem(&self) -> Option<String> {
        let (sums, signature) = self.registry.catalog().any_release()?;
        let verifies = self
            .public_keys
            .iter()
            .any(|key| key.verify(&sums, &signature).is_ok());
        unless(verifies, "no advertised key verifies a stored release")
    }
}

impl Admin for Observer {
    fn live(&self) -> Vec<Check> {
        let dead = self
            .actors()
            .into_iter()
            .find(|(name, health)| *health == Health::GivenUp && *name != "scanner");
        let loops = self.heartbeats.stopped().map(|(name, stopped)| {
            let problem =
                stopped.map(|since| format!("it has not turned for {} seconds", since.as_secs()));
            check(name, true, problem)
        });
        let mut checks: Vec<Check> = loops.collect();
        checks.extend([
            check(
                "actors",
                true,
                dead.map(|(name, _)| format!("actor `{name}` has given up")),
            ),
            check(
                "epoch-ticker",
                true,
                unless(
                    self.plugins.epoch_ticker_age() < Duration::from_secs(5),
                    "guest deadlines are not enforced",
                ),
            ),
        ]);
        checks
    }

    fn ready(&self) -> Vec<Check> {
        let is_listening = self
            .listener
            .as_ref()
            .is_none_or(|listener| !listener.is_finished());
        let mut checks = vec![
            check(
                "listener",
                true,
                unless(is_listening, "the registry's listener has ended"),
            ),
            check(
                "draining",
                true,
                unless(!self.api.is_draining(), "the process is stopping"),
            ),
            check(
                "index",
                self.serves_registry,
                unless(
                    self.feed.is_synced() && self.registry.is_built(),
                    "the first index is not built yet",
                ),
            ),
            check("release-verifies", true, self.release_problem()),
            check("signing-key", false, self.signing_problem.clone()),
            check("manifests", false, self.manifest_problem()),
            check(
                "configuration",
                false,
                self.problems.config.borrow().clone(),
            ),
            check(
                "tokens",
                false,
                self.tokens.as_ref().and_then(|tokens| tokens.failure()),
            ),
        ];
        for (name, health) in self.actors() {
            let problem = match health {
                Health::Running(_) => None,
                other => Some(format!("{other:?}")),
            };
            checks.push(check(name, false, problem));
        }
        for plugin in self.plugins.describe() {
            let mut problems = Vec::new();
            if let PluginState::Failed(reason) = &plugin.state {
                problems.push(reason.clone());
            }
            if let Some(reason) = &plugin.refused {
                problems.push(format!(
                    "a change of it is not in force, what served before serves on: {reason}"
                ));
            }
            if plugin.breaker != BreakerState::Closed {
                let text = "it failed too often in a row and is not called for a while";
                problems.push(text.to_owned());
            }
            checks.extend(problems.into_iter().map(|problem| {
                check(
                    "plugin",
                    false,
                    Some(format!("`{}`: {problem}", plugin.name)),
                )
            }));
        }
        checks
    }

    fn started(&self) -> Vec<Check> {
        vec![check(
            "index",
            self.serves_registry,
            unless(self.registry.is_built(), "the first index is not built yet"),
        )]
    }

    fn metrics(&self) -> String {
        for (name, depth) in [
            ("registry", self.registry.depth()),
            ("reconciler", self.reconciler.depth()),
            ("scanner", self.scanner.depth()),
        ] {
            metrics::gauge!("opendepot_actor_mailbox_depth", "actor" => name).set(depth as f64);
        }
        for (class, active) in [
            ("download", self.api.num_active_downloads()),
            ("metadata", self.api.num_active_metadata()),
        ] {
            metrics::gauge!("opendepot_http_server_active_requests", "class" => class)
                .set(active as f64);
        }
        self.feed.show();
        self.freshness.show();
        self.telemetry.render()
    }

    fn version(&self) -> Value {
        let plugins: Vec<Value> = self
            .plugins
            .describe()
            .into_iter()
            .map(|plugin| {
                json!({
                    "name": plugin.name.as_str(),
                    "version": plugin.version.map(|version| version.to_string()),
                    "world": plugin.world.map(|world| format!("{world:?}").to_lowercase()),
                    "digest": plugin.digest.map(|digest| digest.to_string()),
                    "source": plugin.source,
                    "grants": plugin.grants,
                    "breaker": plugin.breaker,
                    "refusedChange": plugin.refused,
                    "state": match plugin.state {
                        PluginState::Serving => json!("serving"),
                        PluginState::Failed(reason) => json!({ "failed": reason }),
                        other => json!(format!("{other:?}")),
                    },
                })
            })
            .collect();
        json!({
            "version": env!("CARGO_PKG_VERSION"),
            "features": self.features,
            "limits": self.limits,
            "plugins": plugins,
            "signingKeys": self.public_keys.iter().map(|key| key.key_id.as_str()).collect::<Vec<_>>(),
        })
    }
}

/// The advertised keys as package documents list them.
pub(crate) fn key_documents(
    keys: &[PublicKey],
    source_url: Option<&String>,
) -> Vec<SigningKeyDocument> {
    keys.iter()
        .map(|key| SigningKeyDocument::new(key, source_url.cloned()))
        .collect()
}
