//! Releases of provider registries.

mod document;
#[cfg(test)]
mod tests;
mod trust;

pub use trust::Trust;

use crate::answer::{document, excerpt, json, shown};
use crate::error::Error;
use crate::name::ProviderAddress;
use crate::sums::{MAX_SUMS_BYTES, listed_digest};
pub(crate) use document::protocols;

use document::{Discovery, PackageAnswer, VersionsAnswer};
use opendepot_domain::error::InvalidValue;
use opendepot_domain::{Platform, Sha256, Version};
use opendepot_transfer::{Downloaded, FetchRequest, Fetcher, HostClass};
use std::path::Path;
use url::Url;

/// The path that public registries use, and that the original asked without discovery.
const USUAL_PATH: &str = "v1/providers/";

/// A provider package found and its digest verified.
#[derive(Clone, Debug)]
pub struct ProviderOrigin {
    /// The package.
    pub download: FetchRequest,
    /// What the registry calls it; upstream's text, for messages only.
    pub file_name: String,
    /// The digest that the registry and SHA256SUMS agree on.
    pub sha256: Sha256,
    /// The protocols that the registry states, such as `6.0`; may be empty.
    pub protocols: Vec<String>,
    /// SHA256SUMS as it was verified.
    pub sums_text: String,
    /// Fingerprint of the key whose signature over SHA256SUMS was verified, 40 upper-case hex
    /// digits: what to pin. `None` for an unsigned release, when such are allowed.
    pub signed_by: Option<String>,
}

impl ProviderOrigin {
    /// Where the package comes from, without query: for status and logs.
    #[must_use]
    pub fn url(&self) -> String {
        shown(&self.download.url)
    }
}

/// One version that a registry lists.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UpstreamVersion {
    /// The version.
    pub version: Version,
    /// Its protocols; may be empty.
    pub protocols: Vec<String>,
    /// Its platforms, sorted.
    pub platforms: Vec<Platform>,
}

/// The providers service of one registry.
#[derive(Clone, Debug)]
pub struct ProviderRegistry {
    fetcher: Fetcher,
    base: Url,
}

impl ProviderRegistry {
    /// Finds the service of a registry by its address.
    ///
    /// An address with a path is the service itself. Without one, service discovery at the
    /// host says where it is; a host that has no discovery document is asked at
    /// `/v1/providers/`, as the original does.
    ///
    /// # Errors
    /// [`Error::Value`] for an address without a host, [`Error::Answer`], [`Error::Fetch`].
    pub async fn discover(fetcher: &Fetcher, address: &Url) -> Result<Self, Error> {
        let service = |base| Self {
            fetcher: fetcher.clone(),
            base,
        };
        if address.cannot_be_a_base() || address.host().is_none() {
            return Err(InvalidValue::new(
                "registry address",
                address.as_str(),
                "an https address",
            )
            .into());
        }
        let mut root = address.clone();
        root.set_query(None);
        root.set_fragment(None);
        if root.path() != "/" {
            if !root.path().ends_with('/') {
                let path = format!("{}/", root.path());
                root.set_path(&path);
            }
            return Ok(service(root));
        }
        let request = FetchRequest {
            accept: Some("application/json".to_owned()),
            host_class: HostClass::Registry,
            ..FetchRequest::new(join(&root, ".well-known/terraform.json")?)
        };
        let Some((discovery, from)) = json::<Discovery>(fetcher, &request).await? else {
            return Ok(service(join(&root, USUAL_PATH)?));
        };
        let text = discovery.providers.ok_or_else(|| Error::Answer {
            url: shown(&from),
            reason: "it has no `providers.v1`".to_owned(),
        })?;
        let base = join(&from, &text)?;
        if !base.path().ends_with('/') {
            return Err(Error::Answer {
                url: shown(&from),
                reason: format!(
                    "`providers.v1` is `{}`, without `/` at its end",
                    excerpt(&text)
                ),
            });
        }
        Ok(service(base))
    }

    /// The service's address.
    #[must_use]
    pub const fn base(&self) -> &Url {
        &self.base
    }

    /// The versions of a provider, newest first. An entry that is no SemVer is left out.
    ///
    /// # Errors
    /// [`Error::ProviderNotFound`], [`Error::Answer`], [`Error::Fetch`].
    pub async fn versions(
        &self,
        provider: &ProviderAddress,
    ) -> Result<Vec<UpstreamVersion>, Error> {
        let request = self.request(&format!("{provider}/versions"))?;
        let (answer, _) = json::<VersionsAnswer>(&self.fetcher, &request)
            .await?
            .ok_or_else(|| Error::ProviderNotFound {
                provider: provider.to_string(),
            })?;
        Ok(answer.into_versions())
    }

    /// The platforms of one version; empty when the registry does not list the version.
    ///
    /// # Errors
    /// As [`Self::versions`].
    pub async fn platforms(
        &self,
        provider: &ProviderAddress,
        version: &Version,
    ) -> Result<Vec<Platform>, Error> {
        let versions = self.versions(provider).await?;
        Ok(versions
            .into_iter()
            .find(|listed| listed.version.is_same_release(version))
            .map(|listed| listed.platforms)
            .unwrap_or_default())
    }

