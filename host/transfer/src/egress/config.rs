//! `egress.{sources,storage,plugins,identity}` of the configuration file (contract.md 2, 3).

use super::EgressPolicy;
use crate::error::Error;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// One purpose's egress settings, as written.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct EgressConfig {
    /// Hosts: `host`, `host:port` or `*.suffix`.
    pub allow: Vec<String>,
    /// CIDRs of addresses that are not public but may be reached. A metadata service needs an
    /// entry of its own (`/32`, `/128`).
    pub allow_private: Vec<String>,
    /// Hosts that may be reached without TLS, in the grammar of `allow`.
    pub allow_http: Vec<String>,
    /// PEM certificates that are trusted besides the system's.
    pub ca_file: Option<PathBuf>,
}

impl EgressConfig {
    /// Parses the settings.
    ///
    /// # Errors
    /// [`Error::Settings`] with every entry that is wrong.
    pub fn policy(&self) -> Result<EgressPolicy, Error> {
        let mut problems = Vec::new();
        let policy = EgressPolicy {
            allow: parse("allow", &self.allow, &mut problems),
            allow_private: parse("allowPrivate", &self.allow_private, &mut problems),
            allow_http: parse("allowHttp", &self.allow_http, &mut problems),
            ca_file: self.ca_file.clone(),
            authorities: None,
            endpoints: Vec::new(),
            allows_any_host: false,
        };
        if problems.is_empty() {
            Ok(policy)
        } else {
            Err(Error::Settings { problems })
        }
    }
}

fn parse<T: std::str::FromStr>(
    setting: &str,
    entries: &[String],
    problems: &mut Vec<String>,
) -> Vec<T>
where
    T::Err: std::fmt::Display,
{
    let mut parsed = Vec::with_capacity(entries.len());
    for entry in entries {
        match entry.parse() {
            Ok(value) => parsed.push(value),
            Err(error) => {
                let shown: String = entry.escape_debug().take(120).collect();
                problems.push(format!("`{shown}` in `{setting}`: {error}"));
            }
        }
    }
    parsed
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_problems_are_listed_at_once_and_unknown_keys_refused() {
        let config: EgressConfig = serde_json::from_value(serde_json::json!({
            "allow": ["ok.example", "https://bad.example"],
            "allowPrivate": ["10.0.0.0/8", "10.0.0.1", "10.0.0.0/33"],
            "allowHttp": ["*"],
        }))
        .unwrap();
        let Err(Error::Settings { problems }) = config.policy() else {
            panic!("wrong settings were accepted");
        };
        assert_eq!(problems.len(), 4, "{problems:?}");
        assert!(
            serde_json::from_value::<EgressConfig>(serde_json::json!({"allowed": []})).is_err()
        );
    }
}
