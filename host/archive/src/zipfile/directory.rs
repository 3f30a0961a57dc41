//! The central directory.

use super::bytes::{extra_fields, u16_at, u32_at, u64_at};
use super::end::End;
use crate::error::{Error, shown};
use crate::limits::{CHUNK_BYTES, Limits, NameBudget, Watch};
use crate::name;
use std::fs::File;
use std::io::{BufReader, Read, Seek as _, SeekFrom};

const SIGNATURE: [u8; 4] = *b"PK\x01\x02";
const HEADER_BYTES: usize = 46;

/// Encryption, in its several forms.
const ENCRYPTED: u16 = 1 | 1 << 6 | 1 << 13;
/// Sizes and checksum follow the data.
pub(super) const DESCRIPTOR: u16 = 1 << 3;
/// Deflate effort (1, 2), descriptor, UTF-8.
const KNOWN_FLAGS: u16 = 1 << 1 | 1 << 2 | DESCRIPTOR | UTF8;
pub(super) const UTF8: u16 = 1 << 11;

/// The attribute of a folder on MS-DOS.
const DOS_FOLDER: u32 = 1 << 4;

const ZIP64_FIELD: u16 = 0x0001;
const UNICODE_PATH_FIELD: u16 = 0x7075;

/// What an entry is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum EntryKind {
    File,
    Folder,
    Link,
}

/// How an entry is packed; other methods are refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Method {
    Stored,
    Deflated,
}

/// One entry, as both of its headers say.
#[derive(Debug)]
pub(crate) struct Entry {
    /// Checked, without the trailing slash of a folder.
    pub(crate) name: String,
    pub(crate) kind: EntryKind,
    /// Permission and special bits; 0644 where the archive has none.
    pub(crate) mode: u32,
    pub(crate) unpacked_bytes: u64,
    pub(super) method: Method,
    pub(super) flags: u16,
    pub(super) crc: u32,
    pub(super) packed_bytes: u64,
    pub(super) header_at: u64,
    /// Set once the local header is verified.
    pub(super) data_at: u64,
}

/// Reads the whole directory, within the limits.
pub(super) fn read(
    mut file: &File,
    end: &End,
    limits: &Limits,
    watch: &Watch,
) -> Result<Vec<Entry>, Error> {
    if end.entries > limits.entries as u64 {
        return Err(Error::TooLarge {
            what: "the number of entries",
            limit: limits.entries as u64,
        });
    }
    file.seek(SeekFrom::Start(end.directory_at))
        .map_err(Error::io("read archive"))?;
    let mut reader = BufReader::with_capacity(CHUNK_BYTES, file.take(end.directory_bytes));
    let mut budget = NameBudget::default();
    let mut entries = Vec::new();
    for _ in 0..end.entries {
        watch.check()?;
        let entry = entry(&mut reader, limits)?;
        budget.spend(&entry.name)?;
        entries.push(entry);
    }
    if reader.read(&mut [0]).map_err(Error::read("zip"))? != 0 {
        return Err(Error::corrupt(
            "the central directory has more entries than the end record says",
        ));
    }
    Ok(entries)
}

fn entry(reader: &mut impl Read, limits: &Limits) -> Result<Entry, Error> {
    let mut header = [0; HEADER_BYTES];
    read_exact(reader, &mut header)?;
    if !header.starts_with(&SIGNATURE) {
        return Err(Error::corrupt("the central directory is damaged"));
    }
    let mut raw_name = vec![0; u16_at(&header, 28)?.into()];
    read_exact(reader, &mut raw_name)?;
    let mut extra = vec![0; u16_at(&header, 30)?.into()];
    read_exact(reader, &mut extra)?;
    // A comment says nothing about the entry.
    let mut comment = vec![0; u16_at(&header, 32)?.into()];
    read_exact(reader, &mut comment)?;

    let name = name::checked(&raw_name, limits)?;
    let flags = flags(u16_at(&header, 8)?)?;
    let method = match u16_at(&header, 10)? {
        0 => Method::Stored,
        8 => Method::Deflated,
        other => {
            return Err(Error::unsupported(format!(
                "zip compression method {other}"
            )));
        }
    };
    let (kind, mode) = kind_and_mode(
        u16_at(&header, 4)?.to_le_bytes()[1],
        u32_at(&header, 38)?,
        &raw_name,
    )?;
    let crc = u32_at(&header, 16)?;
    let [unpacked_bytes, packed_bytes, header_at] = widened(
        &extra,
        &raw_name,
        [
            u32_at(&header, 24)?,
            u32_at(&header, 20)?,
            u32_at(&header, 42)?,
        ],
    )?;
    if !matches!(u16_at(&header, 34)?, 0) {
        return Err(Error::unsupported("a zip of several disks"));
    }
    if method == Method::Stored && packed_bytes != unpacked_bytes {
        return Err(Error::corrupt(format!(
            "entry `{}` is stored, yet has two sizes",
            shown(&raw_name)
        )));
    }
    if kind == EntryKind::Folder && (unpacked_bytes != 0 || packed_bytes > 2 || crc != 0) {
        return Err(Error::corrupt(format!(
            "folder `{}` has content",
            shown(&raw_name)
        )));
    }
    Ok(Entry {
        name: name.to_owned(),
        kind,
        mode,
        unpacked_bytes,
        method,
        flags,
        crc,
        packed_bytes,
        header_at,
        data_at: 0,
    })
}

