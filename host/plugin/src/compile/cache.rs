//! Compiled code on disk. Loading machine code is running it, so each file carries a MAC under a
//! key that is made here and leaves neither folder nor process: a file that somebody else wrote,
//! changed, renamed or brought from another machine is no hit (W24).

use hmac::{Hmac, Mac as _};
use opendepot_domain::Sha256;
use std::ffi::OsStr;
use std::fs;
use std::hash::{Hash as _, Hasher};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::SystemTime;
use wasmtime::Engine;
use zeroize::Zeroizing;

const MAC_BYTES: usize = 32;
const KEY_FILE: &str = "key";
const EXTENSION: &str = "compiled";
/// Of all files together; the longest unused go first.
const MAX_BYTES: u64 = 1 << 30;
const MAX_FILES: usize = 512;

/// A folder of compiled components.
pub(super) struct Cache {
    folder: PathBuf,
    key: Zeroizing<[u8; MAC_BYTES]>,
    /// Host version, and everything of engine and CPU that code depends on.
    engine: String,
}

impl Cache {
    /// Opens or makes it. A folder that cannot be used costs time, not function.
    pub(super) fn open(folder: &Path, engine: &Engine) -> Option<Self> {
        match Self::try_open(folder, engine) {
            Ok(cache) => Some(cache),
            Err(error) => {
                tracing::warn!(
                    "plugins are compiled at each start, because `{}` cannot be used: {error}",
                    folder.display()
                );
                None
            }
        }
    }

    fn try_open(folder: &Path, engine: &Engine) -> io::Result<Self> {
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(folder)?;
        let mut hasher = Collect::default();
        engine.precompile_compatibility_hash().hash(&mut hasher);
        let compatible = Sha256::of(&hasher.0);
        Ok(Self {
            key: key(&folder.join(KEY_FILE))?,
            folder: folder.to_owned(),
            engine: format!("{} {compatible}", env!("CARGO_PKG_VERSION")),
        })
    }

    /// The code for a component; nothing when there is none that we wrote.
    pub(super) fn get(&self, digest: &Sha256) -> Option<Vec<u8>> {
        let path = self.path(digest);
        let file = fs::File::open(&path).ok()?;
        let mut content = Vec::new();
        (&file).take(MAX_BYTES).read_to_end(&mut content).ok()?;
        let is_ours = content
            .split_at_checked(MAC_BYTES)
            .zip(self.mac_over(digest))
            .is_some_and(|((mac, code), own)| own.chain_update(code).verify_slice(mac).is_ok());
        if !is_ours {
            tracing::warn!(
                "ignored `{}`: it is damaged, or not from here",
                path.display()
            );
            let _ = fs::remove_file(&path);
            return None;
        }
        // Used now: the longest unused go first. A folder that is read-only keeps its order.
        let _ = file.set_modified(SystemTime::now());
        content.drain(..MAC_BYTES);
        Some(content)
    }

    /// Keeps the code, and forgets what was not used for longest when it becomes too much.
    pub(super) fn put(&self, digest: &Sha256, code: &[u8]) {
        if let Err(error) = self.try_put(digest, code) {
            tracing::warn!(
                "cannot keep compiled code in `{}`: {error}",
                self.folder.display()
            );
        }
    }

    fn try_put(&self, digest: &Sha256, code: &[u8]) -> io::Result<()> {
        let mac = self
            .mac_over(digest)
            .ok_or_else(|| io::Error::other("no key"))?
            .chain_update(code)
            .finalize()
            .into_bytes();
        let path = self.path(digest);
        let temporary = path.with_extension(format!("{}.part", std::process::id()));
        let written = (|| {
            let mut file = create(&temporary, true)?;
            file.write_all(&mac)?;
            file.write_all(code)?;
            fs::rename(&temporary, &path)
        })();
        if written.is_err() {
            let _ = fs::remove_file(&temporary);
        }
        written?;
        self.trim()
    }

    fn trim(&self) -> io::Result<()> {
        let mut files = Vec::new();
        for entry in fs::read_dir(&self.folder)? {
            let entry = entry?;
            let metadata = entry.metadata()?;
            if metadata.is_file() && entry.file_name() != OsStr::new(KEY_FILE) {
                files.push((metadata.modified()?, metadata.len(), entry.path()));
            }
        }
        files.sort();
        let mut bytes: u64 = files.iter().map(|(_, size, _)| size).sum();
        let mut num = files.len();
        for (_, size, path) in files {
            if bytes <= MAX_BYTES && num <= MAX_FILES {
                break;
            }
            fs::remove_file(path)?;
            bytes -= size;
            num -= 1;
        }
        Ok(())
    }

