//! The bytes of a tar, counted.

use super::header::BLOCK_BYTES;
use crate::error::Error;
use crate::limits::{CHUNK_BYTES, Limits, Watch};
use flate2::bufread::GzDecoder;
use std::fs::File;
use std::io::{BufRead as _, BufReader, Read as _, Seek as _};
use std::path::Path;

enum Bytes {
    Plain(BufReader<File>),
    Gzip(Box<GzDecoder<BufReader<File>>>),
}

pub(super) struct Source<'a> {
    bytes: Bytes,
    limits: &'a Limits,
    watch: &'a Watch,
    unpacked: u64,
}

impl<'a> Source<'a> {
    pub(super) fn open(
        path: &Path,
        is_gzip: bool,
        limits: &'a Limits,
        watch: &'a Watch,
    ) -> Result<Self, Error> {
        let file = File::open(path).map_err(Error::io("open archive"))?;
        let length = file.metadata().map_err(Error::io("open archive"))?.len();
        if length > limits.packed_bytes {
            return Err(Error::TooLarge {
                what: "the packed size in bytes",
                limit: limits.packed_bytes,
            });
        }
        let reader = BufReader::with_capacity(CHUNK_BYTES, file);
        Ok(Self {
            bytes: if is_gzip {
                Bytes::Gzip(Box::new(GzDecoder::new(reader)))
            } else {
                Bytes::Plain(reader)
            },
            limits,
            watch,
            unpacked: 0,
        })
    }

    pub(super) fn block(&mut self) -> Result<[u8; BLOCK_BYTES], Error> {
        let mut block = [0; BLOCK_BYTES];
        self.exact(&mut block)?;
        Ok(block)
    }

    pub(super) fn exact(&mut self, buffer: &mut [u8]) -> Result<(), Error> {
        match &mut self.bytes {
            Bytes::Plain(reader) => reader.read_exact(buffer),
            Bytes::Gzip(reader) => reader.read_exact(buffer),
        }
        .map_err(Error::read("tar"))?;
        self.count(buffer.len())
    }

    /// Reads what is left, which must be zeros, and checks that nothing follows the gzip member.
    pub(super) fn finish(&mut self) -> Result<(), Error> {
        let mut buffer = vec![0; CHUNK_BYTES];
        loop {
            let read = match &mut self.bytes {
                Bytes::Plain(reader) => reader.read(&mut buffer),
                Bytes::Gzip(reader) => reader.read(&mut buffer),
            }
            .map_err(Error::read("tar"))?;
            if read == 0 {
                break;
            }
            self.count(read)?;
            if buffer.iter().take(read).any(|byte| *byte != 0) {
                return Err(Error::corrupt("the tar goes on after its end"));
            }
        }
        if let Bytes::Gzip(reader) = &mut self.bytes
            && !reader
                .get_mut()
                .fill_buf()
                .map_err(Error::read("gzip"))?
                .is_empty()
        {
            return Err(Error::corrupt("the file goes on after the gzip member"));
        }
        Ok(())
    }

    fn count(&mut self, length: usize) -> Result<(), Error> {
        self.watch.check()?;
        self.unpacked = self.unpacked.saturating_add(length as u64);
        if self.unpacked > self.limits.unpacked_bytes {
            return Err(Error::TooLarge {
                what: "the unpacked size in bytes",
                limit: self.limits.unpacked_bytes,
            });
        }
        // Against what has been read so far, so that a bomb ends long before its end.
        if let Bytes::Gzip(reader) = &self.bytes
            && self.unpacked > self.limits.ratio_floor_bytes
        {
            let mut file = reader.get_ref().get_ref();
            let packed = file.stream_position().map_err(Error::io("read archive"))?;
            self.limits.check_ratio(self.unpacked, packed)?;
        }
        Ok(())
    }
}