    /// Finds one platform's package and verifies that registry, SHA256SUMS and signature agree.
    ///
    /// # Errors
    /// [`Error::PlatformUnavailable`], [`Error::Digest`], [`Error::Unsigned`],
    /// [`Error::UnknownKey`], [`Error::Signature`], [`Error::Answer`], [`Error::Fetch`].
    pub async fn package(
        &self,
        provider: &ProviderAddress,
        version: &Version,
        platform: &Platform,
        trust: &Trust,
    ) -> Result<ProviderOrigin, Error> {
        let path = format!(
            "{provider}/{version}/download/{}/{}",
            platform.os(),
            platform.arch()
        );
        let unavailable = || Error::PlatformUnavailable {
            provider: provider.to_string(),
            version: version.to_string(),
            platform: platform.to_string(),
        };
        let (answer, from) = json::<PackageAnswer>(&self.fetcher, &self.request(&path)?)
            .await?
            .ok_or_else(unavailable)?;
        answer.require_platform(platform, &from)?;
        answer.require_version(version, &from)?;
        let stated = answer.digest()?;
        let sums_url = answer.sums_url().ok_or_else(|| Error::Digest {
            file: excerpt(&answer.file_name),
            reason: "the registry names no SHA256SUMS".to_owned(),
        })?;
        let sums = self.fetch(&from, sums_url).await?;
        let signed_by = self
            .verify(provider, version, &answer, &from, &sums, trust)
            .await?;
        let listed = listed_digest(&sums, &answer.file_name)?;
        if listed != stated {
            return Err(Error::Digest {
                file: excerpt(&answer.file_name),
                reason: format!("the registry says {stated}, SHA256SUMS says {listed}"),
            });
        }
        Ok(ProviderOrigin {
            download: FetchRequest {
                host_class: HostClass::Package,
                ..FetchRequest::new(join(&from, &answer.download_url)?)
            },
            sha256: stated,
            protocols: protocols(answer.protocols.as_deref().unwrap_or_default()),
            // It is UTF-8, or no digest would have been found in it.
            sums_text: String::from_utf8_lossy(&sums).into_owned(),
            signed_by,
            file_name: answer.file_name,
        })
    }

    /// Verifies the signature over SHA256SUMS; the fingerprint of the key that made it.
    async fn verify(
        &self,
        provider: &ProviderAddress,
        version: &Version,
        answer: &PackageAnswer,
        from: &Url,
        sums: &[u8],
        trust: &Trust,
    ) -> Result<Option<String>, Error> {
        let armored = answer.armored_keys();
        let (Some(signature_url), false) = (answer.signature_url(), armored.is_empty()) else {
            if trust.allow_unsigned {
                tracing::warn!(
                    upstream.provider = %provider,
                    upstream.version = %version,
                    "took an unsigned release of provider `{provider}`, as the configuration allows"
                );
                return Ok(None);
            }
            return Err(Error::Unsigned {
                provider: provider.to_string(),
                version: version.to_string(),
            });
        };
        let signature = self.fetch(from, signature_url).await?;
        let (provider, version) = (provider.to_string(), version.to_string());
        let (sums, trust) = (sums.to_vec(), trust.clone());
        // RSA costs milliseconds.
        let task = tokio::task::spawn_blocking(move || {
            trust.verify(&provider, &version, &armored, &sums, &signature)
        });
        task.await
            .unwrap_or(Err(Error::Task {
                attempt: "verify a signature",
            }))
            .map(Some)
    }

    async fn fetch(&self, from: &Url, reference: &str) -> Result<Vec<u8>, Error> {
        let request = FetchRequest {
            host_class: HostClass::Package,
            ..FetchRequest::new(join(from, reference)?)
        };
        let fetched = document(&self.fetcher, &request, MAX_SUMS_BYTES)
            .await?
            .ok_or_else(|| Error::Answer {
                url: shown(from),
                reason: format!("`{}`, which it names, does not exist", shown(&request.url)),
            })?;
        Ok(fetched.body.to_vec())
    }

    fn request(&self, path: &str) -> Result<FetchRequest, Error> {
        Ok(FetchRequest {
            accept: Some("application/json".to_owned()),
            host_class: HostClass::Registry,
            ..FetchRequest::new(join(&self.base, path)?)
        })
    }
}

/// Fetches a package to a temporary file in `directory` and compares its digest.
/// `progress` gets the bytes so far and the announced size.
///
/// # Errors
/// [`Error::Digest`] when other bytes came than announced; [`Error::Fetch`].
pub async fn fetch_package(
    fetcher: &Fetcher,
    origin: &ProviderOrigin,
    directory: &Path,
    max_bytes: u64,
    progress: &(dyn Fn(u64, Option<u64>) + Send + Sync),
) -> Result<Downloaded, Error> {
    let downloaded = fetcher
        .download(&origin.download, directory, max_bytes, progress)
        .await?;
    if downloaded.sha256 != origin.sha256 {
        return Err(Error::Digest {
            file: excerpt(&origin.file_name),
            reason: format!(
                "its digest is {}, and {} was announced",
                downloaded.sha256, origin.sha256
            ),
        });
    }
    Ok(downloaded)
}

fn join(base: &Url, reference: &str) -> Result<Url, Error> {
    let failed = |reason: &str| Error::Answer {
        url: shown(base),
        reason: format!("`{}` {reason}", excerpt(reference)),
    };
    if reference.is_empty() || reference.len() > 8 << 10 {
        return Err(failed("is no address"));
    }
    base.join(reference).map_err(|_| failed("is no address"))
}
