//! `plugin.yaml`: what the author declares and asks for (plugins.md 2).

use crate::error::LoadError;
use crate::world::World;
use serde::{Deserialize, Serialize};
use std::path::Path;

/// The largest `plugin.yaml`, in bytes.
pub(crate) const MAX_BYTES: u64 = 64 << 10;
const API_VERSION: &str = "opendepot.defdev.io/v1alpha1";
const KIND: &str = "Plugin";
/// In `needs.secrets`: whichever the operator grants.
const ANY_SECRET: &str = "*";

/// A parsed manifest.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Manifest {
    api_version: String,
    kind: String,
    pub(crate) metadata: Metadata,
    pub(crate) spec: Spec,
}

/// Name and version, as the author has them.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Metadata {
    pub(crate) name: opendepot_domain::PluginId,
    pub(crate) version: opendepot_domain::Version,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Spec {
    pub(crate) world: World,
    #[serde(default = "default_component")]
    pub(crate) component: opendepot_domain::FileName,
    #[serde(default)]
    pub(crate) needs: Needs,
    #[serde(default)]
    pub(crate) settings: serde_json::Value,
}

fn default_component() -> opendepot_domain::FileName {
    #[expect(clippy::expect_used, reason = "a constant that fits the grammar")]
    opendepot_domain::FileName::new("plugin.wasm").expect("a valid file name")
}

/// What a plugin asks for. What is not asked for cannot be granted.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case", deny_unknown_fields)]
pub struct Needs {
    /// Requests to granted hosts.
    pub hosts: bool,
    /// Secrets, by name; `*` for any that the operator grants, where settings name them.
    pub secrets: Vec<String>,
    /// Changing severities and suppressing findings.
    pub judge_findings: bool,
    /// Claims of the caller, by name.
    pub claims: Vec<String>,
}

impl Needs {
    /// Whether the author asks for a secret of this name.
    pub(crate) fn has_secret(&self, name: &str) -> bool {
        let mut secrets = self.secrets.iter();
        secrets.any(|asked| asked == name || asked == ANY_SECRET)
    }
}

impl Manifest {
    /// Parses the text of `path`.
    ///
    /// # Errors
    /// [`LoadError::Manifest`] with line and column.
    pub(crate) fn parse(path: &Path, text: &str) -> Result<Self, LoadError> {
        let refuse = |message: String| LoadError::Manifest {
            path: path.to_owned(),
            message,
        };
        let options = serde_saphyr::options! { with_snippet: false };
        let manifest: Self = serde_saphyr::from_str_with_options(text, options)
            .map_err(|error| refuse(crate::text::shown(&error.to_string())))?;
        if manifest.api_version != API_VERSION {
            return Err(refuse(format!(
                "`apiVersion` is `{}`, expected `{API_VERSION}`",
                crate::text::cut(&manifest.api_version, 80)
            )));
        }
        if manifest.kind != KIND {
            return Err(refuse(format!(
                "`kind` is `{}`, expected `{KIND}`",
                crate::text::cut(&manifest.kind, 80)
            )));
        }
        for secret in &manifest.spec.needs.secrets {
            if secret != ANY_SECRET && !crate::secret::is_secret_name(secret) {
                return Err(refuse(format!(
                    "`needs.secrets` names `{}`: {}",
                    crate::text::cut(secret, 80),
                    crate::secret::NAME_RULE
                )));
            }
        }
        Ok(manifest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "apiVersion: opendepot.defdev.io/v1alpha1
kind: Plugin
metadata: { name: artifactory, version: 1.2.0 }
spec:
  world: storage
  component: plugin.wasm
  needs: { hosts: true, secrets: [token], judge-findings: false }
  settings: { timeout: 5s }
";

    fn parse(text: &str) -> Result<Manifest, String> {
        Manifest::parse(Path::new("plugin.yaml"), text).map_err(|e| e.to_string())
    }

    #[test]
    fn the_documented_manifest_parses() {
        let manifest = parse(GOOD).unwrap();
        assert_eq!(manifest.metadata.name.as_str(), "artifactory");
        assert_eq!(manifest.metadata.version.to_string(), "1.2.0");
        assert_eq!(manifest.spec.world, World::Storage);
        assert!(manifest.spec.needs.hosts);
        assert_eq!(manifest.spec.needs.secrets, ["token"]);
        assert_eq!(manifest.spec.settings["timeout"], "5s");
    }

    #[test]
    fn mistakes_are_refused_with_their_place() {
        for (name, from, to, expected) in [
            ("unknown key", "  settings:", "  setings:", "line 8"),
            ("unknown need", "judge-findings", "judge_findings", "line 7"),
            ("other world", "world: storage", "world: stroage", "line 5"),
            ("path as component", "plugin.wasm", "../x.wasm", "line 6"),
            (
                "other kind",
                "kind: Plugin",
                "kind: Plug",
                "expected `Plugin`",
            ),
            ("other version", "v1alpha1", "v2", "apiVersion"),
            ("secret path", "[token]", "[../token]", "needs.secrets"),
        ] {
            let error = parse(&GOOD.replace(from, to)).unwrap_err();
            assert!(error.contains(expected), "{name}: {error}");
            assert!(!error.contains('\n'), "{name}: {error}");
        }
    }
}
