//! What lies beside an object in its store, so that what nobody records any more can be found.

use super::beneath::Root;
use super::location::Key;
use crate::error::Error;
use crate::sweep::TEMP_PREFIX;
use rustix::fs::{AtFlags, Dir, FileType};
use rustix::io::Errno;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// An object in the same folder as another; or that other itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sibling {
    /// The last segment of its key.
    pub name: String,
    /// Bytes.
    pub size: u64,
    /// When it was written, by the store's clock.
    pub modified: SystemTime,
}

/// The regular files in the folder of `key`; none when there is no such folder.
pub(super) fn of_file(root: &Root, key: &Key) -> Result<Vec<Sibling>, Error> {
    let attempt = || format!("list the folder of object `{key}`");
    let failed = |error: Errno| Error::io(attempt(), &error.into());
    let parent = match root.open_parent(key) {
        Ok(parent) => parent,
        Err(Errno::NOENT) => return Ok(Vec::new()),
        Err(error) => return Err(failed(error)),
    };
    let directory = parent.as_ref().unwrap_or(root.fd());
    let mut found = Vec::new();
    for entry in Dir::read_from(directory).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let Ok(name) = entry.file_name().to_str() else {
            continue;
        };
        if matches!(name, "." | "..") || name.starts_with(TEMP_PREFIX) {
            continue;
        }
        let stat = match rustix::fs::statat(directory, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => stat,
            // It went meanwhile.
            Err(Errno::NOENT) => continue,
            Err(error) => return Err(failed(error)),
        };
        if FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile {
            let seconds = u64::try_from(stat.st_mtime).unwrap_or_default();
            found.push(Sibling {
                name: name.to_owned(),
                size: u64::try_from(stat.st_size).unwrap_or_default(),
                modified: UNIX_EPOCH + Duration::from_secs(seconds),
            });
        }
    }
    Ok(found)
}
