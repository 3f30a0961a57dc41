//! Provider releases: one SHA256SUMS over all platforms of a version, signed once
//! (contract.md 3, *Releases*).

use crate::artifact::provider_file_name;
use crate::digest::{H1, Sha256};
use crate::name::ResourceName;
use crate::platform::Platform;
use crate::version::Version;
use serde::{Deserialize, Serialize};

/// One platform's package in a release.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReleaseFile {
    /// Operating system.
    pub os: String,
    /// Architecture.
    pub arch: String,
    /// Digest of the package.
    pub sha256: Sha256,
    /// Directory hash of the package.
    pub h1: H1,
    /// Size in bytes.
    pub size: u64,
}

/// A signed release; identical on the Provider and on each listed platform's Version.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Release {
    /// SHA-256 of the SHA256SUMS text, in hex.
    pub id: String,
    /// The platforms, sorted by os, then arch.
    pub files: Vec<ReleaseFile>,
    /// The binary detached OpenPGP signature, in base64.
    pub signature: String,
    /// The key that signed, upper-case hex.
    pub key_id: String,
    /// When, Unix seconds.
    pub signed_at: u64,
}

/// The SHA256SUMS text of a release: one line a platform, sorted by file name, conventional
/// names, two spaces, a final newline and no blank line (protocols.md 1.5: a blank line makes
/// clients panic).
#[must_use]
pub fn sums_text(provider_type: &ResourceName, version: &Version, files: &[ReleaseFile]) -> String {
    let mut lines: Vec<(String, &Sha256)> = files
        .iter()
        .filter_map(|file| {
            let platform = Platform::new(&file.os, &file.arch).ok()?;
            Some((
                provider_file_name(provider_type, version, &platform),
                &file.sha256,
            ))
        })
        .collect();
    lines.sort();
    lines
        .iter()
        .map(|(name, sha256)| format!("{sha256}  {name}\n"))
        .collect()
}

/// The id of the release whose SHA256SUMS is `text`.
#[must_use]
pub fn release_id(text: &str) -> String {
    Sha256::of(text.as_bytes()).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_are_sorted_and_end_with_one_newline() {
        let file = |os: &str| ReleaseFile {
            os: os.to_owned(),
            arch: "amd64".to_owned(),
            sha256: Sha256::of(os.as_bytes()),
            h1: H1::of_files([("a", Sha256::of(b"a"))]),
            size: 1,
        };
        let name = ResourceName::new("null").unwrap();
        let version = Version::parse("3.2.3").unwrap();
        let text = sums_text(&name, &version, &[file("linux"), file("darwin")]);
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(lines.len(), 2);
        assert!(lines[0].ends_with("  terraform-provider-null_3.2.3_darwin_amd64.zip"));
        assert!(text.ends_with(".zip\n") && !text.contains("\n\n"));
    }
}
