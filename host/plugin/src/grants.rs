//! What one plugin may do: what its author declares and its operator grants, both.

use crate::config::{CredentialConfig, GrantsConfig};
use crate::manifest::Needs;
use crate::pattern::{HostGrant, PatternError, StorePattern};
use crate::secret::{NAME_RULE, is_secret_name};
use std::collections::{BTreeMap, BTreeSet};
use url::Url;

/// Grants after parsing. `Default` grants nothing.
#[derive(Clone, Debug, Default)]
pub(crate) struct Grants {
    pub(crate) stores: Vec<StoreGrant>,
    pub(crate) hosts: Vec<HostGrant>,
    pub(crate) credentials: BTreeMap<String, CredentialConfig>,
    pub(crate) secrets: BTreeMap<String, Vec<HostGrant>>,
    pub(crate) may_create_containers: bool,
    pub(crate) may_judge_findings: bool,
    pub(crate) claims: BTreeSet<String>,
}

#[derive(Clone, Debug)]
pub(crate) struct StoreGrant {
    pub(crate) pattern: StorePattern,
    pub(crate) endpoint: Option<String>,
    pub(crate) region: Option<String>,
    pub(crate) options: BTreeMap<String, String>,
    pub(crate) credentials: Option<String>,
}

impl Grants {
    /// Parses the operator's grants and keeps of hosts, secrets, claims and judge-findings what
    /// the author declared. Stores, credentials and create-containers are the operator's alone.
    ///
    /// # Errors
    /// [`PatternError`] with a suggestion.
    pub(crate) fn new(config: &GrantsConfig, needs: &Needs) -> Result<Self, PatternError> {
        let mut stores = Vec::with_capacity(config.stores.len());
        for store in &config.stores {
            if let Some(name) = &store.credentials {
                known_credential(config, name)?;
            }
            stores.push(StoreGrant {
                pattern: StorePattern::parse(&store.pattern)?,
                endpoint: store.endpoint.clone(),
                region: store.region.clone(),
                options: store.options.clone(),
                credentials: store.credentials.clone(),
            });
        }
        for credential in config.credentials.values() {
            if let Some(secret) = &credential.secret
                && !is_secret_name(secret)
            {
                return Err(PatternError::new("secret name", secret, NAME_RULE));
            }
        }
        let hosts = parse_hosts(&config.hosts)?;
        let mut secrets = BTreeMap::new();
        for (name, grant) in &config.secrets {
            if !is_secret_name(name) {
                return Err(PatternError::new("secret name", name, NAME_RULE));
            }
            let hosts = parse_hosts(&grant.hosts)?;
            if needs.has_secret(name) {
                secrets.insert(name.clone(), hosts);
            }
        }
        Ok(Self {
            stores,
            hosts: if needs.hosts { hosts } else { Vec::new() },
            credentials: config.credentials.clone(),
            secrets,
            may_create_containers: config.create_containers,
            may_judge_findings: config.judge_findings && needs.judge_findings,
            claims: config
                .claims
                .iter()
                .filter(|claim| needs.claims.contains(claim))
                .cloned()
                .collect(),
        })
    }

    /// The first grant that covers a store; the order is the operator's.
    pub(crate) fn store(&self, store: &str) -> Option<&StoreGrant> {
        self.stores
            .iter()
            .find(|grant| grant.pattern.matches(store))
    }

    /// Whether requests may go to the URL's host.
    pub(crate) fn allows_host(&self, url: &Url) -> bool {
        self.hosts.iter().any(|host| host.matches(url))
    }

    /// Whether a secret may be sent to the URL's host.
    pub(crate) fn allows_secret(&self, name: &str, url: &Url) -> bool {
        self.secrets
            .get(name)
            .is_some_and(|hosts| hosts.iter().any(|host| host.matches(url)))
    }