fn flags(flags: u16) -> Result<u16, Error> {
    if flags & ENCRYPTED != 0 {
        return Err(Error::unsupported("an encrypted zip"));
    }
    if flags & !KNOWN_FLAGS != 0 {
        return Err(Error::unsupported(format!("zip flag {flags:#06x}")));
    }
    Ok(flags)
}

/// What the entry is by its attributes and by its name, which must agree.
fn kind_and_mode(system: u8, attributes: u32, raw_name: &[u8]) -> Result<(EntryKind, u32), Error> {
    let mode = attributes >> 16;
    let is_named_folder = raw_name.ends_with(b"/");
    let kind = match mode & 0o170_000 {
        0 if is_named_folder => EntryKind::Folder,
        0o040_000 => EntryKind::Folder,
        0 | 0o100_000 => EntryKind::File,
        0o120_000 => EntryKind::Link,
        _ => {
            return Err(Error::unsupported(format!(
                "`{}`, which is neither file nor folder,",
                shown(raw_name)
            )));
        }
    };
    // Where there is no Unix mode, clients go by the MS-DOS attribute.
    let is_marked_folder = attributes & DOS_FOLDER != 0;
    if (kind == EntryKind::Folder) != is_named_folder || (is_marked_folder && !is_named_folder) {
        return Err(Error::corrupt(format!(
            "`{}` is both file and folder",
            shown(raw_name)
        )));
    }
    // Unix and macOS. Some readers take the upper half for a mode whatever the system is, and
    // some do not.
    match system {
        3 | 19 => Ok((kind, mode & 0o7777)),
        _ if kind == EntryKind::Link || mode & 0o7000 != 0 => Err(Error::corrupt(format!(
            "`{}` has a Unix mode but was not made on Unix",
            shown(raw_name)
        ))),
        _ => Ok((kind, 0o644)),
    }
}

/// Sizes and offset, from the zip64 field where the header refers to it.
///
/// The field holds either exactly what the header refers to, or all three values; then those
/// that the header has as well must be the same (Go's writer does that).
pub(super) fn widened<const N: usize>(
    extra: &[u8],
    raw_name: &[u8],
    small: [u32; N],
) -> Result<[u64; N], Error> {
    let mut large = None;
    for (id, data) in extra_fields(extra)? {
        match id {
            ZIP64_FIELD if large.is_some() => {
                return Err(Error::corrupt("an entry has two zip64 fields"));
            }
            ZIP64_FIELD => large = Some(data),
            // One byte of version, a checksum of the name, the name as UTF-8.
            UNICODE_PATH_FIELD if data.get(5..) != Some(raw_name) => {
                return Err(Error::corrupt(format!(
                    "entry `{}` has another name as well",
                    shown(raw_name)
                )));
            }
            _ => {}
        }
    }
    let lies = || {
        Error::corrupt(format!(
            "the zip64 field of `{}` contradicts its header",
            shown(raw_name)
        ))
    };
    let mut wide = small.map(u64::from);
    let Some(large) = large else {
        return if small.contains(&u32::MAX) {
            Err(lies())
        } else {
            Ok(wide)
        };
    };
    let num_referred = small.iter().filter(|value| **value == u32::MAX).count();
    let has_all = large.len() == 8 * N;
    if !has_all && large.len() != 8 * num_referred {
        return Err(lies());
    }
    let mut at = 0;
    for (wide, small) in wide.iter_mut().zip(small) {
        let is_referred = small == u32::MAX;
        if !is_referred && !has_all {
            continue;
        }
        let value = u64_at(large, at)?;
        at += 8;
        if !is_referred && value != *wide {
            return Err(lies());
        }
        *wide = value;
    }
    Ok(wide)
}

fn read_exact(reader: &mut impl Read, buffer: &mut [u8]) -> Result<(), Error> {
    reader
        .read_exact(buffer)
        .map_err(Error::read("central directory"))
}
