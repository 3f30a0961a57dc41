//! `source`: where an artifact comes from.

use crate::error::Error;
use crate::pattern;
use kube::KubeSchema;
use serde::{Deserialize, Serialize};

/// Where a module comes from; exactly one member.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = ("has(self.path) != has(self.github)", "a module's source must name exactly one of path or github"))]
pub struct ModuleSource {
    /// A folder with a `{version}` placeholder.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 1024), regex(pattern = pattern::PATH_TEXT))]
    #[x_kube(validation = ("self.contains('{version}')", "source.path must contain the placeholder {version}"))]
    #[x_kube(validation = ("!self.split('/').exists(s, s == '..')", "source.path must not climb with `..`"))]
    pub path: Option<String>,
    /// A GitHub repository whose tags are versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub github: Option<GithubSource>,
}

/// A GitHub repository.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct GithubSource {
    /// The account that owns the repository.
    #[schemars(length(min = 1, max = 64), regex(pattern = pattern::ACCOUNT))]
    pub owner: String,
    /// The repository.
    #[schemars(length(min = 1, max = 100), regex(pattern = pattern::REPOSITORY))]
    pub repository: String,
    /// What a tag has before `v1.2.3`, such as `vpc/`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 100), regex(pattern = pattern::TAG_PREFIX))]
    #[x_kube(validation = ("!self.contains('..') && !self.contains('//') && !self.contains('@{')", "tagPrefix must be part of a git ref: no `..`, `//` or `@{`"))]
    pub tag_prefix: Option<String>,
    /// The folder of the repository that is the module.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 512), regex(pattern = pattern::RELATIVE_PATH))]
    #[x_kube(validation = ("!self.contains('..') && !self.contains('//')", "subdirectory must be relative, without `..` and `//`"))]
    pub subdirectory: Option<String>,
}

/// Where a provider comes from; exactly one member.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = ("has(self.path) != has(self.registry)", "a provider's source must name exactly one of path or registry"))]
pub struct ProviderSource {
    /// A release folder with a `{version}` placeholder.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 1024), regex(pattern = pattern::PATH_TEXT))]
    #[x_kube(validation = ("self.contains('{version}')", "source.path must contain the placeholder {version}"))]
    #[x_kube(validation = ("!self.split('/').exists(s, s == '..')", "source.path must not climb with `..`"))]
    pub path: Option<String>,
    /// Another provider registry.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub registry: Option<RegistrySource>,
}

/// A provider registry.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct RegistrySource {
    /// `host` or `host:port`.
    #[schemars(length(min = 1, max = 259), regex(pattern = pattern::HOST))]
    pub host: String,
    /// The only keys whose signature counts; without it the first key seen is pinned in status.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "key_ids")]
    pub key_ids: Option<Vec<String>>,
    /// Whether a release without a signature is taken.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allow_unsigned: Option<bool>,
}

fn key_ids(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    crate::schema::text_set(
        "The only keys whose signature counts; without it the first key seen is pinned in status.",
        16,
        crate::schema::text(64, pattern::KEY_ID),
    )
}

/// Where a module comes from once defaults are applied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ModuleOrigin {
    /// A folder; `{version}` and `{namespace}` are still in it.
    Path(String),
    /// A GitHub repository.
    Github {
        /// The account.
        owner: String,
        /// The repository.
        repository: String,
        /// What a tag has before the version; may be empty.
        tag_prefix: String,
        /// The folder that is the module, without slashes at its ends.
        subdirectory: Option<String>,
    },
}

/// Where a provider comes from once defaults are applied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProviderOrigin {
    /// A release folder; `{version}` and `{namespace}` are still in it.
    Path(String),
    /// A provider registry.
    Registry {
        /// The host; `None` is the operator's `sources.providerRegistry.url`.
        host: Option<String>,
        /// The organisation at that registry.
        namespace: String,
        /// The provider's name at that registry.
        name: String,
        /// The only keys that count; empty: any that the registry lists.
        key_ids: Vec<String>,
        /// Whether a release without a signature is taken.
        allow_unsigned: bool,
    },
}

impl ModuleSource {
    pub(crate) fn origin(&self) -> Result<ModuleOrigin, Error> {
        match (&self.path, &self.github) {
            (Some(path), None) => Ok(ModuleOrigin::Path(path.clone())),
            (None, Some(github)) => Ok(ModuleOrigin::Github {
                owner: github.owner.clone(),
                repository: github.repository.clone(),
                tag_prefix: github.tag_prefix.clone().unwrap_or_default(),
                subdirectory: github
                    .subdirectory
                    .as_deref()
                    .map(|path| path.trim_matches('/').to_owned())
                    .filter(|path| !path.is_empty() && path != "."),
            }),
            (path, _) => Err(Error::NotExactlyOne {
                field: "moduleConfig.source",
                choices: "path, github",
                found: if path.is_some() { 2 } else { 0 },
            }),
        }
    }
}

impl ProviderSource {
    pub(crate) fn origin(&self, namespace: String, name: String) -> Result<ProviderOrigin, Error> {
        match (&self.path, &self.registry) {
            (Some(path), None) => Ok(ProviderOrigin::Path(path.clone())),
            (None, Some(registry)) => Ok(ProviderOrigin::Registry {
                host: Some(registry.host.clone()),
                namespace,
                name,
                key_ids: registry.key_ids.clone().unwrap_or_default(),
                allow_unsigned: registry.allow_unsigned.unwrap_or(false),
            }),
            (path, _) => Err(Error::NotExactlyOne {
                field: "providerConfig.source",
                choices: "path, registry",
                found: if path.is_some() { 2 } else { 0 },
            }),
        }
    }
}
