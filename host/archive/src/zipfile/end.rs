//! The end record and its zip64 companions.

use super::bytes::{u16_at, u32_at, u64_at};
use crate::error::Error;
use std::fs::File;
use std::os::unix::fs::FileExt as _;

const END: [u8; 4] = *b"PK\x05\x06";
const END_BYTES: usize = 22;
const LOCATOR: [u8; 4] = *b"PK\x06\x07";
const LOCATOR_BYTES: u64 = 20;
const END64: [u8; 4] = *b"PK\x06\x06";
const END64_BYTES: u64 = 56;

/// Where the central directory is.
#[derive(Debug)]
pub(super) struct End {
    pub(super) entries: u64,
    pub(super) directory_at: u64,
    pub(super) directory_bytes: u64,
    pub(super) comment: Vec<u8>,
}

/// Finds the one end record, which must end with the file, and checks that the central
/// directory ends where the end records begin.
pub(super) fn read(file: &File, length: u64) -> Result<End, Error> {
    let window = length.min((END_BYTES + usize::from(u16::MAX)) as u64);
    let mut tail = vec![0; usize::try_from(window).unwrap_or(0)];
    file.read_exact_at(&mut tail, length - window)
        .map_err(Error::read("zip"))?;
    let at = locate(&tail)?;
    let record = tail.get(at..).unwrap_or_default();
    let end_at = length - (record.len() as u64);
    if u16_at(record, 4)? != 0 || u16_at(record, 6)? != 0 {
        return Err(Error::unsupported("a zip of several disks"));
    }
    let entries_here = u16_at(record, 8)?;
    let mut end = End {
        entries: u16_at(record, 10)?.into(),
        directory_bytes: u32_at(record, 12)?.into(),
        directory_at: u32_at(record, 16)?.into(),
        comment: record.get(END_BYTES..).unwrap_or_default().to_vec(),
    };
    if u64::from(entries_here) != end.entries {
        return Err(Error::unsupported("a zip of several disks"));
    }
    let directory_end = match zip64(file, end_at)? {
        None => end_at,
        Some((at, large)) => {
            agree(end.entries, u16::MAX.into(), large.entries)?;
            agree(end.directory_bytes, u32::MAX.into(), large.directory_bytes)?;
            agree(end.directory_at, u32::MAX.into(), large.directory_at)?;
            end = End {
                comment: end.comment,
                ..large
            };
            at
        }
    };
    if end.directory_at.checked_add(end.directory_bytes) != Some(directory_end) {
        return Err(Error::corrupt(
            "the central directory does not end where the end record begins",
        ));
    }
    Ok(end)
}

/// The position of the end record in `tail`. A second candidate, or its signature within the
/// comment, would be another archive to another parser.
fn locate(tail: &[u8]) -> Result<usize, Error> {
    let mut found = None;
    for (at, _) in tail
        .windows(END.len())
        .enumerate()
        .rev()
        .filter(|(_, window)| *window == END)
    {
        let is_whole = u16_at(tail, at + 20)
            .is_ok_and(|comment| at + END_BYTES + usize::from(comment) == tail.len());
        match (is_whole, found) {
            (true, None) => found = Some(at),
            (false, Some(_)) => {}
            (true, Some(_)) => return Err(Error::corrupt("the zip has two end records")),
            (false, None) => {
                return Err(Error::corrupt("the zip's end record is not at its end"));
            }
        }
    }
    found.ok_or_else(|| Error::corrupt("the zip has no end record"))
}

/// The zip64 end record before the end record at `end_at`, and its position.
fn zip64(file: &File, end_at: u64) -> Result<Option<(u64, End)>, Error> {
    let Some(locator_at) = end_at.checked_sub(LOCATOR_BYTES) else {
        return Ok(None);
    };
    let mut locator = [0; LOCATOR_BYTES as usize];
    file.read_exact_at(&mut locator, locator_at)
        .map_err(Error::read("zip"))?;
    if !locator.starts_with(&LOCATOR) {
        return Ok(None);
    }
    let lies = || Error::corrupt("the zip64 end record contradicts the archive");
    let record_at = locator_at.checked_sub(END64_BYTES).ok_or_else(lies)?;
    if u32_at(&locator, 4)? != 0 || u32_at(&locator, 16)? > 1 || u64_at(&locator, 8)? != record_at {
        return Err(lies());
    }
    let mut record = [0; END64_BYTES as usize];
    file.read_exact_at(&mut record, record_at)
        .map_err(Error::read("zip"))?;
    let end = End {
        entries: u64_at(&record, 32)?,
        directory_bytes: u64_at(&record, 40)?,
        directory_at: u64_at(&record, 48)?,
        comment: Vec::new(),
    };
    if !record.starts_with(&END64)
        || u64_at(&record, 4)? != END64_BYTES - 12
        || u32_at(&record, 16)? != 0
        || u32_at(&record, 20)? != 0
        || u64_at(&record, 24)? != end.entries
    {
        return Err(lies());
    }
    Ok(Some((record_at, end)))
}

/// A field of the end record must refer to zip64 or say the same.
fn agree(small: u64, refers: u64, large: u64) -> Result<(), Error> {
    if small == refers || small == large {
        return Ok(());
    }
    Err(Error::corrupt(
        "the zip's end records contradict each other",
    ))
}
