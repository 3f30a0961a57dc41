//! `moduleConfig` and `providerConfig`, shared by Depot, Module, Provider and Version.

use crate::error::Error;
use crate::limits;
use crate::pattern;
use crate::source::{ModuleOrigin, ModuleSource, ProviderOrigin, ProviderSource};
use crate::storage::StorageConfig;
use kube::KubeSchema;
use opendepot_domain::error::InvalidValue;
use opendepot_domain::{ConfigName, ResourceName};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Whether GitHub is asked with the namespace's GitHub App.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct GithubClientConfig {
    /// Use the credentials of the Secret `opendepot-github-application-secret`.
    #[serde(default)]
    pub use_authenticated_client: bool,
}

/// How a module is fetched and stored.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct ModuleConfig {
    /// The stored archive's format; zip when absent. `tar` means the same as `tar.gz`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 8), extend("enum" = ["zip", "tar", "tar.gz"]))]
    pub file_format: Option<String>,
    /// How GitHub is asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub github_client_config: Option<GithubClientConfig>,
    /// Whether no change of a version's bytes can be approved.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub immutable: Option<bool>,
    /// The name at the source and in storage keys; the resource's name when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 128), regex(pattern = pattern::SEGMENT))]
    pub name: Option<String>,
    /// The target system, the last part of a module's address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 64), regex(pattern = pattern::SEGMENT))]
    pub provider: Option<String>,
    /// The GitHub account.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 64), regex(pattern = pattern::ACCOUNT))]
    pub repo_owner: Option<String>,
    /// The repository's address, for display only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 512), regex(pattern = pattern::HTTPS_URL))]
    pub repo_url: Option<String>,
    /// Where the module comes from, when not from `repoOwner` and `name` at GitHub.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<ModuleSource>,
    /// Where artifacts are stored; the operator's default when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub storage_config: Option<StorageConfig>,
    /// Which versions a Depot takes, such as `>= 1.2, < 2.0`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 256))]
    pub version_constraints: Option<String>,
    /// How many of the highest versions are kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1000))]
    pub version_history_limit: Option<i64>,
}

/// How a provider is fetched and stored.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct ProviderConfig {
    /// The architectures to mirror, as Go names them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "architectures")]
    pub architectures: Vec<String>,
    /// How GitHub is asked for the source scan.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub github_client_config: Option<GithubClientConfig>,
    /// The name at the source and in storage keys; the resource's name when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 128), regex(pattern = pattern::SEGMENT))]
    pub name: Option<String>,
    /// The organisation at the registry; `hashicorp` when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 64), regex(pattern = pattern::ACCOUNT))]
    pub namespace: Option<String>,
    /// The operating systems to mirror, as Go names them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "operating_systems")]
    pub operating_systems: Vec<String>,
    /// Where the provider comes from, when not from the operator's registry.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<ProviderSource>,
    /// The source repository's address, for the source scan.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 512), regex(pattern = pattern::HTTPS_URL))]
    pub source_repository: Option<String>,
    /// Where artifacts are stored; the operator's default when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub storage_config: Option<StorageConfig>,
    /// Which versions a Depot takes, such as `~> 5.0`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 256))]
    pub version_constraints: Option<String>,
    /// How many of the highest versions are kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1000))]
    pub version_history_limit: Option<i64>,
}

fn architectures(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    platform_parts("The architectures to mirror, as Go names them.")
}

fn operating_systems(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    platform_parts("The operating systems to mirror, as Go names them.")
}

fn platform_parts(description: &str) -> schemars::Schema {
    crate::schema::text_set(
        description,
        limits::PLATFORM_PARTS,
        crate::schema::text(32, pattern::PLATFORM_PART),
    )
}

/// The format of a stored module archive.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum FileFormat {
    /// Zip, the default.
    #[default]
    Zip,
    /// Gzipped tar. The original's `tar` is gzipped as well, so it is this.
    TarGz,
}

impl FileFormat {
    /// The extension of a new file; the original's `tar` files keep theirs.
    #[must_use]
    pub const fn extension(self) -> &'static str {
        match self {
            Self::Zip => "zip",
            Self::TarGz => "tar.gz",
        }
    }

    /// The media type that the bytes are served with.
    #[must_use]
    pub const fn media_type(self) -> &'static str {
        match self {
            Self::Zip => opendepot_domain::artifact::MEDIA_TYPE_ZIP,
            Self::TarGz => opendepot_domain::artifact::MEDIA_TYPE_TAR,
        }
    }
}

