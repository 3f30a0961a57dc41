//! Local headers and descriptors against the central directory.

use super::bytes::{u16_at, u32_at, u64_at};
use super::directory::{DESCRIPTOR, Entry, EntryKind, Method, UTF8, widened};
use super::end::End;
use crate::error::Error;
use crate::limits::Watch;
use std::fs::File;
use std::os::unix::fs::FileExt as _;

const SIGNATURE: [u8; 4] = *b"PK\x03\x04";
const HEADER_BYTES: usize = 30;
const DESCRIPTOR_SIGNATURE: [u8; 4] = *b"PK\x07\x08";

/// Checks that entries lie end to end from the first byte to the central directory, that each
/// local header says what the directory says, and notes where the data begins.
pub(super) fn check(
    file: &File,
    end: &End,
    entries: &mut [Entry],
    watch: &Watch,
) -> Result<(), Error> {
    let mut order: Vec<&mut Entry> = entries.iter_mut().collect();
    order.sort_unstable_by_key(|entry| entry.header_at);
    let ends: Vec<u64> = order
        .iter()
        .skip(1)
        .map(|next| next.header_at)
        .chain([end.directory_at])
        .collect();
    let mut expected = 0;
    for (entry, end_at) in order.into_iter().zip(ends) {
        watch.check()?;
        if entry.header_at != expected {
            return Err(Error::corrupt(format!(
                "data before `{}` belongs to no entry",
                entry.name.escape_debug()
            )));
        }
        let twice = |what: &str| {
            Error::corrupt(format!(
                "the two headers of `{}` differ in {what}",
                entry.name.escape_debug()
            ))
        };
        entry.data_at = header(file, entry, twice)?;
        let rest = entry
            .data_at
            .checked_add(entry.packed_bytes)
            .and_then(|data_end| end_at.checked_sub(data_end).map(|rest| (data_end, rest)));
        let Some((data_end, rest)) = rest else {
            return Err(Error::corrupt(format!(
                "entry `{}` overlaps what follows",
                entry.name.escape_debug()
            )));
        };
        if entry.flags & DESCRIPTOR != 0 {
            descriptor(file, entry, data_end, rest)?;
        } else if rest != 0 {
            return Err(Error::corrupt(format!(
                "data after `{}` belongs to no entry",
                entry.name.escape_debug()
            )));
        }
        expected = end_at;
    }
    if expected != end.directory_at {
        return Err(Error::corrupt(
            "data before the central directory belongs to no entry",
        ));
    }
    Ok(())
}

/// Compares one local header; returns where the data begins.
fn header(file: &File, entry: &Entry, twice: impl Fn(&str) -> Error) -> Result<u64, Error> {
    let mut header = [0; HEADER_BYTES];
    let read = |buffer: &mut [u8], at: u64| {
        file.read_exact_at(buffer, at)
            .map_err(Error::read("local header"))
    };
    read(&mut header, entry.header_at)?;
    if !header.starts_with(&SIGNATURE) {
        return Err(Error::corrupt(format!(
            "`{}` has no local header",
            entry.name.escape_debug()
        )));
    }
    let name_at = entry.header_at.saturating_add(HEADER_BYTES as u64);
    let mut name = vec![0; u16_at(&header, 26)?.into()];
    read(&mut name, name_at)?;
    let extra_at = name_at.saturating_add(name.len() as u64);
    let mut extra = vec![0; u16_at(&header, 28)?.into()];
    read(&mut extra, extra_at)?;

    let local_name = match entry.kind {
        EntryKind::Folder => name.strip_suffix(b"/"),
        EntryKind::File | EntryKind::Link => Some(name.as_slice()),
    };
    if local_name != Some(entry.name.as_bytes()) {
        return Err(twice("name"));
    }
    let method = match u16_at(&header, 8)? {
        0 => Some(Method::Stored),
        8 => Some(Method::Deflated),
        _ => None,
    };
    if method != Some(entry.method) {
        return Err(twice("method"));
    }
    // Writers may note the deflate effort in one place only.
    let counted = 1 | DESCRIPTOR | UTF8;
    if (u16_at(&header, 6)? ^ entry.flags) & counted != 0 {
        return Err(twice("flags"));
    }
    let crc = u32_at(&header, 14)?;
    let [unpacked, packed] = widened(&extra, &name, [u32_at(&header, 22)?, u32_at(&header, 18)?])?;
    let may_wait = entry.flags & DESCRIPTOR != 0;
    let agrees = |local: u64, central: u64| local == central || (may_wait && local == 0);
    if !agrees(crc.into(), entry.crc.into()) {
        return Err(twice("checksum"));
    }
    if !agrees(unpacked, entry.unpacked_bytes) || !agrees(packed, entry.packed_bytes) {
        return Err(twice("size"));
    }
    Ok(extra_at.saturating_add(extra.len() as u64))
}

/// Compares the descriptor, which fills the `length` bytes from `at` exactly: with or without
/// signature, with narrow or wide sizes.
fn descriptor(file: &File, entry: &Entry, at: u64, length: u64) -> Result<(), Error> {
    let wrong = || {
        Error::corrupt(format!(
            "the data descriptor of `{}` is damaged",
            entry.name.escape_debug()
        ))
    };
    let (is_signed, is_wide) = match length {
        12 => (false, false),
        16 => (true, false),
        20 => (false, true),
        24 => (true, true),
        _ => return Err(wrong()),
    };
    let mut buffer = [0; 24];
    let record = usize::try_from(length)
        .ok()
        .and_then(|length| buffer.get_mut(..length))
        .ok_or_else(wrong)?;
    file.read_exact_at(record, at)
        .map_err(Error::read("data descriptor"))?;
    if is_signed && !record.starts_with(&DESCRIPTOR_SIGNATURE) {
        return Err(wrong());
    }
    let start = if is_signed { 4 } else { 0 };
    let crc = u32_at(record, start)?;
    let (packed, unpacked) = if is_wide {
        (u64_at(record, start + 4)?, u64_at(record, start + 12)?)
    } else {
        (
            u32_at(record, start + 4)?.into(),
            u32_at(record, start + 8)?.into(),
        )
    };
    if crc != entry.crc || packed != entry.packed_bytes || unpacked != entry.unpacked_bytes {
        return Err(wrong());
    }
    Ok(())
}
