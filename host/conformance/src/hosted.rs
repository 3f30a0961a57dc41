//! A storage plugin in a real host, with grants: what comes out has passed all of its checks, and is
//! carried out where something here can do that.

use crate::planner::{Planner, domain_artifact};
use crate::sample;
use crate::session::Session;
use crate::storage::{PRESIGN_SECONDS, Plans};
use crate::{ByteStore, Error, Options, StoreBytes, data};
use opendepot_domain::{Artifact, Operation};
use opendepot_plugin::{GrantsConfig, SecretGrantConfig, StoreGrantConfig};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

pub(crate) async fn check(
    session: &mut Session,
    plugin: &Path,
    options: &Options,
    grants: GrantsConfig,
) -> Result<(), Error> {
    let temp = tempfile::tempdir().map_err(|e| Error::Host(e.to_string()))?;
    let root = temp.path().join("root");
    let files = StoreBytes::files(&root).map_err(|e| Error::Host(e.to_string()))?;
    let planner = match Planner::load(session, plugin, options, grants, &root).await? {
        Ok(planner) => planner,
        Err(reason) => {
            session.note("loads", Err(reason));
            return Ok(());
        }
    };
    session.note("loads", Ok(()));
    let granted = granted(&planner).await;
    session.note("placement-granted", granted);
    let planned = planned(&planner).await;
    session.note("plan", planned);
    let large = large(&planner).await;
    session.note("plan-large", large);
    let artifact = sample::artifact();
    let plan = match domain_artifact(&artifact) {
        Ok(artifact) => match planner.locate(&artifact).await {
            Ok(place) => planner.plan(&place, &artifact, Operation::Put).await,
            Err(reason) => Err(reason),
        },
        Err(reason) => Err(reason),
    };
    let bytes: Arc<dyn ByteStore> = match &options.bytes {
        Some(bytes) => Arc::clone(bytes),
        None => Arc::new(files),
    };
    match plan {
        Ok(plan) if bytes.carries(&plan) => {
            let links = options.links.as_deref();
            for check in data::check(&planner, &*bytes, links, temp.path()).await {
                session.add(check);
            }
        }
        Ok(_) => session.skip(
            "data",
            "its plans are not for `file:///`, and nothing else is written here",
        ),
        Err(_) => session.skip("data", "there is no plan to carry out"),
    }
    Ok(())
}

async fn granted(planner: &Planner) -> Result<(), String> {
    for artifact in sample::artifacts() {
        planner.locate(&domain_artifact(&artifact)?).await?;
    }
    Ok(())
}

/// Every operation of every artifact passes the host's checks of plans.
async fn planned(planner: &Planner) -> Result<(), String> {
    for artifact in sample::artifacts() {
        has_plans(planner, &domain_artifact(&artifact)?).await?;
    }
    Ok(())
}

/// Sizes that take more than 32 bits, or more than one request to a store of the clouds, have plans
/// as any. Nothing moves.
async fn large(planner: &Planner) -> Result<(), String> {
    const GIB: u64 = 1 << 30;
    let mut artifact = domain_artifact(&sample::artifact())?;
    let sizes = [4, 5].map(|gib| [gib * GIB - 1, gib * GIB, gib * GIB + 1]);
    for size in sizes.into_iter().flatten().chain([5 << 40]) {
        artifact.size = size;
        let planned = has_plans(planner, &artifact).await;
        planned.map_err(|reason| format!("an artifact of {size} bytes: {reason}"))?;
    }
    Ok(())
}

async fn has_plans(planner: &Planner, artifact: &Artifact) -> Result<(), String> {
    let place = planner.locate(artifact).await?;
    for operation in [
        Operation::Get,
        Operation::Head,
        Operation::Put,
        Operation::Delete,
        Operation::Prepare,
    ] {
        planner.plan(&place, artifact, operation).await?;
    }
    // Where it makes no links the host streams; anything else that is refused is a mistake.
    let link = planner
        .plan(&place, artifact, Operation::Presign(PRESIGN_SECONDS))
        .await;
    match link {
        Err(reason) if !reason.contains("unsupported") => Err(reason),
        _ => Ok(()),
    }
}

/// What the plugin's own answers need, so that a suite needs no operator.
pub(crate) fn needed_grants(
    session: &Session,
    placements: &[Value],
    plans: &Plans,
) -> GrantsConfig {
    let stores: BTreeSet<&str> = placements
        .iter()
        .filter_map(|place| place.get("store")?.as_str())
        // A server is granted as a host, which its plans name.
        .filter(|store| !store.starts_with("https://") && !store.starts_with("http://"))
        .collect();
    let mut hosts = BTreeSet::new();
    for plan in plans
        .iter()
        .filter_map(|(_, plan)| plan.as_ref().ok()?.as_ref().ok())
    {
        let url = plan.pointer("/signed/url").and_then(Value::as_str);
        let Some(url) = url.and_then(|url| url::Url::parse(url).ok()) else {
            continue;
        };
        if let (Some(host), Some(port)) = (url.host_str(), url.port_or_known_default()) {
            let scheme = if url.scheme() == "http" {
                "http://"
            } else {
                ""
            };
            hosts.insert(format!("{scheme}{host}:{port}"));
        }
    }
    let hosts: Vec<String> = hosts.into_iter().collect();
    let secrets = session.invoker.facts().needs.secrets.iter();
    GrantsConfig {
        stores: stores
            .into_iter()
            .map(|store| StoreGrantConfig {
                pattern: store.to_owned(),
                endpoint: None,
                region: None,
                options: BTreeMap::new(),
                credentials: None,
            })
            .collect(),
        secrets: secrets
            // Any that the operator grants, of whom there is none here.
            .filter(|name| *name != "*")
            .map(|name| {
                (
                    name.clone(),
                    SecretGrantConfig {
                        hosts: hosts.clone(),
                    },
                )
            })
            .collect(),
        hosts,
        ..GrantsConfig::default()
    }
}
