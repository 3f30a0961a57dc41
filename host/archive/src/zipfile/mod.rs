//! Zip, read so that no other parser can see something else in it (reliability.md T24).
//!
//! The whole file must be accounted for: each local header with its data and descriptor, without
//! gap or overlap from the first byte on, then the central directory, then the end record. Each
//! fact that the format states twice must be stated alike. That leaves no room for prepended or
//! trailing data, hidden entries or polyglots. The `zip` crate is lenient where its callers need
//! leniency, so it writes our archives but does not read others'.

mod bytes;
mod directory;
mod end;
mod layout;

use crate::error::Error;
use crate::limits::{CHUNK_BYTES, Limits, Watch};
use crate::spool::Sink;
pub(crate) use directory::{Entry, EntryKind, Method};
use flate2::{Crc, Decompress, FlushDecompress, Status};
use std::collections::HashSet;
use std::fs::File;
use std::io::{BufRead as _, BufReader, Read as _, Seek as _, SeekFrom};
use std::path::Path;

/// An archive whose layout has been verified; its content has not.
pub(crate) struct ZipFile {
    file: File,
    /// In the order of the central directory.
    pub(crate) entries: Vec<Entry>,
    /// The archive's comment: `git archive` writes the commit there.
    pub(crate) comment: Vec<u8>,
}

impl ZipFile {
    pub(crate) fn open(path: &Path, limits: &Limits, watch: &Watch) -> Result<Self, Error> {
        let file = File::open(path).map_err(Error::io("open archive"))?;
        let length = file.metadata().map_err(Error::io("open archive"))?.len();
        if length > limits.packed_bytes {
            return Err(Error::TooLarge {
                what: "the packed size in bytes",
                limit: limits.packed_bytes,
            });
        }
        let end = end::read(&file, length)?;
        let mut entries = directory::read(&file, &end, limits, watch)?;
        let unpacked = entries
            .iter()
            .fold(0_u64, |sum, entry| sum.saturating_add(entry.unpacked_bytes));
        if unpacked > limits.unpacked_bytes {
            return Err(Error::TooLarge {
                what: "the unpacked size in bytes",
                limit: limits.unpacked_bytes,
            });
        }
        limits.check_ratio(unpacked, length)?;
        check_names(&entries)?;
        layout::check(&file, &end, &mut entries, watch)?;
        Ok(Self {
            file,
            entries,
            comment: end.comment,
        })
    }

    /// Reads the content of `entry`, verifying its size and checksum.
    pub(crate) fn copy(
        &self,
        entry: &Entry,
        watch: &Watch,
        sink: &mut Sink<'_>,
    ) -> Result<(), Error> {
        let mut file = &self.file;
        file.seek(SeekFrom::Start(entry.data_at))
            .map_err(Error::io("read archive"))?;
        let packed = BufReader::with_capacity(CHUNK_BYTES, file.take(entry.packed_bytes));
        let mut crc = Crc::new();
        let mut length = 0_u64;
        let mut verified = |chunk: &[u8]| {
            watch.check()?;
            length = length.saturating_add(chunk.len() as u64);
            if length > entry.unpacked_bytes {
                return Err(Error::corrupt(format!(
                    "entry `{}` is larger than it says",
                    entry.name.escape_debug()
                )));
            }
            crc.update(chunk);
            sink(chunk)
        };
        match entry.method {
            Method::Stored => stored(packed, &mut verified)?,
            Method::Deflated => inflated(packed, entry.packed_bytes, &mut verified)?,
        }
        if length != entry.unpacked_bytes {
            return Err(Error::corrupt(format!(
                "entry `{}` is smaller than it says",
                entry.name.escape_debug()
            )));
        }
        if crc.sum() != entry.crc {
            return Err(Error::corrupt(format!(
                "entry `{}` does not match its checksum",
                entry.name.escape_debug()
            )));
        }
        Ok(())
    }
}

type Packed<'a> = BufReader<std::io::Take<&'a File>>;

fn stored(mut packed: Packed<'_>, sink: &mut Sink<'_>) -> Result<(), Error> {
    loop {
        let chunk = packed.fill_buf().map_err(Error::read("zip"))?;
        if chunk.is_empty() {
            return Ok(());
        }
        let length = chunk.len();
        sink(chunk)?;
        packed.consume(length);
    }
}

/// Inflates all of `packed`. The stream must end by itself, and with the entry: the readers of
/// flate2 accept one that is cut off between two blocks.
fn inflated(mut packed: Packed<'_>, packed_bytes: u64, sink: &mut Sink<'_>) -> Result<(), Error> {
    let mut decoder = Decompress::new(false);
    let mut buffer = vec![0; CHUNK_BYTES];
    loop {
        let input = packed.fill_buf().map_err(Error::read("zip"))?;
        let (before_in, before_out) = (decoder.total_in(), decoder.total_out());
        let status = decoder
            .decompress(input, &mut buffer, FlushDecompress::None)
            .map_err(|_| Error::corrupt("compressed data is damaged"))?;
        let consumed = usize::try_from(decoder.total_in() - before_in).unwrap_or(usize::MAX);
        let produced = usize::try_from(decoder.total_out() - before_out).unwrap_or(usize::MAX);
        packed.consume(consumed);
        if produced > 0 {
            sink(buffer.get(..produced).unwrap_or_default())?;
        }
        if matches!(status, Status::StreamEnd) {
            break;
        }
        if consumed == 0 && produced == 0 {
            return Err(Error::corrupt("compressed data is cut short"));
        }
    }
    if decoder.total_in() != packed_bytes {
        return Err(Error::corrupt("data is hidden behind compressed data"));
    }
    Ok(())
}

/// No name twice, and none that is a file here and a folder there.
fn check_names(entries: &[Entry]) -> Result<(), Error> {
    let mut folders = HashSet::new();
    let mut others = HashSet::new();
    for entry in entries {
        let seen = match entry.kind {
            EntryKind::Folder => folders.insert(entry.name.as_str()),
            EntryKind::File | EntryKind::Link => others.insert(entry.name.as_str()),
        };
        if !seen {
            return Err(Error::corrupt(format!(
                "`{}` is there twice",
                entry.name.escape_debug()
            )));
        }
    }
    for entry in entries {
        let twofold = (entry.kind == EntryKind::Folder && others.contains(entry.name.as_str()))
            || entry
                .name
                .match_indices('/')
                .filter_map(|(at, _)| entry.name.get(..at))
                .any(|above| others.contains(above));
        if twofold {
            return Err(Error::corrupt(format!(
                "`{}` or a folder above it is also a file",
                entry.name.escape_debug()
            )));
        }
    }
    Ok(())
}
