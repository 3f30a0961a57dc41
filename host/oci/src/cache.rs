//! Pulled plugins on disk: `{cache}/{manifest digest}/{manifest.json,plugin.yaml,plugin.wasm,…}`.
//!
//! A folder appears whole (written beside, synced, renamed) and is checked from the manifest's
//! digest down whenever it is used. All functions block.

use crate::artifact::{self, Blob, Part};
use crate::error::OciError;
use bytes::Bytes;
use opendepot_domain::Sha256;
use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

/// The manifest as the registry sent it: what all else is checked against.
const MANIFEST_FILE: &str = "manifest.json";
const TEMP_PREFIX: &str = ".pull-";
/// A pull that began this long ago is over, one way or the other.
const STALE_AFTER: Duration = Duration::from_secs(3600);

/// Everything of a plugin, checked.
pub(crate) struct Pulled {
    pub(crate) manifest: Bytes,
    pub(crate) parts: Vec<(Part, Bytes)>,
}

/// What is in the cache for a digest.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Lookup {
    /// The plugin, whole.
    Whole(PathBuf),
    /// Something else than was put there.
    Damaged(String),
    /// Nothing.
    Absent,
}

/// Looks for a plugin and checks every byte of it.
pub(crate) fn find(cache: &Path, digest: Sha256, component_bytes: u64) -> Lookup {
    let folder = cache.join(digest.to_string());
    let manifest = match read(&folder.join(MANIFEST_FILE), artifact::MAX_MANIFEST_BYTES) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound && !folder.exists() => {
            return Lookup::Absent;
        }
        Err(error) => return Lookup::Damaged(format!("`{MANIFEST_FILE}`: {error}")),
    };
    if Sha256::of(&manifest) != digest {
        return Lookup::Damaged(format!("`{MANIFEST_FILE}` has another digest"));
    }
    let blobs = match artifact::parse(&manifest, None, component_bytes) {
        Ok(blobs) => blobs,
        Err(error) => return Lookup::Damaged(error.to_string()),
    };
    for part in Part::ALL {
        let path = folder.join(part.file_name());
        let blob = blobs.iter().find(|blob| blob.part == part);
        if let Err(reason) = check(&path, blob) {
            return Lookup::Damaged(format!("`{}`: {reason}", part.file_name()));
        }
    }
    Lookup::Whole(folder)
}

fn check(path: &Path, blob: Option<&Blob>) -> Result<(), String> {
    let Some(blob) = blob else {
        // A signature that the manifest does not have may not be slipped in.
        return match fs::symlink_metadata(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            _ => Err("it does not belong there".to_owned()),
        };
    };
    let bytes = read(path, blob.size).map_err(|error| error.to_string())?;
    if bytes.len() as u64 == blob.size && Sha256::of(&bytes) == blob.digest {
        Ok(())
    } else {
        Err("it has other bytes".to_owned())
    }
}

fn read(path: &Path, limit: u64) -> io::Result<Vec<u8>> {
    use rustix::fs::{Mode, OFlags};
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = File::from(rustix::fs::open(path, flags, Mode::empty())?);
    let metadata = file.metadata()?;
    if !metadata.is_file() {
        return Err(io::Error::other("not a regular file"));
    }
    let too_large = || io::Error::other("larger than it should be");
    if metadata.len() > limit {
        return Err(too_large());
    }
    let mut bytes = Vec::with_capacity(usize::try_from(metadata.len()).unwrap_or_default());
    file.take(limit.saturating_add(1)).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > limit {
        return Err(too_large());
    }
    Ok(bytes)
}

