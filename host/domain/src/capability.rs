//! What a capability URL binds (contract.md 4, *Capabilities*). The MAC itself is made in
//! `identity`.

use crate::artifact::ArtifactId;
use crate::canonical::Canonical;
use crate::digest::Sha256;

/// Which byte route a capability opens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Purpose {
    /// A module archive.
    Module,
    /// A provider package.
    Archive,
    /// A release's SHA256SUMS.
    Sums,
    /// The signature over SHA256SUMS.
    Signature,
}

impl Purpose {
    /// The name in the MAC's input.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Module => "module",
            Self::Archive => "archive",
            Self::Sums => "sums",
            Self::Signature => "sig",
        }
    }
}

/// Seconds of one window: documents that carry capabilities are rendered once per window.
pub const WINDOW_SECONDS: u64 = 300;

/// The expiry that a capability minted at `now` carries: five minutes of life, rounded up to
/// the end of a window, so between five and ten minutes away.
#[must_use]
pub const fn expiry(now: u64) -> u64 {
    (now + WINDOW_SECONDS).div_ceil(WINDOW_SECONDS) * WINDOW_SECONDS
}

/// Everything that a capability's MAC covers.
#[derive(Clone, Copy, Debug)]
pub struct Capability<'a> {
    /// The route it opens.
    pub purpose: Purpose,
    /// The artifact. For `Sums` and `Signature` the platform that asked.
    pub id: &'a ArtifactId,
    /// The release id for providers, empty for modules.
    pub release: &'a str,
    /// Digest of the bytes that it opens.
    pub sha256: &'a Sha256,
    /// Unix seconds.
    pub expires: u64,
}

impl Capability<'_> {
    /// The MAC's input; never over the path's text.
    #[must_use]
    pub fn input(&self) -> Canonical {
        let mut input = Canonical::new("opendepot-capability-v1");
        let (os, arch) = self
            .id
            .platform
            .as_ref()
            .map_or(("", ""), |p| (p.os(), p.arch()));
        input
            .field(self.purpose.as_str())
            .field(self.id.namespace.as_str())
            .field(self.id.kind.as_str())
            .field(self.id.name.as_str())
            .field(&self.id.version.to_string())
            .field(os)
            .field(arch)
            .field(self.release)
            .field(&self.sha256.to_string())
            .field(&self.expires.to_string());
        input
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn life_is_between_five_and_ten_minutes() {
        for now in [0, 1, 299, 300, 301, 1_790_000_123] {
            let life = expiry(now) - now;
            assert!((300..=600).contains(&life), "{now}: {life}");
            assert_eq!(expiry(now) % WINDOW_SECONDS, 0);
        }
    }
}
