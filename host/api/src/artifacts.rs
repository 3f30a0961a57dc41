//! The bytes: module archives and provider packages, under a capability or a credential.

use crate::access::unix_now;
use crate::delivery::{Download, Subject};
use crate::error::ApiError;
use crate::grammar::{Address, ArtifactQuery};
use crate::modules::DOWNLOAD_BASE;
use crate::providers::{
    authorize_bytes, check_alive, invalid_link, is_bare_link, no_package, refused, version,
};
use crate::routes::Call;
use crate::state::ApiState;
use axum::response::Response;
use http::StatusCode;
use opendepot_actors::registry::{Catalog, Package};
use opendepot_domain::access::Labels;
use opendepot_domain::{
    ArtifactId, ArtifactKind, ArtifactRecord, Capability, Operation, Platform, Purpose, Sha256,
    Target,
};
use std::path::{Component, Path, PathBuf};

pub(crate) async fn module(call: &Call<'_>) -> Result<Response, ApiError> {
    let (state, uri) = (call.state, call.uri);
    let query = ArtifactQuery::parse(uri.query())?;
    // The raw path: coordinates are compared with records as they were emitted, never decoded.
    let path = uri.path().strip_prefix(DOWNLOAD_BASE).unwrap_or_default();
    check_backend_path(state, path)?;
    let catalog = state.registry().catalog_full();
    let published = catalog.module_by_backend_path(path);

    if query.has_capability() {
        let (expires, text) = query.capability()?;
        let verify = |id: &ArtifactId, sha256: &Sha256| {
            let capability = Capability {
                purpose: Purpose::Module,
                id,
                release: "",
                sha256,
                expires,
            };
            state.options().artifact_keys.verify(&capability, text)
        };
        match published {
            Some(version) if verify(&version.id, &version.record.sha256) => check_alive(expires)?,
            None => return Err(gone_module(&catalog, path, expires, verify)),
            Some(_) => return Err(invalid_link()),
        }
    } else {
        let gone = || catalog.gone(path).map(|gone| &gone.id);
        match published.map(|version| &version.id).or_else(gone) {
            Some(id) => authorize_bytes(call, &module_target(id)).await?,
            None => authorize_unknown(call).await?,
        }
    }
    let version = published
        .ok_or_else(|| ApiError::not_found("no published module has this download path"))?;
    check_file_checksum(&query, &version.record)?;
    let download = Download {
        state,
        subject: Subject {
            kind: ArtifactKind::Module,
            id: &version.id,
            object_name: &version.object_name,
        },
        record: &version.record,
        presign: version.presign,
        attachment: None,
    };
    let registry = state.registry();
    let plan = |operation: Operation| registry.plan_module(version, operation, unix_now());
    download.answer(call.method, call.headers, plan).await
}

pub(crate) async fn package(call: &Call<'_>, mut address: Address) -> Result<Response, ApiError> {
    let state = call.state;
    let query = ArtifactQuery::parse(call.uri.query())?;
    address.target.platform = match (&query.os, &query.arch) {
        (Some(os), Some(arch)) => Some(Platform::new(os, arch)?),
        (None, None) => None,
        _ => return Err(ApiError::bad_request("`os` and `arch` go together")),
    };
    let catalog = state.registry().catalog_full();
    let package = if query.has_capability() {
        let (expires, text) = query.capability()?;
        opened(state, &catalog, &mut address, expires, text)?
    } else {
        authorize_bytes(call, &address.target).await?;
        let version = version(&catalog, &address)?;
        if address.target.platform.is_none() {
            address.target.platform = Some(only_platform(version)?);
            // A policy may think otherwise of this platform than of the version as such.
            authorize_bytes(call, &address.target).await?;
        }
        let platform = address.platform()?;
        version
            .releases
            .first()
            .and_then(|release| release.package(platform.os(), platform.arch()))
            .ok_or_else(|| no_package(&address, version, platform))?
    };
    check_file_checksum(&query, &package.record)?;
    let download = Download {
        state,
        subject: Subject {
            kind: ArtifactKind::Provider,
            id: &package.id,
            object_name: &package.object_name,
        },
        record: &package.record,
        presign: package.presign,
        attachment: Some(&package.file_name),
    };
    let registry = state.registry();
    let plan = |operation: Operation| registry.plan_package(package, operation, unix_now());
    download.answer(call.method, call.headers, plan).await
}

