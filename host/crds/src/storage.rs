//! `storageConfig`: where a resource's artifacts are stored.

use crate::duration::parse_go_duration;
use crate::error::Error;
use crate::pattern;
use kube::KubeSchema;
use opendepot_domain::error::InvalidValue;
use opendepot_domain::{PluginId, Presign};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// At most one backend; none means the operator's default.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = (
    "(has(self.s3) ? 1 : 0) + (has(self.azureStorage) ? 1 : 0) + (has(self.gcs) ? 1 : 0) + (has(self.fileSystem) ? 1 : 0) + (has(self.plugin) ? 1 : 0) <= 1",
    "at most one storage backend may be set: s3, azureStorage, gcs, fileSystem or plugin"
))]
pub struct StorageConfig {
    /// An S3 bucket.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub s3: Option<S3Storage>,
    /// An Azure storage account; the container is the config name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub azure_storage: Option<AzureStorage>,
    /// A Google Cloud Storage bucket.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gcs: Option<GcsStorage>,
    /// A directory under the filesystem mount path.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file_system: Option<FileSystemStorage>,
    /// A storage plugin by name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plugin: Option<PluginStorage>,
    /// Whether clients are redirected to the backend.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub presign: Option<PresignConfig>,
}

/// An S3 bucket, addressed as `s3://bucket/[key/]name/file`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct S3Storage {
    /// The bucket's name.
    #[schemars(length(min = 3, max = 255), regex(pattern = pattern::BUCKET))]
    pub bucket: String,
    /// The bucket's region.
    #[schemars(length(min = 1, max = 64), regex(pattern = pattern::REGION))]
    pub region: String,
    /// A prefix for every key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 512), regex(pattern = r"^[^\\\x00-\x1f\x7f]*$"))]
    #[x_kube(validation = (
        "!self.startsWith('/') && !self.contains('//') && !self.contains('..')",
        "key must not start with `/` nor contain `//` or `..`"
    ))]
    pub key: Option<String>,
}

/// An Azure Blob Storage account.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AzureStorage {
    /// The account's name.
    #[schemars(length(min = 3, max = 24), regex(pattern = "^[a-z0-9]+$"))]
    pub account_name: String,
    /// The account's blob endpoint.
    #[schemars(length(max = 512), regex(pattern = pattern::HTTP_URL))]
    pub account_url: String,
    /// The subscription.
    #[serde(rename = "subscriptionID")]
    #[schemars(length(min = 1, max = 64), regex(pattern = pattern::REGION))]
    pub subscription_id: String,
    /// The resource group.
    #[schemars(length(min = 1, max = 90), regex(pattern = pattern::RESOURCE_GROUP))]
    pub resource_group: String,
}

/// A Google Cloud Storage bucket.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct GcsStorage {
    /// The bucket's name.
    #[schemars(length(min = 3, max = 222), regex(pattern = pattern::BUCKET))]
    pub bucket: String,
}

/// A directory.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct FileSystemStorage {
    /// The directory's absolute path.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 1024), regex(pattern = pattern::PATH_TEXT))]
    #[x_kube(validation = (
        "self.startsWith('/') && !self.contains('..')",
        "directoryPath must be absolute and must not contain `..`"
    ))]
    pub directory_path: Option<String>,
}

/// A storage plugin that the operator has loaded.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct PluginStorage {
    /// The plugin's name.
    #[schemars(length(min = 1, max = 63), regex(pattern = pattern::DNS_LABEL))]
    pub name: String,
    /// The plugin's own settings for this resource. Never secrets: those are named in the
    /// operator's configuration.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "settings")]
    #[x_kube(validation = ("self.all(k, k.size() >= 1 && k.size() <= 128)", "a setting's name must have 1 to 128 characters"))]
    pub settings: Option<BTreeMap<String, String>>,
}

fn settings(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    schemars::json_schema!({
        "type": "object",
        "description": "The plugin's own settings for this resource. Never secrets: those are named in the operator's configuration.",
        "maxProperties": 64,
        "additionalProperties": { "type": "string", "maxLength": 1_024 },
    })
}

/// Redirects of clients to the backend.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct PresignConfig {
    /// Whether downloads are redirected.
    #[serde(default)]
    pub enabled: bool,
    /// How long a link is valid, as a Go duration from 1 s to 1 h.
    #[serde(default = "default_ttl")]
    #[schemars(length(min = 2, max = 32), regex(pattern = pattern::GO_DURATION))]
    #[x_kube(validation = (
        "duration(self) >= duration('1s') && duration(self) <= duration('1h')",
        "presign.ttl must be from 1s to 1h"
    ))]
    pub ttl: String,
    /// Whether the bytes are proxied when no link can be made.
    #[serde(default = "default_fallback")]
    pub fallback_to_proxy: bool,
}

impl Default for PresignConfig {
    fn default() -> Self {
        Self {
            enabled: false,
            ttl: default_ttl(),
            fallback_to_proxy: default_fallback(),
        }
    }
}

fn default_ttl() -> String {
    "15m".to_owned()
}

const fn default_fallback() -> bool {
    true
}

impl PresignConfig {
    /// How long a link is valid, in whole seconds; a link never lives longer than it says.
    ///
    /// # Errors
    /// [`Error::Value`] when `ttl` is not a duration from 1 s to 1 h.
    pub fn ttl_seconds(&self) -> Result<u32, Error> {
        let seconds = parse_go_duration(&self.ttl)?.as_secs();
        u32::try_from(seconds)
            .ok()
            .filter(|seconds| (1..=3_600).contains(seconds))
            .ok_or_else(|| {
                InvalidValue::new("presign.ttl", &self.ttl, "a duration from `1s` to `1h`").into()
            })
    }
}

