//! Who asks, for what, and what the chain of policies answers (plugins.md 2).

use crate::artifact::ArtifactKind;
use crate::name::{Namespace, ResourceName};
use crate::platform::Platform;
use crate::version::Version;
use serde::{Deserialize, Serialize};

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
}

/// One plugin's or the whole chain's answer.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Decision {
    /// Yes.
    Allow,
    /// No; the reason goes to the audit log, never to the caller.
    Deny(String),
    /// No opinion.
    Abstain,
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
        (false, Base::Deny) => Decision::Deny("no policy allows it".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_deny_wins_then_any_allow_then_the_base() {
        use Decision::{Abstain, Allow, Deny};
        let deny = || Deny("no".to_owned());
        assert_eq!(combine([Allow, deny(), Allow], Base::Allow), deny());
        assert_eq!(combine([Abstain, Allow], Base::Deny), Allow);
        assert_eq!(combine([Abstain], Base::Allow), Allow);
        assert!(matches!(combine([Abstain], Base::Deny), Deny(_)));
        assert!(matches!(combine([], Base::Deny), Deny(_)));
    }
}
