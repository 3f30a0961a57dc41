//! The seal of a Version's status: a MAC over everything in it that serving and deletion read
//! (contract.md 3). What is not sealed by us counts as not stored.

use opendepot_crds::{Seal, StatusArtifact, Version, VersionStatus};
use opendepot_domain::canonical::Canonical;
use opendepot_identity::{ArtifactKeys, SealState};

/// What the seal covers, in an unambiguous form. No uid, so that a restored backup is served.
#[must_use]
pub fn input(version: &Version, status: &VersionStatus) -> Canonical {
    let mut input = Canonical::new("opendepot-version-status-v1");
    let spec = &version.spec;
    let kind = format!("{:?}", spec.type_);
    let text = |value: &Option<String>| value.clone().unwrap_or_default();
    input
        .field(&text(&version.metadata.namespace))
        .field(&kind)
        .field(&text(&version.metadata.name))
        .field(&spec.version)
        .field(&text(&spec.operating_system))
        .field(&text(&spec.architecture))
        .field(&text(&status.sha256))
        .field(&text(&status.h1))
        .field(&text(&status.published_at));
    for place in [&status.artifact, &status.pending, &status.previous] {
        record(&mut input, place.as_ref());
    }
    list(&mut input, status.protocols.iter().map(String::as_str));
    list(
        &mut input,
        status.releases.iter().map(|release| release.id.as_str()),
    );
    for release in &status.releases {
        input
            .field(&release.signature)
            .field(&release.key_id)
            .field(&release.signed_at.to_string());
        input.field(&release.files.len().to_string());
        for file in &release.files {
            input
                .field(&file.os)
                .field(&file.arch)
                .field(&file.sha256)
                .field(&file.h1)
                .field(&file.size.to_string());
        }
    }
    match &status.verdict {
        None => input.field("0"),
        Some(verdict) => input
            .field(&format!("{:?}", verdict.result))
            .field(&verdict.reason),
    };
    input
}

fn record(input: &mut Canonical, place: Option<&StatusArtifact>) {
    match place {
        None => {
            input.field("0");
        }
        Some(place) => {
            input
                .field("1")
                .field(&place.plugin)
                .field(&place.store)
                .field(&place.key)
                .field(&place.file_name)
                .field(&place.media_type)
                .field(&place.size.to_string())
                .field(&place.sha256);
        }
    }
}

fn list<'a>(input: &mut Canonical, items: impl ExactSizeIterator<Item = &'a str>) {
    input.field(&items.len().to_string());
    for item in items {
        input.field(item);
    }
}

/// Seals `status` as it is.
pub fn apply(keys: &ArtifactKeys, version: &Version, status: &mut VersionStatus) {
    let seal = keys.seal(&input(version, status));
    status.seal = Some(Seal {
        key_id: seal.key_id,
        mac: seal.mac,
    });
}

/// Whether the status of `version` is ours.
#[must_use]
pub fn check(keys: &ArtifactKeys, version: &Version) -> SealState {
    match version
        .status
        .as_ref()
        .and_then(|status| Some((status, status.seal.as_ref()?)))
    {
        None => SealState::Invalid,
        Some((status, seal)) => keys.check_seal(&input(version, status), &seal.key_id, &seal.mac),
    }
}

#[cfg(test)]
#[path = "seal_tests.rs"]
mod tests;
