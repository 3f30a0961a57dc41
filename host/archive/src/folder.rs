//! A folder on this machine, read without following a link.
//!
//! Every step is relative to an open folder and refuses links, so that whoever swaps a folder
//! for a link while we read gains nothing.

use crate::error::{Error, shown};
use crate::limits::{CHUNK_BYTES, Limits, Watch};
use crate::module::{Intake, is_left_out};
use crate::spool::Sink;
use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, fstat, openat, readlinkat, statat};
use std::fs::File;
use std::io::Read as _;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

/// Takes in everything beneath `folder`.
pub(crate) fn read(
    folder: &Path,
    intake: &mut Intake<'_>,
    limits: &Limits,
    watch: &Watch,
) -> Result<(), Error> {
    let root = rustix::fs::open(
        folder,
        OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC,
        Mode::empty(),
    )
    .map_err(|error| Error::io("open the module's folder")(error.into()))?;
    let mut walk = Walk {
        intake,
        limits,
        watch,
        num_entries: 0,
    };
    walk.folder(&root, "", 0)
}

struct Walk<'a, 'b> {
    intake: &'a mut Intake<'b>,
    limits: &'a Limits,
    watch: &'a Watch,
    num_entries: usize,
}

impl Walk<'_, '_> {
    /// `depth` bounds the recursion and with it the open folders: names are checked only once
    /// they are complete.
    fn folder(&mut self, folder: &OwnedFd, prefix: &str, depth: usize) -> Result<(), Error> {
        if depth >= self.limits.depth {
            return Err(Error::UnsafePath {
                path: shown(prefix.as_bytes()),
                rule: "it is nested too deeply",
            });
        }
        let entries = Dir::read_from(folder).map_err(failed("list a folder of the module"))?;
        for entry in entries {
            self.watch.check()?;
            let entry = entry.map_err(failed("list a folder of the module"))?;
            let raw = entry.file_name().to_bytes();
            if matches!(raw, b"." | b"..") {
                continue;
            }
            self.num_entries += 1;
            if self.num_entries > self.limits.entries {
                return Err(Error::TooLarge {
                    what: "the number of entries",
                    limit: self.limits.entries as u64,
                });
            }
            let name = std::str::from_utf8(raw).map_err(|_| Error::UnsafePath {
                path: shown(raw),
                rule: "it is not UTF-8",
            })?;
            if is_left_out(name) {
                continue;
            }
            let path = if prefix.is_empty() {
                name.to_owned()
            } else {
                format!("{prefix}/{name}")
            };
            self.entry(folder.as_fd(), name, &path, depth)?;
        }
        Ok(())
    }

    fn entry(
        &mut self,
        folder: BorrowedFd<'_>,
        name: &str,
        path: &str,
        depth: usize,
    ) -> Result<(), Error> {
        const OPEN: OFlags = OFlags::RDONLY
            .union(OFlags::NOFOLLOW)
            .union(OFlags::NONBLOCK)
            .union(OFlags::NOCTTY)
            .union(OFlags::CLOEXEC);
        let stat = statat(folder, name, AtFlags::SYMLINK_NOFOLLOW)
            .map_err(failed("look at a file of the module"))?;
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::Directory => {
                self.intake.folder(path.as_bytes())?;
                let inner = openat(folder, name, OPEN | OFlags::DIRECTORY, Mode::empty())
                    .map_err(failed("open a folder of the module"))?;
                self.folder(&inner, path, depth + 1)
            }
            FileType::RegularFile => {
                let file = openat(folder, name, OPEN, Mode::empty())
                    .map_err(failed("open a file of the module"))?;
                let stat = fstat(&file).map_err(failed("look at a file of the module"))?;
                if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
                    return Err(special(path));
                }
                let mut file = File::from(file);
                let watch = self.watch;
                self.intake.file(path.as_bytes(), stat.st_mode, |sink| {
                    pump(&mut file, watch, sink)
                })
            }
            FileType::Symlink => {
                let target = readlinkat(folder, name, Vec::new())
                    .map_err(failed("read a link of the module"))?;
                self.intake.link(path.as_bytes(), target.to_bytes())
            }
            _ => Err(special(path)),
        }
    }
}

fn pump(file: &mut File, watch: &Watch, sink: &mut Sink<'_>) -> Result<(), Error> {
    let mut buffer = vec![0; CHUNK_BYTES];
    loop {
        watch.check()?;
        let read = file
            .read(&mut buffer)
            .map_err(Error::io("read a file of the module"))?;
        if read == 0 {
            return Ok(());
        }
        sink(buffer.get(..read).unwrap_or_default())?;
    }
}

fn special(path: &str) -> Error {
    Error::unsupported(format!(
        "`{}`, which is neither file nor folder,",
        shown(path.as_bytes())
    ))
}

fn failed(action: &'static str) -> impl FnOnce(rustix::io::Errno) -> Error {
    move |error| Error::io(action)(error.into())
}
