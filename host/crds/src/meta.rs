//! Names that others match on: group, labels, annotations, finalizer, field managers and the
//! texts of `status.syncStatus` (OD-2.5, contract.md 3, reliability.md 11.4).

/// The API group.
pub const GROUP: &str = "opendepot.defdev.io";
/// The API version, without the group.
pub const VERSION: &str = "v1alpha1";
/// `apiVersion` of every resource here.
pub const API_VERSION: &str = "opendepot.defdev.io/v1alpha1";
/// The category that `kubectl get opendepot` lists.
pub const CATEGORY: &str = "opendepot";

/// Keeps a Version until its bytes are gone.
pub const FINALIZER: &str = "opendepot.defdev.io/finalizer";

/// On a module's Version and README ConfigMap: the config name.
pub const LABEL_MODULE: &str = "opendepot.defdev.io/module";
/// On a provider's Version: the config name.
pub const LABEL_PROVIDER: &str = "opendepot.defdev.io/provider";
/// On Versions and README ConfigMaps: the namespace.
pub const LABEL_NAMESPACE: &str = "opendepot.defdev.io/namespace";
/// On a provider's Version: the operating system.
pub const LABEL_PROVIDER_OS: &str = "opendepot.defdev.io/provider-os";
/// On a provider's Version: the architecture.
pub const LABEL_PROVIDER_ARCH: &str = "opendepot.defdev.io/provider-arch";
/// On a README ConfigMap: the Version's name.
pub const LABEL_VERSION: &str = "opendepot.defdev.io/version";
/// On a Namespace, Module, Provider or Depot: `"true"` shows it to everybody.
pub const LABEL_PUBLIC: &str = "opendepot.defdev.io/public";

/// Any new value asks for one more look at the source.
pub const ANNOTATION_REQUESTED_AT: &str = "opendepot.defdev.io/requested-at";
/// `sha256:<hex>`, on a Version or its owner: approves one change of a non-immutable version's
/// bytes. Several, for several versions, with commas between them.
pub const ANNOTATION_ACCEPT_DIGEST: &str = "opendepot.defdev.io/accept-digest";
/// [`DELETION_POLICY_RETAIN`] keeps the bytes when the Version goes; on a Module or Provider it is
/// passed on to its Versions, and stays with them.
pub const ANNOTATION_DELETION_POLICY: &str = "opendepot.defdev.io/deletion-policy";
/// The value of [`ANNOTATION_DELETION_POLICY`] that keeps bytes.
pub const DELETION_POLICY_RETAIN: &str = "Retain";

/// Field manager of the depot controller.
pub const MANAGER_DEPOT: &str = "opendepot-depot";
/// Field manager of the module controller.
pub const MANAGER_MODULE: &str = "opendepot-module";
/// Field manager of the provider controller.
pub const MANAGER_PROVIDER: &str = "opendepot-provider";
/// Field manager of the version controller.
pub const MANAGER_VERSION: &str = "opendepot-version";
/// Field manager of what says that nobody reads a GroupBinding.
pub const MANAGER_GROUP_BINDING: &str = "opendepot-groupbinding";
/// Field managers of the original's controllers, for the take-over.
pub const ORIGINAL_MANAGERS: [&str; 3] = [
    "opendepot-modules-controller",
    "opendepot-providers-controller",
    "opendepot-versions-controller",
];

/// The key of a README ConfigMap's only entry.
pub const README_KEY: &str = "README.md";
/// The Secret, in a resource's own namespace, with the GitHub App's credentials.
pub const GITHUB_APP_SECRET: &str = "opendepot-github-application-secret";

/// `Version.status.syncStatus` of a stored version.
pub const SYNCED_VERSION: &str = "Successfully synced version";
/// `Module.status.syncStatus` once its Versions exist.
pub const SYNCED_MODULE: &str = "Successfully synced module";
/// `Provider.status.syncStatus` once its Versions exist.
pub const SYNCED_PROVIDER: &str = "Successfully synced provider";
/// Starts the text of a module that could not be fetched.
pub const SYNC_FAILED_MODULE: &str = "Failed to retrieve module archive: ";
/// Starts the text of a provider that could not be fetched; the words are the original's.
pub const SYNC_FAILED_PROVIDER: &str =
    "Failed to retrieve provider archive from HashiCorp releases API: ";
/// Starts the text of a version that the scan verdict blocks.
pub const SYNC_POLICY_VIOLATION: &str = "Scan policy violation: ";
/// Starts the text of a version whose path does not exist yet.
pub const SYNC_WAITING_FOR_PATH: &str = "Waiting for file path to be available: ";
/// Nothing has been fetched yet.
pub const SYNC_NO_BYTES: &str = "No artifact bytes available for upload yet";
/// The stored bytes are gone and cannot be fetched again.
pub const SYNC_ARTIFACT_MISSING: &str =
    "Artifact missing in storage and no bytes available to reconcile";
/// An immutable version's source has other bytes than before.
pub const SYNC_IMMUTABLE: &str =
    "version is marked immutable: archive checksum doesn't match existing checksum: got ";
/// Both config references are set.
pub const SYNC_BOTH_REFS: &str =
    "Only one of 'ModuleConfigRef' or 'ProviderConfigRef' can be provided: both are defined";

/// `Version.status.syncStatus` of a Version whose own name contains a dot.
#[must_use]
pub fn sync_invalid_name(name: &str) -> String {
    format!(
        "Version name '{name}' is invalid: name must not contain '.' characters: rename the resource and reapply"
    )
}

/// The name of the README ConfigMap of a Version (OD-2.7).
#[must_use]
pub fn readme_config_map_name(version_name: &str) -> String {
    format!("{version_name}-readme")
}
