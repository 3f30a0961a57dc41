//! Releases: once every platform of a provider version is stored, SHA256SUMS over all of them
//! is signed, once, and each Version carries the result (contract.md 3).

use crate::context::{Context, unix_now};
use crate::error::Error;
use crate::index::Summary;
use crate::{seal, status};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use kube::Api;
use opendepot_crds::{
    Condition, ConditionType, MANAGER_PROVIDER, Reason, Release, Version, VersionStatus, conditions,
};
use opendepot_domain::{H1, ReleaseFile, ResourceName, Sha256, release};
use opendepot_identity::SealState;
use std::sync::Arc;
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
pub(crate) fn is_unavailable(list: &[Condition]) -> bool {
    conditions::find(list, ConditionType::Stalled)
        .is_some_and(|stalled| stalled.reason == Reason::PlatformUnavailable.as_str())
}

/// The line of a Version in a release, once its bytes are recorded.
pub(crate) fn file(version: &Version) -> Option<ReleaseFile> {
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

/// Brings the release of one version up to date. `platforms` are its live Versions.
pub(crate) async fn reconcile(
    context: &Context,
    name: &ResourceName,
    version: &opendepot_domain::Version,
    platforms: &[Arc<Summary>],
) -> Result<ReleaseOutcome, Error> {
    let carried = newest(platforms);
    let nothing = |ids| ReleaseOutcome {
        ids,
        look_again: None,
        unusable_key: None,
    };
    let members: Vec<&Arc<Summary>> = platforms
        .iter()
        .filter(|platform| !platform.is_unavailable)
        .collect();
    let mut files: Vec<ReleaseFile> = Vec::new();
    for member in &members {
        match &member.file {
            Some(file) => files.push(file.clone()),
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
    let now = i64::try_from(unix_now()).unwrap_or(i64::MAX);
    let carries = |member: &Arc<Summary>| {
        member
            .releases
            .first()
            .is_some_and(|(first, _)| *first == id)
    };
    let all_carry = members.iter().all(|member| carries(member));
    let signed_at = members
        .iter()
        .flat_map(|member| &member.releases)
        .find(|(other, _)| *other == id);
    let left = signed_at.map_or(OLDER_STAYS_SECONDS, |(_, at)| {
        OLDER_STAYS_SECONDS - (now - at)
    });
    let is_older_over = all_carry && left <= 0;
    let has_older = members
        .iter()
        .any(|member| member.releases.iter().any(|(other, _)| *other != id));
    let mut ids = vec![id.clone()];
    ids.extend(
        carried
            .iter()
            .filter(|other| **other != id && !is_older_over)
            .take(1)
            .cloned(),
    );
    if all_carry && !(has_older && is_older_over) {
        let look_again =
            has_older.then(|| Duration::from_secs(u64::try_from(left).unwrap_or(0).max(1)));
        return Ok(ReleaseOutcome {
            ids,
            look_again,
            unusable_key: None,
        });
    }
    // A crash between two writes must not sign anew: a sibling may carry it already.
    let current = match find(context, &members, &id).await? {
        Some(release) => release,
        None => match sign(context, &text, &id, files) {
            Ok(release) => release,
            Err(reason) => {
                return Ok(ReleaseOutcome {
                    ids: carried,
                    look_again: None,
                    unusable_key: Some(reason),
                });
            }
        },
    };
    for member in &members {
        carry(context, member, &current, is_older_over).await?;
    }
    Ok(ReleaseOutcome {
        ids,
        look_again: None,
        unusable_key: None,
    })
}

/// Ids that the platforms carry, newest first.
fn newest(platforms: &[Arc<Summary>]) -> Vec<String> {
    let mut releases: Vec<&(String, i64)> = platforms
        .iter()
        .flat_map(|platform| &platform.releases)
        .collect();
    releases.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
    let mut ids: Vec<String> = releases.into_iter().map(|(id, _)| id.clone()).collect();
    ids.dedup();
    ids.truncate(2);
    ids
}

/// The release of that id, in full, from a Version that carries it.
async fn find(
    context: &Context,
    members: &[&Arc<Summary>],
    id: &str,
) -> Result<Option<Release>, Error> {
    for member in members
        .iter()
        .filter(|member| member.releases.iter().any(|(other, _)| other == id))
    {
        let version = read(context, member).await?;
        let releases = version
            .and_then(|version| version.status)
            .map(|status| status.releases)
            .unwrap_or_default();
        if let Some(release) = releases.into_iter().find(|release| release.id == id) {
            return Ok(Some(release));
        }
    }
    Ok(None)
}

async fn read(context: &Context, member: &Summary) -> Result<Option<Version>, Error> {
    let api: Api<Version> = context.api(&member.namespace);
    api.get_opt(&member.name)
        .await
        .map_err(Error::api("read a version"))
}

fn sign(
    context: &Context,
    text: &str,
    id: &str,
    files: Vec<ReleaseFile>,
) -> Result<Release, String> {
    let signer = context.options.signer.as_ref().map_err(Clone::clone)?;
    let now = unix_now();
    opendepot_transfer::fault::point("release.sign");
    let signature = signer
        .sign(text.as_bytes(), now)
        .map_err(|error| error.to_string());
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

/// Writes the release to one Version, first in its list.
async fn carry(
    context: &Context,
    member: &Summary,
    current: &Release,
    is_older_over: bool,
) -> Result<(), Error> {
    // Read anew: the bytes must still be those that the release lists.
    let Some(version) = read(context, member).await? else {
        return Ok(());
    };
    let before = version.status.clone().unwrap_or_default();
    let is_listed = file(&version).is_some_and(|file| {
        current.files.iter().any(|listed| {
            listed.os == file.os
                && listed.arch == file.arch
                && listed.sha256 == file.sha256.to_string()
        })
    });
    if !is_listed || seal::check(&context.options.artifact_keys, &version) == SealState::Invalid {
        return Ok(());
    }
    let mut releases = vec![current.clone()];
    let older = before
        .releases
        .iter()
        .find(|release| release.id != current.id)
        .filter(|_| !is_older_over);
    releases.extend(older.cloned());
    if releases == before.releases {
        return Ok(());
    }
    let mut after = VersionStatus { releases, ..before };
    seal::apply(&context.options.artifact_keys, &version, &mut after);
    let api: Api<Version> = context.api(&member.namespace);
    status::patch(
        &api,
        &version,
        version.status.as_ref(),
        &after,
        MANAGER_PROVIDER,
    )
    .await?;
    tracing::info!(k8s.name = %member.name, release = %current.id, "version `{}` carries release `{}`", member.name, current.id);
    Ok(())
}
