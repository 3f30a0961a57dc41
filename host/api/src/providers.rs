//! The provider registry protocol's documents (protocols.md 1.5, contract.md 4).

use crate::access::unix_now;
use crate::documents;
use crate::error::ApiError;
use crate::grammar::{Address, ArtifactQuery};
use crate::routes::Call;
use axum::response::Response;
use bytes::Bytes;
use http::{StatusCode, header};
use opendepot_actors::registry::{Catalog, ProviderVersion, ServedRelease, package_key};
use opendepot_domain::{Action, Capability, Platform, Purpose, Target};
use std::sync::Arc;

pub(crate) async fn versions(call: &Call<'_>, address: Address) -> Result<Response, ApiError> {
    let _permit = call.state.metadata_permit()?;
    let caller = call.caller().await?;
    caller
        .check(&[Action::ListVersions], &address.target)
        .await?;
    let catalog = call.state.registry().catalog();
    let entry = catalog
        .provider(
            address.target.namespace.as_str(),
            address.target.name.as_str(),
        )
        .ok_or_else(|| no_provider(&address))?;
    Ok(documents::json(call.headers, &entry.versions))
}

pub(crate) async fn package(call: &Call<'_>, address: Address) -> Result<Response, ApiError> {
    let _permit = call.state.metadata_permit()?;
    let caller = call.caller().await?;
    caller
        .check(&[Action::ReadPackage, Action::Download], &address.target)
        .await?;
    let catalog = call.state.registry().catalog();
    let version = version(&catalog, &address)?;
    let platform = address.platform()?;
    let release = version
        .releases
        .first()
        .ok_or_else(|| no_version(&address))?;
    let package = release
        .package(platform.os(), platform.arch())
        .ok_or_else(|| no_package(&address, version, platform))?;
    let body = package.document(
        version,
        release,
        call.state.registry().render_context(),
        unix_now(),
    );
    let mut response = documents::private_json(body);
    documents::no_referrer(response.headers_mut());
    Ok(response)
}

/// SHA256SUMS or its signature.
pub(crate) async fn release(
    call: &Call<'_>,
    address: Address,
    purpose: Purpose,
) -> Result<Response, ApiError> {
    let bytes = release_bytes(call, &address, purpose).await?;
    let content_type = match purpose {
        Purpose::Signature => "application/octet-stream",
        _ => "text/plain; charset=utf-8",
    };
    Ok(documents::private(bytes, content_type))
}

/// What is asked for, under a capability for one release or a credential.
async fn release_bytes(
    call: &Call<'_>,
    address: &Address,
    purpose: Purpose,
) -> Result<Bytes, ApiError> {
    let state = call.state;
    let query = ArtifactQuery::parse(call.uri.query())?;
    let _permit = state.metadata_permit()?;
    let pick = |release: &ServedRelease| match purpose {
        Purpose::Signature => release.signature.clone(),
        _ => release.sums.clone(),
    };
    if !query.has_capability() {
        authorize_bytes(call, &address.target).await?;
        let catalog = state.registry().catalog();
        let version = version(&catalog, address)?;
        let platform = address.platform()?;
        let release = version
            .releases
            .first()
            .ok_or_else(|| no_version(address))?;
        return release
            .package(platform.os(), platform.arch())
            .map(|_| pick(release))
            .ok_or_else(|| no_package(address, version, platform));
    }
    let (expires, text) = query.capability()?;
    let catalog = state.registry().catalog();
    let verify = |id: &opendepot_domain::ArtifactId, release: &str| {
        let Ok(digest) = opendepot_domain::Sha256::from_hex(release) else {
            return false;
        };
        let capability = Capability {
            purpose,
            id,
            release,
            sha256: &digest,
            expires,
        };
        state.options().artifact_keys.verify(&capability, text)
    };
    let platform = address.platform()?;
    if let Ok(version) = version(&catalog, address) {
        for release in &version.releases {
            if let Some(package) = release.package(platform.os(), platform.arch())
                && verify(&package.id, &release.id)
            {
                check_alive(expires)?;
                return Ok(pick(release));
            }
        }
    }
    Err(refused(&catalog, address, expires, verify))
}

/// 410 for a valid capability whose artifact went away lately, else 403.
pub(crate) fn refused(
    catalog: &Catalog,
    address: &Address,
    expires: u64,
    verify: impl Fn(&opendepot_domain::ArtifactId, &str) -> bool,
) -> ApiError {
    let (Ok(version), Ok(platform)) = (address.version(), address.platform()) else {
        return invalid_link();
    };
    let (namespace, name) = (
        address.target.namespace.as_str(),
        address.target.name.as_str(),
    );
    let key = package_key(namespace, name, version, platform.os(), platform.arch());
    match catalog.gone(&key) {
        Some(gone)
            if expires > unix_now()
                && gone
                    .releases
                    .iter()
                    .any(|release| verify(&gone.id, release)) =>
        {
            ApiError::new(StatusCode::GONE, "this artifact is no longer published")
        }
        _ => invalid_link(),
    }
}

pub(crate) fn invalid_link() -> ApiError {
    ApiError::new(
        StatusCode::FORBIDDEN,
        "this link is not valid; ask the registry for a new one",
    )
}

/// 403 once the capability's time is over.
pub(crate) fn check_alive(expires: u64) -> Result<(), ApiError> {
    // 30 s of skew between replicas is tolerated (A34).
    if expires + 30 > unix_now() {
        return Ok(());
    }
    Err(ApiError::new(
        StatusCode::FORBIDDEN,
        "this link has expired; ask the registry for a new one",
    ))
}

/// The credential of a byte route without a capability: it must be there, and have `download`.
pub(crate) async fn authorize_bytes(call: &Call<'_>, target: &Target) -> Result<(), ApiError> {
    if is_bare_link(call) {
        return Ok(());
    }
    call.caller()
        .await?
        .check(&[Action::Download], target)
        .await
}

/// A link of the original without a credential, where the operator lets those in.
pub(crate) fn is_bare_link(call: &Call<'_>) -> bool {
    call.state.options().allow_unsigned && !call.headers.contains_key(header::AUTHORIZATION)
}

pub(crate) fn version<'a>(
    catalog: &'a Catalog,
    address: &Address,
) -> Result<&'a Arc<ProviderVersion>, ApiError> {
    let version = address.version()?;
    catalog
        .provider(
            address.target.namespace.as_str(),
            address.target.name.as_str(),
        )
        .ok_or_else(|| no_provider(address))?
        .version(version)
        .ok_or_else(|| no_version(address))
}

fn no_provider(address: &Address) -> ApiError {
    ApiError::not_found(format!(
        "there is no provider `{}/{}` in this registry",
        address.target.namespace, address.target.name
    ))
}

fn no_version(address: &Address) -> ApiError {
    let version = address
        .target
        .version
        .as_ref()
        .map(ToString::to_string)
        .unwrap_or_default();
    let (namespace, name) = (&address.target.namespace, &address.target.name);
    ApiError::not_found(format!(
        "provider `{namespace}/{name}` has no published version `{version}`"
    ))
}

pub(crate) fn no_package(
    address: &Address,
    version: &ProviderVersion,
    platform: &Platform,
) -> ApiError {
    let (namespace, name, version) = (
        &address.target.namespace,
        &address.target.name,
        &version.version,
    );
    ApiError::not_found(format!(
        "provider `{namespace}/{name}` `{version}` has no package for `{platform}`"
    ))
}