    /// One line per grant, for operators.
    pub(crate) fn summary(&self) -> Vec<String> {
        let mut lines: Vec<String> = Vec::new();
        lines.extend(self.stores.iter().map(|s| format!("store {}", s.pattern)));
        lines.extend(self.hosts.iter().map(|h| format!("host {h}")));
        lines.extend(self.credentials.keys().map(|c| format!("credential {c}")));
        lines.extend(self.secrets.iter().map(|(name, hosts)| {
            let hosts: Vec<String> = hosts.iter().map(ToString::to_string).collect();
            format!("secret {name} to [{}]", hosts.join(", "))
        }));
        lines.extend(self.claims.iter().map(|c| format!("claim {c}")));
        if self.may_create_containers {
            lines.push("create-containers".to_owned());
        }
        if self.may_judge_findings {
            lines.push("judge-findings".to_owned());
        }
        lines
    }

    /// The granted part of a caller's claims, as JSON text.
    pub(crate) fn filter_claims(&self, claims: &str) -> String {
        if self.claims.is_empty() {
            return "{}".to_owned();
        }
        let Ok(serde_json::Value::Object(mut object)) = serde_json::from_str(claims) else {
            return "{}".to_owned();
        };
        object.retain(|name, _| self.claims.contains(name));
        serde_json::Value::Object(object).to_string()
    }
}

fn parse_hosts(hosts: &[String]) -> Result<Vec<HostGrant>, PatternError> {
    hosts.iter().map(|host| HostGrant::parse(host)).collect()
}

fn known_credential(config: &GrantsConfig, name: &str) -> Result<(), PatternError> {
    if config.credentials.contains_key(name) {
        return Ok(());
    }
    let known: Vec<&str> = config.credentials.keys().map(String::as_str).collect();
    Err(PatternError::new(
        "credential of a store grant",
        name,
        format!("one of [{}] under `grants.credentials`", known.join(", ")),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grants(config: &str, needs: &Needs) -> Result<Grants, String> {
        let config: GrantsConfig = serde_saphyr::from_str(config).map_err(|e| e.to_string())?;
        Grants::new(&config, needs).map_err(|e| e.to_string())
    }

    const CONFIG: &str = r#"
stores:
  - { match: "s3://depot-*", endpoint: https://minio.internal:9000, region: eu-1, credentials: prod }
hosts: ["artifactory.example.com:443"]
credentials: { prod: { kind: aws-static, secret: prod-keys } }
secrets: { token: { hosts: ["artifactory.example.com:443"] }, other: {} }
create-containers: false
judge-findings: true
claims: [email, groups]
"#;

    #[test]
    fn hosts_secrets_claims_and_judging_need_both_sides() {
        let none = grants(CONFIG, &Needs::default()).unwrap();
        assert!(none.hosts.is_empty() && none.secrets.is_empty() && none.claims.is_empty());
        assert!(!none.may_judge_findings);
        assert_eq!(none.stores.len(), 1, "stores are the operator's alone");
        let needs = Needs {
            hosts: true,
            secrets: vec!["token".into(), "ungranted".into()],
            judge_findings: true,
            claims: vec!["email".into()],
        };
        let both = grants(CONFIG, &needs).unwrap();
        assert_eq!(both.hosts.len(), 1);
        assert_eq!(both.secrets.keys().collect::<Vec<_>>(), ["token"]);
        assert!(both.may_judge_findings);
        assert_eq!(
            both.filter_claims(r#"{"email":"a@b","groups":["x"]}"#),
            r#"{"email":"a@b"}"#
        );
        assert_eq!(both.filter_claims("not json"), "{}");
        let any = Needs {
            secrets: vec!["*".into()],
            ..Needs::default()
        };
        let any = grants(CONFIG, &any).unwrap();
        assert_eq!(any.secrets.keys().collect::<Vec<_>>(), ["other", "token"]);
    }

    #[test]
    fn mistakes_in_grants_are_errors() {
        for (name, config) in [
            ("unknown key", "store: []"),
            (
                "unknown credential",
                r#"{stores: [{match: "s3://depot", credentials: prd}], credentials: {prod: {kind: aws-static}}}"#,
            ),
            ("unknown kind", "credentials: {prod: {kind: aws}}"),
            ("secret path", r#"secrets: {"../token": {}}"#),
            (
                "credential path",
                r#"credentials: {p: {kind: aws-static, secret: "a/b"}}"#,
            ),
            ("host without port", "hosts: [example.com]"),
        ] {
            assert!(grants(config, &Needs::default()).is_err(), "{name}");
        }
    }
}
