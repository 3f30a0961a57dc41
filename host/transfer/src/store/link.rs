//! A second name for a source that is on the store's own disk: nothing is copied, nothing is read.
//!
//! What bounds it: the source must still be in the state in which it was hashed, and have one name,
//! so that no two objects ever share their bytes. What it refuses is copied instead.

use super::put::FILE_MODE;
use super::{Expected, Source};
use crate::fault;
use rustix::fs::{AtFlags, CWD};
use rustix::io::Errno;
use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;

/// How linking ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Linked {
    /// The object is there; its directory is not synced yet.
    Yes,
    /// The source has to be copied.
    No,
    /// Another writer has the name, or took the directory away.
    Taken,
}

/// Gives `source` the name `name` in `directory`, never over another file. Blocks.
pub(super) fn link(
    source: Source<'_>,
    directory: &OwnedFd,
    name: &str,
    expected: Expected,
) -> io::Result<Linked> {
    let Some(hashed) = source.hashed else {
        return Ok(Linked::No);
    };
    let Ok(file) = File::open(source.path) else {
        // Copying says what is wrong with it.
        return Ok(Linked::No);
    };
    let stat = rustix::fs::fstat(&file)?;
    let is_one_of_a_kind =
        stat.st_nlink == 1 && stat.st_dev == rustix::fs::fstat(directory)?.st_dev;
    if !is_one_of_a_kind || !hashed.is_of(&file)? || file.metadata()?.len() != expected.size {
        return Ok(Linked::No);
    }
    rustix::fs::fchmod(&file, FILE_MODE)?;
    file.sync_all()?;
    fault::point("storage.put.synced");
    match rustix::fs::linkat(CWD, source.path, directory, name, AtFlags::empty()) {
        Ok(()) => {}
        Err(Errno::EXIST | Errno::NOENT) => return Ok(Linked::Taken),
        // No links here, or none across this boundary: a file system's or a mount's own business.
        Err(Errno::XDEV | Errno::PERM | Errno::MLINK | Errno::NOSYS | Errno::OPNOTSUPP) => {
            return Ok(Linked::No);
        }
        Err(error) => return Err(error.into()),
    }
    // Another put of the same source at the same moment: the later one takes a copy.
    if rustix::fs::fstat(&file)?.st_nlink > 2 {
        rustix::fs::unlinkat(directory, name, AtFlags::empty())?;
        return Ok(Linked::No);
    }
    Ok(Linked::Yes)
}