impl ModuleConfig {
    /// The name at the source: `name`, else the resource's name.
    ///
    /// # Errors
    /// [`Error::Value`] when `name` breaks the grammar of [`ConfigName`].
    pub fn config_name(&self, resource_name: &str) -> Result<ConfigName, Error> {
        config_name(self.name.as_deref(), resource_name)
    }

    /// The format of the stored archive.
    ///
    /// # Errors
    /// [`Error::Value`] for a format that the schema would refuse today.
    pub fn file_format(&self) -> Result<FileFormat, Error> {
        match self.file_format.as_deref() {
            None | Some("" | "zip") => Ok(FileFormat::Zip),
            Some("tar" | "tar.gz") => Ok(FileFormat::TarGz),
            Some(other) => {
                Err(InvalidValue::new("fileFormat", other, "one of zip, tar, tar.gz").into())
            }
        }
    }

    /// Where the module comes from, defaults applied: without `source`, the repository
    /// `repoOwner/name` at GitHub, as the original does.
    ///
    /// # Errors
    /// [`Error::Missing`] without `source` and `repoOwner`; [`Error::NotExactlyOne`] for an
    /// ambiguous `source`; [`Error::Value`] for a bad name.
    pub fn origin(&self, resource_name: &str) -> Result<ModuleOrigin, Error> {
        if let Some(source) = &self.source {
            return source.origin();
        }
        let owner = self.repo_owner.clone().ok_or(Error::Missing {
            field: "moduleConfig.repoOwner",
        })?;
        Ok(ModuleOrigin::Github {
            owner,
            repository: self.config_name(resource_name)?.to_string(),
            tag_prefix: String::new(),
            subdirectory: None,
        })
    }

    /// How many of the highest versions are kept; `None` keeps all. The original's 0 is `None`.
    #[must_use]
    pub fn history_limit(&self) -> Option<usize> {
        history_limit(self.version_history_limit)
    }

    /// Whether GitHub is asked with the namespace's GitHub App.
    #[must_use]
    pub fn uses_github_app(&self) -> bool {
        self.github_client_config
            .as_ref()
            .is_some_and(|config| config.use_authenticated_client)
    }

    /// Whether no change of a version's bytes can be approved.
    #[must_use]
    pub fn is_immutable(&self) -> bool {
        self.immutable.unwrap_or(false)
    }
}

/// The organisation of a provider whose config names none (OD-2.1).
pub(crate) const DEFAULT_ORGANISATION: &str = "hashicorp";

impl ProviderConfig {
    /// The name at the source: `name`, else the resource's name.
    ///
    /// # Errors
    /// [`Error::Value`] when `name` breaks the grammar of [`ConfigName`].
    pub fn config_name(&self, resource_name: &str) -> Result<ConfigName, Error> {
        config_name(self.name.as_deref(), resource_name)
    }

    /// The organisation at the registry.
    #[must_use]
    pub fn organisation(&self) -> &str {
        self.namespace.as_deref().unwrap_or(DEFAULT_ORGANISATION)
    }

    /// Where the provider comes from, defaults applied: without `source`, the operator's
    /// provider registry.
    ///
    /// # Errors
    /// [`Error::NotExactlyOne`] for an ambiguous `source`; [`Error::Value`] for a bad name.
    pub fn origin(&self, resource_name: &str) -> Result<ProviderOrigin, Error> {
        let namespace = self.organisation().to_owned();
        let name = self.config_name(resource_name)?.to_string();
        match &self.source {
            Some(source) => source.origin(namespace, name),
            None => Ok(ProviderOrigin::Registry {
                host: None,
                namespace,
                name,
                key_ids: Vec::new(),
                allow_unsigned: false,
            }),
        }
    }

    /// How many of the highest versions are kept; `None` keeps all. The original's 0 is `None`.
    #[must_use]
    pub fn history_limit(&self) -> Option<usize> {
        history_limit(self.version_history_limit)
    }

    /// Whether GitHub is asked with the namespace's GitHub App.
    #[must_use]
    pub fn uses_github_app(&self) -> bool {
        self.github_client_config
            .as_ref()
            .is_some_and(|config| config.use_authenticated_client)
    }
}

