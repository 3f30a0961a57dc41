//! The custom resources of OpenDepot: `Depot`, `Module`, `Provider`, `Version` and
//! `GroupBinding` in group `opendepot.defdev.io/v1alpha1`.
//!
//! What it is for: the Rust types, their schemas with every rule that the API server checks,
//! and the conversions to `opendepot_domain`. Field names are the original's, plus the additions
//! of contract.md 3.
//!
//! What bounds it: every string has a `maxLength`, every list `maxItems` and a list type, every
//! map `maxProperties`, every number a range. So the rules in CEL stay within the API server's
//! cost budget, and a status cannot grow without limit. [`limits`] holds the figures.
//!
//! What it refuses: the schema refuses names that a URL or a storage key cannot carry, two
//! entries for one release, more than one storage backend, paths that climb. What an
//! installation of the original already stores is refused only when that very value changes
//! (the API server ratchets), so existing objects stay writable.
//!
//! What may surprise: decoding is more lenient than the schema. One object that does not decode
//! stops the watch of its whole kind, so texts stay texts here (`fileFormat`, durations,
//! versions) and are parsed by accessors that return an [`Error`]; closed sets have an `Unknown`
//! variant for reading. `X::crd()` of kube's derive is raw material: use [`all`].

#![expect(
    clippy::duplicated_attributes,
    reason = "printer columns repeat `type_` and `priority`, which the lint takes for one list"
)]
#![expect(
    unreachable_pub,
    reason = "the KubeSchema derive copies each struct, its `pub` included, into a function"
)]
#![warn(missing_docs)]

mod config;
mod crd;
mod depot;
mod duration;
mod error;
mod group_binding;
mod meta;
mod module;
mod pattern;
mod provider;
mod scan;
mod schema;
mod source;
mod status;
mod storage;
mod time;
mod version;

pub mod conditions;
pub mod limits;

pub use conditions::{ConditionStatus, ConditionType, Reason};
pub use config::{FileFormat, GithubClientConfig, ModuleConfig, ProviderConfig};
pub use crd::{all, to_yaml};
pub use depot::{Depot, DepotSpec, DepotStatus, GlobalConfig};
pub use duration::parse_go_duration;
pub use error::Error;
pub use group_binding::{GroupBinding, GroupBindingSpec, GroupBindingStatus};
pub use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
pub use meta::*;
pub use module::{Module, ModuleSpec, ModuleStatus, ModuleVersionRef, SpecVersion};
pub use provider::{
    Provider, ProviderSpec, ProviderSpecVersion, ProviderStatus, ProviderVersionRef,
};
pub use scan::{ProviderSourceScan, Scan, SecurityFinding};
pub use source::{
    GithubSource, ModuleOrigin, ModuleSource, ProviderOrigin, ProviderSource, RegistrySource,
};
pub use status::{
    Release, ReleaseFile, Seal, StatusArtifact, Verdict, VerdictResult, VersionSource,
};
pub use storage::{
    AzureStorage, Backend, FileSystemStorage, GcsStorage, PluginStorage, PresignConfig, S3Storage,
    StorageConfig,
};
pub use time::{rfc3339, unix_seconds};
pub use version::{ReadmeConfigMapRef, Version, VersionSpec, VersionStatus, VersionType};
