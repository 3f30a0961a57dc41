//! Switches of the original, and of the roadmap, whose feature is not built yet: refused by
//! name, never ignored (contract.md 2).

/// A switch, and what it is for.
pub(crate) struct Refused {
    /// The flag without dashes; its environment variable and file key follow from it.
    pub(crate) flag: &'static str,
    /// What it would do.
    pub(crate) feature: &'static str,
}

const fn refused(flag: &'static str, feature: &'static str) -> Refused {
    Refused { flag, feature }
}

/// Every refused switch.
pub(crate) const REFUSED: &[Refused] = &[
    refused("kubernetes", "running against a Kubernetes cluster"),
    refused(
        "kube-api-listen",
        "opening the embedded control plane to kubectl",
    ),
    refused("use-bearer-token", "Kubernetes bearer tokens"),
    refused("oidc-issuer-url", "OIDC"),
    refused("oidc-client-id", "OIDC"),
    refused("oidc-groups-claim", "OIDC"),
    refused("oidc-allow-sa-fallback", "OIDC"),
    refused("oidc-allow-client-credentials", "OIDC"),
    refused("oidc-ui-client-id", "OIDC"),
    refused("oidc-authz-url", "OIDC"),
    refused("oidc-token-url", "OIDC"),
    refused("oidc-dex-proxy-enabled", "the Dex proxy"),
    refused("oidc-dex-internal-url", "the Dex proxy"),
    refused("namespace", "GroupBindings"),
    refused("stats-valkey-addr", "download statistics in Valkey"),
    refused("scanning-enabled", "scanning"),
    refused("scan-modules", "scanning"),
    refused("scan-offline", "scanning"),
    refused("scan-block-on-critical", "scanning"),
    refused("scan-block-on-high", "scanning"),
    refused("trivy-cache-dir", "scanning"),
    refused("leader-elect", "leader election"),
    refused(
        "metrics-bind-address",
        "a metrics listener of its own (metrics are at --admin-listen)",
    ),
    refused(
        "metrics-secure",
        "a metrics listener of its own (metrics are at --admin-listen)",
    ),
    refused(
        "metrics-cert-path",
        "a metrics listener of its own (metrics are at --admin-listen)",
    ),
    refused(
        "metrics-cert-name",
        "a metrics listener of its own (metrics are at --admin-listen)",
    ),
    refused(
        "metrics-cert-key",
        "a metrics listener of its own (metrics are at --admin-listen)",
    ),
    refused(
        "health-probe-bind-address",
        "a health listener of its own (health is at --admin-listen)",
    ),
    refused("webhook-cert-path", "webhooks"),
    refused("webhook-cert-name", "webhooks"),
    refused("webhook-cert-key", "webhooks"),
    refused("enable-http2", "switching HTTP/2 (it is always on)"),
    refused("zap-log-level", "zap's flags (use --log-level)"),
    refused("zap-devel", "zap's flags (use --log-format)"),
    refused("zap-encoder", "zap's flags (use --log-format)"),
    refused("zap-stacktrace-level", "zap's flags"),
    refused("zap-time-encoding", "zap's flags"),
];

impl Refused {
    /// `OPENDEPOT_…`.
    pub(crate) fn environment(&self) -> String {
        format!("OPENDEPOT_{}", self.flag.to_uppercase().replace('-', "_"))
    }

    /// The camel-case key of the configuration file.
    pub(crate) fn key(&self) -> String {
        let mut key = String::new();
        for (index, part) in self.flag.split('-').enumerate() {
            let mut letters = part.chars();
            match letters.next() {
                Some(first) if index > 0 => key.push(first.to_ascii_uppercase()),
                Some(first) => key.push(first),
                None => {}
            }
            key.extend(letters);
        }
        key
    }

    /// The sentence that an operator reads.
    pub(crate) fn message(&self, as_written: &str) -> String {
        format!("`{as_written}` is not available yet: {}", self.feature)
    }
}

/// The refused switch that `argument` sets, if any.
pub(crate) fn of_argument(argument: &str) -> Option<&'static Refused> {
    let name = argument
        .trim_start_matches('-')
        .split('=')
        .next()
        .unwrap_or_default();
    (argument.starts_with("--") && !name.is_empty()).then_some(())?;
    REFUSED.iter().find(|refused| refused.flag == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_and_variables_follow_from_the_flag() {
        let refused = of_argument("--oidc-issuer-url=https://x").unwrap();
        assert_eq!(refused.key(), "oidcIssuerUrl");
        assert_eq!(refused.environment(), "OPENDEPOT_OIDC_ISSUER_URL");
        assert!(of_argument("--listen").is_none());
    }
}
