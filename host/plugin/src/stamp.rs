//! What a plugin folder, or a key, looks like from outside: whether to read it again.

use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

/// The most files of a folder that count.
const MAX_FILES: usize = 64;

/// Files by identity, size and times: those of a folder, or some by name. Links are followed: the kubelet changes a
/// mounted ConfigMap by pointing its hidden `..data` link to another folder.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Stamp(Vec<File>);

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct File {
    name: OsString,
    device: u64,
    inode: u64,
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Stamp {
    /// Looks at a folder; one that is not there has no files. Blocking.
    pub(crate) fn of(folder: &Path) -> Self {
        let Ok(entries) = fs::read_dir(folder) else {
            return Self::default();
        };
        let mut files: Vec<File> = entries
            .flatten()
            .filter(|entry| !entry.file_name().to_string_lossy().starts_with('.'))
            .filter_map(|entry| File::of(entry.file_name(), &entry.path()))
            .collect();
        files.sort();
        files.truncate(MAX_FILES);
        Self(files)
    }

    /// Looks at these files; one that is not there is left out. Blocking.
    pub(crate) fn of_files(paths: &[PathBuf]) -> Self {
        let files = paths.iter();
        let files = files.filter_map(|path| File::of(path.clone().into_os_string(), path));
        Self(files.collect())
    }
}

impl File {
    fn of(name: OsString, path: &Path) -> Option<Self> {
        let metadata = fs::metadata(path).ok()?;
        metadata.is_file().then(|| Self {
            name,
            device: metadata.dev(),
            inode: metadata.ino(),
            size: metadata.size(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn a_swapped_link_is_a_change_and_a_hidden_file_is_none() {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name);
        for (data, text) in [("..1", "one"), ("..2", "two")] {
            fs::create_dir(path(data)).unwrap();
            fs::write(path(data).join("plugin.yaml"), text).unwrap();
        }
        symlink("..1", path("..data")).unwrap();
        symlink("..data/plugin.yaml", path("plugin.yaml")).unwrap();
        let before = Stamp::of(dir.path());
        assert_ne!(before, Stamp::default());
        fs::write(path(".hidden"), "").unwrap();
        assert_eq!(Stamp::of(dir.path()), before);
        symlink("..2", path("..next")).unwrap();
        fs::rename(path("..next"), path("..data")).unwrap();
        assert_ne!(Stamp::of(dir.path()), before);
        assert_eq!(Stamp::of(&path("none")), Stamp::default());
    }
}
