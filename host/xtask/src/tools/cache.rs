//! The cache of tools, outside the clone.

use anyhow::{Context, Result};
use std::fs;
use std::path::{Path, PathBuf};

/// The version of the whole set. Raised when a recipe changes without a tool's version changing.
const SET: &str = "1";

/// The cache folder of this set of tools.
pub(crate) struct Cache {
    root: PathBuf,
    /// Else what is not there is an error.
    makes: bool,
}

impl Cache {
    /// Opens the folder, creating it.
    pub(crate) fn open() -> Result<Self> {
        let base = match std::env::var_os("XDG_CACHE_HOME").filter(|dir| !dir.is_empty()) {
            Some(dir) => PathBuf::from(dir),
            None => std::env::home_dir()
                .context("no home folder; set XDG_CACHE_HOME")?
                .join(".cache"),
        };
        let root = base.join("opendepot/tools").join(SET);
        fs::create_dir_all(&root)
            .with_context(|| format!("cannot create the tool cache `{}`", root.display()))?;
        Ok(Self { root, makes: true })
    }

    /// Opens the folder to see what is in it, without making anything.
    pub(crate) fn as_it_is() -> Result<Self> {
        let makes = false;
        Ok(Self {
            makes,
            ..Self::open()?
        })
    }

    /// The folder `name`, if an earlier run completed it.
    pub(crate) fn get(&self, name: &str) -> Option<PathBuf> {
        Some(self.root.join(name)).filter(|dir| dir.is_dir())
    }

    /// Makes the folder `name` by `build`, which fills an empty folder that is then renamed: the
    /// folder is there whole or not at all. Another run that makes the same is waited for, and
    /// then its result is used. Says whether this run made it.
    pub(crate) fn make(
        &self,
        name: &str,
        build: impl FnOnce(&Path) -> Result<()>,
    ) -> Result<(PathBuf, bool)> {
        if !self.makes {
            let there = self.get(name).context("it is not made yet")?;
            return Ok((there, false));
        }
        let lock = fs::File::create(self.root.join(format!(".{name}.lock")))
            .context("cannot create a lock file in the tool cache")?;
        if lock.try_lock().is_err() {
            eprintln!("waiting for another run that makes {name}");
            lock.lock().context("cannot lock the tool cache")?;
        }
        if let Some(done) = self.get(name) {
            return Ok((done, false));
        }
        // The lock is ours, so what is left here is of a run that was killed.
        let unfinished = self.root.join(format!(".{name}.unfinished"));
        remove(&unfinished)?;
        fs::create_dir(&unfinished).context("cannot create a folder in the tool cache")?;
        let done = self.root.join(name);
        let made = build(&unfinished)
            .and_then(|()| fs::rename(&unfinished, &done).context("cannot publish the tool"));
        if let Err(error) = made {
            remove(&unfinished)?;
            return Err(error);
        }
        Ok((done, true))
    }
}

fn remove(dir: &Path) -> Result<()> {
    match fs::remove_dir_all(dir) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot remove `{}`", dir.display()))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cache() -> (tempfile::TempDir, Cache) {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().to_owned();
        (dir, Cache { root, makes: true })
    }

    #[test]
    fn a_failed_build_leaves_nothing_and_the_next_one_succeeds() {
        let (_dir, cache) = cache();
        let failed = cache.make("tool-1", |dir| {
            fs::write(dir.join("half"), "x")?;
            anyhow::bail!("no compiler")
        });
        assert!(failed.is_err());
        assert!(cache.get("tool-1").is_none());
        let (dir, is_new) = cache
            .make("tool-1", |dir| Ok(fs::write(dir.join("whole"), "x")?))
            .unwrap();
        assert!(is_new && dir.join("whole").exists() && !dir.join("half").exists());
    }

    #[test]
    fn what_is_there_is_not_built_again_and_a_look_builds_nothing() {
        let (_dir, mut cache) = cache();
        cache.makes = false;
        assert!(cache.make("tool-1", |_| panic!("built")).is_err());
        cache.makes = true;
        cache.make("tool-1", |_| Ok(())).unwrap();
        let (_, is_new) = cache.make("tool-1", |_| panic!("built twice")).unwrap();
        assert!(!is_new);
    }
}
