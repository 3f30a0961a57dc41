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
    Condition, ConditionType, MANAGER_PROVIDER, Reason, Release, VerdictResult, Version,
    VersionStatus, conditions,
};
use opendepot_domain::{H1, ReleaseFile, ResourceName, Sha256, release};
use opendepot_identity::SealState;
use parking_lot::Mutex;
use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long an older release stays after all platforms carry the newer: the longest life of a
/// capability that names it.
const OLDER_STAYS: Duration = Duration::from_secs(600);

/// Since when every platform of a version carries its release while an older one is left. Kept
/// in memory: after a restart an older release stays its whole time once more.
#[derive(Debug, Default)]
pub(crate) struct Completed {
    /// By owner uid and version: the release, and since when.
    since: Mutex<HashMap<(String, opendepot_domain::Version), (String, Instant)>>,
}

impl Completed {
    /// How much longer the older release stays, seen complete at `now`.
    fn left(
        &self,
        owner: &str,
        version: &opendepot_domain::Version,
        id: &str,
        now: Instant,
    ) -> Duration {
        let mut since = self.since.lock();
        // Versions that went away meanwhile must not pile up.
        since.retain(|_, (_, at)| now.saturating_duration_since(*at) < OLDER_STAYS * 2);
        let (seen, at) = since
            .entry((owner.to_owned(), version.clone()))
            .or_insert_with(|| (id.to_owned(), now));
        if seen != id {
            (*seen, *at) = (id.to_owned(), now);
        }
        OLDER_STAYS.saturating_sub(now.saturating_duration_since(*at))
    }

    fn forget(&self, owner: &str, version: &opendepot_domain::Version) {
        self.since
            .lock()
            .remove(&(owner.to_owned(), version.clone()));
    }
}

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

/// The line of a Version in a release, once its bytes are recorded and may be served.
pub(crate) fn file(version: &Version) -> Option<ReleaseFile> {
    let status = version.status.as_ref()?;
    let artifact = status.artifact.as_ref()?;
    let verdict = status.verdict.as_ref()?;
    (verdict.result != VerdictResult::Block).then_some(())?;
    Some(ReleaseFile {
        os: version.spec.operating_system.clone()?,
        arch: version.spec.architecture.clone()?,
        sha256: Sha256::from_hex(&artifact.sha256).ok()?,
        h1: H1::try_from(status.h1.clone()?).ok()?,
        size: artifact.size,
    })
}

/// Brings the release of one version up to date. `platforms` are its live Versions;
/// `is_complete` says that none that is wanted is still to be seen.
pub(crate) async fn reconcile(
    context: &Context,
    name: &ResourceName,
    version: &opendepot_domain::Version,
    platforms: &[Arc<Summary>],
    is_complete: bool,
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
    if files.is_empty() || !is_complete {
        return Ok(nothing(carried));
    }
    files.sort_by(|a, b| (&a.os, &a.arch).cmp(&(&b.os, &b.arch)));
    let text = release::sums_text(name, version, &files);
    let id = release::release_id(&text);
    let all_carry = members.iter().all(|member| {
        let first = member.releases.first();
        first.is_some_and(|(first, _)| *first == id)
    });
    let has_older = members
        .iter()
        .any(|member| member.releases.iter().any(|(other, _)| *other != id));
    let owner = members.first().map_or("", |member| &member.owner.uid);
    let left = if all_carry && has_older {
        context.completed.left(owner, version, &id, Instant::now())
    } else {
        context.completed.forget(owner, version);
        OLDER_STAYS
    };
    let is_older_over = left.is_zero();
    let mut ids = vec![id.clone()];
    ids.extend(
        carried
            .iter()
            .filter(|other| **other != id && !is_older_over)
            .take(1)
            .cloned(),
    );
    if all_carry && !is_older_over {
        return Ok(ReleaseOutcome {
            ids,
            look_again: has_older.then_some(left),
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

/// Ids that the platforms carry, newest first: what stands first comes first, because an older
/// release that is wanted again comes back as it was signed.
fn newest(platforms: &[Arc<Summary>]) -> Vec<String> {
    let mut ranks: BTreeMap<&str, (usize, Reverse<i64>)> = BTreeMap::new();
    for platform in platforms {
        for (position, (id, signed_at)) in platform.releases.iter().enumerate() {
            let rank = ranks.entry(id).or_insert((position, Reverse(*signed_at)));
            rank.0 = rank.0.max(position);
        }
    }
    let mut ids: Vec<&str> = ranks.keys().copied().collect();
    ids.sort_by_key(|id| ranks.get(id).copied());
    ids.into_iter().take(2).map(str::to_owned).collect()
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
    let started = Instant::now();
    let signature = signer
        .sign(text.as_bytes(), now)
        .map_err(|error| error.to_string());
    opendepot_transfer::fault::point("release.sign.done");
    crate::metric::signed(signature.is_ok(), started);
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_older_release_stays_its_time_after_all_carry_the_newer() {
        let (completed, start) = (Completed::default(), Instant::now());
        let version: opendepot_domain::Version = "1.0.0".parse().unwrap();
        let at = |after: u64| start + Duration::from_secs(after);
        let left = |id: &str, after: u64| completed.left("u", &version, id, at(after));
        assert_eq!(left("a", 0), OLDER_STAYS);
        assert_eq!(left("a", 100), Duration::from_secs(500));
        // Another owner's clock is its own.
        assert_eq!(completed.left("other", &version, "a", at(100)), OLDER_STAYS);
        assert_eq!(left("a", 600), Duration::ZERO);
        // Another release begins anew, also one that was complete before.
        assert_eq!(left("b", 601), OLDER_STAYS);
        assert_eq!(left("a", 602), OLDER_STAYS);
        completed.forget("u", &version);
        assert_eq!(left("a", 5_000), OLDER_STAYS);
        assert_eq!(
            completed.since.lock().len(),
            1,
            "what never ended is forgotten"
        );
    }
}
