//! Who asks, for what, and what the chain of policies answers (plugins.md 2).

use crate::artifact::ArtifactKind;
use crate::name::{Namespace, PluginId, ResourceName};
use crate::platform::Platform;
use crate::version::Version;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

/// How a subject proved itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Authentication {
    /// No credential, in a mode that allows it.
    Anonymous,
    /// A token of the token file.
    TokenFile,
    /// A Kubernetes TokenReview.
    TokenReview,
    /// An OIDC token.
    Oidc,
    /// A machine client.
    Machine,
    /// A web session.
    Web,
}

impl Authentication {
    /// Kebab-case name for logs, metrics and plugins.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Anonymous => "anonymous",
            Self::TokenFile => "token-file",
            Self::TokenReview => "token-review",
            Self::Oidc => "oidc",
            Self::Machine => "machine",
            Self::Web => "web",
        }
    }
}

/// A verified caller.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Subject {
    /// How it proved itself.
    pub authentication: Authentication,
    /// Who vouches for it; empty where nobody does.
    pub issuer: String,
    /// Its name; empty when anonymous.
    pub name: String,
    /// Its groups.
    pub groups: Vec<String>,
    /// Granted claims as JSON; `{}` when there are none.
    pub claims: String,
    /// The peer's address, without port.
    pub client_address: String,
}

impl Subject {
    /// The caller without a credential.
    #[must_use]
    pub fn anonymous(client_address: String) -> Self {
        Self {
            authentication: Authentication::Anonymous,
            issuer: String::new(),
            name: String::new(),
            groups: Vec::new(),
            claims: "{}".to_owned(),
            client_address,
        }
    }
}

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Action {
    /// The version list of one module or provider.
    ListVersions,
    /// A package document.
    ReadPackage,
    /// Bytes.
    Download,
    /// The browse API.
    Browse,
    /// Publishing.
    Publish,
    /// Administration.
    Administer,
}

impl Action {
    /// Every action, in WIT order.
    pub const ALL: [Self; 6] = [
        Self::ListVersions,
        Self::ReadPackage,
        Self::Download,
        Self::Browse,
        Self::Publish,
        Self::Administer,
    ];

    /// Kebab-case name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ListVersions => "list-versions",
            Self::ReadPackage => "read-package",
            Self::Download => "download",
            Self::Browse => "browse",
            Self::Publish => "publish",
            Self::Administer => "administer",
        }
    }
}

/// Labels by key.
pub type LabelMap = Arc<BTreeMap<String, String>>;

/// The Kubernetes labels of what is asked about, where they are known. Absent ones are unknown:
/// nobody looked, or there is no such object. Known and empty is something else.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Labels {
    /// Those of the Namespace.
    pub namespace: Option<LabelMap>,
    /// Those of the Module or Provider.
    pub resource: Option<LabelMap>,
}

/// What it is asked of.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Target {
    /// Kubernetes namespace.
    pub namespace: Namespace,
    /// Module or provider.
    pub kind: ArtifactKind,
    /// Resource name.
    pub name: ResourceName,
    /// The version; absent for a version list, so that lists stay rendered.
    pub version: Option<Version>,
    /// The platform, for provider packages.
    pub platform: Option<Platform>,
    /// What policies may decide by; filled in just before they are asked.
    #[serde(default)]
    pub labels: Labels,
}

/// One plugin's or the whole chain's answer.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Decision {
    /// Yes.
    Allow,
    /// No; why goes to the audit log, never to the caller.
    Deny(Denial),
    /// No opinion.
    Abstain,
}

impl Decision {
    /// A no that is nobody's in particular.
    pub fn deny(reason: impl Into<String>) -> Self {
        Self::Deny(Denial {
            by: None,
            reason: reason.into(),
        })
    }
}

/// Why not, and who says so. Reads as its reason.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Denial {
    /// The policy; absent where no policy denies and the mode does.
    pub by: Option<Decider>,
    /// Its reason, escaped and cut.
    pub reason: String,
}

impl Deref for Denial {
    type Target = str;

    fn deref(&self) -> &str {
        &self.reason
    }
}

impl fmt::Display for Denial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.reason)
    }
}

/// The policy that decided.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Decider {
    /// Its name in this host.
    pub plugin: PluginId,
    /// Its component's digest in hex; absent when it is not loaded.
    pub digest: Option<Arc<str>>,
}

/// What decides when every plugin abstains.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Base {
    /// Anonymous mode.
    Allow,
    /// Token file and OIDC.
    Deny,
}

/// Combines the answers of a chain for one target: any deny denies; else any allow allows; else
/// the mode's base decides.
#[must_use]
pub fn combine(answers: impl IntoIterator<Item = Decision>, base: Base) -> Decision {
    let mut allowed = false;
    for answer in answers {
        match answer {
            Decision::Deny(reason) => return Decision::Deny(reason),
            Decision::Allow => allowed = true,
            Decision::Abstain => {}
        }
    }
    match (allowed, base) {
        (true, _) | (false, Base::Allow) => Decision::Allow,
        (false, Base::Deny) => Decision::deny("no policy allows it"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_deny_wins_then_any_allow_then_the_base() {
        use Decision::{Abstain, Allow, Deny};
        let deny = || Decision::deny("no");
        assert_eq!(combine([Allow, deny(), Allow], Base::Allow), deny());
        assert_eq!(combine([Abstain, Allow], Base::Deny), Allow);
        assert_eq!(combine([Abstain], Base::Allow), Allow);
        assert!(matches!(combine([Abstain], Base::Deny), Deny(_)));
        assert!(matches!(combine([], Base::Deny), Deny(_)));
    }
}