/// The package that a capability opens.
fn opened<'a>(
    state: &ApiState,
    catalog: &'a Catalog,
    address: &mut Address,
    expires: u64,
    text: &str,
) -> Result<&'a Package, ApiError> {
    let found = version(catalog, address).ok();
    if address.target.platform.is_none() {
        // Which platforms there are is for holders of a grant to know.
        let only = found.and_then(|version| only_platform(version).ok());
        address.target.platform = Some(only.ok_or_else(invalid_link)?);
    }
    let platform = address.platform()?;
    let verify = |id: &ArtifactId, release: &str, sha256: &Sha256| {
        let capability = Capability {
            purpose: Purpose::Archive,
            id,
            release,
            sha256,
            expires,
        };
        state.options().artifact_keys.verify(&capability, text)
    };
    let releases = found.map_or(&[][..], |version| version.releases.as_slice());
    let package = releases.iter().find_map(|release| {
        release
            .package(platform.os(), platform.arch())
            .filter(|package| verify(&package.id, &release.id, &package.record.sha256))
    });
    let Some(package) = package else {
        let was_opened = |id: &ArtifactId, release: &str| {
            catalog_gone_digest(catalog, address).is_some_and(|sha256| verify(id, release, &sha256))
        };
        return Err(refused(catalog, address, expires, was_opened));
    };
    check_alive(expires)?;
    Ok(package)
}

/// No record tells whose these bytes would be, so no grant can be asked about: who may download
/// this or that learns nothing about what is there.
async fn authorize_unknown(call: &Call<'_>) -> Result<(), ApiError> {
    if call.state.access().is_anonymous() || is_bare_link(call) {
        return Ok(());
    }
    call.caller().await?;
    Err(ApiError::forbidden())
}

fn catalog_gone_digest(catalog: &Catalog, address: &Address) -> Option<Sha256> {
    let platform = address.target.platform.as_ref()?;
    let key = opendepot_actors::registry::package_key(
        address.target.namespace.as_str(),
        address.target.name.as_str(),
        address.target.version.as_ref()?,
        platform.os(),
        platform.arch(),
    );
    catalog.gone(&key).map(|gone| gone.sha256)
}

fn gone_module(
    catalog: &Catalog,
    path: &str,
    expires: u64,
    verify: impl Fn(&ArtifactId, &Sha256) -> bool,
) -> ApiError {
    match catalog.gone(path) {
        Some(gone) if expires > unix_now() && verify(&gone.id, &gone.sha256) => ApiError::new(
            StatusCode::GONE,
            "this module version is no longer published",
        ),
        _ => invalid_link(),
    }
}

/// A filesystem directory outside the mount is 403 in anonymous mode, as in the original
/// (OD-1.5). Nothing is read either way: only published records are served.
fn check_backend_path(state: &ApiState, path: &str) -> Result<(), ApiError> {
    use base64::Engine as _;
    let Some(rest) = path.strip_prefix("fileSystem/") else {
        return Ok(());
    };
    let encoded = rest.split('/').next().unwrap_or_default();
    let engine = base64::engine::general_purpose::URL_SAFE_NO_PAD;
    let Some(directory) = engine
        .decode(encoded)
        .ok()
        .and_then(|bytes| String::from_utf8(bytes).ok())
    else {
        return Ok(());
    };
    let root = without_dots(&state.options().filesystem_root);
    let is_inside = directory.is_empty() || without_dots(Path::new(&directory)).starts_with(root);
    if state.access().is_anonymous() && !is_inside {
        return Err(ApiError::new(
            StatusCode::FORBIDDEN,
            "this directory is not served",
        ));
    }
    Ok(())
}

/// The path with every `..` resolved as text.
fn without_dots(path: &Path) -> PathBuf {
    let mut clean = PathBuf::new();
    for part in path.components() {
        match part {
            Component::ParentDir => {
                clean.pop();
            }
            part => clean.push(part),
        }
    }
    clean
}

fn module_target(id: &ArtifactId) -> Target {
    Target {
        namespace: id.namespace.clone(),
        kind: id.kind,
        name: id.name.clone(),
        version: Some(id.version.clone()),
        platform: None,
        labels: Labels::default(),
    }
}

fn only_platform(
    version: &opendepot_actors::registry::ProviderVersion,
) -> Result<Platform, ApiError> {
    let packages = version
        .releases
        .first()
        .map(|release| release.packages.as_slice())
        .unwrap_or_default();
    match packages {
        [only] => Ok(only.platform.clone()),
        several => {
            let names: Vec<String> = several
                .iter()
                .map(|package| package.platform.to_string())
                .collect();
            Err(ApiError::bad_request(format!(
                "this version has several platforms, choose one with `os` and `arch`: {}",
                names.join(", ")
            )))
        }
    }
}

/// The client's checksum must be the record's; the record decides either way (H24).
fn check_file_checksum(query: &ArtifactQuery, record: &ArtifactRecord) -> Result<(), ApiError> {
    match &query.file_checksum {
        // A `+` that was not escaped arrives as such or as a space.
        Some(text) if text.replace(' ', "+") != record.sha256.to_base64() => Err(ApiError::new(
            StatusCode::CONFLICT,
            "`fileChecksum` is not the checksum of what is published; ask the registry for a new link",
        )),
        _ => Ok(()),
    }
}