    fn path(&self, digest: &Sha256) -> PathBuf {
        let name = Sha256::of(format!("{} {digest}", self.engine).as_bytes());
        self.folder.join(name.to_string()).with_extension(EXTENSION)
    }

    /// Over all that the code is for; the code itself follows.
    fn mac_over(&self, digest: &Sha256) -> Option<Hmac<sha2::Sha256>> {
        let mut mac = Hmac::<sha2::Sha256>::new_from_slice(&*self.key).ok()?;
        let name = format!("opendepot-compiled-1 {} {digest}", self.engine);
        mac.update(&(name.len() as u64).to_be_bytes());
        mac.update(name.as_bytes());
        Some(mac)
    }
}

fn create(path: &Path, is_replacing: bool) -> io::Result<fs::File> {
    let mut options = fs::OpenOptions::new();
    options.write(true).mode(0o600);
    if is_replacing {
        options.create(true).truncate(true);
    } else {
        options.create_new(true);
    }
    options.open(path)
}

/// Reads the key, or makes one. A key of another length is no key.
fn key(path: &Path) -> io::Result<Zeroizing<[u8; MAC_BYTES]>> {
    let mut key = Zeroizing::new([0; MAC_BYTES]);
    let present = fs::read(path).map(Zeroizing::new);
    if let Ok(present) = present
        && let Ok(present) = <&[u8; MAC_BYTES]>::try_from(present.as_slice())
    {
        key.copy_from_slice(present);
        return Ok(key);
    }
    fs::File::open("/dev/urandom")?.read_exact(&mut *key)?;
    create(path, true)?.write_all(&*key)?;
    Ok(key)
}

/// Everything that is hashed, as bytes: `Hasher` alone would make 64 bits of it.
#[derive(Default)]
struct Collect(Vec<u8>);

impl Hasher for Collect {
    fn write(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }

    fn finish(&self) -> u64 {
        0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(folder: &Path) -> Cache {
        Cache::try_open(folder, &Engine::default()).unwrap()
    }

    fn the_file(folder: &Path) -> PathBuf {
        let files = fs::read_dir(folder).unwrap().map(|e| e.unwrap().path());
        let mut code = files.filter(|path| path.extension() == Some(OsStr::new(EXTENSION)));
        code.next().unwrap()
    }

    #[test]
    fn what_was_kept_is_found_again_and_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("cache");
        let (one, two) = (Sha256::of(b"1"), Sha256::of(b"2"));
        let cache = open(&folder);
        assert_eq!(cache.get(&one), None);
        cache.put(&one, b"code");
        assert_eq!(cache.get(&one).unwrap(), b"code");
        assert_eq!(cache.get(&two), None);
        assert_eq!(open(&folder).get(&one).unwrap(), b"code", "another start");
        // One component's code under another's name.
        fs::copy(the_file(&folder), cache.path(&two)).unwrap();
        assert_eq!(cache.get(&two), None);
        assert!(!cache.path(&two).exists(), "what is not ours goes");
    }

    #[test]
    fn a_changed_file_or_a_foreign_one_is_no_hit() {
        let dir = tempfile::tempdir().unwrap();
        let cache = open(dir.path());
        let digest = Sha256::of(b"1");
        for place in [0, MAC_BYTES, MAC_BYTES + 3] {
            cache.put(&digest, b"code");
            let mut content = fs::read(the_file(dir.path())).unwrap();
            content[place] ^= 1;
            fs::write(the_file(dir.path()), content).unwrap();
            assert_eq!(cache.get(&digest), None, "byte {place}");
        }
        cache.put(&digest, b"code");
        fs::write(the_file(dir.path()), b"short").unwrap();
        assert_eq!(cache.get(&digest), None);
        // From another host, with another key.
        let other = tempfile::tempdir().unwrap();
        open(other.path()).put(&digest, b"code");
        fs::copy(the_file(other.path()), cache.path(&digest)).unwrap();
        assert_eq!(cache.get(&digest), None);
        // Of another version.
        let mut newer = open(dir.path());
        cache.put(&digest, b"code");
        newer.engine.push('1');
        assert_eq!(newer.get(&digest), None);
        fs::rename(cache.path(&digest), newer.path(&digest)).unwrap();
        assert_eq!(newer.get(&digest), None);
    }

    #[test]
    fn a_folder_that_cannot_be_used_is_no_failure() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("file"), "").unwrap();
        assert!(Cache::open(&dir.path().join("file/x"), &Engine::default()).is_none());
    }
}
