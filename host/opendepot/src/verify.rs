//! `verify`: every stored artifact against what its Version records.

use crate::cli::VerifyArgs;
use crate::config::Config;
use crate::control;
use crate::data::DataDir;
use crate::egress::Egress;
use crate::oci::Puller;
use crate::orphans;
use anyhow::{Context as _, bail};
use indicatif::{ProgressBar, ProgressStyle};
use kube::api::{ListParams, Patch, PatchParams};
use kube::{Api, ResourceExt as _};
use opendepot_controller::seal;
use opendepot_crds::{ANNOTATION_REQUESTED_AT, MANAGER_VERSION, Version};
use opendepot_domain::seam::StorageDecisions as _;
use opendepot_domain::{Artifact, ArtifactRecord, Kind, Operation};
use opendepot_identity::{ArtifactKeys, SealState};
use opendepot_plugin::PluginHost;
use opendepot_transfer::{Expected, Stores, StoresConfig};
use serde_json::json;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

/// Nobody watches while it runs.
const WATCH_HISTORY: usize = 16;

/// What one artifact came to.
enum Finding {
    Whole,
    Missing,
    Damaged,
    Unsealed,
    Unreachable(String),
}

/// Runs the command: exit 0 when everything is whole.
pub(crate) fn run(config: Config, args: &VerifyArgs) -> anyhow::Result<ExitCode> {
    let runtime = tokio::runtime::Runtime::new()?;
    runtime.block_on(verify(config, args))
}