/// Puts a plugin into the cache, in place of what is there.
pub(crate) fn store(cache: &Path, digest: Sha256, pulled: &Pulled) -> Result<PathBuf, OciError> {
    let at = |path: &Path| {
        let path = path.to_owned();
        move |source| OciError::Cache { path, source }
    };
    fs::create_dir_all(cache).map_err(at(cache))?;
    sweep(cache);
    let temp = tempfile::Builder::new()
        .prefix(TEMP_PREFIX)
        .tempdir_in(cache)
        .map_err(at(cache))?;
    let files = pulled.parts.iter();
    let files = files.map(|(part, bytes)| (part.file_name(), bytes));
    for (name, bytes) in files.chain([(MANIFEST_FILE, &pulled.manifest)]) {
        let path = temp.path().join(name);
        write(&path, bytes).map_err(at(&path))?;
    }
    sync(temp.path()).map_err(at(temp.path()))?;
    let folder = cache.join(digest.to_string());
    if folder.symlink_metadata().is_ok() {
        discard(&folder).map_err(at(&folder))?;
    }
    match fs::rename(temp.path(), &folder) {
        // It has its place, so it is no longer to be removed.
        Ok(()) => drop(temp.keep()),
        // Another process was faster; what it wrote was checked as ours was.
        Err(_) if folder.join(MANIFEST_FILE).exists() => {}
        Err(error) => return Err(at(&folder)(error)),
    }
    sync(cache).map_err(at(cache))?;
    Ok(folder)
}

/// Removes every plugin that is not named.
pub(crate) fn retain(cache: &Path, keep: &BTreeSet<Sha256>) {
    let Ok(entries) = fs::read_dir(cache) else {
        return;
    };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let digest = name.to_str().and_then(|name| Sha256::from_hex(name).ok());
        if let Some(digest) = digest
            && !keep.contains(&digest)
            && let Err(error) = discard(&entry.path())
        {
            tracing::debug!("cannot remove `{}`: {error}", entry.path().display());
        }
    }
}

fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = File::options().write(true).create_new(true).open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

