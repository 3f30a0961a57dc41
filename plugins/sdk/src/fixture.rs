//! Values for a plugin's tests: what the host would pass, to be changed where a test says so.
//!
//! Enable the feature `test` in `dev-dependencies` only.
//!
//! ```
//! # #[cfg(feature = "auth")]
//! # {
//! use opendepot_plugin_sdk::auth::Target;
//! use opendepot_plugin_sdk::fixture::auth::module;
//!
//! let one = Target { version: Some("1.0.0".to_owned()), ..module("team-a", "vpc") };
//! assert_eq!(one.namespace, "team-a");
//! # }
//! ```

#[cfg(any(feature = "scan", feature = "storage"))]
/// The provider `team-a/aws` 5.0.0 for one platform.
#[must_use]
pub fn artifact() -> crate::Artifact {
    crate::Artifact {
        namespace: "team-a".to_owned(),
        kind: crate::ArtifactKind::Provider,
        name: "aws".to_owned(),
        version: "5.0.0".to_owned(),
        os: Some("linux".to_owned()),
        arch: Some("amd64".to_owned()),
        file_name: "terraform-provider-aws_5.0.0_linux_amd64.zip".to_owned(),
        media_type: "application/zip".to_owned(),
        size: 1,
        sha256: "0".repeat(64),
        attributes: Vec::new(),
    }
}

/// For auth plugins.
#[cfg(feature = "auth")]
pub mod auth {
    use crate::artifact::ArtifactKind;
    use crate::auth::{AuthPlugin, Authentication, Error, Subject, Target};

    /// A caller with a token of an issuer, and these groups.
    #[must_use]
    pub fn subject(groups: &[&str]) -> Subject {
        Subject {
            authentication: Authentication::Oidc,
            issuer: "https://issuer.example".to_owned(),
            name: "ci".to_owned(),
            groups: groups.iter().map(|group| (*group).to_owned()).collect(),
            claims: "{}".to_owned(),
            client_address: "192.0.2.1".to_owned(),
            attributes: Vec::new(),
        }
    }

    /// A caller without a credential who claims to have groups.
    #[must_use]
    pub fn anonymous(groups: &[&str]) -> Subject {
        Subject {
            authentication: Authentication::Anonymous,
            ..subject(groups)
        }
    }

    /// All versions of a resource.
    #[must_use]
    pub fn target(kind: ArtifactKind, namespace: &str, name: &str) -> Target {
        Target {
            namespace: namespace.to_owned(),
            kind,
            name: name.to_owned(),
            version: None,
            os: None,
            arch: None,
            attributes: Vec::new(),
        }
    }

    /// All versions of a module.
    #[must_use]
    pub fn module(namespace: &str, name: &str) -> Target {
        target(ArtifactKind::Module, namespace, name)
    }

    /// All versions of a provider.
    #[must_use]
    pub fn provider(namespace: &str, name: &str) -> Target {
        target(ArtifactKind::Provider, namespace, name)
    }

    /// Path and message of every problem that the plugin finds in its settings.
    #[must_use]
    pub fn problems<T: AuthPlugin>(settings: &str) -> Vec<(String, String)> {
        match T::validate(settings) {
            Ok(()) => Vec::new(),
            Err(Error::InvalidSettings(problems)) => super::pairs(problems),
            Err(Error::Other(message)) => vec![("(no settings)".to_owned(), message)],
        }
    }
}

/// For scan plugins.
#[cfg(feature = "scan")]
pub mod scan {
    use crate::scan::{Context, Error, Finding, Report, ScanPlugin, Scope, Severity};

    pub use super::artifact;

    /// A finding that counts and that nothing fixes, in the package `openssl` 1.0.
    #[must_use]
    pub fn finding(id: &str, severity: Severity) -> Finding {
        Finding {
            id: id.to_owned(),
            package: "openssl".to_owned(),
            installed_version: "1.0".to_owned(),
            fixed_version: None,
            severity,
            suppressed: None,
            title: "a title".to_owned(),
            attributes: Vec::new(),
        }
    }

    /// A report about a provider's executable.
    #[must_use]
    pub fn report(findings: Vec<Finding>) -> Report {
        Report {
            scanner: "scanner 1.0".to_owned(),
            scanned_at: 1_790_000_000,
            scope: Scope::ProviderBinary,
            findings,
            attributes: Vec::new(),
        }
    }

    /// The first look, before anything is stored.
    #[must_use]
    pub fn context() -> Context {
        Context {
            already_published: false,
            trigger: "ingest".to_owned(),
            attributes: Vec::new(),
        }
    }

    /// Path and message of every problem that the plugin finds in its settings.
    #[must_use]
    pub fn problems<T: ScanPlugin>(settings: &str) -> Vec<(String, String)> {
        match T::validate(settings) {
            Ok(()) => Vec::new(),
            Err(Error::InvalidSettings(problems)) => super::pairs(problems),
            Err(Error::Other(message)) => vec![("(no settings)".to_owned(), message)],
        }
    }
}

/// For storage plugins.
#[cfg(feature = "storage")]
pub mod storage {
    use crate::storage::{Configuration, Error, StoragePlugin};

    pub use super::artifact;

    /// The operator's settings and, when there is one, a resource's block: both JSON text.
    #[must_use]
    pub fn configuration(operator: &str, backend: Option<&str>) -> Configuration {
        Configuration {
            operator: operator.to_owned(),
            backend: backend.map(str::to_owned),
            attributes: Vec::new(),
        }
    }

    /// Path and message of every problem that the plugin finds in its settings.
    #[must_use]
    pub fn problems<T: StoragePlugin>(configuration: &Configuration) -> Vec<(String, String)> {
        match T::validate(configuration) {
            Ok(()) => Vec::new(),
            Err(Error::InvalidSettings(problems)) => super::pairs(problems),
            Err(other) => vec![("(no settings)".to_owned(), format!("{other:?}"))],
        }
    }
}

#[cfg(any(feature = "auth", feature = "scan", feature = "storage"))]
fn pairs(problems: Vec<crate::Problem>) -> Vec<(String, String)> {
    problems
        .into_iter()
        .map(|problem| (problem.path, problem.message))
        .collect()
}
