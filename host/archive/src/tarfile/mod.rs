//! Tar, plain or in one gzip member, read so that no other parser can see something else in it
//! (reliability.md T24).
//!
//! Accepted are ustar, GNU and pax headers for files, folders and symbolic links, long names
//! within the limit, and the one global header that `git archive` writes. The end must be two
//! zero blocks with nothing but zeros behind them, and the gzip member must end with the file.

mod header;
mod pax;
mod source;

use crate::error::{Error, shown};
use crate::limits::{CHUNK_BYTES, Limits, Watch};
use crate::spool::Sink;
use header::{BLOCK_BYTES, Header};
use pax::Records;
use source::Source;
use std::path::Path;

/// What one pax header may take; xattrs of real archives fit.
const EXTENSION_BYTES: u64 = 64 << 10;

/// What an entry is.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum EntryKind {
    File,
    Folder,
    /// A symbolic link and its unchecked target.
    Link(Vec<u8>),
}

/// One entry.
#[derive(Debug)]
pub(crate) struct Entry {
    /// Unchecked.
    pub(crate) name: Vec<u8>,
    pub(crate) kind: EntryKind,
    pub(crate) mode: u32,
}

/// An archive that is being read, once, from front to back.
pub(crate) struct TarFile<'a> {
    source: Source<'a>,
    limits: &'a Limits,
    num_entries: usize,
    /// Content of the current entry that is still to come.
    content_left: u64,
    padding_left: u64,
    has_global: bool,
    /// The commit that `git archive` writes into the global header.
    pub(crate) comment: Option<Vec<u8>>,
}

impl<'a> TarFile<'a> {
    pub(crate) fn open(
        path: &Path,
        is_gzip: bool,
        limits: &'a Limits,
        watch: &'a Watch,
    ) -> Result<Self, Error> {
        Ok(Self {
            source: Source::open(path, is_gzip, limits, watch)?,
            limits,
            num_entries: 0,
            content_left: 0,
            padding_left: 0,
            has_global: false,
            comment: None,
        })
    }

    /// The next entry; what is left of the current one is skipped. `None` once the whole file
    /// is read and found well-formed.
    pub(crate) fn next(&mut self) -> Result<Option<Entry>, Error> {
        self.copy(&mut |_| Ok(()))?;
        let mut extended = None;
        let mut long_name = None;
        let mut long_link = None;
        loop {
            let block = self.source.block()?;
            if block.iter().all(|byte| *byte == 0) {
                if extended.is_some() || long_name.is_some() || long_link.is_some() {
                    return Err(Error::corrupt("a header extends no entry"));
                }
                if self.source.block()?.iter().any(|byte| *byte != 0) {
                    return Err(Error::corrupt("the tar goes on after its end"));
                }
                self.source.finish()?;
                return Ok(None);
            }
            let header = Header::parse(&block)?;
            self.num_entries += 1;
            if self.num_entries > self.limits.entries {
                return Err(Error::TooLarge {
                    what: "the number of entries",
                    limit: self.limits.entries as u64,
                });
            }
            match header.flag {
                b'g' => self.global(&header)?,
                b'x' => once(&mut extended, Records::parse(&self.extension(&header)?)?)?,
                b'L' => once(&mut long_name, self.long(&header)?)?,
                b'K' => once(&mut long_link, self.long(&header)?)?,
                _ => {
                    return self.entry(header, extended, long_name, long_link).map(Some);
                }
            }
        }
    }

    /// Reads the content of the current entry.
    pub(crate) fn copy(&mut self, sink: &mut Sink<'_>) -> Result<(), Error> {
        let mut buffer = Vec::new();
        while self.content_left > 0 {
            buffer.resize(CHUNK_BYTES.min(saturated(self.content_left)), 0);
            self.source.exact(&mut buffer)?;
            self.content_left -= buffer.len() as u64;
            sink(&buffer)?;
        }
        buffer.resize(saturated(self.padding_left), 0);
        self.padding_left = 0;
        self.source.exact(&mut buffer)
    }