async fn verify(config: Config, args: &VerifyArgs) -> anyhow::Result<ExitCode> {
    if !config.data_dir.is_dir() {
        bail!("there is no data directory `{}`", config.data_dir.display());
    }
    let data = DataDir::at(&config.data_dir);
    let client = match control::client(&data.socket()).await {
        Some(client) => client,
        None => data.open_store(WATCH_HISTORY)?.client("default"),
    };
    let keys = data.artifact_keys(&config)?;
    let egress = Egress::new(&config)?;
    let services = Puller::new(&config)?.with(egress.services());
    let plugins = PluginHost::load_with(crate::plugins::host_config(&config)?, services).await?;
    let stores = Stores::open(StoresConfig::new(&config.filesystem_root))?;
    let stores = egress.stores(stores, &plugins);
    let api: Api<Version> = Api::all(client.clone());
    let versions = api
        .list(&ListParams::default())
        .await
        .context("cannot list the versions")?
        .items;
    let bar = progress(&versions);
    let verifier = Verifier {
        keys,
        plugins,
        stores,
        bar: bar.clone(),
    };
    let (mut num_whole, mut num_bad) = (0_usize, 0_usize);
    for version in versions
        .iter()
        .filter(|version| recorded(version).is_some())
    {
        let name = format!(
            "{}/{}",
            version.namespace().unwrap_or_default(),
            version.name_any()
        );
        let finding = verifier.look(version).await;
        let (label, must_repair) = match &finding {
            Finding::Whole => {
                num_whole += 1;
                continue;
            }
            Finding::Missing => ("missing".to_owned(), true),
            Finding::Damaged => ("damaged".to_owned(), true),
            Finding::Unsealed => ("its record carries no valid seal".to_owned(), true),
            Finding::Unreachable(reason) => (format!("cannot be read: {reason}"), false),
        };
        num_bad += 1;
        bar.suspend(|| eprintln!("{name}: {label}"));
        if args.repair && must_repair {
            verifier
                .repair(version, &finding, &client)
                .await
                .with_context(|| format!("cannot repair `{name}`"))?;
            bar.suspend(|| eprintln!("{name}: asked the registry to sync it again"));
        }
    }
    bar.finish_and_clear();
    crate::say(&format!("{num_whole} whole, {num_bad} not\n"))?;
    if args.orphans {
        verifier.orphans(&versions, &api, args).await?;
    }
    Ok(if num_bad == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

fn recorded(version: &Version) -> Option<ArtifactRecord> {
    ArtifactRecord::try_from(version.status.as_ref()?.artifact.as_ref()?).ok()
}

/// A bar over all bytes, drawn when a terminal watches.
fn progress(versions: &[Version]) -> ProgressBar {
    let total = versions
        .iter()
        .filter_map(recorded)
        .map(|record| record.size)
        .sum();
    let bar = ProgressBar::new(total);
    if let Ok(style) = ProgressStyle::with_template(
        "verifying {bar:30} {bytes}/{total_bytes} {bytes_per_sec} {msg}",
    ) {
        bar.set_style(style);
    }
    bar
}

pub(crate) struct Verifier {
    keys: Arc<ArtifactKeys>,
    plugins: PluginHost,
    pub(crate) stores: Stores,
    bar: ProgressBar,
}

impl Verifier {
    async fn look(&self, version: &Version) -> Finding {
        let Some(record) = recorded(version) else {
            return Finding::Whole;
        };
        if seal::check(&self.keys, version) == SealState::Invalid {
            return Finding::Unsealed;
        }
        self.bar.set_message(version.name_any());
        let plan = match self.plan(version, &record, Operation::Get).await {
            Ok(plan) => plan,
            Err(reason) => return Finding::Unreachable(reason),
        };
        let expected = Expected {
            size: record.size,
            sha256: record.sha256,
        };
        let before = self.bar.position();
        let result = self
            .stores
            .verify(&plan, expected, &|done| {
                self.bar.set_position(before + done)
            })
            .await;
        self.bar.set_position(before + record.size);
        match result {
            Ok(()) => Finding::Whole,
            Err(error) if error.kind() == Kind::NotFound => Finding::Missing,
            Err(error) if error.kind() == Kind::Corrupt => Finding::Damaged,
            Err(error) => Finding::Unreachable(error.to_string()),
        }
    }

    pub(crate) async fn plan(
        &self,
        version: &Version,
        record: &ArtifactRecord,
        operation: Operation,
    ) -> Result<opendepot_domain::Transfer, String> {
        let (id, config_name) =
            opendepot_controller::identity(version).map_err(|refusal| refusal.to_string())?;
        let artifact = Artifact {
            id,
            config_name,
            file_name: record.file_name.clone(),
            media_type: record.media_type.clone(),
            size: record.size,
            sha256: record.sha256,
        };
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |elapsed| elapsed.as_secs());
        self.plugins
            .plan(record, &artifact, operation, now)
            .await
            .map_err(|error| error.to_string())
    }

    /// Lists what no Version records, and removes it where that is asked for.
    async fn orphans(
        &self,
        versions: &[Version],
        api: &Api<Version>,
        args: &VerifyArgs,
    ) -> anyhow::Result<ExitCode> {
        let found = orphans::find(self, versions).await;
        for folder in &found.unlisted {
            eprintln!("cannot be listed: {folder}");
        }
        let (now, mut num_removed) = (SystemTime::now(), 0_usize);
        let mut stay = Vec::new();
        let mut leave = Vec::new();
        for orphan in &found.orphans {
            match orphan.stays(args.grace, now) {
                Some(reason) => stay.push(format!("{}: {reason}", orphan.shown())),
                None if !args.collect => stay.push(orphan.shown()),
                None => leave.push(orphan),
            }
        }
        if !leave.is_empty() {
            // The second look: what was recorded since the first is no orphan.
            let again = api.list(&ListParams::default()).await;
            let again = again.context("cannot list the versions again")?.items;
            for orphan in leave {
                if orphans::remove(self, orphan, &again).await? {
                    num_removed += 1;
                    eprintln!("removed: {}", orphan.shown());
                }
            }
        }
        for orphan in &stay {
            eprintln!("no version records {orphan}");
        }
        crate::say(&format!(
            "{} orphans, {num_removed} of them removed\n",
            found.orphans.len()
        ))
    }

    /// Removes damaged bytes, so that the create-only put can succeed, and asks for a sync; an
    /// administrator's `--repair` adopts a record without our seal by syncing it anew.
    async fn repair(
        &self,
        version: &Version,
        finding: &Finding,
        client: &kube::Client,
    ) -> anyhow::Result<()> {
        if let (Finding::Damaged, Some(record)) = (finding, recorded(version)) {
            let plan = self
                .plan(version, &record, Operation::Delete)
                .await
                .map_err(anyhow::Error::msg)?;
            self.stores.delete(&plan).await?;
        }
        let api: Api<Version> =
            Api::namespaced(client.clone(), &version.namespace().unwrap_or_default());
        let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
        let patch = json!({ "metadata": { "annotations": { ANNOTATION_REQUESTED_AT: opendepot_crds::rfc3339(now) } } });
        let params = PatchParams {
            field_manager: Some(MANAGER_VERSION.to_owned()),
            ..PatchParams::default()
        };
        api.patch(&version.name_any(), &params, &Patch::Merge(&patch))
            .await?;
        Ok(())
    }
}
