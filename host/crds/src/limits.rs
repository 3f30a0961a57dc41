//! The bounds that the schemas carry.

/// Entries of `spec.versions`. The rule that refuses two entries for one release may have to
/// compare every pair: with many more entries the API server's cost estimate refuses the whole
/// definition.
pub const VERSIONS: u32 = 1_000;
/// Characters of one version, `v` and build metadata included.
pub const VERSION_CHARS: u32 = 64;
/// Entries of `moduleConfigs` and of `providerConfigs` of one Depot.
pub const DEPOT_CONFIGS: u32 = 256;
/// Operating systems, and architectures, of one provider.
pub const PLATFORM_PARTS: u32 = 32;
/// Files of one release.
pub const RELEASE_FILES: u32 = 128;
/// Releases that a Version carries (contract.md 3).
pub const RELEASES: u32 = 2;
/// Findings of one scan that a status carries (reliability.md 2).
pub const FINDINGS: u32 = 500;
/// Conditions of one object.
pub const CONDITIONS: u32 = 32;
/// Bytes of a condition's message (reliability.md 11.2).
pub const CONDITION_MESSAGE_BYTES: usize = 1_024;
/// Entries of a Provider's `providerVersionRefs`.
pub const PROVIDER_VERSION_REFS: u32 = 4_096;
/// Names or globs of one list of a GroupBinding.
pub const BINDING_RESOURCES: u32 = 256;
/// The largest generation that the schema accepts: what a JSON number carries exactly.
pub const GENERATION: i64 = 1 << 53;
/// The largest artifact size that the schema accepts, in bytes (1 PiB).
pub const ARTIFACT_BYTES: u64 = 1 << 50;
