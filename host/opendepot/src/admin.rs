//! What the admin listener shows.

use crate::telemetry::Telemetry;
use opendepot_actors::registry::SigningKeyDocument;
use opendepot_actors::supervisor::Health;
use opendepot_actors::{ReconcilerHandle, RegistryHandle, ScannerHandle};
use opendepot_api::ApiState;
use opendepot_api::admin::{Admin, Check};
use opendepot_controller::Feed;
use opendepot_plugin::{PluginHost, PluginState};
use opendepot_signing::PublicKey;
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;

/// Everything that health depends on.
pub(crate) struct Observer {
    pub(crate) telemetry: Arc<Telemetry>,
    pub(crate) api: ApiState,
    pub(crate) feed: Feed,
    pub(crate) registry: RegistryHandle,
    pub(crate) reconciler: ReconcilerHandle,
    pub(crate) scanner: ScannerHandle,
    pub(crate) plugins: PluginHost,
    pub(crate) public_keys: Vec<PublicKey>,
    pub(crate) signing_problem: Option<String>,
    pub(crate) limits: Value,
    pub(crate) serves_registry: bool,
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
    fn actors(&self) -> [(&'static str, Health); 3] {
        [
            ("registry", self.registry.health()),
            ("reconciler", self.reconciler.health()),
            ("scanner", self.scanner.health()),
        ]
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
        vec![
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
        ]
    }

    fn ready(&self) -> Vec<Check> {
        let mut checks = vec![
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
        ];
        for (name, health) in self.actors() {
            let problem = match health {
                Health::Running(_) => None,
                other => Some(format!("{other:?}")),
            };
            checks.push(check(name, false, problem));
        }
        for plugin in self.plugins.describe() {
            if let PluginState::Failed(reason) = &plugin.state {
                checks.push(check(
                    "plugin",
                    false,
                    Some(format!("`{}`: {reason}", plugin.name)),
                ));
            }
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
        ] {
            metrics::gauge!("opendepot_actor_mailbox_depth", "actor" => name).set(depth as f64);
        }
        metrics::gauge!("opendepot_http_server_active_requests", "class" => "download")
            .set(self.api.num_active_downloads() as f64);
        metrics::gauge!("opendepot_http_server_active_requests", "class" => "all")
            .set(self.api.num_active_requests() as f64);
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
            "features": { "controlPlane": "embedded", "registry": self.serves_registry },
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
