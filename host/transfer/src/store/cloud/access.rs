//! How the operator lets a store be reached: the other half of a plan.

use crate::fetch::Secret;
use opendepot_domain::placement::NativePlan;
use opendepot_domain::seam::{BoxFuture, SeamError};
use std::collections::BTreeMap;
use std::fmt;

/// The operator's word on one store.
#[derive(Clone, Debug, Default)]
pub struct StoreAccess {
    /// Another endpoint than the cloud's own, as an absolute URL.
    pub endpoint: Option<String>,
    /// The region, for stores that have one.
    pub region: Option<String>,
    /// Client options; they win over those of a plan.
    pub options: BTreeMap<String, String>,
    /// The credential; requests go unsigned without one.
    pub credential: Option<CloudCredential>,
}

/// A granted credential.
#[derive(Clone)]
pub struct CloudCredential {
    /// How it is obtained.
    pub kind: CloudCredentialKind,
    /// The content of its file, for kinds that have one.
    pub secret: Option<Secret>,
}

impl fmt::Debug for CloudCredential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CloudCredential")
            .field("kind", &self.kind)
            .finish_non_exhaustive()
    }
}

/// How a credential is obtained.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CloudCredentialKind {
    /// Access key and secret key from a file.
    AwsStatic,
    /// A projected service account token, exchanged at the security token service.
    AwsWebIdentity,
    /// The metadata service of an instance, a task or a pod.
    AwsMetadata,
    /// An account key from a file.
    AzureKey,
    /// A projected service account token, exchanged at the directory.
    AzureWorkload,
    /// A service account key from a file.
    GcpKey,
    /// The metadata server.
    GcpMetadata,
}

impl CloudCredentialKind {
    /// As the operator writes it.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::AwsStatic => "aws-static",
            Self::AwsWebIdentity => "aws-web-identity",
            Self::AwsMetadata => "aws-metadata",
            Self::AzureKey => "azure-key",
            Self::AzureWorkload => "azure-workload",
            Self::GcpKey => "gcp-key",
            Self::GcpMetadata => "gcp-metadata",
        }
    }
}

/// Who knows the operator's grants.
pub trait NativeAccess: Send + Sync {
    /// How the store of a plan may be reached now. Reads the credential's file.
    fn access<'a>(&'a self, plan: &'a NativePlan) -> BoxFuture<'a, Result<StoreAccess, SeamError>>;
}
