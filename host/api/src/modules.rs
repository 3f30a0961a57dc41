//! The module registry protocol (protocols.md 1.4, contract.md 4).

use crate::access::unix_now;
use crate::documents;
use crate::error::ApiError;
use crate::grammar::Address;
use crate::routes::Call;
use crate::state::ApiState;
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use opendepot_actors::registry::{ModuleEntry, ModuleVersion};
use opendepot_domain::{Action, Capability, Purpose, capability};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Serialize;
use std::sync::Arc;

const X_TERRAFORM_GET: HeaderName = HeaderName::from_static("x-terraform-get");
/// Where the bytes of modules are, before the backend path.
pub(crate) const DOWNLOAD_BASE: &str = "/opendepot/modules/v1/download/";
/// Everything but the unreserved characters of RFC 3986.
const QUERY: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

pub(crate) async fn versions(call: &Call<'_>, address: Address) -> Result<Response, ApiError> {
    let _permit = call.state.metadata_permit()?;
    let caller = call.caller().await?;
    caller
        .check(&[Action::ListVersions], &address.target)
        .await?;
    let catalog = call.state.registry().catalog();
    let entry = entry(&catalog, &address)?;
    Ok(documents::json(call.headers, &entry.versions))
}

#[derive(Serialize)]
struct DirectLocation<'a> {
    location: &'a str,
    use_registry_credentials: bool,
}

pub(crate) async fn download(call: &Call<'_>, address: Address) -> Result<Response, ApiError> {
    let state = call.state;
    let _permit = state.metadata_permit()?;
    let caller = call.caller().await?;
    caller
        .check(&[Action::ReadPackage, Action::Download], &address.target)
        .await?;
    let catalog = state.registry().catalog();
    let version = Arc::clone(version(entry(&catalog, &address)?, &address)?);
    drop(catalog);

    let path = format!("{DOWNLOAD_BASE}{}", version.backend_path);
    let location = format!("{}{path}?{}", base(state), query(state, &version));
    let options = &state.options().modules;
    // That form has no checksum, so it is for bytes that are hashed here alone.
    let is_direct = options.direct_download
        && version.presign.is_none()
        && version.record.size <= options.direct_download_max_bytes
        && understands_direct_form(call.headers);
    let mut response = if is_direct {
        let body = DirectLocation {
            location: &path,
            use_registry_credentials: true,
        };
        let mut response = (
            StatusCode::OK,
            serde_json::to_vec(&body).unwrap_or_default(),
        )
            .into_response();
        response.headers_mut().insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/json"),
        );
        response
    } else {
        StatusCode::NO_CONTENT.into_response()
    };
    let location = HeaderValue::from_str(&location)
        .map_err(|_| ApiError::new(StatusCode::INTERNAL_SERVER_ERROR, "internal error"))?;
    let out = response.headers_mut();
    out.insert(X_TERRAFORM_GET, location);
    out.insert(
        header::CACHE_CONTROL,
        HeaderValue::from_static("private, no-store"),
    );
    out.insert(
        header::VARY,
        HeaderValue::from_static("Authorization, User-Agent"),
    );
    out.insert(
        header::X_CONTENT_TYPE_OPTIONS,
        HeaderValue::from_static("nosniff"),
    );
    documents::no_referrer(out);
    Ok(response)
}

fn base(state: &ApiState) -> &str {
    &state.registry().render_context().base_url
}

/// The query of the go-getter form. `archive` and `checksum` are removed by that client before
/// it asks, and the rest is sorted, so the signature depends on neither (protocols.md 1.10).
fn query(state: &ApiState, version: &ModuleVersion) -> String {
    let record = &version.record;
    let expires = capability::expiry(unix_now());
    let capability = Capability {
        purpose: Purpose::Module,
        id: &version.id,
        release: "",
        sha256: &record.sha256,
        expires,
    };
    let signature = state.options().artifact_keys.mint(&capability);
    let checksum = record.sha256.to_base64();
    let file_checksum = utf8_percent_encode(&checksum, QUERY);
    format!(
        "fileChecksum={file_checksum}&archive={}&checksum=sha256:{}&expires={expires}&signature={signature}",
        version.archive, record.sha256
    )
}

/// OpenTofu 1.12 and newer act on `use_registry_credentials` (protocols.md 1.1).
fn understands_direct_form(headers: &HeaderMap) -> bool {
    let agent = headers
        .get(header::USER_AGENT)
        .and_then(|agent| agent.to_str().ok())
        .unwrap_or_default();
    let Some(version) = agent
        .split_whitespace()
        .find_map(|product| product.strip_prefix("OpenTofu/"))
    else {
        return false;
    };
    let mut parts = version.split(['.', '-', '+']);
    let mut number = || parts.next().and_then(|part| part.parse::<u32>().ok());
    matches!((number(), number()), (Some(major), Some(minor)) if (major, minor) >= (1, 12))
}

fn entry<'a>(
    catalog: &'a opendepot_actors::registry::Catalog,
    address: &Address,
) -> Result<&'a Arc<ModuleEntry>, ApiError> {
    let (namespace, name) = (
        address.target.namespace.as_str(),
        address.target.name.as_str(),
    );
    let asked = address.system.as_ref().map(AsRef::as_ref);
    catalog
        .module(namespace, name)
        .filter(|entry| entry.system.is_none() || entry.system.as_deref() == asked)
        .ok_or_else(|| {
            let system = asked.unwrap_or_default();
            ApiError::not_found(format!(
                "there is no module `{namespace}/{name}/{system}` in this registry"
            ))
        })
}

fn version<'a>(
    entry: &'a Arc<ModuleEntry>,
    address: &Address,
) -> Result<&'a Arc<ModuleVersion>, ApiError> {
    let version = address.version()?;
    entry.version(version).ok_or_else(|| {
        let (namespace, name) = (&address.target.namespace, &address.target.name);
        ApiError::not_found(format!(
            "module `{namespace}/{name}` has no published version `{version}`"
        ))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_new_enough_opentofu_gets_the_direct_form() {
        let ask = |agent: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::USER_AGENT, agent.parse().unwrap());
            understands_direct_form(&headers)
        };
        assert!(ask("OpenTofu/1.12.6"));
        assert!(ask("OpenTofu/1.13.0-dev"));
        assert!(ask("OpenTofu/2.0.0 (+x)"));
        assert!(!ask("OpenTofu/1.11.9"));
        assert!(!ask("Terraform/1.12.0"));
        assert!(!ask("OpenTofu/x.y"));
        assert!(!understands_direct_form(&HeaderMap::new()));
    }
}
