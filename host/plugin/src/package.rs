//! A plugin folder on disk: its manifest, the bytes of its component, and whether they are the
//! pinned ones. What was hashed is what is compiled: the file is read once.

use crate::error::LoadError;
use crate::manifest::{self, Manifest};
use crate::signature::SignaturePolicy;
use opendepot_domain::Sha256;
use serde_json::Value;
use std::io::Read as _;
use std::path::{Path, PathBuf};

/// Largest settings after merging, in bytes.
const MAX_SETTINGS_BYTES: usize = 256 << 10;

/// What an entry demands of the digest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pin {
    /// A listed folder: the digest must be given and match.
    Required(Option<Sha256>),
    /// A built-in: trusted as the executable is; a given digest must match.
    Optional(Option<Sha256>),
    /// A folder that no entry lists.
    Unlisted,
}

/// Reads and parses `plugin.yaml`. Blocking.
pub(crate) fn read_manifest(folder: &Path) -> Result<Manifest, LoadError> {
    let path = folder.join("plugin.yaml");
    let bytes = read(&path, manifest::MAX_BYTES)?;
    let text = String::from_utf8(bytes).map_err(|_| LoadError::Manifest {
        path: path.clone(),
        message: "it is not UTF-8".to_owned(),
    })?;
    Manifest::parse(&path, &text)
}

/// Reads the component and its digest. Blocking.
pub(crate) fn read_component(
    folder: &Path,
    manifest: &Manifest,
    limit: u64,
) -> Result<(Vec<u8>, Sha256), LoadError> {
    let path = folder.join(manifest.spec.component.as_str());
    let bytes = read(&path, limit)?;
    let digest = Sha256::of(&bytes);
    Ok((bytes, digest))
}

/// Compares the digest with the pin.
pub(crate) fn check_pin(pin: Pin, actual: Sha256) -> Result<(), LoadError> {
    match pin {
        Pin::Required(None) => Err(LoadError::Unpinned { actual }),
        Pin::Required(Some(expected)) | Pin::Optional(Some(expected)) if expected != actual => {
            Err(LoadError::Digest { actual, expected })
        }
        Pin::Required(Some(_)) | Pin::Optional(_) | Pin::Unlisted => Ok(()),
    }
}

/// Checks the signature of a component where the operator lists keys. Built-ins are trusted as the
/// executable is, so they need none. Blocking.
pub(crate) fn check_signature(
    keys: &[PathBuf],
    folder: &Path,
    component: &[u8],
    pin: Pin,
) -> Result<(), LoadError> {
    match pin {
        Pin::Required(_) | Pin::Unlisted if !keys.is_empty() => {
            SignaturePolicy::read(keys)?.verify(component, folder)
        }
        Pin::Required(_) | Pin::Unlisted | Pin::Optional(_) => Ok(()),
    }
}

/// A regular file of at most `limit` bytes. Blocking.
pub(crate) fn read(path: &Path, limit: u64) -> Result<Vec<u8>, LoadError> {
    let failed = |source| LoadError::Read {
        path: path.to_owned(),
        source,
    };
    // Non-blocking, so that a FIFO in the folder cannot hold the loader.
    let flags =
        rustix::fs::OFlags::RDONLY | rustix::fs::OFlags::NONBLOCK | rustix::fs::OFlags::CLOEXEC;
    let file = rustix::fs::open(path, flags, rustix::fs::Mode::empty())
        .map_err(|error| failed(error.into()))?;
    let file = std::fs::File::from(file);
    let metadata = file.metadata().map_err(failed)?;
    if !metadata.is_file() {
        return Err(failed(std::io::Error::other("not a regular file")));
    }
    let too_large = || LoadError::TooLarge {
        path: path.to_owned(),
        limit,
    };
    if metadata.len() > limit {
        return Err(too_large());
    }
    let mut bytes = Vec::with_capacity(usize::try_from(metadata.len()).unwrap_or_default());
    file.take(limit.saturating_add(1))
        .read_to_end(&mut bytes)
        .map_err(failed)?;
    if bytes.len() as u64 > limit {
        return Err(too_large());
    }
    Ok(bytes)
}

/// The author's defaults with the operator's settings over them, as JSON text.
pub(crate) fn merge_settings(defaults: &Value, over: &Value) -> Result<String, LoadError> {
    let mut merged = Value::Object(serde_json::Map::new());
    for (whose, settings) in [("`plugin.yaml`", defaults), ("the entry", over)] {
        match settings {
            Value::Null => {}
            Value::Object(_) => merge(&mut merged, settings),
            _ => {
                return Err(LoadError::Settings(format!(
                    "those of {whose} are not an object"
                )));
            }
        }
    }
    let text = merged.to_string();
    if text.len() > MAX_SETTINGS_BYTES {
        return Err(LoadError::Settings(format!(
            "larger than {MAX_SETTINGS_BYTES} bytes"
        )));
    }
    Ok(text)
}

/// Objects are merged key by key; anything else is replaced.
fn merge(base: &mut Value, over: &Value) {
    match (base, over) {
        (Value::Object(base), Value::Object(over)) => {
            for (key, value) in over {
                merge(base.entry(key.clone()).or_insert(Value::Null), value);
            }
        }
        (base, over) => *base = over.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn settings_go_over_defaults() {
        let merged = merge_settings(
            &json!({"timeout": "5s", "tls": {"min": "1.2", "sni": true}, "list": [1, 2]}),
            &json!({"tls": {"min": "1.3"}, "list": [3]}),
        )
        .unwrap();
        let merged: Value = serde_json::from_str(&merged).unwrap();
        assert_eq!(
            merged,
            json!({"timeout": "5s", "tls": {"min": "1.3", "sni": true}, "list": [3]})
        );
        assert_eq!(merge_settings(&Value::Null, &Value::Null).unwrap(), "{}");
        assert!(merge_settings(&json!([]), &Value::Null).is_err());
        assert!(merge_settings(&Value::Null, &json!("x")).is_err());
    }

    #[test]
    fn where_keys_are_listed_all_but_built_ins_need_a_signature() {
        let (folder, pin) = (Path::new("/nowhere"), Sha256::of(b"component"));
        let check = |keys: &[PathBuf], pin| check_signature(keys, folder, b"component", pin);
        let keys = ["/nowhere/a.pub".into()];
        for pin in [Pin::Required(Some(pin)), Pin::Unlisted] {
            assert!(
                matches!(check(&keys, pin), Err(LoadError::Signature(_))),
                "{pin:?}"
            );
            assert!(check(&[], pin).is_ok());
        }
        assert!(check(&keys, Pin::Optional(Some(pin))).is_ok());
    }

    #[test]
    fn pins() {
        let (right, wrong) = (Sha256::of(b"a"), Sha256::of(b"b"));
        assert!(check_pin(Pin::Required(Some(right)), right).is_ok());
        assert!(check_pin(Pin::Required(Some(wrong)), right).is_err());
        assert!(check_pin(Pin::Required(None), right).is_err());
        assert!(check_pin(Pin::Optional(None), right).is_ok());
        assert!(check_pin(Pin::Optional(Some(wrong)), right).is_err());
        assert!(check_pin(Pin::Unlisted, right).is_ok());
    }
}
