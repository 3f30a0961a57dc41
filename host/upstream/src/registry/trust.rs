//! Whose signature counts (T30).

use crate::answer::excerpt;
use crate::error::Error;
use opendepot_signing::{PublicKey, verify_detached};

/// More keys than any registry lists for one provider.
const MAX_KEYS: usize = 32;
/// Shorter ids are made to order.
const MIN_ID_DIGITS: usize = 16;

/// What a release must prove.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Trust {
    /// The only keys that count: named in `keyIds`, or pinned when first seen. Key ids of 16 hex
    /// digits or fingerprints of 40; shorter ones never match. Empty: any that the registry
    /// lists.
    pub key_ids: Vec<String>,
    /// Whether a release without keys or signature is taken. A wrong signature never is.
    pub allow_unsigned: bool,
}

impl Trust {
    /// The fingerprint of the trusted key that signed `sums`. Blocks for milliseconds.
    pub(super) fn verify(
        &self,
        provider: &str,
        version: &str,
        armored: &[String],
        sums: &[u8],
        signature: &[u8],
    ) -> Result<String, Error> {
        let failed = |source| Error::Signature {
            provider: provider.to_owned(),
            version: version.to_owned(),
            source,
        };
        let mut keys = Vec::new();
        let mut unreadable = None;
        for armor in armored.iter().take(MAX_KEYS) {
            match PublicKey::parse_upstream(armor.as_bytes()) {
                Ok(mut parsed) => keys.append(&mut parsed),
                Err(error) => unreadable = Some(error),
            }
        }
        if let (true, Some(error)) = (keys.is_empty(), unreadable) {
            return Err(failed(error));
        }
        let listed = names(keys.iter().map(|key| key.fingerprint.as_str()));
        if !self.key_ids.is_empty() {
            keys.retain(|key| self.key_ids.iter().any(|id| is_named(key, id)));
            if keys.is_empty() {
                return Err(Error::UnknownKey {
                    provider: provider.to_owned(),
                    listed,
                    trusted: names(self.key_ids.iter().map(String::as_str)),
                });
            }
        }
        verify_detached(&keys, sums, signature)
            .map(|key| key.fingerprint.clone())
            .map_err(failed)
    }
}

fn is_named(key: &PublicKey, id: &str) -> bool {
    let digits = id.trim();
    let digits = digits
        .strip_prefix("0x")
        .or_else(|| digits.strip_prefix("0X"))
        .unwrap_or(digits);
    digits.len() >= MIN_ID_DIGITS && key.is_named(digits)
}

fn names<'a>(ids: impl Iterator<Item = &'a str>) -> String {
    ids.take(8)
        .map(|id| format!("`{}`", excerpt(id)))
        .collect::<Vec<_>>()
        .join(", ")
}
