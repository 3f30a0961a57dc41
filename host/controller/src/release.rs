//! Releases: once every platform of a provider version is stored, SHA256SUMS over all of them
//! is signed, once, and each Version carries the result (contract.md 3).

use crate::context::{Context, unix_now};
use crate::error::Error;
use crate::{seal, status};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use kube::{Api, Resource as _, ResourceExt as _};
use opendepot_crds::{ConditionType, MANAGER_PROVIDER, Reason, Release, Version, VersionStatus, conditions};
use opendepot_domain::{H1, ReleaseFile, ResourceName, Sha256, release};
use opendepot_identity::SealState;
use std::time::Duration;

/// How long an older release stays after all platforms carry the newer: the longest life of a
/// capability that names it.
const OLDER_STAYS_SECONDS: i64 = 600;

/// What reconciling one version's release came to.
pub(crate) struct ReleaseOutcome {
    /// Ids of the releases, newest first.
    pub(crate) ids: Vec<String>,
    /// When to look again.
    pub(crate) look_again: Option<Duration>,
    /// Why nothing could be signed.
    pub(crate) unusable_key: Option<String>,
}

/// Whether the source does not have this platform: the release goes without it.
pub(crate) fn is_unavailable(version: &Version) -> bool {
    let conditions = version.status.as_ref().map(|status| status.conditions.as_slice()).unwrap_or_default();
    conditions::find(conditions, ConditionType::Stalled)
        .is_some_and(|stalled| stalled.reason == Reason::PlatformUnavailable.as_str())
}

/// Brings the release of one version up to date. `platforms` are its live Versions.
pub(crate) async fn reconcile(
    context: &Context,
    name: &ResourceName,
    version: &opendepot_domain::Version,
    platforms: &[&Version],
) -> Result<ReleaseOutcome, Error> {
    let carried = newest(platforms);
    let nothing = |ids| ReleaseOutcome { ids, look_again: None, unusable_key: None };
    let members: Vec<&Version> = platforms.iter().copied().filter(|version| !is_unavailable(version)).collect();
    let mut files = Vec::new();
    for member in &members {
        match stored_file(context, member) {
            Some(file) => files.push(file),
            // A platform that fails otherwise holds back a new release only.
            None => return Ok(nothing(carried)),
        }
    }
    if files.is_empty() {
        return Ok(nothing(carried));
    }
    files.sort_by(|a, b| (&a.os, &a.arch).cmp(&(&b.os, &b.arch)));
    let text = release::sums_text(name, version, &files);
    let id = release::release_id(&text);
    let current = match find(platforms, &id) {
        Some(release) => release,
        None => match sign(context, &text, &id, files) {
            Ok(release) => release,
            Err(reason) => {
                return Ok(ReleaseOutcome { ids: carried, look_again: None, unusable_key: Some(reason) });
            }
        },
    };
    let now = i64::try_from(unix_now()).unwrap_or(i64::MAX);
    let all_carry = members.iter().all(|member| {
        member.status.as_ref().is_some_and(|status| status.releases.first().is_some_and(|first| first.id == id))
    });
    let is_older_over = all_carry && now - current.signed_at >= OLDER_STAYS_SECONDS;
    let mut has_older = false;
    for member in &members {
        has_older |= carry(context, member, &current, is_older_over).await?;
    }
    let look_again = has_older.then(|| {
        let left = OLDER_STAYS_SECONDS - (now - current.signed_at);
        Duration::from_secs(u64::try_from(left).unwrap_or(0).max(1))
    });
    let mut ids = vec![id.clone()];
    ids.extend(carried.into_iter().filter(|other| *other != id && has_older).take(1));
    Ok(ReleaseOutcome { ids, look_again, unusable_key: None })
}

/// Ids that the platforms carry, newest first.
fn newest(platforms: &[&Version]) -> Vec<String> {
    let mut releases: Vec<&Release> =
        platforms.iter().filter_map(|version| version.status.as_ref()).flat_map(|status| &status.releases).collect();
    releases.sort_by(|a, b| b.signed_at.cmp(&a.signed_at).then_with(|| a.id.cmp(&b.id)));
    let mut ids: Vec<String> = releases.into_iter().map(|release| release.id.clone()).collect();
    ids.dedup();
    ids.truncate(2);
    ids
}

/// A release that some platform carries already: a crash between two writes must not sign anew.
fn find(platforms: &[&Version], id: &str) -> Option<Release> {
    platforms
        .iter()
        .filter_map(|version| version.status.as_ref())
        .flat_map(|status| &status.releases)
        .find(|release| release.id == id)
        .cloned()
}

/// The line of a stored, sealed, permitted platform.
fn stored_file(context: &Context, version: &Version) -> Option<ReleaseFile> {
    if seal::check(&context.options.artifact_keys, version) == SealState::Invalid {
        return None;
    }
    let status = version.status.as_ref()?;
    let artifact = status.artifact.as_ref()?;
    Some(ReleaseFile {
        os: version.spec.operating_system.clone()?,
        arch: version.spec.architecture.clone()?,
        sha256: Sha256::from_hex(&artifact.sha256).ok()?,
        h1: H1::try_from(status.h1.clone()?).ok()?,
        size: artifact.size,
    })
}

fn sign(context: &Context, text: &str, id: &str, files: Vec<ReleaseFile>) -> Result<Release, String> {
    let signer = context.options.signer.as_ref().map_err(Clone::clone)?;
    let now = unix_now();
    opendepot_transfer::fault::point("release.sign");
    let signature = signer.sign(text.as_bytes(), now).map_err(|error| error.to_string());
    opendepot_transfer::fault::point("release.sign.done");
    let outcome = if signature.is_ok() { "ok" } else { "failed" };
    metrics::counter!("opendepot_sign_operations_total", "result" => outcome).increment(1);
    let release = opendepot_domain::Release {
        id: id.to_owned(),
        files,
        signature: STANDARD.encode(signature?),
        key_id: signer.public_key().key_id.clone(),
        signed_at: now,
    };
    Ok(Release::from(&release))
}

/// Writes the release to one Version, first in its list; answers whether an older one is left.
async fn carry(context: &Context, version: &Version, current: &Release, is_older_over: bool) -> Result<bool, Error> {
    let before = version.status.clone().unwrap_or_default();
    let mut releases = vec![current.clone()];
    let older = before.releases.iter().find(|release| release.id != current.id).filter(|_| !is_older_over);
    releases.extend(older.cloned());
    let has_older = releases.len() > 1;
    if releases == before.releases {
        return Ok(has_older);
    }
    let mut after = VersionStatus { releases, ..before.clone() };
    seal::apply(&context.options.artifact_keys, version, &mut after);
    let api: Api<Version> = context.api(&version.namespace().unwrap_or_default());
    status::patch(&api, version, version.status.as_ref(), &after, MANAGER_PROVIDER).await?;
    tracing::info!(
        k8s.name = %version.name_any(), release = %current.id, generation = version.meta().generation,
        "version `{}` carries release `{}`", version.name_any(), current.id
    );
    Ok(has_older)
}