    fn begin(&mut self, length: u64) {
        self.content_left = length;
        self.padding_left = length.wrapping_neg() % BLOCK_BYTES as u64;
    }

    fn entry(
        &mut self,
        header: Header,
        extended: Option<Records>,
        long_name: Option<Vec<u8>>,
        long_link: Option<Vec<u8>>,
    ) -> Result<Entry, Error> {
        let extended = extended.unwrap_or_default();
        let name = one_of(header.name, long_name, extended.path)?;
        let link = one_of(header.link, long_link, extended.link)?;
        if extended.size.is_some_and(|size| size != header.size) {
            return Err(Error::corrupt(format!(
                "the two headers of `{}` differ in size",
                shown(&name)
            )));
        }
        let kind = match header.flag {
            0 | b'0' => EntryKind::File,
            b'5' => EntryKind::Folder,
            b'2' => EntryKind::Link(link),
            flag => return Err(refused(flag, &name)),
        };
        if kind != EntryKind::File && header.size != 0 {
            return Err(Error::corrupt(format!(
                "`{}` is no file, yet has content",
                shown(&name)
            )));
        }
        if kind != EntryKind::Folder && name.ends_with(b"/") {
            return Err(Error::corrupt(format!(
                "`{}` is both file and folder",
                shown(&name)
            )));
        }
        self.begin(header.size);
        Ok(Entry {
            name,
            kind,
            mode: header.mode,
        })
    }

    fn global(&mut self, header: &Header) -> Result<(), Error> {
        let records = Records::parse(&self.extension(header)?)?;
        if self.has_global {
            return Err(Error::unsupported("a tar with two global headers"));
        }
        if records.path.is_some() || records.link.is_some() || records.size.is_some() {
            return Err(Error::unsupported("a global header that names entries"));
        }
        self.has_global = true;
        self.comment = records.comment;
        Ok(())
    }

    fn extension(&mut self, header: &Header) -> Result<Vec<u8>, Error> {
        self.small(header, EXTENSION_BYTES, "an extended header, in bytes,")
    }

    /// A GNU long name: the name and one NUL.
    fn long(&mut self, header: &Header) -> Result<Vec<u8>, Error> {
        let limit = (self.limits.name_bytes as u64).saturating_add(1);
        let mut name = self.small(header, limit, "a long name, in bytes,")?;
        if name.last() == Some(&0) {
            name.pop();
        }
        Ok(name)
    }

    fn small(&mut self, header: &Header, limit: u64, what: &'static str) -> Result<Vec<u8>, Error> {
        if header.size > limit {
            return Err(Error::TooLarge { what, limit });
        }
        self.begin(header.size);
        let mut data = Vec::new();
        self.copy(&mut |chunk| {
            data.extend_from_slice(chunk);
            Ok(())
        })?;
        Ok(data)
    }
}

fn saturated(length: u64) -> usize {
    usize::try_from(length).unwrap_or(usize::MAX)
}

fn once<T>(slot: &mut Option<T>, value: T) -> Result<(), Error> {
    if slot.replace(value).is_some() {
        return Err(Error::corrupt("an entry has two headers of one kind"));
    }
    Ok(())
}

/// The header's own value, unless exactly one extension replaces it.
fn one_of(
    own: Vec<u8>,
    long: Option<Vec<u8>>,
    extended: Option<Vec<u8>>,
) -> Result<Vec<u8>, Error> {
    match (long, extended) {
        (Some(_), Some(_)) => Err(Error::corrupt("an entry has two long names")),
        (Some(name), None) | (None, Some(name)) => Ok(name),
        (None, None) => Ok(own),
    }
}

fn refused(flag: u8, name: &[u8]) -> Error {
    let what = match flag {
        b'1' => "a hard link",
        b'3' | b'4' => "a device",
        b'6' => "a named pipe",
        b'S' => "a sparse file",
        b'M' | b'V' => "an archive of several volumes",
        _ => {
            return Error::unsupported(format!("tar entry type {flag:#04x} (`{}`)", shown(name)));
        }
    };
    Error::unsupported(format!("{what} (`{}`)", shown(name)))
}
