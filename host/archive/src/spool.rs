//! One anonymous temporary file that holds the content of a module while it is repackaged.
//!
//! A tar is read once, from front to back, and is written sorted; a folder may change while it
//! is read. So content is copied here first, and what is hashed is what is written.

use crate::error::Error;
use crate::limits::{CHUNK_BYTES, Limits, Watch};
use opendepot_domain::Sha256;
use sha2::Digest as _;
use std::fs::File;
use std::io::{BufWriter, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::Path;

/// What takes content, chunk by chunk.
pub(crate) type Sink<'a> = dyn FnMut(&[u8]) -> Result<(), Error> + 'a;

/// Where a file's content lies in the spool, and its digest.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Content {
    offset: u64,
    pub(crate) length: u64,
    pub(crate) sha256: Sha256,
}

/// The file, while it is filled.
pub(crate) struct Spool {
    writer: BufWriter<File>,
    length: u64,
    limit: u64,
}

impl Spool {
    /// Makes the file in `folder`; it has no name and goes away with this value.
    pub(crate) fn new(folder: &Path, limits: &Limits) -> Result<Self, Error> {
        let file = tempfile::tempfile_in(folder).map_err(Error::io("make a temporary file"))?;
        Ok(Self {
            writer: BufWriter::with_capacity(CHUNK_BYTES, file),
            length: 0,
            limit: limits.unpacked_bytes,
        })
    }

    /// Appends what `fill` hands to its sink.
    pub(crate) fn append(
        &mut self,
        fill: impl FnOnce(&mut Sink<'_>) -> Result<(), Error>,
    ) -> Result<Content, Error> {
        let offset = self.length;
        let mut hasher = sha2::Sha256::new();
        fill(&mut |chunk| {
            self.length = self.length.saturating_add(chunk.len() as u64);
            if self.length > self.limit {
                return Err(Error::TooLarge {
                    what: "the unpacked size in bytes",
                    limit: self.limit,
                });
            }
            hasher.update(chunk);
            self.writer
                .write_all(chunk)
                .map_err(Error::io("write a temporary file"))
        })?;
        Ok(Content {
            offset,
            length: self.length - offset,
            sha256: Sha256::finish(hasher),
        })
    }

    /// Ends the filling.
    pub(crate) fn finish(self) -> Result<Spooled, Error> {
        let file = self
            .writer
            .into_inner()
            .map_err(|error| Error::io("write a temporary file")(error.into_error()))?;
        Ok(Spooled { file })
    }
}

/// The file, while it is read.
pub(crate) struct Spooled {
    file: File,
}

impl Spooled {
    /// Reads `content`, at most `limit` bytes of it.
    pub(crate) fn copy(
        &self,
        content: &Content,
        limit: u64,
        watch: &Watch,
        sink: &mut Sink<'_>,
    ) -> Result<(), Error> {
        let mut file = &self.file;
        file.seek(SeekFrom::Start(content.offset))
            .map_err(Error::io("read a temporary file"))?;
        let mut left = content.length.min(limit);
        let mut buffer = vec![0; CHUNK_BYTES];
        while left > 0 {
            watch.check()?;
            let want = usize::try_from(left).map_or(CHUNK_BYTES, |left| left.min(CHUNK_BYTES));
            let chunk = buffer.get_mut(..want).unwrap_or_default();
            file.read_exact(chunk)
                .map_err(Error::io("read a temporary file"))?;
            sink(chunk)?;
            left -= chunk.len() as u64;
        }
        Ok(())
    }
}