fn config_name(name: Option<&str>, resource_name: &str) -> Result<ConfigName, Error> {
    match name {
        Some(name) if !name.is_empty() => Ok(ConfigName::new(name)?),
        _ => Ok(ConfigName::new(
            ResourceName::new(resource_name)?.to_string(),
        )?),
    }
}

fn history_limit(limit: Option<i64>) -> Option<usize> {
    usize::try_from(limit?).ok().filter(|limit| *limit > 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn module(value: serde_json::Value) -> ModuleConfig {
        serde_json::from_value(value).unwrap()
    }

    fn provider(value: serde_json::Value) -> ProviderConfig {
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn names_fall_back_to_the_resource() {
        assert_eq!(
            module(json!({})).config_name("vpc").unwrap().as_str(),
            "vpc"
        );
        let named = module(json!({"name": "terraform-aws-vpc"}));
        assert_eq!(
            named.config_name("vpc").unwrap().as_str(),
            "terraform-aws-vpc"
        );
        assert!(module(json!({"name": "../x"})).config_name("vpc").is_err());
    }

    #[test]
    fn formats() {
        for (text, format) in [
            (json!({}), Some(FileFormat::Zip)),
            (json!({"fileFormat": "zip"}), Some(FileFormat::Zip)),
            (json!({"fileFormat": "tar"}), Some(FileFormat::TarGz)),
            (json!({"fileFormat": "tar.gz"}), Some(FileFormat::TarGz)),
            (json!({"fileFormat": "rar"}), None),
        ] {
            assert_eq!(module(text.clone()).file_format().ok(), format, "{text}");
        }
    }

    #[test]
    fn the_originals_module_comes_from_github() {
        let config = module(json!({"name": "terraform-aws-vpc", "repoOwner": "acme"}));
        assert_eq!(
            config.origin("vpc").unwrap(),
            ModuleOrigin::Github {
                owner: "acme".to_owned(),
                repository: "terraform-aws-vpc".to_owned(),
                tag_prefix: String::new(),
                subdirectory: None,
            }
        );
        assert!(module(json!({})).origin("vpc").is_err());
    }

    #[test]
    fn sources_name_exactly_one_place() {
        let path = module(json!({"source": {"path": "modules/vpc/{version}"}}));
        assert_eq!(
            path.origin("vpc").unwrap(),
            ModuleOrigin::Path("modules/vpc/{version}".to_owned())
        );
        assert!(module(json!({"source": {}})).origin("vpc").is_err());
        let both =
            json!({"source": {"path": "{version}", "github": {"owner": "a", "repository": "b"}}});
        assert!(module(both).origin("vpc").is_err());
        let folder = json!({"source": {"github": {"owner": "a", "repository": "b", "tagPrefix": "vpc/", "subdirectory": "modules/vpc/"}}});
        let ModuleOrigin::Github {
            tag_prefix,
            subdirectory,
            ..
        } = module(folder).origin("vpc").unwrap()
        else {
            panic!("not GitHub");
        };
        assert_eq!(
            (tag_prefix.as_str(), subdirectory.as_deref()),
            ("vpc/", Some("modules/vpc"))
        );
    }

    #[test]
    fn providers_default_to_the_operators_registry() {
        assert_eq!(
            provider(json!({})).origin("null").unwrap(),
            ProviderOrigin::Registry {
                host: None,
                namespace: "hashicorp".to_owned(),
                name: "null".to_owned(),
                key_ids: vec![],
                allow_unsigned: false,
            }
        );
        let elsewhere = json!({"namespace": "acme", "name": "thing", "source": {"registry": {"host": "r.example.com:8443", "allowUnsigned": true, "keyIds": ["34365D9472D7468F"]}}});
        assert_eq!(
            provider(elsewhere).origin("null").unwrap(),
            ProviderOrigin::Registry {
                host: Some("r.example.com:8443".to_owned()),
                namespace: "acme".to_owned(),
                name: "thing".to_owned(),
                key_ids: vec!["34365D9472D7468F".to_owned()],
                allow_unsigned: true,
            }
        );
    }

    #[test]
    fn a_limit_of_zero_keeps_all() {
        for (limit, kept) in [(0, None), (-1, None), (2, Some(2))] {
            assert_eq!(
                module(json!({"versionHistoryLimit": limit})).history_limit(),
                kept
            );
        }
    }
}
