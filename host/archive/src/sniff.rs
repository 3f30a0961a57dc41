//! What a file is, going by its first bytes and nothing else.

use crate::error::{Error, shown};
use std::fs::File;
use std::io::Read as _;
use std::path::Path;

/// A container that [`sniff`] knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sniffed {
    /// A zip archive.
    Zip,
    /// Something in gzip; for a module that must be a tar.
    Gzip,
    /// A tar archive that is not compressed.
    Tar,
}

/// Looks at the first bytes of `file`; `None` when it is no archive.
///
/// # Errors
/// [`Error::Io`] when the file cannot be read.
pub fn sniff(file: &Path) -> Result<Option<Sniffed>, Error> {
    Ok(known(&start(file)?))
}

/// Like [`sniff`], with an error that shows what is there instead.
pub(crate) fn sniffed(file: &Path) -> Result<Sniffed, Error> {
    let start = start(file)?;
    known(&start).ok_or_else(|| Error::NotAnArchive {
        start: shown(start.get(..16).unwrap_or(&start)),
    })
}

fn start(file: &Path) -> Result<Vec<u8>, Error> {
    let mut start = Vec::with_capacity(512);
    File::open(file)
        .and_then(|file| file.take(512).read_to_end(&mut start))
        .map_err(Error::io("open archive"))?;
    Ok(start)
}

fn known(start: &[u8]) -> Option<Sniffed> {
    match start {
        [b'P', b'K', 3, 4, ..] | [b'P', b'K', 5, 6, ..] => Some(Sniffed::Zip),
        [0x1f, 0x8b, ..] => Some(Sniffed::Gzip),
        _ if start.get(257..262) == Some(b"ustar") => Some(Sniffed::Tar),
        _ => None,
    }
}