fn sync(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

/// Takes a folder out of sight at once, and then away.
fn discard(path: &Path) -> io::Result<()> {
    let parent = path.parent().unwrap_or(path);
    let grave = tempfile::Builder::new()
        .prefix(TEMP_PREFIX)
        .tempdir_in(parent)?;
    fs::rename(path, grave.path().join("old"))?;
    grave.close()
}

/// Removes what interrupted pulls left.
fn sweep(cache: &Path) {
    let Ok(entries) = fs::read_dir(cache) else {
        return;
    };
    for entry in entries.flatten() {
        if !entry.file_name().to_string_lossy().starts_with(TEMP_PREFIX) {
            continue;
        }
        let modified = entry.metadata().and_then(|metadata| metadata.modified());
        let age = modified.map(|at| SystemTime::now().duration_since(at).unwrap_or_default());
        if age.is_ok_and(|age| age > STALE_AFTER) {
            // One that is left is swept by the next pull.
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::artifact::{ARTIFACT_TYPE, MANIFEST_TYPE};
    use serde_json::json;

    const LIMIT: u64 = 1 << 20;

    fn plugin(parts: &[(Part, &'static [u8])]) -> (Sha256, Pulled) {
        let layers: Vec<_> = parts
            .iter()
            .map(|(part, bytes)| {
                let digest = format!("sha256:{}", Sha256::of(bytes));
                json!({"mediaType": part.media_type(), "digest": digest, "size": bytes.len()})
            })
            .collect();
        let config = format!("sha256:{}", Sha256::of(b"{}"));
        let manifest = json!({
            "schemaVersion": 2, "mediaType": MANIFEST_TYPE, "artifactType": ARTIFACT_TYPE,
            "config": {"mediaType": "application/vnd.oci.empty.v1+json", "digest": config, "size": 2},
            "layers": layers,
        });
        let manifest = Bytes::from(manifest.to_string());
        let parts = parts
            .iter()
            .map(|(part, bytes)| (*part, Bytes::from_static(bytes)));
        (
            Sha256::of(&manifest),
            Pulled {
                manifest,
                parts: parts.collect(),
            },
        )
    }

    fn unsigned() -> (Sha256, Pulled) {
        plugin(&[
            (Part::Manifest, b"kind: Plugin"),
            (Part::Component, b"\0asm"),
        ])
    }

    #[test]
    fn what_is_stored_is_found_and_replaced_when_damaged() {
        let dir = tempfile::tempdir().unwrap();
        let cache = dir.path().join("a/cache");
        let (digest, pulled) = unsigned();
        assert_eq!(find(&cache, digest, LIMIT), Lookup::Absent);
        let folder = store(&cache, digest, &pulled).unwrap();
        assert_eq!(find(&cache, digest, LIMIT), Lookup::Whole(folder.clone()));
        assert_eq!(fs::read(folder.join("plugin.wasm")).unwrap(), b"\0asm");
        // Again, over a whole one and over a damaged one.
        assert_eq!(store(&cache, digest, &pulled).unwrap(), folder);
        fs::write(folder.join("plugin.wasm"), b"\0bsm").unwrap();
        assert!(matches!(find(&cache, digest, LIMIT), Lookup::Damaged(_)));
        store(&cache, digest, &pulled).unwrap();
        assert_eq!(find(&cache, digest, LIMIT), Lookup::Whole(folder));
        let names: Vec<_> = fs::read_dir(&cache)
            .unwrap()
            .map(|e| e.unwrap().file_name())
            .collect();
        assert_eq!(names, [digest.to_string().as_str()], "nothing else is left");
    }

    #[test]
    fn every_kind_of_damage_is_seen() {
        let (digest, pulled) = unsigned();
        type Harm = fn(&Path);
        let harms: [(&str, Harm); 9] = [
            ("other bytes", |f| {
                fs::write(f.join("plugin.yaml"), "kind: Plugim").unwrap()
            }),
            ("longer", |f| {
                fs::write(f.join("plugin.wasm"), b"\0asm!").unwrap()
            }),
            ("shorter", |f| {
                fs::write(f.join("plugin.wasm"), b"\0as").unwrap()
            }),
            ("missing", |f| {
                fs::remove_file(f.join("plugin.wasm")).unwrap()
            }),
            ("a link", |f| {
                fs::rename(f.join("plugin.wasm"), f.join("x")).unwrap();
                std::os::unix::fs::symlink("x", f.join("plugin.wasm")).unwrap();
            }),
            ("a folder", |f| {
                fs::remove_file(f.join("plugin.yaml")).unwrap();
                fs::create_dir(f.join("plugin.yaml")).unwrap();
            }),
            ("a signature from nowhere", |f| {
                fs::write(f.join("plugin.wasm.sig"), "x").unwrap()
            }),
            ("no manifest", |f| {
                fs::remove_file(f.join("manifest.json")).unwrap()
            }),
            ("another manifest", |f| {
                fs::write(f.join("manifest.json"), "{}").unwrap()
            }),
        ];
        for (name, harm) in harms {
            let dir = tempfile::tempdir().unwrap();
            let folder = store(dir.path(), digest, &pulled).unwrap();
            harm(&folder);
            let found = find(dir.path(), digest, LIMIT);
            assert!(matches!(found, Lookup::Damaged(_)), "{name}: {found:?}");
        }
        let dir = tempfile::tempdir().unwrap();
        store(dir.path(), digest, &pulled).unwrap();
        assert!(
            matches!(find(dir.path(), digest, 3), Lookup::Damaged(_)),
            "a lower limit"
        );
    }

    #[test]
    fn others_and_old_remains_go() {
        let dir = tempfile::tempdir().unwrap();
        let (first, pulled) = unsigned();
        store(dir.path(), first, &pulled).unwrap();
        let (second, pulled) = plugin(&[
            (Part::Manifest, b"kind: Plugin"),
            (Part::Component, b"\0asm"),
            (Part::Signature, b"c2ln"),
        ]);
        let (old, young) = (dir.path().join(".pull-old"), dir.path().join(".pull-young"));
        for path in [&old, &young] {
            fs::create_dir(path).unwrap();
        }
        let long_ago = SystemTime::now() - 2 * STALE_AFTER;
        File::open(&old).unwrap().set_modified(long_ago).unwrap();
        let folder = store(dir.path(), second, &pulled).unwrap();
        assert!(!old.exists() && young.exists());
        assert_eq!(fs::read(folder.join("plugin.wasm.sig")).unwrap(), b"c2ln");
        fs::write(dir.path().join("notes.txt"), "").unwrap();
        retain(dir.path(), &BTreeSet::from([second]));
        assert_eq!(find(dir.path(), first, LIMIT), Lookup::Absent);
        assert_eq!(find(dir.path(), second, LIMIT), Lookup::Whole(folder));
        assert!(dir.path().join("notes.txt").exists());
        retain(&dir.path().join("nowhere"), &BTreeSet::new());
    }
}