/// The storage plugin that a resource asks for, and what it is told.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Backend {
    /// The plugin.
    pub plugin: PluginId,
    /// The resource's backend block as JSON in the original's field names, or a plugin's
    /// settings as one object; `None` when the resource says nothing.
    pub backend_json: Option<String>,
}

impl StorageConfig {
    /// Of a resource that says nothing about storage.
    pub const EMPTY: Self = Self {
        s3: None,
        azure_storage: None,
        gcs: None,
        file_system: None,
        plugin: None,
        presign: None,
    };

    /// The backend asked for; `None` means the operator's default.
    ///
    /// # Errors
    /// [`Error::NotExactlyOne`] for more than one backend, which the original let through (there
    /// the precedence differed by route); [`Error::Value`] for a bad plugin name.
    pub fn backend(&self) -> Result<Option<Backend>, Error> {
        let mut found = Vec::new();
        if let Some(block) = &self.s3 {
            found.push(("storage-s3", Some(json(block)?)));
        }
        if let Some(block) = &self.azure_storage {
            found.push(("storage-azure", Some(json(block)?)));
        }
        if let Some(block) = &self.gcs {
            found.push(("storage-gcs", Some(json(block)?)));
        }
        if let Some(block) = &self.file_system {
            found.push(("storage-fs", Some(json(block)?)));
        }
        if let Some(block) = &self.plugin {
            let settings = block.settings.as_ref().map(json).transpose()?;
            found.push((block.name.as_str(), settings));
        }
        match found.len() {
            0 => Ok(None),
            1 => found
                .pop()
                .map(|(name, backend_json)| {
                    Ok(Backend {
                        plugin: PluginId::new(name)?,
                        backend_json,
                    })
                })
                .transpose(),
            found => Err(Error::NotExactlyOne {
                field: "storageConfig",
                choices: "s3, azureStorage, gcs, fileSystem, plugin",
                found,
            }),
        }
    }

    /// The presign block when redirects are on.
    #[must_use]
    pub fn presigned(&self) -> Option<&PresignConfig> {
        self.presign.as_ref().filter(|presign| presign.enabled)
    }

    /// Whether clients get links: this block's word, or that of the operator's `default` where
    /// this one says nothing and names no backend of its own.
    ///
    /// # Errors
    /// [`Error::Value`] when `ttl` is not a duration from 1 s to 1 h.
    pub fn presign_or(&self, default: Option<&Self>) -> Result<Option<Presign>, Error> {
        let is_default = self.presign.is_none() && matches!(self.backend(), Ok(None));
        let decisive = default.filter(|_| is_default).unwrap_or(self);
        let Some(presign) = decisive.presigned() else {
            return Ok(None);
        };
        Ok(Some(Presign {
            ttl_seconds: presign.ttl_seconds()?,
            falls_back: presign.fallback_to_proxy,
        }))
    }
}

fn json<T: Serialize>(block: &T) -> Result<String, Error> {
    serde_json::to_string(block).map_err(|source| Error::Json {
        what: "storageConfig",
        source,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn config(value: serde_json::Value) -> StorageConfig {
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn backend_json_has_the_originals_field_names() {
        for (value, plugin, block) in [
            (
                json!({"s3": {"bucket": "b-1", "region": "eu-west-1", "key": "p"}}),
                "storage-s3",
                json!({"bucket": "b-1", "region": "eu-west-1", "key": "p"}),
            ),
            (
                json!({"azureStorage": {"accountName": "acc", "accountUrl": "https://acc.blob.core.windows.net/", "subscriptionID": "s", "resourceGroup": "g"}}),
                "storage-azure",
                json!({"accountName": "acc", "accountUrl": "https://acc.blob.core.windows.net/", "subscriptionID": "s", "resourceGroup": "g"}),
            ),
            (
                json!({"gcs": {"bucket": "b-1"}}),
                "storage-gcs",
                json!({"bucket": "b-1"}),
            ),
            (
                json!({"fileSystem": {"directoryPath": "/data/modules"}}),
                "storage-fs",
                json!({"directoryPath": "/data/modules"}),
            ),
            (
                json!({"plugin": {"name": "webdav", "settings": {"folder": "x"}}}),
                "webdav",
                json!({"folder": "x"}),
            ),
        ] {
            let backend = config(value).backend().unwrap().unwrap();
            assert_eq!(backend.plugin.as_str(), plugin);
            let written: serde_json::Value =
                serde_json::from_str(&backend.backend_json.unwrap()).unwrap();
            assert_eq!(written, block);
        }
    }

    #[test]
    fn no_backend_is_the_operators_choice() {
        assert_eq!(config(json!({})).backend().unwrap(), None);
        let only_presign = config(json!({"presign": {"enabled": true}}));
        assert_eq!(only_presign.backend().unwrap(), None);
        let presign = only_presign.presigned().unwrap();
        assert!(presign.fallback_to_proxy);
        assert_eq!(presign.ttl_seconds().unwrap(), 900);
    }

    #[test]
    fn two_backends_are_refused() {
        let both = config(json!({"gcs": {"bucket": "b-1"}, "fileSystem": {}}));
        assert!(both.backend().is_err());
    }

    #[test]
    fn ttl_is_bounded() {
        for (ttl, seconds) in [
            ("1s", Some(1)),
            ("1h", Some(3_600)),
            ("59m59.9s", Some(3_599)),
            ("999ms", None),
            ("1h1s", None),
            ("1h0.5s", Some(3_600)),
            ("soon", None),
        ] {
            let presign = PresignConfig {
                ttl: ttl.to_owned(),
                ..PresignConfig::default()
            };
            assert_eq!(presign.ttl_seconds().ok(), seconds, "{ttl}");
        }
    }
}
